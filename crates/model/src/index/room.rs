//! Where there is room: the nodes that take Fargate tasks, by zone, architecture and size of their free memory, those with
//! most CPU free first. So a place for one more task is found without looking at every node.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::index::NodeUse;
use crate::node::Node;

/// Nodes alike enough to stand in one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub zone: Arc<str>,
    /// In lower case.
    pub architecture: Arc<str>,
    /// See [`class`].
    pub class: u32,
}

/// What a node has free.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spare {
    pub cpu: Reverse<i64>,
    pub node: Arc<str>,
    pub memory_mib: i64,
}

/// Nodes with room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rooms {
    open: BTreeMap<Group, BTreeSet<Spare>>,
    /// Fargate nodes that are not INACTIVE, by zone.
    registered: HashMap<String, usize>,
    /// Of each node that takes tasks, by id, what of its place never changes.
    standing: HashMap<Arc<str>, Standing>,
}

#[derive(Clone, Debug, PartialEq)]
struct Standing {
    node: Arc<str>,
    zone: Arc<str>,
    architecture: Arc<str>,
}

/// The power of two that free memory reaches: of two nodes of different classes the one of the higher has more.
pub fn class(memory_mib: i64) -> u32 {
    i64::BITS - memory_mib.max(0).leading_zeros()
}

/// The architecture that a node offers, in lower case.
pub fn architecture(node: &Node) -> String {
    node.attribute("ecs.cpu-architecture").unwrap_or("x86_64").to_ascii_lowercase()
}

impl Rooms {
    /// Whether a Fargate node is registered in the zone, connected or not.
    pub fn has_zone(&self, zone: &str) -> bool {
        self.registered.contains_key(zone)
    }

    /// Rows of nodes that take tasks now, each with most free CPU first: of `zone` and `architecture` (in lower case) or of
    /// all, and only classes in which `memory_mib` may be free. In the lowest of these classes some nodes have less.
    pub fn rows<'a>(
        &'a self,
        zone: Option<&'a str>,
        architecture: Option<&'a str>,
        memory_mib: i64,
    ) -> impl Iterator<Item = &'a BTreeSet<Spare>> {
        let least = class(memory_mib);
        let rows = self.open.iter().filter(move |(group, _)| {
            group.class >= least
                && zone.is_none_or(|zone| &*group.zone == zone)
                && architecture.is_none_or(|wanted| &*group.architecture == wanted)
        });
        rows.map(|(_, row)| row)
    }

    /// A node's record changed; `used` is what its tasks hold.
    pub(crate) fn replace_node(&mut self, old: Option<&Node>, new: Option<&Node>, used: &NodeUse) {
        if let Some(old) = old {
            self.count(old, false);
            self.close(old, used);
            self.standing.remove(old.id.as_str());
        }
        if let Some(new) = new {
            self.count(new, true);
            self.stand(new);
            self.open(new, used);
        }
    }

    fn count(&mut self, node: &Node, there: bool) {
        if !node.fargate || node.status == "INACTIVE" {
            return;
        }
        let count = self.registered.entry(node.zone.clone()).or_default();
        match there {
            true => *count += 1,
            false => *count -= 1,
        }
        if *count == 0 {
            self.registered.remove(&node.zone);
        }
    }

    fn stand(&mut self, node: &Node) {
        if !node.fargate || !node.takes_tasks() {
            return;
        }
        let id: Arc<str> = node.id.as_str().into();
        let (zone, architecture) = (node.zone.as_str().into(), architecture(node).into());
        self.standing.insert(id.clone(), Standing { node: id, zone, architecture });
    }

    /// The node stands among the others with what its tasks leave free.
    pub(crate) fn open(&mut self, node: &Node, used: &NodeUse) {
        let Some(standing) = self.standing.get(node.id.as_str()) else { return };
        let (group, spare) = row(standing, node, used);
        self.open.entry(group).or_default().insert(spare);
    }

    /// The opposite of [`Self::open`] with the same arguments.
    pub(crate) fn close(&mut self, node: &Node, used: &NodeUse) {
        let Some(standing) = self.standing.get(node.id.as_str()) else { return };
        let (group, spare) = row(standing, node, used);
        if let Some(row) = self.open.get_mut(&group) {
            row.remove(&spare);
            if row.is_empty() {
                self.open.remove(&group);
            }
        }
    }
}

fn row(standing: &Standing, node: &Node, used: &NodeUse) -> (Group, Spare) {
    let Standing { node: id, zone, architecture } = standing.clone();
    let memory_mib = i64::from(node.memory_mib) - used.memory_mib;
    let cpu = Reverse(i64::from(node.cpu) - used.cpu);
    (Group { zone, architecture, class: class(memory_mib) }, Spare { cpu, node: id, memory_mib })
}
