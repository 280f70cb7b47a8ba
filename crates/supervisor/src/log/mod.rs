//! The log pump of one container: standard output and error in, events at their destination out.
//!
//! ```text
//! pipe or terminal ──reader thread──► lines ──► events ──► buffer ──sender thread──► CloudWatch Logs
//! ```
//!
//! The reader cuts lines ([`line`]), joins them to events where a pattern says so ([`event`]) and stamps them with the
//! time of reading. The buffer ([`buffer`]) is bounded; what happens when it is full is the container's `mode`. The
//! sender ([`sender`]) makes batches and repeats each until it is acknowledged, with a number by which the server knows
//! a repeated one: neither loss nor doubling, as long as the supervisor lives and the log group exists. With
//! `json-file` the reader writes itself; with no driver there is no thread at all.

mod buffer;
mod event;
mod file;
mod http;
mod line;
mod pattern;
mod reader;
mod sender;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buffer::Buffer;
use event::Joiner;
use file::JsonFile;
use reader::Sink;
use sender::Sender;

use crate::error::{Error, Result};
use crate::spec::{LogConfig, LogEndpoint};

/// Called when something a waiting supervisor cares for has changed.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Enough for any of the threads here; only what is touched counts.
const STACK_BYTES: usize = 128 << 10;

/// Where log endpoints are looked up each time they are needed; exchanged as a whole.
#[derive(Clone, Default)]
pub struct Endpoint(Arc<Mutex<LogEndpoint>>);

impl Endpoint {
    pub fn set(&self, endpoint: LogEndpoint) {
        *lock(&self.0) = endpoint;
    }

    pub fn get(&self) -> LogEndpoint {
        lock(&self.0).clone()
    }
}

/// The log of one container over all its restarts.
pub struct Log {
    target: Target,
    joiner: Joiner,
    /// One more holder for every reader that has not ended.
    readers: Arc<()>,
    wake: Wake,
}

enum Target {
    None,
    File(Arc<JsonFile>),
    Cloud(Arc<Buffer>),
}

impl Log {
    /// Prepares the destination. `pump` names this log among all that ever sent to the same stream.
    pub fn open(config: &LogConfig, directory: &Path, pump: String, endpoint: Endpoint, wake: Wake) -> Result<Log> {
        let (target, joiner) = match config {
            LogConfig::None => (Target::None, Joiner::default()),
            LogConfig::JsonFile => (Target::File(Arc::new(JsonFile::open(directory)?)), Joiner::default()),
            LogConfig::Awslogs(options) => {
                let joiner = Joiner::new(options).map_err(Error::Parameter)?;
                let buffer = Arc::new(Buffer::new(options));
                Sender::start(options.clone(), pump, endpoint, buffer.clone(), wake.clone())?;
                (Target::Cloud(buffer), joiner)
            }
        };
        Ok(Log { target, joiner, readers: Arc::new(()), wake })
    }

    /// False if output may go to `/dev/null` without being read.
    pub fn reads(&self) -> bool {
        !matches!(self.target, Target::None)
    }

    /// Waits for the first answer of the destination. An error only if it said for certain that it will not take
    /// anything; a destination that cannot be reached now is tried again later.
    pub fn wait_ready(&self, patience: Duration) -> std::result::Result<(), String> {
        match &self.target {
            Target::Cloud(buffer) => buffer.wait_ready(patience),
            _ => Ok(()),
        }
    }

    /// Reads these until their end. `sources` are the descriptor and the name of its stream.
    pub fn attach(&self, sources: Vec<(OwnedFd, &'static str)>) -> Result<()> {
        let sink = match &self.target {
            Target::None => Sink::Nowhere,
            Target::File(file) => Sink::File(file.clone()),
            Target::Cloud(buffer) => Sink::Buffer(buffer.clone()),
        };
        reader::start(sources, self.joiner.clone(), sink, self.readers.clone(), self.wake.clone())
    }

    /// From now on send at once instead of gathering.
    pub fn drain(&self) {
        if let Target::Cloud(buffer) = &self.target {
            buffer.drain();
        }
    }

    /// Everything read has been taken by the destination, and nothing is left to read.
    pub fn is_idle(&self) -> bool {
        // Looked at first: a reader hands over its last events before it ends.
        let read = Arc::strong_count(&self.readers) == 1;
        let sent = match &self.target {
            Target::Cloud(buffer) => buffer.is_idle(),
            _ => true,
        };
        read && sent
    }

    /// There is no use in waiting for the destination: it has nothing to take, or has answered that long without taking
    /// it. One that is away may come back.
    pub fn is_hopeless(&self, patience: Duration) -> bool {
        match &self.target {
            Target::Cloud(buffer) => buffer.is_idle() || buffer.refusing_for().is_some_and(|time| time >= patience),
            _ => true,
        }
    }

    /// Events lost to a full buffer, refused by the destination, or without a place there.
    pub fn dropped(&self) -> u64 {
        match &self.target {
            Target::Cloud(buffer) => buffer.dropped(),
            _ => 0,
        }
    }
}

/// Signals are the main thread's.
fn leave_signals_to_others() {
    // Cannot fail with a set of the library's own making.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

/// A panic of another thread while it held the lock leaves counters and queues that are still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
