//! Attributes that nothing acts on: AWS's default is shown, and nothing else is kept.

use super::*;

/// What has attributes: its word in the operations' names, its parameter, its ARN.
type Bearer<'a> = (&'a str, &'a str, &'a str);

fn modify(world: &World, (of, arn_key, arn): Bearer<'_>, key: &str, value: &str) -> Result<Value, Fault> {
    let input = json!({arn_key: arn, "Attributes": [{"Key": key, "Value": value}]});
    world.call(&format!("Modify{of}Attributes"), &input)
}

fn shown(world: &World, (of, arn_key, arn): Bearer<'_>, key: &str) -> String {
    let all = world.ok(&format!("Describe{of}Attributes"), json!({arn_key: arn}))["Attributes"].clone();
    text(&all.as_array().unwrap().iter().find(|one| one["Key"] == key).unwrap()["Value"])
}

fn balancer(arn: &str) -> Bearer<'_> {
    ("LoadBalancer", "LoadBalancerArn", arn)
}

fn of_group(arn: &str) -> Bearer<'_> {
    ("TargetGroup", "TargetGroupArn", arn)
}

#[test]
fn what_nothing_acts_on_keeps_its_first_value() {
    let world = World::new();
    let (web, net) = (world.balancer("web"), world.network("net"));
    let (group, tcp, udp) = (world.group("g", "HTTP"), world.group("t", "TCP"), world.group("u", "UDP"));
    let listener = world.listener(&web, ("HTTP", 80), &group);
    let (web, net, listener) = (balancer(&web), balancer(&net), ("Listener", "ListenerArn", listener.as_str()));
    let (group, tcp, udp) = (of_group(&group), of_group(&tcp), of_group(&udp));
    for (bearer, key, usual, other) in [
        (web, "connection_logs.s3.enabled", "false", "true"),
        (web, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", "true"),
        (web, "waf.fail_open.enabled", "false", "true"),
        (web, "zonal_shift.config.enabled", "false", "true"),
        (net, "access_logs.s3.enabled", "false", "true"),
        (net, "ipv6.deny_all_igw_traffic", "false", "true"),
        (net, "dns_record.client_routing_policy", "any_availability_zone", "availability_zone_affinity"),
        (listener, "routing.http.response.server.enabled", "true", "false"),
        (listener, "routing.http.response.access_control_allow_origin.header_value", "", "*"),
        (listener, "routing.http.response.strict_transport_security.header_value", "", "max-age=1"),
        (listener, "routing.http.response.x_frame_options.header_value", "", "DENY"),
        (tcp, "target_health_state.unhealthy.draining_interval_seconds", "0", "60"),
        (group, "target_group_health.dns_failover.minimum_healthy_targets.count", "1", "off"),
        (group, "target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", "50"),
        (udp, "proxy_protocol_v2.enabled", "false", "true"),
    ] {
        let told = modify(&world, bearer, key, other).unwrap_err().to_string();
        let wanted =
            format!("UnsupportedOperationException: Longshore does not implement '{key}' other than '{usual}' yet");
        assert_eq!(told, wanted);
        modify(&world, bearer, key, usual).unwrap();
        assert_eq!(shown(&world, bearer, key), usual, "{key}");
    }
    // One that AWS has not is no value at all.
    let told = modify(&world, listener, "routing.http.response.x_frame_options.header_value", "no").unwrap_err();
    assert_eq!(told.code, "ValidationError");
    modify(&world, tcp, "proxy_protocol_v2.enabled", "true").unwrap();
    modify(&world, web, "access_logs.s3.bucket", "logs").unwrap();
    modify(&world, web, "access_logs.s3.enabled", "true").unwrap();
}
