//! The only one who writes to the back end.
//!
//! ```text
//!   queue ─► group ─► back end ─► Ok     history, then the mark: those who wait go on
//!                             ─► Full   the group and the queue are undone in memory; transactions are refused
//!                                       until an attempt to write succeeds
//!                             ─► else   the store is closed; the process must stop
//! ```
//! After a failed fsync nobody knows what the disk holds, so nothing is tried again. A full disk is known exactly: nothing
//! of the group is stored. Undoing it, rather than keeping it for later, makes the state in memory again what is durable, so
//! that reads go on; whoever waited for an undone revision is told that nothing happened.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::queue::Queued;
use crate::store::Shared;
use crate::{Backend, Closed, Commit, Epoch, Error, Group, Revision};

/// Most commits that one group commit takes.
const GROUP: usize = 512;

/// Between attempts to write to a full disk; doubles up to [`SLOWEST_PROBE`].
const FIRST_PROBE: Duration = Duration::from_millis(100);
const SLOWEST_PROBE: Duration = Duration::from_secs(2);

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to do.
    Idle,
    /// Everything up to this revision is durable.
    Committed(Revision),
    /// The disk is full: what was queued is undone, and writes are refused.
    Full,
    /// The disk has space again, and writes are taken.
    Recovered,
}

/// Takes what transactions queue and makes it durable. When it is dropped the store is closed.
pub struct Writer {
    backend: Box<dyn Backend>,
    shared: Arc<Shared>,
    epoch: Epoch,
    /// The newest revision that the back end holds.
    stored: Revision,
    full: bool,
}

impl Writer {
    pub(crate) fn new(backend: Box<dyn Backend>, shared: Arc<Shared>, epoch: Epoch, stored: Revision) -> Self {
        Self { backend, shared, epoch, stored, full: false }
    }

    /// Counts the writers of this back end.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Commit what is queued as one group, or try whether a full disk has space again. Does not wait for work.
    ///
    /// # Errors
    /// When the back end has failed: the store is closed.
    pub fn step(&mut self) -> Result<Step, Closed> {
        self.step_at_most(GROUP)
    }

    /// As [`Self::step`], with groups of at most `most` commits.
    pub fn step_at_most(&mut self, most: usize) -> Result<Step, Closed> {
        if self.shared.is_closed() {
            return Err(Closed);
        }
        match self.full {
            true => self.probe(),
            false => self.commit_next(most),
        }
    }

    /// Let the lease end at `until`, in milliseconds since the epoch.
    ///
    /// # Errors
    /// When there is a newer writer, or the back end has failed: the store is closed.
    pub fn renew(&mut self, until: i64) -> Result<(), Closed> {
        match self.backend.renew(self.epoch, until) {
            Ok(()) | Err(Error::Full) => Ok(()),
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn commit_next(&mut self, most: usize) -> Result<Step, Closed> {
        let queued = self.shared.queue.take(most);
        if queued.is_empty() {
            return Ok(Step::Idle);
        }
        let commits: Vec<Arc<Commit>> = queued.iter().map(|queued| queued.commit.clone()).collect();
        let group = Group { epoch: self.epoch, after: self.stored, commits: &commits };
        match self.backend.commit(&group) {
            Ok(()) => {
                self.stored = group.last();
                self.shared.history.extend(&commits);
                self.shared.mark.send_modify(|mark| mark.advance(self.stored));
                Ok(Step::Committed(self.stored))
            }
            Err(Error::Full) => {
                self.undo(queued);
                Ok(Step::Full)
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Take back everything that is not durable, and everything queued meanwhile, and refuse more.
    fn undo(&mut self, mut undone: Vec<Queued>) {
        tracing::error!("the disk is full: writes are refused until there is space");
        self.full = true;
        // Whoever waits for room in the queue holds the lock that is needed here.
        self.shared.queue.waive(true);
        let mut live = self.shared.live.write();
        undone.extend(self.shared.queue.take(usize::MAX));
        for change in undone.iter().rev().flat_map(|queued| queued.undo.iter().rev()) {
            live.state.apply(change);
        }
        live.revision += 1;
        live.full = true;
        self.shared.history.compact(live.revision);
        self.shared.mark.send_modify(|mark| mark.refuse_until(live.revision));
    }

    /// Try to write to a disk that was full.
    fn probe(&mut self) -> Result<Step, Closed> {
        let nothing = Group { epoch: self.epoch, after: self.stored, commits: &[] };
        match self.backend.commit(&nothing) {
            Ok(()) => {
                tracing::info!("the disk has space again: writes are taken");
                self.full = false;
                self.shared.queue.waive(false);
                self.shared.live.write().full = false;
                Ok(Step::Recovered)
            }
            Err(Error::Full) => Ok(Step::Full),
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn fail(&self, error: &Error) -> Closed {
        tracing::error!(%error, "the store failed; nothing more is acknowledged");
        self.shared.close();
        Closed
    }

    /// Write until the store is dropped or fails. Renews the lease of `ttl`, if there is one, and gives it up at the end.
    pub(crate) fn run(mut self, ttl: Option<Duration>) {
        let period = ttl.map(|ttl| ttl / 3);
        let mut renewed = SystemTime::now();
        let mut pause = FIRST_PROBE;
        while self.shared.queue.wait(if self.full { Some(pause) } else { period }) {
            // Whoever is about to queue something does so first, where there is no processor for both: groups get larger.
            std::thread::yield_now();
            let Ok(step) = self.step() else { return };
            pause = if step == Step::Full { (pause * 2).min(SLOWEST_PROBE) } else { FIRST_PROBE };
            let due = period.is_some_and(|period| renewed.elapsed().unwrap_or(period) >= period);
            if due && self.renew(now() + ttl.map_or(0, millis)).is_err() {
                return;
            }
            if due {
                renewed = SystemTime::now();
            }
        }
        if ttl.is_some() {
            let _ = self.renew(now());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
