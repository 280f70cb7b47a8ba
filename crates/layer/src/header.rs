//! A header block: fields at fixed places, in four forms.

use std::io;

use crate::Refused;

pub(crate) const BLOCK: usize = 512;
/// What archivers write into a header that has no room for a size.
pub(crate) const FULL: u64 = 0o77_777_777_777;

/// A header block whose checksum is right.
pub(crate) struct Header([u8; BLOCK]);

/// Which fields there are behind the first ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// None.
    Old,
    Posix,
    Star,
    Gnu,
}

impl Header {
    pub(crate) fn read(block: [u8; BLOCK]) -> io::Result<Self> {
        let header = Self(block);
        if header.is_sound() { Ok(header) } else { Err(Refused("it is no tar archive, or damaged").into()) }
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    pub(crate) fn mode(&self) -> io::Result<u64> {
        self.number(100, 8)
    }

    pub(crate) fn uid(&self) -> io::Result<u64> {
        self.number(108, 8)
    }

    pub(crate) fn gid(&self) -> io::Result<u64> {
        self.number(116, 8)
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        self.number(124, 12)
    }

    pub(crate) fn link(&self) -> &[u8] {
        text(&self.0[157..257])
    }

    /// Major and minor number.
    pub(crate) fn device(&self) -> io::Result<(u64, u64)> {
        match self.form() {
            Form::Old => Ok((0, 0)),
            _ => Ok((self.number(329, 8)?, self.number(337, 8)?)),
        }
    }

    /// With the prefix, in the forms that have one.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        match self.prefix() {
            b"" => name.to_vec(),
            prefix => [prefix, name].join(&b'/'),
        }
    }

    fn prefix(&self) -> &[u8] {
        match self.form() {
            Form::Old => b"",
            Form::Posix => text(&self.0[345..500]),
            Form::Star => text(&self.0[345..476]),
            Form::Gnu => self.prefix_for_times(),
        }
    }

    /// GNU's form has times where others have the prefix. Go wrote one there once, and reads it where there are no times.
    fn prefix_for_times(&self) -> &[u8] {
        let is_time = |at: usize| self.0[at] == 0 || number(&self.0[at..at + 12]).is_some();
        let prefix = text(&self.0[345..500]);
        if is_time(345) && is_time(357) || !prefix.is_ascii() { b"" } else { prefix }
    }

    fn form(&self) -> Form {
        match (&self.0[257..263], &self.0[263..265], &self.0[508..512]) {
            (b"ustar\0", _, b"tar\0") => Form::Star,
            (b"ustar\0", ..) => Form::Posix,
            (b"ustar ", b" \0", _) => Form::Gnu,
            _ => Form::Old,
        }
    }

    /// Whether blocks follow that say where the pieces of a sparse file of GNU's form are.
    pub(crate) fn has_map(&self) -> io::Result<bool> {
        match self.form() {
            Form::Gnu => Ok(self.0[482] != 0),
            _ => Err(Refused("a sparse file is of no form that is known").into()),
        }
    }

    fn number(&self, at: usize, length: usize) -> io::Result<u64> {
        let number = number(&self.0[at..at + length]).filter(|number| *number >= 0);
        number.map(i64::unsigned_abs).ok_or_else(|| Refused("a number of a header does not read").into())
    }

    /// Whether the checksum is right, with bytes counted as unsigned or, as old archivers did, as signed.
    fn is_sound(&self) -> bool {
        let byte = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *byte };
        let bytes = || self.0.iter().enumerate().map(byte);
        let unsigned = || bytes().map(i64::from).sum::<i64>();
        let signed = || bytes().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
        octal(&self.0[148..156]).is_some_and(|sum| sum == unsigned() || sum == signed())
    }
}

/// Octal digits between spaces and zeros, or a number of base 256.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 == 0 { octal(field) } else { binary(field) }
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_end = |byte: &u8| matches!(byte, b' ' | 0);
    let from = field.iter().position(|byte| !is_end(byte)).unwrap_or(field.len());
    let to = field.iter().rposition(|byte| !is_end(byte)).map_or(from, |last| last + 1);
    text(&field[from..to]).iter().try_fold(0_i64, |number, byte| match byte {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// Two's complement but for the first bit, which is the mark of such numbers.
fn binary(field: &[u8]) -> Option<i64> {
    let first = i64::from(field[0] & 0x7f);
    let first = if first & 0x40 == 0 { first } else { first - 0x80 };
    field[1..].iter().try_fold(first, |number, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)))
}

/// Up to the first zero.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
