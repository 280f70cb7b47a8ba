//! The agent's end of a supervisor's socket.
//!
//! A task of the runtime owns the connection: it keeps the last state of the ECS task for whoever looks, and carries
//! questions there and answers back. When the connection ends the supervisor has ended: it never closes one by itself,
//! save to a client that does not read.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use longshore_supervisor::protocol::{Command, Message, Reply, Request, TaskStatus};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

/// How long a supervisor may take to say its first word.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(30);

/// How long a supervisor may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Questions that may wait.
const QUEUE: usize = 16;

/// Nothing was heard from a supervisor that should be there.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the supervisor of the task does not answer: {0}")]
    Silent(String),
    #[error("the supervisor of the task refuses: {0}")]
    Refused(String),
}

impl LinkError {
    fn silent(reason: impl ToString) -> Self {
        Self::Silent(reason.to_string())
    }
}

/// The state of a task as last heard.
#[derive(Clone, Debug)]
struct Heard {
    status: TaskStatus,
    /// The supervisor has ended.
    gone: bool,
}

/// A connection to a supervisor. Clones share it; it closes with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    heard: watch::Receiver<Heard>,
    questions: mpsc::Sender<(Command, oneshot::Sender<Reply>)>,
}

impl Link {
    /// Connects to a supervisor that is listening, or will be within `patience`; `alive` says whether it still may.
    pub(crate) async fn open(
        socket: &Path,
        patience: Duration,
        alive: impl FnMut() -> bool,
    ) -> Result<Self, LinkError> {
        let begun = Instant::now();
        let stream = reach(socket, patience, alive).await?;
        Self::greeted(stream, patience.saturating_sub(begun.elapsed()).max(ANSWER_WITHIN)).await
    }

    /// Waits for the first word on a connection.
    async fn greeted(stream: UnixStream, patience: Duration) -> Result<Self, LinkError> {
        let (read, write) = stream.into_split();
        let mut lines = BufReader::new(read);
        let status = match timeout(patience, greeting(&mut lines)).await {
            Ok(greeting) => greeting?,
            Err(_) => return Err(LinkError::silent("no greeting in time")),
        };
        let (tell, heard) = watch::channel(Heard { status, gone: false });
        let (questions, asked) = mpsc::channel(QUEUE);
        tokio::spawn(carry(lines, write, tell, asked));
        Ok(Self { heard, questions })
    }

    /// Connects to the supervisor that lives in a task's directory, or is on its way there; `None` when there is none, or
    /// one that hangs.
    pub(crate) async fn find(directory: &Path) -> Option<Self> {
        let held = || longshore_supervisor::is_held(directory);
        let socket = directory.join(longshore_supervisor::SOCKET_FILE);
        let stream = reach(&socket, START_WITHIN, held).await.ok()?;
        Self::greeted(stream, ANSWER_WITHIN).await.ok()
    }

    pub(crate) fn status(&self) -> TaskStatus {
        self.heard.borrow().status.clone()
    }

    /// Whether the supervisor has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.heard.borrow().gone
    }

    /// Waits for something new. After the supervisor's end it waits for ever.
    pub(crate) async fn changed(&mut self) {
        if self.heard.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the supervisor's end.
    pub(crate) async fn gone(&mut self) {
        let _ = self.heard.wait_for(|heard| heard.gone).await;
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<Reply, LinkError> {
        let (answer, reply) = oneshot::channel();
        let asking = async {
            self.questions.send((command, answer)).await.map_err(|_| LinkError::silent("it has ended"))?;
            reply.await.map_err(|_| LinkError::silent("it has ended"))
        };
        match timeout(ANSWER_WITHIN, asking).await {
            Ok(Ok(Reply::Refused { reason })) => Err(LinkError::Refused(reason)),
            Ok(reply) => reply,
            Err(_) => Err(LinkError::silent("no answer in time")),
        }
    }
}

async fn reach(socket: &Path, patience: Duration, mut alive: impl FnMut() -> bool) -> Result<UnixStream, LinkError> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if begun.elapsed() > patience => return Err(LinkError::silent(error)),
            Err(_) if !alive() => return Err(LinkError::silent("it ended while it started")),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn greeting(lines: &mut BufReader<OwnedReadHalf>) -> Result<TaskStatus, LinkError> {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).await.map_err(LinkError::silent)?;
    match serde_json::from_slice(&line) {
        Ok(Message::Snapshot { task, .. }) => Ok(task),
        Ok(other) => Err(LinkError::Silent(format!("its first word is {other:?}"))),
        Err(_) if line.is_empty() => Err(LinkError::silent("it ended while it started")),
        Err(error) => Err(LinkError::silent(error)),
    }
}

/// Until the supervisor ends, or nobody listens any more.
async fn carry(
    mut lines: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    tell: watch::Sender<Heard>,
    mut asked: mpsc::Receiver<(Command, oneshot::Sender<Reply>)>,
) {
    let mut waiting: HashMap<u64, oneshot::Sender<Reply>> = HashMap::new();
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        tokio::select! {
            read = lines.read_until(b'\n', &mut line) => match read {
                Ok(length) if length > 0 => {
                    hear(&line, &tell, &mut waiting);
                    line.clear();
                }
                _ => break,
            },
            question = asked.recv() => {
                let Some((command, answer)) = question else { return };
                number += 1;
                waiting.insert(number, answer);
                if !put(&mut write, &Request { id: number, command }).await {
                    break;
                }
            }
        }
    }
    tell.send_modify(|heard| heard.gone = true);
    tell.closed().await;
}

async fn put(write: &mut OwnedWriteHalf, request: &Request) -> bool {
    let Ok(mut line) = serde_json::to_vec(request) else { return true };
    line.push(b'\n');
    write.write_all(&line).await.is_ok()
}

fn hear(line: &[u8], tell: &watch::Sender<Heard>, waiting: &mut HashMap<u64, oneshot::Sender<Reply>>) {
    match serde_json::from_slice(line) {
        Ok(Message::Snapshot { task, .. } | Message::Task { task, .. }) => {
            tell.send_modify(|heard| heard.status = task);
        }
        Ok(Message::Container { container, .. }) => tell.send_modify(|heard| {
            let known = heard.status.containers.iter_mut().find(|known| known.name == container.name);
            if let Some(known) = known {
                *known = container;
            }
        }),
        Ok(Message::Reply { id, reply }) => {
            if let Some(answer) = waiting.remove(&id) {
                let _ = answer.send(reply);
            }
        }
        Err(error) => tracing::warn!(%error, "a supervisor's line does not read"),
    }
}
