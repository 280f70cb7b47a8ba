//! The best node for a task without trying them all.
//!
//! For one subnet the best node is the one with the fewest peers, then the most free CPU. As long as nodes without peers
//! are easy to find they come straight from the index of free room, which has those with most free CPU first. When they are
//! not (a service with a task on nearly every node), the nodes are ranked once, and every further task of the turn takes the
//! first of the ranking.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use longshore_model::network::Subnet;
use longshore_model::node::Node;

use super::{Candidate, Draft, Peers, Want};

/// Nodes looked at in the index before all are ranked.
const LOOKS: usize = 64;

/// Peers, free CPU, id: the least is the best.
type Rank = (i32, Reverse<i64>, Arc<str>);

/// Nodes by rank, for each zone (or all zones) asked for. A rank may be too good, never too bad: what was taken since only
/// makes it worse, so the first whose rank still holds is the best.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    heaps: HashMap<Option<String>, BinaryHeap<Reverse<Rank>>>,
}

impl<'a> Draft<'a> {
    /// The best pair of node and subnet, if any node fits.
    pub(super) fn search(&self, want: &Want<'_>, subnets: &[&'a Subnet], peers: &mut Peers) -> Option<Candidate<'a>> {
        let mut levels: Vec<i32> = subnets.iter().map(|subnet| peers.in_zone(&subnet.zone)).collect();
        levels.sort_unstable();
        levels.dedup();
        levels.into_iter().find_map(|level| self.search_level(level, want, subnets, peers))
    }

    /// As [`Self::search`], in the zones with `level` peers.
    fn search_level(
        &self,
        level: i32,
        want: &Want<'_>,
        subnets: &[&'a Subnet],
        peers: &mut Peers,
    ) -> Option<Candidate<'a>> {
        let mut best: Option<Candidate<'a>> = None;
        for (order, subnet) in subnets.iter().enumerate() {
            if peers.in_zone(&subnet.zone) != level {
                continue;
            }
            let Some(node) = self.best_node(want, subnet, peers) else { continue };
            let found = self.candidate(node, (order, subnet), self.free(node).0, peers);
            if best.as_ref().is_none_or(|best| found.rank < best.rank) {
                best = Some(found);
            }
        }
        best
    }

    fn best_node(&self, want: &Want<'_>, subnet: &Subnet, peers: &mut Peers) -> Option<&'a Node> {
        let zone = Some(subnet.zone.as_str()).filter(|zone| self.state.index.rooms.has_zone(zone));
        let architecture = want.architecture.map(str::to_ascii_lowercase);
        let at = At { want, zone, architecture: architecture.as_deref() };
        let ranked = peers.ranking.heaps.contains_key(&zone.map(str::to_owned));
        let fresh = if ranked { None } else { self.without_peers(&at, peers) };
        fresh.or_else(|| self.first_ranked(&at, peers))
    }

    /// The node with most free CPU among those without peers, unless that takes too many looks to find.
    fn without_peers(&self, at: &At<'_>, peers: &Peers) -> Option<&'a Node> {
        let mut looks = LOOKS;
        let mut best: Option<(Reverse<i64>, &str)> = None;
        for row in self.state.index.rooms.rows(at.zone, at.architecture, i64::from(at.want.memory_mib)) {
            for spare in row {
                looks = looks.checked_sub(1)?;
                if spare.cpu.0 < i64::from(at.want.cpu) {
                    break;
                }
                let known = self.taken.contains_key(&*spare.node) || peers.on_node(&spare.node) > 0;
                if !known && spare.memory_mib >= i64::from(at.want.memory_mib) {
                    best = Some(best.map_or((spare.cpu, &*spare.node), |best| best.min((spare.cpu, &*spare.node))));
                    break;
                }
            }
        }
        let taken = self.taken.keys().filter(|node| peers.on_node(node) == 0);
        let taken = taken.filter_map(|node| Some((Reverse(self.fits(at, node)?), node.as_str())));
        let (_, id) = taken.chain(best).min()?;
        self.state.nodes.get(id).map(AsRef::as_ref)
    }

    /// The CPU that is free on a node that fits.
    fn fits(&self, at: &At<'_>, id: &str) -> Option<i64> {
        let node = self.state.nodes.get(id)?;
        let there = at.zone.is_none_or(|zone| node.zone == zone) && node.takes_tasks();
        let suits = at.want.architecture.is_none_or(|wanted| super::offers(node, wanted));
        let (cpu, memory_mib) = self.free(node);
        let room = cpu >= i64::from(at.want.cpu) && memory_mib >= i64::from(at.want.memory_mib);
        (there && suits && room).then_some(cpu)
    }

    fn first_ranked(&self, at: &At<'_>, peers: &mut Peers) -> Option<&'a Node> {
        let mut heap = match peers.ranking.heaps.remove(&at.zone.map(str::to_owned)) {
            Some(heap) => heap,
            None => self.rank(at, peers),
        };
        let mut found = None;
        while let Some(Reverse((told, cpu, node))) = heap.pop() {
            // What does not fit now will not fit later in the turn.
            let Some(free) = self.fits(at, &node) else { continue };
            let rank = (peers.on_node(&node), Reverse(free), node);
            let holds = (told, cpu) == (rank.0, rank.1);
            found = holds.then(|| self.state.nodes.get(&rank.2).map(AsRef::as_ref)).flatten();
            heap.push(Reverse(rank));
            if found.is_some() {
                break;
            }
        }
        peers.ranking.heaps.insert(at.zone.map(str::to_owned), heap);
        found
    }

    fn rank(&self, at: &At<'_>, peers: &Peers) -> BinaryHeap<Reverse<Rank>> {
        let rows = self.state.index.rooms.rows(at.zone, at.architecture, i64::from(at.want.memory_mib));
        let rows = rows.flatten();
        rows.map(|spare| Reverse((peers.on_node(&spare.node), spare.cpu, spare.node.clone()))).collect()
    }
}

/// What is looked for, and in which zone (`None`: in all).
struct At<'w> {
    want: &'w Want<'w>,
    zone: Option<&'w str>,
    /// In lower case.
    architecture: Option<&'w str>,
}
