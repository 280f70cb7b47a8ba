//! What is derived from the records, tasks above all, and kept up to date by [`State::apply`](crate::State::apply): who
//! runs where, what is taken, what waits, what may go. Nothing here is stored.
//!
//! A change of one record costs about as much whether there are a thousand records or a million, and a report that only
//! moves a task on touches next to nothing.

pub mod ages;
pub mod balancing;
pub mod registry;
pub mod replications;
pub mod room;
pub mod scans;
pub mod spans;
pub mod stock;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use longshore_api::ecs::LaunchType;
use longshore_wire::Timestamp;

use crate::balancer::Target;
use crate::definition_use::DefinitionUses;
use crate::node::Node;
use crate::secret::Secret;
use crate::service::{Service, ServiceStatus};
use crate::task::{Task, TaskStatus};
use ages::Ages;
use balancing::Balancing;
use registry::Registry;
use replications::Replications;
use room::Rooms;
use scans::Scans;
use spans::Spans;
use stock::Stocks;

/// What tasks hold of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUse {
    /// CPU units and MiB.
    pub cpu: i64,
    pub memory_mib: i64,
    pub tasks: BTreeSet<Arc<str>>,
    /// Private addresses. The default networks of all accounts have the same addresses, and a node has one network.
    pub addresses: Spans,
}

/// What a cluster holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCount {
    /// Tasks in RUNNING or further on that have not stopped.
    pub running: i32,
    /// Tasks before RUNNING.
    pub pending: i32,
    pub active_services: i32,
    pub draining_services: i32,
    /// Container instances that are not INACTIVE.
    pub instances: i32,
}

/// Kinds of capacity that are counted apart: EC2, Fargate, external.
pub const KINDS: usize = 3;

/// The place of a launch type among the [`KINDS`].
pub fn kind(launch_type: LaunchType) -> usize {
    match launch_type {
        LaunchType::Fargate => 1,
        LaunchType::External => 2,
        _ => 0,
    }
}

/// Addresses in use within a block, and where the last search ended: a freed address is given again as late as possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressUse {
    pub taken: Spans,
    pub last: u32,
}

impl AddressUse {
    pub fn give(&mut self, address: u32) {
        self.taken.insert(address);
        self.last = address;
    }
}

/// Keys with the time they stopped, the longest stopped first.
type StoppedTasks = BTreeSet<(Timestamp, Arc<str>)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    service_tasks: HashMap<String, BTreeSet<Arc<str>>>,
    nodes: HashMap<String, NodeUse>,
    /// By cluster's key and kind of capacity.
    clusters: HashMap<String, [ClusterCount; KINDS]>,
    subnets: HashMap<String, AddressUse>,
    /// Public addresses, by node.
    publics: HashMap<String, AddressUse>,
    unplaced: BTreeSet<Arc<str>>,
    stopped: StoppedTasks,
    /// The same by cluster's key, tasks of services (`true`) apart from the others.
    stopped_of: BTreeMap<(String, bool), StoppedTasks>,
    /// Their keys by node.
    stopped_on: HashMap<String, BTreeSet<Arc<str>>>,
    pub(crate) definitions: DefinitionUses,
    /// Nodes with room for more.
    pub rooms: Rooms,
    /// What time alone will end.
    pub ages: Ages,
    /// What accounts have of secrets.
    pub stocks: Stocks,
    /// Who balances for whom.
    pub balancing: Balancing,
    /// What images need and who needs them.
    pub registry: Registry,
    /// Which images are to be scanned.
    pub scans: Scans,
    /// Which images are to be copied to other registries.
    pub replications: Replications,
}

/// Nothing is used.
static UNUSED: NodeUse = NodeUse { cpu: 0, memory_mib: 0, tasks: BTreeSet::new(), addresses: Spans::new() };

impl Index {
    /// Keys of a service's tasks that have not stopped.
    pub fn service_tasks<'a>(&'a self, service: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.service_tasks.get(service).into_iter().flatten()
    }

    pub fn node(&self, node: &str) -> Option<&NodeUse> {
        self.nodes.get(node)
    }

    /// `cluster` is the cluster's key.
    pub fn cluster(&self, cluster: &str) -> ClusterCount {
        self.cluster_kinds(cluster).into_iter().fold(ClusterCount::default(), |sum, one| ClusterCount {
            running: sum.running + one.running,
            pending: sum.pending + one.pending,
            active_services: sum.active_services + one.active_services,
            draining_services: sum.draining_services + one.draining_services,
            instances: sum.instances + one.instances,
        })
    }

    /// As [`Self::cluster`], by [`kind`].
    pub fn cluster_kinds(&self, cluster: &str) -> [ClusterCount; KINDS] {
        self.clusters.get(cluster).copied().unwrap_or_default()
    }

    /// `subnet` is the subnet's key.
    pub fn subnet(&self, subnet: &str) -> Option<&AddressUse> {
        self.subnets.get(subnet)
    }

    pub fn public(&self, node: &str) -> Option<&AddressUse> {
        self.publics.get(node)
    }

    /// Keys of tasks that want a node and have none.
    pub fn unplaced(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unplaced.iter()
    }

    /// How many tasks have stopped.
    pub fn stopped_count(&self) -> usize {
        self.stopped.len()
    }

    /// Keys of stopped tasks, the longest stopped first, with the time they stopped.
    pub fn stopped(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        self.stopped.iter().map(|(at, key)| (*at, key))
    }

    /// Keys of the stopped tasks of a node.
    pub fn stopped_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.stopped_on.get(node).into_iter().flatten()
    }

    /// As [`Self::stopped`], but cluster by cluster what is beyond the newest `kept` of its services' tasks and the newest
    /// `kept` of its other tasks.
    pub fn stopped_beyond(&self, kept: usize) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        let oldest = move |rows: &StoppedTasks| rows.len().saturating_sub(kept);
        self.stopped_of.values().flat_map(move |rows| rows.iter().take(oldest(rows))).map(|(at, key)| (*at, key))
    }

    /// What refers to the task definition with this key: task records, stopped or not, and deployments of services that
    /// are not INACTIVE.
    pub fn definition_uses(&self, definition: &str) -> usize {
        self.definitions.count(definition)
    }

    /// Keys of task definitions in DELETE_IN_PROGRESS that nothing refers to.
    pub fn deletable_definitions(&self) -> impl Iterator<Item = &Arc<str>> {
        self.definitions.deletable()
    }

    pub(crate) fn replace_node(&mut self, key: &Arc<str>, old: Option<&Node>, new: Option<&Node>) {
        for (node, change) in old.into_iter().map(|node| (node, -1)).chain(new.map(|node| (node, 1))) {
            if let Some(cluster) = node.cluster.as_ref().filter(|_| node.status != "INACTIVE") {
                self.cluster_mut(&node.account, cluster, LaunchType::Ec2).instances += change;
            }
        }
        let used = self.nodes.get(&**key).unwrap_or(&UNUSED);
        self.rooms.replace_node(old, new, used);
        self.ages.replace_node(key, old, new);
    }

    pub(crate) fn replace_service(&mut self, key: &Arc<str>, old: Option<&Service>, new: Option<&Service>) {
        self.definitions.replace_service(old, new);
        self.ages.replace_service(key, old, new);
        for (service, change) in old.into_iter().map(|service| (service, -1)).chain(new.map(|service| (service, 1))) {
            let launch_type = service.api.launch_type.unwrap_or(LaunchType::Fargate);
            let count = self.cluster_mut(&service.account, &service.cluster, launch_type);
            match service.status {
                ServiceStatus::Active => count.active_services += change,
                ServiceStatus::Draining => count.draining_services += change,
                ServiceStatus::Inactive => {}
            }
        }
    }

    pub(crate) fn replace_secret(&mut self, key: &Arc<str>, old: Option<&Secret>, new: Option<&Secret>) {
        self.stocks.replace_secret(old, new);
        self.ages.replace_secret(key, old, new);
    }

    pub(crate) fn replace_target(&mut self, key: &Arc<str>, old: Option<&Target>, new: Option<&Target>) {
        self.balancing.replace_target(old, new);
        self.ages.replace_target(key, old, new);
    }

    /// A task's record changed. `nodes` finds the record of a node.
    pub(crate) fn replace<'n>(
        &mut self,
        key: &Arc<str>,
        old: Option<&Task>,
        new: Option<&Task>,
        nodes: impl Fn(&str) -> Option<&'n Node>,
    ) {
        self.definitions.replace_task(old, new);
        if let Some(old) = old {
            self.remove(key, old, &nodes);
        }
        if let Some(new) = new {
            self.add(key, new, &nodes);
        }
    }

    /// Take note of a task that moved on but holds what it held. Returns false, and does nothing, if it holds other things.
    pub(crate) fn moved_on(&mut self, old: &Task, new: &Task) -> bool {
        if !hold_alike(old, new) {
            return false;
        }
        if (old.last < TaskStatus::Running) != (new.last < TaskStatus::Running) {
            *self.counter(old) -= 1;
            *self.counter(new) += 1;
        }
        true
    }

    fn cluster_mut(&mut self, account: &str, cluster: &str, launch_type: LaunchType) -> &mut ClusterCount {
        &mut self.clusters.entry(format!("{account}/{cluster}")).or_default()[kind(launch_type)]
    }

    /// Where a task that has not stopped is counted.
    fn counter(&mut self, task: &Task) -> &mut i32 {
        let count = self.cluster_mut(&task.account, &task.cluster, task.launch_type);
        match task.last < TaskStatus::Running {
            true => &mut count.pending,
            false => &mut count.running,
        }
    }

    fn add<'n>(&mut self, key: &Arc<str>, task: &Task, nodes: &impl Fn(&str) -> Option<&'n Node>) {
        if task.is_stopped() {
            let row = (task.stopped_at.unwrap_or_default(), key.clone());
            self.stopped_of.entry(stopped_group(task)).or_default().insert(row.clone());
            self.stopped.insert(row);
            if let Some(node) = &task.node {
                self.stopped_on.entry(node.clone()).or_default().insert(key.clone());
            }
            return;
        }
        self.balancing.add_task(key, task);
        if let Some(service) = task.service_key() {
            self.service_tasks.entry(service).or_default().insert(key.clone());
        }
        *self.counter(task) += 1;
        match &task.node {
            Some(node) => self.change_use(node, nodes, |used| {
                used.cpu += i64::from(task.cpu);
                used.memory_mib += i64::from(task.memory_mib);
                used.tasks.insert(key.clone());
                if let Some(address) = private_address(task) {
                    used.addresses.insert(address);
                }
            }),
            None => {
                self.unplaced.insert(key.clone());
            }
        }
        for (uses, key, address) in addresses(task, &mut self.subnets, &mut self.publics) {
            let used = uses.entry(key).or_default();
            used.taken.insert(address);
            used.last = address;
        }
    }

    fn remove<'n>(&mut self, key: &Arc<str>, task: &Task, nodes: &impl Fn(&str) -> Option<&'n Node>) {
        if task.is_stopped() {
            let row = (task.stopped_at.unwrap_or_default(), key.clone());
            self.stopped.remove(&row);
            let group = stopped_group(task);
            if let Some(rows) = self.stopped_of.get_mut(&group) {
                rows.remove(&row);
                if rows.is_empty() {
                    self.stopped_of.remove(&group);
                }
            }
            if let Some(node) = &task.node {
                drop_member(&mut self.stopped_on, node, key);
            }
            return;
        }
        self.balancing.remove_task(key, task);
        if let Some(service) = task.service_key() {
            drop_member(&mut self.service_tasks, &service, key);
        }
        *self.counter(task) -= 1;
        match &task.node {
            Some(node) => self.change_use(node, nodes, |used| {
                used.cpu -= i64::from(task.cpu);
                used.memory_mib -= i64::from(task.memory_mib);
                used.tasks.remove(key);
                if let Some(address) = private_address(task) {
                    used.addresses.remove(address);
                }
            }),
            None => {
                self.unplaced.remove(key);
            }
        }
        for (uses, key, address) in addresses(task, &mut self.subnets, &mut self.publics) {
            uses.entry(key).or_default().taken.remove(address);
        }
    }

    /// What tasks hold of a node changes, and with it where the node stands among those with room.
    fn change_use<'n>(
        &mut self,
        id: &str,
        nodes: &impl Fn(&str) -> Option<&'n Node>,
        change: impl FnOnce(&mut NodeUse),
    ) {
        let node = nodes(id);
        if !self.nodes.contains_key(id) {
            self.nodes.insert(id.to_owned(), NodeUse::default());
        }
        let Some(used) = self.nodes.get_mut(id) else { return };
        node.into_iter().for_each(|node| self.rooms.close(node, used));
        change(used);
        node.into_iter().for_each(|node| self.rooms.open(node, used));
    }
}

/// Whether nothing that is indexed changed but how far the task is.
fn hold_alike(old: &Task, new: &Task) -> bool {
    #[cfg(feature = "planted")]
    if crate::planted::is(crate::planted::Bug::AddressUsedTwice) {
        return false;
    }
    !old.is_stopped()
        && !new.is_stopped()
        && (&old.node, old.cpu, old.memory_mib, &old.eni) == (&new.node, new.cpu, new.memory_mib, &new.eni)
        && (&old.service, &old.family, old.revision) == (&new.service, &new.family, new.revision)
        && old.launch_type == new.launch_type
        && old.seats() == new.seats()
}

fn stopped_group(task: &Task) -> (String, bool) {
    (format!("{}/{}", task.account, task.cluster), task.service.is_some())
}

fn drop_member(sets: &mut HashMap<String, BTreeSet<Arc<str>>>, name: &str, key: &Arc<str>) {
    if let Some(set) = sets.get_mut(name) {
        set.remove(key);
        if set.is_empty() {
            sets.remove(name);
        }
    }
}

type Uses = HashMap<String, AddressUse>;

fn number(address: &str) -> Option<u32> {
    address.parse::<Ipv4Addr>().ok().map(u32::from)
}

fn private_address(task: &Task) -> Option<u32> {
    number(&task.eni.as_ref()?.private_ip)
}

/// The addresses a task holds: which map, which entry, which address.
fn addresses<'a>(
    task: &Task,
    subnets: &'a mut Uses,
    publics: &'a mut Uses,
) -> impl Iterator<Item = (&'a mut Uses, String, u32)> {
    let eni = task.eni.as_ref();
    #[cfg(feature = "planted")]
    let eni = eni.filter(|_| {
        let planted = crate::planted::is(crate::planted::Bug::AddressUsedTwice);
        !planted || task.desired != TaskStatus::Stopped
    });
    let private = eni.and_then(|eni| Some((format!("{}/{}", task.account, eni.subnet), private_address(task)?)));
    let public = eni.and_then(|eni| Some((task.node.clone()?, number(eni.public_ip.as_deref()?)?)));
    let private = private.map(|(key, address)| (subnets, key, address));
    let public = public.map(|(key, address)| (publics, key, address));
    private.into_iter().chain(public)
}
