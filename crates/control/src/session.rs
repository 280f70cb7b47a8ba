//! Node sessions: the ACS channel (orders) and the TCS channel (health) of each node.
//!
//! ```text
//! connect ─► epoch + 1, older session of the node is closed ─► manifest, then every order that is open
//!         ─► orders as commits become durable ─► disconnect: the node takes no new tasks
//! ```
//! A session holds no truth: whatever it has not delivered is in the state and goes out when the node connects again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use longshore_link::{Frame, Message as _, acs, frame, order, tcs};
use longshore_model::task::{Task, TaskStatus};
use longshore_model::{Change, Record, State};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::Server;
use crate::clock;

/// Amazon's agent gives up after 60 s without a message.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A node that answers no heartbeat for so long is gone.
const SILENCE: Duration = Duration::from_secs(50);

/// Orders that may wait for a slow node before its session is dropped.
const QUEUE: usize = 4096;

/// Characters of a node's own words that go into the log.
const REASON_SHOWN: usize = 256;

/// Tasks in one payload.
const PAYLOAD_TASKS: usize = 10;

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

enum Event {
    /// The task with this key changed.
    Task(String),
    /// Commits were missed: look at everything.
    Resync,
}

struct Live {
    epoch: i64,
    events: mpsc::Sender<Event>,
}

/// The sessions that are open, by node id.
#[derive(Default)]
pub struct Sessions {
    live: Mutex<HashMap<String, Live>>,
}

impl Sessions {
    pub fn count(&self) -> usize {
        self.live.lock().len()
    }

    /// A newer session of a node takes the place of an older one, whose queue closes. `None` if a newer one is open.
    fn open(&self, node: &str, epoch: i64) -> Option<mpsc::Receiver<Event>> {
        let mut live = self.live.lock();
        if live.get(node).is_some_and(|session| session.epoch > epoch) {
            return None;
        }
        let (events, queue) = mpsc::channel(QUEUE);
        live.insert(node.to_owned(), Live { epoch, events });
        Some(queue)
    }

    fn close(&self, node: &str, epoch: i64) {
        let mut live = self.live.lock();
        if live.get(node).is_some_and(|session| session.epoch == epoch) {
            live.remove(node);
        }
    }

    fn send(&self, node: &str, event: Event) {
        let mut live = self.live.lock();
        let full = live.get(node).is_some_and(|session| session.events.try_send(event).is_err());
        if full {
            live.remove(node);
        }
    }

    pub fn resync_all(&self) {
        let nodes: Vec<String> = self.live.lock().keys().cloned().collect();
        for node in nodes {
            self.send(&node, Event::Resync);
        }
    }
}

/// Hand each durable change of a task to its node's session.
pub async fn dispatch(server: Arc<Server>) {
    let mut commits = server.store.commits();
    loop {
        match commits.recv().await {
            Ok(commit) => {
                for change in &commit.changes {
                    route(&server.sessions, change);
                }
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "orders fell behind; every session looks afresh");
                server.sessions.resync_all();
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn route(sessions: &Sessions, change: &Change) {
    let Change::Put(Record::Task(task)) = change else { return };
    if let Some(node) = &task.node {
        sessions.send(node, Event::Task(task.key()));
    }
}

/// Limits for what an agent may send.
fn limits() -> WebSocketConfig {
    let max = Some(longshore_link::MAX_FRAME);
    WebSocketConfig::default().max_message_size(max).max_frame_size(max)
}

pub async fn socket(upgraded: Upgraded) -> Socket {
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits())).await
}

/// One ACS session, from connect to disconnect.
struct Acs {
    server: Arc<Server>,
    node: String,
    arn: String,
    cluster: String,
    epoch: i64,
    sequence: i64,
    /// What was last sent for each task that has not stopped.
    sent: HashMap<String, TaskStatus>,
    /// Payloads that wait for their acknowledgement: message id to task keys.
    unacknowledged: HashMap<String, Vec<String>>,
    /// When the node was last heard.
    heard: Instant,
}

/// Serve a node's ACS channel until it ends.
pub async fn serve_acs(server: Arc<Server>, node: String, socket: Socket) {
    let Some((epoch, arn, cluster)) = server.node_connected(&node).await else { return };
    let Some(events) = server.sessions.open(&node, epoch) else { return };
    tracing::info!(node, epoch, "a node connected");
    let mut session = Acs {
        server: server.clone(),
        node: node.clone(),
        arn,
        cluster,
        epoch,
        sequence: 0,
        sent: HashMap::new(),
        unacknowledged: HashMap::new(),
        heard: Instant::now(),
    };
    let ended = session.run(socket, events).await;
    server.sessions.close(&node, epoch);
    server.node_disconnected(&node, epoch).await;
    tracing::info!(node, epoch, reason = ended.err().map(|error| error.to_string()), "a node disconnected");
}

impl Acs {
    async fn run(&mut self, mut socket: Socket, mut events: mpsc::Receiver<Event>) -> Result<(), SocketError> {
        self.send_manifest(&mut socket).await?;
        self.send_all(&mut socket).await?;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(&mut socket, &mut events, event).await?,
                    None => return Ok(()),
                },
                message = socket.next() => match message {
                    Some(message) => {
                        self.heard = Instant::now();
                        self.on_message(&mut socket, message?).await?;
                    }
                    None => return Ok(()),
                },
                _ = heartbeat.tick() => {
                    if self.heard.elapsed() > SILENCE {
                        return Ok(());
                    }
                    self.send_heartbeat(&mut socket).await?;
                }
                () = self.server.stopping() => return self.say_goodbye(&mut socket).await,
            }
        }
    }

    async fn say_goodbye(&self, socket: &mut Socket) -> Result<(), SocketError> {
        let close = acs::CloseMessage { message: "the control plane is stopping".to_owned() };
        socket.send(Message::text(frame(&close))).await?;
        socket.close(None).await
    }

    async fn send_heartbeat(&self, socket: &mut Socket) -> Result<(), SocketError> {
        let beat = acs::HeartbeatMessage { message_id: clock::mint().uuid(), healthy: true };
        socket.send(Message::text(frame(&beat))).await
    }

    async fn send_manifest(&mut self, socket: &mut Socket) -> Result<(), SocketError> {
        let (manifest, revision) = {
            let server = self.server.clone();
            let state = server.store.read();
            (self.manifest(&state), state.revision())
        };
        if self.server.store.durable(revision).await.is_err() {
            return Err(SocketError::ConnectionClosed);
        }
        socket.send(Message::text(frame(&manifest))).await
    }

    fn manifest(&mut self, state: &State) -> acs::TaskManifestMessage {
        let tasks = open_tasks(state, &self.node);
        acs::TaskManifestMessage {
            message_id: clock::mint().uuid(),
            cluster_arn: self.cluster.clone(),
            container_instance_arn: self.arn.clone(),
            generated_at: clock::now().millis(),
            timeline: self.number(),
            tasks: tasks.iter().filter_map(|task| self.identifier(task)).collect(),
        }
    }

    fn identifier(&self, task: &Task) -> Option<acs::TaskIdentifier> {
        let place = self.server.place(&task.account)?;
        Some(acs::TaskIdentifier {
            task_arn: place.task(&task.cluster, &task.id),
            task_cluster_arn: place.cluster(&task.cluster),
            desired_status: if task.desired == TaskStatus::Stopped { "STOPPED" } else { "RUNNING" }.to_owned(),
        })
    }

    async fn send_all(&mut self, socket: &mut Socket) -> Result<(), SocketError> {
        self.sent.clear();
        let node = self.node.clone();
        self.send_newest(socket, |state| open_tasks(state, &node)).await
    }

    async fn on_event(
        &mut self,
        socket: &mut Socket,
        events: &mut mpsc::Receiver<Event>,
        first: Event,
    ) -> Result<(), SocketError> {
        let mut keys = vec![];
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                Event::Task(key) => keys.push(key),
                Event::Resync => {
                    self.send_manifest(socket).await?;
                    return self.send_all(socket).await;
                }
            }
            next = events.try_recv().ok();
        }
        // The newest state counts, not what it was when the event was queued.
        self.send_newest(socket, |state| keys.iter().filter_map(|key| state.tasks.get(key).cloned()).collect()).await
    }

    /// Send the orders for some tasks as they are now, once that is durable.
    async fn send_newest(
        &mut self,
        socket: &mut Socket,
        tasks: impl FnOnce(&State) -> Vec<Arc<Task>>,
    ) -> Result<(), SocketError> {
        let (tasks, revision) = {
            let state = self.server.store.read();
            (tasks(&state), state.revision())
        };
        match self.server.store.durable(revision).await {
            Ok(()) => self.send_orders(socket, tasks).await,
            Err(_) => Err(SocketError::ConnectionClosed),
        }
    }

    /// Send what is new for the node in these tasks, a few tasks a payload.
    async fn send_orders(&mut self, socket: &mut Socket, tasks: Vec<Arc<Task>>) -> Result<(), SocketError> {
        let mut fresh = Vec::new();
        for task in tasks {
            let key = task.key();
            if task.is_stopped() {
                self.sent.remove(&key);
            } else if self.sent.get(&key) != Some(&task.desired) {
                self.sent.insert(key, task.desired);
                fresh.push(task);
            }
        }
        for chunk in fresh.chunks(PAYLOAD_TASKS) {
            let payload = self.payload(chunk);
            self.unacknowledged.insert(payload.message_id.clone(), chunk.iter().map(|task| task.key()).collect());
            socket.send(Message::text(frame(&payload))).await?;
        }
        Ok(())
    }

    /// Rises with each message of the session, and from session to session.
    fn number(&mut self) -> i64 {
        self.sequence += 1;
        (self.epoch << 32) | self.sequence
    }

    fn payload(&mut self, tasks: &[Arc<Task>]) -> acs::PayloadMessage {
        let seq_num = self.number();
        let state = self.server.store.read();
        let region = &self.server.settings.region;
        acs::PayloadMessage {
            message_id: clock::mint().uuid(),
            cluster_arn: self.cluster.clone(),
            container_instance_arn: self.arn.clone(),
            generated_at: clock::now().millis(),
            seq_num,
            tasks: tasks.iter().filter_map(|task| order::order(&state, region, task)).collect(),
        }
    }

    async fn on_message(&mut self, socket: &mut Socket, message: Message) -> Result<(), SocketError> {
        let Message::Text(text) = message else { return Ok(()) };
        let read = Frame::parse(&text).and_then(|frame| self.on_frame(frame));
        match read {
            Ok(Some(answer)) => socket.send(Message::text(answer)).await,
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::warn!(node = self.node, %error, "a node's message was dropped");
                Ok(())
            }
        }
    }

    fn on_frame(&mut self, received: Frame) -> Result<Option<String>, longshore_link::Error> {
        match received.kind.as_str() {
            acs::AckRequest::TYPE => {
                let ack: acs::AckRequest = received.read()?;
                let keys = self.unacknowledged.remove(&ack.message_id).unwrap_or_default();
                self.server.orders_acknowledged(&self.node, &keys);
            }
            acs::NackRequest::TYPE => {
                let nack: acs::NackRequest = received.read()?;
                let keys = self.unacknowledged.remove(&nack.message_id).unwrap_or_default();
                let reason: String = nack.reason.chars().take(REASON_SHOWN).collect();
                tracing::warn!(node = self.node, reason, ?keys, "a node refused an order");
            }
            acs::TaskStopVerificationMessage::TYPE => return Ok(Some(self.verify_stops(received.read()?))),
            acs::HeartbeatAckRequest::TYPE => {}
            other => tracing::warn!(node = self.node, kind = other, "a node sent a message of unknown type"),
        }
        Ok(None)
    }

    /// Which of the tasks that a node would stop may stop: those that are not its own, or that are to be stopped.
    fn verify_stops(&self, asked: acs::TaskStopVerificationMessage) -> String {
        let state = self.server.store.read();
        let wanted: Vec<String> = open_tasks(&state, &self.node)
            .iter()
            .filter(|task| task.desired != TaskStatus::Stopped)
            .filter_map(|task| self.identifier(task).map(|identifier| identifier.task_arn))
            .collect();
        let stop = asked.stop_candidates.into_iter().filter(|candidate| !wanted.contains(&candidate.task_arn));
        frame(&acs::TaskStopVerificationAck {
            message_id: asked.message_id,
            generated_at: clock::now().millis(),
            stop_tasks: stop.collect(),
        })
    }
}

/// The node's tasks that have not stopped.
fn open_tasks(state: &State, node: &str) -> Vec<Arc<Task>> {
    let keys = state.index.node(node).map(|used| used.tasks.iter());
    keys.into_iter().flatten().filter_map(|key| state.tasks.get(key).cloned()).collect()
}

/// Serve a node's TCS channel until it ends: health reports are written, metrics are acknowledged.
pub async fn serve_tcs(server: Arc<Server>, node: String, mut socket: Socket) {
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = server.stopping() => None,
        };
        let Some(Ok(message)) = message else { return };
        let Message::Text(text) = message else { continue };
        let answer = match Frame::parse(tcs::body(&text)) {
            Ok(received) => on_telemetry(&server, &node, received),
            Err(error) => {
                tracing::warn!(node, %error, "a node's telemetry was dropped");
                None
            }
        };
        let Some(answer) = answer else { continue };
        if socket.send(Message::text(answer)).await.is_err() {
            return;
        }
    }
}

fn on_telemetry(server: &Server, node: &str, received: Frame) -> Option<String> {
    let done = "ok".to_owned();
    match received.kind.as_str() {
        tcs::PublishHealthRequest::TYPE => {
            let report: tcs::PublishHealthRequest = received.read().ok()?;
            server.health_reported(node, &report);
            Some(frame(&tcs::AckPublishHealth { message: done }))
        }
        "PublishMetricsRequest" => Some(frame(&tcs::AckPublishMetric { message: done })),
        "PublishInstanceStatusRequest" => Some(frame(&tcs::AckPublishInstanceStatus { message: done })),
        _ => None,
    }
}
