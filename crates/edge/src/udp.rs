//! UDP on a listener of a network load balancer.
//!
//! ```text
//!   client ──► socket of the listener ──► table: flow ──► socket of the flow ──► target
//!          ◄── from the same socket  ◄────────────────────────────────────────── answers
//! ```
//! The datagrams of one client's address and port are a flow, which has one target until nothing has moved for 120 seconds.
//! Then, or when its target has turned unhealthy or its deregistration delay is over, the next datagram begins a new one. A
//! target sees the client's address and port where it can (`docs/decisions/0035`), else the balancer's. Where there is no room for another flow, the listener lets one go that has been quiet.
//! A datagram that cannot be sent on at once is lost.

mod table;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use nix::sys::socket::{MsgFlags, SockaddrStorage, send, sendto};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Task;
use crate::count::{Count, Tally};
use crate::dial::Transport;
use crate::flow::Flow;
use crate::front::Front;
use crate::route::{Ends, Route};
use table::{Entry, Table};

/// How long a flow may be quiet, as AWS has it.
const IDLE: Duration = Duration::from_secs(120);

/// The longest datagram.
const DATAGRAM: usize = 64 * 1024;

/// Answers that a flow passes on before it lets others.
const TURN: usize = 32;

thread_local! {
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM].into_boxed_slice());
}

/// A socket that listens, with its flows.
struct Desk {
    socket: UdpSocket,
    local: SocketAddr,
    fronts: Arc<ArcSwap<Front>>,
    table: Mutex<Table>,
    /// Flows that all listeners have together.
    slots: Arc<Semaphore>,
    idle: Duration,
}

/// Serves a socket until `stop` says that the listener is closed. Its flows end with it.
pub async fn serve(socket: UdpSocket, fronts: Arc<ArcSwap<Front>>, slots: Arc<Semaphore>, stop: watch::Receiver<bool>) {
    let Ok(local) = socket.local_addr() else { return };
    run(Arc::new(Desk { socket, local, fronts, table: Mutex::default(), slots, idle: IDLE }), stop).await;
}

async fn run(desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = desk.receive() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    desk.table.lock().clear();
}

impl Desk {
    async fn receive(self: &Arc<Self>) {
        let mut room = vec![0; DATAGRAM];
        loop {
            match self.socket.recv_from(&mut room).await {
                Ok((count, client)) => self.pass(&room[..count], client),
                Err(error) => {
                    tracing::warn!(%error, "a datagram was not received");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// A client's datagram, to the target of its flow.
    fn pass(self: &Arc<Self>, datagram: &[u8], client: SocketAddr) {
        let known = self.table.lock().touch(client);
        let Some(target) = known.or_else(|| self.begin(client)) else {
            return self.fronts.load().tally.note(Count::RejectedFlow);
        };
        if send(target.as_raw_fd(), datagram, MsgFlags::MSG_DONTWAIT).is_ok() {
            self.fronts.load().tally.add(Count::ProcessedUdp, datagram.len() as u64);
        }
    }

    /// A new flow; `None` if there is no target or no room for it.
    fn begin(self: &Arc<Self>, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        let route = Route::choose(&self.fronts, Ends { transport: Transport::Udp, client, local: self.local })?;
        let slot = self.slot()?;
        let member = route.busy.member();
        let opened = route
            .datagrams()
            .inspect_err(|error| tracing::warn!(%error, target = %member.address(), "a flow was not begun"));
        let target = Arc::new(opened.ok()?);
        let flow = Arc::new(Flow::new());
        let tally = &route.front.tally;
        tally.note(Count::NewFlowUdp);
        let is_open = tally.open(Count::ActiveFlowUdp);
        let mut table = self.table.lock();
        let number = table.next_number();
        let (desk, socket, watched) = (self.clone(), target.clone(), flow.clone());
        let task = tokio::spawn(async move {
            desk.answer(client, &socket, &watched, &route).await;
            // The next flow of this client's may want its port.
            drop(socket);
            desk.table.lock().remove(client, number);
        });
        let entry = Entry::new(number, target.clone(), flow, (slot, is_open, Task(task)));
        table.insert(client, entry);
        Some(target)
    }

    /// Room for one more flow, that of a quiet one of this listener if there is no other.
    fn slot(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok().or_else(|| {
            self.table.lock().evict();
            self.slots.clone().try_acquire_owned().ok()
        })
    }

    /// Passes on what the target says, until the flow ends.
    async fn answer(&self, client: SocketAddr, target: &UdpSocket, flow: &Flow, route: &Route) {
        let tally = &route.front.tally;
        let answers = async {
            while target.readable().await.is_ok() && self.pass_back(client, target, flow, tally) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = answers => {}
            () = flow.idle(self.idle) => {}
            () = route.cut(true) => {}
        }
    }

    /// Passes on what has come; `false` if the target's socket is of no more use.
    fn pass_back(&self, client: SocketAddr, target: &UdpSocket, flow: &Flow, tally: &Tally) -> bool {
        let client = SockaddrStorage::from(client);
        ROOM.with_borrow_mut(|room| {
            for _ in 0..TURN {
                match target.try_recv(room) {
                    Ok(count) => {
                        flow.touch();
                        if sendto(self.socket.as_raw_fd(), &room[..count], &client, MsgFlags::MSG_DONTWAIT).is_ok() {
                            tally.add(Count::ProcessedUdp, count as u64);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    // Nobody listens there, as the target's machine says. Somebody may later.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => {
                        tracing::debug!(%error, "a flow broke");
                        return false;
                    }
                }
            }
            true
        })
    }
}

#[cfg(test)]
mod tests;
