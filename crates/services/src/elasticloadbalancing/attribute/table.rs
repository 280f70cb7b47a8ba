//! Every attribute: its key, its value at first, the values it may have, and what may have it.

/// The values that an attribute may have.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `true`, `false`.
    Flag,
    /// A whole number, both ends included.
    Number(i64, i64),
    /// A whole number, both ends included, or this word.
    NumberOr(i64, i64, &'static str),
    OneOf(&'static [&'static str]),
    /// So many characters, none too.
    Text(usize),
}

/// What may have an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Application,
    Network,
    Both,
}

#[derive(Debug)]
pub struct Attribute {
    pub key: &'static str,
    pub usual: &'static str,
    pub form: Form,
    pub kind: Kind,
    /// Whether something acts on it. What nothing acts on has its value at first and no other.
    pub is_built: bool,
}

const fn new(key: &'static str, usual: &'static str, form: Form, kind: Kind) -> Attribute {
    Attribute { key, usual, form, kind, is_built: true }
}

/// One that nothing acts on.
const fn shown(key: &'static str, usual: &'static str, form: Form, kind: Kind) -> Attribute {
    Attribute { key, usual, form, kind, is_built: false }
}

use Form::{Flag, Number, NumberOr, OneOf, Text};
use Kind::{Application, Both, Network};

const BUCKET: Form = Text(255);
const PREFIX: Form = Text(1024);

/// Of load balancers.
pub static BALANCER: &[Attribute] = &[
    new(ACCESS_LOGS, "false", Flag, Application),
    shown(ACCESS_LOGS, "false", Flag, Network),
    new(ACCESS_BUCKET, "", BUCKET, Both),
    new(ACCESS_PREFIX, "", PREFIX, Both),
    new("client_keep_alive.seconds", "3600", Number(60, 604_800), Application),
    shown("connection_logs.s3.enabled", "false", Flag, Application),
    new(CONNECTION_BUCKET, "", BUCKET, Application),
    new(CONNECTION_PREFIX, "", PREFIX, Application),
    new("deletion_protection.enabled", "false", Flag, Both),
    shown("dns_record.client_routing_policy", "any_availability_zone", OneOf(ROUTING), Network),
    new("idle_timeout.timeout_seconds", "60", Number(1, 4000), Application),
    shown("ipv6.deny_all_igw_traffic", "false", Flag, Both),
    new(CROSS_ZONE, "true", OneOf(&["true"]), Application),
    new(CROSS_ZONE, "false", Flag, Network),
    new("routing.http.desync_mitigation_mode", "defensive", OneOf(&["monitor", "defensive", "strictest"]), Application),
    new("routing.http.drop_invalid_header_fields.enabled", "false", Flag, Application),
    new("routing.http.preserve_host_header.enabled", "false", Flag, Application),
    shown("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Flag, Application),
    new("routing.http.xff_client_port.enabled", "false", Flag, Application),
    new("routing.http.xff_header_processing.mode", "append", OneOf(&["append", "preserve", "remove"]), Application),
    new("routing.http2.enabled", "true", Flag, Application),
    shown("waf.fail_open.enabled", "false", Flag, Application),
    shown("zonal_shift.config.enabled", "false", Flag, Both),
];

const ROUTING: &[&str] = &["any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"];

const ALGORITHMS: &[&str] = &["round_robin", "least_outstanding_requests", "weighted_random"];

/// [`CROSS_ZONE`] of a group.
const CROSS: &[&str] = &["true", "false", "use_load_balancer_configuration"];

pub const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
pub const STICKINESS: &str = "stickiness.enabled";
pub const STICKINESS_TYPE: &str = "stickiness.type";
pub const COOKIE: &str = "stickiness.app_cookie.cookie_name";
pub const SLOW_START: &str = "slow_start.duration_seconds";
pub const ALGORITHM: &str = "load_balancing.algorithm.type";
pub const ANOMALY: &str = "load_balancing.algorithm.anomaly_mitigation";
pub const DELAY: &str = "deregistration_delay.timeout_seconds";
pub const TERMINATION: &str = "deregistration_delay.connection_termination.enabled";
pub const PROXY: &str = "proxy_protocol_v2.enabled";
pub const PRESERVE: &str = "preserve_client_ip.enabled";
pub const ACCESS_LOGS: &str = "access_logs.s3.enabled";
pub const ACCESS_BUCKET: &str = "access_logs.s3.bucket";
pub const ACCESS_PREFIX: &str = "access_logs.s3.prefix";
pub const CONNECTION_PREFIX: &str = "connection_logs.s3.prefix";
pub const CONNECTION_BUCKET: &str = "connection_logs.s3.bucket";

/// A day and a week.
const STICKY: Form = Number(1, 604_800);

/// Of target groups: `Application` are those of HTTP and HTTPS.
pub static GROUP: &[Attribute] = &[
    new(TERMINATION, "", Flag, Network),
    new(DELAY, "300", Number(0, 3600), Both),
    new(ANOMALY, "off", OneOf(&["on", "off"]), Application),
    new(ALGORITHM, "round_robin", OneOf(ALGORITHMS), Application),
    new(CROSS_ZONE, "use_load_balancer_configuration", OneOf(CROSS), Both),
    new(PRESERVE, "", Flag, Network),
    new(PROXY, "false", Flag, Network),
    new(SLOW_START, "0", Number(0, 900), Application),
    new(COOKIE, "", Text(256), Application),
    new("stickiness.app_cookie.duration_seconds", "86400", STICKY, Application),
    new(STICKINESS, "false", Flag, Both),
    new("stickiness.lb_cookie.duration_seconds", "86400", STICKY, Application),
    new(STICKINESS_TYPE, "lb_cookie", OneOf(&["lb_cookie", "app_cookie"]), Application),
    new(STICKINESS_TYPE, "source_ip", OneOf(&["source_ip"]), Network),
    shown("target_group_health.dns_failover.minimum_healthy_targets.count", "1", NumberOr(1, 1000, "off"), Both),
    shown("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", NumberOr(1, 100, "off"), Both),
    new("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Number(1, 1000), Both),
    new(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        NumberOr(1, 100, "off"),
        Both,
    ),
    new("target_health_state.unhealthy.connection_termination.enabled", "true", Flag, Network),
    shown("target_health_state.unhealthy.draining_interval_seconds", "0", Number(0, 360_000), Network),
];

const HEADER: Form = Text(1024);

/// Of listeners.
pub static LISTENER: &[Attribute] = &[
    shown("routing.http.response.access_control_allow_credentials.header_value", "", OneOf(&["", "true"]), Application),
    shown("routing.http.response.access_control_allow_headers.header_value", "", HEADER, Application),
    shown("routing.http.response.access_control_allow_methods.header_value", "", HEADER, Application),
    shown("routing.http.response.access_control_allow_origin.header_value", "", HEADER, Application),
    shown("routing.http.response.access_control_expose_headers.header_value", "", HEADER, Application),
    shown("routing.http.response.access_control_max_age.header_value", "", HEADER, Application),
    shown("routing.http.response.content_security_policy.header_value", "", HEADER, Application),
    shown("routing.http.response.server.enabled", "true", Flag, Application),
    shown("routing.http.response.strict_transport_security.header_value", "", HEADER, Application),
    shown("routing.http.response.x_content_type_options.header_value", "", OneOf(&["", "nosniff"]), Application),
    shown("routing.http.response.x_frame_options.header_value", "", OneOf(&["", "DENY", "SAMEORIGIN"]), Application),
    new("tcp.idle_timeout.seconds", "350", Number(60, 6000), Network),
];
