//! The session in which a node gets its orders.

use std::sync::Arc;

use longshore_link::Frame;
use longshore_link::acs::{
    AckRequest, CloseMessage, HeartbeatAckRequest, HeartbeatMessage, NackRequest, PayloadMessage, TaskManifestMessage,
    TaskStateChangesMessage, TaskStopVerificationAck, TaskStopVerificationMessage,
};
use longshore_link::credentials::IAMRoleCredentialsMessage;
use longshore_link::ledger::Timeline;
use longshore_link::phase::{LAUNCHES, Phase};
use serde_json::Value;

use super::Lost;
use super::socket::{Socket, ended};
use crate::engine::Engine;
use crate::engine::post::Bag;
use crate::engine::runner::Runner;
use crate::wallet::Wallet;

/// Characters of the words in which a message is refused.
const LONGEST_REASON: usize = 256;

/// What outlives one session: the engine, and the last manifest seen.
pub(super) struct Orders<R: Runner> {
    engine: Arc<Engine<R>>,
    node: String,
    wallet: Wallet,
    timeline: Timeline,
}

impl<R: Runner> Orders<R> {
    pub(super) fn new(engine: Arc<Engine<R>>, node: &str, wallet: Wallet) -> Self {
        Self { engine, node: node.to_owned(), wallet, timeline: Timeline::default() }
    }

    /// Until the session ends.
    pub(super) async fn session(&mut self, mut socket: Socket) -> Lost {
        tracing::info!(node = self.node, tasks = self.engine.count(), "in session with the control plane");
        // The reports that this session carries, once the control plane has said that it takes them.
        let mut bag = None;
        loop {
            let done = tokio::select! {
                heard = socket.next() => match heard {
                    Err(lost) => Err(lost),
                    Ok(None) => Ok(()),
                    Ok(Some(frame)) => self.take(&mut socket, &mut bag, frame).await,
                },
                reports = next(&mut bag) => socket.send(&reports).await,
                wanted = self.wallet.next() => socket.send(&wanted).await,
            };
            if let Err(lost) = done {
                return lost;
            }
        }
    }

    async fn take(&mut self, socket: &mut Socket, bag: &mut Option<Bag>, frame: Frame) -> Result<(), Lost> {
        match frame.kind.as_str() {
            "HeartbeatMessage" => match read::<HeartbeatMessage>(frame) {
                Some(beat) => socket.send(&HeartbeatAckRequest { message_id: beat.message_id }).await,
                None => Ok(()),
            },
            "PayloadMessage" => match serde_json::from_str(frame.message.get()) {
                Ok(payload) => self.payload(socket, payload).await,
                Err(error) => {
                    let payload = serde_json::from_str(frame.message.get()).unwrap_or_default();
                    self.unreadable(socket, &payload, &error.to_string()).await
                }
            },
            "TaskManifestMessage" => match read(frame) {
                Some(manifest) => self.manifest(socket, bag, manifest).await,
                None => Ok(()),
            },
            "TaskStateChangesAck" => {
                if let (Some(bag), Some(ack)) = (bag, read(frame)) {
                    bag.acknowledged(ack);
                }
                Ok(())
            }
            "IAMRoleCredentialsMessage" => self.credentials(socket, frame).await,
            "TaskCredentialsRefusal" => {
                if let Some(refusal) = read(frame) {
                    self.wallet.refused(refusal);
                }
                Ok(())
            }
            "TaskStopVerificationAck" => {
                self.confirmed(read(frame));
                Ok(())
            }
            "CloseMessage" => {
                let reason = read::<CloseMessage>(frame).map(|close| close.message).unwrap_or_default();
                Err(ended(reason))
            }
            other => {
                let kind: String = other.chars().take(64).collect();
                tracing::warn!(?kind, "a message of an unknown type was dropped");
                Ok(())
            }
        }
    }

    async fn payload(&mut self, socket: &mut Socket, payload: PayloadMessage) -> Result<(), Lost> {
        if !self.is_for_us("payload", &payload.cluster_arn, &payload.container_instance_arn) {
            return Ok(());
        }
        let ack = self.ack(&payload.message_id);
        let (seq, message) = (payload.seq_num, payload.message_id.clone());
        let began = std::time::Instant::now();
        let outcomes = self.engine.apply(payload);
        LAUNCHES.note(Phase::Take, began.elapsed());
        tracing::debug!(message, seq, ?outcomes, "orders taken");
        socket.send(&ack).await
    }

    /// Tells that orders do not read, and that their tasks do not start.
    async fn unreadable(&self, socket: &mut Socket, payload: &Value, why: &str) -> Result<(), Lost> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if !self.is_for_us("payload", &text(&payload["clusterArn"]), &text(&payload["containerInstanceArn"])) {
            return Ok(());
        }
        let why: String = why.chars().take(LONGEST_REASON).collect();
        for task in payload["tasks"].as_array().into_iter().flatten() {
            self.engine.refuse(&text(&task["arn"]), &format!("it does not read: {why}"));
        }
        let AckRequest { cluster, container_instance, message_id } = self.ack(&text(&payload["messageId"]));
        socket.send(&NackRequest { cluster, container_instance, message_id, reason: why }).await
    }

    async fn manifest(
        &mut self,
        socket: &mut Socket,
        bag: &mut Option<Bag>,
        manifest: TaskManifestMessage,
    ) -> Result<(), Lost> {
        if !self.is_for_us("manifest", &manifest.cluster_arn, &manifest.container_instance_arn) {
            return Ok(());
        }
        if !self.timeline.takes(&manifest) {
            tracing::warn!(timeline = manifest.timeline, last = ?self.timeline, "an old manifest was dropped");
            return Ok(());
        }
        if manifest.takes_reports && bag.is_none() {
            *bag = Some(self.engine.post().open());
        }
        socket.send(&self.ack(&manifest.message_id)).await?;
        let stop_candidates = self.engine.candidates(&manifest);
        if stop_candidates.is_empty() {
            return Ok(());
        }
        tracing::info!(count = stop_candidates.len(), "asking whether tasks that nobody wants may stop");
        socket.send(&TaskStopVerificationMessage { message_id: manifest.message_id, stop_candidates }).await
    }

    /// What is secret in a message that does not read is not to be found in the log.
    async fn credentials(&self, socket: &mut Socket, frame: Frame) -> Result<(), Lost> {
        let Ok(message) = serde_json::from_str::<IAMRoleCredentialsMessage>(frame.message.get()) else {
            tracing::warn!("credentials that do not read were dropped");
            return Ok(());
        };
        match self.wallet.put(message) {
            Some(ack) => socket.send(&ack).await,
            None => {
                tracing::warn!("credentials that no task here waits for were dropped");
                Ok(())
            }
        }
    }

    fn confirmed(&self, answer: Option<TaskStopVerificationAck>) {
        for task in answer.into_iter().flat_map(|answer| answer.stop_tasks) {
            tracing::info!(task = task.task_arn, "stopping a task that the control plane does not want");
            self.engine.stop(&task.task_arn);
        }
    }

    /// Whether a message is meant for this node. The cluster may be left out; a node that serves all is of none.
    fn is_for_us(&self, what: &str, cluster: &str, node: &str) -> bool {
        let cluster_name = cluster.rsplit('/').next().unwrap_or_default();
        let ours = node == self.node && (cluster_name.is_empty() || cluster_name == longshore_link::FARGATE_CLUSTER);
        if !ours {
            tracing::warn!(what, cluster, other = node, "a message for another node was dropped");
        }
        ours
    }

    fn ack(&self, message_id: &str) -> AckRequest {
        AckRequest {
            cluster: longshore_link::FARGATE_CLUSTER.to_owned(),
            container_instance: self.node.clone(),
            message_id: message_id.to_owned(),
        }
    }
}

/// The next message of reports, if this session carries them.
async fn next(bag: &mut Option<Bag>) -> TaskStateChangesMessage {
    match bag {
        Some(bag) => bag.next().await,
        None => std::future::pending().await,
    }
}

fn read<M: longshore_link::Message>(frame: Frame) -> Option<M> {
    frame.read().map_err(|error| tracing::warn!(%error, "a message of the control plane was dropped")).ok()
}
