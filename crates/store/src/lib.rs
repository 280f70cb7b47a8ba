//! Keeps [`State`]: every change is written by a [`Backend`] and acknowledged only once it is durable.
//!
//! One writer, many readers. [`Store::transact`] runs a decision against the newest state, applies its changes in memory
//! and queues them; a writer thread takes whatever has queued up, commits it as one (group commit) and moves the durable
//! revision on. Nobody may *tell* anyone about a revision before it is durable: replies wait for [`Store::durable`], and
//! [`Store::commits`] speaks of durable revisions only. Since commits are durable in order, a decision may read what is not
//! yet durable: if the earlier change is lost, so is the later one. A back end that fails is fatal: nothing is
//! acknowledged after it, and the process must stop. (docs/decisions/0002-speculative-apply.md)

mod backend;
pub mod logs;
mod memory;
mod sqlite;

use std::sync::Arc;
use std::sync::mpsc;

use longshore_model::{Change, MAX_CHANGES, State};
use parking_lot::{RwLock, RwLockReadGuard, RwLockUpgradableReadGuard};
use tokio::sync::{broadcast, watch};

pub use backend::{Backend, Commit};
pub use memory::Memory;
pub use sqlite::Sqlite;

/// Commits that a subscriber may be behind before it must read the state afresh.
const COMMITS_KEPT: usize = 4096;

/// Commits that may wait for the writer before [`Store::transact`] blocks.
const QUEUE: usize = 1024;

/// Most commits that one group commit takes.
const GROUP: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database cannot be opened: {0}")]
    Open(#[source] rusqlite::Error),
    #[error("the database does not answer: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] longshore_model::Unreadable),
    #[error("the database holds a table of number {0}, which this version does not know")]
    UnknownTable(i64),
    #[error("the data directory belongs to schema version {found}; this version reads {known}")]
    Schema { found: i64, known: i64 },
    #[error("the log store failed: {0}")]
    Logs(#[from] fjall::Error),
    #[error("there is no such log stream")]
    NoStream,
    #[error("the log stream exists")]
    StreamExists,
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// The store failed or is closing; nothing later than the durable revision is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is closed")]
pub struct Closed;

/// A point in the order of commits. Zero is before the first.
pub type Revision = u64;

struct Live {
    state: State,
    revision: Revision,
}

/// The state and its writer. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    live: Arc<RwLock<Live>>,
    queue: mpsc::SyncSender<Arc<Commit>>,
    durable: watch::Receiver<Option<Revision>>,
    commits: broadcast::Sender<Arc<Commit>>,
}

/// The state as it is now, held still.
pub struct Snapshot<'a>(RwLockReadGuard<'a, Live>);

impl std::ops::Deref for Snapshot<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0.state
    }
}

impl Snapshot<'_> {
    /// What must be durable before anything read here is told to anyone.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }
}

impl Store {
    /// Load the state from `backend` and start the writer.
    pub fn open(mut backend: impl Backend + 'static) -> Result<Self, Error> {
        let mut state = State::default();
        let revision = backend.load(&mut |record| state.apply(&Change::Put(record)))?;
        let (queue, queued) = mpsc::sync_channel(QUEUE);
        let (mark, durable) = watch::channel(Some(revision));
        let (commits, _) = broadcast::channel(COMMITS_KEPT);
        let told = commits.clone();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_loop(&mut backend, &queued, &mark, &told))
            .expect("a thread can be started");
        Ok(Self { live: Arc::new(RwLock::new(Live { state, revision })), queue, durable, commits })
    }

    pub fn read(&self) -> Snapshot<'_> {
        Snapshot(self.live.read())
    }

    /// Decide against the newest state and queue what was decided. Readers go on while `decide` runs; other
    /// transactions wait. An error leaves nothing behind. The revision returned must be [`durable`](Self::durable)
    /// before the outcome is told.
    pub fn transact<T, E>(
        &self,
        decide: impl FnOnce(&State, &mut Vec<Change>) -> Result<T, E>,
    ) -> Result<(T, Revision), E> {
        let live = self.live.upgradable_read();
        let mut changes = Vec::new();
        let outcome = decide(&live.state, &mut changes)?;
        if changes.is_empty() {
            return Ok((outcome, live.revision));
        }
        debug_assert!(changes.len() <= MAX_CHANGES, "a transaction of {} changes", changes.len());
        let mut live = RwLockUpgradableReadGuard::upgrade(live);
        for change in &changes {
            live.state.apply(change);
        }
        live.revision += 1;
        let commit = Arc::new(Commit { revision: live.revision, changes });
        let revision = live.revision;
        // A closed queue means that the writer failed; `durable` says so to whoever waits for this revision.
        let _ = self.queue.send(commit);
        Ok((outcome, revision))
    }

    /// Wait until `revision` is durable.
    pub async fn durable(&self, revision: Revision) -> Result<(), Closed> {
        let mut durable = self.durable.clone();
        let reached = durable.wait_for(|mark| mark.is_none_or(|mark| mark >= revision)).await;
        match reached.map_err(|_| Closed)?.as_ref() {
            Some(_) => Ok(()),
            None => Err(Closed),
        }
    }

    /// Ends when the back end has failed: the process must stop then.
    pub async fn failed(&self) {
        let mut durable = self.durable.clone();
        let _ = durable.wait_for(Option::is_none).await;
    }

    /// Durable commits from now on, in order. A receiver that lags must read the state afresh.
    pub fn commits(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.commits.subscribe()
    }

    /// Forget everything but what `keep` makes of the state: a fresh account. For development only; not bounded by
    /// [`MAX_CHANGES`](longshore_model::MAX_CHANGES).
    pub fn reset(&self, keep: impl FnOnce(&State) -> Vec<Change>) -> Revision {
        let mut live = self.live.write();
        let kept = keep(&live.state);
        let mut all: Vec<Change> =
            live.state.records().map(|record| Change::Delete(record.table(), record.key())).collect();
        all.extend(kept);
        for change in &all {
            live.state.apply(change);
        }
        live.revision += 1;
        let _ = self.queue.send(Arc::new(Commit { revision: live.revision, changes: all }));
        live.revision
    }
}

fn write_loop(
    backend: &mut impl Backend,
    queued: &mpsc::Receiver<Arc<Commit>>,
    durable: &watch::Sender<Option<Revision>>,
    commits: &broadcast::Sender<Arc<Commit>>,
) {
    while let Ok(first) = queued.recv() {
        let mut group = vec![first];
        group.extend(queued.try_iter().take(GROUP - 1));
        if let Err(error) = backend.commit(&group) {
            tracing::error!(%error, "the store failed; nothing more is acknowledged");
            durable.send_replace(None);
            return;
        }
        durable.send_replace(group.last().map(|commit| commit.revision));
        for commit in group {
            let _ = commits.send(commit);
        }
    }
}
