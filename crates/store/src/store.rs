//! The state in memory, and transactions upon it.

use std::sync::Arc;
use std::thread::JoinHandle;

use longshore_model::{Change, MAX_CHANGES, State};
use parking_lot::{RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

use crate::history::{Compacted, History, Watch};
use crate::mark::Mark;
use crate::queue::{Queue, Queued};
use crate::writer::{self, Writer};
use crate::{Backend, Claim, Closed, Commit, Error, Full, Revision, Unsettled};

/// Commits that may wait for the writer before [`Store::transact`] blocks.
const QUEUE: usize = 1024;

pub(crate) struct Live {
    pub state: State,
    pub revision: Revision,
    /// The disk has no space: nothing may change.
    pub full: bool,
}

/// What the store and its writer share.
pub(crate) struct Shared {
    pub live: RwLock<Live>,
    pub queue: Queue,
    pub mark: watch::Sender<Mark>,
    pub history: Arc<History>,
}

impl Shared {
    pub fn is_closed(&self) -> bool {
        self.mark.borrow().is_closed()
    }

    /// Nothing more becomes durable.
    pub fn close(&self) {
        self.queue.kill();
        self.mark.send_modify(Mark::close);
    }
}

/// The state and the way to its writer. Cheap to clone. When the last clone is dropped, what is queued is written first.
#[derive(Clone)]
pub struct Store(Arc<Open>);

struct Open {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
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
    /// Become the writer of `backend`, load the state and start to write, with a claim that keeps nobody away.
    ///
    /// # Errors
    /// If the back end cannot be claimed or read.
    pub fn open(backend: impl Backend + 'static) -> Result<Self, Error> {
        Self::open_as(backend, &Claim::of("longshore"))
    }

    /// As [`Self::open`], with a claim of one's own. A lease with a time to live is renewed while the store is open.
    pub fn open_as(backend: impl Backend + 'static, claim: &Claim) -> Result<Self, Error> {
        let claim = Claim { now: writer::now(), ..claim.clone() };
        let ttl = claim.ttl;
        let (shared, writer) = load(Box::new(backend), &claim, QUEUE)?;
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(ttl))
            .expect("a thread can be started");
        Ok(Self(Arc::new(Open { shared, writer: Some(writer) })))
    }

    /// A store without a thread: what is queued becomes durable in [`Writer::step`], on the caller's thread. The queue has
    /// no bound. For simulation.
    pub fn open_manual(backend: impl Backend + 'static, claim: &Claim) -> Result<(Self, Writer), Error> {
        let (shared, writer) = load(Box::new(backend), claim, usize::MAX)?;
        Ok((Self(Arc::new(Open { shared, writer: None })), writer))
    }

    pub fn read(&self) -> Snapshot<'_> {
        Snapshot(self.0.shared.live.read())
    }

    /// Decide against the newest state and queue what was decided. Readers go on while `decide` runs; other
    /// transactions wait. An error leaves nothing behind. The revision returned must be [`durable`](Self::durable)
    /// before the outcome is told.
    ///
    /// # Errors
    /// Those of `decide`, and [`Full`] if it would change something and the disk has no space.
    pub fn transact<T, E: From<Full>>(
        &self,
        decide: impl FnOnce(&State, &mut Vec<Change>) -> Result<T, E>,
    ) -> Result<(T, Revision), E> {
        self.transact_at(|state, _, changes| decide(state, changes))
    }

    /// As [`Self::transact`]; `decide` is told the revision of the state as well.
    ///
    /// # Errors
    /// As [`Self::transact`].
    pub fn transact_at<T, E: From<Full>>(
        &self,
        decide: impl FnOnce(&State, Revision, &mut Vec<Change>) -> Result<T, E>,
    ) -> Result<(T, Revision), E> {
        let live = self.0.shared.live.upgradable_read();
        let mut changes = Vec::new();
        let outcome = decide(&live.state, live.revision, &mut changes)?;
        if changes.is_empty() {
            return Ok((outcome, live.revision));
        }
        debug_assert!(changes.len() <= MAX_CHANGES, "a transaction of {} changes", changes.len());
        let live = RwLockUpgradableReadGuard::upgrade(live);
        Ok((outcome, self.apply(live, changes)?))
    }

    /// Forget everything but what `keep` makes of the state: a fresh account. For development only; not bounded by
    /// [`MAX_CHANGES`](longshore_model::MAX_CHANGES).
    ///
    /// # Errors
    /// [`Full`] if the disk has no space.
    pub fn reset(&self, keep: impl FnOnce(&State) -> Vec<Change>) -> Result<Revision, Full> {
        let live = self.0.shared.live.write();
        let kept = keep(&live.state);
        let mut all: Vec<Change> =
            live.state.records().map(|record| Change::Delete(record.table(), record.key())).collect();
        all.extend(kept);
        self.apply(live, all)
    }

    /// Apply changes in memory and queue them.
    fn apply(&self, mut live: RwLockWriteGuard<'_, Live>, changes: Vec<Change>) -> Result<Revision, Full> {
        if live.full {
            return Err(Full);
        }
        let mut undo = Vec::with_capacity(changes.len());
        for change in &changes {
            undo.push(inverse(&live.state, change));
            live.state.apply(change);
        }
        live.revision += 1;
        let revision = live.revision;
        // Still under the lock, so that the queue is in order. If the writer is gone, `durable` says so.
        self.0.shared.queue.push(Queued { commit: Arc::new(Commit { revision, changes }), undo });
        Ok(revision)
    }

    /// Wait until `revision` is durable.
    ///
    /// # Errors
    /// [`Unsettled::Full`] if it was undone because the disk is full: nothing of it happened. [`Unsettled::Closed`] if
    /// the store failed: it may or may not be found after a restart.
    pub async fn durable(&self, revision: Revision) -> Result<(), Unsettled> {
        #[cfg(feature = "planted")]
        if longshore_model::planted::is(longshore_model::planted::Bug::AcknowledgeBeforeDurable) {
            return Ok(());
        }
        if let Some(settled) = self.0.shared.mark.borrow().verdict(revision) {
            return settled;
        }
        let mut mark = self.0.shared.mark.subscribe();
        let settled = mark.wait_for(|mark| mark.verdict(revision).is_some()).await.map_err(|_| Closed)?;
        settled.verdict(revision).unwrap_or(Err(Closed.into()))
    }

    /// Whether `revision` is durable by now.
    pub fn is_durable(&self, revision: Revision) -> bool {
        #[cfg(feature = "planted")]
        if longshore_model::planted::is(longshore_model::planted::Bug::AcknowledgeBeforeDurable) {
            return true;
        }
        self.0.shared.mark.borrow().verdict(revision) == Some(Ok(()))
    }

    /// Whether `revision` was undone because the disk was full.
    pub fn is_undone(&self, revision: Revision) -> bool {
        matches!(self.0.shared.mark.borrow().verdict(revision), Some(Err(Unsettled::Full(_))))
    }

    /// The newest durable revision.
    pub fn durable_revision(&self) -> Revision {
        self.0.shared.mark.borrow().durable()
    }

    /// Ends when the back end has failed: the process must stop then.
    pub async fn failed(&self) {
        let _ = self.0.shared.mark.subscribe().wait_for(Mark::is_closed).await;
    }

    /// Whether the disk has no space, and writes are refused.
    pub fn is_full(&self) -> bool {
        self.0.shared.live.read().full
    }

    /// The durable commits after the revision `from`, in order, each once.
    ///
    /// # Errors
    /// [`Compacted`] if not all of them are known any more.
    pub fn watch(&self, from: Revision) -> Result<Watch, Compacted> {
        Watch::new(self.0.shared.history.clone(), self.0.shared.mark.subscribe(), from)
    }

    /// The state, and the commits that follow it.
    pub fn read_and_watch(&self) -> (Snapshot<'_>, Watch) {
        let state = self.read();
        let watch = self.watch(state.revision()).expect("what is newer than the newest state is not forgotten");
        (state, watch)
    }

    /// Forget the commits up to a revision; whoever watches from before it is told so.
    pub fn compact(&self, up_to: Revision) {
        self.0.shared.history.compact(up_to.min(self.durable_revision()));
    }
}

/// Claim the back end, load it, and set up a store and its writer.
fn load(mut backend: Box<dyn Backend>, claim: &Claim, queue: usize) -> Result<(Arc<Shared>, Writer), Error> {
    let epoch = backend.claim(claim)?;
    let mut state = State::default();
    let revision = backend.load(&mut |record| state.apply(&Change::Put(record)))?;
    let shared = Arc::new(Shared {
        live: RwLock::new(Live { state, revision, full: false }),
        queue: Queue::new(queue),
        mark: watch::Sender::new(Mark::at(revision)),
        history: Arc::new(History::after(revision)),
    });
    Ok((shared.clone(), Writer::new(backend, shared, epoch, revision)))
}

/// What takes `change` back.
fn inverse(state: &State, change: &Change) -> Change {
    let (table, key) = (change.table(), change.key());
    match state.record(table, &key) {
        Some(record) => Change::Put(record),
        None => Change::Delete(table, key),
    }
}
