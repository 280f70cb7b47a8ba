use serde_json::json;

use super::*;
use crate::{Frame, frame};

fn document() -> serde_json::Value {
    json!({
        "generation": 7,
        "balancers": [{
            "arn": "web",
            "kind": "application",
            "addresses": [{"ip": "127.1.0.1", "zone": "us-east-1a"}],
            "attributes": {"idleTimeoutSeconds": 5},
            "listeners": [{
                "arn": "front",
                "port": 80,
                "protocol": "HTTP",
                "rules": [{
                    "arn": "api",
                    "priority": 10,
                    "conditions": [
                        {"field": "path-pattern", "values": ["/api/*"]},
                        {"field": "query-string", "values": [{"key": "v", "value": "2"}, {"value": "beta*"}]},
                        {"field": "source-ip", "values": ["10.0.0.0/8", "2001:db8::/32"]},
                        {"field": "http-header", "name": "user-agent", "values": ["*curl*"]},
                    ],
                    "action": {"type": "redirect", "protocol": "HTTPS", "port": "443", "status": 301},
                }],
                "defaultAction": {
                    "type": "forward",
                    "groups": [{"targetGroup": "blue", "weight": 1}],
                    "stickinessSeconds": 60,
                },
            }],
        }],
        "targetGroups": {"blue": {
            "targets": [{"id": "i-1", "port": 8080, "address": "10.0.0.4", "drainingSince": 1000}],
            "stickiness": {"type": "lb_cookie", "seconds": 86400},
            "algorithm": "least_outstanding_requests",
            "healthCheck": {"path": "/health", "matcher": [{"from": 200, "to": 299}]},
        }},
    })
}

fn configuration() -> EdgeConfiguration {
    serde_json::from_value(document()).expect("a configuration")
}

#[test]
fn a_configuration_reads_with_aws_defaults_and_travels_in_a_frame() {
    let read = configuration();
    let listener = &read.balancers[0].listeners[0];
    assert_eq!(read.balancers[0].attributes, Attributes { idle_timeout_seconds: 5, ..Attributes::default() });
    let redirect = Redirect { protocol: "HTTPS".into(), port: "443".into(), status: 301, ..Redirect::default() };
    assert_eq!(listener.rules[0].action, Action::Redirect(redirect));
    let group = &read.target_groups["blue"];
    assert_eq!(group.deregistration_delay_seconds, 300);
    assert_eq!(group.health_check.interval_seconds, 30);
    assert_eq!(group.targets[0].draining_since, Some(1000));
    let again: EdgeConfiguration = Frame::parse(&frame(&read)).expect("a frame").read().expect("a configuration");
    assert_eq!(again, read);
}

#[test]
fn a_configuration_names_only_what_it_holds() {
    type Fault = fn(&mut EdgeConfiguration);
    let cases: &[(&str, Fault)] = &[
        ("front names the target group blue, which the configuration does not hold", |it| it.target_groups.clear()),
        ("front names the certificate c, which the configuration does not hold", |it| {
            it.balancers[0].listeners[0].certificates = vec!["c".into()];
        }),
        ("the listeners front and front have one address, port and transport", |it| {
            let twin = it.balancers[0].listeners[0].clone();
            it.balancers[0].listeners.push(twin);
        }),
        ("front has a protocol that its load balancer does not speak", |it| {
            it.balancers[0].listeners[0].protocol = ListenerProtocol::Tcp;
        }),
        ("1001 targets are more than 1000", |it| {
            let group = it.target_groups.get_mut("blue").expect("the group");
            group.targets = vec![group.targets[0].clone(); 1001];
        }),
    ];
    assert_eq!(configuration().check(), Ok(()));
    for (expected, fault) in cases {
        let mut broken = configuration();
        fault(&mut broken);
        assert_eq!(broken.check().expect_err(expected).to_string(), *expected);
    }
}

#[test]
fn tcp_and_udp_share_a_port() {
    let mut both = configuration();
    both.balancers[0].kind = BalancerKind::Network;
    both.balancers[0].listeners[0].protocol = ListenerProtocol::Tcp;
    let udp = Listener { protocol: ListenerProtocol::Udp, ..both.balancers[0].listeners[0].clone() };
    both.balancers[0].listeners.push(udp);
    assert_eq!(both.check(), Ok(()));
    both.balancers[0].listeners[1].protocol = ListenerProtocol::TcpUdp;
    assert!(matches!(both.check(), Err(Refusal::Clash { .. })));
}

#[test]
fn only_groups_that_a_listener_leads_to_are_used() {
    let mut read = configuration();
    read.target_groups.insert("green".into(), TargetGroup::default());
    assert_eq!(read.used_groups().into_iter().collect::<Vec<_>>(), ["blue"]);
}

#[test]
fn a_matcher_is_codes_and_ranges() {
    let parse = |text| Matcher::parse(text, 200, 499).map(|matcher| matcher.0);
    let range = |from, to| CodeRange { from, to };
    let cases = [
        ("200", Some(vec![range(200, 200)])),
        ("200,202", Some(vec![range(200, 200), range(202, 202)])),
        ("200-299,404", Some(vec![range(200, 299), range(404, 404)])),
        ("", None),
        ("200,", None),
        ("299-200", None),
        ("199", None),
        ("200-500", None),
        ("+200", None),
        (" 200", None),
        ("200-", None),
        ("200-300-400", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), expected, "{text:?}");
    }
    let matcher = Matcher::parse("200-299,404", 200, 499).expect("a matcher");
    assert_eq!([199, 200, 299, 300, 404].map(|code| matcher.takes(code)), [false, true, true, false, true]);
}

#[test]
fn states_and_reasons_are_spelt_as_the_api_spells_them() {
    assert_eq!(TargetState::UnhealthyDraining.to_string(), "unhealthy.draining");
    assert_eq!(Reason::ResponseCodeMismatch.to_string(), "Target.ResponseCodeMismatch");
    let health = json!({"targetGroup": "blue", "id": "i-1", "port": 80, "state": "unhealthy", "reason": "Target.Timeout", "at": 5});
    let read: TargetHealth = serde_json::from_value(health).expect("a report");
    assert_eq!((read.state, read.reason), (TargetState::Unhealthy, Some(Reason::Timeout)));
}

/// Of the size that an edge makes at most.
fn report(targets: usize, series: usize) -> EdgeReport {
    let arn = |number: usize| {
        format!("arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/{number:032}/50dc6c49")
    };
    let health = |number: usize| TargetHealth {
        target_group: arn(number),
        id: "100.100.100.100".into(),
        port: 65_535,
        state: TargetState::Unhealthy,
        reason: Some(Reason::ResponseCodeMismatch),
        description: Some("Health checks failed with these codes: [503]".into()),
        at: 1_700_000_000_000,
    };
    let problem = |number: usize| Problem { listener: arn(number), problem: "x".repeat(100) };
    let ranges = (0..464).map(|range| (1_000_000_000 + range, 1_000_000)).collect();
    let response_times = Some(ResponseTimes { ranges, ..ResponseTimes::default() });
    let values: BTreeMap<String, u64> = (0..40).map(|number| (format!("{number:040}"), u64::MAX)).collect();
    let one = |number: usize| Series {
        balancer: arn(number),
        target_group: Some(arn(number)),
        values: values.clone(),
        response_times: response_times.clone(),
    };
    let metrics = (series > 0).then(|| Metrics { at: 60_000, series: (0..series).map(one).collect() });
    EdgeReport {
        generation: 7,
        health: (0..targets).map(health).collect(),
        problems: (0..MAX_LISTENERS).map(problem).collect(),
        metrics,
    }
}

#[test]
fn a_report_of_any_size_goes_in_frames() {
    for (targets, series, expected) in [(0, 0, 1), (1, 0, 1), (2_000, 96, 1), (2_001, 1, 2), (3, 1_000, 11)] {
        let whole = report(targets, series);
        let parts: Vec<EdgeReport> = whole.clone().parts().collect();
        assert_eq!(parts.len(), expected, "{targets} {series}");
        for part in &parts {
            assert_eq!((part.generation, &part.problems), (7, &whole.problems));
            assert!(frame(part).len() <= crate::MAX_FRAME, "{targets} {series}: {}", frame(part).len());
        }
        let health: Vec<TargetHealth> = parts.iter().flat_map(|part| part.health.clone()).collect();
        assert_eq!(health, whole.health);
        let minutes: Vec<Metrics> = parts.into_iter().filter_map(|part| part.metrics).collect();
        assert!(minutes.iter().all(|minute| minute.at == 60_000 && !minute.series.is_empty()));
        let counted: Vec<Series> = minutes.into_iter().flat_map(|minute| minute.series).collect();
        assert_eq!(counted, whole.metrics.map(|metrics| metrics.series).unwrap_or_default());
    }
}

#[test]
fn secrets_are_not_shown() {
    let certificate = Certificate { chain: "abc".into(), private_key: "hush".into() };
    assert_eq!(format!("{certificate:?}"), "Certificate { chain: 3, .. }");
    let keyed = EdgeConfiguration { cookie_key: Some(CookieKey("hush".into())), ..configuration() };
    assert!(!format!("{keyed:?}").contains("hush"));
    let again: EdgeConfiguration = Frame::parse(&frame(&keyed)).expect("a frame").read().expect("a configuration");
    assert_eq!(again, keyed);
}
