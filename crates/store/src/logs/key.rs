//! Keys, so built that their byte order is the order wanted.

use std::fmt;

/// A place between events, in order of time and, within one millisecond, of arrival.
///
/// A position is a boundary: what follows it is not before it, so a reader that goes on from `after` the last event it
/// saw misses nothing and sees nothing twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Milliseconds since the epoch.
    pub timestamp: u64,
    pub sequence: u64,
}

impl Position {
    /// Before every event of `millis` and later. Times before the epoch are the epoch: no event is older.
    pub fn at(millis: i64) -> Self {
        Self { timestamp: u64::try_from(millis).unwrap_or(0), sequence: 0 }
    }

    pub const END: Self = Self { timestamp: u64::MAX, sequence: u64::MAX };

    /// The boundary right behind the event at this place.
    pub fn after(self) -> Self {
        Self { timestamp: self.timestamp, sequence: self.sequence.saturating_add(1) }
    }
}

/// Names an event for good: 56 decimal digits that rise with time and arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    pub position: Position,
    pub stream: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { timestamp, sequence } = self.position;
        write!(to, "3{timestamp:019}{sequence:020}{:016}", self.stream)
    }
}

/// A key of `events` (owner: group) or `index` (owner: stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventKey {
    pub owner: u64,
    pub position: Position,
}

impl EventKey {
    pub const LEN: usize = 24;

    pub fn new(owner: u64, position: Position) -> Self {
        Self { owner, position }
    }

    pub fn bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.owner.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.position.timestamp.to_be_bytes());
        bytes[16..].copy_from_slice(&self.position.sequence.to_be_bytes());
        bytes
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LEN {
            return None;
        }
        let position = Position { timestamp: number(&bytes[8..])?, sequence: number(&bytes[16..])? };
        Some(Self::new(number(bytes)?, position))
    }
}

/// The number that `bytes` begin with.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// Keys of `records`: a tag, then what it is about.
pub(super) mod record {
    fn key(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = vec![tag];
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// The next free number, of streams, groups and events alike.
    pub const COUNTER: &[u8] = b"c";

    pub const GROUPS: &[u8] = b"g";
    pub fn group(uid: &str) -> Vec<u8> {
        key(b'g', &[uid.as_bytes()])
    }

    pub fn streams(group: u64) -> Vec<u8> {
        key(b's', &[&group.to_be_bytes()])
    }
    pub fn stream(group: u64, name: &str) -> Vec<u8> {
        key(b's', &[&group.to_be_bytes(), name.as_bytes()])
    }

    /// The name of the stream of this number.
    pub fn name(stream: u64) -> Vec<u8> {
        key(b'n', &[&stream.to_be_bytes()])
    }

    pub fn pumps(stream: u64) -> Vec<u8> {
        key(b'p', &[&stream.to_be_bytes()])
    }
    pub fn pump(stream: u64, pump: &str) -> Vec<u8> {
        key(b'p', &[&stream.to_be_bytes(), pump.as_bytes()])
    }

    /// A deleted stream whose events are still to be purged.
    pub const DEAD_STREAMS: &[u8] = b"d";
    pub fn dead_stream(stream: u64) -> Vec<u8> {
        key(b'd', &[&stream.to_be_bytes()])
    }

    /// A deleted group of which all is still to be purged.
    pub const DEAD_GROUPS: &[u8] = b"D";
    pub fn dead_group(uid: &str) -> Vec<u8> {
        key(b'D', &[uid.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_has_56_digits_and_rises() {
        let id = |timestamp, sequence| {
            let position = Position { timestamp, sequence };
            EventId { position, stream: 7 }.to_string()
        };
        assert_eq!(id(1_700_000_000_000, 12).len(), 56);
        assert!(id(1, 9) < id(1, 10) && id(1, 10) < id(2, 1));
    }

    #[test]
    fn a_key_reads_back_and_orders_by_owner_then_time_then_arrival() {
        let key = |owner, timestamp, sequence| EventKey::new(owner, Position { timestamp, sequence });
        let keys = [key(1, 5, 2), key(1, 5, 300), key(1, 256, 0), key(2, 0, 0), key(256, 0, 0)];
        assert!(keys.is_sorted_by_key(|key| key.bytes()));
        assert!(keys.iter().all(|key| EventKey::parse(&key.bytes()) == Some(*key)));
        assert_eq!(EventKey::parse(b"short"), None);
    }
}
