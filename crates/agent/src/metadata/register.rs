//! Which task has which address.
//!
//! A task has its place before its containers run, and what it asks waits there until there is somebody to answer. The
//! place ends with the task; a later task of the same address gets one of its own.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Connections of one task at the same time at one door: its burst of requests fits, and an SDK's pool. More are closed at
/// once.
const CONNECTIONS: usize = 64;

/// What a task came for. Connections are counted apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door {
    Metadata,
    Api,
}

/// Places by address; `T` answers for a task. Clones share it.
pub(super) struct Register<T>(Arc<Mutex<HashMap<Ipv4Addr, Seat<T>>>>);

/// The place of a task, for as long as this lives.
pub(super) struct Place<T> {
    register: Register<T>,
    address: Ipv4Addr,
    answering: watch::Sender<Option<Arc<T>>>,
}

struct Seat<T> {
    answering: watch::Receiver<Option<Arc<T>>>,
    slots: [Arc<Semaphore>; 2],
}

/// One connection of a task.
pub(super) struct Visit<T> {
    answering: watch::Receiver<Option<Arc<T>>>,
    _slot: OwnedSemaphorePermit,
}

impl<T> Clone for Register<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Register<T> {
    /// Gives an address a place, in place of any that it had.
    pub(super) fn enter(&self, address: Ipv4Addr) -> Place<T> {
        let (answering, receiver) = watch::channel(None);
        let slots = [(), ()].map(|()| Arc::new(Semaphore::new(CONNECTIONS)));
        let seat = Seat { answering: receiver, slots };
        self.0.lock().insert(address, seat);
        Place { register: self.clone(), address, answering }
    }

    /// A connection from an address; none if no task has it, or the task has too many.
    pub(super) fn visit(&self, address: Ipv4Addr, door: Door) -> Option<Visit<T>> {
        let seats = self.0.lock();
        let seat = seats.get(&address)?;
        let slot = Arc::clone(&seat.slots[door as usize]).try_acquire_owned().ok()?;
        Some(Visit { answering: seat.answering.clone(), _slot: slot })
    }
}

impl<T> Place<T> {
    /// Answers from now on.
    pub(super) fn answer(&self, answering: T) {
        self.answering.send_replace(Some(Arc::new(answering)));
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut seats = self.register.0.lock();
        let own = |seat: &Seat<T>| seat.answering.same_channel(&self.answering.subscribe());
        if seats.get(&self.address).is_some_and(own) {
            seats.remove(&self.address);
        }
    }
}

impl<T> Visit<T> {
    /// Waits for whoever answers; none when the place ends before.
    pub(super) async fn answering(&mut self) -> Option<Arc<T>> {
        self.answering.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Waits for the end of the place.
    pub(super) async fn ended(&mut self) {
        while self.answering.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 9);

    #[tokio::test]
    async fn who_asks_early_waits_and_nobody_else_is_known() {
        let register = Register::default();
        let place = register.enter(ADDRESS);
        assert!(register.visit(Ipv4Addr::new(172, 31, 0, 10), Door::Metadata).is_none());
        let mut early = register.visit(ADDRESS, Door::Metadata).unwrap();
        assert!(early.answering().now_or_never().is_none(), "nobody answers yet");
        place.answer(1);
        assert_eq!(early.answering().await.as_deref(), Some(&1));
        drop(place);
        early.ended().await;
        assert!(register.visit(ADDRESS, Door::Metadata).is_none());
    }

    #[tokio::test]
    async fn the_end_of_a_task_leaves_the_next_of_its_address_alone() {
        let register = Register::default();
        let first = register.enter(ADDRESS);
        let mut old = register.visit(ADDRESS, Door::Metadata).unwrap();
        let second = register.enter(ADDRESS);
        second.answer(2);
        drop(first);
        assert_eq!(old.answering().await, None);
        assert_eq!(register.visit(ADDRESS, Door::Metadata).unwrap().answering().await.as_deref(), Some(&2));
    }

    #[test]
    fn the_connections_of_a_task_are_bounded() {
        let register = Register::<()>::default();
        let _places = [register.enter(ADDRESS), register.enter(Ipv4Addr::LOCALHOST)];
        let mut visits: Vec<_> = (0..CONNECTIONS).map(|_| register.visit(ADDRESS, Door::Metadata).unwrap()).collect();
        assert!(register.visit(ADDRESS, Door::Metadata).is_none());
        assert!(register.visit(Ipv4Addr::LOCALHOST, Door::Metadata).is_some());
        assert!(register.visit(ADDRESS, Door::Api).is_some(), "the other door counts for itself");
        visits.pop();
        assert!(register.visit(ADDRESS, Door::Metadata).is_some());
    }
}
