//! A target group with its targets, and which of them a request gets.
//!
//! Who may be chosen is a list that is made when something has changed and read without a lock until something does: a choice
//! takes the same time whatever the number of targets. Changes of health and of registration move the group's [`Pulse`]; the
//! next choice sees that and makes the list anew. `least_outstanding_requests` looks at so many targets at most
//! ([`choose::LOOKED_AT`]).
//!
//! Slow start: a target that turns healthy beside others gets a share that grows with time, until it is whole. Left alone are
//! the first targets of a group, those that were healthy when slow start was switched on, and all if there is no healthy target
//! beside them that has its whole share, or if all targets are taken for healthy. As AWS has
//! it, `round_robin` alone knows slow start.
//!
//! Anomaly mitigation ([`anomaly`]): targets that fail unlike the others get less. `weighted_random` alone knows it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use longshore_link::edge::{Algorithm, Stickiness, Target, TargetGroup};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::anomaly;
use crate::chance;
use crate::choose;
use crate::count::Tally;
use crate::front::Front;
use crate::http::sticky::{self, Name};
use crate::member::{Busy, Member};

/// Choices that may fall on targets that have had their share, before one of them counts.
const TRIES: usize = 16;

/// Moves whenever another target may be chosen, or one may not be any more. A group and its targets have one.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: AtomicU64,
    /// When its targets were last judged for anomalies.
    judged: Mutex<Option<Instant>>,
}

impl Pulse {
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Release);
    }

    fn now(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }
}

/// `members` are in the order of the targets of `group`.
#[derive(Debug)]
pub struct Group {
    pub arn: String,
    pub group: TargetGroup,
    pub members: Vec<Arc<Member>>,
    pub pulse: Arc<Pulse>,
    pub tally: Arc<Tally>,
    /// The places of targets, for groups whose clients stay with theirs.
    names: HashMap<Name, usize>,
    turn: AtomicUsize,
    ready: ArcSwap<Ready>,
    /// Without balancing across zones: by zone, and for zones in which no target is, by the empty name.
    zones: BTreeMap<String, ArcSwap<Ready>>,
}

/// Who may be chosen.
#[derive(Debug)]
struct Ready {
    /// The pulse that it was made at.
    at: u64,
    /// All are taken for healthy, because too few are.
    open: bool,
    /// Some are healthy.
    is_well: bool,
    targets: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    member: Arc<Member>,
    /// When its share has begun to grow.
    since: Option<Instant>,
}

impl Ready {
    fn none() -> Self {
        Self { at: u64::MAX, open: false, is_well: false, targets: Vec::new() }
    }
}

impl Group {
    pub fn new(arn: &str, group: TargetGroup, members: Vec<Arc<Member>>, pulse: Arc<Pulse>, tally: Arc<Tally>) -> Self {
        let named = |(place, target): (usize, &Target)| (sticky::name(&target.id, target.port), place);
        let names = match group.stickiness {
            Stickiness::LbCookie { .. } | Stickiness::AppCookie(_) => {
                group.targets.iter().enumerate().map(named).collect()
            }
            Stickiness::None | Stickiness::SourceIp => HashMap::new(),
        };
        let of_targets = group.targets.iter().filter_map(|target| target.zone.clone());
        let zones: BTreeSet<String> = of_targets.chain([String::new()]).collect();
        Self {
            arn: arn.to_owned(),
            group,
            members,
            pulse,
            tally,
            names,
            // Groups change often, and not each of them begins with the same target.
            turn: AtomicUsize::new(choose::within(chance::number(), usize::MAX)),
            ready: ArcSwap::from_pointee(Ready::none()),
            zones: zones.into_iter().map(|zone| (zone, ArcSwap::from_pointee(Ready::none()))).collect(),
        }
    }

    /// The target of the next request, which is counted as busy. `None` if none is registered that may be chosen, or the one
    /// that was chosen has been deregistered meanwhile.
    pub fn choose(&self, front: &Front) -> Option<Busy> {
        let ready = self.ready(front);
        let next = || {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let outstanding = |place: usize| ready.targets[place].member.outstanding();
            choose::place(self.group.algorithm, ready.targets.len(), turn, chance::number(), outstanding)
        };
        if self.mitigates() {
            self.judge(&ready);
        }
        let mut place = next()?;
        for _ in 0..TRIES {
            if self.has_share(&ready.targets[place]) {
                break;
            }
            place = next()?;
        }
        begin(&ready.targets[place].member)
    }

    /// The target of a flow: the same for the same flow as long as the same targets may be chosen.
    pub fn choose_by(&self, front: &Front, flow: u64) -> Option<Busy> {
        let ready = self.ready(front);
        ready.targets.get(choose::within(flow, ready.targets.len())).and_then(|candidate| begin(&candidate.member))
    }

    /// The target of this name, which is counted as busy. `None` if there is none that may be chosen.
    pub fn choose_named(&self, front: &Front, name: &[u8]) -> Option<Busy> {
        let place = *self.names.get(name)?;
        let (member, target) = (self.members.get(place)?, self.group.targets.get(place)?);
        let is_healthy = member.is_healthy() || self.ready(front).open;
        if is_healthy && is_eligible(member, target, self.zone(front)) { begin(member) } else { None }
    }

    /// Whether requests go to targets that are not healthy, because too few are.
    pub fn fails_open(&self, front: &Front) -> bool {
        self.ready(front).open
    }

    /// Whether some target that may be chosen is healthy.
    pub fn is_well(&self, front: &Front) -> bool {
        self.ready(front).is_well
    }

    /// The zone whose targets alone may be chosen.
    fn zone<'f>(&self, front: &'f Front) -> Option<&'f str> {
        let cross = self.group.cross_zone.unwrap_or(front.attributes.cross_zone);
        (!cross).then_some(front.zone.as_str())
    }

    fn ready(&self, front: &Front) -> Guard<Arc<Ready>> {
        let zone = self.zone(front);
        let of_zone = zone.and_then(|zone| self.zones.get(zone).or_else(|| self.zones.get("")));
        let known = of_zone.unwrap_or(&self.ready);
        let (ready, at) = (known.load(), self.pulse.now());
        if ready.at == at {
            return ready;
        }
        let made = Arc::new(self.list(zone, at));
        known.store(made.clone());
        Guard::from_inner(made)
    }

    /// Who may be chosen now.
    fn list(&self, zone: Option<&str>, at: u64) -> Ready {
        let all = self.members.iter().zip(&self.group.targets);
        let eligible: Vec<&Arc<Member>> =
            all.filter(|(member, target)| is_eligible(member, target, zone)).map(|(member, _)| member).collect();
        let healthy: Vec<&Arc<Member>> = eligible.iter().filter(|member| member.is_healthy()).copied().collect();
        let open = choose::fails_open(healthy.len(), eligible.len(), self.group.unhealthy_routing);
        let is_well = !healthy.is_empty();
        let slow = if open { Duration::ZERO } else { self.slow_start() };
        let now = Instant::now();
        let growing = |member: &Member| member.healthy_since().filter(|since| *since + slow > now);
        if healthy.iter().all(|member| growing(member).is_some()) {
            healthy.iter().for_each(|member| member.end_slow_start());
        }
        let candidate = |member: &Arc<Member>| Candidate { member: member.clone(), since: growing(member) };
        let targets = if open { eligible } else { healthy }.into_iter().map(candidate).collect();
        Ready { at, open, is_well, targets }
    }

    /// Whether targets that fail unlike the others get less.
    pub fn mitigates(&self) -> bool {
        self.group.anomaly_mitigation && self.group.algorithm == Algorithm::WeightedRandom
    }

    /// Looks for anomalies, once a window.
    fn judge(&self, ready: &Ready) {
        let Some(mut last) = self.pulse.judged.try_lock() else { return };
        let now = Instant::now();
        if last.is_some_and(|last| now < last + anomaly::WINDOW) {
            return;
        }
        *last = Some(now);
        let records = || ready.targets.iter().map(|candidate| &candidate.member.record);
        let tallies: Vec<_> = records().map(|record| record.take()).collect();
        for (record, is_anomalous) in records().zip(anomaly::find(&tallies)) {
            record.judge(is_anomalous);
        }
    }

    fn slow_start(&self) -> Duration {
        match self.group.algorithm {
            Algorithm::RoundRobin => Duration::from_secs(u64::from(self.group.slow_start_seconds)),
            Algorithm::LeastOutstandingRequests | Algorithm::WeightedRandom => Duration::ZERO,
        }
    }

    /// Whether a target that is chosen gets the request, by the share that it has now.
    fn has_share(&self, candidate: &Candidate) -> bool {
        if self.mitigates() {
            return candidate.member.record.has_share(chance::number());
        }
        let Some(since) = candidate.since else { return true };
        choose::has_share(since.elapsed(), self.slow_start(), chance::number())
    }
}

/// Whether it is registered, and of the zone.
fn is_eligible(member: &Member, target: &Target, zone: Option<&str>) -> bool {
    let here = |zone: &str| target.zone.as_ref().is_none_or(|own| own == zone);
    !member.is_draining() && target.draining_since.is_none() && zone.is_none_or(here)
}

fn begin(member: &Arc<Member>) -> Option<Busy> {
    Some(member.begin()).filter(|busy| !busy.member().is_draining())
}

#[cfg(test)]
mod tests;
