//! The router namespace: the whole VPC of one instance, with the bridge that joins its tasks and the addresses of the
//! resolver and of the metadata endpoint.
//!
//! A namespace of its own lets instances with the same address block live side by side, keeps the tasks' bridge out of reach
//! of the host's bridge filters, and takes everything with it when it goes.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use ipnet::Ipv4Net;
use nix::sys::socket::{Backlog, listen};

use super::error::{Doing, Error};
use super::link::{LOCAL, LOOPBACK, Links, Step};
use super::names::{BRIDGE, Names};
use super::namespace::{self, inside, set_sysctl};
use super::rules;
use super::slice::Slice;
use super::spec::{NetworkConfig, TASK_METADATA, balancers, gateway};

const DNS_PORT: u16 = 53;

/// The settings of the namespace. It never sends redirects (tasks of different subnets share a link but must not talk past
/// the gateway), and bridged frames do not pass the routed rules.
const SETTINGS: [(&str, &str); 6] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
];

/// The resolver's sockets, bound inside the router namespace.
pub(super) struct ResolverSockets {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
}

/// Makes the namespace, or finds it, and puts everything in it except the transit link. Idempotent.
pub(super) fn prepare(config: &NetworkConfig, names: &Names, slice: Slice) -> Result<OwnedFd, Error> {
    let netns = namespace::pin(&names.router())?;
    inside(netns.as_fd(), || {
        SETTINGS.iter().try_for_each(|(key, value)| set_sysctl(key, value))?;
        let mut links = Links::open()?;
        links.ensure(vec![Step::up(LOOPBACK), Step::bridge(BRIDGE, names.bridge_mac())])?;
        let bridge = links.get(BRIDGE)?.index;
        links.ensure(vec![Step::up(bridge)])?;
        links.ensure(addresses(config).into_iter().map(|address| Step::address(bridge, address)).collect())?;
        links.ensure(vec![
            Step::unreachable(config.vpc_cidr),
            Step::unreachable(slice.public()),
            Step::local(balancers(), LOCAL),
        ])?;
        apply_rules(&config.resolvers())
    })?;
    Ok(netns)
}

/// Binds the resolver's sockets on every resolver address, UDP and TCP.
pub(super) fn bind_resolver(config: &NetworkConfig, netns: &OwnedFd) -> Result<ResolverSockets, Error> {
    inside(netns.as_fd(), || {
        let mut sockets = ResolverSockets { udp: Vec::new(), tcp: Vec::new() };
        for ip in config.resolvers() {
            let address = SocketAddrV4::new(ip, DNS_PORT);
            let doing = || format!("bind the resolver to {address}");
            let udp = patiently(|| UdpSocket::bind(address)).doing(doing)?;
            let tcp = patiently(|| TcpListener::bind(address)).doing(doing)?;
            udp.set_nonblocking(true).doing(doing)?;
            tcp.set_nonblocking(true).doing(doing)?;
            sockets.udp.push(udp);
            sockets.tcp.push(tcp);
        }
        Ok(sockets)
    })
}

/// Listens on the address that every task reaches.
pub(super) fn bind_service(names: &Names, port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddrV4::new(TASK_METADATA, port);
    let doing = || format!("listen on {address}");
    let gone = || Error::system(doing(), io::Error::from(io::ErrorKind::NotFound));
    let netns = namespace::pinned(&names.router())?.ok_or_else(gone)?;
    inside(netns.as_fd(), || {
        let listener = patiently(|| TcpListener::bind(address)).doing(doing)?;
        listen(&listener, Backlog::MAXCONN).doing(doing)?;
        listener.set_nonblocking(true).doing(doing)?;
        Ok(listener)
    })
}

/// Tries again while an address is in use, for a second: an agent that is being replaced may still be closing.
fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..20 {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                thread::sleep(Duration::from_millis(50));
            }
            other => return other,
        }
    }
    bind()
}

/// Puts the rules in place. Elements of running tasks stay, unless the tables are of a form this version cannot go on with.
fn apply_rules(resolvers: &[Ipv4Addr]) -> Result<(), Error> {
    let script = rules::router(resolvers);
    let Err(error) = rules::apply(&script) else {
        return Ok(());
    };
    tracing::warn!(%error, "the router's rules cannot be kept; starting over with empty tables");
    rules::apply(&format!("flush ruleset\n{script}"))
}

/// Every gateway with its subnet, the resolvers and the metadata endpoint.
fn addresses(config: &NetworkConfig) -> Vec<Ipv4Net> {
    let gateways = config.subnets.iter().map(|subnet| Ipv4Net::new_assert(gateway(*subnet), subnet.prefix_len()));
    let services = config.resolvers().into_iter().chain([TASK_METADATA]).map(Ipv4Net::from);
    gateways.chain(services).collect()
}
