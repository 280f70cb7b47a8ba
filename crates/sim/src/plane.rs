//! The control plane's process: the gateway's, the loops' and the sessions' shells without their sockets and timers.
//! Whatever decides is production code: handlers, planners, desks, the store.

use std::collections::BTreeMap;

use longshore_link::desk::{self, Desk, Heard};
use longshore_link::{acs, frame};
use longshore_model::node::Node;
use longshore_model::{Change, Mint, Record, State};
use longshore_plan::agenda::Agenda;
use longshore_plan::{heal, orders, reap};
use longshore_store::{Revision, Store};

use crate::disk::{Disk, Writer};
use crate::law::Laws;
use crate::site::{Answer, Call, Caller, Site};

/// A node that says nothing for so long is gone, as in the control plane's sessions.
const SILENCE_MILLIS: i64 = 50_000;

/// What the control plane tells, once what it rests on is durable.
pub enum Told {
    Answer(Caller, Answer),
    Frames { connection: u64, frames: Vec<String> },
    Open { connection: u64, node: String, desk: Box<Desk> },
    /// It ends a node's connection.
    Close { connection: u64 },
}

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
    /// Start from what the disk holds.
    ///
    /// # Errors
    /// When the store does not open, in words.
    pub fn start(site: &Site<'_>, disk: &Disk, life: u64, seed: u64) -> Result<Self, String> {
        let (store, writer) = disk.open()?;
        let agenda = Agenda::new(&store.read());
        let first = store.read().clone();
        let mut plane = Self {
            life,
            store,
            writer,
            agenda,
            sessions: BTreeMap::new(),
            waiting: Vec::new(),
            mint: Mint::new(seed),
            writing: false,
            woken: None,
            dead: false,
            first,
        };
        plane.write(|state, _| if state.vpcs.is_empty() { site.defaults() } else { Vec::new() });
        let nodes: Vec<String> = plane.store.read().nodes.iter().map(|(id, _)| id.to_string()).collect();
        for node in nodes {
            plane.write(|state, _| orders::forgotten(state, &node, site.now));
        }
        Ok(plane)
    }

    /// The state that the disk held when the process began.
    pub fn first(&self) -> &State {
        &self.first
    }

    fn write(&mut self, decide: impl FnOnce(&State, &mut Mint) -> Vec<Change>) -> Revision {
        let mint = &mut self.mint;
        let written = self.store.transact(|state, changes| {
            changes.extend(decide(state, mint));
            Ok::<(), std::convert::Infallible>(())
        });
        match written {
            Ok(((), revision)) => revision,
            Err(never) => match never {},
        }
    }

    /// Carry out a call; its answer waits for the disk.
    pub fn call(&mut self, site: &Site<'_>, call: &Call) {
        let (answer, revision) = site.carry_out(&self.store, call, self.mint.next_u64());
        self.waiting.push((revision, Told::Answer(call.caller.clone(), answer)));
    }

    /// Everything that may be told now.
    pub fn told(&mut self) -> Vec<Told> {
        let waiting = std::mem::take(&mut self.waiting);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(revision, _)| self.store.is_durable(*revision));
        self.waiting = waiting;
        ready.into_iter().map(|(_, told)| told).collect()
    }

    pub fn has_work_for_the_disk(&self) -> bool {
        self.writer.has_work(&self.store)
    }

    /// The disk takes what was queued: whoever follows commits hears of it. Returns false if the disk failed: the process
    /// must end then.
    pub fn written(&mut self, site: &Site<'_>, laws: &mut Laws) -> bool {
        let Some(commits) = self.writer.step() else { return false };
        let mut dirty: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for commit in commits {
            laws.watched(&commit);
            self.agenda.note(&self.store.read(), &commit.changes);
            for (node, key) in commit.changes.iter().filter_map(desk::addressee) {
                dirty.entry(node.to_owned()).or_default().push(key);
            }
        }
        for (node, keys) in dirty {
            self.speak(&node, |desk, state, mint| desk.orders(state, &keys, site.now, mint));
        }
        true
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
                Ok::<bool, std::convert::Infallible>(found)
            });
            if let Some(service) = service {
                laws.turned(&before, &self.store.read(), &service, site.now);
            }
            if matches!(planned, Ok((false, _))) {
                return;
            }
        }
    }

    /// When the services' loop must turn though nothing is written.
    pub fn not_before(&self, site: &Site<'_>) -> Option<i64> {
        self.agenda.not_before(site.now).map(|at| at.millis())
    }

    pub fn heal(&mut self, site: &Site<'_>) {
        self.write(|state, _| heal::turn(state, site.now).changes);
    }

    pub fn reap(&mut self, site: &Site<'_>) {
        self.write(|state, _| reap::turn(state, site.now, site.settings.stopped_task_ttl_seconds).changes);
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
        self.write(|state, _| orders::disconnected(state, &node, epoch, site.now));
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
                self.write(|state, mint| orders::taken(state, node, &sent, site.now, mint));
            }
            Heard::Refused(sent, reason) => {
                for order in sent {
                    self.write(|state, mint| orders::refused(state, node, &order, &reason, site.now, mint));
                }
            }
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

fn record_of_node(change: &Change) -> Option<&Node> {
    match change {
        Change::Put(Record::Node(node)) => Some(node),
        _ => None,
    }
}
