//! The boundaries of a body in chunks, by the letter of RFC 9112. Pure.
//!
//! ```text
//!   size [;extension] CRLF data CRLF … 0 CRLF [trailer CRLF]… CRLF
//! ```
//! Whatever else some reader might take (a sign, `0x`, a bare LF or CR, spaces before the size) is a fault.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of one line: a size with its extensions, or a trailer; trailers together have no more either.
const LINE: usize = 8 * 1024;

/// Hexadecimal digits of a size.
const DIGITS: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    /// After the CR of a size line.
    SizeEnd,
    Data,
    /// After a chunk's data: CR, then LF.
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    Trailer,
    InTrailer,
    TrailerEnd,
    LastLf,
    Done,
}

/// Follows a body.
#[derive(Clone, Debug)]
pub struct Chunks {
    at: At,
    /// Bytes that are left of the chunk, or its size so far.
    left: u64,
    digits: usize,
    line: usize,
}

/// A body that is not of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl Chunks {
    pub fn new() -> Self {
        Self { at: At::Size, left: 0, digits: 0, line: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Takes the next data out of what came; `None` if more has to come, or the body is done.
    ///
    /// # Errors
    /// [`Fault`], after which nothing is known of where the body ends.
    pub fn take(&mut self, came: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        let mut read = 0;
        while self.at != At::Data && !self.is_done() && read < came.len() {
            self.step(came[read])?;
            read += 1;
        }
        came.advance(read);
        if self.at != At::Data || came.is_empty() {
            return Ok(None);
        }
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(came.len());
        self.left -= u64::try_from(taken).unwrap_or(self.left);
        if self.left == 0 {
            self.at = At::DataCr;
        }
        Ok(Some(came.split_to(taken).freeze()))
    }

    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        self.line += 1;
        if self.line > LINE {
            return Err(Fault);
        }
        self.at = match (self.at, byte) {
            (At::Size, digit) if digit.is_ascii_hexdigit() && self.digits < DIGITS => self.digit(digit),
            (At::Size, b'\r') if self.digits > 0 => At::SizeEnd,
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, byte) if is_text(byte) => At::Extension,
            (At::SizeEnd, b'\n') => self.size_read(),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => self.next_size(),
            (At::Trailer, b'\r') => At::LastLf,
            (At::Trailer, byte) if byte.is_ascii_alphanumeric() => At::InTrailer,
            (At::InTrailer, b'\r') => At::TrailerEnd,
            (At::InTrailer, byte) if is_text(byte) => At::InTrailer,
            (At::TrailerEnd, b'\n') => At::Trailer,
            (At::LastLf, b'\n') => At::Done,
            _ => return Err(Fault),
        };
        Ok(())
    }

    fn digit(&mut self, digit: u8) -> At {
        self.digits += 1;
        self.left = self.left * 16 + u64::from(char::from(digit).to_digit(16).unwrap_or(0));
        At::Size
    }

    fn size_read(&mut self) -> At {
        self.line = 0;
        if self.left == 0 { At::Trailer } else { At::Data }
    }

    fn next_size(&mut self) -> At {
        (self.digits, self.line, self.left) = (0, 0, 0);
        At::Size
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that belong to the body; fewer than came are its end.
    fn read(chunks: &mut Chunks, bytes: &[u8]) -> Result<usize, Fault> {
        let mut came = BytesMut::from(bytes);
        while chunks.take(&mut came)?.is_some() {}
        Ok(bytes.len() - came.len())
    }

    #[test]
    fn a_body_in_chunks_ends_where_it_ends() {
        let cases: &[(&str, Result<usize, Fault>)] = &[
            ("5\r\nhello\r\n0\r\n\r\n", Ok(15)),
            ("5\r\nhello\r\n0\r\n\r\nGET /", Ok(15)),
            ("0\r\n\r\n", Ok(5)),
            ("A;a=b\r\n0123456789\r\n0\r\nx: y\r\n\r\n", Ok(30)),
            ("000\r\n\r\n", Ok(7)),
        ];
        for (text, expected) in cases {
            let mut chunks = Chunks::new();
            assert_eq!(read(&mut chunks, text.as_bytes()), *expected, "{text:?}");
            assert!(chunks.is_done(), "{text:?}");
        }
    }

    #[test]
    fn what_another_reader_might_take_is_a_fault() {
        let bad = [
            "0x5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "-1\r\n",
            "1_0\r\n",
            "\r\n",
            " 5\r\nhello",
            "5 \r\nhello",
            "ffffffffffffffff1\r\n",
            "5\nhello",
            "5\r\nhello\n",
            "5\rXhello",
            "5;a\rb\r\nhello",
            "5;a\nhello",
            "5\r\nhelloX",
            "zz\r\n",
            "0\r\n\n",
            "0\r\nx: y\n\r\n",
            "0\r\n x\r\n",
            ";\r\n",
            "1000000000000000\r\n",
        ];
        for text in bad {
            assert_eq!(read(&mut Chunks::new(), text.as_bytes()), Err(Fault), "{text:?}");
        }
        let long = format!("1;{}", "a".repeat(LINE));
        assert_eq!(read(&mut Chunks::new(), long.as_bytes()), Err(Fault));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(LINE / 6 + 1));
        assert_eq!(read(&mut Chunks::new(), trailers.as_bytes()), Err(Fault));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_split_does_not_matter(text in "[05a;\r\n]{0,24}", split in 0usize..24) {
            let bytes = text.as_bytes();
            let split = split.min(bytes.len());
            let mut whole = Chunks::new();
            let expected = read(&mut whole, bytes);
            let mut parts = Chunks::new();
            let first = read(&mut parts, &bytes[..split]);
            let both = first.and_then(|first| match first < split {
                true => Ok(first),
                false => read(&mut parts, &bytes[split..]).map(|second| first + second),
            });
            prop_assert_eq!(both, expected);
        }

        #[test]
        fn what_is_taken_is_the_data(pieces in proptest::collection::vec("[a-z]{1,20}", 0..5), cut in 1usize..9) {
            let mut body: String = pieces.iter().map(|piece| format!("{:x};e=1\r\n{piece}\r\n", piece.len())).collect();
            body.push_str("0\r\ntrailer: x\r\n\r\nmore");
            let (mut chunks, mut came, mut data) = (Chunks::new(), BytesMut::new(), Vec::new());
            for piece in body.as_bytes().chunks(cut) {
                came.extend_from_slice(piece);
                while let Some(taken) = chunks.take(&mut came).expect("a body") {
                    data.extend_from_slice(&taken);
                }
            }
            prop_assert!(chunks.is_done());
            prop_assert_eq!((data, &came[..]), (pieces.concat().into_bytes(), &b"more"[..]));
        }
    }
}
