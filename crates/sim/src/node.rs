//! What a machine's agent does: registration, the session, actors, reports.

use longshore_link::acs::{
    AckRequest, HeartbeatAckRequest, HeartbeatMessage, PayloadMessage, TaskManifestMessage, TaskStateChangesAck,
    TaskStateChangesMessage, TaskStopVerificationAck, TaskStopVerificationMessage,
};
use longshore_link::ledger::{Verdict, Wish};
use longshore_link::{Frame, Message, acs, frame};

use serde_json::Value;

use crate::client::BROKEN;
use crate::machine::{Actor, Agent, Kept, Stage};
use crate::site::{Answer, Call, Caller};
use crate::world::{Event, World};

/// A report that is not answered for so long, and longer each time, is sent again.
const REPORT_PATIENCE: i64 = 6_000;

/// As long as an answer on the channel may take, and longer.
const LETTER_PATIENCE: i64 = 12_000;

/// Of 60 to 120 seconds: after how long a silence a session is dead.
const SILENCE: i64 = 60_000;

impl World<'_> {
    pub fn start_agent(&mut self, machine: usize) {
        if self.machines[machine].agent.is_some() {
            return;
        }
        let waiting = self.machines[machine].start_agent(self.now);
        let life = self.machines[machine].life;
        self.trace.note(self.now, format_args!("the agent of machine {machine} starts, life {life}"));
        for arn in waiting {
            self.prepare(machine, life, arn);
        }
        let outboxes: Vec<String> = self.agent(machine, life).map_or(Vec::new(), |agent| {
            let full = agent.actors.iter().filter(|(_, actor)| !actor.outbox.is_empty());
            full.map(|(arn, _)| arn.clone()).collect()
        });
        for arn in outboxes {
            self.after(1, Event::Deliver { machine, life, arn, attempt: 0 });
        }
        self.after(1, Event::Register { machine, life });
        self.after(10_000, Event::Patience { machine, life });
    }

    fn agent(&mut self, machine: usize, life: u64) -> Option<&mut Agent> {
        let machine = &mut self.machines[machine];
        machine.agent.as_mut().filter(|_| machine.life == life)
    }

    fn actor(&mut self, machine: usize, life: u64, arn: &str) -> Option<&mut Actor> {
        self.agent(machine, life)?.actors.get_mut(arn)
    }

    /// The agent's process ends; what runs goes on.
    pub fn crash_agent(&mut self, machine: usize) {
        let Some(agent) = self.machines[machine].agent.take() else { return };
        self.trace.note(self.now, format_args!("the agent of machine {machine} dies"));
        agent.connection.into_iter().chain(agent.stale).for_each(|id| self.agent_hung_up(id));
    }

    /// Nothing but the disk is left, and now and then not even that.
    pub fn cut_power(&mut self, machine: usize) {
        self.crash_agent(machine);
        self.trace.note(self.now, format_args!("machine {machine} loses its power"));
        for container in std::mem::take(&mut self.machines[machine].containers).into_values() {
            self.laws.ended(container.address.as_ref());
        }
        if self.dice.chance(200) {
            self.trace.note(self.now, format_args!("machine {machine} loses what is on its disk"));
            for arn in std::mem::take(&mut self.machines[machine].disk).into_keys() {
                self.laws.wiped(&arn);
            }
        }
    }

    // Registration and session.

    pub fn register(&mut self, machine: usize, life: u64) {
        if self.agent(machine, life).is_none_or(|agent| agent.registered) {
            return;
        }
        let input = self.machines[machine].registration(machine);
        let caller = Caller::Agent { machine, life, about: None };
        self.call(Call { caller, operation: "RegisterContainerInstance", input });
        self.after(REPORT_PATIENCE, Event::Register { machine, life });
    }

    pub fn registered(&mut self, machine: usize, life: u64, answer: &Answer) {
        let Some(agent) = self.agent(machine, life).filter(|agent| !agent.registered) else { return };
        match answer {
            Answer::Away => {}
            Answer::Fault(fault) if fault.contains("ServiceUnavailable") => {}
            Answer::Fault(fault) => self.laws.break_with(format!("a node was not registered: {fault}")),
            Answer::Done(output) => {
                agent.registered = true;
                let arn = output["containerInstance"]["containerInstanceArn"].as_str().unwrap_or_default();
                self.machines[machine].arn = Some(arn.to_owned());
                let id = self.machines[machine].id().unwrap_or_default().to_owned();
                self.laws.registered(&id);
                self.after(1, Event::Connect { machine, life });
            }
        }
    }

    pub fn connect(&mut self, machine: usize, life: u64) {
        let node = self.machines[machine].id().unwrap_or_default().to_owned();
        let now = self.now;
        if self.agent(machine, life).is_none_or(|agent| agent.connection.is_some()) {
            return;
        }
        let id = self.dial(machine, life, &node);
        if let Some(agent) = self.agent(machine, life) {
            agent.connection = Some(id);
            agent.heard = now;
        }
    }

    pub fn patience(&mut self, machine: usize, life: u64) {
        let now = self.now;
        let limit = SILENCE + self.dice.between(0, 60_000);
        let Some(agent) = self.agent(machine, life) else { return };
        if let Some(connection) = agent.connection.filter(|_| now - agent.heard > limit) {
            self.after(0, Event::NodeLost { connection });
        }
        self.tell_health(machine, life);
        self.after(10_000, Event::Patience { machine, life });
    }

    /// The health of what is checked and runs; now and then something is not well any more.
    fn tell_health(&mut self, machine: usize, life: u64) {
        let node = self.machines[machine].id().unwrap_or_default().to_owned();
        if self.agent(machine, life).is_none_or(|agent| agent.connection.is_none()) {
            return;
        }
        let running = self.machines[machine].containers.iter();
        let checked: Vec<(String, bool)> =
            running.filter_map(|(arn, container)| Some((arn.clone(), container.healthy?))).collect();
        for (arn, healthy) in checked {
            let healthy = healthy && !(self.trouble && self.dice.chance(20));
            if let Some(container) = self.machines[machine].containers.get_mut(&arn) {
                container.healthy = Some(healthy);
            }
            let delay = self.latency(2_000);
            self.after(delay, Event::Health { node: node.clone(), arn, healthy });
        }
    }

    /// A frame of the control plane.
    pub fn node_hears(&mut self, machine: usize, connection: u64, text: &str) {
        let life = self.machines[machine].life;
        let now = self.now;
        if let Some(agent) = self.agent(machine, life) {
            agent.heard = now;
        }
        let read = Frame::parse(text).and_then(|frame| match frame.kind.as_str() {
            HeartbeatMessage::TYPE => frame.read().map(|beat: HeartbeatMessage| {
                let ack = HeartbeatAckRequest { message_id: beat.message_id };
                self.send_to_plane(connection, longshore_link::frame(&ack));
            }),
            PayloadMessage::TYPE => frame.read().map(|payload| self.payload(machine, life, connection, payload)),
            TaskManifestMessage::TYPE => {
                frame.read().map(|manifest| self.manifest(machine, life, connection, &manifest))
            }
            TaskStateChangesAck::TYPE => frame.read().map(|ack| self.acknowledged(machine, life, &ack)),
            TaskStopVerificationAck::TYPE => frame.read().map(|answer| self.confirmed(machine, life, answer)),
            _ => Ok(()),
        });
        if let Err(error) = read {
            self.laws.break_with(format!("a frame does not read: {error}"));
        }
    }

    fn ack(&mut self, machine: usize, connection: u64, message_id: &str) {
        let ack = AckRequest {
            cluster: "longshore.fargate".to_owned(),
            container_instance: self.machines[machine].arn.clone().unwrap_or_default(),
            message_id: message_id.to_owned(),
        };
        self.send_to_plane(connection, frame(&ack));
    }

    fn payload(&mut self, machine: usize, life: u64, connection: u64, payload: PayloadMessage) {
        for task in payload.tasks {
            self.order(machine, life, payload.seq_num, task);
        }
        self.ack(machine, connection, &payload.message_id);
    }

    fn order(&mut self, machine: usize, life: u64, number: i64, task: acs::Task) {
        let arn = task.arn.clone();
        let node = self.machines[machine].id().unwrap_or_default().to_owned();
        let Some(agent) = self.agent(machine, life) else { return };
        let verdict = agent.ledger.order(&task, number);
        self.laws.ordered(machine, &arn, number, verdict != Verdict::Stale);
        match verdict {
            Verdict::Begin(Wish::Running) => {
                self.laws.may_run(&arn, &node);
                // On record before the order is acknowledged.
                self.machines[machine].disk.insert(arn.clone(), Kept { task: task.clone(), begun: false });
                self.enter(machine, life, &arn, Actor::new(task, Wish::Running));
                self.prepare(machine, life, arn);
            }
            Verdict::Begin(Wish::Stopped) | Verdict::Lost => {
                let mut actor = Actor::new(task, Wish::Stopped);
                actor.end(None);
                self.enter(machine, life, &arn, actor);
                self.after(1, Event::Deliver { machine, life, arn, attempt: 0 });
            }
            Verdict::Stop => self.stop(machine, life, &arn),
            Verdict::Stale => {}
            Verdict::Refused(why) => self.laws.break_with(format!("the order for {arn} was refused: {why}")),
        }
    }

    fn enter(&mut self, machine: usize, life: u64, arn: &str, actor: Actor) {
        if let Some(agent) = self.agent(machine, life) {
            agent.actors.insert(arn.to_owned(), actor);
        }
    }

    fn manifest(&mut self, machine: usize, life: u64, connection: u64, manifest: &TaskManifestMessage) {
        let Some(agent) = self.agent(machine, life) else { return };
        let current = agent.connection == Some(connection);
        let taken = agent.timeline.takes(manifest);
        let stop_candidates = agent.ledger.candidates(manifest);
        if let Some(connection) = self.connections.get_mut(&connection).filter(|connection| !connection.greeted) {
            connection.greeted = true;
            if current {
                self.laws.greeted(machine, taken);
            }
        }
        if !taken {
            return;
        }
        if let Some(agent) = self.agent(machine, life).filter(|_| manifest.takes_reports) {
            agent.reports_to = Some(connection);
        }
        self.ack(machine, connection, &manifest.message_id);
        if !stop_candidates.is_empty() {
            let message_id = manifest.message_id.clone();
            self.send_to_plane(connection, frame(&TaskStopVerificationMessage { message_id, stop_candidates }));
        }
    }

    fn confirmed(&mut self, machine: usize, life: u64, answer: TaskStopVerificationAck) {
        for task in answer.stop_tasks {
            let here = self.agent(machine, life).is_some_and(|agent| agent.ledger.stop(&task.task_arn));
            if here {
                self.stop(machine, life, &task.task_arn);
            }
        }
    }

    // Tasks.

    /// Images and network take their time.
    fn prepare(&mut self, machine: usize, life: u64, arn: String) {
        let slow = self.dice.chance(100);
        let takes = if slow { self.dice.between(500, 8_000) } else { self.dice.between(5, 300) };
        if slow && let Some(actor) = self.actor(machine, life, &arn) {
            actor.tell("ACTIVATING", None);
            self.after(100, Event::Deliver { machine, life, arn: arn.clone(), attempt: 0 });
        }
        self.after(takes, Event::Prepared { machine, life, arn });
    }

    pub fn prepared(&mut self, machine: usize, life: u64, arn: &str) {
        let fails = self.trouble && self.dice.chance(20);
        let Some(actor) = self.actor(machine, life, arn).filter(|actor| actor.stage == Stage::Preparing) else {
            return;
        };
        if fails || actor.task.containers.iter().any(|container| container.image == BROKEN) {
            actor.end(Some("CannotPullContainerError: pull image manifest has been retried 5 time(s)"));
            return self.abandon(machine, life, arn);
        }
        actor.stage = Stage::Running;
        actor.tell("RUNNING", None);
        let address = self.machines[machine].launch(arn).and_then(|container| container.address.clone());
        self.trace.note(self.now, format_args!("machine {machine} starts {arn}"));
        self.laws.started(arn, machine, address.as_ref());
        self.nudge(machine, life, arn);
        if self.trouble && self.dice.chance(120) {
            let lives = self.dice.between(100, 90_000);
            self.after(lives, Event::Exit { machine, arn: arn.to_owned(), asked: false });
        }
    }

    /// A task that never started leaves nothing behind, then it is told of.
    fn abandon(&mut self, machine: usize, life: u64, arn: &str) {
        self.machines[machine].disk.remove(arn);
        self.nudge(machine, life, arn);
    }

    /// A task is to stop.
    fn stop(&mut self, machine: usize, life: u64, arn: &str) {
        let node = self.machines[machine].id().unwrap_or_default().to_owned();
        self.laws.may_stop(arn, &node);
        let takes = self.dice.between(3, 3_000);
        let Some(actor) = self.actor(machine, life, arn) else { return };
        actor.wish = Wish::Stopped;
        match actor.stage {
            Stage::Preparing => {
                actor.end(None);
                self.abandon(machine, life, arn);
            }
            Stage::Running => {
                actor.stage = Stage::Stopping;
                if let Some(container) = self.machines[machine].containers.get_mut(arn) {
                    container.stopping = true;
                }
                self.after(takes, Event::Exit { machine, arn: arn.to_owned(), asked: true });
            }
            Stage::Stopping | Stage::Over => {}
        }
    }

    /// A container ends, whether an agent watches or not. In calm times none does so by itself.
    pub fn exit(&mut self, machine: usize, arn: &str, asked: bool) {
        if !asked && !self.trouble {
            return;
        }
        let Some(container) = self.machines[machine].containers.remove(arn) else { return };
        self.trace.note(self.now, format_args!("machine {machine}: {arn} ends, asked {asked}"));
        self.laws.ended(container.address.as_ref());
        let life = self.machines[machine].life;
        let Some(actor) = self.actor(machine, life, arn) else { return };
        actor.end((!asked).then_some("Essential container in task exited"));
        self.nudge(machine, life, arn);
    }

    // Reports.

    /// Deliver the outbox, unless its first report is under way.
    fn nudge(&mut self, machine: usize, life: u64, arn: &str) {
        let Some(actor) = self.actor(machine, life, arn) else { return };
        let attempt = actor.attempt;
        if actor.outbox.len() == 1 {
            self.after(0, Event::Deliver { machine, life, arn: arn.to_owned(), attempt });
        }
    }

    pub fn deliver(&mut self, machine: usize, life: u64, arn: &str, attempt: u32) {
        let Some(actor) = self.actor(machine, life, arn).filter(|actor| actor.attempt == attempt) else { return };
        let Some(input) = actor.outbox.front().cloned() else { return };
        actor.attempt += 1;
        let attempt = actor.attempt;
        let posted = !self.dice.chance(300) && self.post(machine, life, arn, &input);
        if !posted {
            let caller = Caller::Agent { machine, life, about: Some(arn.to_owned()) };
            self.call(Call { caller, operation: "SubmitTaskStateChange", input });
        }
        let patience = if posted { LETTER_PATIENCE } else { REPORT_PATIENCE } + self.dice.between(0, 5_000);
        self.after(patience, Event::Deliver { machine, life, arn: arn.to_owned(), attempt });
    }

    /// Send a report on the channel, now and then with those of all other tasks, which go their own way too. Returns false
    /// if there is none that takes it.
    fn post(&mut self, machine: usize, life: u64, arn: &str, input: &Value) -> bool {
        let all = self.dice.chance(300);
        let Some(agent) = self.agent(machine, life) else { return false };
        let Some(connection) = agent.connection.filter(|id| agent.reports_to == Some(*id)) else { return false };
        let others = agent.actors.iter().filter(|(other, _)| all && *other != arn);
        let mut changes = vec![input.clone()];
        changes.extend(others.filter_map(|(_, actor)| actor.outbox.front().cloned()));
        agent.letters_sent += 1;
        let message_id = agent.letters_sent.to_string();
        agent.letters.insert(message_id.clone(), (arn.to_owned(), input.clone()));
        self.send_to_plane(connection, frame(&TaskStateChangesMessage { message_id, changes }));
        true
    }

    /// A message of reports was taken.
    fn acknowledged(&mut self, machine: usize, life: u64, ack: &TaskStateChangesAck) {
        let letter = self.agent(machine, life).and_then(|agent| agent.letters.remove(&ack.message_id));
        let Some((arn, report)) = letter else { return };
        // It may have arrived another way.
        let waits = self.actor(machine, life, &arn).is_some_and(|actor| actor.outbox.front() == Some(&report));
        if waits {
            self.delivered(machine, life, &arn, &Answer::Done(Value::Null));
        }
    }

    /// A report was answered: taken, or refused for good.
    pub fn delivered(&mut self, machine: usize, life: u64, arn: &str, answer: &Answer) {
        let Some(actor) = self.actor(machine, life, arn) else { return };
        let refused = matches!(answer, Answer::Fault(fault) if fault.contains("ServiceUnavailable"));
        if *answer == Answer::Away || refused || actor.outbox.pop_front().is_none() {
            return;
        }
        actor.attempt += 1;
        let attempt = actor.attempt;
        if !actor.outbox.is_empty() {
            return self.after(0, Event::Deliver { machine, life, arn: arn.to_owned(), attempt });
        }
        if actor.stage != Stage::Over {
            return;
        }
        self.machines[machine].disk.remove(arn);
        if let Some(agent) = self.agent(machine, life) {
            agent.actors.remove(arn);
            agent.ledger.end(arn);
        }
    }
}
