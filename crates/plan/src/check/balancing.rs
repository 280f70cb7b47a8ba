//! The laws of load balancers and target groups, and of tasks behind them.

use std::collections::{BTreeMap, BTreeSet};

use longshore_api::elasticloadbalancing::ProtocolEnum;
use longshore_model::State;
use longshore_model::balancer::{LOOPBACK, Listener, MOST_LISTENERS, MOST_RULES, MOST_TARGETS};
use longshore_model::task::TaskStatus;

use super::Found;

pub(super) fn balancing(state: &State, found: &mut Found) {
    addresses(state, found);
    listeners(state, found);
    uses(state, found);
    certificates(state, found);
    targets(state, found);
    behind(state, found);
}

fn addresses(state: &State, found: &mut Found) {
    let mut given = BTreeSet::new();
    let taken = &state.index.balancing.addresses().taken;
    for (key, row) in state.load_balancers.iter() {
        for (_, address) in row.addresses() {
            let known = LOOPBACK.contains(address) && taken.contains(address.into());
            found.unless(known, "a balancer's address is of the pool and indexed", &**key);
            found.unless(given.insert(address), "an address has one zone of one balancer", address.to_string());
        }
        found.unless(row.addresses().count() == row.zones.len(), "a balancer has an address in each zone", &**key);
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

fn certificates(state: &State, found: &mut Found) {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, row) in state.listeners.iter() {
        let encrypted = matches!(row.protocol, ProtocolEnum::Https | ProtocolEnum::Tls);
        let has = !row.certificates.is_empty() && row.ssl_policy.is_some();
        found.unless(encrypted == has, "a listener that encrypts has a certificate and a policy", &**key);
        for certificate in row.certificate_keys() {
            found.unless(state.certificates.contains(&certificate), "a certificate in use is there", &certificate);
            uses.entry(certificate).or_default().insert(key.to_string());
        }
    }
    let index = &state.index.balancing;
    found.unless(index.certificates().count() == uses.len(), "the certificates that are indexed are those in use", "");
    for (certificate, listeners) in uses {
        let indexed: BTreeSet<String> = index.listeners_with(&certificate).map(|key| key.to_string()).collect();
        found.unless(indexed == listeners, "a certificate knows its listeners", certificate);
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

/// Tasks and the targets that they are. Nobody but ECS registers or deregisters them in tests.
fn behind(state: &State, found: &mut Found) {
    let mut of: BTreeMap<String, String> = BTreeMap::new();
    for (key, task) in state.tasks.iter().filter(|(_, task)| !task.is_stopped()) {
        let told = task.desired == TaskStatus::Stopped;
        let drains = task.drains_until().is_some();
        found.unless(!drains || told, "a task drains only before it stops", &**key);
        for target in task.target_keys() {
            let other = of.insert(target.clone(), key.to_string());
            found.unless(other.is_none(), "a target is one task", &target);
            let row = state.targets.get(&target);
            let registered = row.is_some_and(|row| row.draining.is_none());
            found.unless(!told || !registered, "a task that is told to stop is not registered any more", &**key);
            let runs = task.last == TaskStatus::Running && !told;
            let here = row.is_some() || !takes_more(state, &target);
            found.unless(!runs || here, "a task that runs is registered with its target groups", &**key);
        }
    }
    let indexed: BTreeMap<String, String> =
        state.index.balancing.tasks().map(|(target, task)| (target.clone(), task.to_string())).collect();
    found.unless(indexed == of, "the targets that are indexed are the live tasks'", "");
    for (key, task) in state.tasks.iter().filter(|(_, task)| task.is_stopped()) {
        let registered = |target: &String| state.targets.get(target).is_some_and(|row| row.draining.is_none());
        let left = task.target_keys().find(|target| registered(target) && !of.contains_key(target));
        found.unless(left.is_none(), "a stopped task is not registered any more", &**key);
    }
}

/// Whether the group of the target with this key is there and has room.
fn takes_more(state: &State, target: &str) -> bool {
    let (account, rest) = target.split_once('/').unwrap_or_default();
    let id = rest.split('/').next().unwrap_or_default();
    let there = state.target_groups.iter().any(|(_, row)| row.account == account && row.id == id);
    there && state.index.balancing.targets(account, id) < MOST_TARGETS
}
