//! A load balancer with two target groups, and its edge: it finds the targets well whose containers run.

use longshore_api::elasticloadbalancing as elb;
use longshore_model::balancer::{
    BalancerZone, Health, HealthCheck, Listener, LoadBalancer, Map, TargetGroup, targets_prefix,
};
use longshore_model::network::Subnet;
use longshore_model::{AccountId, Change, Place, State};
use longshore_plan::balancer;
use longshore_wire::Timestamp;

use crate::site::{ACCOUNT, REGION};

/// Names and deregistration delays of the groups, and the container's port that services register with each.
pub const GROUPS: [(&str, i64, i32); 2] = [("web", 12, 80), ("admin", 0, 81)];

/// Between two looks at the targets.
pub const EVERY_MILLIS: i64 = 3_000;

fn group(name: &str, delay: i64, vpc: &str) -> TargetGroup {
    TargetGroup {
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
        id: format!("{:0>16}", name.len()),
        created_at: Timestamp::default(),
        target_type: elb::TargetTypeEnum::Ip,
        protocol: elb::ProtocolEnum::Http,
        version: Some("HTTP1".to_owned()),
        port: 80,
        vpc: vpc.to_owned(),
        check: HealthCheck {
            protocol: elb::ProtocolEnum::Http,
            port: "traffic-port".to_owned(),
            path: Some("/".to_owned()),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            codes: Some("200".to_owned()),
        },
        attributes: [("deregistration_delay.timeout_seconds".to_owned(), delay.to_string())].into(),
        tags: Map::new(),
    }
}

/// ARN of the group with this name.
pub fn arn(name: &str) -> String {
    let place = AccountId::parse(ACCOUNT).map(|account| Place::new(REGION, &account));
    place.map(|place| group(name, 0, "").arn(&place)).unwrap_or_default()
}

/// What stands in front of services from the first moment on.
pub fn records(subnets: &[&Subnet]) -> Vec<Change> {
    let vpc = subnets.first().map(|subnet| subnet.vpc.clone()).unwrap_or_default();
    let zone = |(index, subnet): (usize, &&Subnet)| BalancerZone {
        zone: subnet.zone.clone(),
        subnet: subnet.id.clone(),
        address: Some(format!("127.64.0.{}", index + 1)),
    };
    let balancer = LoadBalancer {
        account: ACCOUNT.to_owned(),
        name: "front".to_owned(),
        id: "50dc6c495c0c9188".to_owned(),
        created_at: Timestamp::default(),
        kind: elb::LoadBalancerTypeEnum::Application,
        scheme: elb::LoadBalancerSchemeEnum::Internal,
        vpc: vpc.clone(),
        zones: subnets.iter().enumerate().map(zone).collect(),
        security_groups: Vec::new(),
        private_link_rules: None,
        address: None,
        attributes: Map::new(),
        tags: Map::new(),
    };
    let mut records = vec![Change::from(balancer)];
    for (name, delay, port) in GROUPS {
        records.push(group(name, delay, &vpc).into());
        records.push(listener(name, port).into());
    }
    records
}

/// Each group has a port of the balancer.
fn listener(name: &str, port: i32) -> Listener {
    let tuple = elb::TargetGroupTuple { target_group_arn: Some(arn(name)), weight: Some(1) };
    let config = elb::ForwardActionConfig { target_groups: Some(vec![tuple]), target_group_stickiness_config: None };
    Listener {
        account: ACCOUNT.to_owned(),
        balancer: "front".to_owned(),
        id: format!("{port:0>16}"),
        port,
        protocol: elb::ProtocolEnum::Http,
        actions: vec![elb::Action { forward_config: Some(config), ..elb::Action::default() }],
        default_rule: "d".to_owned(),
        default_rule_tags: Map::new(),
        rules: Vec::new(),
        attributes: Map::new(),
        tags: Map::new(),
        certificates: Vec::new(),
        ssl_policy: None,
        alpn_policy: None,
    }
}

/// Group, address and port of every target that does not drain.
pub fn targets(state: &State) -> Vec<(String, String, u16)> {
    let mut found = Vec::new();
    for (name, ..) in GROUPS {
        let prefix = targets_prefix(ACCOUNT, &group(name, 0, "").id);
        let rows = state.targets.scan(&prefix).filter(|(_, row)| row.draining.is_none());
        found.extend(rows.map(|(_, row)| (arn(name), row.id.clone(), row.port as u16)));
    }
    found
}

/// What the edge says of a target.
pub fn found(state: &State, target: &(String, String, u16), healthy: bool, now: Timestamp) -> Option<Change> {
    use elb::TargetHealthStateEnum::{Healthy, Unhealthy};
    let (group, address, port) = target;
    let health = Health { state: if healthy { Healthy } else { Unhealthy }, reason: None, description: None, at: now };
    balancer::found(state, group, address, *port, health)
}
