//! What a node asks of the control plane outside its session: the operations of the ECS API that agents call.
//!
//! Plain HTTP, awsJson 1.1. The answers are read leniently; what the node does not need of them is not read at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::AccessKey;
use crate::sign;

/// How long one call may take.
const CALL_WITHIN: Duration = Duration::from_secs(15);

/// No answer to an agent is longer.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Idle connections that are kept.
const IDLE_CONNECTIONS: usize = 4;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer.
    #[error("{operation}: the control plane at {endpoint} does not answer: {reason}")]
    Unreachable { operation: &'static str, endpoint: String, reason: String },
    /// The answer was an error.
    #[error("{operation}: {code}: {message}")]
    Refused { operation: &'static str, status: StatusCode, code: String, message: String },
    /// The answer does not read.
    #[error("{operation}: the answer does not read: {reason}")]
    Unreadable { operation: &'static str, reason: String },
}

impl CallError {
    /// Whether nobody has the key that signed: the control plane let go of it.
    pub(crate) fn is_of_void_key(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "UnrecognizedClientException")
    }

    /// Whether the same call may succeed later. What the control plane has refused for its content never will; an answer
    /// without the form of the control plane's is not its own.
    pub fn is_transient(&self) -> bool {
        match self {
            // Something between may have answered.
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, code, .. } => {
                code.is_empty()
                    || status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
                    )
                    || code.contains("Throttling")
                    || code.contains("ServerException")
            }
        }
    }
}

/// A service of the control plane's: the prefix of its operations, and what its requests are signed for.
#[derive(Clone, Copy)]
pub(crate) struct Api {
    target: &'static str,
    signed_for: &'static str,
}

const ECS: Api = Api { target: "AmazonEC2ContainerServiceV20141113", signed_for: "ecs" };
const LONGSHORE: Api = Api { target: "Longshore_20261121", signed_for: "longshore" };
pub(crate) const LOGS: Api = Api { target: "Logs_20140328", signed_for: "logs" };
pub(crate) const SSM: Api = Api { target: "AmazonSSM", signed_for: "ssm" };
pub(crate) const ECR: Api = Api { target: "AmazonEC2ContainerRegistry_V20150921", signed_for: "ecr" };
pub(crate) const SECRETS_MANAGER: Api = Api { target: "secretsmanager", signed_for: "secretsmanager" };

/// The control plane as seen by a node. Clones share their connections.
#[derive(Clone)]
pub(crate) struct ControlPlane {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: String,
    region: String,
    account: String,
    key: Arc<Mutex<AccessKey>>,
}

/// What shows who calls.
enum Proof<'a> {
    Key(&'a AccessKey),
    /// A token to join with.
    Token(&'a str),
}

impl ControlPlane {
    /// `account` is the installation's own, and `key` the node's, if it has one by now.
    pub(crate) fn new(endpoint: &str, region: &str, account: &str, key: AccessKey) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self {
            client,
            endpoint: endpoint.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            key: Arc::new(Mutex::new(key)),
        }
    }

    /// The key that speaks for an account. Accounts apart from the installation's own exist only where an access key id may
    /// name its account.
    pub(crate) fn key_of(&self, account: &str) -> AccessKey {
        match account == self.account {
            true => self.key(),
            false => AccessKey { id: account.to_owned(), ..self.key() },
        }
    }

    pub(crate) fn key(&self) -> AccessKey {
        self.key.lock().clone()
    }

    /// From now on the node signs with this key.
    pub(crate) fn set_key(&self, key: AccessKey) {
        *self.key.lock() = key;
    }

    /// Where the edge opens its session.
    pub(crate) fn edge_endpoint(&self) -> String {
        format!("ws://{}/edge", self.endpoint)
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Calls an operation of ECS with the node's key.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        input: &Value,
    ) -> Result<T, CallError> {
        self.call_as(&self.key(), operation, input).await
    }

    /// Calls an operation of ECS with another key.
    pub(crate) async fn call_as<T: DeserializeOwned>(
        &self,
        key: &AccessKey,
        operation: &'static str,
        input: &Value,
    ) -> Result<T, CallError> {
        self.call_to(ECS, key, operation, input).await
    }

    /// Calls an operation of any service.
    pub(crate) async fn call_to<T: DeserializeOwned>(
        &self,
        api: Api,
        key: &AccessKey,
        operation: &'static str,
        input: &Value,
    ) -> Result<T, CallError> {
        self.call_by(api, &Proof::Key(key), operation, input).await
    }

    /// CreateJoinToken, by somebody who may make one.
    pub(crate) async fn create_join_token<T: DeserializeOwned>(
        &self,
        key: &AccessKey,
        input: &Value,
    ) -> Result<T, CallError> {
        self.call_by(LONGSHORE, &Proof::Key(key), "CreateJoinToken", input).await
    }

    /// JoinNode, with a token.
    pub(crate) async fn join<T: DeserializeOwned>(&self, token: &str, input: &Value) -> Result<T, CallError> {
        self.call_by(LONGSHORE, &Proof::Token(token), "JoinNode", input).await
    }

    async fn call_by<T: DeserializeOwned>(
        &self,
        api: Api,
        proof: &Proof<'_>,
        operation: &'static str,
        input: &Value,
    ) -> Result<T, CallError> {
        let asking = self.exchange(api, proof, operation, Bytes::from(input.to_string()));
        let (status, body) = match tokio::time::timeout(CALL_WITHIN, asking).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.unreachable(operation, "no answer in time")),
        };
        if status != StatusCode::OK {
            return Err(refusal(operation, status, &body));
        }
        // What has nothing to say may say nothing.
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        serde_json::from_slice(&body).map_err(|error| CallError::Unreadable { operation, reason: error.to_string() })
    }

    async fn exchange(
        &self,
        api: Api,
        proof: &Proof<'_>,
        operation: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let fail = |reason: &dyn std::error::Error| self.unreachable(operation, &chain(reason));
        let request = self.request(api, proof, operation, body).map_err(|error| fail(&error))?;
        let answer = self.client.request(request).await.map_err(|error| fail(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| self.unreachable(operation, &error.to_string()))?;
        Ok((status, body.to_bytes()))
    }

    fn request(
        &self,
        api: Api,
        proof: &Proof<'_>,
        operation: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::post(format!("http://{}/", self.endpoint))
            .header(header::HOST, &self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("{}.{operation}", api.target))
            .body(Full::new(body.clone()))?;
        match proof {
            Proof::Key(key) => sign::sign(&mut request, &body, key, &self.region, api.signed_for),
            Proof::Token(token) => sign::show(&mut request, token),
        }
        Ok(request)
    }

    fn unreachable(&self, operation: &'static str, reason: &str) -> CallError {
        CallError::Unreachable { operation, endpoint: self.endpoint.clone(), reason: reason.to_owned() }
    }
}

fn refusal(operation: &'static str, status: StatusCode, body: &[u8]) -> CallError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 2]| names.iter().find_map(|name| value[*name].as_str()).unwrap_or_default().to_owned();
    let code = text(["__type", "code"]);
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    CallError::Refused { operation, status, code, message: text(["message", "Message"]) }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status: u16, body: &str| refusal("X", StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let rows = [
            (500, r#"{"__type":"ServerException"}"#, true),
            (503, "", true),
            (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, true),
            (403, r#"{"__type":"com.amazon#AccessDeniedException"}"#, true),
            (400, r#"{"__type":"ClientException","message":"no such task"}"#, false),
            (400, r#"{"__type":"aws#InvalidParameterException"}"#, false),
            (404, "not json", true),
            (404, r#"{"__type":"NotFoundException"}"#, false),
        ];
        for (status, body, transient) in rows {
            assert_eq!(refused(status, body).is_transient(), transient, "{status} {body}");
        }
        let text = refused(400, r#"{"__type":"a#ClientException","message":"no such task"}"#).to_string();
        assert_eq!(text, "X: ClientException: no such task");
    }

    #[test]
    fn an_answer_that_does_not_read_is_not_the_last_word() {
        assert!(CallError::Unreadable { operation: "X", reason: "no JSON".to_owned() }.is_transient());
    }

    #[test]
    fn a_call_for_another_account_has_its_name() {
        let own = AccessKey { id: "AKID".to_owned(), secret: "s".to_owned(), token: None };
        let plane = ControlPlane::new("127.0.0.1:1", "us-east-1", "000000000000", own);
        assert_eq!(plane.key_of("000000000000").id, "AKID");
        assert_eq!((plane.key_of("111122223333").id, plane.key_of("x").secret), ("111122223333".into(), "s".into()));
    }

    #[tokio::test]
    async fn a_control_plane_that_is_away_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        drop(listener);
        let plane = ControlPlane::new(&endpoint, "us-east-1", "000000000000", AccessKey::default());
        let error = plane.call::<Value>("DiscoverPollEndpoint", &Value::Null).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("does not answer"), "{error}");
    }
}
