//! HTTP/1.1 to a target: a request out, its answer in.
//!
//! ```text
//!   Ask + Line ──► Exchange: head and body out │ answer's head in, its body in ──► Line, if both came to a good end
//! ```
//! No task and no channel: whoever awaits the answer, or asks for its body, moves both directions.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Body as _;

use super::chunk::Chunks;
use super::head::Framing;
use super::relay::Upload;
use super::wire::{Line, Outbox, Search, take};

/// Bytes of an answer's head.
const HEAD: usize = 32 * 1024;

/// Headers of an answer.
const HEADERS: usize = 512;

/// A request as it goes to a target.
pub struct Ask {
    outbox: Outbox,
    /// Until its last byte is in the outbox.
    upload: Option<Upload>,
    /// What is left of a body of a length; `None` is a body in chunks.
    left: Option<u64>,
    is_head: bool,
    /// Nothing of it has been on its way.
    is_fresh: bool,
    /// The client's part came to no good end.
    is_spoilt: bool,
}

impl Ask {
    /// `framing` must be what the headers say.
    pub fn new(request: Request<Upload>, framing: Framing) -> Self {
        let (head, upload) = request.into_parts();
        let mut outbox = Outbox::default();
        let text = outbox.head();
        text.reserve(512);
        text.extend_from_slice(head.method.as_str().as_bytes());
        text.push(b' ');
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        if path.starts_with('?') {
            text.push(b'/');
        }
        text.extend_from_slice(path.as_bytes());
        text.extend_from_slice(b" HTTP/1.1\r\n");
        write_headers(text, &head.headers);
        let left = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        let is_head = head.method == Method::HEAD;
        let upload = Some(upload).filter(|upload| left != Some(0) || !upload.is_end_stream());
        Self { outbox, upload, left, is_head, is_fresh: true, is_spoilt: false }
    }

    fn is_sent(&self) -> bool {
        self.upload.is_none() && self.outbox.is_empty()
    }

    /// Ends when all is written.
    fn poll_send(&mut self, line: &mut Line, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_blocked = self.outbox.poll_write(line, cx)?.is_pending();
            if self.upload.is_none() {
                return if is_blocked { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            self.is_fresh = false;
            if !self.outbox.takes() {
                return Poll::Pending;
            }
            let given = ready!(self.poll_body(cx));
            self.is_spoilt = given.is_err();
            given?;
        }
    }

    /// The next piece of the body is put into the outbox.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
        match ready!(upload.poll_data(cx)).transpose()? {
            Some(data) => self.put(data)?,
            None => self.finish()?,
        }
        if self.upload.as_ref().is_some_and(|upload| upload.is_end_stream()) && self.outbox.takes() {
            self.finish()?;
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, data: Bytes) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            let more = u64::try_from(data.len()).unwrap_or(u64::MAX);
            *left = left.checked_sub(more).ok_or(io::ErrorKind::InvalidData)?;
        }
        self.outbox.put(data, self.left.is_none());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.upload = None;
        self.outbox.end(self.left.is_none());
        if self.left.is_none_or(|left| left == 0) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Adds the lines of headers and the empty line.
pub fn write_headers(text: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
}

/// Where the answer is.
#[derive(Debug)]
enum At {
    Head,
    Length(u64),
    Chunks(Chunks),
    /// The body ends with the connection.
    Close,
    Done,
    /// Another protocol.
    Raw,
}

/// A request on its way, or its answer.
pub struct Exchange {
    line: Line,
    ask: Ask,
    at: At,
    search: Search,
    /// The connection serves no more.
    broke: bool,
}

/// An exchange that broke before an answer.
pub struct Broken {
    pub error: io::Error,
    /// The request, if nothing of it has been on its way.
    pub unsent: Option<Ask>,
}

impl Exchange {
    pub fn new(line: Line, ask: Ask) -> Box<Self> {
        Box::new(Self { line, ask, at: At::Head, search: Search::default(), broke: false })
    }

    /// Sends the request and reads the head of the answer, which may come before all is sent. Interim answers are skipped.
    ///
    /// # Errors
    /// [`Broken`] if the connection breaks, or what comes is no answer.
    pub async fn answer(mut self: Box<Self>) -> Result<(Response<()>, Box<Self>), Broken> {
        match poll_fn(|cx| self.poll_answer(cx)).await {
            Ok(answer) => Ok((answer, self)),
            Err(error) => {
                Err(Broken { error, unsent: Some(self.ask).filter(|ask| ask.is_fresh && ask.outbox.is_whole()) })
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Response<()>>> {
        if !self.ask.is_sent() {
            let sent = self.ask.poll_send(&mut self.line, cx);
            match sent {
                // A target may have answered before it stopped reading.
                Poll::Ready(Err(error)) if self.ask.is_fresh || self.ask.is_spoilt => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => self.give_up_sending(),
                _ => self.ask.is_fresh = false,
            }
        }
        loop {
            if let Some(end) = self.search.end(&self.line.came) {
                if let Some(answer) = self.take_head(end)? {
                    return Poll::Ready(Ok(answer));
                }
                continue;
            }
            if self.line.came.len() > HEAD {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if ready!(self.line.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads a head; `None` if it is that of an interim answer.
    fn take_head(&mut self, end: usize) -> io::Result<Option<Response<()>>> {
        if end > HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.search = Search::default();
        let answer = parse(take(&mut self.line.came, end))?;
        let status = answer.status();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(None);
        }
        self.at = self.framing(&answer)?;
        // Boundaries that are told twice.
        self.broke |= answer.headers().contains_key(TRANSFER_ENCODING) && answer.headers().contains_key(CONTENT_LENGTH);
        Ok(Some(answer))
    }

    fn framing(&self, answer: &Response<()>) -> io::Result<At> {
        let (status, headers) = (answer.status(), answer.headers());
        let length = length(headers)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(At::Raw);
        }
        if self.ask.is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Ok(At::Done);
        }
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        match (codings.next(), codings.next(), length) {
            (None, _, Some(0)) => Ok(At::Done),
            (None, _, Some(length)) => Ok(At::Length(length)),
            (None, _, None) => Ok(At::Close),
            (Some(only), None, _)
                if only.as_bytes().eq_ignore_ascii_case(b"chunked") && answer.version() == Version::HTTP_11 =>
            {
                Ok(At::Chunks(Chunks::new()))
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The next piece of the answer's body, `None` at its end; what is left of the request goes on meanwhile.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.poll_upload(cx);
        if self.ask.is_spoilt {
            return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into())));
        }
        loop {
            if let Some(data) = self.take_data().transpose() {
                return Poll::Ready(Some(data));
            }
            let left = match self.at {
                At::Head | At::Done | At::Raw => return Poll::Ready(None),
                At::Length(left) => left,
                At::Chunks(_) | At::Close => u64::MAX,
            };
            let count = ready!(self.line.poll_fill_body(cx, left))?;
            match self.at {
                At::Close if count == 0 => (self.at, self.broke) = (At::Done, true),
                _ if count == 0 => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                _ => {}
            }
        }
    }

    /// Sends what is left of the request, as far as it goes.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if !self.ask.is_sent() && matches!(self.ask.poll_send(&mut self.line, cx), Poll::Ready(Err(_))) {
            self.give_up_sending();
        }
    }

    /// A piece of the answer's body that has come.
    pub fn take_data(&mut self) -> io::Result<Option<Bytes>> {
        let came = &mut self.line.came;
        match &mut self.at {
            At::Chunks(chunks) => {
                let data = chunks.take(came).map_err(|_| io::ErrorKind::InvalidData)?;
                if data.is_none() && chunks.is_done() {
                    self.at = At::Done;
                }
                Ok(data)
            }
            At::Length(left) if !came.is_empty() => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(came.len());
                *left -= u64::try_from(count).unwrap_or(*left);
                if *left == 0 {
                    self.at = At::Done;
                }
                Ok(Some(take(came, count)))
            }
            At::Close if !came.is_empty() => Ok(Some(take(came, usize::MAX))),
            _ => Ok(None),
        }
    }

    /// The answer's body, if it is of a length and has come as a whole.
    pub fn take_all(&mut self) -> Option<Bytes> {
        let left = usize::try_from(self.left()?).ok()?;
        if left > self.line.came.len() {
            return None;
        }
        self.at = At::Done;
        Some(if left == 0 { Bytes::new() } else { take(&mut self.line.came, left) })
    }

    /// Whether the answer's body has ended.
    pub fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// Bytes that are left of the answer's body, if that is known.
    pub fn left(&self) -> Option<u64> {
        match self.at {
            At::Length(left) => Some(left),
            At::Done => Some(0),
            _ => None,
        }
    }

    /// The connection, if it may serve another exchange.
    pub fn into_idle(self) -> Option<Line> {
        let is_whole = self.is_done() && self.ask.is_sent() && !self.broke && self.line.came.is_empty();
        is_whole.then_some(self.line)
    }

    /// The connection after an answer of 101.
    pub fn into_line(self) -> Line {
        self.line
    }

    fn give_up_sending(&mut self) {
        self.broke = true;
        self.ask.upload = None;
        self.ask.outbox = Outbox::default();
    }
}

fn parse(head: Bytes) -> io::Result<Response<()>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut room = [const { MaybeUninit::uninit() }; HEADERS];
    let mut read = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    config.parse_response_with_uninit_headers(&mut read, &head, &mut room).map_err(|_| invalid())?;
    let mut answer = Response::new(());
    *answer.status_mut() = read.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(invalid)?;
    *answer.version_mut() = if read.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let headers = answer.headers_mut();
    headers.reserve(read.headers.len() + 2);
    for header in read.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(header.value)).map_err(|_| invalid())?;
        headers.append(name, value);
    }
    Ok(answer)
}

/// The length that an answer tells, if it does; lengths that differ are none.
fn length(headers: &HeaderMap) -> io::Result<Option<u64>> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|length| super::head::length(length.as_bytes()));
    let Some(first) = lengths.next() else { return Ok(None) };
    let is_one = lengths.all(|other| other == first);
    first.map(Some).ok().filter(|_| is_one).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
