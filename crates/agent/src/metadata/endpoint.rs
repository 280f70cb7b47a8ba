//! What the endpoint answers one task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};
use longshore_link::acs;
use longshore_supervisor::protocol::{Command, Reply};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::document::{self, View};
use super::limit::Bucket;
use super::path::{self, Asked, What};
use super::{CONNECTION_WITHIN, Metadata};
use crate::engine::link::Link;
use crate::engine::runner::Pulled;
use crate::translate::{account, is_fargate};
use crate::wallet::Purse;

/// For so long an answer to `stats` is given again.
const STATS_LAST: Duration = Duration::from_secs(1);

/// How long credentials are waited for that are not there yet.
const CREDENTIALS_WITHIN: Duration = Duration::from_secs(3);

/// What `docker stats` would say, by container name.
type Stats = Arc<Map<String, Value>>;

/// One task, as the endpoint knows it.
pub(super) struct Endpoint {
    metadata: Metadata,
    task: Arc<acs::Task>,
    link: Link,
    pulled: Pulled,
    /// Of a task that has a role.
    purse: Option<Purse>,
    bucket: parking_lot::Mutex<Bucket>,
    stats: Mutex<Option<(Instant, Stats)>>,
}

fn error(status: StatusCode, code: &str, message: &str) -> (StatusCode, Value) {
    (status, json!({ "code": code, "message": message, "HTTPErrorCode": status.as_u16() }))
}

impl Endpoint {
    pub(super) fn new(
        metadata: &Metadata,
        task: &Arc<acs::Task>,
        link: &Link,
        pulled: &Pulled,
        purse: Option<Purse>,
    ) -> Self {
        Self {
            metadata: metadata.clone(),
            task: Arc::clone(task),
            link: link.clone(),
            pulled: pulled.clone(),
            purse,
            bucket: parking_lot::Mutex::new(Bucket::full(Instant::now())),
            stats: Mutex::default(),
        }
    }

    /// The status of an answer and its body.
    pub(super) async fn answer(&self, method: &Method, uri: &Uri) -> (StatusCode, Value) {
        if !self.bucket.lock().take(Instant::now()) {
            return error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "request rate of the task exceeded");
        }
        let (asked, credentials) = (path::read(uri.path()), path::credentials(uri.path(), uri.query()));
        match (asked, credentials) {
            (None, None) => error(StatusCode::NOT_FOUND, "NotFound", "there is no such path"),
            _ if method != Method::GET => {
                error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "only GET is answered")
            }
            (_, Some(id)) => self.credentials(id).await,
            (Some(asked), None) => match self.look_up(&asked).await {
                Some(value) => (StatusCode::OK, value),
                None => error(StatusCode::NOT_FOUND, "ContainerNotFound", "the task has no container of this id"),
            },
        }
    }

    /// The credentials of the task's role, if that is their id.
    async fn credentials(&self, id: &str) -> (StatusCode, Value) {
        if id.is_empty() {
            return error(
                StatusCode::BAD_REQUEST,
                "NoIdInRequest",
                "CredentialsV2Request: No Credential ID in the request",
            );
        }
        let Some(mut purse) = self.purse.clone().filter(|purse| purse.is_under(id)) else {
            return error(StatusCode::NOT_FOUND, "InvalidIdInRequest", "CredentialsV2Request: ID not found");
        };
        match timeout(CREDENTIALS_WITHIN, purse.take()).await {
            Ok(Some(kept)) => (StatusCode::OK, document::credentials(&kept.credentials)),
            _ => {
                let message = "CredentialsV2Request: Credentials uninitialized for ID";
                error(StatusCode::SERVICE_UNAVAILABLE, "CredentialsUninitialized", message)
            }
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

    /// The task's document with its tags, and those of the node unless that is Fargate's own; what could not be had is
    /// said in `Errors`.
    async fn tagged(&self, mut document: Value) -> Value {
        let node = if is_fargate(&self.task) { None } else { self.metadata.node.lock().clone() };
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
        let (plane, input) = (&self.metadata.plane, json!({ "resourceArn": arn }));
        let key = plane.key_of(account(&self.task.arn));
        let asking = plane.call_as::<Value>(&key, "ListTagsForResource", &input);
        let answer = match timeout(CONNECTION_WITHIN / 3, asking).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err("the control plane does not answer".to_owned()),
        };
        let tags = answer["tags"].as_array().cloned().unwrap_or_default();
        let pair = |tag: &Value| Some((tag["key"].as_str()?.to_owned(), tag["value"].clone()));
        Ok(tags.iter().filter_map(pair).collect())
    }
}
