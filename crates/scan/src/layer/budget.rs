//! What is left of an image's limits.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use longshore_layer::Refused;

use super::Limits;
use crate::Error;

/// Which limit was exceeded; it travels through readers inside an [`io::Error`].
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("too many entries")]
    Entries,
    #[error("too many bytes")]
    Unpacked,
    #[error("it swells too far")]
    Ratio,
    #[error("a path is too long")]
    Path,
    #[error("too many packages")]
    Packages,
    #[error("it takes too long")]
    Time,
}

/// The layer's bytes could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unread(pub io::Error);

impl From<Exceeded> for io::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::other(exceeded)
    }
}

pub(crate) struct Budget {
    limits: Limits,
    entries: u64,
    memory: usize,
    /// Shared with the readers of the layers.
    unpacked: Rc<Cell<u64>>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let unpacked = Rc::new(Cell::new(limits.unpacked_bytes));
        Self { entries: limits.entries, memory: limits.package_bytes, unpacked, limits: limits.clone() }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn unpacked(&self) -> Rc<Cell<u64>> {
        self.unpacked.clone()
    }

    pub(super) fn take_entry(&mut self) -> io::Result<()> {
        self.entries = self.entries.checked_sub(1).ok_or(Exceeded::Entries)?;
        Ok(())
    }

    /// Pays for something of `bytes` that is kept, and what keeping it takes.
    pub(super) fn take_memory(&mut self, bytes: usize) -> io::Result<()> {
        if self.pay(bytes) { Ok(()) } else { Err(self.full()) }
    }

    /// Whether there was enough left.
    pub(crate) fn pay(&mut self, bytes: usize) -> bool {
        const OVERHEAD: usize = 160;
        let left = self.memory.checked_sub(bytes.saturating_add(OVERHEAD));
        self.memory = left.unwrap_or(0);
        left.is_some()
    }

    /// Pays for bytes that a file inside of a layer unpacks to, as far as there are any left.
    pub(crate) fn pay_unpacked(&mut self, bytes: u64) {
        self.unpacked.set(self.unpacked.get().saturating_sub(bytes));
    }

    /// Bytes that may be unpacked still.
    pub(crate) fn unpacked_left(&self) -> u64 {
        self.unpacked.get()
    }

    pub(crate) fn is_late(&self) -> bool {
        is_late(self.limits.until)
    }

    pub(super) fn check_time(&self) -> io::Result<()> {
        if self.is_late() { Err(Exceeded::Time.into()) } else { Ok(()) }
    }

    pub(super) fn full(&self) -> io::Error {
        Exceeded::Packages.into()
    }
}

pub(crate) fn is_late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// What went wrong with a layer, as it is told.
pub(super) fn told(layer: usize, error: io::Error, limits: &Limits) -> Error {
    let inner = error.get_ref();
    if let Some(exceeded) = inner.and_then(|inner| inner.downcast_ref::<Exceeded>()) {
        return match exceeded {
            Exceeded::Entries => Error::TooManyEntries(limits.entries),
            Exceeded::Unpacked => Error::TooLarge(limits.unpacked_bytes),
            Exceeded::Ratio => Error::Swells { layer, times: limits.ratio },
            Exceeded::Path => Error::LongPath { layer, most: limits.path_bytes },
            Exceeded::Packages => Error::TooManyPackages(limits.package_bytes),
            Exceeded::Time => Error::TooLong,
        };
    }
    if let Some(refused) = inner.and_then(|inner| inner.downcast_ref::<Refused>()) {
        return Error::Damaged { layer, reason: refused.to_string() };
    }
    let source = error.downcast::<Unread>().map_or_else(|error| error, |unread| unread.0);
    Error::Layer { layer, source }
}
