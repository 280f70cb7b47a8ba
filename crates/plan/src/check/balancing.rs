//! The laws of load balancers and target groups.

use std::collections::{BTreeMap, BTreeSet};

use longshore_model::State;
use longshore_model::balancer::{LOOPBACK, Listener, MOST_LISTENERS, MOST_RULES, MOST_TARGETS};

use super::{Found, offset};

pub(super) fn balancing(state: &State, found: &mut Found) {
    addresses(state, found);
    listeners(state, found);
    uses(state, found);
    targets(state, found);
}

fn addresses(state: &State, found: &mut Found) {
    let mut given = BTreeSet::new();
    let taken = &state.index.balancing.addresses().taken;
    for (key, row) in state.load_balancers.iter() {
        let number = row.address.parse().map(|address: std::net::Ipv4Addr| u32::from(address)).unwrap_or_default();
        let inside = offset(&format!("127.64.0.0/{}", LOOPBACK.prefix), &row.address).is_some();
        found.unless(inside && taken.contains(number), "a balancer's address is of the pool and indexed", &**key);
        found.unless(given.insert(number), "an address has one balancer", &row.address);
        let zones: BTreeSet<&String> = row.zones.iter().map(|zone| &zone.zone).collect();
        found.unless(!zones.is_empty() && zones.len() == row.zones.len(), "a balancer is once in a zone", &**key);
    }
    found.unless(taken.len() == given.len(), "the addresses that are indexed are the balancers'", "");
}

fn listeners(state: &State, found: &mut Found) {
    let mut of: BTreeMap<String, Vec<&Listener>> = BTreeMap::new();
    for (key, row) in state.listeners.iter() {
        let balancer = row.balancer_key();
        found.unless(state.load_balancers.contains(&balancer), "a listener is of a balancer", &**key);
        let ascending = row.rules.is_sorted_by(|one, other| one.priority < other.priority);
        found.unless(ascending, "rules are in order, and no two have one priority", &**key);
        of.entry(balancer).or_default().push(row);
    }
    for (balancer, rows) in of {
        let ports: BTreeSet<i32> = rows.iter().map(|row| row.port).collect();
        found.unless(ports.len() == rows.len(), "a port has one listener of a balancer", &balancer);
        let rules: usize = rows.iter().map(|row| row.rules.len()).sum();
        found.unless(rows.len() <= MOST_LISTENERS && rules <= MOST_RULES, "a balancer keeps its quotas", &balancer);
    }
}

fn uses(state: &State, found: &mut Found) {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, row) in state.listeners.iter() {
        for group in row.group_keys() {
            uses.entry(group).or_default().insert(key.to_string());
        }
    }
    let index = &state.index.balancing;
    found.unless(index.groups().count() == uses.len(), "the groups that are indexed are those in use", "");
    for (group, listeners) in uses {
        let indexed: BTreeSet<String> = index.listeners(&group).map(|key| key.to_string()).collect();
        found.unless(indexed == listeners, "a group knows its listeners", &group);
        let balancers: BTreeSet<&str> = listeners.iter().filter_map(|key| Some(key.rsplit_once('/')?.0)).collect();
        found.unless(balancers.len() == 1, "a group has one balancer", &group);
        found.unless(state.target_groups.contains(&group), "a group that is forwarded to is there", group);
    }
}

fn targets(state: &State, found: &mut Found) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    state.targets.iter().for_each(|(_, row)| *counts.entry((&row.account, &row.group)).or_default() += 1);
    for (key, group) in state.target_groups.iter() {
        let count = counts.remove(&(group.account.as_str(), group.id.as_str())).unwrap_or(0);
        let indexed = state.index.balancing.targets(&group.account, &group.id);
        found.unless(indexed == count, "a group's targets are counted", &**key);
        found.unless(count <= MOST_TARGETS, "a group has at most 1,000 targets", &**key);
    }
    for (account, group) in counts.into_keys() {
        found.unless(false, "a target is of a group", format!("{account}/{group}"));
    }
}
