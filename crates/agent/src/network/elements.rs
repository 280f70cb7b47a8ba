//! Elements of the router's nftables set and maps, by nfnetlink: what changes when a task comes or goes.
//!
//! One long-lived socket and one transaction a task, because starting `nft` would cost more than all the rest of an attach.
//! The rules themselves are text for `nft` (see `rules`).

use std::net::Ipv4Addr;

use nix::libc::{EEXIST, ENOENT};
use nix::sys::socket::SockProtocol;

use super::error::{Doing, Error};
use super::netlink::{Netlink, Refusal};
use super::rules::{GUARD, GUARD_SET, PUBLIC_IN, PUBLIC_OUT, ROUTER};

/// Families of tables.
const INET: u8 = 1;
const BRIDGE: u8 = 7;
/// Message types: the frame of a transaction, and the two operations on elements of the nftables subsystem.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENTS: u16 = SUBSYSTEM << 8 | 14;
/// Message flags.
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
/// Attributes of an element message, of an element, and of data.
const TABLE: u16 = 1;
const SET: u16 = 2;
const ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;
const NESTED: u16 = 0x8000;
/// Elements in one message: attribute lengths have 16 bits.
const CHUNK: usize = 500;

/// What the rules need to know of one ENI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The index of its port of the bridge.
    pub(super) port: u32,
    pub(super) mac: [u8; 6],
    pub(super) private: Ipv4Addr,
    pub(super) public: Option<Ipv4Addr>,
}

/// The set and maps of the router namespace this was opened in.
pub(super) struct Elements {
    netlink: Netlink,
}

/// A set or map.
#[derive(Clone, Copy)]
enum Table {
    Guard,
    PublicIn,
    PublicOut,
}

const TABLES: [Table; 3] = [Table::Guard, Table::PublicIn, Table::PublicOut];

/// A key, with a value if the table is a map.
type Pair = (Vec<u8>, Option<Vec<u8>>);

/// One message of a transaction; without pairs a deletion empties the table.
struct Change {
    kind: u16,
    table: Table,
    pairs: Vec<Pair>,
}

impl Elements {
    /// Opens the calling thread's namespace.
    pub(super) fn open() -> Result<Self, Error> {
        let netlink = Netlink::open(SockProtocol::NetlinkNetFilter).doing(|| "open a netfilter socket".into())?;
        Ok(Elements { netlink })
    }

    /// Lets an ENI's packets through. Fine if it is there already with the same values.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), Error> {
        self.commit(&changes(NEW_ELEMENTS, std::slice::from_ref(entry))).map_err(|refusal| match refusal {
            refusal if refusal.source.raw_os_error() == Some(EEXIST) => {
                Error::Refused(format!("address {} is another ENI's", entry.public.unwrap_or(entry.private)))
            }
            refusal => Error::system("add elements to the router's tables", refusal.source),
        })
    }

    /// Stops an ENI's packets. What is not there is passed over.
    pub(super) fn remove(&mut self, entry: &Entry) -> Result<(), Error> {
        let changes = changes(DELETE_ELEMENTS, std::slice::from_ref(entry));
        let doing = "remove elements from the router's tables";
        match self.commit(&changes) {
            Err(refusal) if refusal.source.raw_os_error() == Some(ENOENT) => {}
            other => return other.map_err(|refusal| Error::system(doing, refusal.source)),
        }
        for change in &changes {
            match self.commit(std::slice::from_ref(change)) {
                Err(refusal) if refusal.source.raw_os_error() != Some(ENOENT) => {
                    return Err(Error::system(doing, refusal.source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes `entries` all there is, in one transaction.
    pub(super) fn replace(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let emptied = TABLES.map(|table| Change { kind: DELETE_ELEMENTS, table, pairs: Vec::new() });
        let mut all: Vec<Change> = emptied.into();
        for chunk in entries.chunks(CHUNK) {
            all.extend(changes(NEW_ELEMENTS, chunk));
        }
        self.commit(&all).map_err(|refusal| Error::system("replace the router's elements", refusal.source))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Refusal> {
        let mut bytes = Vec::with_capacity(512);
        let frame = |bytes: &mut Vec<u8>, kind, sequence| {
            message(bytes, kind, REQUEST, sequence, [0, 0, (SUBSYSTEM >> 8) as u8, SUBSYSTEM as u8], |_| {});
        };
        frame(&mut bytes, BATCH_BEGIN, self.netlink.next_sequence());
        let mut sequences = Vec::with_capacity(changes.len());
        for change in changes {
            let sequence = self.netlink.next_sequence();
            change.write(&mut bytes, sequence);
            sequences.push(sequence);
        }
        frame(&mut bytes, BATCH_END, self.netlink.next_sequence());
        self.netlink.exchange(&bytes, &sequences)
    }
}

impl Table {
    fn family(self) -> u8 {
        match self {
            Table::Guard => BRIDGE,
            Table::PublicIn | Table::PublicOut => INET,
        }
    }

    /// The names of the table and of the set in it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Table::Guard => (GUARD, GUARD_SET),
            Table::PublicIn => (ROUTER, PUBLIC_IN),
            Table::PublicOut => (ROUTER, PUBLIC_OUT),
        }
    }

    fn pair(self, entry: &Entry) -> Option<Pair> {
        let private = entry.private.octets().to_vec();
        let public = entry.public.map(|ip| ip.octets().to_vec());
        match self {
            Table::Guard => Some((guard_key(entry), None)),
            Table::PublicIn => public.map(|public| (public, Some(private))),
            Table::PublicOut => public.map(|public| (private, Some(public))),
        }
    }
}

impl Change {
    fn write(&self, bytes: &mut Vec<u8>, sequence: u32) {
        let flags = REQUEST | ACKNOWLEDGE | if self.kind == NEW_ELEMENTS { CREATE } else { 0 };
        let (table, set) = self.table.names();
        message(bytes, self.kind, flags, sequence, [self.table.family(), 0, 0, 0], |bytes| {
            attribute(bytes, TABLE, |bytes| text(bytes, table));
            attribute(bytes, SET, |bytes| text(bytes, set));
            if !self.pairs.is_empty() {
                attribute(bytes, ELEMENTS | NESTED, |bytes| self.pairs.iter().for_each(|pair| element(bytes, pair)));
            }
        });
    }
}

/// One message for each table that the entries touch.
fn changes(kind: u16, entries: &[Entry]) -> Vec<Change> {
    let change = |table: Table| {
        let pairs: Vec<Pair> = entries.iter().filter_map(|entry| table.pair(entry)).collect();
        (!pairs.is_empty()).then_some(Change { kind, table, pairs })
    };
    TABLES.into_iter().filter_map(change).collect()
}

/// Port, hardware address, IPv4 address; each field fills whole registers of four bytes.
fn guard_key(entry: &Entry) -> Vec<u8> {
    let mut key = entry.port.to_ne_bytes().to_vec();
    key.extend(entry.mac);
    key.extend([0, 0]);
    key.extend(entry.private.octets());
    key
}

fn element(bytes: &mut Vec<u8>, (key, data): &Pair) {
    attribute(bytes, ELEMENT | NESTED, |bytes| {
        value(bytes, KEY, key);
        if let Some(data) = data {
            value(bytes, DATA, data);
        }
    });
}

fn value(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    attribute(bytes, kind | NESTED, |bytes| attribute(bytes, VALUE, |bytes| bytes.extend(value)));
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// Writes an attribute: length and kind, what `body` writes, padding to four bytes.
fn attribute(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0, 0]);
    bytes.extend(kind.to_ne_bytes());
    body(bytes);
    let length = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Writes a message: netlink header, nfnetlink header (family, version, resource), what `body` writes.
fn message(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, head: [u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(head);
    body(bytes);
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_key_is_three_padded_fields() {
        let entry = Entry {
            port: 9,
            mac: [2, 0x11, 0x22, 0x33, 0x44, 0x55],
            private: Ipv4Addr::new(10, 1, 2, 3),
            public: None,
        };
        let key = guard_key(&entry);
        assert_eq!(key[..4], 9u32.to_ne_bytes());
        assert_eq!(key[4..], [2, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0, 10, 1, 2, 3]);
    }

    #[test]
    fn the_largest_message_fits_its_length_field() {
        let entry = Entry { port: 9, mac: [2; 6], private: Ipv4Addr::LOCALHOST, public: Some(Ipv4Addr::LOCALHOST) };
        for change in changes(NEW_ELEMENTS, &vec![entry; CHUNK]) {
            let mut bytes = Vec::new();
            change.write(&mut bytes, 1);
            assert!(bytes.len() < usize::from(u16::MAX), "{}", bytes.len());
        }
    }

    #[test]
    fn an_eni_without_public_address_touches_the_guard_alone() {
        let entry = Entry { port: 9, mac: [2; 6], private: Ipv4Addr::LOCALHOST, public: None };
        assert_eq!(changes(NEW_ELEMENTS, &[entry]).len(), 1);
        let public = Entry { public: Some(Ipv4Addr::LOCALHOST), ..entry };
        assert_eq!(changes(NEW_ELEMENTS, &[public]).len(), 3);
    }
}
