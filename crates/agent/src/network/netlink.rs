//! A netlink socket: many messages out in one send, their acknowledgements back.
//!
//! The socket is blocking and stays bound to the network namespace it was opened in, whatever thread uses it later.
//! That is what makes attaching cheap: no thread changes its namespace on the way. The kernel works a message off inside
//! `send`, so that a blocking exchange costs microseconds and a thread of its own would cost more.
//!
//! Left out: multicast groups and extended error texts.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket};
use nix::sys::time::TimeVal;

/// Bytes of a netlink message header.
const HEADER: usize = 16;
/// `NLMSG_ERROR`: an acknowledgement, or an error when its code is not zero.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
const DONE: u16 = 3;
/// An answer that does not come within this many seconds never will.
const TIMEOUT_SECONDS: i64 = 5;

/// A blocking netlink socket of the namespace it was opened in.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// The first message of an exchange that was refused: its place in the exchange, and why.
pub(super) struct Refusal {
    pub(super) message: usize,
    pub(super) source: io::Error,
}

/// One message received.
struct Received {
    kind: u16,
    sequence: u32,
    start: usize,
    end: usize,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(super) fn open(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::new(TIMEOUT_SECONDS, 0))?;
        Ok(Netlink { socket, sequence: 0, buffer: vec![0; 64 * 1024] })
    }

    /// A fresh sequence number.
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends `bytes` and waits until every message numbered in `sequences` is acknowledged.
    pub(super) fn exchange(&mut self, bytes: &[u8], sequences: &[u32]) -> Result<(), Refusal> {
        self.send(bytes).map_err(|source| Refusal { message: 0, source })?;
        let mut missing = sequences.len();
        while missing > 0 {
            for got in self.receive().map_err(|source| Refusal { message: 0, source })? {
                let Some(message) = sequences.iter().position(|sequence| *sequence == got.sequence) else {
                    continue;
                };
                if got.kind != ERROR {
                    continue;
                }
                if let Some(source) = self.error_of(&got) {
                    return Err(Refusal { message, source });
                }
                missing -= 1;
            }
        }
        Ok(())
    }

    /// Sends one request numbered `sequence` and returns the answers' bytes, headers included.
    /// With `dump` it reads until the dump is done, otherwise it takes one answer.
    pub(super) fn ask(&mut self, bytes: &[u8], sequence: u32, dump: bool) -> io::Result<Vec<Vec<u8>>> {
        self.send(bytes)?;
        let mut answers = Vec::new();
        loop {
            for got in self.receive()?.into_iter().filter(|got| got.sequence == sequence) {
                match got.kind {
                    DONE => return Ok(answers),
                    ERROR => return self.error_of(&got).map_or(Ok(answers), Err),
                    _ => answers.push(self.buffer[got.start..got.end].to_vec()),
                }
            }
            if !dump && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = send(self.socket.as_raw_fd(), bytes, MsgFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Waits for one datagram and says where the messages in it lie.
    fn receive(&mut self) -> io::Result<Vec<Received>> {
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let mut messages = Vec::new();
        let mut start = 0;
        while start + HEADER <= length {
            let size = self.u32_at(start) as usize;
            if size < HEADER || start + size > length {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let kind = u16::from_ne_bytes([self.buffer[start + 4], self.buffer[start + 5]]);
            messages.push(Received { kind, sequence: self.u32_at(start + 8), start, end: start + size });
            start += size.next_multiple_of(4);
        }
        Ok(messages)
    }

    fn error_of(&self, message: &Received) -> Option<io::Error> {
        if message.end < message.start + HEADER + 4 {
            return Some(io::ErrorKind::InvalidData.into());
        }
        let code = self.u32_at(message.start + HEADER).cast_signed();
        (code != 0).then(|| io::Error::from_raw_os_error(-code))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.buffer[at], self.buffer[at + 1], self.buffer[at + 2], self.buffer[at + 3]])
    }
}
