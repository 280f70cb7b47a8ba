//! Log streams and events, kept by fjall (an LSM tree) apart from [`State`](longshore_model::State): they are bulk.
//!
//! A log group is a record of the state; here it is only its `uid`, under which streams and events lie. So a group made
//! again under an old name begins empty, and what an old group held is swept up behind the caller's back.
//!
//! ```text
//!   put ─► queue (decide, number) ─► writer thread: one batch, one fsync for all that queued up ─► durable ─► visible
//!   records   what streams there are, how far pumps came, what is to be purged
//!   events    GROUP TIME SEQUENCE -> stream, ingestion time, message      a group's events are one range, in time order
//!   index     STREAM TIME SEQUENCE -> nothing                             a stream's events, found in `events` by key
//! ```
//!
//! Reads see durable things only. The writing methods return a [`Ticket`]; nothing may be acknowledged before it is
//! durable. Events of one timestamp keep the order of arrival. A batch that names its pump and sequence is stored once,
//! however often it is sent.
//!
//! A full disk would end fjall, so nothing is added while less than [`RESERVE`] is free: writers are told that the disk is
//! full, readers and purges go on.
//!
//! Left out: who may do what, filter patterns, retention's allowed values; the service's handlers know those.

mod filter;
mod key;
mod purge;
mod queue;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::{Closed, Error};

pub use filter::{Found, Search, Streams};
pub use key::{EventId, Position};
pub use queue::Ticket;
pub use read::{Cursor, Event, Page, Span, Stream};
pub use write::{Batch, NewEvent, Pump};

use queue::{Pending, Queue};
use tree::Trees;

/// What an event counts beside its message, in bytes: AWS's own figure.
pub const EVENT_OVERHEAD: usize = 26;

/// Most bytes of messages in one answer.
pub const PAGE_BYTES: usize = 1024 * 1024;

/// Bytes of the disk that are left to what is queued, to the journals, and to writing out and merging what is stored.
pub const RESERVE: u64 = 64 * 1024 * 1024;

/// The log store. Cheap to clone; closes when the last clone is dropped.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    trees: Trees,
    dir: PathBuf,
    queue: Arc<Queue>,
    /// Held by whoever purges: two purges at once would count bytes down twice.
    purging: Mutex<()>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Logs {
    /// Open or make the store in the directory `dir`, which is its alone. Only one process may hold it open.
    ///
    /// # Errors
    /// If the directory cannot be used or what lies there cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let trees = Trees::open(dir)?;
        let queue = Arc::new(Queue::new(trees.counter()?, trees.dead_groups()?));
        let writer = {
            let (trees, queue) = (trees.clone(), queue.clone());
            std::thread::Builder::new()
                .name("logs-writer".into())
                .spawn(move || write_loop(&trees, &queue))
                .map_err(fjall::Error::from)?
        };
        Ok(Self(Arc::new(Inner { trees, dir: dir.to_owned(), queue, purging: Mutex::new(()), writer: Some(writer) })))
    }

    /// The pending groups, to add to; if there is space on the disk. What cannot be found out is not held against it.
    fn enter_to_add(&self) -> Result<MutexGuard<'_, Pending>, Error> {
        let space = nix::sys::statvfs::statvfs(&self.0.dir);
        match space.map(|disk| disk.blocks_available() * disk.fragment_size()) {
            Ok(free) if free < RESERVE => Err(Error::Full),
            _ => Ok(self.0.queue.enter()?),
        }
    }

    /// As [`Ticket::durable`], blocking this thread: for tests and threads of their own, not for request handlers.
    pub fn wait(&self, ticket: &Ticket) -> Result<(), Closed> {
        self.0.queue.wait(ticket)
    }

    /// Ends when the store has failed: the process must stop then.
    pub async fn failed(&self) {
        self.0.queue.failed().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Commit what queues up, group by group, until the store is closed and the queue is empty.
fn write_loop(trees: &Trees, queue: &Queue) {
    while let Some((generation, group)) = queue.take() {
        if let Err(error) = trees.commit(group) {
            tracing::error!(%error, "the log store failed; nothing more is acknowledged");
            queue.fail();
            return;
        }
        queue.committed(generation);
    }
}
