//! The front door: one port for every service, the node channels and the operator's pages.
//!
//! A request is routed by its head and body ([`longshore_wire::protocol`]), carried out by a handler, and answered when
//! what the answer rests on is durable.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_link::phase::{LAUNCHES, Phase};
use longshore_link::{INNER_PATHS, LONGEST_HEAD};
use longshore_model::iam::Caller;
use longshore_services::{Answer as Answered, Context, SERVICES, Service};
use longshore_store::audit;
use longshore_store::logs::Ticket;
use longshore_store::{Revision, Unsettled};
use longshore_wire::protocol::{Call, Refusal, Reply, body_limit, route, unserved};
use longshore_wire::{Fault, ServiceDef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::audit::{Note, knocked, turned_away};
use crate::body::Body;
use crate::line::Line;
use crate::registry::{self, Answer};
use crate::{Auth, Server, clock, edges, session, signin, telemetry};

/// Connections at one time; more wait in the kernel's queue.
const CONNECTIONS: usize = 8192;

/// For a client to send its request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// For a client to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// For requests in flight to end when the control plane stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Bytes of request bodies in memory at one time, those of [`SMALL_BODY`] aside; who comes later waits.
const BODIES: usize = 128 * 1024 * 1024;

/// Bodies of so many bytes are read at once: large ones that come slowly hold up no common request.
const SMALL_BODY: usize = 16 * 1024;

/// The room left for bodies, in bytes.
static ROOM: Semaphore = Semaphore::const_new(BODIES);

pub async fn accept(server: Arc<Server>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.stopping() => break,
        };
        match stream {
            Ok((stream, _)) => {
                let server = server.clone();
                tokio::spawn(async move {
                    serve(server, stream).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN, slots.acquire_many(all)).await;
}

async fn serve(server: Arc<Server>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let handler = server.clone();
    let peer = stream.peer_addr().ok().map(signin::Peer::new);
    let line = Line::new(stream);
    let stand_ins = line.stand_ins();
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request.extensions_mut().insert(stand_ins.clone());
        let server = handler.clone();
        async move { Ok::<_, Infallible>(handle(server, request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(LONGEST_HEAD);
    // So nothing is read while a call is carried out: one that has begun is ended, whether its client is still there or not.
    builder.half_close(true);
    let connection = builder.serve_connection(TokioIo::new(line), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = server.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn handle(server: Arc<Server>, request: Request<Incoming>) -> Answer {
    if let Err(fault) = admit(&request) {
        let (head, _) = request.into_parts();
        let reply = refuse(&server, &Refusal::early(&head, fault), &clock::mint().uuid());
        return reply.map(Body::from);
    }
    if let Some(channel) = Channel::of(&request) {
        return open(server, request, channel).await;
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => ready(&server),
        (&Method::GET, "/metrics") => metrics(&server),
        (&Method::POST, "/_longshore/reset") if server.auth == Auth::Permissive => reset(&server).await,
        (_, path) if registry::is_here(path) => registry::serve(&server, request).await,
        _ => api(server, request).await,
    }
}

/// Turns away what a web page in a browser on this machine sends: a page whose name was made to resolve to a loopback
/// address names itself as the host, and a page of elsewhere that opens a node's channel or resets names its origin.
fn admit<B>(request: &Request<B>) -> Result<(), Fault> {
    let refuse = |message| Err(Fault::common("AccessDeniedException", 403, message));
    let named = request.headers().get_all(HOST).iter().all(|host| host.to_str().is_ok_and(is_local));
    if !named || !request.uri().authority().is_none_or(|authority| is_local(authority.as_str())) {
        return refuse("The host must be an IP address, localhost or a name under localhost");
    }
    let path = request.uri().path();
    let inner = INNER_PATHS.iter().any(|prefix| path.starts_with(prefix));
    match inner && request.headers().contains_key(ORIGIN) {
        true => refuse("Web pages may not call this"),
        false => Ok(()),
    }
}

/// Whether a host, with or without its port, is one that no name server of a stranger's can have answered for: an IP
/// address, `localhost`, a name under it, or one of these behind a prefix that AWS's clients put there (`data-localhost`).
fn is_local(host: &str) -> bool {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    if !is_port(port) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let prefixes = ["data-", "stream-", "streaming-"];
    let name = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    name.parse::<Ipv4Addr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// Ready means that a task can be placed: at least one node is connected.
fn ready(server: &Server) -> Answer {
    match server.sessions.count() {
        0 => text(StatusCode::SERVICE_UNAVAILABLE, "no node is connected yet\n"),
        _ => text(StatusCode::OK, "ready\n"),
    }
}

fn metrics(server: &Server) -> Answer {
    let full = server.store.is_full() || server.audit.is_full();
    let state = server.store.read();
    text(StatusCode::OK, server.metrics.text(&state, server.sessions.count(), state.revision(), full))
}

async fn reset(server: &Server) -> Answer {
    let reset = match server.reset() {
        Ok(revision) => server.store.durable(revision).await,
        Err(full) => Err(full.into()),
    };
    match reset {
        Ok(()) => text(StatusCode::OK, "reset\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// The websocket channels of nodes.
#[derive(Clone, Copy)]
enum Channel {
    Orders,
    Telemetry,
    Edge,
}

impl Channel {
    fn of<B>(request: &Request<B>) -> Option<Self> {
        match request.uri().path() {
            _ if request.method() != Method::GET => None,
            "/acs/ws" => Some(Self::Orders),
            "/tcs/ws" => Some(Self::Telemetry),
            "/edge/ws" => Some(Self::Edge),
            _ => None,
        }
    }

    /// What opening it is called.
    fn action(self) -> &'static str {
        match self {
            Self::Orders => "ecs:Poll",
            Self::Telemetry => "ecs:StartTelemetrySession",
            Self::Edge => "longshore:StartEdgeSession",
        }
    }

    /// The parameter that names the node.
    fn parameter(self) -> &'static str {
        match self {
            Self::Telemetry => "containerInstance",
            Self::Orders | Self::Edge => "containerInstanceArn",
        }
    }
}

async fn open(server: Arc<Server>, request: Request<Incoming>, channel: Channel) -> Answer {
    let (head, body) = request.into_parts();
    let node = match knock(&server, &head, channel).await {
        Ok(node) => node,
        Err((status, fault)) => return text(status, format!("{fault}\n")),
    };
    let mut request = Request::from_parts(head, body);
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return text(StatusCode::UPGRADE_REQUIRED, "this is a websocket\n");
    };
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => session::socket(upgraded).await,
            Err(error) => return tracing::warn!(%error, "a node's channel was not opened"),
        };
        match channel {
            Channel::Orders => session::serve_acs(server, node, upgraded).await,
            Channel::Telemetry => telemetry::serve(server, node, upgraded).await,
            Channel::Edge => edges::serve(server, node, upgraded).await,
        }
    });
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    answer
}

/// Whose channel is to be opened, if by the node itself; the audit log has who it was.
async fn knock(server: &Server, head: &Parts, channel: Channel) -> Result<session::Peer, (StatusCode, Fault)> {
    let action = channel.action();
    let (caller, judged) = match signin::channel(server, head, action) {
        Ok(knock) => (Some(knock.caller), knock.judged.map(|()| knock.key)),
        Err(fault) => (None, Err(fault)),
    };
    let judged = judged.map_err(|fault| (StatusCode::FORBIDDEN, fault));
    let let_in = judged.and_then(|key| Ok(session::Peer { id: node_of(server, head, channel, caller.as_ref())?, key }));
    let recorded = knocked(server, head, action, caller.as_ref(), let_in.as_ref().err().map(|(_, fault)| fault));
    written(recorded).await;
    let_in
}

/// The id of the node that a channel is for. Who may poll for one node gets no other's orders, nor its tasks' credentials.
fn node_of(
    server: &Server,
    head: &Parts,
    channel: Channel,
    caller: Option<&Caller>,
) -> Result<String, (StatusCode, Fault)> {
    let refuse = |status: StatusCode, code, message| Err((status, Fault::common(code, status.as_u16(), message)));
    let Some(node) = query_value(head.uri.query().unwrap_or_default(), channel.parameter()) else {
        return refuse(StatusCode::BAD_REQUEST, "InvalidInstanceException", "which container instance?");
    };
    let id = node.rsplit('/').next().unwrap_or_default();
    let Some(known) = server.store.read().nodes.get(id).cloned() else {
        let message = "the container instance is not registered";
        return refuse(StatusCode::BAD_REQUEST, "InactiveInstanceException", message);
    };
    let asked = server.auth == Auth::Enforce;
    if asked && !caller.is_some_and(|caller| known.is_of(&caller.arn())) {
        return refuse(StatusCode::FORBIDDEN, "AccessDeniedException", "the container instance is somebody else's");
    }
    Ok(id.to_owned())
}

fn query_value(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Everything that speaks an AWS protocol.
async fn api(server: Arc<Server>, request: Request<Incoming>) -> Answer {
    let request_id = clock::mint().uuid();
    let (head, body) = request.into_parts();
    let reply = match read_body(&head, body).await {
        Ok((body, _room)) => call(&server, &head, &body, &request_id).await,
        Err(fault) => turn_away(&server, &head, Refusal::early(&head, fault), &request_id),
    };
    reply.map(Body::from)
}

fn refuse(server: &Server, refusal: &Refusal, request_id: &str) -> Reply {
    server.metrics.refused.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(request_id, fault = %refusal.fault, "a request was refused");
    refusal.reply(request_id)
}

/// Refuses what no operation is called by; a request for a service that is not here is told so, whatever else is wrong.
fn turn_away(server: &Server, head: &Parts, refusal: Refusal, request_id: &str) -> Reply {
    let refusal = unserved(definitions(), head).unwrap_or(refusal);
    turned_away(server, head, &refusal, request_id);
    refuse(server, &refusal, request_id)
}

/// The body, and the room it takes as long as it is there.
pub(crate) type Read = (Bytes, Option<SemaphorePermit<'static>>);

/// The body of a call.
async fn read_body(head: &Parts, body: Incoming) -> Result<Read, Fault> {
    read_limited(head, body, body_limit(head)).await
}

/// A body of at most `limit` bytes.
pub(crate) async fn read_limited<B>(head: &Parts, body: B, limit: usize) -> Result<Read, Fault>
where
    B: hyper::body::Body<Data = Bytes, Error = hyper::Error>,
{
    let plain = head.headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    if !plain {
        return Err(Fault::unsupported_encoding());
    }
    let announced = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Fault::too_large(limit));
    }
    let room = room(announced.unwrap_or(limit), BODY_TIMEOUT).await?;
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    let collected = collected.map_err(|_| Fault::common("RequestTimeout", 408, "The request body did not arrive"))?;
    match collected {
        Ok(collected) => Ok((collected.to_bytes(), room)),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Fault::too_large(limit)),
        Err(_) => Err(Fault::serialization("The request body could not be read")),
    }
}

/// Waits for the room that a body of `length` bytes takes.
async fn room(length: usize, patience: Duration) -> Result<Option<SemaphorePermit<'static>>, Fault> {
    if length <= SMALL_BODY {
        return Ok(None);
    }
    let bytes = u32::try_from(length).unwrap_or(u32::MAX);
    match tokio::time::timeout(patience, ROOM.acquire_many(bytes)).await {
        Ok(Ok(room)) => Ok(Some(room)),
        _ => Err(Fault::common("ServiceUnavailable", 503, "Too many large requests are being read")),
    }
}

fn definitions() -> &'static [&'static ServiceDef] {
    static DEFINITIONS: std::sync::LazyLock<Vec<&'static ServiceDef>> =
        std::sync::LazyLock::new(|| SERVICES.iter().map(|service| service.def).collect());
    &DEFINITIONS
}

pub(crate) async fn call(server: &Arc<Server>, head: &Parts, body: &Bytes, request_id: &str) -> Reply {
    let call = match route(definitions(), head, body) {
        Ok(call) => call,
        Err(refusal) => return turn_away(server, head, refusal, request_id),
    };
    let mut note = Note::begin(server, &call, head, request_id);
    let reply = match carry_out(server, &call, head, body, request_id, &mut note).await {
        Ok(reply) => reply,
        Err(fault) => {
            written(note.failed(&fault)).await;
            tracing::debug!(request_id, operation = call.operation.name, %fault, "a request failed");
            call.fault(&fault, request_id)
        }
    };
    server.metrics.answered(call.service.name, call.operation.name, reply.status().as_u16());
    reply
}

async fn carry_out(
    server: &Arc<Server>,
    call: &Call,
    head: &Parts,
    body: &Bytes,
    request_id: &str,
    note: &mut Note<'_>,
) -> Result<Reply, Fault> {
    let began = Instant::now();
    let unbuilt = || Fault::not_implemented(call.service, call.operation);
    let service = service(call.service).ok_or_else(unbuilt)?;
    let operation = service.operation(call.operation.name).ok_or_else(unbuilt)?;
    let caller = signin::caller(server, call, head, body)?;
    note.caller(&caller)?;
    server.ensure_account(&caller.account)?;
    let conditions = signin::conditions(server, call, &caller, head);
    let input = call.input(head, body)?;
    note.input(&caller, &input);
    let leave = signin::authorize(server, call, &caller, &conditions, &input)?;
    server.throttle.admit(call, &caller, &input)?;
    // Log events come with the time of other clocks, and certificates are judged by them, so theirs is the machine's.
    let now = if matches!(call.service.name, "acm" | "logs") { clock::wall() } else { clock::now() };
    let account = caller.account.clone();
    let context = Context::new(&server.store, &server.logs, &server.settings, account, now, clock::seed());
    let mut context = context.called_by(caller, conditions);
    context.judged = server.auth == Auth::Enforce;
    context.leave = leave;
    context.batch = header(head, "x-longshore-batch");
    context.audit = Some(&server.audit);
    context.blobs = Some(&server.blobs);
    context.host = header(head, HOST.as_str());
    let read = Instant::now();
    let answer = match service.blocking {
        true => tokio::task::block_in_place(|| (operation.run)(&mut context, input)),
        false => (operation.run)(&mut context, input),
    };
    let answer = context.refused(answer);
    let decided = Instant::now();
    let (reply, recorded) = reply(call, answer, request_id, note);
    // A refusal too may rest on what is not durable yet.
    let (revision, tickets) = context.into_waits();
    let written = Instant::now();
    settle(server, revision, &tickets, recorded).await?;
    note.settled();
    if call.operation.name == "RunTask" && reply.is_ok() {
        LAUNCHES.note(Phase::Api, (read - began) + (written - decided));
        LAUNCHES.note(Phase::Plan, decided - read);
        LAUNCHES.note(Phase::Commit, written.elapsed());
    }
    reply
}

/// The reply to be sent once what it rests on is durable, which its record belongs to.
fn reply(
    call: &Call,
    answer: Answered,
    request_id: &str,
    note: &mut Note<'_>,
) -> (Result<Reply, Fault>, Option<audit::Ticket>) {
    let recorded = note.carried_out(&answer);
    let reply = answer.map(|answer| call.reply(call.operation.output.map(|_| answer.as_ref()), request_id));
    (reply, recorded)
}

/// Waits until the record of a refusal is written. Where it cannot be the answer is no other.
pub(crate) async fn written(recorded: Option<audit::Ticket>) {
    if let Some(recorded) = recorded {
        let _ = recorded.written().await;
    }
}

/// Wait until everything the answer rests on is durable, and its record written.
pub(crate) async fn settle(
    server: &Server,
    revision: Revision,
    tickets: &[Ticket],
    recorded: Option<audit::Ticket>,
) -> Result<(), Fault> {
    const WORDS: &str = "The request has failed due to a temporary failure of the server";
    let closed = |_| Fault::common("ServiceUnavailable", 503, WORDS);
    let unsettled = |why| match why {
        Unsettled::Full(full) => full.into(),
        Unsettled::Closed(why) => closed(why),
    };
    server.store.durable(revision).await.map_err(unsettled)?;
    for ticket in tickets {
        ticket.durable().await.map_err(closed)?;
    }
    if let Some(recorded) = recorded {
        recorded.written().await.map_err(unsettled)?;
    }
    Ok(())
}

fn service(def: &ServiceDef) -> Option<&'static Service> {
    SERVICES.iter().copied().find(|service| service.def.name == def.name)
}

fn header(head: &Parts, name: &str) -> Option<String> {
    head.headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &[&str] = &[
        "127.0.0.1",
        "127.0.0.1:4566",
        "[::1]",
        "[::1]:4566",
        "10.0.0.7:80",
        "localhost",
        "LocalHost:4566",
        "ecs.localhost:4566",
        "data-localhost:4566",
        "stream-127.0.0.1:4566",
        "streaming-localhost",
    ];

    const FOREIGN: &[&str] = &[
        "",
        "x",
        "attacker.example",
        "attacker.example:4566",
        "127.0.0.1.attacker.example",
        "localhost.attacker.example",
        "notlocalhost",
        "ecs.us-east-1.amazonaws.com",
        "data-attacker.example",
        "[::1].attacker.example",
        "[attacker]",
        "a@localhost.example",
        "127.0.0.1:4566@attacker.example",
        "127.0.0.1:4566.attacker.example",
        "localhost:x",
        "[::1]:4566@attacker.example",
    ];

    fn request(host: &str, path: &str, origin: bool) -> Request<()> {
        let mut request = Request::builder().uri(path).header(HOST, host);
        if origin {
            request = request.header(ORIGIN, "http://attacker.example");
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_host_that_a_stranger_may_answer_for_is_refused() {
        for host in LOCAL {
            assert!(admit(&request(host, "/", false)).is_ok(), "{host}");
        }
        for host in FOREIGN {
            assert_eq!(admit(&request(host, "/", false)).unwrap_err().status, 403, "{host}");
        }
        assert!(admit(&request("localhost", "http://attacker.example/", false)).is_err());
        assert!(admit(&Request::new(())).is_ok());
        let two = Request::builder().header(HOST, "localhost").header(HOST, "attacker.example").body(()).unwrap();
        assert!(admit(&two).is_err());
    }

    #[test]
    fn a_web_page_may_neither_open_a_channel_nor_reset() {
        for path in ["/acs/ws", "/tcs/ws?containerInstance=1", "/edge/ws", "/_longshore/reset"] {
            assert!(admit(&request("localhost", path, true)).is_err(), "{path}");
            assert!(admit(&request("localhost", path, false)).is_ok(), "{path}");
        }
        assert!(admit(&request("localhost", "/", true)).is_ok());
    }

    #[tokio::test]
    async fn large_bodies_wait_for_room_and_small_ones_do_not() {
        let all = room(BODIES, Duration::ZERO).await.unwrap();
        assert!(room(SMALL_BODY, Duration::ZERO).await.unwrap().is_none());
        assert_eq!(room(SMALL_BODY + 1, Duration::ZERO).await.unwrap_err().status, 503);
        drop(all);
        assert!(room(SMALL_BODY + 1, Duration::ZERO).await.unwrap().is_some());
    }
}
