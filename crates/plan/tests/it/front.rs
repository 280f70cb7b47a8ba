//! What stands in front of services: a load balancer, its listener, its target groups.

use longshore_api::ecs;
use longshore_api::elasticloadbalancing as elb;
use longshore_model::balancer::{BalancerZone, HealthCheck, Listener, LoadBalancer, Map, TargetGroup};

use crate::world::ACCOUNT;

/// ARN of the group with this name.
pub fn arn(group: &str) -> String {
    format!("arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/{group}/0123456789abcde{}", group.len())
}

pub fn load_balancer(zones: &[&str]) -> LoadBalancer {
    let zone = |(index, name): (usize, &&str)| BalancerZone {
        zone: format!("us-east-1{name}"),
        subnet: format!("subnet-{name}"),
        address: Some(format!("127.64.0.{}", index + 1)),
    };
    LoadBalancer {
        account: ACCOUNT.into(),
        name: "front".into(),
        id: "50dc6c495c0c9188".into(),
        created_at: Default::default(),
        kind: elb::LoadBalancerTypeEnum::Application,
        scheme: elb::LoadBalancerSchemeEnum::InternetFacing,
        vpc: "vpc-1".into(),
        zones: zones.iter().enumerate().map(zone).collect(),
        security_groups: Vec::new(),
        private_link_rules: None,
        address: None,
        attributes: Map::new(),
        tags: Map::new(),
    }
}

pub fn group(name: &str, delay: i64) -> TargetGroup {
    TargetGroup {
        account: ACCOUNT.into(),
        name: name.into(),
        id: format!("0123456789abcde{}", name.len()),
        created_at: Default::default(),
        target_type: elb::TargetTypeEnum::Ip,
        protocol: elb::ProtocolEnum::Http,
        version: Some("HTTP1".into()),
        port: 80,
        vpc: "vpc-1".into(),
        check: HealthCheck {
            protocol: elb::ProtocolEnum::Http,
            port: "traffic-port".into(),
            path: Some("/".into()),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            codes: Some("200".into()),
        },
        attributes: [("deregistration_delay.timeout_seconds".to_owned(), delay.to_string())].into(),
        tags: Map::new(),
    }
}

pub fn listener(groups: &[&str]) -> Listener {
    let tuple = |name: &&str| elb::TargetGroupTuple { target_group_arn: Some(arn(name)), weight: Some(1) };
    let config = elb::ForwardActionConfig {
        target_groups: Some(groups.iter().map(tuple).collect()),
        target_group_stickiness_config: None,
    };
    Listener {
        account: ACCOUNT.into(),
        balancer: "front".into(),
        id: "0467ef3c8400ae65".into(),
        port: 80,
        protocol: elb::ProtocolEnum::Http,
        certificates: Vec::new(),
        ssl_policy: None,
        alpn_policy: None,
        actions: vec![elb::Action { forward_config: Some(config), ..Default::default() }],
        default_rule: "d".into(),
        default_rule_tags: Map::new(),
        rules: Vec::new(),
        attributes: Map::new(),
        tags: Map::new(),
    }
}

pub fn balancers(groups: &[&str]) -> Vec<ecs::LoadBalancer> {
    let one = |(index, name): (usize, &&str)| ecs::LoadBalancer {
        target_group_arn: Some(arn(name)),
        container_name: Some("web".into()),
        container_port: Some(80 + index as i32),
        ..Default::default()
    };
    groups.iter().enumerate().map(one).collect()
}
