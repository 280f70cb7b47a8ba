//! What the control plane says on one ACS session: the decisions of a session, without its socket.
//!
//! ```text
//!   greeting ─► manifest, then every order that is open
//!   orders   ─► what is new of some tasks        hear ─► acknowledged, refused, which stops are confirmed
//!   overdue  ─► what nobody acknowledged, again
//! ```
//! A desk is made for each session and holds no truth: what it has not delivered is in the state and goes out with the
//! next. Each frame it hands out rests on the state it was given, which must be durable before the frame is sent.
//!
//! Orders that wait for an acknowledgement are bounded by the node's open tasks: a task's newer order and a repeated one
//! take the place of what waited before.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_api::ecs::SubmitTaskStateChangeRequest;
use longshore_model::node::{FARGATE_CLUSTER, Node};
use longshore_model::task::{Task, TaskStatus};
use longshore_model::task_role::RoleKind;
use longshore_model::{AccountId, Arn, Change, Mint, Place, Record, State};
use longshore_wire::{Timestamp, json, record};

use crate::credentials::{
    IAMRoleCredentialsAckRequest, IAMRoleCredentialsMessage, RoleCredentials, TaskCredentialsRefusal,
    TaskCredentialsRequest,
};
use crate::{Error, Frame, Message as _, acs, frame, order};

/// Tasks in one payload.
const PAYLOAD_TASKS: usize = 20;

/// An order that nobody has acknowledged is sent again after so long.
pub const RESEND_MILLIS: i64 = 30_000;

/// Characters of a node's own words that are kept.
const REASON_SHOWN: usize = 256;

/// An order as it was sent: the task's key, and what was wanted of the task.
pub type Sent = (String, TaskStatus);

/// What a node said.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Nothing that asks for anything.
    Nothing,
    /// The node has taken these orders.
    Acknowledged(Vec<Sent>),
    /// The node cannot take these orders, for this reason.
    Refused(Vec<Sent>, String),
    /// What became of tasks. To be answered with [`reports_taken`] once all of it is durable.
    Reported(Reports),
    /// Credentials are asked for, of the node's task with this key. To be answered with [`credentials_issued`] or
    /// [`credentials_refused`].
    Wanted(String, RoleKind, TaskCredentialsRequest),
    /// Something is asked for that is about another's task, or none; its ARN as the node gave it, and the frame that says no.
    Foreign(String, String),
    /// A frame to answer with.
    Answer(String),
    /// A message of a type that is not known here.
    Unknown(String),
}

record! {
    /// [`acs::TaskStateChangesMessage`] as the control plane reads it: by the rules for the operation's own input.
    pub struct Reports {
        pub message_id: String = "messageId",
        pub changes: Vec<SubmitTaskStateChangeRequest> = "changes",
    }
}

/// The answer to reports.
pub fn reports_taken(message_id: String, refused: Vec<acs::RefusedChange>) -> String {
    frame(&acs::TaskStateChangesAck { message_id, refused })
}

/// The answer to a request for credentials: these.
pub fn credentials_issued(asked: TaskCredentialsRequest, issued: RoleCredentials) -> String {
    let TaskCredentialsRequest { message_id, task_arn, role_type, credentials_id } = asked;
    let role_credentials = RoleCredentials { credentials_id, ..issued };
    frame(&IAMRoleCredentialsMessage { message_id, task_arn, role_type, role_credentials })
}

/// The answer to a request for credentials: none.
pub fn credentials_refused(asked: TaskCredentialsRequest, reason: String) -> String {
    let TaskCredentialsRequest { message_id, task_arn, role_type, .. } = asked;
    frame(&TaskCredentialsRefusal { message_id, task_arn, role_type, reason })
}

/// One session's memory.
#[derive(Debug)]
pub struct Desk {
    node: String,
    arn: String,
    cluster: String,
    region: String,
    epoch: i64,
    sequence: i64,
    /// What was last sent for each task that has not stopped.
    sent: BTreeMap<String, TaskStatus>,
    /// Payloads that wait for their acknowledgement, by message id.
    waiting: BTreeMap<String, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    orders: Vec<Sent>,
    since: Timestamp,
}

impl Desk {
    /// The desk of the session that `node` has just begun. `None` if the node's account is none.
    pub fn open(region: &str, node: &Node) -> Option<Self> {
        let place = Place::new(region, &AccountId::parse(&node.account)?);
        Some(Self {
            node: node.id.clone(),
            arn: node.arn.clone(),
            cluster: place.cluster(node.cluster.as_deref().unwrap_or(FARGATE_CLUSTER)),
            region: region.to_owned(),
            epoch: node.epoch,
            sequence: 0,
            sent: BTreeMap::new(),
            waiting: BTreeMap::new(),
        })
    }

    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// ARN of the container instance.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The manifest, then every order that is open: what a session begins with, and how it goes on after something was
    /// missed.
    pub fn greeting(&mut self, state: &State, now: Timestamp, mint: &mut Mint) -> Vec<String> {
        let open = open_tasks(state, &self.node);
        let manifest = acs::TaskManifestMessage {
            message_id: mint.uuid(),
            cluster_arn: self.cluster.clone(),
            container_instance_arn: self.arn.clone(),
            generated_at: now.millis(),
            timeline: self.number(),
            tasks: open.iter().filter_map(|task| self.identifier(task)).collect(),
            takes_reports: true,
        };
        self.sent.clear();
        self.waiting.clear();
        let mut frames = vec![frame(&manifest)];
        frames.extend(self.order_all(state, open, now, mint));
        frames
    }

    /// What is new for the node in the tasks with these keys, as they are now, a few tasks a payload.
    pub fn orders(&mut self, state: &State, keys: &[String], now: Timestamp, mint: &mut Mint) -> Vec<String> {
        let tasks = keys.iter().filter_map(|key| state.tasks.get(key).cloned()).collect();
        self.order_all(state, tasks, now, mint)
    }

    /// Orders that were not acknowledged in time, again.
    pub fn overdue(&mut self, state: &State, now: Timestamp, mint: &mut Mint) -> Vec<String> {
        let late = |waiting: &Waiting| now.millis() - waiting.since.millis() >= RESEND_MILLIS;
        let ids: Vec<String> =
            self.waiting.iter().filter(|(_, waiting)| late(waiting)).map(|(id, _)| id.clone()).collect();
        let mut keys = Vec::new();
        for (key, _) in ids.iter().filter_map(|id| self.waiting.remove(id)).flat_map(|waiting| waiting.orders) {
            self.sent.remove(&key);
            keys.push(key);
        }
        self.orders(state, &keys, now, mint)
    }

    fn order_all(&mut self, state: &State, tasks: Vec<Arc<Task>>, now: Timestamp, mint: &mut Mint) -> Vec<String> {
        let mut fresh = Vec::new();
        for task in tasks {
            let key = task.key();
            if task.is_stopped() {
                self.sent.remove(&key);
            } else if self.is_news(&key, order::wanted(&task)) {
                self.sent.insert(key, order::wanted(&task));
                fresh.push(task);
            }
        }
        fresh.chunks(PAYLOAD_TASKS).map(|tasks| self.payload(state, tasks, now, mint)).collect()
    }

    fn is_news(&self, key: &str, wanted: TaskStatus) -> bool {
        #[cfg(feature = "planted")]
        if longshore_model::planted::is(longshore_model::planted::Bug::LostStop) {
            return !self.sent.contains_key(key);
        }
        self.sent.get(key) != Some(&wanted)
    }

    fn payload(&mut self, state: &State, tasks: &[Arc<Task>], now: Timestamp, mint: &mut Mint) -> String {
        let payload = acs::PayloadMessage {
            message_id: mint.uuid(),
            cluster_arn: self.cluster.clone(),
            container_instance_arn: self.arn.clone(),
            generated_at: now.millis(),
            seq_num: self.number(),
            tasks: tasks.iter().filter_map(|task| order::order(state, &self.region, task)).collect(),
        };
        let orders = tasks.iter().map(|task| (task.key(), order::wanted(task))).collect();
        self.waiting.insert(payload.message_id.clone(), Waiting { orders, since: now });
        frame(&payload)
    }

    /// Rises with each message of the session, and from session to session.
    fn number(&mut self) -> i64 {
        self.sequence += 1;
        (self.epoch << 32) | self.sequence
    }

    /// Read what the node said.
    ///
    /// # Errors
    /// [`Error`] for what is no frame, or not the message that its type says.
    pub fn hear(&mut self, state: &State, text: &str, now: Timestamp) -> Result<Heard, Error> {
        let received = Frame::parse(text)?;
        match received.kind.as_str() {
            acs::AckRequest::TYPE => {
                let ack: acs::AckRequest = received.read()?;
                Ok(self.answered(&ack.message_id).map_or(Heard::Nothing, Heard::Acknowledged))
            }
            acs::NackRequest::TYPE => {
                let nack: acs::NackRequest = received.read()?;
                let reason = nack.reason.chars().take(REASON_SHOWN).collect();
                Ok(self.answered(&nack.message_id).map_or(Heard::Nothing, |orders| Heard::Refused(orders, reason)))
            }
            acs::TaskStopVerificationMessage::TYPE => {
                Ok(Heard::Answer(frame(&self.verify_stops(state, received.read()?, now))))
            }
            acs::TaskStateChangesMessage::TYPE => reports(&received),
            TaskCredentialsRequest::TYPE => Ok(self.wanted(state, received.read()?)),
            acs::HeartbeatAckRequest::TYPE | IAMRoleCredentialsAckRequest::TYPE => Ok(Heard::Nothing),
            _ => Ok(Heard::Unknown(received.kind.chars().take(REASON_SHOWN).collect())),
        }
    }

    fn answered(&mut self, message: &str) -> Option<Vec<Sent>> {
        self.waiting.remove(message).map(|waiting| waiting.orders)
    }

    /// Which of the tasks that a node would stop may stop: those that are not its own, or that are to be stopped.
    fn verify_stops(
        &self,
        state: &State,
        asked: acs::TaskStopVerificationMessage,
        now: Timestamp,
    ) -> acs::TaskStopVerificationAck {
        let wanted: Vec<String> = open_tasks(state, &self.node)
            .iter()
            .filter(|task| order::wanted(task) != TaskStatus::Stopped)
            .filter_map(|task| self.identifier(task).map(|identifier| identifier.task_arn))
            .collect();
        let stop = asked.stop_candidates.into_iter().filter(|candidate| !wanted.contains(&candidate.task_arn));
        acs::TaskStopVerificationAck {
            message_id: asked.message_id,
            generated_at: now.millis(),
            stop_tasks: stop.collect(),
        }
    }

    /// Credentials are for the tasks of this node that have not stopped, and for no other.
    fn wanted(&self, state: &State, asked: TaskCredentialsRequest) -> Heard {
        let named = |task: &Arc<Task>| self.identifier(task).is_some_and(|own| own.task_arn == asked.task_arn);
        let own = task_of(state, &asked.task_arn).filter(|task| task.node.as_ref() == Some(&self.node) && named(task));
        let refuse = |asked| credentials_refused(asked, "the node runs no such task".to_owned());
        let Some(task) = own else { return Heard::Foreign(asked.task_arn.clone(), refuse(asked)) };
        match asked.kind().filter(|_| !task.is_stopped()) {
            Some(kind) => Heard::Wanted(task.key(), kind, asked),
            None => Heard::Answer(refuse(asked)),
        }
    }

    fn identifier(&self, task: &Task) -> Option<acs::TaskIdentifier> {
        let place = Place::new(&self.region, &AccountId::parse(&task.account)?);
        Some(acs::TaskIdentifier {
            task_arn: place.task(&task.cluster, &task.id),
            task_cluster_arn: place.cluster(&task.cluster),
            desired_status: if order::wanted(task) == TaskStatus::Stopped { "STOPPED" } else { "RUNNING" }.to_owned(),
        })
    }
}

fn reports(received: &Frame) -> Result<Heard, Error> {
    let kind = acs::TaskStateChangesMessage::TYPE;
    let read: Result<Reports, _> = json::from_slice(received.message.get().as_bytes());
    let reports = read.map_err(|cause| Error::Reports { kind, cause })?;
    match reports.changes.len() {
        count if count > acs::MAX_REPORTS => Err(Error::TooMany { count, most: acs::MAX_REPORTS }),
        _ => Ok(Heard::Reported(reports)),
    }
}

/// The task of an ARN, whose region is another question.
fn task_of<'s>(state: &'s State, arn: &str) -> Option<&'s Arc<Task>> {
    let arn = Arn::parse(arn)?;
    state.tasks.get(&format!("{}/{}", arn.account, arn.resource.strip_prefix("task/")?))
}

/// The node's tasks that have not stopped.
fn open_tasks(state: &State, node: &str) -> Vec<Arc<Task>> {
    let keys = state.index.node(node).map(|used| used.tasks.iter());
    keys.into_iter().flatten().filter_map(|key| state.tasks.get(key).cloned()).collect()
}

/// The node whose session a change is news for, and the task's key. Most changes are none: the node itself told them.
pub fn addressee(change: &Change) -> Option<(&str, String)> {
    let Change::Put(Record::Task(task)) = change else { return None };
    let node = task.node.as_deref()?;
    (wants_order(task) || task.is_stopped()).then(|| (node, task.key()))
}

/// Whether the node has not yet acknowledged what is wanted of the task.
fn wants_order(task: &Task) -> bool {
    match order::wanted(task) {
        TaskStatus::Stopped => task.last < TaskStatus::Stopping,
        _ => task.last == TaskStatus::Provisioning,
    }
}

#[cfg(test)]
mod tests;
