//! A listener with all that its requests need, as one configuration says it: what is swapped at once.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore_link::edge::{
    Address, Attributes, Balancer, GroupProtocol, Listener, ListenerProtocol, Stickiness, Target, TargetGroup,
};

use tokio_rustls::rustls::ServerConfig;

use crate::chance;
use crate::choose::{self, Candidate};
use crate::count::Tally;
use crate::http::sticky::{self, Name};
use crate::member::{Busy, Member};
use crate::route::Ends;
use crate::seal::Seal;

/// A target group with its targets. `members` are in the order of the targets of `group`.
#[derive(Debug)]
pub struct Group {
    pub arn: String,
    pub group: TargetGroup,
    pub members: Vec<Arc<Member>>,
    /// The places of targets, for groups whose clients stay with theirs.
    names: HashMap<Name, usize>,
    pub tally: Arc<Tally>,
    turn: AtomicUsize,
}

impl Group {
    pub fn new(arn: &str, group: TargetGroup, members: Vec<Arc<Member>>, tally: Arc<Tally>) -> Self {
        let named = |(place, target): (usize, &Target)| (sticky::name(&target.id, target.port), place);
        let names = match group.stickiness {
            Stickiness::LbCookie { .. } | Stickiness::AppCookie(_) => {
                group.targets.iter().enumerate().map(named).collect()
            }
            Stickiness::None | Stickiness::SourceIp => HashMap::new(),
        };
        Self { arn: arn.to_owned(), group, members, tally, names, turn: AtomicUsize::new(0) }
    }

    /// The target of this name, which is counted as busy. `None` if there is none that may be chosen.
    pub fn choose_named(&self, front: &Front, name: &[u8]) -> Option<Busy> {
        let member = self.members.get(*self.names.get(name)?)?;
        let may = self.eligible(front).any(|other| Arc::ptr_eq(other, member));
        if !may || !(member.is_healthy() || self.fails_open(front)) {
            return None;
        }
        Some(member.begin()).filter(|busy| !busy.member().is_draining())
    }

    /// The target of the next request, which is counted as busy. `None` if none is registered that may be chosen, or the one
    /// that was chosen has been deregistered meanwhile.
    pub fn choose(&self, front: &Front) -> Option<Busy> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.pick(front, |candidates| {
            choose::target(self.group.algorithm, candidates, self.group.unhealthy_routing, turn, chance::number())
        })
    }

    /// The target of a flow: the same for the same flow as long as the group stays as it is.
    pub fn choose_by(&self, front: &Front, flow: u64) -> Option<Busy> {
        let turn = usize::try_from(flow % u64::from(u32::MAX)).unwrap_or(0);
        let algorithm = longshore_link::edge::Algorithm::RoundRobin;
        self.pick(front, |candidates| choose::target(algorithm, candidates, self.group.unhealthy_routing, turn, flow))
    }

    /// Whether requests go to targets that are not healthy, because too few are.
    pub fn fails_open(&self, front: &Front) -> bool {
        let candidates: Vec<Candidate> = self.eligible(front).map(candidate).collect();
        choose::fails_open(&candidates, self.group.unhealthy_routing)
    }

    fn pick(&self, front: &Front, choose: impl Fn(&[Candidate]) -> Option<usize>) -> Option<Busy> {
        let eligible: Vec<&Arc<Member>> = self.eligible(front).collect();
        let candidates: Vec<Candidate> = eligible.iter().copied().map(candidate).collect();
        let busy = choose(&candidates).and_then(|place| eligible.get(place)).map(|member| member.begin());
        busy.filter(|busy| !busy.member().is_draining())
    }

    /// Targets that are registered, and of the zone unless requests cross zones.
    fn eligible<'g>(&'g self, front: &'g Front) -> impl Iterator<Item = &'g Arc<Member>> {
        let cross = self.group.cross_zone.unwrap_or(front.attributes.cross_zone);
        let here = move |target: &Target| cross || target.zone.as_ref().is_none_or(|zone| *zone == front.zone);
        let members = self.members.iter().zip(&self.group.targets);
        members
            .filter(move |(member, target)| !member.is_draining() && target.draining_since.is_none() && here(target))
            .map(|(member, _)| member)
    }
}

fn candidate(member: &Arc<Member>) -> Candidate {
    Candidate { healthy: member.is_healthy(), outstanding: member.outstanding() }
}

#[derive(Debug)]
pub struct Front {
    pub attributes: Attributes,
    pub listener: Listener,
    /// The zone of the address that it listens on.
    pub zone: String,
    /// By ARN: those that its actions lead to.
    pub groups: BTreeMap<String, Arc<Group>>,
    /// For listeners of HTTPS and TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// For cookies.
    pub seal: Arc<Seal>,
    /// Of its balancer.
    pub tally: Arc<Tally>,
}

impl Front {
    pub fn new(
        balancer: &Balancer,
        listener: &Listener,
        address: &Address,
        groups: &BTreeMap<String, Arc<Group>>,
        tls: Option<Arc<ServerConfig>>,
        seal: &Arc<Seal>,
        tally: Arc<Tally>,
    ) -> Self {
        let own = |arn: &str| groups.get(arn).map(|group| (arn.to_owned(), group.clone()));
        Self {
            attributes: balancer.attributes.clone(),
            listener: listener.clone(),
            zone: address.zone.clone(),
            groups: listener.groups().filter_map(own).collect(),
            tls,
            seal: seal.clone(),
            tally,
        }
    }

    /// Whether it speaks HTTP.
    pub fn is_web(&self) -> bool {
        matches!(self.listener.protocol, ListenerProtocol::Http | ListenerProtocol::Https)
    }
}

/// Why a listener cannot be served; `None` if it can.
pub fn unserved(listener: &Listener, groups: &BTreeMap<String, TargetGroup>) -> Option<String> {
    let used = || listener.groups().filter_map(|arn| groups.get(arn));
    if let Some(group) = used().find(|group| !fits(listener.protocol, group.protocol)) {
        return Some(format!("target groups of protocol {:?} are not served here", group.protocol));
    }
    let mut checks = used().map(|group| group.health_check.protocol);
    let other =
        checks.find(|protocol| !matches!(protocol, GroupProtocol::Http | GroupProtocol::Https | GroupProtocol::Tcp));
    other.map(|protocol| format!("health checks of protocol {protocol:?} are not served"))
}

/// Whether a listener may lead to a group.
fn fits(listener: ListenerProtocol, group: GroupProtocol) -> bool {
    match listener {
        ListenerProtocol::Http | ListenerProtocol::Https => matches!(group, GroupProtocol::Http | GroupProtocol::Https),
        ListenerProtocol::Tcp => matches!(group, GroupProtocol::Tcp | GroupProtocol::TcpUdp),
        ListenerProtocol::Tls => matches!(group, GroupProtocol::Tcp | GroupProtocol::Tls),
        ListenerProtocol::Udp => matches!(group, GroupProtocol::Udp | GroupProtocol::TcpUdp),
        ListenerProtocol::TcpUdp => group == GroupProtocol::TcpUdp,
    }
}

/// A number for a flow: of its transport and both ends, or with stickiness the address of the client alone.
pub fn flow_hash(stickiness: &Stickiness, ends: Ends) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Ends { transport, client, local } = ends;
    let ip: IpAddr = client.ip().to_canonical();
    match stickiness {
        Stickiness::SourceIp => ip.hash(&mut hasher),
        _ => (transport, ip, client.port(), local.ip(), local.port()).hash(&mut hasher),
    }
    hasher.finish()
}
