//! The connections of all tasks, by one listener.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::CONNECTION_WITHIN;
use super::endpoint::Endpoint;
use super::register::{Door, Register, Visit};

/// Connections of all tasks at the same time; more wait at the door. They are descriptors of the agent.
const CONNECTIONS: usize = 512;

/// Headers of one request.
const LONGEST_HEAD: usize = 8 * 1024;

/// Takes connections until this is dropped, and with it all of them. Who is not of the register gets no answer.
pub(super) async fn accept(listener: TcpListener, register: Register<Endpoint>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok((stream, SocketAddr::V4(peer))) => (stream, *peer.ip()),
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "a connection to the metadata endpoint was lost");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(visit) = register.visit(peer, Door::Metadata) else { continue };
        connections.spawn(async move {
            let _ = timeout(CONNECTION_WITHIN, converse(stream, visit)).await;
            drop(slot);
        });
    }
}

/// One request and its answer, unless the task ends meanwhile.
async fn converse(stream: TcpStream, mut visit: Visit<Endpoint>) {
    let Some(endpoint) = visit.answering().await else { return };
    let service = service_fn(move |request| answer(Arc::clone(&endpoint), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_WITHIN)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = visit.ended() => {}
    }
}

async fn answer(endpoint: Arc<Endpoint>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = endpoint.answer(request.method(), request.uri()).await;
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}
