//! Who needs the bytes of a digest to stay, until a record says so.
//!
//! ```text
//!     finish, put      pin ──► bytes in their place ──► transaction ──► let go
//!     removal          not pinned? ──► nobody pins now ──► no record holds it, durably? ──► bytes go ──► pins again
//! ```
//! Whoever brings bytes waits for a removal of the same digest that is under way, and a removal does not begin while
//! anybody has a pin. So bytes that were found or written under a pin are there when the record is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::Digest;

enum Hold {
    Pinned(usize),
    /// So many wait for its end.
    Removing(usize),
}

#[derive(Default)]
struct Board {
    holds: Mutex<HashMap<Digest, Hold>>,
    removed: Condvar,
}

#[derive(Clone, Default)]
pub(super) struct Pins(Arc<Board>);

impl Pins {
    /// Waits for a removal that is under way.
    pub fn pin(&self, digest: &Digest) -> Pin {
        let mut holds = self.0.holds.lock();
        loop {
            match holds.entry(digest.clone()).or_insert(Hold::Pinned(0)) {
                Hold::Pinned(pins) => {
                    *pins += 1;
                    return Pin { board: self.0.clone(), digest: digest.clone() };
                }
                Hold::Removing(waiting) => {
                    *waiting += 1;
                    self.0.removed.wait(&mut holds);
                }
            }
        }
    }

    /// The right to remove, unless somebody has a pin or removes already.
    pub fn exclude(&self, digest: &Digest) -> Option<Exclusion<'_>> {
        match self.0.holds.lock().entry(digest.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(Hold::Removing(0));
                Some(Exclusion { board: &self.0, digest: digest.clone() })
            }
        }
    }
}

/// As long as it is there, the bytes of its digest are not removed.
pub struct Pin {
    board: Arc<Board>,
    digest: Digest,
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({})", self.digest)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut holds = self.board.holds.lock();
        let Some(Hold::Pinned(pins)) = holds.get_mut(&self.digest) else { return };
        *pins -= 1;
        if *pins == 0 {
            holds.remove(&self.digest);
        }
    }
}

/// As long as it is there, nobody gets a pin.
pub(super) struct Exclusion<'a> {
    board: &'a Board,
    digest: Digest,
}

impl Drop for Exclusion<'_> {
    fn drop(&mut self) {
        self.board.holds.lock().remove(&self.digest);
        self.board.removed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, digest_of};
    use super::*;

    #[test]
    fn nothing_is_removed_under_a_pin_and_nothing_pinned_under_a_removal() {
        let (pins, digest) = (Pins::default(), digest_of(Algorithm::Sha256, b"x"));
        let first = pins.pin(&digest);
        let second = pins.pin(&digest);
        assert!(pins.exclude(&digest).is_none());
        drop(first);
        assert!(pins.exclude(&digest).is_none());
        drop(second);
        let exclusion = pins.exclude(&digest).unwrap();
        assert!(pins.exclude(&digest).is_none());
        let waiting = std::thread::spawn({
            let (pins, digest) = (pins.clone(), digest.clone());
            move || drop(pins.pin(&digest))
        });
        // It has come to wait, and not past it.
        let waits = || matches!(pins.0.holds.lock().get(&digest), Some(Hold::Removing(1..)));
        while !waits() {
            assert!(!waiting.is_finished(), "it has its pin while the bytes are removed");
            std::thread::yield_now();
        }
        drop(exclusion);
        waiting.join().unwrap();
        assert!(pins.0.holds.lock().is_empty());
    }
}
