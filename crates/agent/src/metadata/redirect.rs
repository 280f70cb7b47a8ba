//! How requests to port 80 find the endpoint without it holding port 80.
//!
//! A program in the task that listens on every address takes port 80 of 169.254.170.2 too, and could not if somebody
//! listened there. So the endpoint listens on a port of its own, and one rule of the task's namespace sends what goes
//! to port 80 of that address there. The rule lives and ends with the namespace. It is written as one nfnetlink batch,
//! which costs microseconds; starting `nft` would cost milliseconds in the way of every task.
//!
//! ```text
//!   table ip metadata { chain asking { type nat hook output priority -100; policy accept;
//!       ip daddr 169.254.170.2 tcp dport 80 dnat to 169.254.170.2:51679 } }
//! ```

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{METADATA_ADDRESS, PORT, PUBLIC_PORT};

/// Puts the rule into a task's namespace.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel refuses.
pub(crate) async fn redirect(netns: OwnedFd) -> io::Result<()> {
    let applied = tokio::task::spawn_blocking(move || {
        // The thread has entered another namespace and must not be used again: it ends here.
        let inside = std::thread::spawn(move || {
            setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)?;
            apply()
        });
        inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace of the task panicked")))
    });
    applied.await.map_err(io::Error::other)?
}

/// Sends the batch in the calling thread's namespace and waits for the kernel's word on it.
fn apply() -> io::Result<()> {
    let kernel = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)?;
    setsockopt(&kernel, ReceiveTimeout, &TimeVal::seconds(5))?;
    sendto(kernel.as_raw_fd(), &batch(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 8192];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    verdict(&answer[..length])
}

/// The first message of an answer: zero, or the negative number of an error.
fn verdict(answer: &[u8]) -> io::Result<()> {
    const ERROR: u16 = 2;
    let kind = answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let number = answer.get(16..20).map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    match (kind, number) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(number)) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        _ => Err(io::Error::other("the kernel's answer to the rule does not read")),
    }
}

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFTABLES: u16 = 10;
const NEW_TABLE: u16 = NFTABLES << 8;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const NEW_RULE: u16 = NFTABLES << 8 | 6;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const TABLE: &str = "metadata";
const CHAIN: &str = "asking";
const INET: u8 = 2;
const TCP: u8 = 6;

/// Table, chain and rule, of which the kernel takes all or nothing.
fn batch() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    message(&mut bytes, BATCH_BEGIN, REQUEST, 0, |_| {});
    message(&mut bytes, NEW_TABLE, REQUEST | CREATE, INET, |body| text(body, 1, TABLE));
    message(&mut bytes, NEW_CHAIN, REQUEST | CREATE, INET, |body| {
        text(body, 1, TABLE);
        text(body, 3, CHAIN);
        nested(body, 4, |hook| {
            number(hook, 1, 3);
            attribute(hook, 2, &(-100i32).to_be_bytes());
        });
        number(body, 5, 1);
        text(body, 7, "nat");
    });
    message(&mut bytes, NEW_RULE, REQUEST | CREATE | APPEND | ACKNOWLEDGE, INET, |body| {
        text(body, 1, TABLE);
        text(body, 2, CHAIN);
        nested(body, 4, expressions);
    });
    message(&mut bytes, BATCH_END, REQUEST, 0, |_| {});
    bytes
}

/// What the rule compares, and what it does.
fn expressions(list: &mut Vec<u8>) {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    let address = METADATA_ADDRESS.octets();
    load(list, NETWORK, 16, 4);
    compare(list, &address);
    expression(list, "meta", |data| {
        number(data, 1, 1);
        number(data, 2, 16);
    });
    compare(list, &[TCP]);
    load(list, TRANSPORT, 2, 2);
    compare(list, &PUBLIC_PORT.to_be_bytes());
    immediate(list, 1, &address);
    immediate(list, 2, &PORT.to_be_bytes());
    expression(list, "nat", |data| {
        number(data, 1, 1);
        number(data, 2, u32::from(INET));
        number(data, 3, 1);
        number(data, 5, 2);
    });
}

/// Part of the packet into register 1.
fn load(list: &mut Vec<u8>, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        for (kind, value) in [(1, 1), (2, base), (3, offset), (4, length)] {
            number(data, kind, value);
        }
    });
}

/// Goes on only if register 1 is this.
fn compare(list: &mut Vec<u8>, value: &[u8]) {
    expression(list, "cmp", |data| {
        number(data, 1, 1);
        number(data, 2, 0);
        nested(data, 3, |inner| attribute(inner, 1, value));
    });
}

fn immediate(list: &mut Vec<u8>, register: u32, value: &[u8]) {
    expression(list, "immediate", |data| {
        number(data, 1, register);
        nested(data, 2, |inner| attribute(inner, 1, value));
    });
}

fn expression(list: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nested(list, 1, |element| {
        text(element, 1, name);
        nested(element, 2, data);
    });
}

/// One message: netlink's header, nfnetlink's, attributes.
fn message(bytes: &mut Vec<u8>, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    let resource = if kind < NEW_TABLE { NFTABLES } else { 0 };
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    body(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

fn nested(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    const NESTED: u16 = 0x8000;
    let mut inner = Vec::new();
    body(&mut inner);
    attribute(bytes, kind | NESTED, &inner);
}

fn text(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    let mut value = text.as_bytes().to_vec();
    value.push(0);
    attribute(bytes, kind, &value);
}

fn number(bytes: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(bytes, kind, &value.to_be_bytes());
}

/// One attribute, filled up to a multiple of four.
fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_the_batch_fits_its_length() {
        let bytes = batch();
        let (mut at, mut kinds) = (0, Vec::new());
        while at < bytes.len() {
            let length = u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            kinds.push(u16::from_ne_bytes(bytes[at + 4..at + 6].try_into().unwrap()));
            assert!(length >= 20 && length.is_multiple_of(4), "{length}");
            at += length;
        }
        assert_eq!((at, kinds), (bytes.len(), vec![BATCH_BEGIN, NEW_TABLE, NEW_CHAIN, NEW_RULE, BATCH_END]));
    }

    #[test]
    fn the_kernels_word_is_read() {
        let answer = |kind: u16, number: i32| {
            let mut bytes = vec![0; 20];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&number.to_ne_bytes());
            verdict(&bytes)
        };
        assert!(answer(2, 0).is_ok());
        assert_eq!(answer(2, -1).unwrap_err().raw_os_error(), Some(1));
        assert!(answer(3, 0).is_err() && verdict(&[]).is_err());
    }
}
