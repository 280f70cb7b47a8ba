//! Sockets of the router's namespace for the edge, which reaches targets as the VPC's router does: a task sees its subnet's
//! gateway as the client, or the client itself (see `preserve`).
//!
//! A socket belongs to the namespace of the thread that made it, and no worker of the runtime may leave the host's. So a
//! thread in the router's namespace keeps a stock of fresh sockets ready, and whoever connects one needs no thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use longshore_edge::{Dialer, Transport};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use parking_lot::Mutex;

use super::error::{Doing, Error};
use super::names::Names;
use super::namespace;
use super::preserve::{self, Reach};

/// Sockets that are ready, of each transport.
const STOCK: usize = 64;

/// What makes the sockets; `reach` is there if it may show targets the clients' addresses. The threads end when the last clone
/// of it is dropped.
pub(super) fn start(names: &Names, reach: Option<Reach>) -> Result<Dialer, Error> {
    let plain = Arc::new(Stocks { tcp: stock(names, SockType::Stream)?, udp: stock(names, SockType::Datagram)? });
    let dressed = plain.clone();
    let dialer = Dialer::by(move |transport| plain.take(transport));
    let Some(reach) = reach else { return Ok(dialer) };
    let can = move |ends, target| reach.shows(ends, target);
    Ok(dialer.showing(can, move |transport| {
        let socket = dressed.take(transport)?;
        preserve::dress(&socket)?;
        Ok(socket)
    }))
}

type Stock = Mutex<Receiver<io::Result<OwnedFd>>>;

struct Stocks {
    tcp: Stock,
    udp: Stock,
}

impl Stocks {
    fn take(&self, transport: Transport) -> io::Result<OwnedFd> {
        match transport {
            Transport::Tcp => take(&self.tcp),
            Transport::Udp => take(&self.udp),
        }
    }
}

fn stock(names: &Names, kind: SockType) -> Result<Stock, Error> {
    let gone = || Error::system("reach the router", io::Error::from(io::ErrorKind::NotFound));
    let netns = namespace::pinned(&names.router())?.ok_or_else(gone)?;
    let (ready, taken) = sync_channel(STOCK);
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let work = move || {
        if let Err(error) = setns(netns.as_fd(), CloneFlags::CLONE_NEWNET) {
            let _ = ready.send(Err(error.into()));
            return;
        }
        while ready.send(socket(AddressFamily::Inet, kind, flags, None).map_err(io::Error::from)).is_ok() {}
    };
    thread::Builder::new().name("edge-sockets".into()).spawn(work).doing(|| "start a thread".to_owned())?;
    Ok(Mutex::new(taken))
}

/// Waits for the thread if the stock has run out, for as long as a socket takes to be made.
fn take(stock: &Stock) -> io::Result<OwnedFd> {
    stock.lock().recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}
