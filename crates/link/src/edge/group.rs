//! Target groups: who may be given a request, how one of them is chosen, how their health is found out.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A target group. What is absent has AWS's default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetGroup {
    pub protocol: GroupProtocol,
    pub protocol_version: ProtocolVersion,
    pub targets: Vec<Target>,
    pub health_check: HealthCheck,
    pub algorithm: Algorithm,
    /// `load_balancing.algorithm.anomaly_mitigation`; with [`Algorithm::WeightedRandom`].
    pub anomaly_mitigation: bool,
    /// Zero (none) or 30–900.
    pub slow_start_seconds: u32,
    pub stickiness: Stickiness,
    /// 0–3600.
    pub deregistration_delay_seconds: u32,
    /// `deregistration_delay.connection_termination.enabled`: TCP connections end with the delay.
    pub terminate_on_deregistration: bool,
    /// `target_health_state.unhealthy.connection_termination.enabled`: TCP connections end when a target turns unhealthy.
    pub terminate_on_unhealthy: bool,
    /// `proxy_protocol_v2.enabled`; TCP, TLS.
    pub proxy_protocol: bool,
    /// `preserve_client_ip.enabled`; TCP, TLS, and always UDP. Targets see the client's address where they can.
    pub preserve_client_ip: bool,
    /// `load_balancing.cross_zone.enabled`; `None` is as the balancer has it.
    pub cross_zone: Option<bool>,
    pub unhealthy_routing: UnhealthyRouting,
}

impl Default for TargetGroup {
    fn default() -> Self {
        Self {
            protocol: GroupProtocol::Http,
            protocol_version: ProtocolVersion::Http1,
            targets: Vec::new(),
            health_check: HealthCheck::default(),
            algorithm: Algorithm::RoundRobin,
            anomaly_mitigation: false,
            slow_start_seconds: 0,
            stickiness: Stickiness::None,
            deregistration_delay_seconds: 300,
            terminate_on_deregistration: false,
            terminate_on_unhealthy: true,
            proxy_protocol: false,
            preserve_client_ip: false,
            cross_zone: None,
            unhealthy_routing: UnhealthyRouting::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupProtocol {
    #[default]
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProtocolVersion {
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    #[serde(rename = "HTTP2")]
    Http2,
    #[serde(rename = "GRPC")]
    Grpc,
}

/// A target: once it is deregistered, it stays with `draining_since` until its delay is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// As it was registered: an address or an instance's id. With the port it names the target in its group.
    pub id: String,
    pub port: u16,
    /// Where its traffic goes.
    pub address: IpAddr,
    /// `None` is `all`: a target outside the VPC, which is in every zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// Milliseconds since 1970. Of one that was registered again the health is reported again.
    #[serde(default)]
    pub registered_at: i64,
    /// Milliseconds since 1970 that it was deregistered at.
    #[serde(default)]
    pub draining_since: Option<i64>,
}

impl Target {
    /// One that was registered by its address, and is in every zone.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            id: address.ip().to_string(),
            port: address.port(),
            address: address.ip(),
            zone: None,
            registered_at: 0,
            draining_since: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    #[default]
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
}

/// Whether a client stays with its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Stickiness {
    #[default]
    None,
    /// By the balancer's cookie, `AWSALB`; 1–604800 seconds.
    LbCookie { seconds: u32 },
    /// By a cookie of the target's.
    AppCookie(AppCookie),
    /// By the client's address; network load balancers.
    SourceIp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppCookie {
    pub name: String,
    /// 1–604800.
    pub seconds: u32,
}

/// When requests go to all targets, healthy or not: if fewer are healthy than either number. `target_group_health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnhealthyRouting {
    /// `unhealthy_state_routing.minimum_healthy_targets.count`: at least 1.
    pub minimum_count: u32,
    /// `unhealthy_state_routing.minimum_healthy_targets.percentage`: 1–100; `None` is off.
    pub minimum_percent: Option<u32>,
}

impl Default for UnhealthyRouting {
    fn default() -> Self {
        Self { minimum_count: 1, minimum_percent: None }
    }
}

/// How health is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    pub protocol: GroupProtocol,
    /// `None` is `traffic-port`: the target's own.
    pub port: Option<u16>,
    /// HTTP and HTTPS.
    pub path: String,
    /// 5–300.
    pub interval_seconds: u32,
    /// 2–120.
    pub timeout_seconds: u32,
    /// 2–10.
    pub healthy_threshold: u32,
    /// 2–10.
    pub unhealthy_threshold: u32,
    /// Status codes, of gRPC if that is the group's version, that are a success.
    pub matcher: Matcher,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            protocol: GroupProtocol::Http,
            port: None,
            path: "/".to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher(vec![CodeRange { from: 200, to: 200 }]),
        }
    }
}

/// Codes that are a success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher(pub Vec<CodeRange>);

/// Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRange {
    pub from: u16,
    pub to: u16,
}

impl Matcher {
    /// The matcher spelt as the API spells it: `200`, `200,202`, `200-299`, or of both. `None` if it is not of that form, or
    /// a code is outside `least..=most`, or a range runs backwards.
    pub fn parse(text: &str, least: u16, most: u16) -> Option<Self> {
        let code = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code| is_plain && (least..=most).contains(code))
        };
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (code(from)?, code(to)?);
            (from <= to).then_some(CodeRange { from, to })
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Matcher)
    }

    pub fn takes(&self, code: u16) -> bool {
        self.0.iter().any(|range| (range.from..=range.to).contains(&code))
    }
}
