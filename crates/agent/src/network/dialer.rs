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

/// Waits for the thread if the stock has run out, for as long as a socket takes to be made. What could not be made before,
/// perhaps because too many files were open, is passed over: of more results than the stock holds one is of now.
fn take(stock: &Stock) -> io::Result<OwnedFd> {
    let stock = stock.lock();
    let mut failed = io::ErrorKind::BrokenPipe.into();
    for _ in 0..=STOCK {
        match stock.recv() {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failed = error,
            Err(_) => break,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_before_is_passed_over() {
        let (ready, taken) = sync_channel(2 * STOCK);
        let stock = Mutex::new(taken);
        let fail = |times| (0..times).for_each(|_| ready.send(Err(io::ErrorKind::QuotaExceeded.into())).unwrap());
        fail(STOCK);
        let (_, made) = std::os::unix::net::UnixStream::pair().unwrap();
        ready.send(Ok(made.into())).unwrap();
        assert!(take(&stock).is_ok());
        fail(STOCK + 1);
        assert_eq!(take(&stock).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        drop(ready);
        assert_eq!(take(&stock).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
