//! What must be in the log is there, however much else comes at once.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use longshore_model::AccountId;
use longshore_store::audit::{Audit, LONGEST_EVENT, Line, Options, Weight, verify};
use longshore_wire::TimestampFormat;
use longshore_wire::sigv4::Signer;
use serde_json::{Value, json};

use crate::{Auth, Config, Server, bind, clock, gateway};

const REGION: &str = "us-east-1";

/// A control plane whose audit log stands still when it is to tell of lost records, until it is let go on.
struct World {
    server: Arc<Server>,
    directory: PathBuf,
    /// Something comes when it stands still.
    stands: mpsc::Receiver<()>,
    /// Dropped, it goes on.
    held: Option<mpsc::Sender<()>>,
}

impl World {
    async fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("longshore-trail-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let config = Config {
            data_dir: directory.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            region: REGION.to_owned(),
            account: AccountId::parse("123456789012").unwrap(),
            auth: Auth::Enforce,
            node_lost_hours: 1,
            audit_mib: 64,
            trail_seconds: 60,
            registry_url: None,
            registry_peers: None,
            upstreams: Vec::new(),
            balancer_address: std::net::Ipv4Addr::LOCALHOST.into(),
            throttle: false,
        };
        let mut server = bind(&config).await.unwrap().server;
        let ((told, stands), (held, go_on)) = (mpsc::channel(), mpsc::channel());
        let tell = Box::new(move |_| {
            let _ = told.send(());
            let _ = go_on.recv();
            (0, b"{}".to_vec())
        });
        let options = Options { segment_bytes: 64 << 20, total_bytes: 1 << 30, tell };
        Arc::get_mut(&mut server).unwrap().audit = Audit::open(&directory.join("filled"), options).unwrap();
        Self { server, directory, stands, held: Some(held) }
    }

    /// Fills the room there is for records that nobody waits for; nothing is written from then on.
    fn fill(&self) {
        let audit = &self.server.audit;
        // Too long for any record, it is lost; the next one has the log tell so.
        audit.push(0, &vec![b'x'; LONGEST_EVENT + 1], Weight::Light);
        audit.push(0, b"{}", Weight::Light);
        self.stands.recv().unwrap();
        let large = format!("{{\"filler\":\"{}\"}}", "x".repeat(LONGEST_EVENT - 100));
        let mut newest = 0;
        while newest != audit.newest() {
            newest = audit.newest();
            audit.push(0, large.as_bytes(), Weight::Light);
        }
    }

    /// Status and body of a call of Secrets Manager that the root signs.
    async fn call(&self, operation: &str, input: Value) -> (u16, Value) {
        let body = Bytes::from(input.to_string());
        let head = signed(&self.server, operation, &body);
        read(gateway::call(&self.server, &head, &body, "r").await)
    }

    /// Name and error of every call that the log has.
    fn recorded(&self) -> Vec<(String, Option<String>)> {
        let mut calls = Vec::new();
        let mut note = |line: Line<'_>| {
            let event: Value = serde_json::from_slice(line.event).unwrap();
            let name = event["eventName"].as_str().map(str::to_owned);
            calls.extend(name.map(|name| (name, event["errorCode"].as_str().map(str::to_owned))));
            ControlFlow::Continue(())
        };
        self.server.audit.flush().unwrap();
        self.server.audit.forward(1, &mut note).unwrap();
        calls
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.held = None;
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn read(reply: http::Response<impl AsRef<[u8]>>) -> (u16, Value) {
    let body = serde_json::from_slice(reply.body().as_ref()).unwrap();
    (reply.status().as_u16(), body)
}

fn signed(server: &Server, operation: &str, body: &[u8]) -> http::request::Parts {
    let timestamp = clock::wall().millis().div_euclid(1000) * 1000;
    let timestamp = longshore_wire::Timestamp::from_millis(timestamp).format(TimestampFormat::Iso8601);
    let timestamp = timestamp.replace(['-', ':'], "");
    let target = format!("secretsmanager.{operation}");
    let headers = [("host", "127.0.0.1"), ("x-amz-date", &*timestamp), ("x-amz-target", &*target)];
    let key = &server.root_key;
    let signer =
        Signer { secret_key: &key.secret_access_key, timestamp: &timestamp, region: REGION, service: "secretsmanager" };
    let authorization = signer.post_authorization(&key.access_key_id, &headers, body);
    let mut request = Request::post("/").header("content-type", "application/x-amz-json-1.1");
    for (name, value) in headers.into_iter().chain([("authorization", &*authorization)]) {
        request = request.header(name, value);
    }
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn a_secret_that_is_read_and_a_call_that_is_refused_are_recorded_while_there_is_no_room_for_reads() {
    let mut world = World::new("full").await;
    for name in ["open", "shut"] {
        assert_eq!(world.call("CreateSecret", json!({"Name": name, "SecretString": "planted"})).await.0, 200);
    }
    let actions = ["secretsmanager:GetSecretValue", "secretsmanager:ListSecretVersionIds"];
    let deny = json!({"Version": "2012-10-17", "Statement":
        [{"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": "*"}]});
    let policy = json!({"SecretId": "shut", "ResourcePolicy": deny.to_string()});
    let put = world.call("PutResourcePolicy", policy).await;
    assert_eq!(put.0, 200, "{}", put.1);
    world.fill();
    let held = world.held.take();
    // A read that shows nothing is answered, and counted.
    assert_eq!(world.call("DescribeSecret", json!({"SecretId": "open"})).await.0, 200);
    {
        let mut revealed = pin!(world.call("GetSecretValue", json!({"SecretId": "open"})));
        let mut denied = pin!(world.call("GetSecretValue", json!({"SecretId": "shut"})));
        let mut refused = pin!(world.call("ListSecretVersionIds", json!({"SecretId": "shut"})));
        let mut missed = pin!(world.call("DescribeSecret", json!({"SecretId": "none"})));
        // None is answered before its record is written.
        assert!(revealed.as_mut().now_or_never().is_none());
        assert!(denied.as_mut().now_or_never().is_none());
        assert!(refused.as_mut().now_or_never().is_none());
        assert!(missed.as_mut().now_or_never().is_none());
        drop(held);
        assert_eq!(revealed.await.1["SecretString"], "planted");
        assert_eq!((denied.await.0, refused.await.0, missed.await.0), (400, 400, 400));
    }
    let calls = world.recorded();
    let errors = |name: &str| {
        let named = calls.iter().filter(|(call, _)| call == name);
        named.map(|(_, error)| error.as_deref()).collect::<Vec<_>>()
    };
    assert_eq!(errors("GetSecretValue"), [None, Some("AccessDeniedException")]);
    assert_eq!(errors("ListSecretVersionIds"), [Some("AccessDeniedException")]);
    assert_eq!(errors("DescribeSecret"), [Some("ResourceNotFoundException")], "the other one was one too many");
    assert!(verify(&world.directory.join("filled"), None).unwrap().is_ok());
}
