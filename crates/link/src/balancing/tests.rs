use longshore_api::acm;
use longshore_model::Change;
use longshore_model::balancer::BalancerZone;
use longshore_wire::Timestamp;
use serde_json::json;

use super::*;

const ACCOUNT: &str = "123456789012";
const HERE: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";

fn map(pairs: &[(&str, &str)]) -> Map {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn load_balancer(name: &str, kind: api::LoadBalancerTypeEnum, address: &str, attributes: Map) -> Change {
    let first = u32::from(address.parse::<Ipv4Addr>().unwrap());
    let zone = |(zone, address): (&str, u32)| BalancerZone {
        zone: zone.to_owned(),
        subnet: zone.to_owned(),
        address: Some(Ipv4Addr::from(address).to_string()),
    };
    LoadBalancer {
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
        id: "1".to_owned(),
        created_at: Timestamp::from_millis(0),
        kind,
        scheme: api::LoadBalancerSchemeEnum::InternetFacing,
        vpc: "vpc".to_owned(),
        zones: ["a", "b"].into_iter().zip(first..).map(zone).collect(),
        security_groups: Vec::new(),
        private_link_rules: None,
        address: None,
        attributes,
        tags: Map::new(),
    }
    .into()
}

fn target_group(name: &str, protocol: api::ProtocolEnum, attributes: Map) -> Change {
    balancer::TargetGroup {
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
        id: format!("id-{name}"),
        created_at: Timestamp::from_millis(0),
        target_type: api::TargetTypeEnum::Ip,
        protocol,
        version: None,
        port: 80,
        vpc: "vpc".to_owned(),
        check: balancer::HealthCheck {
            protocol: api::ProtocolEnum::Http,
            port: "traffic-port".to_owned(),
            path: Some("/ok".to_owned()),
            interval_seconds: 10,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            codes: Some("200-299,404".to_owned()),
        },
        attributes,
        tags: Map::new(),
    }
    .into()
}

fn registered(group: &str, id: &str, zone: &str, draining: Option<i64>) -> Change {
    let time = Timestamp::from_millis;
    balancer::Target {
        account: ACCOUNT.to_owned(),
        group: format!("id-{group}"),
        id: id.to_owned(),
        port: 8080,
        zone: Some(zone.to_owned()),
        registered_at: time(0),
        draining: draining.map(|since| balancer::Draining { since: time(since), until: time(since + 300_000) }),
        health: None,
    }
    .into()
}

fn group_arn(name: &str) -> String {
    format!("{HERE}targetgroup/{name}/id-{name}")
}

fn forward(weights: &[(&str, i32)]) -> api::Action {
    let tuple = |(name, weight): &(&str, i32)| api::TargetGroupTuple {
        target_group_arn: Some(group_arn(name)),
        weight: Some(*weight),
    };
    let sticky = api::TargetGroupStickinessConfig { enabled: Some(true), duration_seconds: Some(60) };
    let config = api::ForwardActionConfig {
        target_groups: Some(weights.iter().map(tuple).collect()),
        target_group_stickiness_config: Some(sticky),
    };
    api::Action { r#type: Some(api::ActionTypeEnum::Forward), forward_config: Some(config), ..api::Action::default() }
}

fn listener(of: &str, (protocol, port): (api::ProtocolEnum, i32), action: api::Action) -> balancer::Listener {
    balancer::Listener {
        account: ACCOUNT.to_owned(),
        balancer: of.to_owned(),
        id: format!("l{port}"),
        port,
        protocol,
        certificates: Vec::new(),
        ssl_policy: None,
        alpn_policy: None,
        actions: vec![action],
        default_rule: "d".to_owned(),
        default_rule_tags: Map::new(),
        rules: Vec::new(),
        attributes: Map::new(),
        tags: Map::new(),
    }
}

/// A rule of all conditions that redirects.
fn rule() -> balancer::Rule {
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>());
    let field = |field: &str| api::RuleCondition { field: Some(field.to_owned()), ..api::RuleCondition::default() };
    let pair = api::QueryStringKeyValuePair { key: Some(String::new()), value: Some("1".to_owned()) };
    let header = api::HttpHeaderConditionConfig {
        http_header_name: Some("X-A".to_owned()),
        values: texts(&["b"]),
        regex_values: None,
    };
    let conditions = vec![
        api::RuleCondition { values: texts(&["*.test"]), ..field("host-header") },
        api::RuleCondition { values: texts(&["/a*"]), ..field("path-pattern") },
        api::RuleCondition { http_header_config: Some(header), ..field("http-header") },
        api::RuleCondition {
            query_string_config: Some(api::QueryStringConditionConfig { values: Some(vec![pair]) }),
            ..field("query-string")
        },
        api::RuleCondition {
            http_request_method_config: Some(api::HttpRequestMethodConditionConfig { values: texts(&["GET"]) }),
            ..field("http-request-method")
        },
        api::RuleCondition {
            source_ip_config: Some(api::SourceIpConditionConfig {
                values: texts(&["10.0.0.0/8"]),
                ..api::SourceIpConditionConfig::default()
            }),
            ..field("source-ip")
        },
    ];
    let config = api::RedirectActionConfig {
        path: Some("/b".to_owned()),
        status_code: Some(api::RedirectActionStatusCodeEnum::Http301),
        ..api::RedirectActionConfig::default()
    };
    let action = api::Action { redirect_config: Some(config), ..api::Action::default() };
    balancer::Rule { id: "r".to_owned(), priority: 7, conditions, actions: vec![action], tags: Map::new() }
}

fn state(changes: Vec<Change>) -> State {
    let mut state = State::default();
    changes.iter().for_each(|change| state.apply(change));
    state
}

#[test]
fn an_edge_is_given_all_that_it_needs_and_no_more() {
    let web = [
        ("idle_timeout.timeout_seconds", "5"),
        ("routing.http.xff_header_processing.mode", "remove"),
        ("access_logs.s3.enabled", "true"),
        ("access_logs.s3.bucket", "logs"),
    ];
    let sticky = [("stickiness.enabled", "true"), ("deregistration_delay.timeout_seconds", "9")];
    let mut plain = listener("web", (api::ProtocolEnum::Http, 80), forward(&[("one", 3), ("two", 0)]));
    plain.rules.push(rule());
    let state = state(vec![
        load_balancer("web", api::LoadBalancerTypeEnum::Application, "127.64.0.1", map(&web)),
        load_balancer("net", api::LoadBalancerTypeEnum::Network, "127.64.0.3", Map::new()),
        target_group("one", api::ProtocolEnum::Http, map(&sticky)),
        target_group("two", api::ProtocolEnum::Http, Map::new()),
        target_group("udp", api::ProtocolEnum::Udp, map(&sticky)),
        target_group("idle", api::ProtocolEnum::Http, Map::new()),
        registered("one", "172.31.0.9", "a", None),
        registered("one", "10.0.0.1", "all", Some(77)),
        registered("idle", "172.31.0.8", "a", None),
        plain.into(),
        listener("net", (api::ProtocolEnum::Udp, 53), forward(&[("udp", 1)])).into(),
    ]);
    let given = configuration(&state, "us-east-1", 12, &|_| true, &|_| None);
    assert_eq!((given.check(), given.generation, given.balancers.len()), (Ok(()), 12, 2));
    let [net, web] = given.balancers.as_slice() else { panic!("{:?}", given.balancers) };
    assert_eq!(web.arn, format!("{HERE}loadbalancer/app/web/1"));
    assert_eq!((web.attributes.idle_timeout_seconds, web.attributes.forwarded_for), (5, ForwardedFor::Remove));
    assert!(web.attributes.cross_zone && !net.attributes.cross_zone && net.attributes.access_logs.is_none());
    let logs = AccessLogs { bucket: "logs".to_owned(), prefix: String::new() };
    assert_eq!(web.attributes.access_logs, Some(logs));
    assert_eq!(
        serde_json::to_value(&web.addresses).unwrap(),
        json!([
            {"ip": "127.64.0.1", "zone": "a", "inside": false}, {"ip": "240.64.0.1", "zone": "a", "inside": true},
            {"ip": "127.64.0.2", "zone": "b", "inside": false}, {"ip": "240.64.0.2", "zone": "b", "inside": true},
        ])
    );
    let rules = serde_json::to_value(&web.listeners[0].rules).unwrap();
    let conditions = json!([
        {"field": "host-header", "values": ["*.test"]},
        {"field": "path-pattern", "values": ["/a*"]},
        {"field": "http-header", "name": "X-A", "values": ["b"]},
        {"field": "query-string", "values": [{"key": null, "value": "1"}]},
        {"field": "http-request-method", "values": ["GET"]},
        {"field": "source-ip", "values": ["10.0.0.0/8"]},
    ]);
    assert_eq!((&rules[0]["conditions"], &rules[0]["priority"]), (&conditions, &json!(7)));
    let redirect = json!({"type": "redirect", "protocol": "#{protocol}", "host": "#{host}", "port": "#{port}", "path": "/b",
        "query": "#{query}", "status": 301});
    assert_eq!(rules[0]["action"], redirect);
    let one = WeightedGroup { target_group: group_arn("one"), weight: 3 };
    let two = WeightedGroup { target_group: group_arn("two"), weight: 0 };
    let wanted = Action::Forward { groups: vec![one, two], stickiness_seconds: Some(60) };
    assert_eq!(web.listeners[0].default_action, wanted);
    let arns: Vec<&String> = given.target_groups.keys().collect();
    assert_eq!(arns, [&group_arn("one"), &group_arn("two"), &group_arn("udp")]);
}

#[test]
fn an_edge_is_told_which_balancers_are_internal() {
    let application = api::LoadBalancerTypeEnum::Application;
    for (scheme, internal) in
        [(api::LoadBalancerSchemeEnum::Internal, true), (api::LoadBalancerSchemeEnum::InternetFacing, false)]
    {
        let mut state = state(vec![load_balancer("web", application, "127.64.0.1", Map::new())]);
        let (_, row) = state.load_balancers.iter().next().unwrap();
        let row = LoadBalancer { scheme, ..LoadBalancer::clone(row) };
        state.apply(&row.into());
        let given = configuration(&state, "us-east-1", 1, &|_| true, &|_| None);
        assert_eq!(given.balancers[0].internal, internal);
    }
}

#[test]
fn targets_of_datagrams_see_their_clients_whatever_a_record_says() {
    use api::ProtocolEnum::{Tcp, TcpUdp, Tls, Udp};
    for (protocol, value, expected) in [
        (Tcp, None, false),
        (Tcp, Some("true"), true),
        (Tls, Some("true"), true),
        (Udp, None, true),
        (Udp, Some("false"), true),
        (TcpUdp, Some("false"), true),
    ] {
        let values: Vec<(&str, &str)> = value.map(|value| ("preserve_client_ip.enabled", value)).into_iter().collect();
        let state = state(vec![target_group("one", protocol, map(&values))]);
        let given = group(&state, &group_arn("one"), &|_| true).unwrap();
        assert_eq!(given.preserve_client_ip, expected, "{protocol:?} {value:?}");
    }
}

#[test]
fn a_group_is_given_with_its_targets_and_checks() {
    let sticky = [("stickiness.enabled", "true"), ("deregistration_delay.timeout_seconds", "9")];
    let state = state(vec![
        target_group("one", api::ProtocolEnum::Http, map(&sticky)),
        target_group("udp", api::ProtocolEnum::Udp, map(&sticky)),
        registered("one", "172.31.0.9", "a", None),
        registered("one", "10.0.0.1", "all", Some(77)),
    ]);
    let one = group(&state, &group_arn("one"), &|_| true).unwrap();
    let targets = json!([
        {"id": "10.0.0.1", "port": 8080, "address": "10.0.0.1", "zone": null, "registeredAt": 0, "drainingSince": 77},
        {"id": "172.31.0.9", "port": 8080, "address": "172.31.0.9", "zone": "a", "registeredAt": 0, "drainingSince": null},
    ]);
    assert_eq!(serde_json::to_value(&one.targets).unwrap(), targets);
    assert_eq!(one.stickiness, Stickiness::LbCookie { seconds: 86_400 });
    assert_eq!((one.deregistration_delay_seconds, one.health_check.port, one.preserve_client_ip), (9, None, false));
    assert!(one.health_check.matcher.takes(404) && !one.health_check.matcher.takes(300));
    let udp = group(&state, &group_arn("udp"), &|_| true).unwrap();
    assert_eq!((udp.stickiness, udp.preserve_client_ip), (Stickiness::SourceIp, true));
    assert!(udp.terminate_on_deregistration);
    assert!(group(&state, &group_arn("none"), &|_| true).is_none());
}

#[test]
fn whether_requests_go_across_zones_is_said_by_the_balancer_and_over_it_by_the_group() {
    const CROSS: &str = "load_balancing.cross_zone.enabled";
    let network = api::LoadBalancerTypeEnum::Network;
    for (balancer, of_group, expected) in [
        (None, None, (false, None)),
        (Some("true"), None, (true, None)),
        (Some("false"), Some("use_load_balancer_configuration"), (false, None)),
        (None, Some("true"), (false, Some(true))),
        (Some("true"), Some("false"), (true, Some(false))),
    ] {
        let values =
            |value: Option<&str>| value.map(|value| (CROSS.to_owned(), value.to_owned())).into_iter().collect();
        let state = state(vec![
            load_balancer("net", network, "127.64.0.1", values(balancer)),
            target_group("udp", api::ProtocolEnum::Udp, values(of_group)),
            listener("net", (api::ProtocolEnum::Udp, 53), forward(&[("udp", 1)])).into(),
        ]);
        let given = configuration(&state, "us-east-1", 1, &|_| true, &|_| None);
        let group = &given.target_groups[&group_arn("udp")];
        assert_eq!((given.balancers[0].attributes.cross_zone, group.cross_zone), expected, "{balancer:?} {of_group:?}");
    }
}

#[test]
fn targets_in_zones_that_the_balancer_is_not_in_are_left_out() {
    let state = state(vec![
        load_balancer("net", api::LoadBalancerTypeEnum::Network, "127.64.0.1", Map::new()),
        target_group("udp", api::ProtocolEnum::Udp, Map::new()),
        listener("net", (api::ProtocolEnum::Udp, 53), forward(&[("udp", 1)])).into(),
        registered("udp", "172.31.0.1", "b", None),
        registered("udp", "172.31.0.2", "c", None),
        registered("udp", "10.0.0.3", "all", None),
    ]);
    let udp = group(&state, &group_arn("udp"), &|_| true).unwrap();
    let zones: Vec<(&str, Option<&str>)> =
        udp.targets.iter().map(|target| (target.id.as_str(), target.zone.as_deref())).collect();
    assert_eq!(zones, [("10.0.0.3", None), ("172.31.0.1", Some("b"))]);
}

#[test]
fn what_all_accounts_have_together_is_still_a_configuration_that_an_edge_takes() {
    let mut changes = vec![target_group("both", api::ProtocolEnum::TcpUdp, Map::new())];
    for balancer in 0..60 {
        let name = format!("net-{balancer:02}");
        let address = format!("127.64.1.{}", 2 * balancer);
        changes.push(load_balancer(&name, api::LoadBalancerTypeEnum::Network, &address, Map::new()));
        let both = |port| listener(&name, (api::ProtocolEnum::TcpUdp, port), forward(&[("both", 1)]));
        changes.extend((1..=50).map(|port| Change::from(both(port))));
    }
    let given = configuration(&state(changes), "us-east-1", 1, &|_| true, &|_| None);
    assert_eq!((given.check(), given.listeners().count()), (Ok(()), MAX_LISTENERS / 8));
}

fn certificate(id: &str, chain: Option<&str>) -> certificate::Certificate {
    certificate::Certificate {
        account: ACCOUNT.to_owned(),
        id: id.to_owned(),
        created_at: Timestamp::from_millis(0),
        kind: acm::CertificateType::Imported,
        obtained_at: Timestamp::from_millis(0),
        renewed_at: None,
        facts: certificate::CertificateFacts {
            domain: "a.test".to_owned(),
            names: vec!["a.test".to_owned()],
            serial: String::new(),
            subject: String::new(),
            issuer: String::new(),
            not_before: Timestamp::from_millis(0),
            not_after: Timestamp::from_millis(1),
            key_algorithm: acm::KeyAlgorithm::EcPrime256v1,
            signature_algorithm: String::new(),
            key_usages: Vec::new(),
            extended_key_usages: Vec::new(),
        },
        body: format!("{id}\n"),
        chain: chain.map(str::to_owned),
        key: format!("sealed {id}"),
        validation: None,
        transparency: None,
        token: None,
        tags: Map::new(),
    }
}

#[test]
fn a_listener_is_given_with_the_certificates_whose_keys_open() {
    let arn = |id: &str| format!("arn:aws:acm:us-east-1:{ACCOUNT}:certificate/{id}");
    let mut secure = listener("web", (api::ProtocolEnum::Https, 443), forward(&[("one", 1)]));
    secure.certificates = ["first", "lost", "second", "gone"].map(arn).to_vec();
    secure.ssl_policy = Some("ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned());
    let mut tls = listener("net", (api::ProtocolEnum::Tls, 443), forward(&[("tcp", 1)]));
    (tls.certificates, tls.alpn_policy) = (vec![arn("second")], Some("HTTP2Only".to_owned()));
    let state = state(vec![
        load_balancer("web", api::LoadBalancerTypeEnum::Application, "127.64.0.1", Map::new()),
        load_balancer("net", api::LoadBalancerTypeEnum::Network, "127.64.0.3", Map::new()),
        target_group("one", api::ProtocolEnum::Http, Map::new()),
        target_group("tcp", api::ProtocolEnum::Tcp, Map::new()),
        certificate("first", Some("above\n")).into(),
        certificate("second", None).into(),
        certificate("lost", None).into(),
        certificate("unused", None).into(),
        secure.into(),
        tls.into(),
    ]);
    let open = |row: &certificate::Certificate| (row.id != "lost").then(|| row.key.replace("sealed", "key of"));
    let given = configuration(&state, "us-east-1", 1, &|_| true, &open);
    assert_eq!(given.check(), Ok(()));
    let [net, web] = given.balancers.as_slice() else { panic!("{:?}", given.balancers) };
    assert_eq!(web.listeners[0].certificates, [arn("first"), arn("second")]);
    assert_eq!(web.listeners[0].ssl_policy.as_deref(), Some("ELBSecurityPolicy-TLS13-1-2-2021-06"));
    assert_eq!(
        (&net.listeners[0].certificates, net.listeners[0].alpn_policy.as_deref()),
        (&vec![arn("second")], Some("HTTP2Only"))
    );
    let chains: Vec<_> =
        given.certificates.values().map(|one| (one.chain.as_str(), one.private_key.as_str())).collect();
    assert_eq!(chains, [("first\nabove\n", "key of first"), ("second\n", "key of second")]);
    assert!(!format!("{given:?}").contains("key of"));
}
