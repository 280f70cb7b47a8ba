//! Sessions' connections: each keeps the order of what it carries, and may be cut.
//!
//! A connection that is cut is noticed by both ends, by one, or by none until its silence is. What the control plane had
//! already sent may still arrive at an agent that has gone on to the next connection: the production agent drops the
//! old socket first, but must not have to rely on that.

use crate::plane::Plane;
use crate::world::{Event, World};

#[derive(Debug)]
pub struct Connection {
    pub machine: usize,
    /// The agent's life that opened it.
    pub life: u64,
    pub node: String,
    /// Nothing more goes in.
    cut: bool,
    /// What is under way towards the node still arrives.
    leaks: bool,
    to_node_at: i64,
    to_plane_at: i64,
    /// The node has seen a manifest on it.
    pub greeted: bool,
}

impl World<'_> {
    /// An agent opens a connection.
    pub fn dial(&mut self, machine: usize, life: u64, node: &str) -> u64 {
        let id = self.connections.keys().next_back().map_or(1, |last| last + 1);
        let connection = Connection {
            machine,
            life,
            node: node.to_owned(),
            cut: false,
            leaks: false,
            to_node_at: self.now,
            to_plane_at: self.now,
            greeted: false,
        };
        self.connections.insert(id, connection);
        let delay = self.latency(1_000);
        self.after(delay, Event::Accept { connection: id });
        id
    }

    /// The dialling arrives.
    pub fn accept(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id).filter(|connection| !connection.cut) else { return };
        let node = connection.node.clone();
        self.trace.note(self.now, format_args!("connection {id} of {node}"));
        let site = self.site();
        match self.plane.as_mut().map(|plane| plane.accept(&site, id, &node)) {
            None => self.cut_towards_node(id, 1),
            Some(true) => {}
            Some(false) => self.laws.break_with(format!("the registered node {node} is not known")),
        }
    }

    pub fn send_to_node(&mut self, id: u64, text: String) {
        let delay = self.latency(3_000);
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.cut) else { return };
        let at = connection.to_node_at.max(self.now + delay);
        connection.to_node_at = at;
        self.after(at - self.now, Event::ToNode { connection: id, text });
        if self.trouble && self.dice.chance(15) {
            // With something under way is the worst of moments.
            self.cut_as(id, 1);
        }
    }

    pub fn send_to_plane(&mut self, id: u64, text: String) {
        let delay = self.latency(3_000);
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.cut) else { return };
        let at = connection.to_plane_at.max(self.now + delay);
        connection.to_plane_at = at;
        self.after(at - self.now, Event::ToPlane { connection: id, text });
    }

    pub fn frame_to_node(&mut self, id: u64, text: &str) {
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.cut && !connection.leaks {
            return;
        }
        let (machine, life) = (connection.machine, connection.life);
        let agent = self.machines[machine].agent.as_ref().filter(|_| self.machines[machine].life == life);
        if !agent.is_some_and(|agent| agent.connection == Some(id) || agent.stale.contains(&id)) {
            return;
        }
        self.trace.note(self.now, format_args!("machine {machine} <- {id}: {text}"));
        self.node_hears(machine, id, text);
    }

    pub fn frame_to_plane(&mut self, id: u64, text: &str) {
        let Some(connection) = self.connections.get(&id).filter(|connection| !connection.cut) else { return };
        let node = connection.node.clone();
        self.trace.note(self.now, format_args!("plane <- {id}: {text}"));
        let site = self.site();
        let Some(plane) = &mut self.plane else { return };
        if let Err(error) = plane.hear(&site, &node, id, text) {
            self.laws.break_with(error);
        }
    }

    /// The control plane's end is gone; the node will notice after a while.
    pub fn cut_towards_node(&mut self, id: u64, after: i64) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.cut) else { return };
        connection.cut = true;
        self.after(after, Event::NodeLost { connection: id });
    }

    /// A fault of the network takes a connection.
    pub fn cut(&mut self, id: u64) {
        let kind = self.dice.between(0, 2);
        self.cut_as(id, kind);
    }

    fn cut_as(&mut self, id: u64, kind: i64) {
        let late = self.dice.between(0, 40_000);
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.cut) else { return };
        self.trace.note(self.now, format_args!("connection {id} is cut, kind {kind}"));
        connection.cut = true;
        match kind {
            // Both ends notice.
            0 => {
                self.after(1, Event::NodeLost { connection: id });
                self.after(late / 20, Event::PlaneLost { connection: id });
            }
            // The node goes on at once; what was under way arrives late.
            1 => {
                connection.leaks = true;
                self.hold_up(late, |event| matches!(event, Event::ToNode { connection, .. } if *connection == id));
                self.after(0, Event::NodeLost { connection: id });
                self.after(late, Event::PlaneLost { connection: id });
            }
            // Nobody notices.
            _ => {}
        }
    }

    /// The agent's process is gone, and its end of the connection with it.
    pub fn agent_hung_up(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.cut = true;
        connection.leaks = false;
        let noticed = self.dice.between(1, 500);
        self.after(noticed, Event::PlaneLost { connection: id });
    }

    pub fn node_lost(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (machine, life, leaks) = (connection.machine, connection.life, connection.leaks);
        if self.machines[machine].life != life {
            return;
        }
        let Some(agent) = &mut self.machines[machine].agent else { return };
        if agent.connection != Some(id) {
            return;
        }
        agent.connection = None;
        if leaks {
            agent.stale.insert(id);
        }
        let pause = self.dice.between(20, 4_000);
        self.after(pause, Event::Connect { machine, life });
    }

    pub fn plane_lost(&mut self, id: u64) {
        let site = self.site();
        if let Some(plane) = &mut self.plane {
            Plane::closed(plane, &site, id);
        }
    }

    /// Ends that do not know of a cut yet notice it.
    pub fn notice_cuts(&mut self) {
        let cut: Vec<u64> = self.connections.iter().filter(|(_, it)| it.cut).map(|(id, _)| *id).collect();
        for connection in cut {
            self.after(1, Event::NodeLost { connection });
            self.after(1, Event::PlaneLost { connection });
        }
    }

    /// Whether every machine's agent is in a session that works.
    pub fn all_in_session(&self) -> bool {
        let works = |id: u64| self.connections.get(&id).is_some_and(|connection| connection.greeted && !connection.cut);
        self.machines.iter().all(|machine| machine.agent.as_ref().and_then(|agent| agent.connection).is_some_and(works))
    }
}
