//! Connections of clients at one time: how many there may be, and how many of them one listener may have.
//!
//! A listener has at most three times as many as are free for all. So one that is flooded has three quarters of all and leaves
//! room for the next one, which leaves some again; nothing lies idle for listeners that nobody asks. A connection beyond is
//! closed at once: kept waiting, it would not be known from one that is served slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of clients at one time.
const CONNECTIONS: usize = 32_768;

/// Flows of UDP at one time, each with a socket.
const FLOWS: usize = 16_384;

/// A listener may have so many times what is free.
const SHARE: usize = 3;

/// What all sites have together.
#[derive(Clone, Debug)]
pub struct Slots {
    connections: Arc<Semaphore>,
    pub flows: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        Self::of(CONNECTIONS)
    }
}

impl Slots {
    pub fn of(connections: usize) -> Self {
        Self { connections: Arc::new(Semaphore::new(connections)), flows: Arc::new(Semaphore::new(FLOWS)) }
    }

    /// The connections of one listener more.
    pub fn share(&self) -> Share {
        Share { all: self.connections.clone(), held: Arc::default() }
    }
}

/// The connections of one listener.
#[derive(Clone, Debug)]
pub struct Share {
    all: Arc<Semaphore>,
    held: Arc<AtomicUsize>,
}

impl Share {
    /// `None` if there is no room for another one.
    pub fn take(&self) -> Option<Slot> {
        let free = self.all.available_permits();
        let permit = self.all.clone().try_acquire_owned().ok()?;
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        let slot = Slot { _permit: permit, held: self.held.clone() };
        (before < SHARE * free).then_some(slot)
    }
}

/// That a listener has one connection more, until this is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    held: Arc<AtomicUsize>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(share: &Share) -> Vec<Slot> {
        std::iter::from_fn(|| share.take()).collect()
    }

    #[test]
    fn each_listener_leaves_room_for_another() {
        let slots = Slots::of(1024);
        let shares: Vec<Share> = (0..4).map(|_| slots.share()).collect();
        let mut held: Vec<Vec<Slot>> = shares.iter().map(fill).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [768, 192, 48, 12]);
        // What one gives back is for all.
        held.remove(0);
        assert_eq!(fill(&shares[3]).len(), 576);
    }

    #[test]
    fn there_are_never_more_than_all() {
        let slots = Slots::of(5);
        let held: Vec<Vec<Slot>> = (0..50).map(|_| fill(&slots.share())).collect();
        assert_eq!(held.iter().map(Vec::len).sum::<usize>(), 5);
    }
}
