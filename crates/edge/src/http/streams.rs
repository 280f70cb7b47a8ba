//! HTTP/2 on a listener of HTTPS: one client's connection, whose streams become requests in the terms of
//! HTTP/1.1.
//!
//! The library that reads the frames refuses what HTTP/2 forbids (headers of connections, broken pseudo-headers, a length that
//! is not that of the data) and counts resets; a head that is read is looked at here by the rules of [`super::head`].

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::head::{self, Admitted, Framing, Refused};
use super::relay::Inbound;
use super::sieve::Sieve;
use super::taken::{Bodies, Taken};
use super::{Connection, Peer, answer};
use crate::flow::Flow;
use crate::front::Front;

/// Streams at one time.
const STREAMS: u32 = 128;

/// Requests of one connection, after which the client is asked to open another.
const REQUESTS: usize = 10_000;

/// Bytes of one stream that wait to be sent.
const UNSENT: usize = 64 * 1024;

/// For what is on its way when a header was too long: without a move, and at most.
const LAST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What the streams of a connection share.
struct Shared {
    connection: Connection,
    /// Requests and what is taken of answers.
    flow: Arc<Flow>,
    bodies: Bodies,
    open: AtomicUsize,
    begun: AtomicUsize,
    enough: Notify,
}

/// Serves a client's connection. It is ended with the streams that are open when `stop` says so, after [`REQUESTS`], after the
/// keep-alive time, when nothing moves for the idle timeout, or nothing of one answer that the client does not take; without them
/// when nothing moves for longer than any target is waited for, and when the keep-alive time has passed once more. What moves is
/// requests and answers: a client that says something else says nothing, as AWS has it of PING.
pub async fn serve<S>(front: Arc<ArcSwap<Front>>, stream: S, peer: Peer, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (idle, age) = {
        let attributes = &front.load().attributes;
        let seconds = |number: u32| Duration::from_secs(u64::from(number.max(1)));
        (seconds(attributes.idle_timeout_seconds), seconds(attributes.client_keep_alive_seconds))
    };
    let client = peer.address;
    let (flow, too_long) = (Arc::new(Flow::new()), Arc::new(Notify::new()));
    let shared = Arc::new(Shared {
        connection: Connection::new(front, peer),
        flow: flow.clone(),
        bodies: Bodies::new(flow.clone()),
        open: AtomicUsize::new(0),
        begun: AtomicUsize::new(0),
        enough: Notify::new(),
    });
    let streams = shared.clone();
    let service = service_fn(move |request| {
        let shared = streams.clone();
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_send_buf_size(UNSENT);
    builder.max_header_list_size(u32::try_from(head::HEAD).unwrap_or(u32::MAX));
    let served = builder.serve_connection(TokioIo::new(Sieve::new(stream, too_long.clone())), service);
    tokio::pin!(served);
    let driven = async {
        let (quiet, most) = tokio::select! {
            ended = served.as_mut() => return ended,
            () = shared.over(idle, age, &mut stop) => (2 * idle, age),
            () = too_long.notified() => {
                flow.touch();
                LAST
            }
        };
        served.as_mut().graceful_shutdown();
        tokio::select! {
            ended = served.as_mut() => ended,
            () = flow.idle(quiet) => Ok(()),
            () = sleep(most) => Ok(()),
        }
    };
    let ended = tokio::select! {
        ended = driven => ended,
        never = shared.bodies.watch(idle, &shared.enough) => match never {},
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %client, "a client's connection broke");
    }
}

impl Shared {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Taken> {
        let _open = Open::new(self);
        self.flow.touch();
        let inbound = |body| Inbound::Stream(body, self.flow.clone());
        let mut answer = match judge(&mut request) {
            Ok(admitted) => self.connection.carry_out(request.map(inbound), admitted).await,
            Err(status) => self.connection.refuse(answer::page(status), None),
        };
        // A stream ends; the connection goes on.
        answer.headers_mut().remove(CONNECTION);
        self.flow.touch();
        answer.map(|body| self.bodies.take(body))
    }

    /// Ends when the connection takes no more requests.
    async fn over(&self, idle: Duration, age: Duration, stop: &mut watch::Receiver<bool>) {
        let quiet = async {
            self.flow.idle(idle).await;
            if self.open.load(Ordering::Relaxed) > 0 {
                self.flow.idle(2 * idle).await;
            }
        };
        tokio::select! {
            () = super::stopped(stop) => {}
            () = quiet => {}
            () = sleep(age) => {}
            () = self.enough.notified() => {}
        }
    }
}

/// That a stream is open.
struct Open<'s>(&'s Shared);

impl<'s> Open<'s> {
    fn new(shared: &'s Shared) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        if shared.begun.fetch_add(1, Ordering::Relaxed) + 1 == REQUESTS {
            shared.enough.notify_one();
        }
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Looks at a request and makes its headers those of HTTP/1.1: the authority is the host, the cookies are one line.
fn judge(request: &mut Request<Incoming>) -> Result<Admitted, Refused> {
    if request.method() == Method::CONNECT || request.method() == Method::TRACE {
        return Err(405);
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let path = request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned();
    let end = request.body().is_end_stream();
    if path.len() > head::LINE {
        return Err(414);
    }
    let known = path.starts_with('/') || (path == "*" && *request.method() == Method::OPTIONS);
    if !known || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(400);
    }
    let headers = request.headers_mut();
    check(headers)?;
    name_host(headers, authority)?;
    join_cookies(headers);
    let length = headers.get(CONTENT_LENGTH).map(|length| head::length(length.as_bytes())).transpose()?;
    let framing = match length {
        Some(length) => Framing::Length(length),
        None if end => Framing::Length(0),
        None => Framing::Chunked,
    };
    Ok(Admitted { framing, ambiguous: false, class: None })
}

/// Headers of no more than their size, whose values have no space around them that HTTP/1 would lose.
fn check(headers: &HeaderMap) -> Result<(), Refused> {
    let is_long = |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len() > head::LINE;
    let is_spaced = |value: &HeaderValue| value.as_bytes().trim_ascii().len() < value.len();
    let bad = headers.len() > head::HEADERS || headers.iter().any(is_long) || headers.values().any(is_spaced);
    if bad { Err(400) } else { Ok(()) }
}

/// One host, however it was told.
fn name_host(headers: &mut HeaderMap, authority: Option<String>) -> Result<(), Refused> {
    let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let (first, more) = (hosts.next(), hosts.next().is_some());
    let host = match (&authority, first) {
        _ if more => return Err(400),
        (Some(authority), Some(host)) if !authority.as_bytes().eq_ignore_ascii_case(host) => return Err(400),
        (Some(authority), _) => authority.as_bytes().to_vec(),
        (None, Some(host)) => host.to_vec(),
        (None, None) => return Err(400),
    };
    if !head::is_host(&host) {
        return Err(400);
    }
    headers.insert(HOST, HeaderValue::from_bytes(&host).map_err(|_| 400_u16)?);
    Ok(())
}

fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}
