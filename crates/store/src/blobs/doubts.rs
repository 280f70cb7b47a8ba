//! Addresses at which a reader found other bytes than were sealed: who brings the bytes again does not take those that lie there
//! for them unseen. It is forgotten when the process ends, and found again by the next reader.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Address, Error};

/// Addresses that are remembered.
const MOST: usize = 4096;

/// Clones share it.
#[derive(Clone, Default)]
pub(super) struct Doubts(Arc<Mutex<HashSet<Address>>>);

impl Doubts {
    pub fn has(&self, address: &Address) -> bool {
        self.0.lock().contains(address)
    }

    /// Bytes that were seen to be whole, or are new, are not doubted.
    pub fn remove(&self, address: &Address) {
        self.0.lock().remove(address);
    }

    fn add(&self, address: &Address) {
        let mut addresses = self.0.lock();
        if addresses.len() >= MOST {
            addresses.clear();
        }
        addresses.insert(address.clone());
    }

    pub fn witness(&self, address: &Address) -> Witness {
        Witness { doubts: self.clone(), address: address.clone() }
    }
}

/// Who reads at an address, and tells of damage.
#[derive(Clone)]
pub(super) struct Witness {
    doubts: Doubts,
    address: Address,
}

impl Witness {
    pub fn tell<T>(&self, read: Result<T, Error>) -> Result<T, Error> {
        read.inspect_err(|error| {
            if matches!(error, Error::Damaged) {
                self.doubts.add(&self.address);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, digest_of};
    use super::*;

    #[test]
    fn damage_alone_is_remembered_and_no_more_of_it_than_there_is_room_for() {
        let doubts = Doubts::default();
        let address =
            |number: usize| Address { seal: None, digest: digest_of(Algorithm::Sha256, &number.to_be_bytes()) };
        let told = |number, error| drop(doubts.witness(&address(number)).tell::<()>(Err(error)));
        told(0, Error::Missing);
        assert!(!doubts.has(&address(0)));
        for number in 1..=MOST + 1 {
            told(number, Error::Damaged);
            assert!(doubts.has(&address(number)));
        }
        assert!(doubts.0.lock().len() <= MOST);
        doubts.remove(&address(MOST + 1));
        assert!(!doubts.has(&address(MOST + 1)));
    }
}
