//! A listener with all that its requests need, as one configuration says it: what is swapped at once.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use longshore_link::edge::{
    Address, Attributes, Balancer, GroupProtocol, Listener, ListenerProtocol, Stickiness, TargetGroup,
};
use tokio_rustls::rustls::ServerConfig;

pub use crate::group::Group;
use crate::seal::Seal;

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
}

impl Front {
    pub fn new(
        balancer: &Balancer,
        listener: &Listener,
        address: &Address,
        groups: &BTreeMap<String, Arc<Group>>,
        tls: Option<Arc<ServerConfig>>,
        seal: &Arc<Seal>,
    ) -> Self {
        let own = |arn: &str| groups.get(arn).map(|group| (arn.to_owned(), group.clone()));
        Self {
            attributes: balancer.attributes.clone(),
            listener: listener.clone(),
            zone: address.zone.clone(),
            groups: listener.groups().filter_map(own).collect(),
            tls,
            seal: seal.clone(),
        }
    }

    /// Whether it speaks HTTP.
    pub fn is_web(&self) -> bool {
        matches!(self.listener.protocol, ListenerProtocol::Http | ListenerProtocol::Https)
    }
}

/// Why a listener cannot be served; `None` if it can.
pub fn unserved(listener: &Listener, groups: &BTreeMap<String, TargetGroup>) -> Option<String> {
    use ListenerProtocol::{Http, Https, Tcp, TcpUdp, Tls, Udp};
    if matches!(listener.protocol, Udp | TcpUdp) {
        return Some(format!("listeners of protocol {:?} are not served", listener.protocol));
    }
    let wanted: &[GroupProtocol] = match listener.protocol {
        Http | Https => &[GroupProtocol::Http, GroupProtocol::Https],
        Tcp | Tls | TcpUdp | Udp => &[GroupProtocol::Tcp],
    };
    let used = || listener.groups().filter_map(|arn| groups.get(arn));
    if let Some(group) = used().find(|group| !wanted.contains(&group.protocol)) {
        return Some(format!("target groups of protocol {:?} are not served here", group.protocol));
    }
    let mut checks = used().map(|group| group.health_check.protocol);
    let other =
        checks.find(|protocol| !matches!(protocol, GroupProtocol::Http | GroupProtocol::Https | GroupProtocol::Tcp));
    other.map(|protocol| format!("health checks of protocol {protocol:?} are not served"))
}

/// A number for a flow: of both ends, or with stickiness by address of the client alone.
pub fn flow_hash(stickiness: &Stickiness, client: SocketAddr, local: SocketAddr) -> u64 {
    let mut hasher = DefaultHasher::new();
    let ip: IpAddr = client.ip().to_canonical();
    match stickiness {
        Stickiness::SourceIp => ip.hash(&mut hasher),
        _ => ("tcp", ip, client.port(), local.ip(), local.port()).hash(&mut hasher),
    }
    hasher.finish()
}
