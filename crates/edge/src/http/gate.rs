//! What stands between a client's connection and hyper: it reads every head as its bytes came.
//!
//! ```text
//!   client ──► gate: head whole? judged? ──► hyper ──► service
//!                └─ refused: a stand-in head instead, and the service answers with the status that is noted for it
//! ```
//! The gate follows where each message ends, by the strict rules of [`super::head`] and [`super::chunk`], so that what hyper
//! reads as a head has been judged as one. Answers stay in the order of the requests, because a refusal is a request, too.
//! After a refusal nothing more is read. Memory: one head, and one read.
//!
//! It also watches the time: a head that stays unfinished is answered with 408, a connection on which nothing moves between
//! requests is closed, a client that takes nothing is cut off.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use longshore_link::edge::DesyncMode;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::chunk::Chunks;
use super::head::{self, Admitted, Framing, Refused};

/// Bytes that are read at once while a head is awaited.
const READ: usize = 8 * 1024;

/// Empty lines that may come before a request.
const EMPTY_LINES: usize = 4;

/// What hyper reads in place of a head that is refused.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Bytes that are read and thrown away after the last answer, so that it is not lost with them.
const LINGER: usize = 256 * 1024;

/// Time for that.
const LINGERS: Duration = Duration::from_secs(5);

/// What the gate says of a request.
pub type Verdict = Result<Admitted, Refused>;

/// What gate and service tell each other.
#[derive(Debug, Default)]
pub struct Desk {
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    verdicts: VecDeque<Verdict>,
    /// Requests handed on that have not been answered yet.
    open: usize,
    /// The body of the current request is not of the form.
    fault: bool,
    upgrade: Upgrade,
    waker: Option<Waker>,
}

/// Whether a connection goes on as something else than HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Upgrade {
    /// It may, and what follows the request waits until that is known.
    #[default]
    Open,
    No,
    Yes,
}

impl Desk {
    /// The verdict on the request that has come; each has one.
    pub fn verdict(&self) -> Verdict {
        self.said.lock().verdicts.pop_front().unwrap_or(Err(400))
    }

    /// Whether the current request's body is not of the form.
    pub fn is_faulty(&self) -> bool {
        self.said.lock().fault
    }

    /// The request has its answer; `upgraded` is that the connection changes its protocol with it.
    pub fn settle(&self, upgraded: bool) {
        let mut said = self.said.lock();
        said.open = said.open.saturating_sub(1);
        // The gate holds after a request that asks for another protocol, so that one is the last that is open.
        if said.open == 0 {
            said.upgrade = if upgraded { Upgrade::Yes } else { Upgrade::No };
        }
        if let Some(waker) = said.waker.take() {
            waker.wake();
        }
    }

    fn say(&self, verdict: Verdict) {
        let mut said = self.said.lock();
        said.verdicts.push_back(verdict);
        said.open += 1;
        said.upgrade = Upgrade::Open;
    }

    fn is_open(&self) -> bool {
        self.said.lock().open > 0
    }

    fn set_fault(&self) {
        self.said.lock().fault = true;
    }

    fn upgrade(&self, cx: &Context<'_>) -> Upgrade {
        let mut said = self.said.lock();
        said.waker = Some(cx.waker().clone());
        said.upgrade
    }
}

#[derive(Debug)]
enum At {
    Head,
    Length(u64),
    Chunks(Chunks),
    /// After a request that asks for another protocol.
    Hold,
    /// Another protocol.
    Raw,
    /// Nothing more is read.
    Refused,
}

/// A client's connection.
#[derive(Debug)]
pub struct Gate<S> {
    stream: S,
    desk: Arc<Desk>,
    mode: DesyncMode,
    idle: Duration,
    at: At,
    /// The current request asks for another protocol.
    asks: bool,
    /// What has come and is not handed on; the first `admitted` bytes may be.
    came: BytesMut,
    admitted: usize,
    /// Bytes of `came` that are known to hold no end of a head, and where the line begins that they end in.
    scanned: usize,
    line: usize,
    empty_lines: usize,
    reads: Pin<Box<Sleep>>,
    writes: Option<Pin<Box<Sleep>>>,
    lingers: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    pub fn new(stream: S, desk: Arc<Desk>, mode: DesyncMode, idle: Duration) -> Self {
        Self {
            stream,
            desk,
            mode,
            idle,
            at: At::Head,
            asks: false,
            came: BytesMut::new(),
            admitted: 0,
            scanned: 0,
            line: 0,
            empty_lines: 0,
            reads: Box::pin(sleep(idle)),
            writes: None,
            lingers: None,
        }
    }

    /// Ends with the first request, or what stands for one; `false` if the connection ends without.
    pub async fn begins(&mut self) -> bool {
        poll_fn(|cx| self.advance(cx)).await.unwrap_or(false)
    }

    /// Reads more into `came`; says whether anything came. Between requests, and within a head, not longer than `idle`.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = [MaybeUninit::uninit(); READ];
        let mut buf = ReadBuf::uninit(&mut room);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buf);
        match polled {
            Poll::Ready(Ok(())) => {
                let fresh = buf.filled();
                if self.came.is_empty() {
                    // Room for this and no more: many connections wait.
                    self.came = BytesMut::with_capacity(fresh.len());
                }
                self.came.extend_from_slice(fresh);
                let came = !fresh.is_empty();
                self.touch();
                Poll::Ready(Ok(came))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Ends when nothing has moved for too long and no answer is due.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.reads.as_mut().poll(cx).is_ready() {
            if !self.desk.is_open() {
                return Poll::Ready(());
            }
            self.touch();
        }
        Poll::Pending
    }

    fn touch(&mut self) {
        self.reads.as_mut().reset(Instant::now() + self.idle);
    }

    /// Goes on until something may be handed on; `false` at the end of what came.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.admitted == 0 {
            match self.at {
                At::Head => {
                    if self.read_head() {
                        continue;
                    }
                    match ready!(self.fill(cx)) {
                        Ok(true) => {}
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                            if self.came.is_empty() {
                                return Poll::Ready(Ok(false));
                            }
                            self.refuse(408);
                        }
                        other => return Poll::Ready(other),
                    }
                }
                At::Hold => match self.desk.upgrade(cx) {
                    Upgrade::Open => return Poll::Pending,
                    Upgrade::No => self.at = At::Head,
                    Upgrade::Yes => self.at = At::Raw,
                },
                At::Refused => return Poll::Pending,
                At::Length(_) | At::Chunks(_) | At::Raw if self.came.is_empty() => return Poll::Ready(Ok(true)),
                At::Raw => self.admitted = self.came.len(),
                At::Length(left) => {
                    self.admitted = usize::try_from(left).unwrap_or(usize::MAX).min(self.came.len());
                    self.read_length(left, self.admitted);
                }
                At::Chunks(_) => self.admitted = self.read_chunks(None)?,
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Looks for the end of a head in what came and judges it; says whether there is something to go on with.
    fn read_head(&mut self) -> bool {
        while let Some(length) = self.came[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let end = self.scanned + length + 1;
            let line = &self.came[self.line..end - 1];
            let is_empty = line.is_empty() || line == b"\r";
            if !is_empty {
                (self.scanned, self.line) = (end, end);
            } else if self.line > 0 {
                self.judge(end);
                return true;
            } else if self.empty_lines < EMPTY_LINES {
                self.empty_lines += 1;
                self.came.advance(end);
                self.scanned = 0;
            } else {
                self.refuse(400);
                return true;
            }
        }
        self.scanned = self.came.len();
        if self.came.len() > head::HEAD || self.came.len() - self.line > head::LINE {
            self.refuse(if self.line == 0 { 414 } else { 400 });
            return true;
        }
        false
    }

    fn judge(&mut self, end: usize) {
        let judged = if end > head::HEAD { Err(400) } else { head::judge(&self.came[..end], self.mode) };
        let admitted = match judged {
            Ok(admitted) => admitted,
            Err(status) => return self.refuse(status),
        };
        self.asks = head::asks(&self.came[..end]);
        self.desk.say(Ok(admitted));
        (self.admitted, self.scanned, self.line, self.empty_lines) = (end, 0, 0, 0);
        self.at = match admitted.framing {
            Framing::Chunked => At::Chunks(Chunks::new()),
            Framing::Length(0) => self.after(),
            Framing::Length(length) => At::Length(length),
        };
    }

    fn refuse(&mut self, status: Refused) {
        self.desk.say(Err(status));
        self.came.clear();
        self.came.extend_from_slice(STAND_IN);
        self.admitted = STAND_IN.len();
        self.at = At::Refused;
    }

    /// What comes after the current request.
    fn after(&self) -> At {
        if self.asks { At::Hold } else { At::Head }
    }

    fn read_length(&mut self, left: u64, read: usize) {
        let left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        self.at = if left == 0 { self.after() } else { At::Length(left) };
    }

    /// Follows the chunks in `fresh`, or else in `came`; says how many bytes are the body's.
    fn read_chunks(&mut self, fresh: Option<&[u8]>) -> io::Result<usize> {
        let At::Chunks(chunks) = &mut self.at else { return Ok(0) };
        let read = chunks.read(fresh.unwrap_or(&self.came));
        let is_done = chunks.is_done();
        match read {
            Ok(read) => {
                if is_done {
                    self.at = self.after();
                }
                Ok(read)
            }
            Err(_) => {
                self.desk.set_fault();
                self.at = At::Refused;
                self.came.clear();
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    /// Reads a body, or another protocol, without a stop in `came`.
    fn read_through(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        let left = match self.at {
            At::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        if left < buf.remaining() {
            let mut last = ReadBuf::new(buf.initialize_unfilled_to(left));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut last))?;
            let count = last.filled().len();
            buf.advance(count);
        } else {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        }
        self.touch();
        let fresh = &buf.filled()[start..];
        match self.at {
            At::Length(left) => self.read_length(left, fresh.len()),
            At::Chunks(_) => {
                let read = self.read_chunks(Some(fresh))?;
                self.came.extend_from_slice(&fresh[read..]);
                buf.set_filled(start + read);
            }
            _ => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !ready!(this.advance(cx))? {
            return Poll::Ready(Ok(()));
        }
        if this.admitted == 0 {
            return this.read_through(cx, buf);
        }
        let count = this.admitted.min(buf.remaining());
        buf.put_slice(&this.came[..count]);
        this.came.advance(count);
        this.admitted -= count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// A write that made way, or has waited too long.
    fn written<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writes = None;
            self.touch();
            return polled;
        }
        let idle = self.idle;
        ready!(self.writes.get_or_insert_with(|| Box::pin(sleep(idle))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads and throws away what the client still sends after a refusal, or of a body that nobody wants: closing with bytes
    /// unread would take the answer from it.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (until, left) = self.lingers.get_or_insert_with(|| (Box::pin(sleep(LINGERS)), LINGER));
        let mut thrown = [0; READ];
        while *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut thrown);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let count = buf.filled().len();
            if count == 0 {
                break;
            }
            *left = left.saturating_sub(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingers.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        match this.at {
            At::Refused | At::Length(_) | At::Chunks(_) => this.linger(cx),
            At::Head | At::Hold | At::Raw => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
