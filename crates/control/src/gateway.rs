//! The front door: one port for every service, the node channels and the operator's pages.
//!
//! A request is routed by its head and body ([`longshore_wire::protocol`]), carried out by a handler, and answered when
//! what the answer rests on is durable.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_model::AccountId;
use longshore_services::{Context, SERVICES, Service};
use longshore_store::Revision;
use longshore_store::logs::Ticket;
use longshore_wire::protocol::{Call, Refusal, Reply, body_limit, route};
use longshore_wire::sigv4::Scope;
use longshore_wire::{Fault, ServiceDef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::{Auth, Server, clock, session};

/// Connections at one time; more wait in the kernel's queue.
const CONNECTIONS: usize = 8192;

/// For a client to send its request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// For a client to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// For requests in flight to end when the control plane stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Bytes of a request head.
const HEAD_LIMIT: usize = 64 * 1024;

type Answer = Response<Full<Bytes>>;

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
    let service = service_fn(move |request| {
        let server = handler.clone();
        async move { Ok::<_, Infallible>(handle(server, request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_LIMIT).half_close(false);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
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
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => ready(&server),
        (&Method::GET, "/metrics") => metrics(&server),
        (&Method::GET, "/acs/ws" | "/tcs/ws") => channel(server, request),
        (&Method::POST, "/_longshore/reset") if server.auth == Auth::Permissive => reset(&server).await,
        _ => api(server, request).await,
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Full::new(body.into()));
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
    let state = server.store.read();
    text(StatusCode::OK, server.metrics.text(&state, server.sessions.count(), state.revision()))
}

async fn reset(server: &Server) -> Answer {
    let revision = server.reset();
    match server.store.durable(revision).await {
        Ok(()) => text(StatusCode::OK, "reset\n"),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the store is closed\n"),
    }
}

/// The websocket channels of nodes.
fn channel(server: Arc<Server>, mut request: Request<Incoming>) -> Answer {
    let telemetry = request.uri().path().starts_with("/tcs");
    let parameter = if telemetry { "containerInstance" } else { "containerInstanceArn" };
    let Some(node) = query_value(request.uri().query().unwrap_or_default(), parameter) else {
        return text(StatusCode::BAD_REQUEST, "InvalidInstanceException: which container instance?\n");
    };
    let id = node.rsplit('/').next().unwrap_or_default().to_owned();
    if !server.store.read().nodes.contains(&id) {
        return text(StatusCode::BAD_REQUEST, "InactiveInstanceException: the container instance is not registered\n");
    }
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
        match telemetry {
            true => session::serve_tcs(server, id, upgraded).await,
            false => session::serve_acs(server, id, upgraded).await,
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

fn query_value(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Everything that speaks an AWS protocol.
async fn api(server: Arc<Server>, request: Request<Incoming>) -> Answer {
    let request_id = clock::mint().uuid();
    let (head, body) = request.into_parts();
    let reply = match read_body(&head, body).await {
        Ok(body) => call(&server, &head, &body, &request_id).await,
        Err(fault) => refuse(&server, &Refusal::early(&head, fault), &request_id),
    };
    reply.map(|body| Full::new(Bytes::from(body)))
}

fn refuse(server: &Server, refusal: &Refusal, request_id: &str) -> Reply {
    server.metrics.refused.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(request_id, fault = %refusal.fault, "a request was refused");
    refusal.reply(request_id)
}

async fn read_body(head: &Parts, body: Incoming) -> Result<Bytes, Fault> {
    let plain = head.headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    if !plain {
        return Err(Fault::unsupported_encoding());
    }
    let limit = body_limit(head);
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    let collected = collected.map_err(|_| Fault::common("RequestTimeout", 408, "The request body did not arrive"))?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Fault::too_large(limit)),
        Err(_) => Err(Fault::serialization("The request body could not be read")),
    }
}

fn definitions() -> &'static [&'static ServiceDef] {
    static DEFINITIONS: std::sync::LazyLock<Vec<&'static ServiceDef>> =
        std::sync::LazyLock::new(|| SERVICES.iter().map(|service| service.def).collect());
    &DEFINITIONS
}

async fn call(server: &Arc<Server>, head: &Parts, body: &Bytes, request_id: &str) -> Reply {
    let call = match route(definitions(), head, body) {
        Ok(call) => call,
        Err(refusal) => return refuse(server, &refusal, request_id),
    };
    let reply = match carry_out(server, &call, head, body, request_id).await {
        Ok(reply) => reply,
        Err(fault) => {
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
) -> Result<Reply, Fault> {
    let built = service(call.service).and_then(|service| service.operation(call.operation.name));
    let operation = built.ok_or_else(|| Fault::not_implemented(call.service, call.operation))?;
    let account = account(server, head)?;
    let input = call.input(head, body)?;
    let mut context = Context::new(&server.store, &server.logs, &server.settings, account, clock::now(), clock::seed());
    context.batch = header(head, "x-longshore-batch");
    let answer = (operation.run)(&mut context, input);
    let reply = answer.map(|answer| call.reply(call.operation.output.map(|_| answer.as_ref()), request_id));
    // A refusal too may rest on what is not durable yet.
    let (revision, tickets) = context.into_waits();
    settle(server, revision, &tickets).await?;
    reply
}

/// Wait until everything the answer rests on is durable.
async fn settle(server: &Server, revision: Revision, tickets: &[Ticket]) -> Result<(), Fault> {
    const WORDS: &str = "The request has failed due to a temporary failure of the server";
    let unavailable = |_| Fault::common("ServiceUnavailable", 503, WORDS);
    server.store.durable(revision).await.map_err(unavailable)?;
    for ticket in tickets {
        ticket.durable().await.map_err(unavailable)?;
    }
    Ok(())
}

fn service(def: &ServiceDef) -> Option<&'static Service> {
    SERVICES.iter().copied().find(|service| service.def.name == def.name)
}

fn header(head: &Parts, name: &str) -> Option<String> {
    head.headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The account the caller speaks for: the configured one; in permissive mode the one that a twelve-digit access key names.
fn account(server: &Server, head: &Parts) -> Result<AccountId, Fault> {
    let named = match server.auth {
        Auth::Enforce => None,
        Auth::Permissive => Scope::of_request(head).and_then(|scope| AccountId::parse(&scope.access_key)),
    };
    let account = named.unwrap_or_else(|| server.settings.account.clone());
    match server.ensure_account(&account) {
        true => Ok(account),
        false => Err(Fault::common("LimitExceededException", 400, "There are too many accounts")),
    }
}
