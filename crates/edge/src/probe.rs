//! Checks of targets: one task a target, a new connection a check.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_link::edge::{GroupProtocol, HealthCheck, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::health::Outcome;
use crate::member::Member;
use crate::report::Reports;
use crate::{Task, trust};

const NAME: &str = "ELB-HealthChecker/2.0";

/// An empty message of gRPC: not compressed, of no bytes.
const MESSAGE: [u8; 5] = [0; 5];

/// Bytes of an answer of gRPC that are read.
const ANSWER: usize = 64 * 1024;

/// Checks a target until it is aborted: at once, then each interval, however long an answer takes.
pub async fn watch(member: Arc<Member>, check: HealthCheck, reports: Arc<Reports>) {
    reports.put(member.begin_checks());
    let mut ticks = interval(Duration::from_secs(u64::from(check.interval_seconds.max(1))));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let patience = Duration::from_secs(u64::from(check.timeout_seconds.max(1)));
        let outcome = timeout(patience, probe(&member, &check)).await.unwrap_or(Outcome::Timeout);
        // It looks at every connection that waits.
        if let Some(health) = unconstrained(async { member.learn(&outcome, &check) }).await {
            reports.put(health);
        }
    }
}

async fn probe(member: &Member, check: &HealthCheck) -> Outcome {
    let probed = match check.protocol {
        GroupProtocol::Tcp => connect(member, check).await.map(|_| Outcome::Success),
        _ => ask(member, check).await,
    };
    probed.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::TimedOut => Outcome::Timeout,
        _ => Outcome::Failed,
    })
}

async fn connect(member: &Member, check: &HealthCheck) -> io::Result<TcpStream> {
    member.connect(check.port).await
}

/// Asks as a load balancer asks, in the group's version of the protocol: by the target's own address, and as
/// `ELB-HealthChecker/2.0`.
async fn ask(member: &Member, check: &HealthCheck) -> io::Result<Outcome> {
    let stream = connect(member, check).await?;
    let address = stream.peer_addr()?;
    if check.protocol != GroupProtocol::Https {
        return speak(stream, "http", address, member.key.version, check).await;
    }
    let is_new = member.key.version != ProtocolVersion::Http1;
    let stream = trust::connect(stream, address.ip(), is_new).await?;
    speak(stream, "https", address, member.key.version, check).await
}

async fn speak<S>(
    stream: S,
    scheme: &str,
    address: SocketAddr,
    version: ProtocolVersion,
    check: &HealthCheck,
) -> io::Result<Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let uri = format!("{scheme}://{address}{}", check.path);
    let code = match version {
        ProtocolVersion::Http1 => get(stream, address, &check.path).await?,
        ProtocolVersion::Http2 => get_new(stream, &uri).await?,
        ProtocolVersion::Grpc => call(stream, &uri).await?,
    };
    Ok(if check.matcher.takes(code) { Outcome::Success } else { Outcome::Mismatch(code) })
}

/// The status code of an answer of HTTP/1.1.
async fn get<S>(stream: S, address: SocketAddr, path: &str) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, served) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let _driven = drive(served);
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .header(USER_AGENT, NAME)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(answer.status().as_u16())
}

/// The status code of an answer of HTTP/2.
async fn get_new<S>(stream: S, uri: &str) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, served) = begun.map_err(io::Error::other)?;
    let _driven = drive(served);
    let request = Request::get(uri).header(USER_AGENT, NAME).body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(answer.status().as_u16())
}

/// The status of a call of gRPC with an empty message, which is in the trailers, or in the headers if nothing else comes.
async fn call<S>(stream: S, uri: &str) -> io::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, served) = begun.map_err(io::Error::other)?;
    let _driven = drive(served);
    let request = Request::post(uri)
        .header(USER_AGENT, NAME)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(Bytes::from_static(&MESSAGE)))
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let early = status(answer.headers());
    let mut body = Limited::new(answer.into_body(), ANSWER);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Some(code) = frame.trailers_ref().and_then(status) {
            return Ok(code);
        }
    }
    early.ok_or_else(|| io::Error::other("no answer of gRPC"))
}

fn status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Drives a connection as long as what is returned is kept.
fn drive(served: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Task {
    Task(tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::debug!(%error, "the connection of a check broke");
        }
    }))
}
