//! Where a Fargate task goes: a node, a subnet and addresses.
//!
//! A node takes a task if it is connected, active, has the CPU and memory free and offers the architecture asked for. It
//! serves subnets of its own zone, and of zones that have no node at all: an installation of one machine serves every
//! zone. Among what fits, the zone with the fewest peers wins, then the node with the fewest peers, then the emptier
//! subnet, then the emptier node.
//!
//! Addresses are given in a circle, so that a freed one comes back as late as possible; AWS's reserved addresses (the
//! first four and the last of a subnet) are left out. A [`Draft`] remembers what was given in this turn.
//!
//! Left out: container instances (constraints, strategies, host ports).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;

use longshore_api::ecs::{AssignPublicIp, AwsVpcConfiguration};
use longshore_model::index::AddressUse;
use longshore_model::network::{Block, RESERVED_HEAD, Subnet};
use longshore_model::node::Node;
use longshore_model::task::{Eni, Task};
use longshore_model::{Mint, State};

/// The state, and what was taken of it in this turn.
pub struct Draft<'a> {
    pub state: &'a State,
    /// CPU units and MiB, by node.
    taken: HashMap<String, (i64, i64)>,
    /// By subnet key.
    private: HashMap<String, AddressUse>,
    /// By node.
    public: HashMap<String, AddressUse>,
    /// Zones in which a node is registered.
    zones: HashSet<&'a str>,
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

/// How the tasks that this one should stay apart from are spread.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub zones: BTreeMap<String, i32>,
    pub nodes: BTreeMap<String, i32>,
}

/// A place found, taken in the draft.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    pub node: String,
    /// The subnet's zone.
    pub zone: String,
    pub eni: Eni,
}

/// Why no node takes a task; the variants stand in the order in which the search advances, so the greatest is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    NoNode,
    Disconnected,
    Zone { zones: Vec<String> },
    Architecture { wanted: String },
    Cpu { wanted: i32, most_free: i64 },
    Memory { wanted_mib: i32, most_free_mib: i64 },
    SubnetFull { subnets: Vec<String> },
    NoPublicAddress { node: String },
}

impl Refusal {
    /// What ECS says of Fargate, whatever the cause.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SubnetFull { .. } => "RESOURCE:ENI",
            _ => "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        }
    }

    /// The cause, in ECS's terms for container instances and then in words.
    pub fn detail(&self) -> String {
        match self {
            Self::NoNode => "AGENT: no Fargate node is registered".into(),
            Self::Disconnected => "AGENT: no Fargate node is connected".into(),
            Self::Zone { zones } => format!("AGENT: no Fargate node is connected in {}", zones.join(", ")),
            Self::Architecture { wanted } => {
                format!("ATTRIBUTE: no connected Fargate node offers {wanted}")
            }
            Self::Cpu { wanted, most_free } => {
                format!("RESOURCE:CPU: {wanted} CPU units are wanted, at most {most_free} are free on one node")
            }
            Self::Memory { wanted_mib, most_free_mib } => {
                format!(
                    "RESOURCE:MEMORY: {wanted_mib} MiB are wanted, at most {most_free_mib} MiB are free on one node"
                )
            }
            Self::SubnetFull { subnets } => {
                format!("RESOURCE:ENI: no address is free in {}", subnets.join(", "))
            }
            Self::NoPublicAddress { node } => {
                format!("RESOURCE:ENI: no public address is free on node {node}")
            }
        }
    }
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
        *self.zones.entry(zone.to_owned()).or_default() += 1;
        *self.nodes.entry(node.to_owned()).or_default() += 1;
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
        let nodes = state.nodes.iter().map(|(_, node)| node.as_ref());
        let zones = nodes.filter(|node| node.fargate && node.status != "INACTIVE").map(|node| node.zone.as_str());
        let zones = zones.collect();
        Self { state, taken: HashMap::new(), private: HashMap::new(), public: HashMap::new(), zones }
    }

    /// Find a place and take it.
    pub fn place(&mut self, want: &Want<'_>, peers: &mut Peers, mint: &mut Mint) -> Result<Spot, Refusal> {
        let public = want.network.assign_public_ip == Some(AssignPublicIp::Enabled);
        let mut candidates = self.candidates(want, peers)?;
        candidates.sort_by(|one, other| one.rank.cmp(&other.rank));
        let mut refusal = Refusal::NoNode;
        for Candidate { node, subnet, .. } in candidates {
            let Some(private_ip) = self.next_private(subnet) else {
                continue;
            };
            let public_ip = match public.then(|| self.next_public(node)) {
                Some(None) => {
                    refusal = refusal.max(Refusal::NoPublicAddress { node: node.id.clone() });
                    continue;
                }
                Some(found) => found,
                None => None,
            };
            self.take(want, node, subnet, private_ip, public_ip);
            peers.add(&subnet.zone, &node.id);
            let eni = interface(want.network, subnet, private_ip, public_ip, mint);
            return Ok(Spot { node: node.id.clone(), zone: subnet.zone.clone(), eni });
        }
        Err(refusal)
    }

    fn candidates(&self, want: &Want<'_>, peers: &Peers) -> Result<Vec<Candidate<'a>>, Refusal> {
        let subnets = self.subnets(want)?;
        let mut refusal = Refusal::NoNode;
        let mut found = Vec::new();
        for (_, node) in self.state.nodes.iter().filter(|(_, node)| node.fargate && node.status != "INACTIVE") {
            match self.fit(want, node, &subnets) {
                Ok(free) => found.extend(self.pairs(node, &subnets, free, peers)),
                Err(cause) => refusal = merge(refusal, cause),
            }
        }
        if found.is_empty() { Err(refusal) } else { Ok(found) }
    }

    /// The subnets asked for that have an address left.
    fn subnets(&self, want: &Want<'_>) -> Result<Vec<&'a Subnet>, Refusal> {
        let names: BTreeSet<&str> = want.network.subnets.iter().flatten().map(String::as_str).collect();
        let rows = names.iter().filter_map(|name| self.state.subnets.get(&format!("{}/{name}", want.account)));
        let open: Vec<&Subnet> = rows.map(AsRef::as_ref).filter(|subnet| self.next_private(subnet).is_some()).collect();
        match open.is_empty() {
            true => Err(Refusal::SubnetFull { subnets: names.into_iter().map(str::to_owned).collect() }),
            false => Ok(open),
        }
    }

    fn serves(&self, node: &Node, subnet: &Subnet) -> bool {
        node.zone == subnet.zone || !self.zones.contains(subnet.zone.as_str())
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
        let peers_in_zone = |subnet: &Subnet| peers.zones.get(&subnet.zone).copied().unwrap_or(0);
        let peers_here = peers.nodes.get(&node.id).copied().unwrap_or(0);
        let served = subnets.iter().enumerate().filter(|(_, subnet)| self.serves(node, subnet));
        served
            .map(|(order, subnet)| {
                let used = self.used_private(subnet);
                let rank = (peers_in_zone(subnet), peers_here, used, -free, order, node.id.as_str());
                Candidate { node, subnet, rank }
            })
            .collect()
    }

    /// CPU units and MiB that nothing holds.
    fn free(&self, node: &Node) -> (i64, i64) {
        let used = self.state.index.node(&node.id).map_or((0, 0), |used| (used.cpu, used.memory_mib));
        let taken = self.taken.get(&node.id).copied().unwrap_or_default();
        (i64::from(node.cpu) - used.0 - taken.0, i64::from(node.memory_mib) - used.1 - taken.1)
    }

    fn used_private(&self, subnet: &Subnet) -> usize {
        let key = subnet_key(subnet);
        let stored = self.state.index.subnet(&key).map_or(0, |used| used.taken.len());
        stored + self.private.get(&key).map_or(0, |used| used.taken.len())
    }

    fn next_private(&self, subnet: &Subnet) -> Option<u32> {
        let block = Block::parse(&subnet.cidr)?;
        let key = subnet_key(subnet);
        let last = block.size().checked_sub(2)?;
        next_free(block, (RESERVED_HEAD, last), self.state.index.subnet(&key), self.private.get(&key), |_| true)
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

/// Of two refusals the one that came further; of two alike the one with more to offer.
fn merge(one: Refusal, other: Refusal) -> Refusal {
    one.max(other)
}

fn offers(node: &Node, architecture: &str) -> bool {
    let offered = node.attribute("ecs.cpu-architecture").unwrap_or("x86_64");
    offered.eq_ignore_ascii_case(architecture)
}

/// The first free address of `block` behind the one given last, within the offsets of `range`, both inclusive.
fn next_free(
    block: Block,
    range: (u64, u64),
    stored: Option<&AddressUse>,
    draft: Option<&AddressUse>,
    usable: impl Fn(u32) -> bool,
) -> Option<u32> {
    let (first, last) = range;
    if first > last {
        return None;
    }
    let given = draft.or(stored).map_or(0, |used| used.last);
    let offset = u64::from(given.wrapping_sub(block.base));
    let inside = given >= block.base && (first..=last).contains(&offset);
    let start = if inside { offset + 1 } else { first };
    let free = |offset: u64| {
        let address = block.base + offset as u32;
        let taken = |used: Option<&AddressUse>| used.is_some_and(|used| used.taken.contains(&address));
        (usable(address) && !taken(stored) && !taken(draft)).then_some(address)
    };
    (start..=last).chain(first..start).find_map(free)
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
