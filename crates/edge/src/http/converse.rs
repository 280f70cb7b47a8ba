//! A client's connection of HTTP/1 from its first request to its last.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Body as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::client::{self, Came, Client, Shared};
use super::exchange::write_headers;
use super::relay::{Inbound, Outgoing};
use super::wire::{Line, Wire};
use super::{Connection, Peer, answer, header, stopped};
use crate::chance;
use crate::front::Front;
use crate::tunnel;

/// What is known of a request when it is answered.
#[derive(Clone, Copy)]
struct Manners {
    is_head: bool,
    is_old: bool,
    /// The client says that another request may follow.
    keeps: bool,
}

impl Manners {
    /// Of a request that was not read.
    const REFUSED: Self = Self { is_head: false, is_old: false, keeps: false };

    fn of(request: &Request<Inbound>) -> Self {
        let is_old = request.version() == Version::HTTP_10;
        let keeps = match is_old {
            true => header::is_kept_alive(request.headers()),
            false => !header::is_last(request.headers()),
        };
        Self { is_head: request.method() == Method::HEAD, is_old, keeps }
    }
}

/// How the body of an answer is told from what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    None,
    Length,
    Chunks,
    /// By the connection's end.
    Close,
}

/// Serves a client's connection until it ends, or `stop` says that the listener is closed: then the request that is on its
/// way is the last one. The idle timeout and the desync mode are those of the beginning.
pub async fn serve<S>(front: Arc<ArcSwap<Front>>, stream: S, peer: Peer, stop: watch::Receiver<bool>)
where
    S: Wire + 'static,
{
    let (mode, idle) = {
        let attributes = &front.load().attributes;
        (attributes.desync_mode, Duration::from_secs(u64::from(attributes.idle_timeout_seconds.max(1))))
    };
    let address = peer.address;
    let connection = Connection::new(front, peer);
    let client = Arc::new(Mutex::new(Client::new(Line::new(stream), mode, idle)));
    match converse(&connection, &client, stop, idle).await {
        Ok(()) => Box::pin(client::end(&client)).await,
        Err(error) => tracing::debug!(%error, client = %address, "a client's connection broke"),
    }
}

/// Answers one request after the other until the connection is to be closed.
async fn converse(
    connection: &Connection,
    client: &Shared,
    stop: watch::Receiver<bool>,
    idle: Duration,
) -> io::Result<()> {
    let mut waiting = stop.clone();
    let mut stopping = pin!(stopped(&mut waiting));
    let mut is_stopped = false;
    loop {
        let came = poll_fn(|cx| {
            is_stopped = is_stopped || stopping.as_mut().poll(cx).is_ready();
            let mut open = client.lock();
            match open.poll_next(cx, client) {
                Poll::Pending if is_stopped && open.is_quiet() => Poll::Ready(Came::End),
                other => other,
            }
        });
        let (answer, mut manners) = match came.await {
            Came::End => return Ok(()),
            Came::Refused(status, class) => (connection.refuse(answer::last_page(status), class), Manners::REFUSED),
            Came::Request(request, admitted) => {
                let manners = Manners::of(&request);
                // A connection that waits for its next request has no room for what becomes of one.
                let answering = Box::pin(connection.answer(request, admitted));
                (or_gone(client, answering).await?, manners)
            }
        };
        manners.keeps &= !*stop.borrow();
        if !give(client, answer, manners, idle).await? {
            return Ok(());
        }
    }
}

/// An answer, unless the client goes before.
async fn or_gone<T>(client: &Shared, mut answering: Pin<Box<impl Future<Output = T>>>) -> io::Result<T> {
    poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending => client.lock().poll_gone(cx).map(|()| Err(io::ErrorKind::UnexpectedEof.into())),
    })
    .await
}

/// Gives an answer to the client; says whether another request may follow.
async fn give(client: &Shared, answer: Response<Outgoing>, manners: Manners, idle: Duration) -> io::Result<bool> {
    let (mut head, body) = answer.into_parts();
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let form = form(head.status, &mut head.headers, body.size_hint().exact(), manners);
    let keeps = manners.keeps && form != Form::Close && !header::is_last(&head.headers) && !client.lock().is_unasked();
    if !switches {
        say_whether_it_is_last(&mut head.headers, keeps, manners.is_old);
    }
    if !head.headers.contains_key(DATE) {
        head.headers.insert(DATE, chance::date());
    }
    {
        let mut open = client.lock();
        write_head(open.outbox.head(), manners.is_old, head.status, &head.headers);
    }
    let (body, switch) = match body.switches() {
        Ok(switch) => (None, Some(switch)),
        Err(body) => (Some(body).filter(|_| form != Form::None), None),
    };
    let mut giving = Giving { client, body, chunked: form == Form::Chunks, broke: None };
    poll_fn(|cx| giving.poll(cx)).await?;
    let Some((switch, _record)) = switch else { return Ok(keeps && Box::pin(client::drain(client)).await) };
    let line = client.lock().take_line();
    let member = switch.busy.member().clone();
    Box::pin(tunnel::join(line, switch.line, idle, member.ended())).await;
    Ok(false)
}

/// An answer on its way.
struct Giving<'c> {
    client: &'c Shared,
    /// Until its last piece is in the outbox.
    body: Option<Outgoing>,
    chunked: bool,
    /// Why the body ends before its end.
    broke: Option<io::Error>,
}

impl Giving<'_> {
    /// Ends when all is written. The client is not locked while the answer's body is asked for, because that moves what is
    /// left of the request's.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let asked = self.poll_body(cx);
            let mut open = self.client.lock();
            let written = open.poll_write(cx)?;
            if self.body.is_none() || written.is_pending() {
                return written.map(|()| self.broke.take().map_or(Ok(()), Err));
            }
            if asked.is_pending() {
                ready!(open.poll_gone(cx));
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Puts pieces of the body into the outbox as long as it takes them.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(body) = &mut self.body {
            if !self.client.lock().outbox.takes() {
                // The client may want to have all of its request read before it takes anything.
                body.poll_upload(cx);
                break;
            }
            let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)).transpose() {
                Ok(frame) => frame,
                Err(error) => {
                    (self.body, self.broke) = (None, Some(error));
                    break;
                }
            };
            let is_last = frame.is_none() || body.is_end_stream();
            let outbox = &mut self.client.lock().outbox;
            if let Some(data) = frame.and_then(|frame| frame.into_data().ok()) {
                outbox.put(data, self.chunked);
            }
            if is_last && outbox.takes() {
                outbox.end(self.chunked);
                self.body = None;
            }
        }
        Poll::Ready(())
    }
}

/// The form of an answer's body, which its headers say from now on. `length` is that of the body, if it is known.
fn form(status: StatusCode, headers: &mut HeaderMap, length: Option<u64>, manners: Manners) -> Form {
    headers.remove(TRANSFER_ENCODING);
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
        return Form::None;
    }
    if manners.is_head || status == StatusCode::NOT_MODIFIED {
        if let Some(length) = length.filter(|length| *length > 0) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        return Form::None;
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        return Form::Length;
    }
    headers.remove(CONTENT_LENGTH);
    if manners.is_old {
        return Form::Close;
    }
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    Form::Chunks
}

fn say_whether_it_is_last(headers: &mut HeaderMap, keeps: bool, is_old: bool) {
    match keeps {
        false => headers.insert(CONNECTION, HeaderValue::from_static("close")),
        true if is_old => headers.insert(CONNECTION, HeaderValue::from_static("keep-alive")),
        true => None,
    };
}

fn write_head(text: &mut Vec<u8>, is_old: bool, status: StatusCode, headers: &HeaderMap) {
    text.reserve(512);
    text.extend_from_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    text.extend_from_slice(status.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(answer::reason(status).as_bytes());
    text.extend_from_slice(b"\r\n");
    write_headers(text, headers);
}
