//! A client's connection of HTTP/1: its requests in, the answers out.
//!
//! ```text
//!   bytes ──► head whole? judged? ──► Request, whose body is read from here ──► service
//!                └─ refused: the status to answer with, and nothing more is read
//! ```
//! The bytes of a head are read once, by the strict rules of [`super::head`], and those of a body by [`super::chunk`]. One
//! request is answered before the next is read. Memory: one head, one read, and what is on its way out.
//!
//! It also watches the time: a head that stays unfinished is answered with 408, a connection on which nothing moves between
//! requests is closed, a client that takes nothing is cut off.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use longshore_link::edge::DesyncMode;
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::chunk::Chunks;
use super::head::{self, Admitted, Class, Framing, Refused};
use super::relay::Inbound;
use super::wire::{Line, Outbox, Search, take};

/// Bytes that may wait while an answer is on its way.
const AHEAD: usize = 8 * 1024;

/// Empty lines that may come before a request.
const EMPTY_LINES: usize = 4;

/// Bytes that are read and thrown away after the last answer, so that it is not lost with them.
const LINGER: usize = 256 * 1024;

/// Time for that.
const LINGERS: Duration = Duration::from_secs(5);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What has come on a connection.
#[expect(clippy::large_enum_variant, reason = "nearly always it is a request")]
pub enum Came {
    Request(Request<Inbound>, Admitted),
    /// Nothing more is read. What there is to say of the head, if it was whole.
    Refused(Refused, Option<Class>),
    /// The client has ended, or was silent for too long.
    End,
}

#[derive(Debug)]
enum At {
    Head,
    Length(u64),
    Chunks(Chunks),
    /// Nothing more is read.
    Refused,
}

/// A client's connection. Whoever answers a request shares it with the request's body.
pub type Shared = Arc<Mutex<Client>>;

pub struct Client {
    line: Line,
    mode: DesyncMode,
    at: At,
    /// The client waits to be asked for the body.
    expects: bool,
    search: Search,
    /// Of a head that is refused.
    class: Option<Class>,
    empty_lines: usize,
    clock: Clock,
    /// The number of the request whose body is read. Whoever still has the body of another one gets nothing of this one's.
    turn: u64,
    /// Something is to be written that is not written yet.
    writes: bool,
    pub outbox: Outbox,
}

impl Client {
    pub fn new(line: Line, mode: DesyncMode, idle: Duration) -> Self {
        Self {
            line,
            mode,
            at: At::Head,
            expects: false,
            search: Search::default(),
            class: None,
            empty_lines: 0,
            clock: Clock::new(idle),
            turn: 0,
            writes: false,
            outbox: Outbox::default(),
        }
    }

    /// The next request. The body of the one before has been read, or there is no next.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Came> {
        if matches!(self.at, At::Refused) {
            return Poll::Ready(Came::End);
        }
        loop {
            match self.read_head(shared) {
                Ok(Some(request)) => return Poll::Ready(request),
                Ok(None) => {}
                Err(status) => return Poll::Ready(self.refuse(status)),
            }
            let begins = self.is_quiet();
            match self.line.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Came::End),
                // A head has the idle timeout as a whole, so that no client holds a connection by a byte now and then.
                Poll::Ready(Ok(_)) if begins => self.clock.touch(),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    self.line.rest();
                    ready!(self.clock.poll_over(cx));
                    let is_quiet = self.is_quiet();
                    return Poll::Ready(if is_quiet { Came::End } else { self.refuse(408) });
                }
            }
        }
    }

    /// Looks for the end of a head in what came, and judges it.
    fn read_head(&mut self, shared: &Shared) -> Result<Option<Came>, Refused> {
        while let Some(end) = self.search.end(&self.line.came) {
            if self.search.line > 0 {
                return self.judge(end, shared).map(Some);
            }
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES {
                return Err(400);
            }
            self.line.came.advance(end);
            self.search = Search::default();
        }
        let came = self.line.came.len();
        match came > head::HEAD || came - self.search.line > head::LINE {
            true => Err(if self.search.line == 0 { 414 } else { 400 }),
            false => Ok(None),
        }
    }

    fn judge(&mut self, end: usize, shared: &Shared) -> Result<Came, Refused> {
        let came = &mut self.line.came;
        if end > head::HEAD {
            return Err(400);
        }
        let head = &came[..end];
        let admitted = head::judge(head, self.mode).inspect_err(|_| self.class = head::classify(head))?;
        self.class = admitted.class;
        let mut request = parse(take(came, end))?;
        (self.search, self.empty_lines) = (Search::default(), 0);
        self.turn += 1;
        self.clock.touch();
        self.expects = request.headers().contains_key(EXPECT) && request.version() == Version::HTTP_11;
        self.at = match admitted.framing {
            Framing::Chunked => At::Chunks(Chunks::new()),
            Framing::Length(0) => At::Head,
            Framing::Length(length) => At::Length(length),
        };
        if self.has_body() {
            *request.body_mut() = Inbound::Own(Body { client: shared.clone(), turn: self.turn });
        }
        Ok(Came::Request(request, admitted))
    }

    fn refuse(&mut self, status: Refused) -> Came {
        self.at = At::Refused;
        self.line.came = BytesMut::new();
        Came::Refused(status, self.class.take())
    }

    /// Whether nothing of a request has come.
    pub fn is_quiet(&self) -> bool {
        self.line.came.is_empty()
    }

    /// Whether there is more of the current request.
    fn has_body(&self) -> bool {
        matches!(self.at, At::Length(_) | At::Chunks(_))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if std::mem::take(&mut self.expects) && self.is_quiet() {
            self.outbox.head().extend_from_slice(CONTINUE);
        }
        if !self.outbox.is_empty() && self.outbox.takes() {
            let _ = self.outbox.poll_write(&mut self.line, cx)?;
        }
        while self.has_body() {
            if let Some(data) = self.take_body()? {
                return Poll::Ready(Some(Ok(data)));
            }
            let left = match self.at {
                At::Length(left) => left,
                _ if self.has_body() => u64::MAX,
                _ => break,
            };
            if ready!(self.line.poll_fill_body(cx, left))? == 0 {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            self.clock.touch();
        }
        Poll::Ready(None)
    }

    /// A piece of the body that has come.
    fn take_body(&mut self) -> io::Result<Option<Bytes>> {
        let came = &mut self.line.came;
        match &mut self.at {
            At::Length(left) if !came.is_empty() => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(came.len());
                *left -= u64::try_from(count).unwrap_or(*left);
                if *left == 0 {
                    self.at = At::Head;
                }
                Ok(Some(take(came, count)))
            }
            At::Chunks(chunks) => {
                let Ok(data) = chunks.take(came) else {
                    self.refuse(400);
                    return Err(io::ErrorKind::InvalidData.into());
                };
                if chunks.is_done() {
                    self.at = At::Head;
                }
                Ok(data)
            }
            _ => Ok(None),
        }
    }

    /// Ends when the client has gone while it is answered. What comes meanwhile of its next requests waits, up to a bound.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.has_body() && self.line.came.len() < AHEAD {
            match ready!(self.line.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Writes what is in the outbox. A client that takes nothing for the idle timeout is an error.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (before, began) = (self.outbox.left(), !self.writes && !self.outbox.is_empty());
        let written = self.outbox.poll_write(&mut self.line, cx);
        self.writes = written.is_pending();
        if began || self.outbox.left() < before {
            self.clock.touch();
        }
        if written.is_ready() {
            return written;
        }
        self.clock.poll_over(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the client waits to be asked for a body that nobody wants: it may send the body or its next request.
    pub fn is_unasked(&self) -> bool {
        self.expects && self.has_body()
    }

    /// The connection, for another protocol.
    pub fn take_line(&mut self) -> Line {
        std::mem::replace(&mut self.line, Line::new(tokio::io::empty()))
    }

    /// Whether the client may still be sending what nobody reads.
    fn has_more(&self) -> bool {
        !matches!(self.at, At::Head) || !self.is_quiet()
    }
}

/// Reads and throws away what is left of the current request's body; says whether that was all of it, so that another request
/// may follow. A client has some time for it.
pub async fn drain(client: &Shared) -> bool {
    {
        let mut open = client.lock();
        if !open.has_body() {
            return matches!(open.at, At::Head);
        }
        // A target that answered early may still be asking for it.
        open.turn += 1;
    }
    let mut left = LINGER;
    let rest = poll_fn(|cx| {
        while let Some(data) = ready!(client.lock().poll_body(cx)).transpose()? {
            left = left.checked_sub(data.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        }
        Poll::Ready(io::Result::Ok(()))
    });
    matches!(tokio::time::timeout(LINGERS, rest).await, Ok(Ok(())))
}

/// Ends a connection. What the client still sends after a refusal, or of a body that nobody wants, is read and thrown away:
/// closing with bytes unread would take the answer from it.
pub async fn end(client: &Shared) {
    let (mut line, has_more) = {
        let mut client = client.lock();
        (client.take_line(), client.has_more())
    };
    if line.shutdown().await.is_err() || !has_more {
        return;
    }
    let lingers = async {
        let (mut thrown, mut left) = (vec![0; AHEAD], LINGER);
        while left > 0 {
            let mut buf = ReadBuf::new(&mut thrown);
            let read = poll_fn(|cx| tokio::io::AsyncRead::poll_read(Pin::new(&mut line), cx, &mut buf)).await;
            let count = buf.filled().len();
            if read.is_err() || count == 0 {
                return;
            }
            left = left.saturating_sub(count);
        }
    };
    let _ = tokio::time::timeout(LINGERS, lingers).await;
}

/// A request's body, until its answer has been given.
pub struct Body {
    client: Shared,
    turn: u64,
}

impl Body {
    pub fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let mut client = self.client.lock();
        match client.turn == self.turn {
            true => client.poll_body(cx),
            false => Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
        }
    }

    pub fn is_done(&self) -> bool {
        let client = self.client.lock();
        client.turn == self.turn && !client.has_body()
    }
}

/// A timer that is set anew only when it has run down.
struct Clock {
    idle: Duration,
    since: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Clock {
    fn new(idle: Duration) -> Self {
        Self { idle, since: Instant::now(), sleep: Box::pin(sleep(idle)) }
    }

    fn touch(&mut self) {
        self.since = Instant::now();
    }

    /// Ends when it was not touched for the idle timeout.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let until = self.since + self.idle;
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(until);
        }
    }
}

/// The request of a head that [`head::judge`] has admitted. A target that is no URI is refused.
fn parse(head: Bytes) -> Result<Request<Inbound>, Refused> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::new(Inbound::Empty);
    *request.method_mut() = Method::from_bytes(method).map_err(|_| 400_u16)?;
    *request.uri_mut() = Uri::from_maybe_shared(head.slice_ref(target)).map_err(|_| 400_u16)?;
    *request.version_mut() = if words.next() == Some(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    let headers = request.headers_mut();
    // And those that the balancer adds.
    headers.reserve(16);
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(400_u16)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| 400_u16)?;
        let value = head.slice_ref(line[colon + 1..].trim_ascii());
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| 400_u16)?);
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
