//! HTTP/2 to targets, gRPC too: few connections, each with many requests at one time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_link::edge::GroupProtocol;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::forward::{Failure, reach};
use super::relay::Upload;
use crate::count::Count;
use crate::flow::Flow;
use crate::member::Member;
use crate::trust;

/// Requests of one connection at one time; with more, another one is opened.
const STREAMS: usize = 100;

/// Connections to one target. When all are full, the one with the fewest requests takes more, which wait in it.
const SESSIONS: usize = 64;

/// Connections to one target that are being made at one time.
const DIALS: usize = 4;

/// Connections that a request is tried on, as long as nothing of it has been sent.
const TRIES: usize = 3;

/// Bytes of one answer that may wait to be taken; a connection has room for all of its answers.
const UNREAD: u32 = 128 * 1024;

/// Bytes of one request that wait to be sent.
const UNSENT: usize = 64 * 1024;

/// Bytes of an answer's headers.
const HEADERS: u32 = 32 * 1024;

/// The connections to a target.
#[derive(Debug)]
pub struct Sessions {
    all: Mutex<Vec<Session>>,
    dials: Semaphore,
}

#[derive(Debug)]
struct Session {
    sender: SendRequest<Upload>,
    used: Arc<Use>,
}

#[derive(Debug)]
struct Use {
    open: AtomicUsize,
    /// When a request last ended.
    flow: Flow,
}

/// That a connection is busy with one request more, until this is dropped.
#[derive(Debug)]
pub struct Stream(Arc<Use>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.flow.touch();
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self { all: Mutex::default(), dials: Semaphore::new(DIALS) }
    }
}

impl Sessions {
    /// Requests that are on their way go on; later ones get connections of their own.
    pub fn clear(&self) {
        self.all.lock().clear();
    }

    /// Lets go of connections that are closed, or that nothing has been asked on for so long.
    pub fn prune(&self, patience: Duration) {
        self.all.lock().retain(|session| {
            let is_busy = session.used.open.load(Ordering::Acquire) > 0;
            !session.sender.is_closed() && (is_busy || session.used.flow.last().elapsed() < patience)
        });
    }

    /// The connection with the fewest requests, if it has room for one more.
    fn take(&self) -> Option<(SendRequest<Upload>, Stream)> {
        let mut all = self.all.lock();
        all.retain(|session| !session.sender.is_closed());
        let most = if all.len() < SESSIONS { STREAMS } else { usize::MAX };
        let least = all.iter().min_by_key(|session| session.used.open.load(Ordering::Relaxed))?;
        (least.used.open.load(Ordering::Relaxed) < most).then(|| least.begin())
    }

    fn put(&self, sender: SendRequest<Upload>) -> (SendRequest<Upload>, Stream) {
        let session = Session { sender, used: Arc::new(Use { open: AtomicUsize::new(0), flow: Flow::new() }) };
        let begun = session.begin();
        self.all.lock().push(session);
        begun
    }

    async fn get(&self, member: &Arc<Member>) -> Result<(SendRequest<Upload>, Stream), Failure> {
        if let Some(known) = self.take() {
            return Ok(known);
        }
        // The semaphore is never closed.
        let _dial = self.dials.acquire().await.map_err(|_| 502_u16)?;
        match self.take() {
            Some(made) => Ok(made),
            None => connect(member).await.map(|sender| self.put(sender)),
        }
    }
}

impl Session {
    fn begin(&self) -> (SendRequest<Upload>, Stream) {
        self.used.open.fetch_add(1, Ordering::Relaxed);
        (self.sender.clone(), Stream(self.used.clone()))
    }
}

/// The target's answer. `request` is one of HTTP/1.1.
///
/// # Errors
/// As [`super::forward::forward`]: 502 or 504.
pub async fn exchange(member: &Arc<Member>, request: Request<Upload>) -> Result<(Response<Incoming>, Stream), Failure> {
    let mut request = translate(member, request);
    for _ in 0..TRIES {
        let (mut sender, stream) = member.sessions().get(member).await?;
        match sender.try_send_request(request).await {
            Ok(answer) => return Ok((answer, stream)),
            Err(mut error) => match error.take_message() {
                Some(unsent) => request = unsent,
                None => {
                    tracing::debug!(error = %error.error(), target = %member.address(), "a target gave no answer");
                    return Err(502);
                }
            },
        }
    }
    Err(502)
}

/// A request in the terms of HTTP/2: its host is the authority, its connection has no say.
fn translate(member: &Arc<Member>, mut request: Request<Upload>) -> Request<Upload> {
    let headers = request.headers_mut();
    let host = headers.remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let authority = host.or_else(|| Authority::try_from(member.address().to_string()).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if is_secure(member) { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = authority;
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    request
}

fn is_secure(member: &Member) -> bool {
    member.key.protocol == GroupProtocol::Https
}

/// A new connection: by prior knowledge, or agreed upon by TLS.
async fn connect(member: &Arc<Member>) -> Result<SendRequest<Upload>, Failure> {
    let stream = reach(member).await?;
    let begun = match is_secure(member) {
        true => {
            let stream = trust::connect(stream, member.key.address, true).await;
            begin(stream.map_err(|_| {
                member.tally.note(Count::TargetTlsError);
                502_u16
            })?)
            .await
        }
        false => begin(stream).await,
    };
    begun.map_err(|error| {
        tracing::debug!(%error, target = %member.address(), "a target does not speak HTTP/2");
        502
    })
}

async fn begin<S>(stream: S) -> io::Result<SendRequest<Upload>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let whole = UNREAD.saturating_mul(u32::try_from(STREAMS).unwrap_or(1));
    builder.initial_stream_window_size(UNREAD).initial_connection_window_size(whole);
    builder.max_send_buf_size(UNSENT).max_header_list_size(HEADERS);
    let (sender, driven) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = driven.await {
            tracing::debug!(%error, "a target's connection broke");
        }
    });
    Ok(sender)
}
