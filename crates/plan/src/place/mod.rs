//! Where a Fargate task goes: a node, a subnet and addresses.
//!
//! A node takes a task if it is connected, active, has the CPU and memory free and offers the architecture asked for. It
//! serves subnets of its own zone, and of zones that have no node at all: an installation of one machine serves every
//! zone. Among what fits, the zone with the fewest peers wins, then the node with the fewest peers, then the emptier
//! subnet, then the emptier node.
//!
//! Nodes are not tried one by one: [`search`] asks the index of free room. Only when that finds nothing, or the place it
//! found lacks a public address, is every node looked at, which also tells why there is none.
//!
//! Addresses are given in a circle, so that a freed one comes back as late as possible; AWS's reserved addresses (the
//! first four and the last of a subnet) are left out. A [`Draft`] remembers what was given in this turn.
//!
//! Left out: container instances (constraints, strategies, host ports).

mod address;
mod refusal;
mod search;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use longshore_api::ecs::{AssignPublicIp, AwsVpcConfiguration};
use longshore_model::index::{AddressUse, room};
use longshore_model::network::{Block, RESERVED_HEAD, Subnet};
use longshore_model::node::Node;
#[cfg(feature = "planted")]
use longshore_model::planted;
use longshore_model::task::{Eni, Task};
use longshore_model::{Mint, State};

pub(crate) use address::next_free;
pub use refusal::Refusal;
use search::Ranking;

/// The state, and what was taken of it in this turn.
pub struct Draft<'a> {
    pub state: &'a State,
    /// CPU units and MiB, by node.
    taken: HashMap<String, (i64, i64)>,
    /// By subnet key.
    private: HashMap<String, AddressUse>,
    /// By node.
    public: HashMap<String, AddressUse>,
}

/// What a task asks of its place.
pub struct Want<'a> {
    pub account: &'a str,
    pub cpu: i32,
    pub memory_mib: i32,
    /// `X86_64`, `ARM64`; `None` takes any.
    pub architecture: Option<&'a str>,
    pub network: &'a AwsVpcConfiguration,
}

/// Counts by name.
pub type Tally = HashMap<String, i32>;

/// How the tasks that this one should stay apart from are spread.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub zones: Tally,
    pub nodes: Tally,
    /// Nodes in the order in which the next task would take them, once that was worth knowing.
    ranking: Ranking,
}

/// A place found, taken in the draft.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    pub node: String,
    /// The subnet's zone.
    pub zone: String,
    pub eni: Eni,
}

impl Peers {
    /// The peers among `tasks`: those that are meant to run.
    pub fn of<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> Self {
        let mut peers = Self::default();
        for task in tasks {
            if let (Some(zone), Some(node)) = (&task.zone, &task.node) {
                peers.add(zone, node);
            }
        }
        peers
    }

    fn add(&mut self, zone: &str, node: &str) {
        for (counts, name) in [(&mut self.zones, zone), (&mut self.nodes, node)] {
            match counts.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(counts.insert(name.to_owned(), 1)),
            }
        }
    }

    fn in_zone(&self, zone: &str) -> i32 {
        self.zones.get(zone).copied().unwrap_or(0)
    }

    fn on_node(&self, node: &str) -> i32 {
        self.nodes.get(node).copied().unwrap_or(0)
    }

    pub(crate) fn remove(&mut self, zone: &Option<String>, node: &Option<String>) {
        if let Some(count) = zone.as_ref().and_then(|zone| self.zones.get_mut(zone)) {
            *count -= 1;
        }
        if let Some(count) = node.as_ref().and_then(|node| self.nodes.get_mut(node)) {
            *count -= 1;
        }
    }
}

/// A pair that fits, and how it compares: the least wins.
struct Candidate<'a> {
    node: &'a Node,
    subnet: &'a Subnet,
    rank: (i32, i32, usize, i64, usize, &'a str),
}

impl<'a> Draft<'a> {
    pub fn new(state: &'a State) -> Self {
        Self { state, taken: HashMap::new(), private: HashMap::new(), public: HashMap::new() }
    }

    /// Find a place and take it.
    pub fn place(&mut self, want: &Want<'_>, peers: &mut Peers, mint: &mut Mint) -> Result<Spot, Refusal> {
        let subnets = self.subnets(want)?;
        let quick = self.search(want, &subnets, peers).map(|found| self.settle(want, peers, found, mint));
        match quick {
            Some(Ok(spot)) => Ok(spot),
            _ => self.place_anywhere(want, &subnets, peers, mint),
        }
    }

    /// As [`Self::place`], by trying every node.
    fn place_anywhere(
        &mut self,
        want: &Want<'_>,
        subnets: &[&'a Subnet],
        peers: &mut Peers,
        mint: &mut Mint,
    ) -> Result<Spot, Refusal> {
        let mut refusal = Refusal::NoNode;
        for candidate in self.candidates(want, subnets, peers)? {
            match self.settle(want, peers, candidate, mint) {
                Ok(spot) => return Ok(spot),
                Err(cause) => refusal = refusal.max(cause),
            }
        }
        Err(refusal)
    }

    /// Give the candidate its addresses and take what it needs.
    fn settle(
        &mut self,
        want: &Want<'_>,
        peers: &mut Peers,
        Candidate { node, subnet, .. }: Candidate<'a>,
        mint: &mut Mint,
    ) -> Result<Spot, Refusal> {
        let full = || Refusal::SubnetFull { subnets: vec![subnet.id.clone()] };
        let private_ip = self.next_private(subnet, Some(node)).ok_or_else(full)?;
        let public_ip = match want.network.assign_public_ip == Some(AssignPublicIp::Enabled) {
            true => Some(self.next_public(node).ok_or_else(|| Refusal::NoPublicAddress { node: node.id.clone() })?),
            false => None,
        };
        self.take(want, node, subnet, private_ip, public_ip);
        peers.add(&subnet.zone, &node.id);
        let eni = interface(want.network, subnet, private_ip, public_ip, mint);
        Ok(Spot { node: node.id.clone(), zone: subnet.zone.clone(), eni })
    }

    /// Every pair that fits, the best first.
    fn candidates(
        &self,
        want: &Want<'_>,
        subnets: &[&'a Subnet],
        peers: &Peers,
    ) -> Result<Vec<Candidate<'a>>, Refusal> {
        let mut refusal = Refusal::NoNode;
        let mut found = Vec::new();
        for (_, node) in self.state.nodes.iter().filter(|(_, node)| node.fargate && node.status != "INACTIVE") {
            match self.fit(want, node, subnets) {
                Ok(free) => found.extend(self.pairs(node, subnets, free, peers)),
                Err(cause) => refusal = refusal.max(cause),
            }
        }
        found.sort_by(|one, other| one.rank.cmp(&other.rank));
        if found.is_empty() { Err(refusal) } else { Ok(found) }
    }

    /// The subnets asked for that have an address left.
    fn subnets(&self, want: &Want<'_>) -> Result<Vec<&'a Subnet>, Refusal> {
        let names: BTreeSet<&str> = want.network.subnets.iter().flatten().map(String::as_str).collect();
        let rows = names.iter().filter_map(|name| self.state.subnets.get(&format!("{}/{name}", want.account)));
        let open: Vec<&Subnet> =
            rows.map(AsRef::as_ref).filter(|subnet| self.next_private(subnet, None).is_some()).collect();
        match open.is_empty() {
            true => Err(Refusal::SubnetFull { subnets: names.into_iter().map(str::to_owned).collect() }),
            false => Ok(open),
        }
    }

    fn serves(&self, node: &Node, subnet: &Subnet) -> bool {
        node.zone == subnet.zone || !self.state.index.rooms.has_zone(&subnet.zone)
    }

    /// The CPU that is free on a node that fits.
    fn fit(&self, want: &Want<'_>, node: &Node, subnets: &[&Subnet]) -> Result<i64, Refusal> {
        if !node.takes_tasks() {
            return Err(Refusal::Disconnected);
        }
        if !subnets.iter().any(|subnet| self.serves(node, subnet)) {
            let zones: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
            return Err(Refusal::Zone { zones: zones.into_iter().map(str::to_owned).collect() });
        }
        if let Some(wanted) = want.architecture.filter(|wanted| !offers(node, wanted)) {
            return Err(Refusal::Architecture { wanted: wanted.to_owned() });
        }
        let (cpu, memory_mib) = self.free(node);
        if cpu < i64::from(want.cpu) {
            return Err(Refusal::Cpu { wanted: want.cpu, most_free: cpu.max(0) });
        }
        if memory_mib < i64::from(want.memory_mib) {
            return Err(Refusal::Memory { wanted_mib: want.memory_mib, most_free_mib: memory_mib.max(0) });
        }
        Ok(cpu)
    }

    fn pairs(&self, node: &'a Node, subnets: &[&'a Subnet], free: i64, peers: &Peers) -> Vec<Candidate<'a>> {
        let served = subnets.iter().enumerate().filter(|(_, subnet)| self.serves(node, subnet));
        served.map(|(order, subnet)| self.candidate(node, (order, subnet), free, peers)).collect()
    }

    fn candidate(
        &self,
        node: &'a Node,
        (order, subnet): (usize, &'a Subnet),
        free: i64,
        peers: &Peers,
    ) -> Candidate<'a> {
        let (in_zone, here) = (peers.in_zone(&subnet.zone), peers.on_node(&node.id));
        let rank = (in_zone, here, self.used_private(subnet), -free, order, node.id.as_str());
        Candidate { node, subnet, rank }
    }

    /// CPU units and MiB that nothing holds.
    fn free(&self, node: &Node) -> (i64, i64) {
        let used = self.state.index.node(&node.id).map_or((0, 0), |used| (used.cpu, used.memory_mib));
        let taken = self.taken.get(&node.id).copied().unwrap_or_default();
        #[cfg(feature = "planted")]
        let taken = if planted::is(planted::Bug::OverCommit) { (0, 0) } else { taken };
        (i64::from(node.cpu) - used.0 - taken.0, i64::from(node.memory_mib) - used.1 - taken.1)
    }

    fn used_private(&self, subnet: &Subnet) -> usize {
        let key = subnet_key(subnet);
        let stored = self.state.index.subnet(&key).map_or(0, |used| used.taken.len());
        stored + self.private.get(&key).map_or(0, |used| used.taken.len())
    }

    /// An address that no task of the subnet holds, and no task of another account on the node.
    fn next_private(&self, subnet: &Subnet, node: Option<&Node>) -> Option<u32> {
        let block = Block::parse(&subnet.cidr)?;
        let key = subnet_key(subnet);
        let last = block.size().checked_sub(2)?;
        let on_node = node.and_then(|node| self.state.index.node(&node.id));
        let usable = |address: u32| !on_node.is_some_and(|used| used.addresses.contains(address));
        next_free(block, (RESERVED_HEAD, last), self.state.index.subnet(&key), self.private.get(&key), usable)
    }

    fn next_public(&self, node: &Node) -> Option<u32> {
        let block = Block::parse(node.public_pool.as_deref()?)?;
        let last = block.size().checked_sub(2)?;
        let usable = |address: u32| !matches!(address & 0xff, 0 | 1 | 255);
        next_free(block, (0, last), self.state.index.public(&node.id), self.public.get(&node.id), usable)
    }

    fn take(&mut self, want: &Want<'_>, node: &Node, subnet: &Subnet, private: u32, public: Option<u32>) {
        let taken = self.taken.entry(node.id.clone()).or_default();
        taken.0 += i64::from(want.cpu);
        taken.1 += i64::from(want.memory_mib);
        note(self.private.entry(subnet_key(subnet)).or_default(), private);
        if let Some(public) = public {
            note(self.public.entry(node.id.clone()).or_default(), public);
        }
    }
}

fn note(used: &mut AddressUse, address: u32) {
    used.taken.insert(address);
    used.last = address;
}

fn subnet_key(subnet: &Subnet) -> String {
    format!("{}/{}", subnet.account, subnet.id)
}

fn offers(node: &Node, architecture: &str) -> bool {
    room::architecture(node) == architecture.to_ascii_lowercase()
}

fn interface(
    network: &AwsVpcConfiguration,
    subnet: &Subnet,
    private: u32,
    public: Option<u32>,
    mint: &mut Mint,
) -> Eni {
    Eni {
        id: format!("eni-{}", mint.hex17()),
        attachment: mint.uuid(),
        subnet: subnet.id.clone(),
        security_groups: network.security_groups.clone().unwrap_or_default(),
        private_ip: Ipv4Addr::from(private).to_string(),
        mac: mint.mac(),
        public_ip: public.map(|address| Ipv4Addr::from(address).to_string()),
    }
}
