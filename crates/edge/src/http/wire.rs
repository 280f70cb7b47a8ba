//! Bytes of HTTP/1 on a connection, on either side: what came and is not read yet, and what is to be written.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Bytes that are read at once of a head.
const HEAD_READ: usize = 8 * 1024;

/// Bytes that are read at once of a body.
const BODY_READ: usize = 64 * 1024;

/// A piece of a body up to so many bytes is written in one with what is before it.
const SMALL: usize = 4 * 1024;

/// Bytes of room that a connection keeps while it waits.
const KEPT: usize = 1024;

thread_local! {
    /// Heads are read here first, so that a connection that waits for one holds no room for it.
    static SCRATCH: RefCell<[u8; HEAD_READ]> = const { RefCell::new([0; HEAD_READ]) };
}

/// A connection's bytes.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// A connection, and what came on it that is not read yet. As a stream it begins with the latter.
pub struct Line {
    wire: Box<dyn Wire>,
    pub came: BytesMut,
}

impl Line {
    pub fn new(wire: impl Wire + 'static) -> Self {
        Self { wire: Box::new(wire), came: BytesMut::new() }
    }

    /// Reads more into `came`, a head's worth; how many bytes, zero at the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buf))?;
            self.came.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        })
    }

    /// As [`Self::poll_fill`], a large piece of a body of which `left` bytes are still to come.
    pub fn poll_fill_body(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<io::Result<usize>> {
        let room = usize::try_from(left).unwrap_or(BODY_READ).min(BODY_READ);
        if room <= SMALL {
            return self.poll_fill(cx);
        }
        self.came.reserve(room);
        pin!(self.wire.read_buf(&mut self.came)).poll(cx)
    }

    /// Gives back the room for what came, if all of it has been read.
    pub fn rest(&mut self) {
        if self.came.is_empty() {
            self.came = BytesMut::new();
        }
    }

    /// Whether the other side has closed it, or says something unasked.
    pub fn is_over(&mut self) -> bool {
        let (mut byte, mut cx) = ([0; 1], Context::from_waker(Waker::noop()));
        !self.came.is_empty() || Pin::new(&mut self.wire).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready()
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("came", &self.came.len()).finish_non_exhaustive()
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.came.is_empty() {
            return Pin::new(&mut this.wire).poll_read(cx, buf);
        }
        let count = this.came.len().min(buf.remaining());
        buf.put_slice(&this.came[..count]);
        this.came.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}

/// The search for the end of a head in what comes, each byte of which is looked at once.
#[derive(Debug, Default)]
pub struct Search {
    /// Where the line begins that is not whole.
    pub line: usize,
    seen: usize,
}

impl Search {
    /// Where the head ends. The empty line that it is found by is not behind `line`.
    pub fn end(&mut self, came: &[u8]) -> Option<usize> {
        while let Some(length) = came[self.seen..].iter().position(|byte| *byte == b'\n') {
            let end = self.seen + length + 1;
            if matches!(came[self.line..end], [b'\n'] | [b'\r', b'\n']) {
                return Some(end);
            }
            (self.line, self.seen) = (end, end);
        }
        self.seen = came.len();
        None
    }
}

/// Takes bytes from the front; more than there are is all of them.
pub fn take(came: &mut BytesMut, count: usize) -> Bytes {
    if count >= came.len() { std::mem::take(came).freeze() } else { came.split_to(count).freeze() }
}

/// What is to be written: a head and one piece of a body at most.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Vec<u8>,
    /// Bytes of `first` that are written.
    written: usize,
    then: Bytes,
    last: &'static [u8],
    /// The connection may still hold some of what it took: TLS does.
    owes: bool,
}

impl Outbox {
    /// Whether all is written and on its way.
    pub fn is_empty(&self) -> bool {
        self.left() == 0 && !self.owes
    }

    /// Bytes that are to be written.
    pub fn left(&self) -> usize {
        self.first.len() - self.written + self.then.len() + self.last.len()
    }

    /// Whether nothing of what was put into it has been written.
    pub fn is_whole(&self) -> bool {
        self.written == 0 && !self.owes
    }

    /// What is written next, to be added to before any body.
    pub fn head(&mut self) -> &mut Vec<u8> {
        &mut self.first
    }

    /// Adds a piece of a body. There must be none that is not written.
    pub fn put(&mut self, data: Bytes, chunked: bool) {
        if data.is_empty() {
            return;
        }
        if chunked {
            self.first.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            self.last = b"\r\n";
        }
        if data.len() > SMALL {
            self.then = data;
            return;
        }
        self.first.extend_from_slice(&data);
        self.first.extend_from_slice(std::mem::take(&mut self.last));
    }

    /// Adds the end of a body. There must be no piece that is not written, or a small one.
    pub fn end(&mut self, chunked: bool) {
        if chunked {
            self.first.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Whether a piece of a body may be added.
    pub fn takes(&self) -> bool {
        self.then.is_empty() && self.last.is_empty() && self.first.len() - self.written <= SMALL
    }

    /// Ends when all is written and on its way.
    pub fn poll_write(&mut self, wire: &mut Line, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left() > 0 {
            let first = &self.first[self.written..];
            let count = match self.then.is_empty() && self.last.is_empty() {
                true => ready!(Pin::new(&mut *wire).poll_write(cx, first))?,
                false => {
                    let slices = [first, &self.then, self.last].map(io::IoSlice::new);
                    ready!(Pin::new(&mut *wire).poll_write_vectored(cx, &slices))?
                }
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.owes = true;
            self.advance(count);
        }
        ready!(Pin::new(wire).poll_flush(cx))?;
        self.owes = false;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let first = count.min(self.first.len() - self.written);
        self.written += first;
        let then = (count - first).min(self.then.len());
        self.then.advance(then);
        if self.then.is_empty() {
            // Else it would hold what it was a piece of.
            self.then = Bytes::new();
        }
        self.last = self.last.get(count - first - then..).unwrap_or_default();
        if self.written == self.first.len() {
            self.first.clear();
            self.first.shrink_to(KEPT);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, BufStream, duplex};

    use super::*;

    #[tokio::test]
    async fn what_the_connection_holds_back_is_not_yet_sent() {
        let (one, mut other) = duplex(4);
        let (mut line, mut outbox) = (Line::new(BufStream::new(one)), Outbox::default());
        outbox.put(Bytes::from_static(b"more than four"), false);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_write(&mut line, &mut cx).is_pending());
        assert_eq!((outbox.left(), outbox.is_empty()), (0, false));
        let mut all = [0; 14];
        let written = std::future::poll_fn(|cx| outbox.poll_write(&mut line, cx));
        let (written, read) = tokio::join!(written, other.read_exact(&mut all));
        assert!(written.is_ok() && read.is_ok() && outbox.is_empty());
        assert_eq!(&all, b"more than four");
    }

    #[tokio::test]
    async fn what_the_connection_took_and_lost_is_not_whole_any_more() {
        let (one, other) = duplex(4);
        drop(other);
        let (mut line, mut outbox) = (Line::new(BufStream::new(one)), Outbox::default());
        outbox.put(Bytes::from_static(b"buffered"), false);
        assert!(outbox.is_whole());
        let written = std::future::poll_fn(|cx| outbox.poll_write(&mut line, cx)).await;
        assert!(written.is_err() && !outbox.is_whole());
    }

    #[tokio::test]
    async fn what_is_put_is_written_in_order_however_little_is_taken() {
        for (chunked, expected) in [(false, "headABCD"), (true, "head3\r\nABC\r\n1\r\nD\r\n0\r\n\r\n")] {
            for size in [1, 7, 64 * 1024] {
                for length in [1, 2 * SMALL] {
                    let (one, mut other) = duplex(size);
                    let (mut line, mut outbox) = (Line::new(one), Outbox::default());
                    let large = "ABC".repeat(length);
                    let expected = match length {
                        1 => expected.to_owned(),
                        _ => expected.replace("ABC", &large).replace("3\r\n", &format!("{:x}\r\n", large.len())),
                    };
                    let writes = async {
                        outbox.head().extend_from_slice(b"head");
                        outbox.put(Bytes::from(large), chunked);
                        std::future::poll_fn(|cx| outbox.poll_write(&mut line, cx)).await.expect("a reader");
                        outbox.put(Bytes::from_static(b"D"), chunked);
                        outbox.end(chunked);
                        std::future::poll_fn(|cx| outbox.poll_write(&mut line, cx)).await.expect("a reader");
                        drop(line);
                    };
                    let mut all = String::new();
                    let (_, read) = tokio::join!(writes, other.read_to_string(&mut all));
                    read.expect("text");
                    assert_eq!(all, expected, "{chunked} {size} {length}");
                }
            }
        }
    }
}
