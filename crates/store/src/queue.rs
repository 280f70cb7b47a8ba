//! Commits on their way from transactions to the writer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use longshore_model::Change;
use parking_lot::{Condvar, Mutex};

use crate::Commit;

/// A commit that is applied in memory, and what takes it back.
pub(crate) struct Queued {
    pub commit: Arc<Commit>,
    /// To be applied in reverse order.
    pub undo: Vec<Change>,
}

#[derive(Default)]
struct Pending {
    waiting: VecDeque<Queued>,
    /// Nothing more comes.
    closed: bool,
    /// Nobody takes anything any more.
    dead: bool,
    /// The bound does not count: the writer is about to throw away what waits.
    waived: bool,
}

pub(crate) struct Queue {
    pending: Mutex<Pending>,
    work: Condvar,
    room: Condvar,
    bound: usize,
}

impl Queue {
    /// A queue in which at most `bound` commits wait; who would add one more waits himself.
    pub fn new(bound: usize) -> Self {
        Self { pending: Mutex::default(), work: Condvar::new(), room: Condvar::new(), bound }
    }

    pub fn push(&self, queued: Queued) {
        let mut pending = self.pending.lock();
        while pending.waiting.len() >= self.bound && !pending.waived && !pending.dead {
            self.room.wait(&mut pending);
        }
        if !pending.dead {
            pending.waiting.push_back(queued);
            self.work.notify_one();
        }
    }

    /// At most `most` commits, the oldest first. Does not wait.
    pub fn take(&self, most: usize) -> Vec<Queued> {
        let mut pending = self.pending.lock();
        let count = most.min(pending.waiting.len());
        let taken = pending.waiting.drain(..count).collect();
        self.room.notify_all();
        taken
    }

    /// Wait until there is something to take, until `patience` is over, or until nothing more can come: only then `false`.
    pub fn wait(&self, patience: Option<Duration>) -> bool {
        let mut pending = self.pending.lock();
        if pending.waiting.is_empty() && !pending.closed {
            match patience {
                Some(patience) => drop(self.work.wait_for(&mut pending, patience)),
                None => self.work.wait(&mut pending),
            }
        }
        !(pending.waiting.is_empty() && pending.closed)
    }

    /// Whether the bound counts.
    pub fn waive(&self, waived: bool) {
        self.pending.lock().waived = waived;
        self.room.notify_all();
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.pending.lock().closed = true;
        self.work.notify_all();
    }

    /// Nobody takes anything any more: what waits is dropped, and what comes.
    pub fn kill(&self) {
        let mut pending = self.pending.lock();
        pending.dead = true;
        pending.waiting.clear();
        self.room.notify_all();
    }
}
