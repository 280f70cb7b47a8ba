//! The socket of a supervisor: several clients, lines in, lines out, never waiting for any of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::error::{Error, Result};
use crate::protocol::{Message, Reply, Request};

/// A line longer than this ends the connection.
const LARGEST_LINE: usize = 1 << 20;
/// A client that leaves this much unread is let go; it gets a snapshot when it comes back.
const LARGEST_BACKLOG: usize = 4 << 20;

/// The listener and the clients that are connected.
pub struct Server {
    listener: UnixListener,
    clients: BTreeMap<u64, Client>,
    next: u64,
}

struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Server {
    /// Listens at a path, for root only. The caller holds the directory, so a socket that is there is nobody's.
    pub fn bind(path: &Path) -> Result<Server> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).map_err(Error::file("listen at", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Error::file("protect", path))?;
        listener.set_nonblocking(true).map_err(Error::file("listen at", path))?;
        Ok(Server { listener, clients: BTreeMap::new(), next: 0 })
    }

    /// Takes a connected stream as a client.
    pub fn adopt(&mut self, stream: UnixStream, greeting: &Message) {
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let id = self.next;
        self.next += 1;
        self.clients.insert(id, Client { stream, input: Vec::new(), output: Vec::new() });
        self.send(id, greeting);
    }

    /// Takes whoever waits at the door.
    pub fn accept(&mut self, greeting: &Message) {
        while let Ok((stream, _)) = self.listener.accept() {
            self.adopt(stream, greeting);
        }
    }

    /// What clients have asked since the last time. Lines that are no request are answered here.
    pub fn requests(&mut self) -> Vec<(u64, Request)> {
        let mut requests = Vec::new();
        let mut refusals = Vec::new();
        self.clients.retain(|id, client| {
            let open = client.fill();
            for line in client.lines() {
                match serde_json::from_slice::<Request>(&line) {
                    Ok(request) => requests.push((*id, request)),
                    Err(e) => refusals.push((*id, format!("not a request: {e}"))),
                }
            }
            open
        });
        for (id, reason) in refusals {
            self.send(id, &Message::Reply { id: 0, reply: Reply::Refused { reason } });
        }
        requests
    }

    /// Sends to one client; gone clients are no matter.
    pub fn send(&mut self, id: u64, message: &Message) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if !client.queue(message) {
            self.clients.remove(&id);
        }
    }

    /// Sends to all clients.
    pub fn broadcast(&mut self, message: &Message) {
        self.clients.retain(|_, client| client.queue(message));
    }

    /// Sends what could not be sent before.
    pub fn flush(&mut self) {
        self.clients.retain(|_, client| client.flush());
    }

    /// Descriptors to wait for, and whether to wait for room to write too.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let clients = self.clients.values().map(|client| (client.stream.as_fd(), !client.output.is_empty()));
        std::iter::once((self.listener.as_fd(), false)).chain(clients)
    }
}

impl Client {
    /// Reads what is there; false when the client has gone. A half-closed client still gets its lines read.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => self.input.extend_from_slice(&chunk[..length]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
            if self.input.len() > LARGEST_LINE {
                return false;
            }
        }
    }

    fn lines(&mut self) -> Vec<Vec<u8>> {
        let Some(end) = self.input.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.input.split_off(end + 1);
        let whole = std::mem::replace(&mut self.input, rest);
        whole.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    fn queue(&mut self, message: &Message) -> bool {
        // The types of a message have no form that JSON cannot hold.
        let Ok(mut line) = serde_json::to_vec(message) else {
            return false;
        };
        line.push(b'\n');
        self.output.append(&mut line);
        self.flush() && self.output.len() <= LARGEST_BACKLOG
    }

    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return false,
                Ok(length) => drop(self.output.drain(..length)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}
