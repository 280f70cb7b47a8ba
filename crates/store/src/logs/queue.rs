//! What is decided but not yet durable, and who waits for it.
//!
//! Two groups at most: the open one, to which writers add under the lock, and the one being committed. Decisions look
//! through both before they look at the disk, so a stream can be made, written and deleted within one commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;

use super::key::EventKey;
use crate::Closed;

/// Bytes of events that may wait for the writer before writers must wait themselves.
const QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// Small records by key; `None` where one is removed.
pub(super) type Records = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An event to store.
pub(super) struct Added {
    /// In `events`.
    pub key: EventKey,
    pub stream: u64,
    pub value: Vec<u8>,
}

/// An event to forget.
pub(super) struct Removed {
    pub key: EventKey,
    pub stream: u64,
}

/// What one commit writes.
#[derive(Default)]
pub(super) struct Group {
    pub records: Arc<Records>,
    pub added: Vec<Added>,
    pub removed: Vec<Removed>,
    bytes: usize,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

pub(super) struct Pending {
    open: Group,
    committing: Option<Arc<Records>>,
    /// Of the open group.
    generation: u64,
    durable: u64,
    /// The next free number.
    counter: u64,
    /// Groups whose purge is under way; nothing is added to them.
    pub dead: HashSet<String>,
    closing: bool,
    failed: bool,
}

impl Pending {
    /// What is decided about a record: `None` if only the disk knows.
    pub fn record(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let committing = || self.committing.as_ref()?.get(key);
        let found = self.open.records.get(key).or_else(committing)?;
        Some(found.as_deref())
    }

    pub fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        Arc::make_mut(&mut self.open.records).insert(key, value);
    }

    pub fn add(&mut self, added: Added) {
        self.open.bytes += EventKey::LEN * 2 + added.value.len();
        self.open.added.push(added);
    }

    pub fn remove(&mut self, removed: Vec<Removed>) {
        self.open.removed.extend(removed);
    }

    /// A number never given before.
    pub fn next_number(&mut self) -> u64 {
        let number = self.counter;
        self.counter += 1;
        self.put(super::key::record::COUNTER.to_vec(), Some(self.counter.to_be_bytes().to_vec()));
        number
    }

    /// `count` successive numbers never given before.
    pub fn next_numbers(&mut self, count: usize) -> std::ops::Range<u64> {
        let first = self.counter;
        if count > 0 {
            self.counter += count as u64 - 1;
            self.next_number();
        }
        first..first + count as u64
    }

    /// The generation that holds everything decided so far.
    fn newest(&self) -> u64 {
        match self.open.is_empty() {
            true => self.generation - 1,
            false => self.generation,
        }
    }
}

pub(super) struct Queue {
    pending: Mutex<Pending>,
    /// There is something to commit, or the store closes.
    work: Condvar,
    /// A group was committed, or the store failed.
    progress: Condvar,
    durable: watch::Sender<Option<u64>>,
}

impl Queue {
    pub fn new(counter: u64, dead: HashSet<String>) -> Self {
        let pending = Pending {
            open: Group::default(),
            committing: None,
            generation: 1,
            durable: 0,
            counter,
            dead,
            closing: false,
            failed: false,
        };
        Self {
            pending: Mutex::new(pending),
            work: Condvar::new(),
            progress: Condvar::new(),
            durable: watch::Sender::new(Some(0)),
        }
    }

    /// The pending groups, to decide upon; once there is room for more.
    ///
    /// # Errors
    /// When the store has failed.
    pub fn enter(&self) -> Result<MutexGuard<'_, Pending>, Closed> {
        let mut pending = self.pending.lock();
        while pending.open.bytes > QUEUED_BYTES && !pending.failed {
            self.progress.wait(&mut pending);
        }
        match pending.failed {
            true => Err(Closed),
            false => Ok(pending),
        }
    }

    /// Hand what was decided to the writer.
    pub fn leave(&self, pending: MutexGuard<'_, Pending>) -> Ticket {
        let generation = pending.newest();
        drop(pending);
        self.work.notify_one();
        Ticket { generation, durable: self.durable.subscribe() }
    }

    /// The next group to commit; waits for one. `None` when the store is closed and nothing is left.
    pub fn take(&self) -> Option<(u64, Group)> {
        let mut pending = self.pending.lock();
        while pending.open.is_empty() {
            if pending.closing {
                return None;
            }
            self.work.wait(&mut pending);
        }
        let group = std::mem::take(&mut pending.open);
        pending.committing = Some(group.records.clone());
        let generation = pending.generation;
        pending.generation += 1;
        Some((generation, group))
    }

    pub fn committed(&self, generation: u64) {
        let mut pending = self.pending.lock();
        pending.committing = None;
        pending.durable = generation;
        self.durable.send_replace(Some(generation));
        self.progress.notify_all();
    }

    pub fn fail(&self) {
        self.pending.lock().failed = true;
        self.durable.send_replace(None);
        self.progress.notify_all();
    }

    pub fn close(&self) {
        self.pending.lock().closing = true;
        self.work.notify_one();
    }

    /// Uids of groups being purged.
    pub fn dead(&self) -> HashSet<String> {
        self.pending.lock().dead.clone()
    }

    pub async fn failed(&self) {
        let _ = self.durable.subscribe().wait_for(Option::is_none).await;
    }

    /// Wait, blocking this thread, until all that was decided up to `ticket` is durable.
    pub fn wait(&self, ticket: &Ticket) -> Result<(), Closed> {
        let mut pending = self.pending.lock();
        while pending.durable < ticket.generation && !pending.failed {
            self.progress.wait(&mut pending);
        }
        match pending.failed {
            true => Err(Closed),
            false => Ok(()),
        }
    }
}

/// What a write must wait for before it is acknowledged.
#[derive(Clone, Debug)]
pub struct Ticket {
    generation: u64,
    durable: watch::Receiver<Option<u64>>,
}

impl Ticket {
    /// Wait until what the ticket stands for is durable.
    ///
    /// # Errors
    /// When the store failed: it may or may not be durable, and must not be acknowledged.
    pub async fn durable(&self) -> Result<(), Closed> {
        let mut durable = self.durable.clone();
        let reached = durable.wait_for(|mark| mark.is_none_or(|generation| generation >= self.generation));
        match reached.await.map_err(|_| Closed)?.as_ref() {
            Some(_) => Ok(()),
            None => Err(Closed),
        }
    }
}
