//! The addresses of load balancers, and the health of targets as edges find it.

use std::net::Ipv4Addr;

use longshore_model::balancer::{self, Health, LOOPBACK, Target, group_name};
use longshore_model::{AccountId, Arn, Change, Mint, State};

use crate::place::next_free;

/// An address of [`LOOPBACK`] that no balancer of any account has; none when all are given. The first is any, so that two
/// installations on one machine seldom meet; the others follow it in a circle, and a freed one comes back late.
pub fn address(state: &State, mint: &mut Mint) -> Option<Ipv4Addr> {
    let last = LOOPBACK.size() - 2;
    let used = state.index.balancing.addresses();
    let any = 1 + mint.next_u64() % last;
    match used.last {
        0 => LOOPBACK.address(any),
        _ => next_free(LOOPBACK, (1, last), Some(used), None, |_| true).map(Ipv4Addr::from),
    }
}

/// The target of the group with this ARN.
pub fn target<'a>(state: &'a State, group: &str, id: &str, port: u16) -> Option<&'a Target> {
    let account = AccountId::parse(Arn::parse(group)?.account)?;
    let group = state.target_groups.get(&balancer::key(&account, group_name(group)?))?;
    let key = balancer::target_key(&group.account, &group.id, id, i32::from(port));
    state.targets.get(&key).map(AsRef::as_ref)
}

/// What an edge has found of a target. Nothing of one that drains or is gone, and nothing that is known already.
pub fn found(state: &State, group: &str, id: &str, port: u16, health: Health) -> Option<Change> {
    let target = target(state, group, id, port).filter(|target| target.draining.is_none())?;
    let says = |health: &Health| (health.state, health.reason, health.description.clone());
    if target.health.as_ref().map(says) == Some(says(&health)) {
        return None;
    }
    Some(Target { health: Some(health), ..target.clone() }.into())
}

#[cfg(test)]
mod tests {
    use longshore_api::elasticloadbalancing as api;
    use longshore_model::balancer::{LoadBalancer, Map};
    use longshore_model::{Change, TableName};
    use longshore_wire::Timestamp;

    use super::*;

    fn balancer(name: &str, address: Ipv4Addr) -> Change {
        LoadBalancer {
            account: "1".to_owned(),
            name: name.to_owned(),
            id: "1".to_owned(),
            created_at: Timestamp::from_millis(0),
            kind: api::LoadBalancerTypeEnum::Application,
            scheme: api::LoadBalancerSchemeEnum::Internal,
            vpc: "vpc".to_owned(),
            zones: Vec::new(),
            security_groups: Vec::new(),
            private_link_rules: None,
            address: address.to_string(),
            attributes: Map::new(),
            tags: Map::new(),
        }
        .into()
    }

    #[test]
    fn addresses_follow_each_other_and_a_freed_one_is_not_the_next() {
        let (mut state, mut mint) = (State::default(), Mint::new(3));
        let mut next = |state: &State| address(state, &mut mint).unwrap();
        let first = next(&state);
        assert!(LOOPBACK.contains(first), "{first}");
        state.apply(&balancer("a", first));
        let second = next(&state);
        assert_eq!(u32::from(second), u32::from(first) + 1);
        state.apply(&balancer("b", second));
        state.apply(&Change::Delete(TableName::LoadBalancer, "1/a".to_owned()));
        assert_eq!(u32::from(next(&state)), u32::from(first) + 2);
        assert_eq!(state.index.balancing.addresses().taken.len(), 1);
    }

    #[test]
    fn behind_the_last_address_comes_the_first() {
        let (mut state, mut mint) = (State::default(), Mint::new(3));
        let last = LOOPBACK.address(LOOPBACK.size() - 2).unwrap();
        state.apply(&balancer("a", last));
        assert_eq!(address(&state, &mut mint), LOOPBACK.address(1));
    }

    const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/6d0ecf831eec9f09";

    fn group() -> Change {
        balancer::TargetGroup {
            account: "123456789012".to_owned(),
            name: "web".to_owned(),
            id: "6d0ecf831eec9f09".to_owned(),
            created_at: Timestamp::default(),
            target_type: api::TargetTypeEnum::Ip,
            protocol: api::ProtocolEnum::Http,
            version: None,
            port: 80,
            vpc: "vpc".to_owned(),
            check: balancer::HealthCheck {
                protocol: api::ProtocolEnum::Http,
                port: "traffic-port".to_owned(),
                path: None,
                interval_seconds: 30,
                timeout_seconds: 5,
                healthy_threshold: 5,
                unhealthy_threshold: 2,
                codes: None,
            },
            attributes: Map::new(),
            tags: Map::new(),
        }
        .into()
    }

    fn registered(draining: Option<balancer::Draining>) -> Target {
        Target {
            account: "123456789012".to_owned(),
            group: "6d0ecf831eec9f09".to_owned(),
            id: "172.31.0.4".to_owned(),
            port: 80,
            zone: None,
            registered_at: Timestamp::default(),
            draining,
            health: None,
        }
    }

    fn well(at: i64) -> Health {
        let state = api::TargetHealthStateEnum::Healthy;
        Health { state, reason: None, description: None, at: Timestamp::from_millis(at) }
    }

    #[test]
    fn what_an_edge_finds_is_written_once_and_of_registered_targets_alone() {
        let mut state = State::default();
        state.apply(&group());
        assert!(found(&state, GROUP, "172.31.0.4", 80, well(1)).is_none());
        state.apply(&registered(None).into());
        assert!(found(&state, GROUP, "172.31.0.4", 81, well(1)).is_none());
        let change = found(&state, GROUP, "172.31.0.4", 80, well(1)).unwrap();
        assert!(!target(&state, GROUP, "172.31.0.4", 80).unwrap().is_healthy());
        state.apply(&change);
        assert!(target(&state, GROUP, "172.31.0.4", 80).unwrap().is_healthy());
        assert!(found(&state, GROUP, "172.31.0.4", 80, well(2)).is_none());
        let (since, until) = (Timestamp::default(), Timestamp::from_millis(1));
        state.apply(&registered(Some(balancer::Draining { since, until })).into());
        assert!(found(&state, GROUP, "172.31.0.4", 80, well(3)).is_none());
    }
}
