//! The life of one task on this node.
//!
//! ```text
//!   order RUNNING ──► prepare ──► start ──► watch ──► last state ──► vacate ──► STOPPED taken ──► release
//!                        │           │        │  ▲
//!                        └─ failed, or stopped before ──► abandon ──► STOPPED with the reason
//!                                             └──┘ RUNNING, containers, health; order STOPPED → stop
//! ```
//!
//! An actor reads what is wanted from a watch and never decides anything itself. What it reports is delivered while it
//! goes on watching; the task is released only when its last report has arrived.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_link::acs;
use longshore_link::ledger::Wish;
use longshore_supervisor::protocol::{ContainerPhase, StopCause, StopCode, TaskPhase, TaskStatus};
use tokio::sync::watch;

use super::health::Health;
use super::report::{Outbox, Report};
use super::runner::{Pulled, Runner, Running};
use crate::clock;
use crate::translate::Failure;

/// A task that is not prepared after so long is told of as ACTIVATING: a pull takes its time. Most are up before.
const SLOW: Duration = Duration::from_millis(100);

pub(super) struct Actor<R: Runner> {
    pub(super) task: Arc<acs::Task>,
    pub(super) runner: Arc<R>,
    pub(super) desired: watch::Receiver<Wish>,
    pub(super) outbox: Outbox,
    pub(super) health: Arc<Health>,
    /// Container states that have been reported.
    pub(super) told: HashMap<String, ContainerPhase>,
    pub(super) said_running: bool,
}

impl<R: Runner> Actor<R> {
    /// From the order to the last report.
    pub(super) async fn run(mut self) {
        match self.launch().await {
            Ok((running, pulled)) => self.follow(running, pulled).await,
            Err((failure, pulled)) => self.give_up(failure, &pulled).await,
        }
    }

    /// The task was given to this node before, and nothing of it is here.
    pub(super) async fn mourn(self) {
        self.give_up(Some(Failure::lost()), &Pulled::default()).await;
    }

    /// Brings the task up. An error without a failure means that it was stopped before it ran.
    async fn launch(&mut self) -> Result<(R::Running, Pulled), (Option<Failure>, Pulled)> {
        let began = clock::now();
        let mut preparing = Box::pin(self.runner.prepare(Arc::clone(&self.task)));
        let mut slow = std::pin::pin!(tokio::time::sleep(SLOW));
        let mut said = false;
        let prepared = loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.desired) => return Err((None, Pulled::default())),
                prepared = &mut preparing => break prepared,
                () = &mut slow, if !said => {
                    said = true;
                    self.outbox.put(Report::activating(&self.task, began));
                }
                () = self.outbox.work() => {}
            }
        };
        drop(preparing);
        let (prepared, pulled) = prepared.map_err(|failure| (Some(failure), Pulled::default()))?;
        match Box::pin(self.runner.start(Arc::clone(&self.task), prepared)).await {
            Ok(running) => Ok((running, pulled)),
            Err(failure) => Err((Some(failure), pulled)),
        }
    }

    async fn give_up(mut self, failure: Option<Failure>, pulled: &Pulled) {
        match &failure {
            Some(failure) => tracing::warn!(task = self.task.arn, reason = failure.reason, "a task does not start"),
            None => tracing::info!(task = self.task.arn, "a task was stopped before it started"),
        }
        self.runner.abandon(&self.task).await;
        self.outbox.put(Report::failed(&self.task, failure.as_ref(), pulled));
        self.outbox.empty().await;
    }

    /// From the first state to the last.
    pub(super) async fn follow(mut self, mut running: R::Running, pulled: Pulled) {
        let mut asked = false;
        loop {
            let status = running.status();
            self.tell(&status, &pulled);
            if status.phase == TaskPhase::Stopped {
                break;
            }
            tokio::select! {
                () = running.changed() => {}
                () = stopped(&mut self.desired), if !asked => {
                    asked = true;
                    tracing::info!(task = self.task.arn, "stopping a task");
                    running.stop().await;
                }
                () = self.outbox.work() => {}
            }
        }
        self.finish(running, &pulled).await;
    }

    /// Reports what is new in a state.
    fn tell(&mut self, status: &TaskStatus, pulled: &Pulled) {
        self.health.note(&self.task, status);
        let ran = status.started_at.is_some();
        if ran && !self.said_running {
            self.said_running = true;
            self.told = status.containers.iter().map(|container| (container.name.clone(), container.status)).collect();
            tracing::info!(task = self.task.arn, "a task runs");
            self.outbox.put(Report::running(&self.task, status, pulled));
        }
        if !self.said_running || status.phase == TaskPhase::Stopped {
            return;
        }
        for container in &status.containers {
            let before = self.told.insert(container.name.clone(), container.status);
            if before != Some(container.status) {
                self.outbox.put(Report::container(&self.task, container, pulled));
            }
        }
    }

    async fn finish(mut self, mut running: R::Running, pulled: &Pulled) {
        let status = self.blame(running.status());
        let reason = status.stop.as_ref().map(|cause| cause.reason.as_str());
        tracing::info!(task = self.task.arn, reason, "a task has stopped");
        running.vacate().await;
        self.outbox.put(Report::stopped(&self.task, &status, pulled));
        self.outbox.empty().await;
        running.release().await;
    }

    /// A task that was asked to stop did so for that reason, even if its supervisor had no time to say so.
    fn blame(&self, mut status: TaskStatus) -> TaskStatus {
        if status.stop.is_none() && *self.desired.borrow() == Wish::Stopped {
            status.stop = Some(StopCause { code: StopCode::Requested, reason: "Task stopped by request".to_owned() });
        }
        status
    }
}

/// Waits until the task is not wanted any more.
async fn stopped(desired: &mut watch::Receiver<Wish>) {
    if desired.wait_for(|desired| *desired == Wish::Stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}
