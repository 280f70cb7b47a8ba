//! Who writes at an address: one at a time. Who comes meanwhile waits, and then finds the bytes there.
//!
//! What is sealed twice is two different files of the same bytes, and who reads pieces of an object must not find those of
//! another between them.

use std::collections::HashSet;

use parking_lot::{Condvar, Mutex};

use super::Address;

#[derive(Default)]
pub(super) struct Turns {
    taken: Mutex<HashSet<Address>>,
    over: Condvar,
}

/// As long as it is there, nobody else writes at its address.
pub(super) struct Turn<'a> {
    of: &'a Turns,
    address: &'a Address,
}

impl Turns {
    pub fn take<'a>(&'a self, address: &'a Address) -> Turn<'a> {
        let mut taken = self.taken.lock();
        while !taken.insert(address.clone()) {
            self.over.wait(&mut taken);
        }
        Turn { of: self, address }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.taken.lock().remove(self.address);
        self.of.over.notify_all();
    }
}
