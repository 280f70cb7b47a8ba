//! Links, addresses, routes and rules of routing of one network namespace, by rtnetlink.
//!
//! [`Links::apply`] sends any number of [`Step`]s in one system call; the kernel works them off in order and stops at none,
//! so a caller that gets an error throws the namespace away.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::Ipv4Net;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc::{EEXIST, ENODEV};
use nix::sys::socket::SockProtocol;

use super::error::{Doing, Error};
use super::netlink::Netlink;

/// The index of `lo` in every namespace.
pub(super) const LOOPBACK: u32 = 1;

/// The kernel's table of addresses that are its own.
pub(super) const LOCAL: u8 = 255;

/// Where rules of our own come among the kernel's: after addresses that are its own (0), before all other routes (32766).
const RULE_PRIORITY: u32 = 100;

/// The links of the namespace this was opened in.
pub(super) struct Links {
    netlink: Netlink,
}

/// A link as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mac: Vec<u8>,
    /// Of a veth: the index of its other end, in that end's namespace.
    pub(super) peer: Option<u32>,
    /// Whether packets pass: it is up, and so is what it is connected to.
    pub(super) operational: bool,
}

/// A route to `destination`; `link` is none for routes that lead nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: Ipv4Net,
    pub(super) link: Option<u32>,
}

/// The other end of a veth pair to be made.
pub(super) struct Peer<'a> {
    pub(super) name: &'a str,
    pub(super) netns: BorrowedFd<'a>,
    /// The index it shall have; 0 lets the kernel choose.
    pub(super) index: u32,
}

/// One change to a namespace: what is done, in words for an error, and the message that does it.
pub(super) struct Step {
    doing: String,
    flags: u16,
    message: RouteNetlinkMessage,
    /// The error number that means it was so before.
    fine: Option<i32>,
}

impl Links {
    /// Opens the calling thread's namespace.
    pub(super) fn open() -> Result<Self, Error> {
        let netlink = Netlink::open(SockProtocol::NetlinkRoute).doing(|| "open a netlink socket".into())?;
        Ok(Links { netlink })
    }

    /// Does all steps, in order. Reports the first that failed.
    pub(super) fn apply(&mut self, steps: Vec<Step>) -> Result<(), Error> {
        let (mut bytes, mut sequences) = (Vec::with_capacity(256), Vec::with_capacity(steps.len()));
        for step in &steps {
            let sequence = self.netlink.next_sequence();
            append(&mut bytes, sequence, NLM_F_ACK | step.flags, step.message.clone());
            sequences.push(sequence);
        }
        let Err(refusal) = self.netlink.exchange(&bytes, &sequences) else {
            return Ok(());
        };
        let step = &steps[refusal.message];
        Err(Error::system(step.doing.clone(), refusal.source))
    }

    /// Does the steps one by one and passes over those whose effect is there already.
    pub(super) fn ensure(&mut self, steps: Vec<Step>) -> Result<(), Error> {
        for step in steps {
            let fine = step.fine;
            match self.apply(vec![step]) {
                Err(error) if error.errno().is_some() && error.errno() == fine => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The link of that name, if there is one.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        match self.ask(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(link_of)),
            Err(error) if error.errno() == Some(ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether packets pass the link of that index: it is up, and so is what it is connected to.
    pub(super) fn is_operational(&mut self, index: u32) -> Result<bool, Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let answers = self.ask(RouteNetlinkMessage::GetLink(message), 0)?;
        Ok(answers.into_iter().find_map(link_of).is_some_and(|link| link.operational))
    }

    /// The link of that name, which must be there.
    pub(super) fn get(&mut self, name: &str) -> Result<Link, Error> {
        self.find(name)?.ok_or_else(|| Error::system(format!("find link {name}"), nix::errno::Errno::ENODEV))
    }

    /// The IPv4 addresses of a link, with their prefix lengths.
    pub(super) fn addresses(&mut self, link: u32) -> Result<Vec<Ipv4Net>, Error> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let answers = self.ask(RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(|answer| address_of(answer, link)).collect())
    }

    /// The IPv4 routes of the main table, the default route left out.
    pub(super) fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let answers = self.ask(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(route_of).collect())
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>, Error> {
        let sequence = self.netlink.next_sequence();
        let mut bytes = Vec::new();
        append(&mut bytes, sequence, flags, message);
        let answers = self.netlink.ask(&bytes, sequence, flags & NLM_F_DUMP != 0).doing(|| "ask rtnetlink".into())?;
        let decoded = answers.iter().filter_map(|answer| NetlinkMessage::deserialize(answer).ok());
        Ok(decoded
            .filter_map(|answer| match answer.payload {
                NetlinkPayload::InnerMessage(message) => Some(message),
                _ => None,
            })
            .collect())
    }
}

impl Step {
    fn new(doing: String, flags: u16, message: RouteNetlinkMessage) -> Self {
        Step { doing, flags, message, fine: None }
    }

    /// Makes a bridge without spanning tree, with a fixed `mac`, and brings it up.
    pub(super) fn bridge(name: &str, mac: [u8; 6]) -> Self {
        let mut message = up(0);
        let data = InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)]);
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(data)]),
        ];
        Self::create(format!("make bridge {name}"), RouteNetlinkMessage::NewLink(message))
    }

    /// Makes a veth pair: `name` here (a `%d` in it is numbered by the kernel), the other end in the peer's namespace. With
    /// `bridge`, the near end becomes a port of the bridge of that index. The near end is up; the kernel brings the far end
    /// up only once the pair is made.
    pub(super) fn veth(name: &str, peer: &Peer<'_>, bridge: Option<u32>) -> Self {
        let mut far = LinkMessage::default();
        far.header.index = peer.index;
        far.attributes = vec![LinkAttribute::IfName(peer.name.into()), LinkAttribute::NetNsFd(peer.netns.as_raw_fd())];
        let mut message = up(0);
        let data = InfoData::Veth(InfoVeth::Peer(far));
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(data)]),
        ];
        message.attributes.extend(bridge.map(LinkAttribute::Controller));
        Self::create(format!("make veth pair {name}, {}", peer.name), RouteNetlinkMessage::NewLink(message))
    }

    /// Brings a link up.
    pub(super) fn up(link: u32) -> Self {
        Self::new(format!("bring link {link} up"), 0, RouteNetlinkMessage::SetLink(up(link)))
    }

    /// Gives a link its hardware address.
    pub(super) fn mac(link: u32, mac: [u8; 6]) -> Self {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        Self::new(format!("set the hardware address of link {link}"), 0, RouteNetlinkMessage::SetLink(message))
    }

    /// Deletes a link.
    pub(super) fn delete(link: &Link) -> Self {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        let mut step = Self::new(format!("delete link {}", link.name), 0, RouteNetlinkMessage::DelLink(message));
        step.fine = Some(ENODEV);
        step
    }

    /// Adds an address to a link.
    pub(super) fn address(link: u32, address: Ipv4Net) -> Self {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = address.prefix_len();
        message.header.scope = if link == LOOPBACK { AddressScope::Host } else { AddressScope::Universe };
        message.header.index = link;
        let ip = IpAddr::V4(address.addr());
        message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        if address.prefix_len() < 31 {
            message.attributes.push(AddressAttribute::Broadcast(address.broadcast()));
        }
        Self::create(format!("add address {address} to link {link}"), RouteNetlinkMessage::NewAddress(message))
    }

    /// Routes `destination` over a link, by `gateway` if there is one; replaces what was there.
    pub(super) fn route(destination: Ipv4Net, link: u32, gateway: Option<Ipv4Addr>) -> Self {
        let mut message = route(destination, RouteType::Unicast);
        message.attributes.push(RouteAttribute::Oif(link));
        message.attributes.extend(gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::Inet(ip))));
        if gateway.is_none() {
            message.header.scope = RouteScope::Link;
        }
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        Self::new(format!("route {destination}"), flags, RouteNetlinkMessage::NewRoute(message))
    }

    /// Takes every address of `destination` for one of this namespace's own, as a route of a table; [`LOCAL`] is looked into
    /// for every packet.
    pub(super) fn local(destination: Ipv4Net, table: u8) -> Self {
        let mut message = route(destination, RouteType::Local);
        message.header.table = table;
        message.header.scope = RouteScope::Host;
        message.attributes.push(RouteAttribute::Oif(LOOPBACK));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        Self::new(format!("take {destination} for local"), flags, RouteNetlinkMessage::NewRoute(message))
    }

    /// Looks into a table for packets that come by a link and have been marked.
    pub(super) fn rule(link: &str, mark: u32, table: u8) -> Self {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.table = table;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Iifname(link.into()),
            RuleAttribute::FwMark(mark),
            RuleAttribute::Priority(RULE_PRIORITY),
        ];
        Self::create(format!("route marked packets by table {table}"), RouteNetlinkMessage::NewRule(message))
    }

    /// Answers packets to `destination` with "unreachable", unless a narrower route knows better.
    pub(super) fn unreachable(destination: Ipv4Net) -> Self {
        let message = RouteNetlinkMessage::NewRoute(route(destination, RouteType::Unreachable));
        Self::new(format!("make {destination} unreachable"), NLM_F_CREATE | NLM_F_REPLACE, message)
    }

    fn create(doing: String, message: RouteNetlinkMessage) -> Self {
        let mut step = Self::new(doing, NLM_F_CREATE | NLM_F_EXCL, message);
        step.fine = Some(EEXIST);
        step
    }
}

fn up(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn route(destination: Ipv4Net, kind: RouteType) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = destination.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = kind;
    if destination.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(destination.network())));
    }
    message
}

fn append(bytes: &mut Vec<u8>, sequence: u32, flags: u16, message: RouteNetlinkMessage) {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..]);
}

fn link_of(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else {
        return None;
    };
    let index = message.header.index;
    let mut link = Link { index, name: String::new(), mac: Vec::new(), peer: None, operational: false };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::OperState(state) => link.operational = state == State::Up,
            _ => {}
        }
    }
    Some(link)
}

fn address_of(message: RouteNetlinkMessage, link: u32) -> Option<Ipv4Net> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
        _ => None,
    })?;
    (message.header.index == link).then(|| Ipv4Net::new(local, message.header.prefix_len).ok())?
}

fn route_of(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    if message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(*ip),
        _ => None,
    })?;
    let link = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(link) => Some(*link),
        _ => None,
    });
    Some(Route { destination: Ipv4Net::new(destination, message.header.destination_prefix_length).ok()?, link })
}
