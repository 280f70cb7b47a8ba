//! The audit log: an append-only chain of records on disk, apart from [`State`](longshore_model::State) and its database.
//!
//! ```text
//!   push ─► buffer ─► writer thread: number, chain, write ─► sync
//!   00…01.log 00…57.log …    segments, the oldest let go when there are too many bytes; the anchor keeps the chain's begin
//! ```
//! A record is what the caller pushes, JSON that this module does not look into, with a number, a time and the hash of the
//! record before ([`Line`]). What must be there before a call is answered is written within [`GATHER`], together, or at once
//! when somebody waits for it; the rest within [`FLUSH`]; all is synced within [`SYNC`]. So a `kill -9` takes at most the last
//! [`FLUSH`] of what nobody waited for, and a power cut the last [`SYNC`] of all.
//!
//! Room for a segment is set aside when it is begun. When the disk has none for the next one the log is full
//! ([`Audit::is_full`]): what must be recorded still is, in the room that is left, so callers must not begin what must be
//! recorded; what need not be is counted, and a record says how many were lost once there is space.
//!
//! A failed write or sync ends the log: nothing that must be recorded is acknowledged after it.

mod line;
mod recover;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod verify;
mod walk;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::{Closed, Error, Full, Unsettled};
use segment::Segment;

pub use line::{Hash, Line};
pub use scan::{Back, Reached};
pub use segment::Mark;
pub use verify::{Broken, Verified, Why, verify};

/// How long a record that nobody waits for may lie in memory.
pub const FLUSH: Duration = Duration::from_millis(100);

/// How long one that must be there may lie in memory until somebody waits for it: about as long as the sync that its caller
/// waits for first.
pub const GATHER: Duration = Duration::from_millis(1);

/// How long it may be written and not synced.
pub const SYNC: Duration = Duration::from_millis(100);

/// Bytes of one record's event.
pub const LONGEST_EVENT: usize = 256 * 1024;

/// Bytes of records in memory; more that nobody waits for are lost, and counted.
const BUFFER: usize = 8 * 1024 * 1024;

/// Bytes at which the writer is woken before [`FLUSH`] is over.
const PLENTY: usize = 512 * 1024;

/// How an audit log is kept.
pub struct Options {
    /// Bytes of a segment before the next one is begun.
    pub segment_bytes: u64,
    /// Bytes of all segments; beyond them the oldest goes.
    pub total_bytes: u64,
    /// The record of something that happened to the log itself.
    pub tell: Tell,
}

/// Time (milliseconds since the epoch) and event of what happened.
pub type Tell = Box<dyn Fn(Happening) -> (i64, Vec<u8>) + Send>;

/// What happens to an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// So many bytes of a torn record were cut off when the log was opened.
    Cut { bytes: u64 },
    /// So many records that nobody waited for were not recorded: the disk was full, or there were too many at once.
    Lost { records: u64 },
}

/// The audit log. Cheap to clone; closes when the last clone is dropped.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// One reader of old segments at a time.
    scanning: Mutex<()>,
    writer: Option<std::thread::JoinHandle<()>>,
}

/// What pushers and the writer share.
struct Shared {
    pending: Mutex<Pending>,
    /// There is something to write.
    work: Condvar,
    progress: watch::Sender<Progress>,
    /// Apart from the progress, of which nobody wants to hear each step who waits for the end.
    failed: watch::Sender<bool>,
    segments: Mutex<Vec<Segment>>,
    dir: PathBuf,
}

#[derive(Default)]
struct Pending {
    batch: Batch,
    /// Number of the next record that is pushed.
    next: u64,
    lost: u64,
    /// Some of the batch must be there before its call is answered.
    must: bool,
    /// Somebody waits until all is written.
    wanted: bool,
    full: bool,
    failed: bool,
    closing: bool,
}

/// Events one behind the other.
#[derive(Default)]
struct Batch {
    events: Vec<u8>,
    /// Time and length of each.
    each: Vec<(i64, usize)>,
}

impl Batch {
    fn push(&mut self, time: i64, event: &[u8]) {
        self.events.extend_from_slice(event);
        self.each.push((time, event.len()));
    }

    /// Its room for another, unless that is a lot.
    fn emptied(mut self) -> Self {
        if self.events.capacity() > 2 * PLENTY {
            return Self::default();
        }
        self.events.clear();
        self.each.clear();
        self
    }
}

/// How far the writer has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    written: u64,
    synced: u64,
    /// There is no room at all: what is waited for is not written soon.
    stuck: bool,
    failed: bool,
}

/// Whether a record must be there before its call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is written soon; too many at once are counted instead.
    Light,
    /// It is recorded whatever happens, and [`Ticket::written`] says when.
    Must,
}

impl Audit {
    /// Opens or makes the log in `dir`, which is its alone. Only one process may hold it open. A torn tail is cut off.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let failed = |source| Error::Audit { path: dir.to_owned(), source };
        segment::make_dir(dir).map_err(failed)?;
        let found = recover::recover(dir).map_err(failed)?;
        let tip = found.tip.sequence;
        let shared = Arc::new(Shared {
            pending: Mutex::new(Pending { next: tip + 1, ..Pending::default() }),
            work: Condvar::new(),
            progress: watch::Sender::new(Progress { written: tip, ..Progress::default() }),
            failed: watch::Sender::new(false),
            segments: Mutex::new(found.segments.clone()),
            dir: dir.to_owned(),
        });
        let writer = writer::Writer::new(shared.clone(), found, options).map_err(failed)?;
        let writer = std::thread::Builder::new().name("audit".into()).spawn(move || writer.run()).map_err(failed)?;
        Ok(Self(Arc::new(Inner { shared, scanning: Mutex::default(), writer: Some(writer) })))
    }

    /// Adds a record of `event`, JSON of at most [`LONGEST_EVENT`] bytes, at `time` (milliseconds since the epoch).
    /// One that must be there has a ticket.
    pub fn push(&self, time: i64, event: &[u8], weight: Weight) -> Option<Ticket> {
        let must = weight == Weight::Must;
        let shared = &self.0.shared;
        let mut pending = shared.pending.lock();
        let room = !pending.full && pending.batch.events.len() <= BUFFER;
        if event.len() > LONGEST_EVENT || !(must || room) {
            pending.lost += 1;
            return None;
        }
        let was_empty = pending.batch.each.is_empty();
        pending.batch.push(time, event);
        let sequence = pending.next;
        pending.next += 1;
        let hurry = must && !pending.must;
        pending.must |= must;
        let plenty = pending.batch.events.len() >= PLENTY && pending.batch.events.len() - event.len() < PLENTY;
        drop(pending);
        if was_empty || hurry || plenty {
            shared.work.notify_one();
        }
        must.then(|| Ticket { sequence, shared: shared.clone() })
    }

    /// Whether there is no room for the next segment: nothing that must be recorded may be begun.
    pub fn is_full(&self) -> bool {
        self.0.shared.progress.borrow().stuck || self.0.shared.pending.lock().full
    }

    /// Ends when the log has failed: the process must stop then.
    pub async fn failed(&self) {
        let _ = self.0.shared.failed.subscribe().wait_for(|failed| *failed).await;
    }

    /// Number of the newest record that a power cut does not take.
    pub fn synced(&self) -> u64 {
        self.0.shared.progress.borrow().synced
    }

    /// Number of the newest record.
    pub fn newest(&self) -> u64 {
        self.0.shared.pending.lock().next - 1
    }
}

impl Shared {
    /// Somebody waits until what was pushed so far is written. Returns the number of the newest record.
    fn hurry(&self) -> u64 {
        let mut pending = self.pending.lock();
        let first = !std::mem::replace(&mut pending.wanted, true);
        let newest = pending.next - 1;
        drop(pending);
        if first {
            self.work.notify_one();
        }
        newest
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.pending.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// What a call must wait for before it is answered.
#[derive(Clone)]
pub struct Ticket {
    sequence: u64,
    shared: Arc<Shared>,
}

impl Ticket {
    /// Waits until the record, and all before it, are written: no death of the process takes them.
    ///
    /// # Errors
    /// When the log failed, or there is no room: the record may be there later.
    pub async fn written(&self) -> Result<(), Unsettled> {
        let reached = |progress: &Progress| progress.failed || progress.stuck || progress.written >= self.sequence;
        if !reached(&self.shared.progress.borrow()) {
            self.shared.hurry();
        }
        let mut progress = self.shared.progress.subscribe();
        let progress = *progress.wait_for(reached).await.map_err(|_| Closed)?;
        match progress.written >= self.sequence {
            true => Ok(()),
            false if progress.failed => Err(Closed.into()),
            false => Err(Full.into()),
        }
    }
}
