//! One simulated node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::net::TcpStream;
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
    refused: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    /// In a payload.
    #[serde(default)]
    arn: String,
    desired_status: String,
    /// In a payload.
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
    drop(caller);
    Ok(tokio::spawn(async move {
        let ended = session(socket, &arn, &counters).await;
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

async fn session(mut socket: Socket, arn: &str, counters: &Counters) -> Result<()> {
    let mut told = 0;
    // Reports that wait until they are durable: message id, how many of them say RUNNING and STOPPED.
    let mut waiting: VecDeque<(String, u64, u64)> = VecDeque::new();
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let frame: Frame<'_> = serde_json::from_str(&text).context("a frame")?;
        let id = &frame.message.message_id;
        match frame.kind {
            "HeartbeatMessage" => {
                let answer = format!(r#"{{"type":"HeartbeatAckRequest","message":{{"messageId":"{id}"}}}}"#);
                socket.send(Message::text(answer)).await?;
            }
            "TaskManifestMessage" => socket.send(Message::text(acknowledge(arn, id))).await?,
            "PayloadMessage" => {
                counters.payloads.fetch_add(1, Ordering::Relaxed);
                told += 1;
                waiting.push_back(count(&told.to_string(), &frame.message.tasks));
                socket.feed(Message::text(acknowledge(arn, id))).await?;
                socket.send(Message::text(reports(told, &frame.message.tasks))).await?;
            }
            "TaskStateChangesAck" => {
                ensure!(frame.message.refused.is_empty(), "reports were refused: {text}");
                let (_, running, stopped) =
                    waiting.pop_front().filter(|(told, _, _)| told == id).context("an answer to reports")?;
                counters.running.fetch_add(running, Ordering::Relaxed);
                counters.stopped.fetch_add(stopped, Ordering::Relaxed);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The id of a message about these tasks, how many of them run and how many have stopped.
fn count(message: &str, tasks: &[Task]) -> (String, u64, u64) {
    let running = tasks.iter().filter(|task| task.desired_status == "RUNNING").count();
    (message.to_owned(), running as u64, (tasks.len() - running) as u64)
}

/// What became of these tasks: each does what was wanted at once.
fn reports(message: u64, tasks: &[Task]) -> String {
    let changes: Vec<String> = tasks.iter().map(report).collect();
    let changes = changes.join(",");
    format!(r#"{{"type":"TaskStateChangesMessage","message":{{"messageId":"{message}","changes":[{changes}]}}}}"#)
}

fn acknowledge(arn: &str, message: &str) -> String {
    format!(
        r#"{{"type":"AckRequest","message":{{"cluster":"longshore.fargate","containerInstance":"{arn}","messageId":"{message}"}}}}"#
    )
}

/// The input of SubmitTaskStateChange.
fn report(task: &Task) -> String {
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
    format!(
        r#"{{"cluster":"longshore.fargate","task":"{}","status":"{status}","containers":[{}]}}"#,
        task.arn,
        containers.join(",")
    )
}
