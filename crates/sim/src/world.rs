//! The world: what happens next, and to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_plan::steady::Steady;
use longshore_services::Settings;
use longshore_store::logs::Logs;
use longshore_wire::Timestamp;
use serde_json::json;

use crate::Outcome;
use crate::balancing;
use crate::client::Client;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::law::Laws;
use crate::machine::Machine;
use crate::network::Connection;
use crate::plane::{Plane, Told};
use crate::rest::Rest;
use crate::site::{Answer, Call, Caller, Site};
use crate::trace::Trace;

/// The clock begins here.
const GENESIS: i64 = 1_800_000_000_000;

const DAY_MILLIS: i64 = 86_400_000;

/// A client that has no answer for so long tries again.
const CLIENT_PATIENCE: i64 = 6_000;

/// Events after which a seed is taken to run in a circle.
const MOST_EVENTS: u64 = 2_000_000;

/// What happens. A `life` is that of the process which the event is about: an older one's events are void.
#[derive(Debug)]
pub enum Event {
    Client(usize),
    ClientTimeout {
        client: usize,
        attempt: u64,
    },
    Request(Call),
    Response(Caller, Answer),
    PlaneStart,
    Written {
        life: u64,
    },
    Turn {
        life: u64,
    },
    Heal {
        life: u64,
    },
    Reap {
        life: u64,
    },
    Beat {
        life: u64,
    },
    Accept {
        connection: u64,
    },
    ToNode {
        connection: u64,
        text: String,
    },
    ToPlane {
        connection: u64,
        text: String,
    },
    NodeLost {
        connection: u64,
    },
    PlaneLost {
        connection: u64,
    },
    AgentStart {
        machine: usize,
    },
    Register {
        machine: usize,
        life: u64,
    },
    Connect {
        machine: usize,
        life: u64,
    },
    Patience {
        machine: usize,
        life: u64,
    },
    Prepared {
        machine: usize,
        life: u64,
        arn: String,
    },
    Exit {
        machine: usize,
        arn: String,
        asked: bool,
    },
    Deliver {
        machine: usize,
        life: u64,
        arn: String,
        attempt: u32,
    },
    Operate {
        machine: usize,
    },
    /// What a machine's health checks say, on its way.
    Health {
        node: String,
        arn: String,
        healthy: bool,
    },
    /// The edge looks at the targets.
    Edge,
    /// What it found of one (group, address, port), on its way.
    Found {
        target: (String, String, u16),
        healthy: bool,
    },
    /// The disk has space again.
    Space,
    Trouble,
    Calm,
    Look,
}

pub struct World<'a> {
    pub now: i64,
    seed: u64,
    events: BTreeMap<(i64, u64), Event>,
    next: u64,
    done: u64,
    pub dice: Dice,
    pub trace: Trace,
    settings: &'a Settings,
    logs: &'a Logs,
    prefix: u8,
    /// What the control plane's clock says, and how it came to that.
    time: Timestamp,
    clock: Steady,
    /// By how much the wall clock is off.
    skew: i64,
    pub disk: Disk,
    pub plane: Option<Plane>,
    lives: u64,
    pub machines: Vec<Machine>,
    pub clients: Vec<Client>,
    pub connections: BTreeMap<u64, Connection>,
    pub laws: Laws,
    /// Faults happen.
    pub trouble: bool,
    pub rest: Rest,
}

impl<'a> World<'a> {
    pub fn new(settings: &'a Settings, logs: &'a Logs, seed: u64, print: bool) -> Self {
        let mut dice = Dice::new(seed);
        let zones = ["us-east-1a", "us-east-1b"];
        let machines = (0..3).map(|index| Machine::new(zones[index % 2], dice.between(8, 12))).collect();
        Self {
            now: 0,
            seed,
            events: BTreeMap::new(),
            next: 0,
            done: 0,
            prefix: dice.between(27, 28) as u8,
            dice,
            trace: Trace::new(print),
            settings,
            logs,
            time: Timestamp::from_millis(GENESIS),
            clock: Steady::new(Duration::ZERO, Duration::from_millis(GENESIS as u64), Timestamp::default()),
            skew: 0,
            disk: Disk::default(),
            plane: None,
            lives: 0,
            machines,
            clients: Vec::new(),
            connections: BTreeMap::new(),
            laws: Laws::default(),
            trouble: true,
            rest: Rest::default(),
        }
    }

    /// From the first start of the control plane until all is at rest, or a law is broken.
    pub fn run(mut self) -> Outcome {
        self.begin();
        while self.laws.broken().is_none() && !self.rest.is_over() {
            let Some(((at, _), event)) = self.events.pop_first() else {
                self.laws.break_with("nothing happens any more".to_owned());
                break;
            };
            self.now = at;
            self.time = self.clock.read(self.uptime(), self.wall());
            self.done += 1;
            if self.done > MOST_EVENTS {
                self.laws.break_with("the system does not come to rest: too many events".to_owned());
            }
            self.happen(event);
            self.settle_plane();
        }
        let failure = self.laws.broken().map(|what| (what.to_owned(), self.trace.last()));
        Outcome { seed: self.seed, hash: self.trace.hash(), events: self.done, seconds: self.now / 1000, failure }
    }

    fn begin(&mut self) {
        self.start_plane();
        let site = self.site();
        let subnets = site.subnets();
        let cluster = Call {
            caller: Caller::Client { client: 0, attempt: 0 },
            operation: "CreateCluster",
            input: json!({"clusterName": "prod"}),
        };
        if let Some(plane) = &mut self.plane {
            plane.call(&site, &cluster);
            plane.written(&site, &mut self.laws);
        }
        self.clients = (0..3).map(|index| Client::new(index, subnets.clone())).collect();
        for machine in 0..self.machines.len() {
            let at = self.dice.between(10, 2_000);
            self.after(at, Event::AgentStart { machine });
        }
        for client in 0..self.clients.len() {
            let at = self.dice.between(10, 5_000);
            self.after(at, Event::Client(client));
        }
        self.after(balancing::EVERY_MILLIS, Event::Edge);
        let (trouble, calm) = (self.dice.between(1_000, 15_000), self.dice.between(60_000, 180_000));
        self.after(trouble, Event::Trouble);
        self.after(calm, Event::Calm);
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.now as u64)
    }

    fn wall(&self) -> Duration {
        Duration::from_millis((GENESIS + self.now + self.skew) as u64)
    }

    /// Somebody sets the wall clock: a day back, a day ahead, or right.
    pub fn set_wall_clock(&mut self, days: i64) {
        self.trace.note(self.now, format_args!("the wall clock is {days} days off"));
        self.skew = days * DAY_MILLIS;
    }

    pub fn site(&self) -> Site<'a> {
        let now = self.time;
        Site { settings: self.settings, logs: self.logs, now, prefix: self.prefix }
    }

    pub fn after(&mut self, millis: i64, event: Event) {
        self.next += 1;
        self.events.insert((self.now + millis.max(0), self.next), event);
    }

    /// What was to happen happens so much later, in the same order.
    pub fn hold_up(&mut self, millis: i64, which: impl Fn(&Event) -> bool) {
        let late: Vec<(i64, u64)> = self.events.iter().filter(|(_, event)| which(event)).map(|(at, _)| *at).collect();
        for (at, number) in late {
            if let Some(event) = self.events.remove(&(at, number)) {
                self.events.insert((at + millis, number), event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client(client) => self.client_acts(client),
            Event::ClientTimeout { client, attempt } => self.client_waited(client, attempt),
            Event::Request(call) => self.request(call),
            Event::Response(caller, answer) => self.response(&caller, answer),
            Event::PlaneStart => self.start_plane(),
            Event::Written { life } => self.of_plane(life, Self::written),
            Event::Turn { life } => self.of_plane(life, Self::turn),
            Event::Heal { life } => self.of_plane(life, Self::heal),
            Event::Reap { life } => self.of_plane(life, Self::reap),
            Event::Beat { life } => self.of_plane(life, Self::beat),
            Event::Accept { connection } => self.accept(connection),
            Event::ToNode { connection, text } => self.frame_to_node(connection, &text),
            Event::ToPlane { connection, text } => self.frame_to_plane(connection, &text),
            Event::NodeLost { connection } => self.node_lost(connection),
            Event::PlaneLost { connection } => self.plane_lost(connection),
            Event::AgentStart { machine } => self.start_agent(machine),
            Event::Register { machine, life } => self.register(machine, life),
            Event::Connect { machine, life } => self.connect(machine, life),
            Event::Patience { machine, life } => self.patience(machine, life),
            Event::Prepared { machine, life, arn } => self.prepared(machine, life, &arn),
            Event::Exit { machine, arn, asked } => self.exit(machine, &arn, asked),
            Event::Deliver { machine, life, arn, attempt } => self.deliver(machine, life, &arn, attempt),
            Event::Operate { machine } => self.operate(machine),
            Event::Health { node, arn, healthy } => self.health(&node, &arn, healthy),
            Event::Edge => self.look_at_targets(),
            Event::Found { target, healthy } => self.found(&target, healthy),
            Event::Space => self.disk.heal(),
            Event::Trouble => self.make_trouble(),
            Event::Calm => self.calm_down(),
            Event::Look => self.look_for_rest(),
        }
    }

    // The control plane's process.

    fn start_plane(&mut self) {
        if self.plane.is_some() {
            return;
        }
        self.lives += 1;
        let (life, seed) = (self.lives, self.dice.seed());
        self.trace.note(self.now, format_args!("the control plane starts, life {life}"));
        if let Err(error) = self.try_start(life, seed) {
            return self.laws.break_with(format!("the control plane does not start: {error}"));
        }
        self.after(1, Event::Turn { life });
        self.after(5_000, Event::Heal { life });
        self.after(60_000, Event::Reap { life });
        self.after(20_000, Event::Beat { life });
    }

    fn try_start(&mut self, life: u64, seed: u64) -> Result<(), String> {
        let mut plane = Plane::open_store(&self.disk, life, seed)?;
        // A machine that starts with a clock that is ahead is believed, so here none does.
        self.skew = self.skew.min(0);
        self.clock = Steady::new(self.uptime(), self.wall(), plane.first().newest());
        self.time = self.clock.read(self.uptime(), self.wall());
        self.laws.restarted(plane.first(), plane.store.durable_revision());
        plane.begin(&self.site())?;
        self.plane = Some(plane);
        Ok(())
    }

    pub fn crash_plane(&mut self, why: &str) {
        if self.plane.take().is_none() {
            return;
        }
        self.trace.note(self.now, format_args!("the control plane dies: {why}"));
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            let after = self.dice.between(1, 200);
            self.cut_towards_node(connection, after);
        }
        let away = self.dice.between(200, 15_000);
        self.after(away, Event::PlaneStart);
    }

    fn of_plane(&mut self, life: u64, act: fn(&mut Self, &mut Plane)) {
        let Some(mut plane) = self.plane.take() else { return };
        if plane.life == life {
            act(self, &mut plane);
        }
        // A control plane that was told to die while it acted is not put back.
        if plane.dead { self.buried(plane) } else { self.plane = Some(plane) }
    }

    fn buried(&mut self, plane: Plane) {
        self.plane = Some(plane);
        self.crash_plane("its disk failed");
    }

    fn written(&mut self, plane: &mut Plane) {
        plane.writing = false;
        if !plane.written(&self.site(), &mut self.laws) {
            plane.dead = true;
        }
    }

    fn turn(&mut self, plane: &mut Plane) {
        plane.woken = None;
        plane.turn(&self.site(), &mut self.laws);
    }

    fn heal(&mut self, plane: &mut Plane) {
        plane.heal(&self.site());
        self.after(5_000, Event::Heal { life: plane.life });
    }

    fn reap(&mut self, plane: &mut Plane) {
        plane.reap(&self.site());
        self.after(60_000, Event::Reap { life: plane.life });
    }

    fn beat(&mut self, plane: &mut Plane) {
        plane.beat(&self.site());
        self.after(20_000, Event::Beat { life: plane.life });
    }

    /// After each event: the disk is given what is queued, the loop is woken, what is durable is told, laws are looked at.
    fn settle_plane(&mut self) {
        let Some(mut plane) = self.plane.take() else { return };
        let site = self.site();
        if plane.has_work_for_the_disk() && !plane.writing {
            plane.writing = true;
            let slow = if self.trouble && self.dice.chance(20) { 800 } else { 25 };
            let takes = self.dice.between(1, slow);
            self.after(takes, Event::Written { life: plane.life });
        }
        let due = plane.not_before(&site).map(|at| self.now + (at - self.time.millis()).max(0) + 1);
        if let Some(at) = due.filter(|at| plane.woken.is_none_or(|woken| *at < woken)) {
            plane.woken = Some(at);
            self.after(at - self.now, Event::Turn { life: plane.life });
        }
        loop {
            let told = plane.told(&site);
            if told.is_empty() {
                break;
            }
            told.into_iter().for_each(|told| self.tell(&mut plane, told));
        }
        {
            let state = plane.store.read();
            self.laws.look(&state, state.revision(), &self.clients);
        }
        self.plane = Some(plane);
    }

    fn tell(&mut self, plane: &mut Plane, told: Told) {
        let site = self.site();
        match told {
            Told::Answer(caller, answer) => self.respond(caller, answer),
            Told::Frames { connection, frames } => {
                frames.into_iter().for_each(|text| self.send_to_node(connection, text));
            }
            Told::Open { connection, node, desk } => {
                if let Some(older) = plane.open(&site, connection, &node, *desk) {
                    self.cut_towards_node(older, 1);
                }
            }
            Told::Close { connection } => self.cut_towards_node(connection, 1),
        }
    }

    fn health(&mut self, node: &str, arn: &str, healthy: bool) {
        self.trace.note(self.now, format_args!("{node}: {arn} healthy {healthy}"));
        if let Some(plane) = &mut self.plane {
            plane.health(node, &crate::law::task_key(arn), healthy);
        }
    }

    /// The edge knows the targets as long as the control plane is there, and what it finds takes its time.
    fn look_at_targets(&mut self) {
        self.after(balancing::EVERY_MILLIS, Event::Edge);
        let Some(targets) = self.plane.as_ref().map(|plane| balancing::targets(&plane.store.read())) else { return };
        for target in targets {
            let healthy = self.machines.iter().any(|machine| machine.serves(&target.1));
            let healthy = healthy && !(self.trouble && self.dice.chance(10));
            let delay = self.latency(2_000);
            self.after(delay, Event::Found { target, healthy });
        }
    }

    fn found(&mut self, target: &(String, String, u16), healthy: bool) {
        self.trace.note(self.now, format_args!("the edge finds {target:?} healthy {healthy}"));
        let site = self.site();
        if let Some(plane) = &mut self.plane {
            plane.found(&site, target, healthy);
        }
    }

    // Calls.

    /// A call sets out; it may get lost, and it may arrive twice.
    pub fn call(&mut self, call: Call) {
        self.double(&call);
        if self.trouble && self.dice.chance(30) {
            return self.trace.note(self.now, format_args!("lost: {} of {:?}", call.operation, call.caller));
        }
        let delay = self.latency(2_000);
        self.after(delay, Event::Request(call));
    }

    /// A copy of a call comes later, after what its caller has done since: what agents report and whatever has a token or is
    /// final must bear that. Of other calls the last one counts, so their callers never send a copy.
    fn double(&mut self, call: &Call) {
        let latest = match (&call.caller, call.operation) {
            (Caller::Agent { .. }, _) | (_, "StopTask") => 30_000,
            (Caller::Client { .. }, "RunTask") => 100,
            _ => return,
        };
        if self.trouble && self.dice.chance(40) {
            let delay = self.dice.between(1, latest);
            self.after(delay, Event::Request(Call { caller: Caller::Nobody, ..call.clone() }));
        }
    }

    /// Milliseconds on the way; at most `most`.
    pub fn latency(&mut self, most: i64) -> i64 {
        let late = self.trouble && self.dice.chance(50);
        self.dice.between(1, if late { most } else { 20 })
    }

    fn request(&mut self, call: Call) {
        self.trace.note(self.now, format_args!("{:?} {} {}", call.caller, call.operation, call.input));
        let site = self.site();
        match &mut self.plane {
            Some(plane) => plane.call(&site, &call),
            None => self.respond(call.caller, Answer::Away),
        }
        if self.trouble && self.dice.chance(8) {
            // Right after a request is the worst of moments.
            let soon = self.dice.between(0, 30);
            self.after(soon, Event::Trouble);
            self.rest.crash_next();
        }
    }

    fn respond(&mut self, caller: Caller, answer: Answer) {
        if caller == Caller::Nobody {
            return;
        }
        if self.trouble && self.dice.chance(30) {
            return self.trace.note(self.now, format_args!("lost: the answer to {caller:?}"));
        }
        let delay = self.latency(2_000);
        self.after(delay, Event::Response(caller, answer));
    }

    fn response(&mut self, caller: &Caller, answer: Answer) {
        self.trace.note(self.now, format_args!("{caller:?} <- {}", shown(&answer)));
        match caller {
            Caller::Client { client, attempt } => self.client_answered(*client, *attempt, &answer),
            Caller::Operator { machine, status } => self.operated(*machine, status, &answer),
            Caller::Nobody => {}
            Caller::Agent { machine, life, about: None } => self.registered(*machine, *life, &answer),
            Caller::Agent { machine, life, about: Some(arn) } => self.delivered(*machine, *life, arn, &answer),
        }
    }

    // Clients.

    fn client_acts(&mut self, index: usize) {
        let (client, dice) = (&mut self.clients[index], &mut self.dice);
        if client.doing.is_none() {
            client.doing = client.next(dice);
        }
        let Some(doing) = client.doing.clone() else {
            let pause = self.dice.between(100, 1_000);
            return self.after(pause, Event::Client(index));
        };
        client.attempt += 1;
        let attempt = client.attempt;
        if let Some(token) = doing.input["startedBy"].as_str() {
            self.laws.asks(token, doing.input["count"].as_i64().unwrap_or(1));
        }
        let caller = Caller::Client { client: index, attempt };
        self.after(CLIENT_PATIENCE, Event::ClientTimeout { client: index, attempt });
        self.call(Call { caller, operation: doing.operation, input: doing.input });
    }

    fn client_waited(&mut self, index: usize, attempt: u64) {
        if self.clients[index].attempt == attempt && self.clients[index].doing.is_some() {
            self.client_acts(index);
        }
    }

    fn client_answered(&mut self, index: usize, attempt: u64, answer: &Answer) {
        let (client, dice) = (&mut self.clients[index], &mut self.dice);
        if client.attempt != attempt || client.doing.is_none() || *answer == Answer::Away {
            return;
        }
        client.attempt += 1;
        match client.answered(answer, dice) {
            Ok(established) => self.laws.acknowledged(established),
            Err(why) => self.laws.break_with(why),
        }
        let pause = self.dice.between(20, 2_000);
        self.after(pause, Event::Client(index));
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Done(output) => {
            let text = output.to_string();
            format!("{} bytes: {}", text.len(), text.chars().take(160).collect::<String>())
        }
        Answer::Fault(fault) => fault.clone(),
        Answer::Away => "nobody listens".to_owned(),
    }
}
