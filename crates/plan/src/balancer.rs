//! The addresses of load balancers, and the health of targets as edges find it.

use std::net::Ipv4Addr;

use longshore_model::balancer::{self, Health, LOOPBACK, LoadBalancer, Target, group_name};
use longshore_model::index::AddressUse;
use longshore_model::{AccountId, Arn, Change, State};

use crate::place::next_free;

/// Gives each zone of a balancer that has no address one of [`LOOPBACK`] that no balancer of any account has; none when all
/// are given. The first of all is any, so that two installations on one machine seldom meet; the others follow it in a circle,
/// and a freed one comes back late.
pub fn give_addresses(state: &State, row: &mut LoadBalancer, any: u64) -> Option<()> {
    row.settle();
    let mut used = state.index.balancing.addresses().clone();
    for zone in row.zones.iter_mut().filter(|zone| zone.address.is_none()) {
        let address = free(&used, any)?;
        used.give(address.into());
        zone.address = Some(address.to_string());
    }
    Some(())
}

fn free(used: &AddressUse, any: u64) -> Option<Ipv4Addr> {
    let last = LOOPBACK.size() - 2;
    match used.last {
        0 => LOOPBACK.address(1 + any % last),
        _ => next_free(LOOPBACK, (1, last), Some(used), None, |_| true).map(Ipv4Addr::from),
    }
}

/// Balancers whose records were written before each zone had an address, with one for each.
pub fn settled(state: &State) -> impl Iterator<Item = LoadBalancer> {
    let rows = state.load_balancers.iter().map(|(_, row)| row);
    let old = rows.filter(|row| row.address.is_some() || row.zones.iter().any(|zone| zone.address.is_none()));
    // Any number will do: some address is given already.
    old.filter_map(|row| {
        let mut row = LoadBalancer::clone(row);
        give_addresses(state, &mut row, 0).map(|()| row)
    })
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
    use longshore_model::TableName;
    use longshore_model::balancer::{BalancerZone, Map};
    use longshore_wire::Timestamp;

    use super::*;

    fn balancer(name: &str, zones: &[&str]) -> LoadBalancer {
        let zone = |zone: &&str| BalancerZone { zone: (*zone).into(), subnet: (*zone).into(), address: None };
        LoadBalancer {
            account: "1".to_owned(),
            name: name.to_owned(),
            id: "1".to_owned(),
            created_at: Timestamp::from_millis(0),
            kind: api::LoadBalancerTypeEnum::Application,
            scheme: api::LoadBalancerSchemeEnum::Internal,
            vpc: "vpc".to_owned(),
            zones: zones.iter().map(zone).collect(),
            security_groups: Vec::new(),
            private_link_rules: None,
            address: None,
            attributes: Map::new(),
            tags: Map::new(),
        }
    }

    fn addresses(row: &LoadBalancer) -> Vec<u32> {
        row.addresses().map(|(_, address)| address.into()).collect()
    }

    /// Gives the balancer its addresses and writes it.
    fn made(state: &mut State, mut row: LoadBalancer, any: u64) -> Vec<u32> {
        give_addresses(state, &mut row, any).unwrap();
        let given = addresses(&row);
        state.apply(&row.into());
        given
    }

    #[test]
    fn addresses_follow_each_other_and_a_freed_one_is_not_the_next() {
        let mut state = State::default();
        let [first, second] = made(&mut state, balancer("a", &["a", "b"]), 77)[..] else { panic!("two zones") };
        assert_eq!((LOOPBACK.address(78).map(u32::from), second), (Some(first), first + 1));
        assert_eq!(made(&mut state, balancer("b", &["a"]), 5), [first + 2]);
        state.apply(&Change::Delete(TableName::LoadBalancer, "1/a".to_owned()));
        assert_eq!(made(&mut state, balancer("c", &["a"]), 5), [first + 3]);
        assert_eq!(state.index.balancing.addresses().taken.len(), 2);
    }

    #[test]
    fn behind_the_last_address_comes_the_first() {
        let mut state = State::default();
        let last = LOOPBACK.size() - 2;
        let circle = [last, 1].map(|place| LOOPBACK.address(place).map(u32::from).unwrap());
        assert_eq!(made(&mut state, balancer("a", &["a", "b"]), last - 1), circle);
    }

    #[test]
    fn a_zone_that_comes_has_another_address_and_the_others_keep_theirs() {
        let mut state = State::default();
        let [first, second] = made(&mut state, balancer("a", &["a", "b"]), 0)[..] else { panic!("two zones") };
        let mut row = LoadBalancer::clone(state.load_balancers.get("1/a").unwrap());
        row.zones[0] = BalancerZone { zone: "c".into(), subnet: "c".into(), address: None };
        assert_eq!(made(&mut state, row, 0), [second + 1, second]);
        let taken = &state.index.balancing.addresses().taken;
        assert_eq!((taken.len(), taken.contains(first)), (2, false));
    }

    #[test]
    fn a_record_of_before_keeps_its_address_and_its_other_zones_are_given_theirs() {
        let mut state = State::default();
        let old = LoadBalancer { address: Some("127.64.0.9".into()), ..balancer("a", &["a", "b"]) };
        state.apply(&old.into());
        assert_eq!(state.index.balancing.addresses().taken.len(), 1);
        let rows: Vec<LoadBalancer> = settled(&state).collect();
        let shown = |row: &LoadBalancer| row.addresses().map(|(_, address)| address.to_string()).collect::<Vec<_>>();
        assert_eq!(rows.iter().map(shown).collect::<Vec<_>>(), [["127.64.0.9", "127.64.0.10"]]);
        rows.into_iter().for_each(|row| state.apply(&row.into()));
        assert_eq!((settled(&state).count(), state.index.balancing.addresses().taken.len()), (0, 2));
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
