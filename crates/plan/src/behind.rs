//! Tasks behind load balancers: registered when they run, deregistered before they stop, judged by what edges find.
//!
//! ```text
//! launched  RUNNING and registered with all its groups, in one transaction        (report)
//!           healthy: every group's checks succeed, and those of its containers    (view, reconcile)
//! to stop   DEACTIVATING, its targets drain; its node is told when they have      (stop, reconcile)
//! ended     its targets go at once: nothing is under way with what is no more     (report, heal)
//! ```
//! What never was healthy is not waited for, nor is a group that nobody forwards to or whose delay is 0. A target that
//! somebody else deregistered is registered again while its task is to run. (`docs/decisions/0037`)
//!
//! Left out: host ports that are given when a task starts.

use std::sync::Arc;

use longshore_api::ecs::TaskStopCode;
use longshore_api::elasticloadbalancing::TargetHealthStateEnum as Found;
use longshore_model::balancer::{
    self, Draining, LoadBalancer, MOST_TARGETS, Target, TargetGroup, group_id, group_name,
};
use longshore_model::service::{Deployment, Service};
use longshore_model::task::{Balanced, Seat, Task, TaskStatus};
use longshore_model::{AccountId, Arn, Change, Mint, State, TableName};
use longshore_wire::Timestamp;

use crate::after;
use crate::event::Event;

/// What the groups of a deployment make of its tasks; none without groups.
pub fn balanced(deployment: &Deployment) -> Option<Box<Balanced>> {
    let seat = |given: &longshore_api::ecs::LoadBalancer| {
        Some(Seat { group: given.target_group_arn.clone()?, port: given.container_port? })
    };
    let seats: Vec<Seat> = deployment.load_balancers.iter().filter_map(seat).collect();
    (!seats.is_empty()).then(|| Box::new(Balanced { seats, healthy_at: None, drains_until: None }))
}

/// The group with this ARN, if it is there.
fn group<'s>(state: &'s State, arn: &str) -> Option<&'s Arc<TargetGroup>> {
    let account = AccountId::parse(Arn::parse(arn)?.account)?;
    let found = state.target_groups.get(&balancer::key(&account, group_name(arn)?))?;
    (group_id(arn) == Some(&found.id)).then_some(found)
}

fn target<'s>(state: &'s State, task: &Task, seat: &Seat) -> Option<&'s Arc<Target>> {
    state.targets.get(&task.target_key(seat)?)
}

/// Whether a listener forwards to the group.
fn is_used(state: &State, group: &TargetGroup) -> bool {
    state.index.balancing.listeners(&group.key()).next().is_some()
}

/// What registering a task comes to.
#[derive(Debug, Default)]
pub struct Registration {
    pub changes: Vec<Change>,
    /// ARNs of the groups that it is registered with.
    pub groups: Vec<String>,
    /// ARNs of groups that do not take it, and why.
    pub refused: Vec<(String, &'static str)>,
}

/// Which targets that drain are registered again with the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revive {
    /// They are another's whose address the task has now.
    All,
    /// Somebody deregistered them.
    None,
}

/// Register a task with those of its groups that it is not registered with.
pub fn register(state: &State, task: &Task, revive: Revive, now: Timestamp) -> Registration {
    let mut made = Registration::default();
    for seat in task.seats() {
        let known = target(state, task, seat);
        if known.is_some_and(|known| known.draining.is_none() || revive == Revive::None) {
            continue;
        }
        let Some(group) = group(state, &seat.group) else {
            made.refused.push((seat.group.clone(), "One or more target groups not found"));
            continue;
        };
        let own = state.index.balancing.targets(&group.account, &group.id);
        let new = made.groups.iter().filter(|arn| **arn == seat.group).count();
        match new_target(state, task, seat, group, now) {
            Some(target) if known.is_some() || own + new < MOST_TARGETS => {
                made.changes.push(target.into());
                made.groups.push(seat.group.clone());
            }
            _ => made.refused.push((seat.group.clone(), "You have exceeded the maximum number of targets")),
        }
    }
    made
}

fn new_target(state: &State, task: &Task, seat: &Seat, group: &TargetGroup, now: Timestamp) -> Option<Target> {
    let eni = task.eni.as_ref()?;
    let subnet = state.subnets.get(&format!("{}/{}", task.account, eni.subnet));
    Some(Target {
        account: group.account.clone(),
        group: group.id.clone(),
        id: eni.private_ip.clone(),
        port: seat.port,
        zone: subnet.map(|subnet| subnet.zone.clone()).or_else(|| task.zone.clone()),
        registered_at: now,
        draining: None,
        health: None,
    })
}

/// What deregistering a task comes to.
#[derive(Debug, Default)]
pub struct Leave {
    pub changes: Vec<Change>,
    /// ARNs of the groups that it is deregistered from.
    pub groups: Vec<String>,
    /// Until when requests may be under way.
    pub until: Option<Timestamp>,
}

/// Deregister a task that still runs from all its groups. Targets of groups in use drain for their group's delay.
pub fn leave(state: &State, task: &Task, now: Timestamp) -> Leave {
    let mut left = Leave::default();
    let was_healthy = task.balanced.as_ref().is_some_and(|balanced| balanced.healthy_at.is_some());
    for seat in task.seats() {
        let Some(target) = target(state, task, seat) else { continue };
        let used = group(state, &seat.group).filter(|group| is_used(state, group));
        let delay = used.map_or(0, |group| group.deregistration_delay_seconds());
        let until = target.draining.as_ref().map_or(after(now, delay * 1000), |draining| draining.until);
        if until > now && (was_healthy || target.is_healthy()) {
            left.until = left.until.max(Some(until));
        }
        if target.draining.is_some() {
            continue;
        }
        left.groups.push(seat.group.clone());
        left.changes.push(match delay {
            0 => Change::Delete(TableName::Target, target.key()),
            _ => Target { draining: Some(Draining { since: now, until }), ..Target::clone(target) }.into(),
        });
    }
    left
}

/// What is left of a task that has ended: its targets go, but for those that drain already.
pub fn end(state: &State, task: &Task) -> Leave {
    let mut left = Leave::default();
    #[cfg(feature = "planted")]
    if longshore_model::planted::is(longshore_model::planted::Bug::TargetLeft) {
        return left;
    }
    for seat in task.seats() {
        let Some(target) = target(state, task, seat).filter(|target| target.draining.is_none()) else { continue };
        left.groups.push(seat.group.clone());
        left.changes.push(Change::Delete(TableName::Target, target.key()));
    }
    left
}

/// A task that was told to stop.
#[derive(Debug)]
pub struct Stop {
    pub task: Task,
    /// What becomes of its targets.
    pub targets: Vec<Change>,
    /// ARNs of the groups that it is deregistered from.
    pub groups: Vec<String>,
}

impl Stop {
    /// In the order in which they are to be written.
    pub fn changes(self) -> impl Iterator<Item = Change> {
        self.targets.into_iter().chain([self.task.into()])
    }
}

/// Ask for a task to stop: it is deregistered, and its node is told once its targets have drained. `None` if it was asked
/// for before.
pub fn stop(state: &State, task: &Task, code: TaskStopCode, reason: &str, now: Timestamp) -> Option<Stop> {
    let mut task = task.clone();
    if !task.request_stop(code, reason, now) {
        return None;
    }
    let left = leave(state, &task, now);
    let drains = task.last == TaskStatus::Deactivating;
    if let Some(balanced) = &mut task.balanced {
        balanced.drains_until = left.until.filter(|_| drains);
    }
    Some(Stop { task, targets: left.changes, groups: left.groups })
}

/// As [`stop`], with the events of the task's service. Returns the task and what is to be written.
pub fn stop_one(
    state: &State,
    task: &Task,
    code: TaskStopCode,
    reason: &str,
    now: Timestamp,
    mint: &mut Mint,
) -> Option<(Task, Vec<Change>)> {
    let stop = stop(state, task, code, reason, now)?;
    let events = leaving(usize::from(stop.task.drains_until().is_some()), &stop.groups);
    let service = told(state, &stop.task, None, &events, now, mint);
    let task = stop.task.clone();
    Some((task, stop.changes().chain(service.map(Change::from)).collect()))
}

/// Events of tasks that leave their groups, `draining` of them with requests under way.
pub fn leaving(draining: usize, groups: &[String]) -> Vec<Event> {
    let begun = (draining > 0).then_some(Event::Draining(draining));
    begun.into_iter().chain(by_group(groups).map(|(group, count)| Event::Deregistered(count, group))).collect()
}

/// Events of tasks that were registered.
pub fn joining(groups: &[String]) -> Vec<Event> {
    by_group(groups).map(|(group, count)| Event::Registered(count, group)).collect()
}

/// How often each group is named.
fn by_group(groups: &[String]) -> impl Iterator<Item = (String, usize)> {
    let mut counts = std::collections::BTreeMap::<&String, usize>::new();
    groups.iter().for_each(|group| *counts.entry(group).or_default() += 1);
    counts.into_iter().map(|(group, count)| (group.clone(), count))
}

/// The task's service with these events told, over what becomes of it anyway.
pub(crate) fn told(
    state: &State,
    task: &Task,
    service: Option<Service>,
    events: &[Event],
    now: Timestamp,
    mint: &mut Mint,
) -> Option<Service> {
    if events.is_empty() {
        return service;
    }
    let known = || state.services.get(&task.service_key()?).map(|known| Service::clone(known));
    let mut service = service.or_else(known)?;
    events.iter().for_each(|event| event.tell(&mut service, now, mint));
    Some(service)
}

/// How a task is by its targets. The worst of them decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Unhealthy,
    /// Nothing is known: it was not checked yet, or nobody forwards to it.
    Waiting,
    Healthy,
}

/// An unhealthy target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// ARN of its group.
    pub group: String,
    pub port: i32,
    /// As `DescribeTargetHealth` describes it.
    pub reason: String,
}

/// Judges tasks by their targets; what it found of groups it keeps.
pub struct Judge<'s> {
    state: &'s State,
    /// By ARN, the balancer of a group that is there and in use.
    balancers: Vec<(String, Option<&'s LoadBalancer>)>,
}

/// Of a target that its balancer has no requests for.
const OTHER_ZONE: &str = "Target is in an Availability Zone that is not enabled for the load balancer";

impl<'s> Judge<'s> {
    pub fn new(state: &'s State) -> Self {
        Self { state, balancers: Vec::new() }
    }

    /// How the task is; none if no load balancer has to do with it.
    pub fn verdict(&mut self, task: &Task) -> Option<Verdict> {
        task.seats().iter().map(|seat| self.seat(task, seat).0).min()
    }

    /// The first of its targets that is unhealthy.
    pub fn complaint(&mut self, task: &Task) -> Option<Complaint> {
        task.seats().iter().find_map(|seat| match self.seat(task, seat) {
            (Verdict::Unhealthy, reason) => {
                let reason = reason.unwrap_or_else(|| "Health checks failed".to_owned());
                Some(Complaint { group: seat.group.clone(), port: seat.port, reason })
            }
            _ => None,
        })
    }

    fn seat(&mut self, task: &Task, seat: &Seat) -> (Verdict, Option<String>) {
        let target = target(self.state, task, seat).filter(|target| target.draining.is_none());
        let (Some(target), Some(balancer)) = (target, self.balancer(&seat.group)) else {
            return (Verdict::Waiting, None);
        };
        if !balancer.is_in(target.zone.as_deref()) {
            return (Verdict::Unhealthy, Some(OTHER_ZONE.to_owned()));
        }
        match target.health.as_ref().map(|health| (health.state, &health.description)) {
            Some((Found::Healthy, _)) => (Verdict::Healthy, None),
            Some((Found::Unhealthy, description)) => (Verdict::Unhealthy, description.clone()),
            _ => (Verdict::Waiting, None),
        }
    }

    fn balancer(&mut self, arn: &str) -> Option<&'s LoadBalancer> {
        if let Some((_, known)) = self.balancers.iter().find(|(known, _)| known == arn) {
            return *known;
        }
        let found = self.find(arn);
        self.balancers.push((arn.to_owned(), found));
        found
    }

    fn find(&self, arn: &str) -> Option<&'s LoadBalancer> {
        let state = self.state;
        balancer::balancer_of(state, &group(state, arn)?.key()).map(AsRef::as_ref)
    }
}
