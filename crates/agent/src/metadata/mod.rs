//! The task metadata endpoint: what a container may know of itself, at http://169.254.170.2 inside its own namespace.
//!
//! A listener belongs to one task: it is opened in that task's network namespace, which nobody else can reach, so who
//! asks is known without looking at the request. The `Host` header means nothing here, and there are no credentials.
//! Ids in paths are those of the task's own containers; every other is not found.
//!
//! ```text
//!   /v4/ID   /v4/ID/task   /v4/ID/taskWithTags   /v4/ID/stats   /v4/ID/task/stats
//!   /v3/ID   /v3/ID/task   /v3/ID/stats   /v3/ID/task/stats       /v2/metadata[/ID]   /v2/stats[/ID]
//! ```
//!
//! Every connection carries one request and lives five seconds at most; a task has 40 requests a second with a burst
//! of 60. Left out: credentials, task protection, fault injection.

mod document;
mod limit;
mod path;
mod redirect;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore_link::acs;
use longshore_supervisor::protocol::{Command, Reply};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::document::View;
use self::limit::Bucket;
use self::path::{Asked, What};
pub(crate) use self::redirect::redirect;
use crate::api::ControlPlane;
use crate::engine::link::Link;
use crate::engine::runner::Pulled;
use crate::translate::METADATA_ADDRESS;

/// Where tasks ask.
const PUBLIC_PORT: u16 = 80;

/// Where the endpoint listens; Amazon's agent has the same port.
const PORT: u16 = 51679;

/// How long a connection may last, from its first byte to its last.
const CONNECTION_WITHIN: Duration = Duration::from_secs(5);

/// Connections of one task at the same time; more wait at the door.
const CONNECTIONS: usize = 32;

/// Headers of one request.
const LONGEST_HEAD: usize = 8 * 1024;

/// For so long an answer to `stats` is given again.
const STATS_LAST: Duration = Duration::from_secs(1);

/// What the documents of all tasks share.
#[derive(Clone)]
pub(crate) struct Metadata {
    plane: ControlPlane,
    node: Arc<parking_lot::Mutex<Option<String>>>,
}

impl Metadata {
    pub(crate) fn new(plane: ControlPlane) -> Self {
        Self { plane, node: Arc::default() }
    }

    /// Tells which node this is, for the tags of the container instance.
    pub(crate) fn set_node(&self, arn: &str) {
        *self.node.lock() = Some(arn.to_owned());
    }
}

/// A socket in a task's namespace on which nobody answers yet.
pub(crate) struct Listening(TcpListener);

/// The endpoint of one task; it closes when this is dropped.
pub(crate) struct Served(AbortHandle);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listening {
    pub(crate) fn open(netns: BorrowedFd<'_>) -> Result<Self, crate::network::Error> {
        let address = SocketAddr::from((METADATA_ADDRESS, PORT));
        crate::network::listen_in(netns, address).map(Self)
    }

    /// Answers from now on.
    pub(crate) fn serve(self, metadata: &Metadata, task: &Arc<acs::Task>, link: &Link, pulled: &Pulled) -> Served {
        let endpoint = Endpoint {
            metadata: metadata.clone(),
            task: Arc::clone(task),
            link: link.clone(),
            pulled: pulled.clone(),
            bucket: parking_lot::Mutex::new(Bucket::full(Instant::now())),
            stats: Mutex::default(),
        };
        let task = tokio::spawn(accept(self.0, Arc::new(endpoint)));
        Served(task.abort_handle())
    }
}

/// What `docker stats` would say, by container name.
type Stats = Arc<Map<String, Value>>;

struct Endpoint {
    metadata: Metadata,
    task: Arc<acs::Task>,
    link: Link,
    pulled: Pulled,
    bucket: parking_lot::Mutex<Bucket>,
    stats: Mutex<Option<(Instant, Stats)>>,
}

/// Takes connections until the endpoint closes, and with it all of them.
async fn accept(listener: TcpListener, endpoint: Arc<Endpoint>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection to a metadata endpoint was lost");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let endpoint = Arc::clone(&endpoint);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&endpoint), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(CONNECTION_WITHIN)
                .max_buf_size(LONGEST_HEAD)
                .keep_alive(false)
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            let _ = timeout(CONNECTION_WITHIN, connection).await;
            drop(slot);
        });
    }
}

async fn answer(endpoint: Arc<Endpoint>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (status, body) = endpoint.answer(request.method(), request.uri().path()).await;
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn error(status: StatusCode, code: &str, message: &str) -> (StatusCode, Value) {
    (status, json!({ "code": code, "message": message, "HTTPErrorCode": status.as_u16() }))
}

impl Endpoint {
    async fn answer(&self, method: &Method, path: &str) -> (StatusCode, Value) {
        if !self.bucket.lock().take(Instant::now()) {
            return error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "request rate of the task exceeded");
        }
        let asked = match path::read(path) {
            Ok(asked) => asked,
            Err(path::Unknown::Credentials) => {
                return error(StatusCode::NOT_FOUND, "CredentialsNotFound", "this task has no credentials here");
            }
            Err(path::Unknown::Path) => return error(StatusCode::NOT_FOUND, "NotFound", "there is no such path"),
        };
        if method != Method::GET {
            return error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "only GET is answered");
        }
        match self.look_up(&asked).await {
            Some(value) => (StatusCode::OK, value),
            None => error(StatusCode::NOT_FOUND, "ContainerNotFound", "the task has no container of this id"),
        }
    }

    async fn look_up(&self, asked: &Asked<'_>) -> Option<Value> {
        let status = self.link.status();
        let view = View { task: &self.task, status: &status, pulled: &self.pulled, level: asked.level };
        let name = match asked.id {
            Some(id) => Some(status.containers.iter().find(|container| container.id == id)?.name.clone()),
            None => None,
        };
        Some(match (asked.what, name) {
            (What::Own, Some(name)) => view.container(&name)?,
            (What::OwnStats, Some(name)) => self.stats().await.get(&name).cloned().unwrap_or(Value::Null),
            (What::TaskWithTags, _) => self.tagged(view.task()).await,
            (What::TaskStats | What::OwnStats, _) => {
                let stats = self.stats().await;
                view.by_id(|name| stats.get(name).cloned().unwrap_or(Value::Null))
            }
            (What::Task | What::Own, _) => view.task(),
        })
    }

    /// By container name. What cannot be had is absent.
    async fn stats(&self) -> Stats {
        let mut kept = self.stats.lock().await;
        if let Some((at, stats)) = &*kept
            && at.elapsed() < STATS_LAST
        {
            return Arc::clone(stats);
        }
        let fresh = match self.link.ask(Command::Stats).await {
            Ok(Reply::Stats { containers }) => containers
                .into_iter()
                .filter_map(|(name, stats)| Some((name, serde_json::to_value(stats).ok()?)))
                .collect(),
            _ => Map::new(),
        };
        let fresh = Arc::new(fresh);
        *kept = Some((Instant::now(), Arc::clone(&fresh)));
        fresh
    }

    /// The task's document with its tags, and those of the node; what could not be had is said in `Errors`.
    async fn tagged(&self, mut document: Value) -> Value {
        let node = self.metadata.node.lock().clone();
        let wanted = [("TaskTags", Some(self.task.arn.clone())), ("ContainerInstanceTags", node)];
        let mut errors = Vec::new();
        for (member, arn) in wanted {
            let Some(arn) = arn else { continue };
            match self.tags(&arn).await {
                Ok(tags) if tags.is_empty() => {}
                Ok(tags) => document[member] = Value::Object(tags),
                Err(reason) => errors.push(json!({
                    "ErrorField": member, "ErrorCode": "ClientException", "ErrorMessage": reason, "StatusCode": 400,
                    "ResourceARN": arn,
                })),
            }
        }
        if !errors.is_empty() {
            document["Errors"] = errors.into();
        }
        document
    }

    async fn tags(&self, arn: &str) -> Result<Map<String, Value>, String> {
        let input = json!({ "resourceArn": arn });
        let asking = self.metadata.plane.call::<Value>("ListTagsForResource", &input);
        let answer = match timeout(CONNECTION_WITHIN / 3, asking).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err("the control plane does not answer".to_owned()),
        };
        let tags = answer["tags"].as_array().cloned().unwrap_or_default();
        let pair = |tag: &Value| Some((tag["key"].as_str()?.to_owned(), tag["value"].clone()));
        Ok(tags.iter().filter_map(pair).collect())
    }
}
