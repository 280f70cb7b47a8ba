//! A listener with all that its requests need, as one configuration says it: what is swapped at once.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use longshore_link::edge::{
    Address, Attributes, Balancer, GroupProtocol, Listener, ListenerProtocol, Stickiness, TargetGroup,
};
use tokio_rustls::rustls::ServerConfig;

use crate::count::Tally;
pub use crate::group::Group;
use crate::http::record::Log;
use crate::route::Ends;
use crate::seal::Seal;

#[derive(Debug)]
pub struct Front {
    pub attributes: Attributes,
    pub listener: Arc<Listener>,
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
    /// Of its requests.
    pub log: Option<Log>,
}

/// What a front is given beside its part of the configuration.
#[derive(Clone, Debug)]
pub struct Means {
    pub tls: Option<Arc<ServerConfig>>,
    pub seal: Arc<Seal>,
    pub tally: Arc<Tally>,
    pub log: Option<Log>,
}

impl Front {
    pub fn new(
        balancer: &Balancer,
        listener: &Arc<Listener>,
        address: &Address,
        groups: &BTreeMap<String, Arc<Group>>,
        means: Means,
    ) -> Self {
        let Means { tls, seal, tally, log } = means;
        let own = |arn: &str| groups.get(arn).map(|group| (arn.to_owned(), group.clone()));
        Self {
            attributes: balancer.attributes.clone(),
            listener: listener.clone(),
            zone: address.zone.clone(),
            groups: listener.groups().filter_map(own).collect(),
            tls,
            seal,
            tally,
            log,
        }
    }

    /// To how many of its groups it leads to a healthy target.
    pub fn well(&self) -> usize {
        self.groups.values().filter(|group| group.is_well(self)).count()
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

/// A number for a client, by its address.
pub fn client_hash(client: IpAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    client.to_canonical().hash(&mut hasher);
    hasher.finish()
}

/// A number for a flow: of its transport and both ends, or with stickiness the address of the client alone.
pub fn flow_hash(stickiness: &Stickiness, ends: Ends) -> u64 {
    let Ends { transport, client, local } = ends;
    if *stickiness == Stickiness::SourceIp {
        return client_hash(client.ip());
    }
    let mut hasher = DefaultHasher::new();
    (transport, client.ip().to_canonical(), client.port(), local.ip(), local.port()).hash(&mut hasher);
    hasher.finish()
}
