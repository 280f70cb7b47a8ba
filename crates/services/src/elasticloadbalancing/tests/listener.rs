use serde_json::{Value, json};

use super::{HERE, World, answer, each, forward, text};

#[test]
fn a_listener_shows_what_it_forwards_to() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let input =
        json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [forward(&group)]});
    let made = world.ok("CreateListener", input.clone())["Listeners"][0].clone();
    let (arn, id) = (text(&made["ListenerArn"]), balancer.rsplit('/').next().unwrap().to_owned());
    assert!(arn.starts_with(&format!("{HERE}listener/app/web/{id}/")), "{arn}");
    let config = json!({"TargetGroups": [{"TargetGroupArn": group, "Weight": 1}],
        "TargetGroupStickinessConfig": {"Enabled": false}});
    assert_eq!(made["DefaultActions"], json!([{"Type": "forward", "TargetGroupArn": group, "ForwardConfig": config}]));
    assert_eq!(world.ok("CreateListener", input)["Listeners"][0], made);
    let other = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [answer("200")]});
    let told = world.fault("CreateListener", other);
    let wanted =
        format!("DuplicateListener: A listener already exists on this port for this load balancer '{balancer}'");
    assert_eq!(told, wanted);
    for asked in [json!({"LoadBalancerArn": balancer}), json!({"ListenerArns": [arn]})] {
        assert_eq!(world.ok("DescribeListeners", asked)["Listeners"], json!([made]));
    }
    world.ok("DeleteListener", json!({"ListenerArn": arn}));
    let wanted = "ListenerNotFound: One or more listeners not found";
    world.refuses("DeleteListener", vec![(json!({"ListenerArn": arn}), wanted)]);
    world.refuses(
        "DescribeListeners",
        vec![
            (json!({"ListenerArns": [arn]}), wanted),
            (json!({}), "ValidationError: You must specify either listener ARNs or a load balancer ARN"),
            (json!({"ListenerArns": [balancer]}), "ValidationError: "),
        ],
    );
}

#[test]
fn what_is_no_listener_is_refused() {
    let world = World::new();
    let (balancer, group, tcp) = (world.balancer("web"), world.group("g", "HTTP"), world.group("t", "TCP"));
    let (other, _) = world.other_network();
    let foreign = json!({"Name": "f", "Protocol": "HTTP", "Port": 80, "VpcId": other, "TargetType": "ip"});
    let foreign = text(&world.ok("CreateTargetGroup", foreign)["TargetGroups"][0]["TargetGroupArn"]);
    let with = |more: Value| {
        let mut input =
            json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [forward(&group)]});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let act = |action: Value| with(json!({"DefaultActions": [action]}));
    let tuples = |weights: &[(&str, i32)]| {
        let groups: Vec<Value> =
            weights.iter().map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight})).collect();
        json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}})
    };
    let redirect = |config: Value| json!({"Type": "redirect", "RedirectConfig": config});
    let gone = format!("{HERE}targetgroup/no/0000000000000000");
    let many: Vec<(String, i32)> = (0..6).map(|at| (world.group(&format!("m{at}"), "HTTP"), 1)).collect();
    let many: Vec<(&str, i32)> = many.iter().map(|(arn, weight)| (arn.as_str(), *weight)).collect();
    world.refuses(
        "CreateListener",
        vec![
            (with(json!({"Protocol": "TCP"})), "ValidationError: Listener protocol 'TCP' must be one of 'HTTP, HTTPS'"),
            (with(json!({"Protocol": null})), "ValidationError: A listener protocol must be specified"),
            (with(json!({"Port": null})), "ValidationError: A listener port must be specified"),
            (with(json!({"Port": 0})), "ValidationError: 1 validation error"),
            (with(json!({"Protocol": "HTTPS"})), "ValidationError: A certificate must be specified for HTTPS listeners"),
            (with(json!({"Protocol": "HTTPS", "Certificates": [{"CertificateArn": "c"}]})), "CertificateNotFound"),
            (with(json!({"Protocol": "HTTPS", "SslPolicy": "x"})), "SSLPolicyNotFound"),
            (with(json!({"SslPolicy": "ELBSecurityPolicy-2016-08"})), "ValidationError: Certificates and security"),
            (with(json!({"LoadBalancerArn": format!("{HERE}loadbalancer/app/no/0")})), "LoadBalancerNotFound"),
            (with(json!({"DefaultActions": []})), "ValidationError: At least one action"),
            (with(json!({"DefaultActions": [answer("200"), forward(&group)]})), "TooManyActions"),
            (act(forward(&gone)), "TargetGroupNotFound"),
            (act(forward(&tcp)), "IncompatibleProtocols"),
            (act(forward(&foreign)), "InvalidConfigurationRequest: The target group"),
            (act(json!({"Type": "forward"})), "InvalidLoadBalancerAction: A target group ARN must be specified"),
            (act(tuples(&[(&group, 1), (&group, 2)])), "InvalidLoadBalancerAction: A target group is specified twice"),
            (act(tuples(&[(&group, 1000)])), "InvalidLoadBalancerAction: Target group weight"),
            (act(tuples(&many)), "InvalidLoadBalancerAction: An action can forward to at most '5'"),
            (act(json!({"Type": "authenticate-oidc"})), "UnsupportedOperationException"),
            (act(answer("300")), "ValidationError: 1 validation error"),
            (act(json!({"Type": "redirect"})), "InvalidLoadBalancerAction"),
            (act(json!({"Type": "forward", "FixedResponseConfig": {"StatusCode": "200"}})), "InvalidLoadBalancerAction"),
            (act(redirect(json!({"StatusCode": "HTTP_301"}))), "InvalidLoadBalancerAction: The redirect configuration is not valid"),
            (act(redirect(json!({"StatusCode": "HTTP_301", "Port": "0"}))), "InvalidLoadBalancerAction: The redirect port"),
            (act(redirect(json!({"StatusCode": "HTTP_301", "Path": "x"}))), "InvalidLoadBalancerAction: The redirect path"),
            (
                act(json!({"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "ContentType": "a/b"}})),
                "InvalidLoadBalancerAction: The content type",
            ),
        ],
    );
    assert!(world.bench.store.read().listeners.is_empty());
}

#[test]
fn a_redirect_says_all_that_it_keeps() {
    let world = World::new();
    let balancer = world.balancer("web");
    let action =
        json!({"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}});
    let input = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [action]});
    let made = world.ok("CreateListener", input);
    let wanted = json!({"Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}",
        "StatusCode": "HTTP_301"});
    assert_eq!(made["Listeners"][0]["DefaultActions"][0]["RedirectConfig"], wanted);
}

#[test]
fn a_network_balancer_forwards_by_protocol_and_has_no_rules() {
    let world = World::new();
    let net = world.network("net");
    let groups = ["TCP", "UDP", "TCP_UDP"]
        .map(|protocol| (protocol, world.group(&protocol.to_lowercase().replace('_', "-"), protocol)));
    let rows = [("TCP", ["TCP"].as_slice()), ("UDP", &["UDP", "TCP_UDP"]), ("TCP_UDP", &["TCP_UDP"])];
    for (port, (protocol, takes)) in (1..).zip(rows) {
        for (of, group) in &groups {
            let input = json!({"LoadBalancerArn": net, "Protocol": protocol, "Port": port,
                "DefaultActions": [forward(group)]});
            match world.call("CreateListener", &input) {
                Ok(made) => {
                    assert!(takes.contains(of), "{protocol} {of}");
                    world.ok("DeleteListener", json!({"ListenerArn": made["Listeners"][0]["ListenerArn"]}));
                }
                Err(fault) => {
                    assert!(!takes.contains(of) && fault.code == "IncompatibleProtocols", "{protocol} {of}: {fault}")
                }
            }
        }
    }
    let listener = world.listener(&net, ("TCP", 80), &groups[0].1);
    assert!(listener.contains("listener/net/net/"), "{listener}");
    let rule = json!({"ListenerArn": listener, "Priority": 1, "Actions": [forward(&groups[0].1)],
        "Conditions": [{"Field": "path-pattern", "Values": ["/"]}]});
    world.refuses("CreateRule", vec![(rule, "UnsupportedProtocol")]);
    let fixed = json!({"LoadBalancerArn": net, "Protocol": "TCP", "Port": 81, "DefaultActions": [answer("200")]});
    world.refuses("CreateListener", vec![(fixed, "InvalidLoadBalancerAction")]);
    let tls = json!({"LoadBalancerArn": net, "Protocol": "HTTP", "Port": 81, "DefaultActions": [answer("200")]});
    world.refuses("CreateListener", vec![(tls, "ValidationError: Listener protocol 'HTTP' must be one of 'TCP, ")]);
    let idle = world.ok("DescribeListenerAttributes", json!({"ListenerArn": listener}));
    assert_eq!(idle["Attributes"], json!([{"Key": "tcp.idle_timeout.seconds", "Value": "350"}]));
    let set = json!({"ListenerArn": listener, "Attributes": [{"Key": "tcp.idle_timeout.seconds", "Value": "60"}]});
    assert_eq!(world.ok("ModifyListenerAttributes", set)["Attributes"][0]["Value"], "60");
    let other = json!({"ListenerArn": listener, "Protocol": "UDP"});
    world.refuses("ModifyListener", vec![(other, "IncompatibleProtocols")]);
}

#[test]
fn a_listener_moves_to_a_free_port_only() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let one = world.listener(&balancer, ("HTTP", 80), &group);
    world.listener(&balancer, ("HTTP", 81), &group);
    world.refuses("ModifyListener", vec![(json!({"ListenerArn": one, "Port": 81}), "DuplicateListener")]);
    world.ok("ModifyListener", json!({"ListenerArn": one, "Port": 82, "DefaultActions": [answer("404")]}));
    let told = world.ok("DescribeListeners", json!({"ListenerArns": [one]}))["Listeners"][0].clone();
    assert_eq!((&told["Port"], &told["DefaultActions"][0]["Type"]), (&json!(82), &json!("fixed-response")));
    (100..148).for_each(|port| drop(world.listener(&balancer, ("HTTP", port), &group)));
    let more = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 99, "DefaultActions": [answer("200")]});
    world.refuses("CreateListener", vec![(more, "TooManyListeners")]);
    let first = world.ok("DescribeListeners", json!({"LoadBalancerArn": balancer, "PageSize": 30}));
    let asked = json!({"LoadBalancerArn": balancer, "PageSize": 30, "Marker": first["NextMarker"]});
    let second = world.ok("DescribeListeners", asked);
    assert_eq!(
        (each(&first["Listeners"], "ListenerArn").len(), each(&second["Listeners"], "ListenerArn").len()),
        (30, 20)
    );
    world.ok("DeleteLoadBalancer", json!({"LoadBalancerArn": balancer}));
    assert!(world.bench.store.read().listeners.is_empty());
}
