//! What a client of HTTP/2 sends, looked through for a header whose compressed form is longer than AWS takes: 8 KiB of HPACK.
//! AWS then sends GOAWAY and closes the connection; the request is not answered.
//!
//! ```text
//!   bytes ──► frames ──► HEADERS, CONTINUATION ──► fields, by their lengths alone ──► too long? nothing more is read
//! ```
//! The library that reads the frames knows the size of a head only when it is decoded. Nothing is decoded here: a block that is
//! one frame and small enough cannot hold such a field and is not looked at, nor is any other frame. What is malformed is left to
//! the library.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Bytes of a header as HPACK has it.
const FIELD: usize = 8 * 1024;

/// Bytes of what a client begins with.
const PREFACE: usize = 24;

/// Bytes of a frame's head.
const HEAD: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// A client's connection.
pub struct Sieve<S> {
    stream: S,
    frames: Frames,
    is_over: bool,
    over: Arc<Notify>,
}

impl<S> Sieve<S> {
    /// Tells `over` of a header that is too long. From there on nothing comes any more.
    pub fn new(stream: S, over: Arc<Notify>) -> Self {
        Self { stream, frames: Frames::new(), is_over: false, over }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sieve<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let Some(sound) = this.frames.look(&buf.filled()[before..]) else { return Poll::Ready(Ok(())) };
        this.is_over = true;
        this.over.notify_one();
        // The frame with the header never becomes whole. Nothing at all would be the end.
        buf.set_filled(before + sound);
        if sound > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sieve<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Frames one after the other.
struct Frames {
    head: [u8; HEAD],
    at: At,
    fields: Fields,
    /// The block that is looked at goes on in the next frame.
    goes_on: bool,
}

/// Where the next byte belongs.
#[derive(Clone, Copy)]
enum At {
    /// To a frame's head, of which there are so many bytes.
    Head(usize),
    /// To what is not looked at.
    Skip(usize),
    /// To a payload of so many bytes, before its padding's length.
    Padding(usize),
    /// To a stream's priority, before a block.
    Priority { skip: usize, block: usize, padding: usize },
    /// To a block.
    Block { left: usize, padding: usize },
}

impl Frames {
    fn new() -> Self {
        Self { head: [0; HEAD], at: At::Skip(PREFACE), fields: Fields::new(), goes_on: false }
    }

    /// How many of these bytes come before the one that tells a header's length to be too large; `None` if none does.
    fn look(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut seen = 0;
        while let Some(rest) = bytes.get(seen..).filter(|rest| !rest.is_empty()) {
            seen += match self.at {
                At::Head(have) => self.take_head(have, rest),
                At::Skip(left) => {
                    let count = left.min(rest.len());
                    self.skip(left - count);
                    count
                }
                At::Padding(payload) => {
                    let padding = rest.first().map_or(0, |byte| usize::from(*byte));
                    self.begin(payload.saturating_sub(1), padding);
                    1
                }
                At::Priority { skip, block, padding } => {
                    let count = skip.min(rest.len());
                    self.at = match skip - count {
                        0 => At::Block { left: block, padding },
                        skip => At::Priority { skip, block, padding },
                    };
                    self.end_block();
                    count
                }
                At::Block { left, padding } => {
                    let count = left.min(rest.len());
                    if let Some(sound) = self.fields.look(&rest[..count]) {
                        return Some(seen + sound);
                    }
                    self.at = At::Block { left: left - count, padding };
                    self.end_block();
                    count
                }
            };
        }
        None
    }

    /// Takes what there is of a frame's head; how much.
    fn take_head(&mut self, have: usize, rest: &[u8]) -> usize {
        let count = (HEAD - have).min(rest.len());
        self.head[have..have + count].copy_from_slice(&rest[..count]);
        self.at = At::Head(have + count);
        if have + count == HEAD {
            self.begin_frame();
        }
        count
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let ends = flags & END_HEADERS != 0;
        match kind {
            HEADERS if ends && length <= FIELD => self.skip(length),
            HEADERS => {
                (self.fields, self.goes_on) = (Fields::new(), !ends);
                match flags & PADDED != 0 && length > 0 {
                    true => self.at = At::Padding(length),
                    false => self.begin(length, 0),
                }
            }
            CONTINUATION if self.goes_on => {
                self.goes_on = !ends;
                self.at = At::Block { left: length, padding: 0 };
                self.end_block();
            }
            _ => self.skip(length),
        }
    }

    /// A block begins, with its priority and the padding behind it.
    fn begin(&mut self, length: usize, padding: usize) {
        let skip = if self.head[4] & PRIORITY != 0 { 5.min(length) } else { 0 };
        let block = (length - skip).saturating_sub(padding);
        let padding = length - skip - block;
        self.at = match skip {
            0 => At::Block { left: block, padding },
            skip => At::Priority { skip, block, padding },
        };
        self.end_block();
    }

    fn end_block(&mut self) {
        if let At::Block { left: 0, padding } = self.at {
            self.skip(padding);
        }
    }

    fn skip(&mut self, left: usize) {
        self.at = if left == 0 { At::Head(0) } else { At::Skip(left) };
    }
}

/// The fields of a block, by RFC 7541, section 6.
struct Fields {
    next: Next,
    /// Strings that the field has after what is next.
    strings: u8,
    /// Bytes of the field as far as they are known.
    size: usize,
}

#[derive(Clone, Copy)]
enum Next {
    Field,
    /// The rest of an index, or of a table's size.
    Index,
    Length,
    /// The rest of a length.
    More {
        shift: u32,
        length: usize,
    },
    Text(usize),
}

impl Fields {
    fn new() -> Self {
        Self { next: Next::Field, strings: 0, size: 0 }
    }

    /// As [`Frames::look`].
    fn look(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut seen = 0;
        while let Some(byte) = bytes.get(seen) {
            if let Next::Text(left) = self.next {
                let count = left.min(bytes.len() - seen);
                self.next = Next::Text(left - count);
                self.end_text();
                seen += count;
                continue;
            }
            self.size += 1;
            self.take(*byte);
            if self.size > FIELD {
                return Some(seen);
            }
            self.end_text();
            seen += 1;
        }
        None
    }

    /// A byte that is not of a string's text.
    fn take(&mut self, byte: u8) {
        match self.next {
            Next::Field => self.begin(byte),
            Next::Index if byte & 0x80 == 0 => self.end(),
            Next::Index => {}
            Next::Length if byte & 0x7f == 0x7f => self.next = Next::More { shift: 0, length: 0x7f },
            Next::Length => self.text(usize::from(byte & 0x7f)),
            Next::More { shift, length } => {
                // More than four bytes are too many anyhow.
                let more = if shift > 21 { FIELD } else { usize::from(byte & 0x7f) << shift };
                let length = length.saturating_add(more);
                match byte & 0x80 == 0 || length > FIELD {
                    true => self.text(length),
                    false => self.next = Next::More { shift: shift + 7, length },
                }
            }
            Next::Text(_) => {}
        }
    }

    /// The first byte says what the field consists of.
    fn begin(&mut self, byte: u8) {
        let (most, is_literal) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = byte & most;
        self.strings = match is_literal {
            true if index == 0 => 2,
            true => 1,
            false => 0,
        };
        self.next = Next::Index;
        if index < most {
            self.end();
        }
    }

    fn text(&mut self, length: usize) {
        self.size = self.size.saturating_add(length);
        self.next = Next::Text(length);
    }

    fn end_text(&mut self) {
        if let Next::Text(0) = self.next {
            self.end();
        }
    }

    /// A part of the field has ended.
    fn end(&mut self) {
        match self.strings.checked_sub(1) {
            Some(left) => (self.strings, self.next) = (left, Next::Length),
            None => (self.size, self.next) = (0, Next::Field),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length in seven bits, or more.
    fn integer(mut number: usize) -> Vec<u8> {
        if number < 127 {
            return vec![u8::try_from(number).unwrap()];
        }
        let mut bytes = vec![127];
        number -= 127;
        while number >= 128 {
            bytes.push(u8::try_from(number % 128).unwrap() | 128);
            number /= 128;
        }
        bytes.push(u8::try_from(number).unwrap());
        bytes
    }

    fn text(length: usize) -> Vec<u8> {
        [integer(length), vec![b'x'; length]].concat()
    }

    /// A field of exactly so many bytes, whose name is in a table or written out.
    fn field(first: u8, named: bool, size: usize) -> Vec<u8> {
        let name = if named { Vec::new() } else { text(100) };
        let mut block = [vec![first], name].concat();
        let rest = size - block.len();
        let value = (rest.saturating_sub(4)..rest).find(|length| integer(*length).len() + length == rest);
        block.extend(text(value.expect("a length")));
        assert_eq!(block.len(), size);
        block
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Whether something is too long in these frames, however they are cut.
    fn is_over(frames: &[u8]) -> bool {
        let all = [&[0; PREFACE][..], frames].concat();
        let looked = |size: usize| {
            let mut sieve = Frames::new();
            all.chunks(size).any(|part| sieve.look(part).is_some())
        };
        let whole = looked(all.len());
        for size in [1, 2, 7, 100, 8192] {
            assert_eq!(looked(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn a_field_may_have_eight_kibibytes_and_a_block_more() {
        for (first, named) in [(0x00, false), (0x40, false), (0x10, false), (0x41, true), (0x01, true), (0x11, true)] {
            let fits = field(first, named, FIELD);
            assert!(!is_over(&frame(HEADERS, END_HEADERS, &fits)), "{first:#x}");
            let two = [&fits[..], &fits].concat();
            assert!(!is_over(&frame(HEADERS, END_HEADERS, &two)), "{first:#x}");
            let over = field(first, named, FIELD + 1);
            assert!(is_over(&frame(HEADERS, END_HEADERS, &over)), "{first:#x}");
            assert!(is_over(&frame(HEADERS, END_HEADERS, &[&fits[..], &over].concat())), "{first:#x}");
        }
    }

    #[test]
    fn a_block_is_one_however_many_frames_it_is_in() {
        let over = [vec![0x82, 0x3f, 0xe1, 0x1f, 0xff, 0x01], field(0, false, FIELD + 1)].concat();
        for at in [0, 1, 5, 6, 8, 107, 109, over.len() - 1] {
            let (first, rest) = over.split_at(at);
            let rest = frame(CONTINUATION, END_HEADERS, rest);
            assert!(is_over(&[frame(HEADERS, 0, first), rest].concat()), "{at}");
        }
        // What is no block is not one.
        assert!(!is_over(&frame(0, 0, &over)) && !is_over(&frame(CONTINUATION, END_HEADERS, &over)));
    }

    #[test]
    fn priority_and_padding_are_no_fields() {
        let (fits, over) = (field(0, false, FIELD), field(0, false, FIELD + 1));
        let odd = |block: &[u8]| [&[200][..], &[0xff; 5], block, &[0; 200]].concat();
        for (block, expected) in [(&fits, false), (&over, true)] {
            let flags = END_HEADERS | PADDED | PRIORITY;
            let frames = [frame(HEADERS, flags, &odd(block)), frame(HEADERS, END_HEADERS, &fits)].concat();
            assert_eq!(is_over(&frames), expected);
        }
    }

    #[test]
    fn a_length_without_an_end_is_too_long() {
        let endless = [vec![0, 1, b'a', 0x7f], vec![0x80; 9000]].concat();
        assert!(is_over(&frame(HEADERS, 0, &endless)));
    }
}
