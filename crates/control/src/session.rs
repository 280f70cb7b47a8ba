//! Node sessions: the ACS channel (orders) of each node. The TCS channel (health) is in [`crate::telemetry`].
//!
//! ```text
//! connect ─► epoch + 1, older session of the node is closed ─► manifest, then every order that is open
//!         ─► orders as commits become durable ─► disconnect: the node takes no new tasks
//! ```
//! What a node opened with its key ends with the key: at once if the node got another, and if it was deregistered, when its
//! tasks have stopped.
//!
//! A session holds no truth: whatever it has not delivered is in the state and goes out when the node connects again. What
//! it says is decided by its [`Desk`]; here is the socket, and the wait until what a frame rests on is durable.

use std::collections::HashMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use longshore_link::desk::{self, Desk, Heard, Reports};
use longshore_link::phase::{LAUNCHES, Phase};
use longshore_link::{acs, frame};
use longshore_model::node_key::NodeKey;
use longshore_model::{Change, Mint, State, TableName};
use longshore_store::{Missed, Revision, Unsettled, audit};
use longshore_wire::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::drops::Drops;
use crate::{Server, clock};

/// Amazon's agent gives up after 60 s without a message.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A node that answers no heartbeat for so long is gone.
const SILENCE: Duration = Duration::from_secs(50);

/// Orders that may wait for a slow node before its session is dropped.
const QUEUE: usize = 4096;

/// Messages that are read at a time when answers to them are settled together.
const GATHERED: usize = 64;

/// A session's turn to have orders written, which it waits for in line. One has it at a time and then gives way to whatever
/// else waits for the processor, calls of the API above all. When tasks come faster than sessions have turns, their orders
/// gather and go several in one message: the more there is to do, the less each order costs.
type Turn = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

enum Event {
    /// The task with this key changed; heard of at that time.
    Task(String, Instant),
    /// Commits were missed: look at everything.
    Resync,
    /// The node's key is another, or void.
    Key,
}

struct Live {
    epoch: i64,
    events: mpsc::Sender<Event>,
}

/// The sessions that are open, by node id.
pub struct Sessions {
    live: Mutex<HashMap<String, Live>>,
    turns: Arc<Semaphore>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { live: Mutex::default(), turns: Arc::new(Semaphore::new(1)) }
    }
}

impl Sessions {
    fn turn(&self) -> Turn {
        let turn = self.turns.clone().acquire_owned();
        Box::pin(async { turn.await.ok() })
    }

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
    let (_, mut commits) = server.store.read_and_watch();
    loop {
        match commits.next().await {
            Ok(commit) => {
                for change in &commit.changes {
                    route(&server.sessions, change);
                }
            }
            Err(Missed::Compacted(missed)) => {
                tracing::warn!(%missed, "orders fell behind; every session looks afresh");
                (_, commits) = server.store.read_and_watch();
                server.sessions.resync_all();
            }
            Err(Missed::Closed(_)) => return,
        }
    }
}

fn route(sessions: &Sessions, change: &Change) {
    if change.table() == TableName::NodeKey {
        return sessions.send(&change.key(), Event::Key);
    }
    if let Some((node, key)) = desk::addressee(change) {
        sessions.send(node, Event::Task(key, Instant::now()));
    }
}

/// Bytes that a session's socket reads at once. The buffer is filled with zeros before each read, and each of thousands of
/// sessions has one; what an agent says is mostly shorter.
const READ_BUFFER: usize = 4 * 1024;

/// Limits for what an agent may send.
fn limits() -> WebSocketConfig {
    let max = Some(longshore_link::MAX_FRAME);
    WebSocketConfig::default().max_message_size(max).max_frame_size(max).read_buffer_size(READ_BUFFER)
}

pub async fn socket(upgraded: Upgraded) -> Socket {
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits())).await
}

/// A node that opened a channel.
pub struct Peer {
    pub id: String,
    /// The key that it signed with, if that is its own.
    pub key: Option<Arc<NodeKey>>,
}

impl Peer {
    /// Whether the channel is to end: the key that opened it is another by now, or void and there are no tasks left to stop.
    pub(crate) fn is_over(&self, state: &State) -> bool {
        let Some(key) = &self.key else { return false };
        match state.node_keys.get(&self.id) {
            Some(now) => now.sealed != key.sealed,
            None => state.index.node(&self.id).is_none_or(|used| used.tasks.is_empty()),
        }
    }
}

/// One ACS session, from connect to disconnect.
struct Acs {
    server: Arc<Server>,
    peer: Peer,
    desk: Desk,
    /// When the node was last heard.
    heard: Instant,
    owed: Owed,
    drops: Drops,
}

/// Answers that wait until what they rest on is durable and recorded.
#[derive(Default)]
struct Owed {
    frames: Vec<String>,
    /// The newest of each, before which all others are.
    revision: Option<Revision>,
    recorded: Option<audit::Ticket>,
}

impl Owed {
    fn add(&mut self, answer: Answer) {
        self.frames.push(answer.frame);
        self.revision = Some(answer.revision);
        self.recorded = answer.recorded.or(self.recorded.take());
    }
}

/// A frame, and what must be settled before it is sent.
pub(crate) struct Answer {
    pub(crate) frame: String,
    pub(crate) revision: Revision,
    pub(crate) recorded: Option<audit::Ticket>,
}

/// Serve a node's ACS channel until it ends.
pub async fn serve_acs(server: Arc<Server>, peer: Peer, socket: Socket) {
    let node = peer.id.clone();
    let Some(desk) = server.node_connected(&node).await else { return };
    let epoch = desk.epoch();
    let Some(events) = server.sessions.open(&node, epoch) else { return };
    tracing::info!(node, epoch, "a node connected");
    let (owed, drops) = (Owed::default(), Drops::default());
    let mut session = Acs { server: server.clone(), peer, desk, heard: Instant::now(), owed, drops };
    let ended = session.run(socket, events).await;
    server.sessions.close(&node, epoch);
    if let Err(SocketError::Capacity(_)) = ended {
        session.drops.unreadable();
    }
    crate::audit::dropped(&server, &node, "ACS", session.drops.rest());
    server.node_disconnected(&node, epoch).await;
    tracing::info!(node, epoch, reason = ended.err().map(|error| error.to_string()), "a node disconnected");
}

impl Acs {
    async fn run(&mut self, mut socket: Socket, mut events: mpsc::Receiver<Event>) -> Result<(), SocketError> {
        self.speak(&mut socket, Desk::greeting).await?;
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let server = self.server.clone();
        let stopping = server.stopping();
        tokio::pin!(stopping);
        // An event that waits for its turn; those behind it stay in the queue.
        let mut first = None;
        let mut turn: Option<Turn> = None;
        loop {
            tokio::select! {
                event = events.recv(), if turn.is_none() => match event {
                    Some(event) => {
                        first = Some(event);
                        turn = Some(server.sessions.turn());
                    }
                    None => return Ok(()),
                },
                permit = come(&mut turn) => {
                    turn = None;
                    let keys = self.on_event(&mut socket, &mut events, first.take(), permit).await?;
                    if keys && self.is_over() {
                        return self.say_inactive(&mut socket).await;
                    }
                }
                message = socket.next() => match message {
                    Some(message) => {
                        self.heard = Instant::now();
                        self.on_messages(&mut socket, message?).await?;
                    }
                    None => return Ok(()),
                },
                _ = heartbeat.tick() => {
                    if self.heard.elapsed() > SILENCE {
                        return Ok(());
                    }
                    if self.is_over() {
                        return self.say_inactive(&mut socket).await;
                    }
                    self.send_heartbeat(&mut socket).await?;
                    self.speak(&mut socket, Desk::overdue).await?;
                    self.tell_of_drops();
                }
                () = &mut stopping => return self.say_goodbye(&mut socket).await,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.peer.is_over(&self.server.store.read())
    }

    async fn say_goodbye(&self, socket: &mut Socket) -> Result<(), SocketError> {
        self.close(socket, "the control plane is stopping").await
    }

    async fn say_inactive(&self, socket: &mut Socket) -> Result<(), SocketError> {
        self.close(socket, "InactiveInstanceException: the key of the container instance is void").await
    }

    async fn close(&self, socket: &mut Socket, why: &str) -> Result<(), SocketError> {
        let close = acs::CloseMessage { message: why.to_owned() };
        socket.send(Message::text(frame(&close))).await?;
        socket.close(None).await
    }

    async fn send_heartbeat(&self, socket: &mut Socket) -> Result<(), SocketError> {
        let beat = acs::HeartbeatMessage { message_id: clock::mint().uuid(), healthy: true };
        socket.send(Message::text(frame(&beat))).await
    }

    /// Returns whether the node's key changed.
    async fn on_event(
        &mut self,
        socket: &mut Socket,
        events: &mut mpsc::Receiver<Event>,
        first: Option<Event>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<bool, SocketError> {
        let (mut keys, mut heard, mut key) = (vec![], vec![], false);
        let mut next = first;
        while let Some(event) = next {
            match event {
                Event::Task(key, at) => {
                    keys.push(key);
                    heard.push(at);
                }
                // The key is looked at too: what it says was missed as well.
                Event::Resync => return self.speak(socket, Desk::greeting).await.map(|()| true),
                Event::Key => key = true,
            }
            next = events.try_recv().ok();
        }
        // The newest state counts, not what it was when the event was queued.
        let (frames, revision) = self.compose(|desk, state, now, mint| desk.orders(state, &keys, now, mint));
        if frames.is_empty() {
            return Ok(key);
        }
        tokio::task::yield_now().await;
        // How long the disk and this node take is no other's concern.
        drop(turn);
        self.durable(revision).await?;
        self.send(socket, frames).await?;
        heard.iter().for_each(|at| LAUNCHES.note(Phase::Order, at.elapsed()));
        Ok(key)
    }

    /// Send what the desk says of the newest state, once that is durable.
    async fn speak(
        &mut self,
        socket: &mut Socket,
        compose: impl FnOnce(&mut Desk, &State, Timestamp, &mut Mint) -> Vec<String>,
    ) -> Result<(), SocketError> {
        let (frames, revision) = self.compose(compose);
        self.send_when_durable(socket, frames, revision).await
    }

    /// What the desk says of the newest state, and the revision that is.
    fn compose(
        &mut self,
        compose: impl FnOnce(&mut Desk, &State, Timestamp, &mut Mint) -> Vec<String>,
    ) -> (Vec<String>, Revision) {
        let state = self.server.store.read();
        (compose(&mut self.desk, &state, clock::now(), &mut clock::mint()), state.revision())
    }

    async fn send_when_durable(
        &self,
        socket: &mut Socket,
        frames: Vec<String>,
        revision: Revision,
    ) -> Result<(), SocketError> {
        if frames.is_empty() {
            return Ok(());
        }
        self.durable(revision).await?;
        self.send(socket, frames).await
    }

    async fn durable(&self, revision: Revision) -> Result<(), SocketError> {
        self.server.store.durable(revision).await.map_err(|_| SocketError::ConnectionClosed)
    }

    async fn send(&self, socket: &mut Socket, frames: Vec<String>) -> Result<(), SocketError> {
        for frame in frames {
            socket.feed(Message::text(frame)).await?;
        }
        socket.flush().await
    }

    /// Tell a node that its reports are durable. If the disk had no space for them it will tell them again.
    async fn on_reports(&mut self, socket: &mut Socket, reports: Reports) -> Result<(), SocketError> {
        let reported = self.server.tasks_reported(&self.peer.id, reports, &mut self.drops);
        let Some((answer, revision)) = reported else { return Ok(()) };
        match self.server.store.durable(revision).await {
            Ok(()) => socket.send(Message::text(answer)).await,
            Err(Unsettled::Full(_)) => Ok(()),
            Err(Unsettled::Closed(_)) => Err(SocketError::ConnectionClosed),
        }
    }

    /// What the node said. Credentials are asked for one by one, and many at once when many tasks start: what has come
    /// already is answered together.
    async fn on_messages(&mut self, socket: &mut Socket, first: Message) -> Result<(), SocketError> {
        self.on_message(socket, first).await?;
        for _ in 1..GATHERED {
            if self.owed.frames.is_empty() {
                break;
            }
            let Some(message) = socket.next().now_or_never().flatten() else { break };
            self.on_message(socket, message?).await?;
        }
        self.tell_of_drops();
        self.settle(socket).await
    }

    /// Sends what is owed. What there was no room to record is not sent: the node asks again.
    async fn settle(&mut self, socket: &mut Socket) -> Result<(), SocketError> {
        let Owed { frames, revision, recorded } = std::mem::take(&mut self.owed);
        let Some(revision) = revision else { return Ok(()) };
        self.durable(revision).await?;
        let written = match recorded {
            Some(recorded) => recorded.written().await,
            None => Ok(()),
        };
        match written {
            Ok(()) => self.send(socket, frames).await,
            Err(Unsettled::Full(_)) => Ok(()),
            Err(Unsettled::Closed(_)) => Err(SocketError::ConnectionClosed),
        }
    }

    fn tell_of_drops(&mut self) {
        crate::audit::dropped(&self.server, &self.peer.id, "ACS", self.drops.due(clock::now()));
    }

    async fn on_message(&mut self, socket: &mut Socket, message: Message) -> Result<(), SocketError> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                self.drops.unknown();
                return Ok(());
            }
            _ => return Ok(()),
        };
        let (heard, revision) = {
            let state = self.server.store.read();
            (self.desk.hear(&state, &text, clock::now()), state.revision())
        };
        match heard {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Acknowledged(orders)) => self.server.orders_taken(&self.peer.id, &orders),
            Ok(Heard::Refused(orders, reason)) => {
                tracing::warn!(node = self.peer.id, reason, ?orders, "a node refused an order");
                self.server.orders_refused(&self.peer.id, &orders, &reason);
            }
            Ok(Heard::Reported(reports)) => return self.on_reports(socket, reports).await,
            Ok(Heard::Wanted(task, kind, asked)) => {
                let answer = self.server.credentials_wanted(self.desk.arn(), &task, kind, asked);
                answer.into_iter().for_each(|answer| self.owed.add(answer));
            }
            Ok(Heard::Foreign(task, frame)) => {
                self.drops.foreign(&task);
                self.owed.add(Answer { frame, revision, recorded: None });
            }
            Ok(Heard::Answer(answer)) => return self.send_when_durable(socket, vec![answer], revision).await,
            Ok(Heard::Unknown(kind)) => {
                tracing::debug!(node = self.peer.id, kind, "a message of unknown type was dropped");
                self.drops.unknown();
            }
            Err(error) => {
                tracing::debug!(node = self.peer.id, %error, "a node's message was dropped");
                self.drops.unreadable();
            }
        }
        Ok(())
    }
}

/// Ends when the turn has come, if one is waited for.
async fn come(turn: &mut Option<Turn>) -> Option<OwnedSemaphorePermit> {
    match turn {
        Some(turn) => turn.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use longshore_model::task::Task;
    use longshore_wire::json;

    use super::*;

    fn key(sealed: &str) -> NodeKey {
        let (node, text) = ("n1".to_owned(), String::new);
        NodeKey {
            node,
            edge: false,
            account: text(),
            sealed: sealed.to_owned(),
            joined_by: text(),
            created_at: Timestamp::default(),
        }
    }

    fn task(last: &str) -> Task {
        let text = format!(
            r#"{{"account":"000000000000","cluster":"c","id":"t","family":"f","revision":1,"node":"n1","desired":"STOPPED",
                "last":"{last}","launchType":"FARGATE","createdAt":1}}"#
        );
        json::from_slice(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_a_key_opened_ends_with_it_and_not_before_the_tasks_have_stopped() {
        let mut state = State::default();
        let peer = Peer { id: "n1".to_owned(), key: Some(Arc::new(key("one"))) };
        let keyless = Peer { id: "n1".to_owned(), key: None };
        state.apply(&key("one").into());
        assert!(!peer.is_over(&state));
        state.apply(&key("two").into());
        assert!(peer.is_over(&state), "another has the name");
        state.apply(&task("RUNNING").into());
        state.apply(&Change::Delete(TableName::NodeKey, "n1".to_owned()));
        assert!(!peer.is_over(&state));
        state.apply(&task("STOPPED").into());
        assert!(peer.is_over(&state));
        assert!(!keyless.is_over(&state));
    }
}
