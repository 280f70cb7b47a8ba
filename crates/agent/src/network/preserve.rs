//! Connections of the edge by which a task sees the client's own address.
//!
//! ```text
//!   socket with the client's address ──► mark ──► of the connection ──► vpc0 ──► task
//!                                   ◄── local ◄── rule, table ◄── mark ◄── vpc0 ◄── answers to the client's address
//! ```
//! A task sends its answers to its gateway, which is the router, where they are known by their connection, get its mark and
//! are taken for the router's own by a table of routes that only marked packets see. It is the connection and not the
//! address that decides: what a task says to the same client otherwise, by its public address say, goes its way.
//!
//! Made once with the router's namespace, gone with it. Where the kernel lacks a part of it (marks of connections, policy
//! routing, transparent sockets), all targets see the balancer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use ipnet::Ipv4Net;
use longshore_edge::Ends;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};

use super::error::{Doing, Error};
use super::link::{Links, Step};
use super::names::BRIDGE;
use super::namespace::{inside, set_sysctl};
use super::rules;
use super::slice;
use super::spec::{NetworkConfig, balancers};

/// The mark of such sockets, connections and answers.
const MARK: u32 = 0x4c53;

/// The table of routes that marked answers see.
const TABLE: u8 = 100;

/// Brings answers back to the sockets, in the router's namespace; whether this kernel can. Idempotent.
pub(super) fn prepare(netns: &OwnedFd) -> bool {
    let prepared = inside(netns.as_fd(), || {
        let trial =
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(io::Error::from);
        trial.and_then(|trial| dress(&trial)).doing(|| "make a transparent socket".into())?;
        rules::apply(&rules::preserving(MARK))?;
        // Or a packet that is to be passed on would go to a socket that has the same addresses and ports.
        set_sysctl("net/ipv4/ip_early_demux", "0")?;
        let mut links = Links::open()?;
        links.ensure(vec![Step::local(Ipv4Net::default(), TABLE), Step::rule(BRIDGE, MARK, TABLE)])
    });
    let told =
        |error: &Error| tracing::warn!(%error, "targets of load balancers cannot be shown clients' addresses here");
    prepared.inspect_err(told).is_ok()
}

/// Lets a socket of the router's namespace have any address, and its answers come back.
pub(super) fn dress(socket: &OwnedFd) -> io::Result<()> {
    setsockopt(socket, sockopt::IpTransparent, &true)?;
    setsockopt(socket, sockopt::Mark, &MARK)?;
    Ok(())
}

/// Who can be shown to whom.
pub(super) struct Reach {
    vpc: Ipv4Net,
    subnets: Vec<Ipv4Net>,
}

impl Reach {
    pub(super) fn new(config: &NetworkConfig) -> Self {
        Self { vpc: config.vpc_cidr, subnets: config.subnets.clone() }
    }

    /// Whether a target's answers to the client come by the router, and the client is who it says.
    ///
    /// A target is in a subnet of the VPC. It answers its neighbours past the router. An address of the VPC is believed where
    /// only tasks can ask, since no task has another's, and addresses that a machine uses within itself are never shown.
    pub(super) fn shows(&self, ends: Ends, target: SocketAddr) -> bool {
        let (IpAddr::V4(client), IpAddr::V4(target)) = (ends.client.ip().to_canonical(), target.ip()) else {
            return false;
        };
        let Some(subnet) = self.subnets.iter().find(|subnet| subnet.contains(&target)) else { return false };
        match self.vpc.contains(&client) {
            true => is_inside(ends.local.ip()) && !subnet.contains(&client),
            false => is_of_a_network(client),
        }
    }
}

/// Whether only tasks reach this address of a balancer's.
fn is_inside(local: IpAddr) -> bool {
    matches!(local.to_canonical(), IpAddr::V4(ip) if balancers().contains(&ip))
}

/// Whether machines have such addresses to each other.
fn is_of_a_network(ip: Ipv4Addr) -> bool {
    let [first, ..] = ip.octets();
    let is_within = ip.is_loopback() || ip.is_link_local() || slice::block().contains(&ip);
    (1..224).contains(&first) && !is_within
}

#[cfg(test)]
mod tests {
    use longshore_edge::Transport;

    use super::*;

    #[test]
    fn a_client_is_shown_where_answers_come_by_the_router() {
        let block = |text: &str| text.parse().unwrap();
        let reach =
            Reach { vpc: block("172.31.0.0/16"), subnets: vec![block("172.31.0.0/20"), block("172.31.16.0/20")] };
        for (client, local, target, expected) in [
            ("203.0.113.9", "192.0.2.1", "172.31.0.10", true),
            ("10.1.2.3", "127.64.0.1", "172.31.16.10", true),
            ("[::ffff:203.0.113.9]", "[::ffff:192.0.2.1]", "172.31.0.10", true),
            ("[2001:db8::9]", "[2001:db8::1]", "172.31.0.10", false),
            ("203.0.113.9", "192.0.2.1", "10.9.9.9", false),
            ("203.0.113.9", "192.0.2.1", "172.31.32.10", false),
            ("127.0.0.1", "127.64.0.1", "172.31.0.10", false),
            ("172.31.16.7", "240.64.0.1", "172.31.0.10", true),
            ("172.31.0.7", "240.64.0.1", "172.31.0.10", false),
            ("172.31.0.10", "240.64.0.1", "172.31.0.10", false),
            ("172.31.16.7", "192.0.2.1", "172.31.0.10", false),
            ("169.254.170.2", "192.0.2.1", "172.31.0.10", false),
            ("198.18.7.0", "192.0.2.1", "172.31.0.10", false),
            ("198.19.7.9", "192.0.2.1", "172.31.0.10", false),
            ("0.0.0.0", "192.0.2.1", "172.31.0.10", false),
            ("224.0.0.1", "192.0.2.1", "172.31.0.10", false),
            ("240.64.0.1", "240.64.0.1", "172.31.0.10", false),
            ("255.255.255.255", "192.0.2.1", "172.31.0.10", false),
        ] {
            let address = |ip: &str| format!("{ip}:80").parse::<SocketAddr>().unwrap();
            let ends = Ends { transport: Transport::Tcp, client: address(client), local: address(local) };
            assert_eq!(reach.shows(ends, address(target)), expected, "{client} by {local} to {target}");
        }
    }
}
