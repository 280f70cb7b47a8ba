use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{HERE, World, each, forward, text};

/// Those of all zones, of which each has one.
fn addresses(zones: &Value) -> Vec<String> {
    let zones = zones.as_array().unwrap().iter().map(|zone| zone["LoadBalancerAddresses"].as_array().unwrap());
    zones.map(|one| if let [one] = &one[..] { text(&one["IpAddress"]) } else { panic!("{one:?}") }).collect()
}

#[test]
fn a_balancer_is_active_and_named_as_aws_names_it() {
    let world = World::new();
    let input = json!({"Name": "web", "Subnets": &world.subnets[..2], "Tags": [{"Key": "team", "Value": "a"}]});
    let made = world.ok("CreateLoadBalancer", input.clone())["LoadBalancers"][0].clone();
    let arn = text(&made["LoadBalancerArn"]);
    let id = arn.strip_prefix(&format!("{HERE}loadbalancer/app/web/")).unwrap();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{arn}");
    assert_eq!(made["DNSName"], json!(format!("web-{id}.us-east-1.elb.localhost")));
    assert_eq!(made["State"], json!({"Code": "active"}));
    assert_eq!((&made["Scheme"], &made["Type"]), (&json!("internet-facing"), &json!("application")));
    assert_eq!(made["SecurityGroups"].as_array().unwrap().len(), 1);
    assert_eq!(each(&made["AvailabilityZones"], "ZoneName"), ["us-east-1a", "us-east-1b"]);
    let addresses = addresses(&made["AvailabilityZones"]);
    assert!(addresses.iter().all(|address| address.starts_with("127.")) && addresses[0] != addresses[1], "{made}");
    // The same again is the same; anything else is another.
    assert_eq!(world.ok("CreateLoadBalancer", input)["LoadBalancers"][0], made);
    let other = json!({"Name": "web", "Subnets": world.subnets});
    let told = world.fault("CreateLoadBalancer", other);
    let wanted =
        "DuplicateLoadBalancerName: A load balancer with the same name 'web' exists, but with different settings";
    assert_eq!(told, wanted);
    assert_eq!(world.ok("DescribeLoadBalancers", json!({"Names": ["web"]}))["LoadBalancers"][0], made);
    assert_eq!(
        world.ok("DescribeLoadBalancers", json!({"LoadBalancerArns": [arn, arn]}))["LoadBalancers"],
        json!([made])
    );
}

#[test]
fn what_is_no_balancer_is_refused() {
    let world = World::new();
    let (_, foreign) = world.other_network();
    let [one, two] = [&world.subnets[0], &world.subnets[1]];
    let with = |more: Value| {
        let mut input = json!({"Name": "web", "Subnets": [one, two]});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let zones = "ValidationError: At least two subnets in two different Availability Zones must be specified";
    world.refuses(
        "CreateLoadBalancer",
        vec![
            (with(json!({"Name": "a".repeat(33)})), "ValidationError: The load balancer name"),
            (with(json!({"Name": "-a"})), "ValidationError: The load balancer name"),
            (with(json!({"Name": "a_b"})), "ValidationError: The load balancer name"),
            (with(json!({"Name": ""})), "ValidationError: The load balancer name"),
            (with(json!({"Name": "internal-a"})), "ValidationError: The load balancer name"),
            (with(json!({"Name": null})), "ValidationError: 1 validation error detected: Value null at 'name'"),
            (with(json!({"Scheme": "none"})), "ValidationError: 1 validation error"),
            (with(json!({"Type": "gateway"})), "UnsupportedOperationException"),
            (with(json!({"IpAddressType": "dualstack"})), "InvalidSubnet"),
            (with(json!({"Subnets": [one]})), zones),
            (with(json!({"Subnets": []})), "ValidationError: At least one subnet must be specified"),
            (with(json!({"Subnets": [one, one]})), "InvalidConfigurationRequest: A load balancer cannot be attached"),
            (with(json!({"Subnets": [one, foreign]})), "InvalidConfigurationRequest: All subnets must belong"),
            (with(json!({"Subnets": [one, "subnet-no"]})), "SubnetNotFound: The subnet ID 'subnet-no' does not exist"),
            (with(json!({"SubnetMappings": [{"SubnetId": one}]})), "ValidationError: You can specify either subnets"),
            (
                with(json!({"Subnets": [], "SubnetMappings": [{"SubnetId": one, "AllocationId": "eipalloc-1"}]})),
                "AllocationIdNotFound",
            ),
            (with(json!({"SecurityGroups": ["sg-no"]})), "InvalidSecurityGroup: The security group 'sg-no' does not"),
            (with(json!({"Tags": [{"Key": "a"}, {"Key": "a"}]})), "DuplicateTagKeys"),
            (with(json!({"Tags": [{"Key": "AWS:a"}]})), "ValidationError: The tag key"),
        ],
    );
    let many: Vec<Value> = (0..51).map(|at| json!({"Key": format!("k{at}")})).collect();
    world.refuses("CreateLoadBalancer", vec![(with(json!({"Tags": many})), "TooManyTags")]);
    assert!(world.bench.store.read().load_balancers.is_empty());
}

#[test]
fn fifty_balancers_of_a_kind_have_addresses_of_their_own() {
    let world = World::new();
    (0..50).for_each(|at| drop(world.balancer(&format!("web-{at}"))));
    let more = json!({"Name": "more", "Subnets": world.subnets});
    world.refuses("CreateLoadBalancer", vec![(more, "TooManyLoadBalancers")]);
    world.network("net");
    let mut seen = Vec::new();
    let mut marker = Value::Null;
    loop {
        let page = world.ok("DescribeLoadBalancers", json!({"PageSize": 20, "Marker": marker}));
        let balancers = page["LoadBalancers"].as_array().unwrap().iter();
        seen.extend(balancers.flat_map(|one| addresses(&one["AvailabilityZones"])));
        marker = page["NextMarker"].clone();
        if marker.is_null() {
            break;
        }
    }
    let zones = world.bench.store.read().load_balancers.iter().map(|(_, row)| row.zones.len()).sum::<usize>();
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (zones, zones));
    assert!(zones > 51, "{zones}");
    world.refuses("DescribeLoadBalancers", vec![(json!({"Marker": "x"}), "ValidationError: The specified marker")]);
}

#[test]
fn a_balancer_goes_with_its_listeners_unless_it_is_protected() {
    let world = World::new();
    let (arn, group) = (world.balancer("web"), world.group("g", "HTTP"));
    world.listener(&arn, ("HTTP", 80), &group);
    world.listener(&arn, ("HTTP", 81), &group);
    let protect = |value: &str| {
        let attributes = json!([{"Key": "deletion_protection.enabled", "Value": value}]);
        world.ok("ModifyLoadBalancerAttributes", json!({"LoadBalancerArn": arn, "Attributes": attributes}));
    };
    protect("true");
    let delete = || json!({"LoadBalancerArn": arn});
    world.refuses("DeleteLoadBalancer", vec![(delete(), "OperationNotPermitted")]);
    protect("false");
    world.ok("DeleteLoadBalancer", delete());
    assert!(world.bench.store.read().listeners.is_empty());
    world.ok("DeleteLoadBalancer", delete());
    world.refuses(
        "DescribeLoadBalancers",
        vec![
            (json!({"LoadBalancerArns": [arn]}), "LoadBalancerNotFound: Load balancer '"),
            (json!({"Names": ["web"]}), "LoadBalancerNotFound: Load balancers '[web]' not found"),
            (json!({"Names": ["web"], "LoadBalancerArns": [arn]}), "ValidationError"),
            (json!({"LoadBalancerArns": ["web"]}), "ValidationError: 'web' is not a valid load balancer ARN"),
        ],
    );
    // Another of the same name is not the one that is gone.
    world.balancer("web");
    world.refuses("DescribeLoadBalancers", vec![(json!({"LoadBalancerArns": [arn]}), "LoadBalancerNotFound")]);
    assert_eq!(world.ok("DescribeLoadBalancers", json!({}))["LoadBalancers"].as_array().unwrap().len(), 1);
    world.ok("DeleteTargetGroup", json!({"TargetGroupArn": group}));
}

#[test]
fn subnets_and_security_groups_are_set_anew() {
    let world = World::new();
    let (arn, net) = (world.balancer("web"), world.network("net"));
    let made = world.ok("DescribeLoadBalancers", json!({"LoadBalancerArns": [arn]}))["LoadBalancers"][0].clone();
    let set = world.ok("SetSubnets", json!({"LoadBalancerArn": arn, "Subnets": world.subnets}));
    assert_eq!(each(&set["AvailabilityZones"], "ZoneName"), ["us-east-1a", "us-east-1b", "us-east-1c"]);
    // A zone that stays keeps its address, and one that comes has another.
    let (before, after) = (addresses(&made["AvailabilityZones"]), addresses(&set["AvailabilityZones"]));
    assert!(after[..2] == before && !before.contains(&after[2]), "{before:?} {after:?}");
    let set = world.ok("SetSubnets", json!({"LoadBalancerArn": arn, "Subnets": &world.subnets[1..]}));
    assert_eq!(addresses(&set["AvailabilityZones"]), after[1..]);
    world.ok("SetSubnets", json!({"LoadBalancerArn": arn, "Subnets": world.subnets}));
    let (_, foreign) = world.other_network();
    world.refuses(
        "SetSubnets",
        vec![
            (json!({"LoadBalancerArn": arn, "Subnets": [world.subnets[0]]}), "ValidationError: At least two subnets"),
            (json!({"LoadBalancerArn": net, "Subnets": [foreign]}), "InvalidConfigurationRequest: All subnets must"),
            (json!({"LoadBalancerArn": arn}), "ValidationError: At least one subnet"),
        ],
    );
    let group = world.bench.store.read().security_groups.iter().next().unwrap().1.id.clone();
    let set = world.ok("SetSecurityGroups", json!({"LoadBalancerArn": arn, "SecurityGroups": [group]}));
    assert_eq!(set["SecurityGroupIds"], json!([group]));
    world.refuses(
        "SetSecurityGroups",
        vec![
            (json!({"LoadBalancerArn": arn, "SecurityGroups": []}), "ValidationError: At least one security group"),
            (json!({"LoadBalancerArn": arn, "SecurityGroups": ["sg-1"]}), "InvalidSecurityGroup"),
            (
                json!({"LoadBalancerArn": net, "SecurityGroups": [group]}),
                "InvalidConfigurationRequest: Security groups",
            ),
        ],
    );
    let kept = json!({"LoadBalancerArn": arn, "IpAddressType": "ipv4"});
    assert_eq!(world.ok("SetIpAddressType", kept), json!({"IpAddressType": "ipv4"}));
    let both = json!({"LoadBalancerArn": arn, "IpAddressType": "dualstack"});
    world.refuses("SetIpAddressType", vec![(both, "InvalidSubnet")]);
}

#[test]
fn attributes_are_those_of_the_kind_and_keep_their_bounds() {
    let world = World::new();
    let (arn, net) = (world.balancer("web"), world.network("net"));
    let value = |arn: &str, key: &str| {
        let all = world.ok("DescribeLoadBalancerAttributes", json!({"LoadBalancerArn": arn}));
        let all = all["Attributes"].as_array().unwrap().clone();
        all.iter().find(|one| one["Key"] == key).map(|one| text(&one["Value"]))
    };
    let modify = |arn: &str, key: &str, value: &str| json!({"LoadBalancerArn": arn, "Attributes": [{"Key": key, "Value": value}]});
    assert_eq!(value(&arn, "idle_timeout.timeout_seconds").as_deref(), Some("60"));
    assert_eq!(value(&net, "idle_timeout.timeout_seconds"), None);
    assert_eq!(value(&arn, "load_balancing.cross_zone.enabled").as_deref(), Some("true"));
    assert_eq!(value(&net, "load_balancing.cross_zone.enabled").as_deref(), Some("false"));
    world.ok("ModifyLoadBalancerAttributes", modify(&arn, "idle_timeout.timeout_seconds", "4000"));
    assert_eq!(value(&arn, "idle_timeout.timeout_seconds").as_deref(), Some("4000"));
    world.refuses(
        "ModifyLoadBalancerAttributes",
        vec![
            (modify(&arn, "idle_timeout.timeout_seconds", "4001"), "ValidationError: Load balancer attribute"),
            (modify(&arn, "idle_timeout.timeout_seconds", "+60"), "ValidationError"),
            (modify(&arn, "idle_timeout.timeout_seconds", ""), "ValidationError"),
            (modify(&net, "idle_timeout.timeout_seconds", "60"), "ValidationError: Load balancer attribute key"),
            (modify(&arn, "no.such", "1"), "ValidationError: Load balancer attribute key 'no.such' is not recognized"),
            (modify(&arn, "routing.http.desync_mitigation_mode", "lax"), "ValidationError"),
            (modify(&arn, "access_logs.s3.enabled", "true"), "InvalidConfigurationRequest"),
            (modify(&arn, "access_logs.s3.bucket", "../b"), "InvalidConfigurationRequest: The name of the bucket"),
            (modify(&arn, "access_logs.s3.bucket", "a..b"), "InvalidConfigurationRequest: The name of the bucket"),
            (modify(&arn, "access_logs.s3.prefix", "a/../b"), "InvalidConfigurationRequest: The prefix"),
            (modify(&arn, "access_logs.s3.prefix", "a//b"), "InvalidConfigurationRequest: The prefix"),
            (modify(&arn, "connection_logs.s3.prefix", "AWSLogs"), "InvalidConfigurationRequest: The prefix"),
            (modify(&arn, "load_balancing.cross_zone.enabled", "false"), "ValidationError"),
        ],
    );
    let twice =
        json!([{"Key": "routing.http2.enabled", "Value": "true"}, {"Key": "routing.http2.enabled", "Value": "false"}]);
    world.refuses(
        "ModifyLoadBalancerAttributes",
        vec![(
            json!({"LoadBalancerArn": arn, "Attributes": twice}),
            "ValidationError: Load balancer attribute key 'routing.http2.enabled' is specified twice",
        )],
    );
}

#[test]
fn tags_come_and_go_on_every_kind_of_resource() {
    let world = World::new();
    let (arn, group) = (world.balancer("web"), world.group("g", "HTTP"));
    let listener = world.listener(&arn, ("HTTP", 80), &group);
    let rule = world.rule(&listener, 1);
    let rules = world.ok("DescribeRules", json!({"ListenerArn": listener}));
    let default = text(&rules["Rules"][1]["RuleArn"]);
    let all = json!([arn, group, listener, rule, default, arn]);
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    world.ok("AddTags", json!({"ResourceArns": all, "Tags": tags}));
    let told = world.ok("DescribeTags", json!({"ResourceArns": all}))["TagDescriptions"].clone();
    assert_eq!(each(&told, "ResourceArn"), [&arn, &group, &listener, &rule, &default].map(String::as_str));
    assert!(told.as_array().unwrap().iter().all(|one| one["Tags"] == tags), "{told}");
    world.ok("RemoveTags", json!({"ResourceArns": [listener, rule], "TagKeys": ["a", "c"]}));
    let told = world.ok("DescribeTags", json!({"ResourceArns": [arn, rule]}))["TagDescriptions"].clone();
    assert_eq!((&told[0]["Tags"], &told[1]["Tags"]), (&tags, &json!([{"Key": "b", "Value": "2"}])));
    let gone = format!("{HERE}targetgroup/no/0000000000000000");
    world.refuses(
        "AddTags",
        vec![
            (json!({"ResourceArns": [arn, gone], "Tags": [{"Key": "c"}]}), "TargetGroupNotFound"),
            (json!({"ResourceArns": ["x"], "Tags": [{"Key": "c"}]}), "ValidationError"),
            (json!({"ResourceArns": [], "Tags": [{"Key": "c"}]}), "ValidationError"),
            (json!({"ResourceArns": [arn], "Tags": []}), "ValidationError"),
        ],
    );
    let told = world.ok("DescribeTags", json!({"ResourceArns": [arn]}))["TagDescriptions"].clone();
    assert_eq!(told[0]["Tags"], tags);
    let many: Vec<String> = (0..21).map(|at| format!("{HERE}targetgroup/g{at}/0000000000000000")).collect();
    world.refuses("DescribeTags", vec![(json!({"ResourceArns": many}), "ValidationError: At most '20'")]);
}

#[test]
fn policies_and_limits_are_told_page_by_page() {
    let world = World::new();
    let all = world.ok("DescribeSSLPolicies", json!({}));
    let names = each(&all["SslPolicies"], "Name");
    assert_eq!(names[0], "ELBSecurityPolicy-2016-08");
    let one = world.ok("DescribeSSLPolicies", json!({"Names": ["ELBSecurityPolicy-TLS13-1-3-2021-06"]}));
    assert_eq!(one["SslPolicies"][0]["SslProtocols"], json!(["TLSv1.3"]));
    assert_eq!(one["SslPolicies"][0]["Ciphers"][2], json!({"Name": "TLS_CHACHA20_POLY1305_SHA256", "Priority": 3}));
    world
        .refuses("DescribeSSLPolicies", vec![(json!({"Names": ["x"]}), "SSLPolicyNotFound: SSL policy 'x' not found")]);
    let first = world.ok("DescribeSSLPolicies", json!({"PageSize": 3}));
    let second = world.ok("DescribeSSLPolicies", json!({"PageSize": 400, "Marker": first["NextMarker"]}));
    assert_eq!([each(&first["SslPolicies"], "Name"), each(&second["SslPolicies"], "Name")].concat(), names);
    let limits = world.ok("DescribeAccountLimits", json!({}))["Limits"].clone();
    let groups = limits.as_array().unwrap().iter().find(|limit| limit["Name"] == "target-groups").unwrap();
    assert_eq!(groups["Max"], "3000");
}

#[test]
fn a_group_serves_one_balancer() {
    let world = World::new();
    let (one, two, group) = (world.balancer("one"), world.balancer("two"), world.group("g", "HTTP"));
    world.listener(&one, ("HTTP", 80), &group);
    let input = json!({"LoadBalancerArn": two, "Protocol": "HTTP", "Port": 80, "DefaultActions": [forward(&group)]});
    let told = world.fault("CreateListener", input);
    assert_eq!(
        told,
        format!(
            "TargetGroupAssociationLimit: The following target groups cannot be associated with more than one load \
             balancer: {group}"
        )
    );
}
