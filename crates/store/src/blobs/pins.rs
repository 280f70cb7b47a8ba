//! Who needs the bytes at an address to stay, until a record says so.
//!
//! ```text
//!     finish, put      pin ──► bytes in their place ──► transaction ──► let go
//!     removal          not pinned? ──► nobody pins now ──► no record holds it, durably? ──► bytes go ──► pins again
//! ```
//! Whoever brings bytes waits for a removal at the same address that is under way, and a removal does not begin while
//! anybody has a pin. So bytes that were found or written under a pin are there when the record is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::Address;

enum Hold {
    Pinned(usize),
    /// So many wait for its end.
    Removing(usize),
}

#[derive(Default)]
struct Board {
    holds: Mutex<HashMap<Address, Hold>>,
    removed: Condvar,
}

#[derive(Clone, Default)]
pub(super) struct Pins(Arc<Board>);

impl Pins {
    /// Waits for a removal that is under way.
    pub fn pin(&self, address: &Address) -> Pin {
        let mut holds = self.0.holds.lock();
        loop {
            match holds.entry(address.clone()).or_insert(Hold::Pinned(0)) {
                Hold::Pinned(pins) => {
                    *pins += 1;
                    return Pin { board: self.0.clone(), address: address.clone() };
                }
                Hold::Removing(waiting) => {
                    *waiting += 1;
                    self.0.removed.wait(&mut holds);
                }
            }
        }
    }

    /// The right to remove, unless somebody has a pin or removes already.
    pub fn exclude(&self, address: &Address) -> Option<Exclusion<'_>> {
        match self.0.holds.lock().entry(address.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(Hold::Removing(0));
                Some(Exclusion { board: &self.0, address: address.clone() })
            }
        }
    }
}

/// As long as it is there, the bytes at its address are not removed.
pub struct Pin {
    board: Arc<Board>,
    address: Address,
}

impl Pin {
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({})", self.address)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut holds = self.board.holds.lock();
        let Some(Hold::Pinned(pins)) = holds.get_mut(&self.address) else { return };
        *pins -= 1;
        if *pins == 0 {
            holds.remove(&self.address);
        }
    }
}

/// As long as it is there, nobody gets a pin.
pub(super) struct Exclusion<'a> {
    board: &'a Board,
    address: Address,
}

impl Drop for Exclusion<'_> {
    fn drop(&mut self) {
        self.board.holds.lock().remove(&self.address);
        self.board.removed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, SealId, digest_of};
    use super::*;

    #[test]
    fn nothing_is_removed_under_a_pin_and_nothing_pinned_under_a_removal() {
        let digest = digest_of(Algorithm::Sha256, b"x");
        let (pins, address) = (Pins::default(), Address { seal: None, digest: digest.clone() });
        let sealed = Address { seal: SealId::parse("k1"), digest };
        let first = pins.pin(&address);
        let second = pins.pin(&address);
        assert!(pins.exclude(&address).is_none());
        assert!(pins.exclude(&sealed).is_some(), "these lie elsewhere");
        drop(first);
        assert!(pins.exclude(&address).is_none());
        drop(second);
        let exclusion = pins.exclude(&address).unwrap();
        assert!(pins.exclude(&address).is_none());
        let waiting = std::thread::spawn({
            let (pins, address) = (pins.clone(), address.clone());
            move || drop(pins.pin(&address))
        });
        // It has come to wait, and not past it.
        let waits = || matches!(pins.0.holds.lock().get(&address), Some(Hold::Removing(1..)));
        while !waits() {
            assert!(!waiting.is_finished(), "it has its pin while the bytes are removed");
            std::thread::yield_now();
        }
        drop(exclusion);
        waiting.join().unwrap();
        assert!(pins.0.holds.lock().is_empty());
    }
}
