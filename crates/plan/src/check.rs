//! The laws that every state, and every step from one state to the next, must obey. For tests and simulation: it walks
//! everything and is slow.

mod balancing;
mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use longshore_model::State;
use longshore_model::index::room::Spare;
use longshore_model::index::stock::Stock;
use longshore_model::network::{Block, RESERVED_HEAD};
use longshore_model::node::Node;
use longshore_model::parameter::VERSIONS_KEPT;
use longshore_model::secret::{MOST_VERSIONS, PENDING, version_key};
use longshore_model::service::{EVENTS_KEPT, ServiceStatus};
use longshore_model::task::{Task, TaskStatus};

use crate::rotate;

/// A law that does not hold, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub law: &'static str,
    pub of: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.law, self.of)
    }
}

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, holds: bool, law: &'static str, of: impl Into<String>) {
        if !holds {
            self.0.push(Violation { law, of: of.into() });
        }
    }
}

/// Check one state.
pub fn state(state: &State) -> Vec<Violation> {
    let mut found = Found::default();
    addresses(state, &mut found);
    capacity(state, &mut found);
    room(state, &mut found);
    counts(state, &mut found);
    definitions(state, &mut found);
    secrets(state, &mut found);
    encryption_keys(state, &mut found);
    grants(state, &mut found);
    for (key, task) in state.tasks.iter() {
        timestamps(key, task, &mut found);
    }
    for (key, service) in state.services.iter() {
        let primaries = service.deployments.iter().filter(|deployment| deployment.primary).count();
        found.unless(!service.is_active() || primaries == 1, "an active service has one primary deployment", &**key);
        found.unless(service.events.len() <= EVENTS_KEPT, "at most 100 events are kept", &**key);
    }
    parameters(state, &mut found);
    balancing::balancing(state, &mut found);
    registry::registry(state, &mut found);
    found.0
}

/// Check a step: states only advance, STOPPED is final, versions rise with every visible change.
pub fn step(before: &State, after: &State) -> Vec<Violation> {
    let mut found = Found::default();
    for (key, new) in after.tasks.iter() {
        let Some(old) = before.tasks.get(key) else {
            continue;
        };
        found.unless(new.last >= old.last, "a task's status never goes back", &**key);
        found.unless(
            old.desired != TaskStatus::Stopped || new.desired == TaskStatus::Stopped,
            "a stop is final",
            &**key,
        );
        found.unless(!old.is_stopped() || new == old, "a stopped task never changes", &**key);
        found.unless(new == old || new.version > old.version, "a changed task has a higher version", &**key);
        found.unless(old.node.is_none() || new.node == old.node, "a task never changes its node", &**key);
        found.unless(old.eni.is_none() || new.eni == old.eni, "a task never changes its interface", &**key);
    }
    found.0
}

fn parameters(state: &State, found: &mut Found) {
    for (key, head) in state.parameters.iter() {
        let prefix = format!("{key}:");
        let rows: Vec<_> = state.parameter_versions.scan(&prefix).map(|(_, row)| row).collect();
        let newest = rows.last().is_some_and(|row| row.number == head.latest);
        found.unless(newest, "a parameter's newest version is there", &**key);
        found.unless(rows.len() <= VERSIONS_KEPT, "at most 100 versions of a parameter are kept", &**key);
        let labels: Vec<&String> = rows.iter().flat_map(|row| &row.labels).collect();
        let distinct: BTreeSet<_> = labels.iter().collect();
        found.unless(distinct.len() == labels.len(), "a label is on one version of a parameter", &**key);
    }
    for (key, row) in state.parameter_versions.iter() {
        let head = key.rsplit_once(':').and_then(|(head, _)| state.parameters.get(head));
        found.unless(head.is_some_and(|head| head.name == row.name), "a version is of a parameter", &**key);
    }
}

fn live(state: &State) -> impl Iterator<Item = &Task> {
    state.tasks.iter().map(|(_, task)| task.as_ref()).filter(|task| !task.is_stopped())
}

fn addresses(state: &State, found: &mut Found) {
    let (mut private, mut public, mut macs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut on_node = BTreeSet::new();
    for (task, eni) in live(state).filter_map(|task| Some((task, task.eni.as_ref()?))) {
        let subnet = format!("{}/{}", task.account, eni.subnet);
        let inside = state.subnets.get(&subnet).and_then(|row| offset(&row.cidr, &eni.private_ip));
        let usable = inside.is_some_and(|(offset, size)| (RESERVED_HEAD..size - 1).contains(&offset));
        found.unless(usable, "a private address is a usable one of its subnet", &eni.private_ip);
        found.unless(private.insert((subnet, &eni.private_ip)), "a private address has one task", &eni.private_ip);
        if let Some(node) = &task.node {
            found.unless(on_node.insert((node, &eni.private_ip)), "a node has an address once", &eni.private_ip);
        }
        found.unless(macs.insert(&eni.mac), "a MAC has one task", &eni.mac);
        if let Some(address) = &eni.public_ip {
            found.unless(public.insert((&task.node, address)), "a public address has one task", address);
            let pool = task.node.as_deref().and_then(|node| state.nodes.get(node)?.public_pool.as_deref());
            let inside = pool.is_some_and(|pool| offset(pool, address).is_some());
            found.unless(inside, "a public address is of its node's pool", address);
        }
    }
}

fn offset(cidr: &str, address: &str) -> Option<(u64, u64)> {
    let (block, address) = (Block::parse(cidr)?, address.parse::<Ipv4Addr>().ok()?);
    block.contains(address).then(|| (u64::from(u32::from(address) - block.base), block.size()))
}

fn capacity(state: &State, found: &mut Found) {
    let mut used: BTreeMap<&str, (i64, i64, BTreeSet<String>)> = BTreeMap::new();
    for task in live(state) {
        if let Some(node) = task.node.as_deref() {
            let entry = used.entry(node).or_default();
            entry.0 += i64::from(task.cpu);
            entry.1 += i64::from(task.memory_mib);
            entry.2.insert(task.key());
        }
    }
    for (id, (cpu, memory_mib, tasks)) in used {
        let indexed = state.index.node(id);
        let same = indexed.is_some_and(|indexed| {
            let keys: BTreeSet<String> = indexed.tasks.iter().map(|key| key.to_string()).collect();
            (indexed.cpu, indexed.memory_mib) == (cpu, memory_mib) && keys == tasks
        });
        found.unless(same, "what is indexed of a node is what its tasks hold", id);
        if let Some(node) = state.nodes.get(id) {
            found.unless(cpu <= i64::from(node.cpu), "a node's CPU is not given twice", id);
            found.unless(memory_mib <= i64::from(node.memory_mib), "a node's memory is not given twice", id);
        }
    }
}

/// What is found by the index of free room and by the order of tokens is what there is.
fn room(state: &State, found: &mut Found) {
    let open = |node: &&Node| node.fargate && node.takes_tasks();
    let rows: BTreeMap<&str, (i64, i64)> = state.index.rooms.rows(None, None, 0).flatten().map(spare).collect();
    let nodes: Vec<&Node> = state.nodes.iter().map(|(_, node)| node.as_ref()).filter(open).collect();
    found.unless(rows.len() == nodes.len(), "the index of free room holds the nodes that take tasks", "");
    for node in nodes {
        let used = state.index.node(&node.id).map_or((0, 0), |used| (used.cpu, used.memory_mib));
        let free = (i64::from(node.cpu) - used.0, i64::from(node.memory_mib) - used.1);
        found.unless(rows.get(node.id.as_str()) == Some(&free), "the index of free room is exact", &node.id);
    }
    let due: BTreeSet<_> = state.index.ages.tokens().map(|(at, key)| (at, key.clone())).collect();
    let tokens: BTreeSet<_> = state.tokens.iter().map(|(key, token)| (token.end(), key.clone())).collect();
    found.unless(due == tokens, "tokens are indexed by their end", "");
}

fn spare(spare: &Spare) -> (&str, (i64, i64)) {
    (&spare.node, (spare.cpu.0, spare.memory_mib))
}

fn counts(state: &State, found: &mut Found) {
    let mut clusters: BTreeMap<String, (i32, i32)> = BTreeMap::new();
    let mut services: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for task in live(state) {
        let count = clusters.entry(format!("{}/{}", task.account, task.cluster)).or_default();
        match task.last < TaskStatus::Running {
            true => count.1 += 1,
            false => count.0 += 1,
        }
        if let Some(service) = task.service_key() {
            services.entry(service).or_default().insert(task.key());
        }
    }
    held(state, found);
    for (cluster, count) in clusters {
        let indexed = state.index.cluster(&cluster);
        found.unless((indexed.running, indexed.pending) == count, "a cluster's counts are its tasks'", cluster);
    }
    for (service, tasks) in services {
        let indexed: BTreeSet<String> = state.index.service_tasks(&service).map(|key| key.to_string()).collect();
        found.unless(indexed == tasks, "a service's indexed tasks are its live tasks", service);
    }
}

/// Services and container instances are counted by cluster.
fn held(state: &State, found: &mut Found) {
    for (key, cluster) in state.clusters.iter() {
        let services = state.services.scan(key).filter(|(_, service)| service.cluster == cluster.name);
        let with = |status| services.filter(move |(_, service)| service.status == status).count() as i32;
        let active = with(ServiceStatus::Active);
        let nodes = state.nodes.iter().filter(|(_, node)| node.account == cluster.account);
        let within = |node: &Node| node.cluster.as_ref() == Some(&cluster.name) && node.status != "INACTIVE";
        let instances = nodes.filter(|(_, node)| within(node)).count() as i32;
        let indexed = state.index.cluster(key);
        let same = (indexed.active_services, indexed.instances) == (active, instances);
        found.unless(same, "a cluster's services and instances are counted", &**key);
    }
}

fn definitions(state: &State, found: &mut Found) {
    let tasks = state.tasks.iter().map(|(_, task)| task.definition_key());
    let services = state.services.iter().map(|(_, service)| service);
    let services = services.filter(|service| service.status != ServiceStatus::Inactive);
    let deployments =
        services.flat_map(|service| service.deployments.iter().map(|deployment| service.definition_key(deployment)));
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for key in tasks.chain(deployments) {
        *uses.entry(key).or_default() += 1;
    }
    for (key, _) in state.definitions.iter() {
        let used = uses.remove(&**key).unwrap_or(0);
        found.unless(state.index.definition_uses(key) == used, "a definition's uses are counted", &**key);
    }
    uses.into_keys().for_each(|key| found.unless(false, "a definition in use is there", key));
}

fn secrets(state: &State, found: &mut Found) {
    let mut stocks: BTreeMap<&str, Stock> = BTreeMap::new();
    let mut versions: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (_, version) in state.secret_versions.iter() {
        *versions.entry((&version.account, &version.secret)).or_default() += 1;
        stocks.entry(&version.account).or_default().bytes += version.size();
    }
    for (key, secret) in state.secrets.iter() {
        stocks.entry(&secret.account).or_default().secrets += 1;
        let kept = versions.remove(&(secret.account.as_str(), secret.uid.as_str())).unwrap_or_default();
        found.unless(kept <= MOST_VERSIONS, "a secret has at most 100 versions", &**key);
        let has = |id: &str| state.secret_versions.contains(&version_key(&secret.account, &secret.uid, id));
        let there = secret.stages.iter().all(|(label, id)| label == PENDING || has(id));
        found.unless(there, "a label is at a version that is there, but for that of one to come", &**key);
        let running = secret.rotation.as_ref().and_then(|rotation| rotation.running.as_ref());
        let task = running.and_then(|attempt| state.tasks.get(&attempt.task_key(&secret.account)));
        let started = task.is_none_or(|task| task.started_by.as_deref() == Some(rotate::STARTED_BY));
        found.unless(started, "a secret is rotated by a task that was started for it", &**key);
        found.unless(
            secret.deleted_at.is_some() == secret.delete_at.is_some(),
            "a deleted secret has a day on which it goes",
            &**key,
        );
    }
    for (account, uid) in versions.into_keys() {
        found.unless(false, "a version belongs to a secret", format!("{account}/{uid}"));
    }
    for (account, stock) in stocks {
        found.unless(state.index.stocks.of(account) == stock, "what an account has of secrets is counted", account);
    }
}

fn encryption_keys(state: &State, found: &mut Found) {
    for (key, row) in state.encryption_keys.iter() {
        let ascending = row.materials.is_sorted_by(|one, other| one.number < other.number);
        found.unless(ascending && row.current().is_some(), "a key has material, in order", &**key);
    }
    for (key, alias) in state.key_aliases.iter() {
        let stands = state.encryption_keys.contains(&format!("{}/{}", alias.account, alias.key));
        found.unless(stands, "an alias stands for a key that is there", &**key);
    }
}

fn grants(state: &State, found: &mut Found) {
    for (key, grant) in state.key_grants.iter() {
        let stands = state.encryption_keys.contains(&format!("{}/{}", grant.account, grant.key));
        found.unless(stands, "a grant is of a key that is there", &**key);
    }
}

fn timestamps(key: &str, task: &Task, found: &mut Found) {
    let order = [
        Some(task.created_at),
        task.connectivity_at,
        task.pull_started_at,
        task.pull_stopped_at,
        task.started_at,
        task.stopping_at,
        task.execution_stopped_at,
        task.stopped_at,
    ];
    let set: Vec<_> = order.into_iter().flatten().collect();
    found.unless(set.is_sorted(), "a task's timestamps are in order", key);
    found.unless(!task.is_stopped() || task.stopped_at.is_some(), "a stopped task has an end", key);
    found.unless(!task.is_stopped() || task.stop_code.is_some(), "a stopped task has a stop code", key);
}
