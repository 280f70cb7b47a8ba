use longshore_wire::Timestamp;
use serde_json::{Value, json};

use super::{HERE, World, answer, text};

fn with(world: &World, more: Value) -> Value {
    let mut input = json!({"Name": "g", "Protocol": "HTTP", "Port": 80, "VpcId": world.vpc, "TargetType": "ip"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

/// State and reason of every target.
fn health(world: &World, group: &str) -> Vec<[String; 3]> {
    let told = world.ok("DescribeTargetHealth", json!({"TargetGroupArn": group}));
    let one = |one: &Value| {
        let target = format!("{}:{}", text(&one["Target"]["Id"]), one["Target"]["Port"]);
        [target, text(&one["TargetHealth"]["State"]), text(&one["TargetHealth"]["Reason"])]
    };
    told["TargetHealthDescriptions"].as_array().unwrap().iter().map(one).collect()
}

fn row(target: &str, state: &str, reason: &str) -> [String; 3] {
    [target, state, reason].map(str::to_owned)
}

#[test]
fn what_a_group_leaves_out_is_as_aws_fills_it_in() {
    let world = World::new();
    let rows = [
        (json!({}), json!(["HTTP", "HTTP1", "HTTP", "/", 30, 5, 5, 2, {"HttpCode": "200"}])),
        (
            json!({"ProtocolVersion": "GRPC"}),
            json!(["HTTP", "GRPC", "HTTP", "/AWS.ALB/healthcheck", 30, 5, 5, 2, {"GrpcCode": "12"}]),
        ),
        (json!({"Protocol": "TCP"}), json!(["TCP", null, "TCP", null, 30, 10, 5, 2, null])),
        (
            json!({"Protocol": "UDP", "HealthCheckProtocol": "HTTP"}),
            json!(["UDP", null, "HTTP", "/", 30, 6, 5, 2, {"HttpCode": "200-399"}]),
        ),
        (
            json!({"HealthCheckPath": "/ok", "HealthCheckPort": "8080", "HealthyThresholdCount": 2,
                "HealthCheckIntervalSeconds": 10, "Matcher": {"HttpCode": "200,404"}}),
            json!(["HTTP", "HTTP1", "HTTP", "/ok", 10, 5, 2, 2, {"HttpCode": "200,404"}]),
        ),
    ];
    for (at, (more, wanted)) in rows.into_iter().enumerate() {
        let mut more = more;
        more["Name"] = json!(format!("g{at}"));
        let made = world.ok("CreateTargetGroup", with(&world, more.clone()))["TargetGroups"][0].clone();
        let keys = [
            "Protocol",
            "ProtocolVersion",
            "HealthCheckProtocol",
            "HealthCheckPath",
            "HealthCheckIntervalSeconds",
            "HealthCheckTimeoutSeconds",
            "HealthyThresholdCount",
            "UnhealthyThresholdCount",
            "Matcher",
        ];
        assert_eq!(Value::from(keys.map(|key| made[key].clone()).to_vec()), wanted, "{more}");
        let arn = text(&made["TargetGroupArn"]);
        assert!(arn.starts_with(&format!("{HERE}targetgroup/g{at}/")), "{arn}");
        assert_eq!(world.ok("CreateTargetGroup", with(&world, more))["TargetGroups"][0], made);
        assert_eq!(world.ok("DescribeTargetGroups", json!({"TargetGroupArns": [arn]}))["TargetGroups"][0], made);
    }
}

#[test]
fn what_is_no_group_is_refused() {
    let world = World::new();
    world.group("g", "HTTP");
    let same = "DuplicateTargetGroupName: A target group with the same name 'g' exists, but with different settings";
    let rows = vec![
        (json!({"Port": 81}), same),
        (json!({"Name": "a.b"}), "ValidationError: Target group name 'a.b' can only contain"),
        (json!({"Protocol": null}), "ValidationError: A protocol must be specified"),
        (json!({"Port": null}), "ValidationError: A port must be specified"),
        (json!({"Port": 65_536}), "ValidationError: 1 validation error"),
        (json!({"VpcId": null}), "ValidationError: A VPC ID must be specified"),
        (json!({"VpcId": "vpc-no"}), "ValidationError: The VPC ID 'vpc-no' is not found"),
        (json!({"TargetType": "lambda"}), "UnsupportedOperationException"),
        (json!({"TargetType": "alb"}), "UnsupportedOperationException"),
        (json!({"Protocol": "GENEVE"}), "UnsupportedOperationException"),
        (json!({"IpAddressType": "ipv6"}), "UnsupportedOperationException"),
        (json!({"ProtocolVersion": "HTTP3"}), "ValidationError: Protocol version 'HTTP3' is not supported"),
        (json!({"Protocol": "TCP", "ProtocolVersion": "HTTP1"}), "ValidationError: Protocol version"),
        (json!({"HealthCheckEnabled": false}), "ValidationError: Health check enabled must be true"),
        (json!({"HealthCheckProtocol": "TCP"}), "ValidationError: Health check protocol 'TCP' is not supported"),
        (json!({"Protocol": "TCP", "HealthCheckProtocol": "UDP"}), "ValidationError: Health check protocol 'UDP'"),
        (json!({"Protocol": "TCP", "HealthCheckPath": "/"}), "ValidationError: A path and a matcher"),
        (json!({"HealthCheckPath": "x"}), "ValidationError: Health check path 'x' must begin with a '/'"),
        (json!({"HealthCheckPort": "0"}), "ValidationError: Health check port '0' must be in the range 1-65535"),
        (json!({"HealthCheckPort": "+80"}), "ValidationError: Health check port"),
        (json!({"HealthCheckIntervalSeconds": 5}), "ValidationError: Health check interval must be greater than"),
        (json!({"HealthCheckIntervalSeconds": 4}), "ValidationError: 1 validation error"),
        (
            json!({"Matcher": {"HttpCode": "500"}}),
            "ValidationError: Health check matcher HTTP code must be within '200-499'",
        ),
        (json!({"Matcher": {"GrpcCode": "0"}}), "ValidationError: Health check matcher"),
    ];
    let rows = rows.into_iter().map(|(more, wanted)| (with(&world, more), wanted));
    world.refuses("CreateTargetGroup", rows.collect());
}

#[test]
fn a_group_in_use_stays_and_tells_of_whom() {
    let world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let listener = world.listener(&balancer, ("HTTP", 80), &group);
    let told = world.ok("DescribeTargetGroups", json!({"LoadBalancerArn": balancer}));
    assert_eq!(told["TargetGroups"][0]["LoadBalancerArns"], json!([balancer]));
    let delete = || json!({"TargetGroupArn": group});
    let told = world.fault("DeleteTargetGroup", delete());
    assert_eq!(told, format!("ResourceInUse: Target group '{group}' is currently in use by a listener or a rule"));
    world.ok("ModifyListener", json!({"ListenerArn": listener, "DefaultActions": [answer("404")]}));
    assert_eq!(world.ok("DescribeTargetGroups", json!({"LoadBalancerArn": balancer}))["TargetGroups"], json!([]));
    world.ok("DeleteTargetGroup", delete());
    world.ok("DeleteTargetGroup", delete());
    world.refuses(
        "DescribeTargetGroups",
        vec![
            (json!({"TargetGroupArns": [group]}), "TargetGroupNotFound: One or more target groups not found"),
            (json!({"Names": ["g"]}), "TargetGroupNotFound: One or more target groups not found"),
            (json!({"TargetGroupArns": ["g"]}), "ValidationError: 'g' is not a valid target group ARN"),
            (json!({"Names": ["g"], "LoadBalancerArn": balancer}), "ValidationError"),
        ],
    );
    world.refuses("ModifyTargetGroup", vec![(delete(), "TargetGroupNotFound")]);
}

#[test]
fn a_check_is_changed_in_part() {
    let world = World::new();
    let (group, tcp) = (world.group("g", "HTTP"), world.group("t", "TCP"));
    let change = |arn: &str, more: Value| {
        let mut input = json!({"TargetGroupArn": arn});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let changed =
        world.ok("ModifyTargetGroup", change(&group, json!({"HealthCheckPath": "/h", "UnhealthyThresholdCount": 3})));
    let changed = &changed["TargetGroups"][0];
    assert_eq!((&changed["HealthCheckPath"], &changed["UnhealthyThresholdCount"]), (&json!("/h"), &json!(3)));
    assert_eq!(changed["HealthCheckIntervalSeconds"], 30);
    let http = world.ok("ModifyTargetGroup", change(&tcp, json!({"HealthCheckProtocol": "HTTP"})));
    assert_eq!(http["TargetGroups"][0]["HealthCheckPath"], "/");
    let back = world.ok("ModifyTargetGroup", change(&tcp, json!({"HealthCheckProtocol": "TCP"})));
    assert_eq!(back["TargetGroups"][0].get("HealthCheckPath"), None);
    let wrong = change(&group, json!({"HealthCheckTimeoutSeconds": 30}));
    world.refuses("ModifyTargetGroup", vec![(wrong, "ValidationError: Health check interval must be greater")]);
}

#[test]
fn attributes_of_groups_go_together() {
    let world = World::new();
    let (group, tcp, udp) = (world.group("g", "HTTP"), world.group("t", "TCP"), world.group("u", "UDP"));
    let modify = |arn: &str, pairs: &[(&str, &str)]| {
        let pairs: Vec<Value> = pairs.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        json!({"TargetGroupArn": arn, "Attributes": pairs})
    };
    for (arn, expected) in [(&tcp, "false"), (&udp, "true")] {
        let all = world.ok("DescribeTargetGroupAttributes", json!({"TargetGroupArn": arn}))["Attributes"].clone();
        for key in ["preserve_client_ip.enabled", "deregistration_delay.connection_termination.enabled"] {
            let one = all.as_array().unwrap().iter().find(|one| one["Key"] == key).unwrap();
            assert_eq!(one["Value"], expected, "{key}");
        }
    }
    world.refuses(
        "ModifyTargetGroupAttributes",
        vec![
            (modify(&group, &[("deregistration_delay.timeout_seconds", "3601")]), "ValidationError"),
            (modify(&group, &[("slow_start.duration_seconds", "29")]), "ValidationError"),
            (modify(&tcp, &[("slow_start.duration_seconds", "30")]), "ValidationError: Target group attribute key"),
            (modify(&group, &[("stickiness.type", "source_ip")]), "ValidationError"),
            (
                modify(
                    &group,
                    &[
                        ("slow_start.duration_seconds", "30"),
                        ("load_balancing.algorithm.type", "least_outstanding_requests"),
                    ],
                ),
                "InvalidConfigurationRequest: Slow start",
            ),
            (modify(&group, &[("load_balancing.algorithm.anomaly_mitigation", "on")]), "InvalidConfigurationRequest"),
            (
                modify(&group, &[("stickiness.enabled", "true"), ("stickiness.type", "app_cookie")]),
                "InvalidConfigurationRequest",
            ),
            (modify(&group, &[("stickiness.app_cookie.cookie_name", "AWSALB")]), "InvalidConfigurationRequest"),
            (
                modify(&group, &[("stickiness.enabled", "true"), ("load_balancing.cross_zone.enabled", "false")]),
                "InvalidConfigurationRequest: Stickiness is not supported",
            ),
            (modify(&group, &[("load_balancing.cross_zone.enabled", "off")]), "ValidationError"),
            (
                modify(&udp, &[("preserve_client_ip.enabled", "false")]),
                "InvalidConfigurationRequest: preserve_client_ip.enabled cannot be false",
            ),
            (modify(&group, &[("preserve_client_ip.enabled", "true")]), "ValidationError: Target group attribute key"),
        ],
    );
    for (arn, value) in [(&tcp, "true"), (&tcp, "false"), (&udp, "true")] {
        world.ok("ModifyTargetGroupAttributes", modify(arn, &[("preserve_client_ip.enabled", value)]));
    }
    let good = [("slow_start.duration_seconds", "30"), ("stickiness.enabled", "true")];
    let told = world.ok("ModifyTargetGroupAttributes", modify(&group, &good));
    let slow = told["Attributes"].as_array().unwrap().iter().find(|one| one["Key"] == "slow_start.duration_seconds");
    assert_eq!(slow.unwrap()["Value"], "30");
}

#[test]
fn a_target_is_unused_then_initial_then_draining_then_gone() {
    let mut world = World::new();
    let (balancer, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let targets = |ids: &[&str]| {
        let targets: Vec<Value> = ids.iter().map(|id| json!({"Id": id})).collect();
        json!({"TargetGroupArn": group, "Targets": targets})
    };
    world.ok("RegisterTargets", targets(&["172.31.0.9", "172.31.0.9", "172.31.32.9"]));
    let unused = |target: &str| row(target, "unused", "Target.NotInUse");
    assert_eq!(health(&world, &group), [unused("172.31.0.9:80"), unused("172.31.32.9:80")]);
    // The third zone is none of the balancer's.
    world.listener(&balancer, ("HTTP", 80), &group);
    let initial = |target: &str| row(target, "initial", "Elb.RegistrationInProgress");
    assert_eq!(health(&world, &group), [initial("172.31.0.9:80"), unused("172.31.32.9:80")]);
    world.ok("DeregisterTargets", targets(&["172.31.0.9", "172.31.0.77"]));
    let draining = row("172.31.0.9:80", "draining", "Target.DeregistrationInProgress");
    assert_eq!(health(&world, &group)[0], draining);
    // Once registered again it serves again.
    world.ok("RegisterTargets", targets(&["172.31.0.9"]));
    assert_eq!(health(&world, &group)[0], initial("172.31.0.9:80"));
    world.ok("DeregisterTargets", targets(&["172.31.0.9"]));
    let asked = world.ok("DescribeTargetHealth", targets(&["172.31.0.1"]));
    let asked = &asked["TargetHealthDescriptions"][0];
    assert_eq!(asked["Target"], json!({"Id": "172.31.0.1", "Port": 80}));
    assert_eq!(asked["TargetHealth"]["Reason"], "Target.NotRegistered");
    let expire = |world: &World| {
        let plan = longshore_plan::expire::turn(&world.bench.store.read(), Timestamp::from_millis(world.bench.now));
        world.bench.apply(plan.changes);
        plan.not_before.map(|at| at.millis() - world.bench.now)
    };
    assert_eq!(expire(&world), Some(300_000));
    world.bench.now += 300_000;
    assert_eq!(expire(&world), None);
    assert_eq!(health(&world, &group), [unused("172.31.32.9:80")]);
}

#[test]
fn a_target_drains_as_long_as_its_group_says_and_not_at_all_where_nobody_forwards() {
    let world = World::new();
    let group = world.group("g", "HTTP");
    let targets = json!({"TargetGroupArn": group, "Targets": [{"Id": "172.31.0.9", "Port": 8080}]});
    world.ok("RegisterTargets", targets.clone());
    // With the group's own port it is another target.
    world.ok("DeregisterTargets", json!({"TargetGroupArn": group, "Targets": [{"Id": "172.31.0.9"}]}));
    assert_eq!(health(&world, &group).len(), 1);
    world.ok("DeregisterTargets", targets.clone());
    assert_eq!(health(&world, &group).len(), 0);
    world.listener(&world.balancer("web"), ("HTTP", 80), &group);
    let attributes = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]);
    world.ok("ModifyTargetGroupAttributes", json!({"TargetGroupArn": group, "Attributes": attributes}));
    world.ok("RegisterTargets", targets.clone());
    world.ok("DeregisterTargets", targets);
    assert_eq!(health(&world, &group).len(), 0);
}

#[test]
fn what_is_no_target_is_refused() {
    let world = World::new();
    let group = world.group("g", "HTTP");
    let instances = with(&world, json!({"Name": "i", "TargetType": "instance"}));
    let instances = text(&world.ok("CreateTargetGroup", instances)["TargetGroups"][0]["TargetGroupArn"]);
    let one = |target: Value| json!({"TargetGroupArn": group, "Targets": [target]});
    world.refuses(
        "RegisterTargets",
        vec![
            (one(json!({"Id": "x"})), "ValidationError: The IP address 'x' is not a valid IPv4 address"),
            (one(json!({"Id": "fd00::1"})), "ValidationError"),
            (one(json!({"Id": "8.8.8.8", "AvailabilityZone": "all"})), "InvalidTarget: The IP address '8.8.8.8'"),
            (one(json!({"Id": "127.0.0.1", "AvailabilityZone": "all"})), "InvalidTarget"),
            (one(json!({"Id": "10.0.0.1"})), "ValidationError: The IP address '10.0.0.1' is outside the VPC"),
            (one(json!({"Id": "172.31.200.1"})), "InvalidTarget: The IP address '172.31.200.1' must be from a subnet"),
            (one(json!({"Id": "172.31.0.9", "AvailabilityZone": "us-east-1b"})), "ValidationError"),
            (one(json!({"Id": "172.31.0.9", "Port": 0})), "ValidationError: 1 validation error"),
            (json!({"TargetGroupArn": group, "Targets": []}), "ValidationError: At least one target"),
            (json!({"TargetGroupArn": instances, "Targets": [{"Id": "i-1"}]}), "InvalidTarget: The following targets"),
        ],
    );
    world.ok("RegisterTargets", one(json!({"Id": "10.0.0.1", "AvailabilityZone": "all"})));
    assert_eq!(world.bench.store.read().targets.len(), 1);
}

#[test]
fn a_thousand_targets_are_the_most_and_go_with_their_group() {
    let world = World::new();
    let group = world.group("g", "HTTP");
    let targets: Vec<Value> = (0..1000).map(|at| json!({"Id": "172.31.0.9", "Port": at + 1})).collect();
    world.ok("RegisterTargets", json!({"TargetGroupArn": group, "Targets": targets}));
    assert_eq!(health(&world, &group).len(), 1000);
    world.ok("RegisterTargets", json!({"TargetGroupArn": group, "Targets": &targets[..5]}));
    let more = json!({"TargetGroupArn": group, "Targets": [{"Id": "172.31.0.10"}]});
    world.refuses("RegisterTargets", vec![(more, "TooManyTargets")]);
    // A balancer counts the targets of all its groups.
    let (balancer, second) = (world.balancer("web"), world.group("h", "HTTP"));
    let listener = world.listener(&balancer, ("HTTP", 80), &group);
    world.ok("RegisterTargets", json!({"TargetGroupArn": second, "Targets": [{"Id": "172.31.0.10"}]}));
    let forward = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 81,
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": second}]});
    world.refuses("CreateListener", vec![(forward, "TooManyTargets")]);
    world.ok("DeleteListener", json!({"ListenerArn": listener}));
    world.ok("DeleteTargetGroup", json!({"TargetGroupArn": group}));
    assert_eq!(world.bench.store.read().targets.len(), 1);
}
