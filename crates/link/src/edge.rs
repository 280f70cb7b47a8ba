//! What an edge, the data plane of load balancers, is given and what it reports.
//!
//! ```text
//! control plane                                     edge
//!   EdgeConfiguration (all of it, with a number) ──►
//!                                                ◄── EdgeReport (number that is served, health of targets, counts)
//! ```
//! A configuration comes whole: an edge that has read one needs nothing else, and goes on with it while the control plane is
//! away. Its `generation` rises with each change; an edge refuses one that is lower than what it has. What does not read, or
//! names what it does not hold ([`EdgeConfiguration::check`]), is refused whole and the last one stays.
//!
//! Words are AWS's: protocols, states and reasons are spelt as the API of Elastic Load Balancing spells them. Left out:
//! values that are regular expressions, transforms of rules, sign-in actions, Lambda targets.

mod group;
mod metrics;
mod report;
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::messages;

pub use group::{
    Algorithm, AppCookie, CodeRange, GroupProtocol, HealthCheck, Matcher, ProtocolVersion, Stickiness, Target,
    TargetGroup, UnhealthyRouting,
};
pub use metrics::{MAX_SERIES, Metrics, ResponseTimes, Series};
pub use report::{EdgeReport, Problem, Reason, TargetHealth, TargetState};
pub use rule::{Action, Condition, QueryPair, Redirect, Rule, WeightedGroup};

/// The block of [`Address`]es inside.
pub use longshore_model::balancer::INSIDE;

/// Listeners of one configuration: each holds a socket.
pub const MAX_LISTENERS: usize = 10_000;

/// Targets of one target group, as AWS has it.
pub const MAX_TARGETS: usize = 1_000;

/// All that an edge serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EdgeConfiguration {
    /// Rises with each change, never falls.
    pub generation: i64,
    pub balancers: Vec<Balancer>,
    /// By ARN. Those that no rule leads to are [`TargetState::Unused`] and not checked.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// By ARN.
    pub certificates: BTreeMap<String, Certificate>,
    /// Where the listeners of all balancers answer, too: a client is led to the balancer that its first request names, and one of
    /// a port that a single listener has to that.
    pub door: Option<IpAddr>,
    /// What cookies of stickiness are sealed with. Without it an edge makes one up, and its cookies hold for itself alone, until
    /// it ends.
    pub cookie_key: Option<CookieKey>,
}

/// Text that holds 32 random bytes or more, in any spelling; the same for all edges, and from one configuration to the next:
/// with another one every client loses its target. A secret: it is in no log and on no disk of an edge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CookieKey(pub String);

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(..)")
    }
}

messages! { EdgeConfiguration, EdgeReport, }

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balancer {
    pub arn: String,
    /// Its DNS name.
    #[serde(default)]
    pub name: String,
    pub kind: BalancerKind,
    /// Whether its scheme is `internal`: a door that other machines reach does not lead to it.
    #[serde(default)]
    pub internal: bool,
    /// What this edge listens on; each listener listens on all of them.
    pub addresses: Vec<Address>,
    #[serde(default)]
    pub attributes: Attributes,
    pub listeners: Vec<Listener>,
}

impl Balancer {
    /// One with AWS's defaults, that listens nowhere yet.
    pub fn new(arn: &str, kind: BalancerKind) -> Self {
        Self {
            arn: arn.to_owned(),
            name: String::new(),
            kind,
            internal: false,
            addresses: Vec::new(),
            attributes: Attributes::of(kind),
            listeners: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BalancerKind {
    Application,
    Network,
}

/// An address of a balancer, and the zone whose targets alone it leads to if there is no balancing across zones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    pub ip: IpAddr,
    pub zone: String,
    /// Whether it is of the network of the targets, not of the machine's.
    #[serde(default)]
    pub inside: bool,
}

/// A balancer's attributes that the data plane reads; what is absent has AWS's default for an application load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attributes {
    /// `idle_timeout.timeout_seconds`: 1–4000.
    pub idle_timeout_seconds: u32,
    /// `client_keep_alive.seconds`: 60–604800.
    pub client_keep_alive_seconds: u32,
    /// `routing.http2.enabled`.
    pub http2: bool,
    /// `routing.http.desync_mitigation_mode`.
    pub desync_mode: DesyncMode,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drop_invalid_header_fields: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserve_host_header: bool,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ForwardedFor,
    /// `routing.http.xff_client_port.enabled`.
    pub forwarded_for_port: bool,
    /// `load_balancing.cross_zone.enabled`: always for an application load balancer, by default not for a network one.
    pub cross_zone: bool,
    /// `access_logs.s3.…`, if it is enabled; an application load balancer's.
    pub access_logs: Option<AccessLogs>,
}

/// Where access logs go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogs {
    pub bucket: String,
    /// None is empty.
    pub prefix: String,
}

impl Attributes {
    /// AWS's defaults for a kind of balancer.
    pub fn of(kind: BalancerKind) -> Self {
        Self { cross_zone: kind == BalancerKind::Application, ..Self::default() }
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            idle_timeout_seconds: 60,
            client_keep_alive_seconds: 3600,
            http2: true,
            desync_mode: DesyncMode::Defensive,
            drop_invalid_header_fields: false,
            preserve_host_header: false,
            forwarded_for: ForwardedFor::Append,
            forwarded_for_port: false,
            cross_zone: true,
            access_logs: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DesyncMode {
    Monitor,
    #[default]
    Defensive,
    Strictest,
}

/// What is done with `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwardedFor {
    /// The client's address is added at the end.
    #[default]
    Append,
    /// It is left as it came.
    Preserve,
    Remove,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    pub arn: String,
    pub port: u16,
    pub protocol: ListenerProtocol,
    /// ARNs of [`EdgeConfiguration::certificates`]; the first is the default, the others are chosen by server name.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// `ELBSecurityPolicy-…`; HTTPS and TLS have one.
    #[serde(default)]
    pub ssl_policy: Option<String>,
    /// `HTTP1Only`, `HTTP2Only`, …; a TLS listener may have one.
    #[serde(default)]
    pub alpn_policy: Option<String>,
    /// `tcp.idle_timeout.seconds`: 60–6000; TCP listeners.
    #[serde(default = "tcp_idle")]
    pub tcp_idle_timeout_seconds: u32,
    /// In order of priority, the lowest first. A network load balancer's listener has none.
    #[serde(default)]
    pub rules: Vec<Rule>,
    pub default_action: Action,
}

fn tcp_idle() -> u32 {
    350
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerProtocol {
    #[serde(rename = "HTTP")]
    Http,
    #[serde(rename = "HTTPS")]
    Https,
    #[serde(rename = "TCP")]
    Tcp,
    #[serde(rename = "TLS")]
    Tls,
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "TCP_UDP")]
    TcpUdp,
}

/// A certificate with its key.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificate {
    /// PEM: the certificate, then those that signed it.
    pub chain: String,
    /// PEM. A secret: it is in no log and on no disk.
    pub private_key: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("generation {had} is served and {came} came")]
    Older { had: i64, came: i64 },
    #[error("{listener} names the target group {group}, which the configuration does not hold")]
    NoGroup { listener: String, group: String },
    #[error("{listener} names the certificate {certificate}, which the configuration does not hold")]
    NoCertificate { listener: String, certificate: String },
    #[error("the listeners {one} and {other} have one address, port and transport")]
    Clash { one: String, other: String },
    #[error("{count} {what} are more than {most}")]
    TooMany { what: &'static str, count: usize, most: usize },
    #[error("{listener} has a protocol that its load balancer does not speak")]
    Protocol { listener: String },
}

impl EdgeConfiguration {
    /// Whether the document holds together: every name it uses is in it, no two listeners share a socket, a listener's
    /// protocol is its balancer's, and its size has bounds.
    ///
    /// # Errors
    /// The first [`Refusal`] found.
    pub fn check(&self) -> Result<(), Refusal> {
        let mut sockets: BTreeMap<(IpAddr, u16, bool), &str> = BTreeMap::new();
        for (balancer, listener) in self.listeners() {
            self.check_listener(balancer, listener)?;
            for (address, udp) in balancer.addresses.iter().flat_map(|address| transports(address, listener)) {
                if let Some(other) = sockets.insert((address, listener.port, udp), &listener.arn) {
                    return Err(Refusal::Clash { one: other.to_owned(), other: listener.arn.clone() });
                }
            }
        }
        at_most("sockets of listeners", sockets.len(), MAX_LISTENERS)?;
        self.target_groups.values().try_for_each(|group| at_most("targets", group.targets.len(), MAX_TARGETS))
    }

    /// Every listener with its balancer.
    pub fn listeners(&self) -> impl Iterator<Item = (&Balancer, &Listener)> {
        self.balancers.iter().flat_map(|balancer| balancer.listeners.iter().map(move |listener| (balancer, listener)))
    }

    /// The target groups that some listener leads to: only these are checked and in use.
    pub fn used_groups(&self) -> BTreeSet<&str> {
        self.listeners().flat_map(|(_, listener)| listener.groups()).collect()
    }

    fn check_listener(&self, balancer: &Balancer, listener: &Listener) -> Result<(), Refusal> {
        let is_web = matches!(listener.protocol, ListenerProtocol::Http | ListenerProtocol::Https);
        if is_web != (balancer.kind == BalancerKind::Application) {
            return Err(Refusal::Protocol { listener: listener.arn.clone() });
        }
        if let Some(group) = listener.groups().find(|group| !self.target_groups.contains_key(*group)) {
            return Err(Refusal::NoGroup { listener: listener.arn.clone(), group: group.to_owned() });
        }
        match listener.certificates.iter().find(|arn| !self.certificates.contains_key(*arn)) {
            Some(arn) => Err(Refusal::NoCertificate { listener: listener.arn.clone(), certificate: arn.clone() }),
            None => Ok(()),
        }
    }
}

fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), Refusal> {
    if count > most { Err(Refusal::TooMany { what, count, most }) } else { Ok(()) }
}

/// An address once for each transport that the listener has there; `true` is UDP.
fn transports(address: &Address, listener: &Listener) -> impl Iterator<Item = (IpAddr, bool)> + use<> {
    let kinds: &[bool] = match listener.protocol {
        ListenerProtocol::Udp => &[true],
        ListenerProtocol::TcpUdp => &[false, true],
        _ => &[false],
    };
    let ip = address.ip;
    kinds.iter().map(move |udp| (ip, *udp))
}

impl Listener {
    /// One with AWS's defaults, that does the same with all that comes.
    pub fn new(arn: &str, port: u16, protocol: ListenerProtocol, default_action: Action) -> Self {
        Self {
            arn: arn.to_owned(),
            port,
            protocol,
            certificates: Vec::new(),
            ssl_policy: None,
            alpn_policy: None,
            tcp_idle_timeout_seconds: tcp_idle(),
            rules: Vec::new(),
            default_action,
        }
    }

    /// The target groups that its actions lead to, as often as they are named.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let actions = self.rules.iter().map(|rule| &rule.action).chain([&self.default_action]);
        actions.flat_map(Action::groups)
    }
}

#[cfg(test)]
mod tests;
