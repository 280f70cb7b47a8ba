//! From the records of load balancers to what an edge is given.
//!
//! In each of its zones a balancer has one address on its machine and one in the network of tasks. Groups that no rule leads to
//! are left out, and so are targets in zones that the balancer is not in, listeners beyond those that an edge takes, and
//! certificates whose keys do not open.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::str::FromStr;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{
    self, BalancerZone, LoadBalancer, Map, balancer_of, group_name, inside, listener_key, targets_prefix,
};
use longshore_model::{AccountId, Arn, Place, State, certificate};

use crate::edge::{
    AccessLogs, Action, Address, Algorithm, AppCookie, Attributes, Balancer, BalancerKind, Certificate, Condition,
    DesyncMode, EdgeConfiguration, ForwardedFor, GroupProtocol, HealthCheck, Listener, ListenerProtocol, MAX_LISTENERS,
    Matcher, ProtocolVersion, QueryPair, Redirect, Rule, Stickiness, Target, TargetGroup, UnhealthyRouting,
    WeightedGroup,
};

/// Gives the private key of a certificate, in PEM; `None` if it does not open.
pub type OpenKey<'a> = &'a dyn Fn(&certificate::Certificate) -> Option<String>;

/// All that an edge serves of this state. `generation` must rise with every change of it. Targets that the edge does not
/// reach (`is_near`) are left out.
pub fn configuration(
    state: &State,
    region: &str,
    generation: i64,
    is_near: &dyn Fn(Ipv4Addr) -> bool,
    open: OpenKey<'_>,
) -> EdgeConfiguration {
    let mut room = MAX_LISTENERS;
    let rows = state.load_balancers.iter();
    let balancers = rows.filter_map(|(_, row)| served(state, region, row, &mut room)).collect();
    let mut configuration = EdgeConfiguration { generation, balancers, ..EdgeConfiguration::default() };
    let used: Vec<String> = configuration.used_groups().into_iter().map(str::to_owned).collect();
    let groups = used.into_iter().filter_map(|arn| group(state, &arn, is_near).map(|group| (arn, group)));
    configuration.target_groups = groups.collect();
    add_certificates(state, &mut configuration, open);
    configuration
}

/// Adds the certificates that listeners name; names of others are taken away.
fn add_certificates(state: &State, configuration: &mut EdgeConfiguration, open: OpenKey<'_>) {
    let names: BTreeSet<String> = configuration.listeners().flat_map(|(_, row)| row.certificates.clone()).collect();
    let given = |arn: String| {
        let row = state.certificates.get(&certificate::key_of(&arn)?)?;
        Some((arn, Certificate { chain: row.full_chain(), private_key: open(row)? }))
    };
    configuration.certificates = names.into_iter().filter_map(given).collect();
    let known = &configuration.certificates;
    let listeners = configuration.balancers.iter_mut().flat_map(|balancer| &mut balancer.listeners);
    listeners.for_each(|listener| listener.certificates.retain(|arn| known.contains_key(arn)));
}

/// A balancer with as many listeners as there is room for sockets.
fn served(state: &State, region: &str, row: &LoadBalancer, room: &mut usize) -> Option<Balancer> {
    let place = Place::new(region, &AccountId::parse(&row.account)?);
    let addresses: Vec<Address> = row.addresses().flat_map(|(zone, ip)| addresses(zone, ip)).collect();
    let kind = if row.is_application() { BalancerKind::Application } else { BalancerKind::Network };
    let prefix = listener_key(&row.account, &row.name, "");
    let listeners = state.listeners.scan(&prefix).filter_map(|(_, listener)| {
        let served = listening(&place, row, listener)?;
        let sockets = if served.protocol == ListenerProtocol::TcpUdp { 2 } else { 1 };
        *room = room.checked_sub(sockets * addresses.len())?;
        Some(served)
    });
    Some(Balancer {
        arn: row.arn(&place),
        name: row.dns_name(region),
        kind,
        internal: row.scheme == api::LoadBalancerSchemeEnum::Internal,
        addresses: addresses.clone(),
        attributes: attributes(kind, &row.attributes),
        listeners: listeners.collect(),
    })
}

/// Where a balancer answers in a zone: on the machine, and in the network of tasks.
fn addresses(zone: &BalancerZone, outside: Ipv4Addr) -> impl Iterator<Item = Address> + use<> {
    let zone = zone.zone.clone();
    let places = [Some((outside, false)), inside(outside).map(|ip| (ip, true))];
    places.into_iter().flatten().map(move |(ip, inside)| Address { ip: ip.into(), zone: zone.clone(), inside })
}

/// The value of an attribute, or what it is at first.
fn read<T: FromStr>(values: &Map, key: &str, usual: T) -> T {
    values.get(key).and_then(|value| value.parse().ok()).unwrap_or(usual)
}

fn word<'a>(values: &'a Map, key: &str) -> &'a str {
    values.get(key).map(String::as_str).unwrap_or_default()
}

fn attributes(kind: BalancerKind, values: &Map) -> Attributes {
    let usual = Attributes::of(kind);
    let http = |name: &str, usual| read(values, &format!("routing.http.{name}"), usual);
    Attributes {
        idle_timeout_seconds: read(values, "idle_timeout.timeout_seconds", usual.idle_timeout_seconds),
        client_keep_alive_seconds: read(values, "client_keep_alive.seconds", usual.client_keep_alive_seconds),
        http2: read(values, "routing.http2.enabled", usual.http2),
        desync_mode: match word(values, "routing.http.desync_mitigation_mode") {
            "monitor" => DesyncMode::Monitor,
            "strictest" => DesyncMode::Strictest,
            _ => DesyncMode::Defensive,
        },
        drop_invalid_header_fields: http("drop_invalid_header_fields.enabled", usual.drop_invalid_header_fields),
        preserve_host_header: http("preserve_host_header.enabled", usual.preserve_host_header),
        forwarded_for: match word(values, "routing.http.xff_header_processing.mode") {
            "preserve" => ForwardedFor::Preserve,
            "remove" => ForwardedFor::Remove,
            _ => ForwardedFor::Append,
        },
        forwarded_for_port: http("xff_client_port.enabled", usual.forwarded_for_port),
        cross_zone: read(values, "load_balancing.cross_zone.enabled", usual.cross_zone),
        access_logs: access_logs(kind, values),
    }
}

fn access_logs(kind: BalancerKind, values: &Map) -> Option<AccessLogs> {
    let enabled = kind == BalancerKind::Application && read(values, "access_logs.s3.enabled", false);
    let own = |name| word(values, name).to_owned();
    enabled.then(|| AccessLogs { bucket: own("access_logs.s3.bucket"), prefix: own("access_logs.s3.prefix") })
}

/// A listener; none of a protocol that edges do not speak.
fn listening(place: &Place, of: &LoadBalancer, row: &balancer::Listener) -> Option<Listener> {
    use api::ProtocolEnum as Protocol;
    let protocol = match row.protocol {
        Protocol::Http => ListenerProtocol::Http,
        Protocol::Https => ListenerProtocol::Https,
        Protocol::Tcp => ListenerProtocol::Tcp,
        Protocol::Tls => ListenerProtocol::Tls,
        Protocol::Udp => ListenerProtocol::Udp,
        Protocol::TcpUdp => ListenerProtocol::TcpUdp,
        _ => return None,
    };
    let rule = |rule: &balancer::Rule| {
        Some(Rule {
            arn: of.rule_arn(place, &row.id, &rule.id),
            priority: u32::try_from(rule.priority).ok()?,
            conditions: rule.conditions.iter().map(condition).collect::<Option<_>>()?,
            action: action(&rule.actions)?,
        })
    };
    Some(Listener {
        arn: of.listener_arn(place, &row.id),
        port: u16::try_from(row.port).ok()?,
        protocol,
        certificates: row.certificates.clone(),
        ssl_policy: row.ssl_policy.clone(),
        alpn_policy: row.alpn_policy.clone().filter(|policy| policy != "None"),
        tcp_idle_timeout_seconds: read(&row.attributes, "tcp.idle_timeout.seconds", 350),
        rules: row.rules.iter().filter_map(rule).collect(),
        default_action: action(&row.actions)?,
    })
}

/// A condition in the edge's form. A rule with one that does not read is none: it must not take more requests.
fn condition(row: &api::RuleCondition) -> Option<Condition> {
    let plain = || row.values.clone().unwrap_or_default();
    match row.field.as_deref()? {
        "host-header" => Some(Condition::HostHeader { values: plain() }),
        "path-pattern" => Some(Condition::PathPattern { values: plain() }),
        "http-header" => {
            let config = row.http_header_config.as_ref()?;
            let name = config.http_header_name.clone()?;
            Some(Condition::HttpHeader { name, values: config.values.clone()? })
        }
        "http-request-method" => {
            let values = row.http_request_method_config.as_ref()?.values.clone()?;
            Some(Condition::HttpRequestMethod { values })
        }
        "query-string" => {
            let pairs = row.query_string_config.as_ref()?.values.iter().flatten();
            let pair = |pair: &api::QueryStringKeyValuePair| QueryPair {
                key: pair.key.clone().filter(|key| !key.is_empty()),
                value: pair.value.clone().unwrap_or_default(),
            };
            Some(Condition::QueryString { values: pairs.map(pair).collect() })
        }
        _ => {
            let values = row.source_ip_config.as_ref()?.values.iter().flatten();
            Some(Condition::SourceIp { values: values.filter_map(|value| value.parse().ok()).collect() })
        }
    }
}

/// The action of a rule: it has one.
fn action(rows: &[api::Action]) -> Option<Action> {
    let row = rows.first()?;
    if let Some(config) = &row.redirect_config {
        return Some(Action::Redirect(redirect(config)));
    }
    if let Some(config) = &row.fixed_response_config {
        return Some(Action::FixedResponse {
            status: config.status_code.as_deref()?.parse().ok()?,
            content_type: config.content_type.clone().filter(|content| !content.is_empty()),
            body: config.message_body.clone(),
        });
    }
    let config = row.forward_config.as_ref()?;
    let weighted = |tuple: &api::TargetGroupTuple| {
        let weight = tuple.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1);
        Some(WeightedGroup { target_group: tuple.target_group_arn.clone()?, weight })
    };
    let sticky = config.target_group_stickiness_config.as_ref().filter(|sticky| sticky.enabled == Some(true));
    Some(Action::Forward {
        groups: config.target_groups.iter().flatten().filter_map(weighted).collect(),
        stickiness_seconds: sticky.and_then(|sticky| u32::try_from(sticky.duration_seconds?).ok()),
    })
}

fn redirect(config: &api::RedirectActionConfig) -> Redirect {
    let usual = Redirect::default();
    let or = |text: &Option<String>, usual: String| text.clone().unwrap_or(usual);
    Redirect {
        protocol: or(&config.protocol, usual.protocol),
        host: or(&config.host, usual.host),
        port: or(&config.port, usual.port),
        path: or(&config.path, usual.path),
        query: or(&config.query, usual.query),
        status: match config.status_code {
            Some(api::RedirectActionStatusCodeEnum::Http301) => 301,
            _ => 302,
        },
    }
}

const TERMINATION: &str = "deregistration_delay.connection_termination.enabled";

/// The group with this ARN.
fn group(state: &State, arn: &str, is_near: &dyn Fn(Ipv4Addr) -> bool) -> Option<TargetGroup> {
    let account = AccountId::parse(Arn::parse(arn)?.account)?;
    let row = state.target_groups.get(&balancer::key(&account, group_name(arn)?))?;
    let values = &row.attributes;
    let health = |name: &str| format!("target_group_health.unhealthy_state_routing.minimum_healthy_targets.{name}");
    let prefix = targets_prefix(&row.account, &row.id);
    let of = balancer_of(state, &row.key());
    let served = |target: &balancer::Target| of.is_none_or(|of| of.is_in(target.zone.as_deref()));
    let targets = state.targets.scan(&prefix).map(|(_, target)| target).filter(|target| served(target));
    Some(TargetGroup {
        protocol: group_protocol(row.protocol)?,
        protocol_version: match row.version.as_deref() {
            Some("HTTP2") => ProtocolVersion::Http2,
            Some("GRPC") => ProtocolVersion::Grpc,
            _ => ProtocolVersion::Http1,
        },
        targets: targets.filter_map(|row| target(row, is_near)).collect(),
        health_check: check(&row.check)?,
        algorithm: match word(values, "load_balancing.algorithm.type") {
            "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
            "weighted_random" => Algorithm::WeightedRandom,
            _ => Algorithm::RoundRobin,
        },
        anomaly_mitigation: word(values, "load_balancing.algorithm.anomaly_mitigation") == "on",
        slow_start_seconds: read(values, "slow_start.duration_seconds", 0),
        stickiness: stickiness(row),
        deregistration_delay_seconds: read(values, "deregistration_delay.timeout_seconds", 300),
        terminate_on_deregistration: read(values, TERMINATION, row.has_datagrams()),
        terminate_on_unhealthy: read(values, "target_health_state.unhealthy.connection_termination.enabled", true),
        proxy_protocol: read(values, "proxy_protocol_v2.enabled", false),
        preserve_client_ip: row.has_datagrams() || read(values, "preserve_client_ip.enabled", row.preserves_client()),
        cross_zone: values.get("load_balancing.cross_zone.enabled").and_then(|value| value.parse().ok()),
        unhealthy_routing: UnhealthyRouting {
            minimum_count: read(values, &health("count"), 1),
            minimum_percent: values.get(&health("percentage")).and_then(|value| value.parse().ok()),
        },
    })
}

fn group_protocol(protocol: api::ProtocolEnum) -> Option<GroupProtocol> {
    use api::ProtocolEnum as Protocol;
    match protocol {
        Protocol::Http => Some(GroupProtocol::Http),
        Protocol::Https => Some(GroupProtocol::Https),
        Protocol::Tcp => Some(GroupProtocol::Tcp),
        Protocol::Tls => Some(GroupProtocol::Tls),
        Protocol::Udp => Some(GroupProtocol::Udp),
        Protocol::TcpUdp => Some(GroupProtocol::TcpUdp),
        _ => None,
    }
}

/// A target that has an address within reach.
fn target(row: &balancer::Target, is_near: &dyn Fn(Ipv4Addr) -> bool) -> Option<Target> {
    let address: Ipv4Addr = row.id.parse().ok()?;
    is_near(address).then_some(())?;
    Some(Target {
        id: row.id.clone(),
        port: u16::try_from(row.port).ok()?,
        address: address.into(),
        zone: row.zone.clone().filter(|zone| zone != "all"),
        registered_at: row.registered_at.millis(),
        draining_since: row.draining.as_ref().map(|draining| draining.since.millis()),
    })
}

fn check(row: &balancer::HealthCheck) -> Option<HealthCheck> {
    let number = |number: i32| u32::try_from(number).unwrap_or_default();
    Some(HealthCheck {
        protocol: group_protocol(row.protocol)?,
        port: row.port.parse().ok(),
        path: row.path.clone().unwrap_or_default(),
        interval_seconds: number(row.interval_seconds),
        timeout_seconds: number(row.timeout_seconds),
        healthy_threshold: number(row.healthy_threshold),
        unhealthy_threshold: number(row.unhealthy_threshold),
        matcher: row.codes.as_deref().and_then(|codes| Matcher::parse(codes, 0, 599)).unwrap_or_default(),
    })
}

fn stickiness(row: &balancer::TargetGroup) -> Stickiness {
    const DAY: u32 = 86_400;
    let values = &row.attributes;
    if !read(values, "stickiness.enabled", false) {
        return Stickiness::None;
    }
    match word(values, "stickiness.type") {
        "app_cookie" => Stickiness::AppCookie(AppCookie {
            name: word(values, "stickiness.app_cookie.cookie_name").to_owned(),
            seconds: read(values, "stickiness.app_cookie.duration_seconds", DAY),
        }),
        _ if row.is_http() => {
            Stickiness::LbCookie { seconds: read(values, "stickiness.lb_cookie.duration_seconds", DAY) }
        }
        _ => Stickiness::SourceIp,
    }
}

#[cfg(test)]
mod tests;
