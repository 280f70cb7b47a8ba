//! A node: the machine, what runs on it, and the agent's process. What the agent does about an order is decided by the
//! production ledger; actor, supervisor and runtime are played.
//!
//! Containers and what is on the machine's disk outlive the agent; a power cut ends the containers and leaves the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use longshore_link::acs;
use longshore_link::ledger::{Ledger, Timeline, Wish};
use serde_json::{Value, json};

use crate::operator::Duty;
use crate::site::REGION;

/// A task as it is written on the machine's disk, before its order is acknowledged.
#[derive(Clone, Debug)]
pub struct Kept {
    pub task: acs::Task,
    /// Its start has begun: it never starts again.
    pub begun: bool,
}

/// A task's container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Subnet and private address.
    pub address: Option<(String, String)>,
    /// It has been told to stop.
    pub stopping: bool,
    /// Whether it is well, where it is asked.
    pub healthy: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Preparing,
    Running,
    Stopping,
    /// Its last report is in the outbox.
    Over,
}

/// The agent's work on one task.
#[derive(Clone, Debug)]
pub struct Actor {
    pub task: acs::Task,
    pub wish: Wish,
    pub stage: Stage,
    /// Reports that have not arrived, the oldest first; that one is under way.
    pub outbox: VecDeque<Value>,
    /// Counts deliveries, so that an older one's timer is void.
    pub attempt: u32,
}

#[derive(Debug)]
pub struct Agent {
    pub registered: bool,
    pub ledger: Ledger,
    pub timeline: Timeline,
    pub actors: BTreeMap<String, Actor>,
    /// The channel in use, once it is open.
    pub connection: Option<u64>,
    /// Channels whose end it has not noticed: frames that were under way still arrive.
    pub stale: BTreeSet<u64>,
    /// The channel on which the control plane takes reports.
    pub reports_to: Option<u64>,
    /// Reports under way on a channel, with their task, by message id.
    pub letters: BTreeMap<String, (String, Value)>,
    /// Counts them.
    pub letters_sent: u64,
    /// When the control plane was last heard.
    pub heard: i64,
}

#[derive(Debug)]
pub struct Machine {
    pub zone: &'static str,
    /// Tasks of 256/512 that fit.
    pub room: i64,
    /// The node's ARN, once it is registered.
    pub arn: Option<String>,
    pub disk: BTreeMap<String, Kept>,
    pub containers: BTreeMap<String, Container>,
    /// Which start of the agent this is.
    pub life: u64,
    pub agent: Option<Agent>,
    pub duty: Duty,
}

impl Machine {
    pub fn new(zone: &'static str, room: i64) -> Self {
        Self {
            zone,
            room,
            arn: None,
            disk: BTreeMap::new(),
            containers: BTreeMap::new(),
            life: 0,
            agent: None,
            duty: Duty::default(),
        }
    }

    /// The node's id.
    pub fn id(&self) -> Option<&str> {
        self.arn.as_deref().and_then(|arn| arn.rsplit('/').next())
    }

    /// The agent's process begins; tasks that are on the machine are adopted. Returns those that must be begun.
    pub fn start_agent(&mut self, now: i64) -> Vec<String> {
        self.life += 1;
        let mut agent = Agent {
            registered: false,
            ledger: Ledger::new(REGION, false),
            timeline: Timeline::default(),
            actors: BTreeMap::new(),
            connection: None,
            stale: BTreeSet::new(),
            reports_to: None,
            letters: BTreeMap::new(),
            letters_sent: 0,
            heard: now,
        };
        let mut waiting = Vec::new();
        for (arn, kept) in &self.disk {
            agent.ledger.adopt(arn);
            let mut actor = Actor::new(kept.task.clone(), Wish::Running);
            match (kept.begun, self.containers.get(arn)) {
                (false, _) => waiting.push(arn.clone()),
                (true, Some(container)) => {
                    actor.stage = if container.stopping { Stage::Stopping } else { Stage::Running };
                    actor.tell("RUNNING", None);
                }
                (true, None) => actor.end(Some("Essential container in task exited")),
            }
            agent.actors.insert(arn.clone(), actor);
        }
        self.agent = Some(agent);
        waiting
    }

    /// Whether a container with this address runs here and is not about to stop.
    pub fn serves(&self, address: &str) -> bool {
        let own = |container: &Container| container.address.as_ref().is_some_and(|(_, own)| own == address);
        self.containers.values().any(|container| own(container) && !container.stopping)
    }

    /// What it registers with.
    pub fn registration(&self, index: usize) -> Value {
        let mut input = json!({
            "cluster": "longshore.fargate",
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": self.room * 256},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": self.room * 512},
            ],
            "attributes": [
                {"name": "longshore.fargate"},
                {"name": "longshore.zone", "value": self.zone},
                {"name": "longshore.public-pool", "value": format!("198.19.{index}.0/28")},
                {"name": "ecs.cpu-architecture", "value": "x86_64"},
            ],
        });
        if let Some(arn) = &self.arn {
            input["containerInstanceArn"] = arn.as_str().into();
        }
        input
    }

    /// Start the task's container.
    pub fn launch(&mut self, arn: &str) -> Option<&Container> {
        let kept = self.disk.get_mut(arn)?;
        kept.begun = true;
        let eni = kept.task.elastic_network_interfaces.first();
        let address =
            eni.and_then(|eni| Some((eni.subnet_id.clone()?, eni.ipv4_addresses.first()?.private_address.clone())));
        let mut checked = kept.task.containers.iter();
        let healthy = checked.any(|container| container.health_check_type.is_some()).then_some(true);
        self.containers.insert(arn.to_owned(), Container { address, stopping: false, healthy });
        self.containers.get(arn)
    }
}

impl Actor {
    pub fn new(task: acs::Task, wish: Wish) -> Self {
        Self { task, wish, stage: Stage::Preparing, outbox: VecDeque::new(), attempt: 0 }
    }

    /// Put a report into the outbox.
    pub fn tell(&mut self, status: &str, reason: Option<&str>) {
        let container = json!({"containerName": "web", "status": if status == "STOPPED" { "STOPPED" } else { status }});
        let mut report = json!({"cluster": "", "task": self.task.arn, "status": status, "containers": [container]});
        if let Some(reason) = reason {
            report["reason"] = reason.into();
        }
        self.outbox.push_back(report);
    }

    /// The task is over: its last report.
    pub fn end(&mut self, reason: Option<&str>) {
        self.stage = Stage::Over;
        self.tell("STOPPED", reason);
    }
}
