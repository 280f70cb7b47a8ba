//! A record as it lies in a segment: one line of JSON, with its place in the chain before the event.
//!
//! `{"sequence":7,"time":1714521600000,"previous":"64 hexadecimal digits","event":{…}}`, in this spelling alone. Its hash
//! is SHA-256 of the line without the line feed, and is what the next line has as `previous`: whoever changes a record
//! changes its hash.

use std::fmt;
use std::io::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// What a record is chained by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Before the first record.
    pub const GENESIS: Hash = Hash([0; 32]);

    /// Of a line without its line feed.
    pub(super) fn of(line: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, line).as_ref());
        Self(hash)
    }

    /// From 64 small hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits: &[u8; 64] = text.try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(hash))
    }

    fn digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        digits
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn nibble(digit: u8) -> Option<u8> {
    DIGITS.iter().position(|one| *one == digit).map(|at| at as u8)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A record, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1, without gaps.
    pub sequence: u64,
    /// Milliseconds since the epoch.
    pub time: i64,
    /// Hash of the record before.
    pub previous: Hash,
    /// JSON.
    pub event: &'a [u8],
}

impl<'a> Line<'a> {
    /// `None` unless `line` (without its line feed) is one in our spelling.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (sequence, rest) = number(line.strip_prefix(b"{\"sequence\":")?)?;
        let (time, rest) = number(rest.strip_prefix(b",\"time\":")?)?;
        let rest = rest.strip_prefix(b",\"previous\":\"")?;
        let (hash, rest) = rest.split_at_checked(64)?;
        let event = rest.strip_prefix(b"\",\"event\":")?.strip_suffix(b"}")?;
        let whole = event.first() == Some(&b'{') && event.last() == Some(&b'}');
        whole.then_some(Self { sequence, time, previous: Hash::parse(hash)?, event })
    }

    /// The time in a line of which only the beginning is there.
    pub(super) fn time(beginning: &[u8]) -> Option<i64> {
        let (_, rest) = number::<u64>(beginning.strip_prefix(b"{\"sequence\":")?)?;
        number(rest.strip_prefix(b",\"time\":")?).map(|(time, _)| time)
    }

    /// Adds the line to `out`, with its line feed, and returns its hash.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Hash {
        let start = out.len();
        // Writing to a vector cannot fail.
        let _ = write!(out, "{{\"sequence\":{},\"time\":{},\"previous\":\"", self.sequence, self.time);
        out.extend_from_slice(&self.previous.digits());
        out.extend_from_slice(b"\",\"event\":");
        out.extend_from_slice(self.event);
        out.push(b'}');
        let hash = Hash::of(&out[start..]);
        out.push(b'\n');
        hash
    }
}

/// A whole number in its shortest form, and what follows it.
fn number<T: std::str::FromStr + ToString>(text: &[u8]) -> Option<(T, &[u8])> {
    let end = text.iter().position(|byte| *byte != b'-' && !byte.is_ascii_digit())?;
    let digits = std::str::from_utf8(&text[..end]).ok()?;
    let number: T = digits.parse().ok()?;
    (number.to_string() == digits).then_some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let line = Line { sequence: 7, time: -3, previous: Hash::of(b"x"), event: b"{\"a\":1}" };
        let mut out = Vec::new();
        let hash = line.write(&mut out);
        let text = out.strip_suffix(b"\n").unwrap();
        assert_eq!((Line::parse(text), Hash::of(text)), (Some(line), hash));
        assert_eq!(Hash::parse(hash.to_string().as_bytes()), Some(hash));
        for at in 0..text.len() - line.event.len() - 1 {
            let mut other = text.to_vec();
            other[at] ^= 0x20;
            assert_ne!(Line::parse(&other), Some(line), "{at}");
        }
        for bad in [&b""[..], b"{}", &text[1..], &text[..text.len() - 1], b"{\"sequence\":07,\"time\":0"] {
            assert_eq!(Line::parse(bad), None);
        }
    }
}
