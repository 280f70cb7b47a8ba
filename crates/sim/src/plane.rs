//! The control plane's process: the gateway's, the loops' and the sessions' shells without their sockets and timers.
//! Whatever decides is production code: handlers, planners, desks, the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_api::ecs::HealthStatus;
use longshore_link::desk::{self, Desk, Heard, reports_taken};
use longshore_link::{acs, frame};
use longshore_model::node::Node;
use longshore_model::{Change, Mint, Record, State};
use longshore_plan::agenda::Agenda;
use longshore_plan::{expire, heal, orders, reap, report};
use longshore_services::Context;
use longshore_services::ecs::agent;
use longshore_store::{Commit, Full, Revision, Store};
use longshore_wire::Fault;

use crate::balancing;
use crate::disk::{Disk, Writer, Wrote};
use crate::law::Laws;
use crate::site::{Answer, Call, Caller, Site};

/// A node that says nothing for so long is gone, as in the control plane's sessions.
const SILENCE_MILLIS: i64 = 50_000;

/// What the control plane tells, once what it rests on is durable.
pub enum Told {
    Answer(Caller, Answer),
    Frames {
        connection: u64,
        frames: Vec<String>,
    },
    Open {
        connection: u64,
        node: String,
        desk: Box<Desk>,
    },
    /// It ends a node's connection.
    Close {
        connection: u64,
    },
}

/// Nodes that have not been seen for so long are given up.
const NODE_LOST_SECONDS: i64 = 24 * 3600;

/// Before something is planned again that the disk had no space for.
const FULL_PAUSE_MILLIS: i64 = 1_000;

struct Session {
    connection: u64,
    desk: Desk,
    heard: i64,
}

pub struct Plane {
    /// Which start of the process this is.
    pub life: u64,
    pub store: Store,
    writer: Writer,
    agenda: Agenda,
    sessions: BTreeMap<String, Session>,
    waiting: Vec<(Revision, Told)>,
    /// Sessions that ended, by node and epoch, and the revision that says so: said until it is durable.
    departed: Vec<(String, i64, Option<Revision>)>,
    mint: Mint,
    /// A write to the disk is under way.
    pub writing: bool,
    /// The services' loop has been woken for this time.
    pub woken: Option<i64>,
    /// Its disk failed.
    pub dead: bool,
    first: State,
}

impl Plane {
    /// Open what the disk holds.
    ///
    /// # Errors
    /// When the store does not open, in words.
    pub fn open_store(disk: &Disk, life: u64, seed: u64) -> Result<Self, String> {
        let (store, writer) = disk.open()?;
        let agenda = Agenda::new(&store.read());
        let first = store.read().clone();
        Ok(Self {
            life,
            store,
            writer,
            agenda,
            sessions: BTreeMap::new(),
            waiting: Vec::new(),
            departed: Vec::new(),
            mint: Mint::new(seed),
            writing: false,
            woken: None,
            dead: false,
            first,
        })
    }

    /// Begin: a fresh installation gets its defaults, sessions of before are over.
    ///
    /// # Errors
    /// When there is no space, in words.
    pub fn begin(&mut self, site: &Site<'_>) -> Result<(), String> {
        let full = |full: Full| full.to_string();
        self.write(|state, _| if state.vpcs.is_empty() { site.defaults() } else { Vec::new() }).map_err(full)?;
        let nodes: Vec<String> = self.store.read().nodes.iter().map(|(id, _)| id.to_string()).collect();
        for node in nodes {
            self.write(|state, _| orders::forgotten(state, &node, site.now)).map_err(full)?;
        }
        Ok(())
    }

    /// The state that the disk held when the process began.
    pub fn first(&self) -> &State {
        &self.first
    }

    fn write(&mut self, decide: impl FnOnce(&State, &mut Mint) -> Vec<Change>) -> Result<Revision, Full> {
        let mint = &mut self.mint;
        let written = self.store.transact(|state, changes| {
            changes.extend(decide(state, mint));
            Ok::<(), Full>(())
        });
        written.map(|((), revision)| revision)
    }

    /// Carry out a call; its answer waits for the disk.
    pub fn call(&mut self, site: &Site<'_>, call: &Call) {
        let (answer, revision) = site.carry_out(&self.store, call, self.mint.next_u64());
        self.waiting.push((revision, Told::Answer(call.caller.clone(), answer)));
    }

    /// Everything that may be told now.
    pub fn told(&mut self, site: &Site<'_>) -> Vec<Told> {
        self.say_who_departed(site);
        let waiting = std::mem::take(&mut self.waiting);
        let mut told = Vec::new();
        for (revision, what) in waiting {
            match (self.store.is_durable(revision), self.store.is_undone(revision)) {
                (true, _) => told.push(what),
                (_, true) => told.push(self.undone(site, what)),
                _ => self.waiting.push((revision, what)),
            }
        }
        told
    }

    /// What is told instead, because the disk had no space.
    fn undone(&mut self, site: &Site<'_>, told: Told) -> Told {
        match told {
            Told::Answer(caller, _) => Told::Answer(caller, Answer::Away),
            Told::Frames { connection, .. } | Told::Open { connection, .. } | Told::Close { connection } => {
                self.closed(site, connection);
                Told::Close { connection }
            }
        }
    }

    fn say_who_departed(&mut self, site: &Site<'_>) {
        for (node, epoch, said) in std::mem::take(&mut self.departed) {
            let said = match said {
                Some(revision) if self.store.is_durable(revision) => continue,
                Some(revision) if !self.store.is_undone(revision) => Some(revision),
                _ => self.write(|state, _| orders::disconnected(state, &node, epoch, site.now)).ok(),
            };
            self.departed.push((node, epoch, said));
        }
    }

    pub fn has_work_for_the_disk(&self) -> bool {
        self.writer.has_work(&self.store)
    }

    /// The disk takes what was queued: whoever follows commits hears of it. Returns false if the disk failed: the process
    /// must end then.
    pub fn written(&mut self, site: &Site<'_>, laws: &mut Laws) -> bool {
        match self.writer.step(&self.store) {
            Wrote::Failed => return false,
            Wrote::Told(commits) => self.dispatch(site, laws, &commits),
            Wrote::Undone => {
                let revision = self.store.read().revision();
                laws.undone(&self.store.read(), revision);
                self.agenda = Agenda::new(&self.store.read());
                for node in self.sessions.keys().cloned().collect::<Vec<_>>() {
                    self.speak(&node, |desk, state, mint| desk.greeting(state, site.now, mint));
                }
            }
        }
        true
    }

    fn dispatch(&mut self, site: &Site<'_>, laws: &mut Laws, commits: &[Arc<Commit>]) {
        let mut dirty: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for commit in commits {
            laws.watched(commit);
            self.agenda.note(&self.store.read(), &commit.changes);
            for (node, key) in commit.changes.iter().filter_map(desk::addressee) {
                dirty.entry(node.to_owned()).or_default().push(key);
            }
        }
        for (node, keys) in dirty {
            self.speak(&node, |desk, state, mint| desk.orders(state, &keys, site.now, mint));
        }
    }

    /// What a session's desk says of the newest state; it waits for the disk.
    fn speak(&mut self, node: &str, compose: impl FnOnce(&mut Desk, &State, &mut Mint) -> Vec<String>) {
        let Some(session) = self.sessions.get_mut(node) else { return };
        let state = self.store.read();
        let frames = compose(&mut session.desk, &state, &mut self.mint);
        if !frames.is_empty() {
            self.waiting.push((state.revision(), Told::Frames { connection: session.connection, frames }));
        }
    }

    /// The services' loop: every service that is due.
    pub fn turn(&mut self, site: &Site<'_>, laws: &mut Laws) {
        loop {
            let (agenda, mint) = (&mut self.agenda, &mut self.mint);
            let before = self.store.read().clone();
            let mut service = None;
            let planned = self.store.transact(|state, changes: &mut Vec<Change>| {
                let next = agenda.next(state, site.now, mint);
                let found = next.is_some();
                if let Some((key, plan)) = next {
                    changes.extend(plan.changes);
                    service = Some(key);
                }
                Ok::<bool, Full>(found)
            });
            if let Some(service) = service {
                laws.turned(&before, &self.store.read(), &service, site.now);
            }
            match planned {
                Ok((true, _)) => {}
                Ok((false, _)) => return,
                // What was planned is forgotten: everything is looked at again.
                Err(_) => {
                    self.agenda = Agenda::new(&self.store.read());
                    return;
                }
            }
        }
    }

    /// When the services' loop must turn though nothing is written.
    pub fn not_before(&self, site: &Site<'_>) -> Option<i64> {
        let pause = if self.store.is_full() { FULL_PAUSE_MILLIS } else { 0 };
        self.agenda.not_before(site.now).map(|at| at.millis().max(site.now.millis() + pause))
    }

    pub fn heal(&mut self, site: &Site<'_>) {
        let _ = self.write(|state, _| heal::turn(state, site.now, NODE_LOST_SECONDS).changes);
    }

    pub fn reap(&mut self, site: &Site<'_>) {
        let _ = self.write(|state, _| reap::turn(state, site.now, site.settings.stopped_task_ttl_seconds).changes);
        let _ = self.write(|state, _| expire::turn(state, site.now).changes);
    }

    /// A node opens its channel. Returns false if it is not registered.
    pub fn accept(&mut self, site: &Site<'_>, connection: u64, node: &str) -> bool {
        let mut desk = None;
        let revision = self.write(|state, _| {
            let changes = orders::connected(state, node);
            desk = changes.first().and_then(record_of_node).and_then(|node| Desk::open(&site.settings.region, node));
            changes
        });
        let Some(desk) = desk else { return false };
        let Ok(revision) = revision else {
            self.waiting.push((0, Told::Close { connection }));
            return true;
        };
        self.waiting.push((revision, Told::Open { connection, node: node.to_owned(), desk: Box::new(desk) }));
        true
    }

    /// The session is durable: it begins, unless a newer one has. Returns the connection that must end.
    pub fn open(&mut self, site: &Site<'_>, connection: u64, node: &str, desk: Desk) -> Option<u64> {
        if self.sessions.get(node).is_some_and(|session| session.desk.epoch() > desk.epoch()) {
            return Some(connection);
        }
        let session = Session { connection, desk, heard: site.now.millis() };
        let older = self.sessions.insert(node.to_owned(), session);
        self.speak(node, |desk, state, mint| desk.greeting(state, site.now, mint));
        older.map(|session| session.connection)
    }

    /// A connection ended.
    pub fn closed(&mut self, site: &Site<'_>, connection: u64) {
        let found = self.sessions.iter().find(|(_, session)| session.connection == connection);
        let Some((node, epoch)) = found.map(|(node, session)| (node.clone(), session.desk.epoch())) else { return };
        self.sessions.remove(&node);
        self.departed.push((node, epoch, None));
        self.say_who_departed(site);
    }

    /// A frame of a node.
    pub fn hear(&mut self, site: &Site<'_>, node: &str, connection: u64, text: &str) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(node).filter(|session| session.connection == connection) else {
            return Ok(());
        };
        session.heard = site.now.millis();
        let state = self.store.read();
        let revision = state.revision();
        let heard = session.desk.hear(&state, text, site.now).map_err(|error| error.to_string())?;
        drop(state);
        match heard {
            Heard::Nothing => {}
            Heard::Acknowledged(sent) => {
                let _ = self.write(|state, mint| orders::taken(state, node, &sent, site.now, mint));
            }
            Heard::Refused(sent, reason) => {
                for order in sent {
                    let _ = self.write(|state, mint| orders::refused(state, node, &order, &reason, site.now, mint));
                }
            }
            Heard::Reported(reports) => {
                let (account, seed) = (site.settings.account.clone(), self.mint.next_u64());
                let mut context = Context::new(&self.store, site.logs, site.settings, account, site.now, seed);
                // What the disk has no space for is told again.
                let Ok(refused) = agent::submit_tasks(&mut context, node, reports.changes) else { return Ok(()) };
                let refuse = |(task, fault): (String, Fault)| acs::RefusedChange { task, reason: fault.to_string() };
                let answer = reports_taken(reports.message_id, refused.into_iter().map(refuse).collect());
                self.waiting.push((context.into_waits().0, Told::Frames { connection, frames: vec![answer] }));
            }
            // No simulated node asks for any.
            Heard::Wanted(..) | Heard::Foreign(..) => {}
            Heard::Answer(answer) => {
                self.waiting.push((revision, Told::Frames { connection, frames: vec![answer] }));
            }
            Heard::Unknown(kind) => return Err(format!("a node sent a {kind}")),
        }
        Ok(())
    }

    /// Heartbeats, and orders that nobody acknowledged; nodes that fell silent lose their session.
    pub fn beat(&mut self, site: &Site<'_>) {
        let nodes: Vec<String> = self.sessions.keys().cloned().collect();
        for node in nodes {
            let Some(session) = self.sessions.get(&node) else { continue };
            let connection = session.connection;
            if site.now.millis() - session.heard > SILENCE_MILLIS {
                self.closed(site, connection);
                self.waiting.push((0, Told::Close { connection }));
                continue;
            }
            let beat = acs::HeartbeatMessage { message_id: self.mint.uuid(), healthy: true };
            self.waiting.push((0, Told::Frames { connection, frames: vec![frame(&beat)] }));
            self.speak(&node, |desk, state, mint| desk.overdue(state, site.now, mint));
        }
    }
}

impl Plane {
    /// Health of a target, as the edge's channel brings it.
    pub fn found(&mut self, site: &Site<'_>, target: &(String, String, u16), healthy: bool) {
        let _ = self.write(|state, _| balancing::found(state, target, healthy, site.now).into_iter().collect());
    }

    /// Health of a task's container, as the telemetry channel brings it.
    pub fn health(&mut self, node: &str, key: &str, healthy: bool) {
        let status = if healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
        let containers = [("web".to_owned(), status)];
        let _ = self.write(|state, _| report::health(state, key, Some(node), &containers).unwrap_or_default());
    }
}

fn record_of_node(change: &Change) -> Option<&Node> {
    match change {
        Change::Put(Record::Node(node)) => Some(node),
        _ => None,
    }
}
