//! Keeps [`State`](longshore_model::State): every change is written by a [`Backend`] and acknowledged only once it is
//! durable.
//!
//! One writer, many readers. [`Store::transact`] runs a decision against the newest state, applies its changes in memory
//! and queues them; a writer thread takes whatever has queued up, commits it as one (group commit) and moves the durable
//! revision on. Nobody may *tell* anyone about a revision before it is durable: replies wait for [`Store::durable`], and
//! [`Store::watch`] speaks of durable revisions only. Since commits are durable in order, a decision may read what is not
//! yet durable: if the earlier change is lost, so is the later one.
//!
//! A back end that fails is fatal: nothing is acknowledged after it, and the process must stop. A full disk is not: what
//! it refused is undone, writes are refused until there is space, reads go on. A second writer is harmless: opening takes
//! the next epoch, and the commits of older ones are refused. (docs/decisions/0002, 0017)

pub mod audit;
mod backend;
pub mod blobs;
mod history;
pub mod logs;
mod mark;
mod memory;
mod queue;
mod rows;
mod sqlite;
mod store;
mod writer;

use longshore_wire::Fault as Refusal;

pub use backend::{Backend, Claim, Commit, Epoch, Group};
pub use history::{Compacted, Missed, Watch};
pub use memory::{Fault, Memory};
pub use sqlite::{Sqlite, Tuning};
pub use store::{Snapshot, Store};
pub use writer::{Step, Writer};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database cannot be opened: {0}")]
    Open(#[source] rusqlite::Error),
    #[error("the database cannot keep a write-ahead log")]
    NoLog,
    #[error("the database does not answer: {0}")]
    Sqlite(#[source] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] longshore_model::Unreadable),
    #[error("the database holds a table of number {0}, which this version does not know")]
    UnknownTable(i64),
    #[error("the data directory belongs to schema version {found}; this version reads {known}")]
    Schema { found: i64, known: i64 },
    #[error("the {table} record {key} is stored twice")]
    Twice { table: &'static str, key: String },
    #[error("the {table} record {key} is no longer where it was stored")]
    Gone { table: &'static str, key: String },
    #[error("the disk is full")]
    Full,
    #[error("what was written may not have reached the disk")]
    Unsynced,
    #[error("this writer's epoch is {epoch}; a newer one, {newest}, has taken over")]
    Fenced { epoch: Epoch, newest: Epoch },
    #[error("a commit that follows revision {expected} found revision {stored}: somebody else writes")]
    Moved { expected: Revision, stored: Revision },
    #[error("{holder} holds the store until {until} (milliseconds since the epoch)")]
    Held { holder: String, until: i64 },
    #[error("the log store failed: {0}")]
    Logs(#[from] fjall::Error),
    #[error("there is no such log stream")]
    NoStream,
    #[error("the log stream exists")]
    StreamExists,
    #[error("the audit log cannot be used, in {path}")]
    Audit {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the registry's bytes cannot be used")]
    Blobs(#[from] blobs::Error),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// The store failed or is closing; nothing later than the durable revision is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is closed")]
pub struct Closed;

/// The disk has no space: nothing was changed, and nothing is until there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk is full")]
pub struct Full;

/// What callers are told who would change something.
impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        let words =
            "The disk of the control plane is full. Nothing was changed; changes are taken again when there is space.";
        Refusal::common("ServiceUnavailable", 503, words)
    }
}

/// Why a revision is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A point in the order of commits. Zero is before the first.
pub type Revision = u64;
