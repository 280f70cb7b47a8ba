//! One simulated node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Counters;
use super::http::Caller;

/// Zones that the nodes are spread over: those of the default region.
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// CPU units and MiB that each node offers.
const CPU: u32 = 1 << 20;
const MEMORY_MIB: u32 = 1 << 20;

/// The account that nodes belong to.
const ACCOUNT: &str = "000000000000";

/// Bytes that are read at once: an order of a few tasks.
const READ_BUFFER: usize = 8 * 1024;

type Socket = WebSocketStream<TcpStream>;

/// The members of a frame's message that a node must read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Order {
    message_id: String,
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    /// In a payload.
    #[serde(default)]
    arn: String,
    desired_status: String,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    message: Order,
}

/// Registers node `number` and opens its session, which goes on in a task of its own.
pub async fn open(address: &str, number: usize, counters: Arc<Counters>) -> Result<JoinHandle<()>> {
    let mut caller = Caller::new(address, ACCOUNT);
    let zone = ZONES[number % ZONES.len()];
    let arn = register(&mut caller, zone).await.with_context(|| format!("registering node {number}"))?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let uri = format!(
        "ws://{address}/acs/ws?clusterArn=longshore.fargate&containerInstanceArn={arn}&agentHash=longshore\
         &agentVersion=0&seqNum=1&protocolVersion=2&dockerVersion=simulated&sendCredentials=true"
    );
    let limits = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let opening = tokio_tungstenite::client_async_with_config(uri, stream, Some(limits));
    let (socket, _) = opening.await.context("opening a session")?;
    Ok(tokio::spawn(async move {
        let (reports, waiting) = mpsc::unbounded_channel();
        let told = counters.clone();
        let ended = tokio::select! {
            ended = session(socket, &arn, &counters, reports) => ended,
            ended = deliver(caller, waiting, &told) => ended,
        };
        let others = counters.lost.fetch_add(1, Ordering::Relaxed);
        if let (Err(error), 0) = (ended, others) {
            eprintln!("bench: node {number}: {error:#}");
        }
    }))
}

async fn register(caller: &mut Caller, zone: &str) -> Result<String> {
    let request = serde_json::json!({
        "cluster": "longshore.fargate",
        "attributes": [
            { "name": "longshore.fargate" },
            { "name": "longshore.zone", "value": zone },
            { "name": "ecs.os-type", "value": "linux" },
            { "name": "ecs.cpu-architecture", "value": "x86_64" },
        ],
        "totalResources": [
            { "name": "CPU", "type": "INTEGER", "integerValue": CPU },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": MEMORY_MIB },
        ],
    });
    let answer = caller.ecs("RegisterContainerInstance", &request.to_string()).await?;
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    Ok(answer["containerInstance"]["containerInstanceArn"].as_str().context("an ARN")?.to_owned())
}

async fn session(
    mut socket: Socket,
    arn: &str,
    counters: &Counters,
    reports: mpsc::UnboundedSender<(bool, String)>,
) -> Result<()> {
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let frame: Frame<'_> = serde_json::from_str(&text).context("a frame")?;
        let id = &frame.message.message_id;
        let answer = match frame.kind {
            "HeartbeatMessage" => format!(r#"{{"type":"HeartbeatAckRequest","message":{{"messageId":"{id}"}}}}"#),
            "TaskManifestMessage" => acknowledge(arn, id),
            "PayloadMessage" => {
                counters.payloads.fetch_add(1, Ordering::Relaxed);
                acknowledge(arn, id)
            }
            _ => continue,
        };
        socket.send(Message::text(answer)).await?;
        if frame.kind == "PayloadMessage" {
            for task in &frame.message.tasks {
                reports.send(report(task))?;
            }
        }
    }
    Ok(())
}

fn acknowledge(arn: &str, message: &str) -> String {
    format!(
        r#"{{"type":"AckRequest","message":{{"cluster":"longshore.fargate","containerInstance":"{arn}","messageId":"{message}"}}}}"#
    )
}

/// Whether the task runs, and the input of SubmitTaskStateChange.
fn report(task: &Task) -> (bool, String) {
    let runs = task.desired_status == "RUNNING";
    let status = if runs { "RUNNING" } else { "STOPPED" };
    let id = task.arn.rsplit('/').next().unwrap_or_default();
    let containers: Vec<String> = task
        .containers
        .iter()
        .map(|container| {
            let exit = if runs { "" } else { r#""exitCode":143,"# };
            format!(
                r#"{{"containerName":"{name}","runtimeId":"{id}-{name}",{exit}"imageDigest":"sha256:{digest}","status":"{status}","networkBindings":[]}}"#,
                name = container.name,
                digest = "0".repeat(64),
            )
        })
        .collect();
    let body = format!(
        r#"{{"cluster":"longshore.fargate","task":"{}","status":"{status}","containers":[{}]}}"#,
        task.arn,
        containers.join(",")
    );
    (runs, body)
}

/// Delivers reports one after the other; each waits until the one before is durable.
async fn deliver(
    mut caller: Caller,
    mut waiting: mpsc::UnboundedReceiver<(bool, String)>,
    counters: &Counters,
) -> Result<()> {
    while let Some((runs, body)) = waiting.recv().await {
        caller.ecs("SubmitTaskStateChange", &body).await?;
        let counter = if runs { &counters.running } else { &counters.stopped };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
