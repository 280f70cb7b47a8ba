//! What is derived from the records, tasks above all, and kept up to date by [`State::apply`](crate::State::apply): who
//! runs where, what is taken, what waits, what may go. Nothing here is stored.
//!
//! A change of one record costs about as much whether there are a thousand records or a million, and a report that only
//! moves a task on touches next to nothing.

pub mod ages;
pub mod room;
pub mod spans;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use longshore_wire::Timestamp;

use crate::definition_use::DefinitionUses;
use crate::node::Node;
use crate::task::{Task, TaskStatus};
use ages::Ages;
use room::Rooms;
use spans::Spans;

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

/// Tasks of a cluster that have not stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCount {
    /// In RUNNING.
    pub running: i32,
    /// Before RUNNING.
    pub pending: i32,
}

/// Addresses in use within a block, and where the last search ended: a freed address is given again as late as possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressUse {
    pub taken: Spans,
    pub last: u32,
}

/// Keys with the time they stopped, the longest stopped first.
type StoppedTasks = BTreeSet<(Timestamp, Arc<str>)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    service_tasks: HashMap<String, BTreeSet<Arc<str>>>,
    nodes: HashMap<String, NodeUse>,
    clusters: HashMap<String, ClusterCount>,
    subnets: HashMap<String, AddressUse>,
    /// Public addresses, by node.
    publics: HashMap<String, AddressUse>,
    unplaced: BTreeSet<Arc<str>>,
    stopped: StoppedTasks,
    /// The same by cluster's key, tasks of services (`true`) apart from the others.
    stopped_of: BTreeMap<(String, bool), StoppedTasks>,
    pub(crate) definitions: DefinitionUses,
    /// Nodes with room for more.
    pub rooms: Rooms,
    /// What time alone will end.
    pub ages: Ages,
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
        let used = self.nodes.get(&**key).unwrap_or(&UNUSED);
        self.rooms.replace_node(old, new, used);
        self.ages.replace_node(key, old, new);
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
            *counter(self.cluster_mut(old), old) -= 1;
            *counter(self.cluster_mut(new), new) += 1;
        }
        true
    }

    fn cluster_mut(&mut self, task: &Task) -> &mut ClusterCount {
        self.clusters.entry(format!("{}/{}", task.account, task.cluster)).or_default()
    }

    fn add<'n>(&mut self, key: &Arc<str>, task: &Task, nodes: &impl Fn(&str) -> Option<&'n Node>) {
        if task.is_stopped() {
            let row = (task.stopped_at.unwrap_or_default(), key.clone());
            self.stopped_of.entry(stopped_group(task)).or_default().insert(row.clone());
            self.stopped.insert(row);
            return;
        }
        if let Some(service) = task.service_key() {
            self.service_tasks.entry(service).or_default().insert(key.clone());
        }
        *counter(self.cluster_mut(task), task) += 1;
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
            return;
        }
        if let Some(service) = task.service_key() {
            drop_member(&mut self.service_tasks, &service, key);
        }
        *counter(self.cluster_mut(task), task) -= 1;
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
}

fn stopped_group(task: &Task) -> (String, bool) {
    (format!("{}/{}", task.account, task.cluster), task.service.is_some())
}

fn counter<'a>(count: &'a mut ClusterCount, task: &Task) -> &'a mut i32 {
    match task.last < TaskStatus::Running {
        true => &mut count.pending,
        false => &mut count.running,
    }
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
