//! The flows of a listener, by client.
//!
//! Flows stand in a row, in the order they began. Whoever is at its front when room is needed goes, unless datagrams of the
//! client's came since it was put into the row: then it goes to the back.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;

use crate::Task;
use crate::count::Open;
use crate::flow::Flow;

/// Flows that are looked at for one that was quiet.
const TRIES: usize = 64;

/// What ends with a flow.
type Held = (OwnedSemaphorePermit, Open, Task);

pub struct Entry {
    number: u64,
    place: u64,
    is_used: bool,
    target: Arc<UdpSocket>,
    flow: Arc<Flow>,
    _held: Held,
}

impl Entry {
    /// `number` is of [`Table::next_number`].
    pub fn new(number: u64, target: Arc<UdpSocket>, flow: Arc<Flow>, held: Held) -> Self {
        Self { number, place: number, is_used: false, target, flow, _held: held }
    }
}

#[derive(Default)]
pub struct Table {
    flows: HashMap<SocketAddr, Entry>,
    row: BTreeMap<u64, SocketAddr>,
    last: u64,
}

impl Table {
    /// A number that no flow had.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The socket of a client's flow, which something moves on.
    pub fn touch(&mut self, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        let entry = self.flows.get_mut(&client)?;
        entry.is_used = true;
        entry.flow.touch();
        Some(entry.target.clone())
    }

    pub fn insert(&mut self, client: SocketAddr, entry: Entry) {
        self.row.insert(entry.place, client);
        if let Some(old) = self.flows.insert(client, entry) {
            self.row.remove(&old.place);
        }
    }

    /// Takes out this flow of the client's, not one that came after it.
    pub fn remove(&mut self, client: SocketAddr, number: u64) {
        if self.flows.get(&client).is_some_and(|entry| entry.number == number) {
            self.take(client);
        }
    }

    /// Takes out one that has been quiet.
    pub fn evict(&mut self) {
        for tried in 0..TRIES {
            let Some((_, client)) = self.row.pop_first() else { return };
            let Some(entry) = self.flows.get_mut(&client) else { continue };
            if !entry.is_used || tried + 1 == TRIES {
                self.take(client);
                return;
            }
            self.last += 1;
            (entry.is_used, entry.place) = (false, self.last);
            self.row.insert(self.last, client);
        }
    }

    pub fn clear(&mut self) {
        self.flows.clear();
        self.row.clear();
    }

    #[cfg(test)]
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.row.values().copied().collect()
    }

    fn take(&mut self, client: SocketAddr) {
        if let Some(entry) = self.flows.remove(&client) {
            self.row.remove(&entry.place);
        }
    }
}
