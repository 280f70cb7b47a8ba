//! A control plane for tests: answers what an agent calls, keeps what it was told, and holds the other end of its
//! sessions. It decides nothing; the tests do.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub const NODE: &str =
    "arn:aws:ecs:us-east-1:000000000000:container-instance/longshore.fargate/11112222333344445555666677778888";
pub const REGION: &str = "us-east-1";

/// Nothing in a test takes as long; but a busy machine may take long.
pub const SOON: Duration = Duration::from_secs(120);

/// One call of an agent.
#[derive(Clone, Debug)]
pub struct Call {
    pub operation: String,
    pub input: Value,
    /// Access key id that signed it, or the token that it shows.
    pub key: String,
}

/// An answer to be given instead of the usual one.
struct Script {
    operation: &'static str,
    status: u16,
    body: Value,
}

/// A listener at a port that the kernel gives to nobody who asks for any: it stays free while this is away, and an agent
/// that looks for it meanwhile does not meet itself.
async fn bind_anywhere() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id() * 31 + u32::from(number)) % 10_000;
        if let Ok(listener) = TcpListener::bind(format!("127.0.0.1:{port}")).await {
            return listener;
        }
    }
}

#[derive(Default)]
struct Told {
    calls: Vec<Call>,
    scripts: VecDeque<Script>,
}

pub struct Plane {
    pub address: SocketAddr,
    told: Mutex<Told>,
    heard: Notify,
    acs: AsyncMutex<mpsc::UnboundedReceiver<Session>>,
    tcs: AsyncMutex<mpsc::UnboundedReceiver<Session>>,
    new_acs: mpsc::UnboundedSender<Session>,
    new_tcs: mpsc::UnboundedSender<Session>,
    serving: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// The control plane's end of a session.
pub struct Session {
    pub uri: String,
    socket: WebSocketStream<TokioIo<Upgraded>>,
}

impl Plane {
    pub async fn start() -> Arc<Self> {
        let listener = bind_anywhere().await;
        let (new_acs, acs) = mpsc::unbounded_channel();
        let (new_tcs, tcs) = mpsc::unbounded_channel();
        let plane = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            told: Mutex::default(),
            heard: Notify::new(),
            acs: AsyncMutex::new(acs),
            tcs: AsyncMutex::new(tcs),
            new_acs,
            new_tcs,
            serving: Mutex::default(),
        });
        plane.serve(listener);
        plane
    }

    fn serve(self: &Arc<Self>, listener: TcpListener) {
        let plane = Arc::clone(self);
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let plane = Arc::clone(&plane);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&plane), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                });
            }
        });
        *self.serving.lock().unwrap() = Some(serving);
    }

    /// Stops answering; connections that are open are cut.
    pub async fn leave(&self) {
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Answers again, at the same address.
    pub async fn come_back(self: &Arc<Self>) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        self.serve(listener);
    }

    /// The next call of this operation will be answered so.
    pub fn script(&self, operation: &'static str, status: u16, body: Value) {
        self.told.lock().unwrap().scripts.push_back(Script { operation, status, body });
    }

    /// Answers as usual again.
    pub fn forget_scripts(&self) {
        self.told.lock().unwrap().scripts.clear();
    }

    /// The next ACS session that an agent opens.
    pub async fn acs(&self) -> Session {
        soon(async { self.acs.lock().await.recv().await }).await.unwrap()
    }

    pub async fn tcs(&self) -> Session {
        soon(async { self.tcs.lock().await.recv().await }).await.unwrap()
    }

    /// Access key ids that signed calls of an operation.
    pub fn keys(&self, operation: &str) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.calls.iter().filter(|call| call.operation == operation).map(|call| call.key.clone()).collect()
    }

    pub fn calls(&self, operation: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.calls.iter().filter(|call| call.operation == operation).map(|call| call.input.clone()).collect()
    }

    /// Statuses that were reported for a task, in order; without those that only a slow machine adds.
    pub fn statuses(&self, task: &str) -> Vec<String> {
        let passing = ["ACTIVATING", "STOPPING", "DEPROVISIONING"];
        let calls = self.calls("SubmitTaskStateChange");
        let of_task = calls.iter().filter(|input| input["task"] == task);
        let statuses = of_task.map(|input| input["status"].as_str().unwrap_or_default().to_owned());
        statuses.filter(|status| !passing.contains(&status.as_str())).collect()
    }

    /// The first report of a task with this status, waiting for it.
    pub async fn report(&self, task: &str, status: &str) -> Value {
        let found = |input: &Value| input["task"] == task && input["status"] == status;
        self.call_where("SubmitTaskStateChange", found).await
    }

    /// The first call of an operation for which `found` holds, waiting for it.
    pub async fn call_where(&self, operation: &str, found: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                let heard = self.heard.notified();
                if let Some(input) = self.calls(operation).into_iter().find(&found) {
                    return input;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), heard).await;
            }
        })
        .await
    }

    fn answer_call(&self, operation: &str, input: Value, key: String) -> (u16, Value) {
        let mut told = self.told.lock().unwrap();
        told.calls.push(Call { operation: operation.to_owned(), input: input.clone(), key });
        if let Some(place) = told.scripts.iter().position(|script| script.operation == operation)
            && let Some(script) = told.scripts.remove(place)
        {
            return (script.status, script.body);
        }
        drop(told);
        self.heard.notify_waiters();
        let address = self.address;
        let body = match operation {
            "RegisterContainerInstance" => {
                let node = input["containerInstanceArn"].as_str().unwrap_or(NODE);
                json!({"containerInstance": {"containerInstanceArn": node, "attributes": input["attributes"]}})
            }
            "DiscoverPollEndpoint" => {
                json!({"endpoint": format!("ws://{address}/acs"), "telemetryEndpoint": format!("ws://{address}/tcs")})
            }
            "CreateJoinToken" => {
                json!({"joinToken": "made", "containerInstanceArn": NODE, "expiresAt": 1.5})
            }
            "JoinNode" => {
                json!({"accessKeyId": "NODEKEY", "secretAccessKey": "planted", "containerInstanceArn": NODE})
            }
            "ListTagsForResource" => json!({"tags": [{"key": "team", "value": "dock"}]}),
            _ => json!({"acknowledgment": "ACCEPT"}),
        };
        (200, body)
    }
}

async fn answer(plane: Arc<Plane>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    if path == "/acs/ws" || path == "/tcs/ws" {
        return Ok(accept(&plane, request, path == "/acs/ws"));
    }
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let signed = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let shown = signed.strip_prefix("LONGSHORE-JOIN ");
    let key = signed.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
    let key = key.or(shown).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let (status, body) = plane.answer_call(&operation, serde_json::from_slice(&body).unwrap_or_default(), key);
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

fn accept(plane: &Arc<Plane>, request: Request<Incoming>, orders: bool) -> Response<Full<Bytes>> {
    let operation = if orders { "acs" } else { "tcs" };
    let (status, body) = plane.answer_call(operation, json!(request.uri().to_string()), String::new());
    if status != 200 {
        let body = Full::new(Bytes::from(body.to_string()));
        return Response::builder().status(status).body(body).unwrap();
    }
    let key = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    let uri = request.uri().to_string();
    let sessions = if orders { plane.new_acs.clone() } else { plane.new_tcs.clone() };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let _ = sessions.send(Session { uri, socket });
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let response = response.header("connection", "upgrade").header("upgrade", "websocket");
    response.header("sec-websocket-accept", key).body(Full::default()).unwrap()
}

impl Session {
    pub async fn send(&mut self, kind: &str, message: Value) {
        self.send_text(json!({"type": kind, "message": message}).to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        soon(self.socket.send(Message::text(text))).await.unwrap();
    }

    /// As `send_text`, but the other side may be gone.
    pub async fn try_send_text(&mut self, text: String) {
        let _ = soon(self.socket.send(Message::text(text))).await;
    }

    /// The next message of this type; others are passed over.
    pub async fn recv(&mut self, kind: &str) -> Value {
        soon(async {
            loop {
                let message = self.next().await.expect("the agent ended the session");
                if message["type"] == kind {
                    return message["message"].clone();
                }
            }
        })
        .await
    }

    /// The next message; `None` when the agent has ended the session.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Whether the agent sends nothing of this type for as long as it takes it to answer a heartbeat.
    pub async fn silent_about(&mut self, kind: &str) -> bool {
        self.send("HeartbeatMessage", json!({"messageId": "probe", "healthy": true})).await;
        soon(async {
            loop {
                let message = self.next().await.expect("the agent ended the session");
                if message["type"] == "HeartbeatAckRequest" && message["message"]["messageId"] == "probe" {
                    return true;
                }
                if message["type"] == kind {
                    return false;
                }
            }
        })
        .await
    }

    /// Sends an order and waits until it is acknowledged.
    pub async fn order(&mut self, seq: i64, tasks: &[Value]) {
        self.send("PayloadMessage", payload(seq, tasks)).await;
        let ack = self.recv("AckRequest").await;
        assert_eq!(ack["messageId"], format!("order-{seq}"), "{ack}");
        assert_eq!(ack["containerInstance"], NODE);
    }
}

pub fn payload(seq: i64, tasks: &[Value]) -> Value {
    json!({
        "messageId": format!("order-{seq}"),
        "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/longshore.fargate",
        "containerInstanceArn": NODE,
        "generatedAt": 1,
        "seqNum": seq,
        "tasks": tasks,
    })
}

pub fn manifest(timeline: i64, tasks: &[(&str, &str)]) -> Value {
    let identifier =
        |(task, status): &(&str, &str)| json!({"taskArn": task, "taskClusterArn": "", "desiredStatus": status});
    let tasks: Vec<Value> = tasks.iter().map(identifier).collect();
    json!({
        "messageId": format!("manifest-{timeline}"),
        "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/longshore.fargate",
        "containerInstanceArn": NODE,
        "timeline": timeline,
        "tasks": tasks,
    })
}

/// ARN of a task whose id ends in `number`.
pub fn arn(number: u32) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:task/production/{:016x}{number:016x}", std::process::id())
}

/// The order for a task of one container.
pub fn task(number: u32, status: &str) -> Value {
    json!({
        "arn": arn(number),
        "family": "web",
        "version": "1",
        "desiredStatus": status,
        "networkMode": "awsvpc",
        "launchType": "FARGATE",
        "cpu": 0.25,
        "memory": 512,
        "containers": [{"name": "web", "image": "web:latest", "essential": true, "dockerConfig": {}}],
        "elasticNetworkInterfaces": [{
            "ec2Id": format!("eni-{number:017x}"),
            "attachmentArn": "arn:aws:ecs:us-east-1:000000000000:attachment/1",
            "macAddress": format!("0a:00:00:00:{:02x}:{:02x}", number >> 8, number & 0xff),
            "ipv4Addresses": [{"primary": true, "privateAddress": format!("172.31.{}.{}", number / 200, 10 + number % 200)}],
            "subnetGatewayIpv4Address": "172.31.0.1/20",
        }],
    })
}

/// Panics when `work` takes too long.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("this took too long")
}

/// Waits until `holds`.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
