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
//! goes on watching; the task is released only when its last report has arrived. A stop is asked for until the supervisor
//! has answered: it may be busy, or the connection to it may just have broken.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_link::acs;
use longshore_link::ledger::Wish;
use longshore_link::phase::{LAUNCHES, Phase};
use longshore_supervisor::protocol::{ContainerPhase, StopCause, StopCode, TaskPhase, TaskStatus};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::health::Health;
use super::report::{Outbox, Report};
use super::runner::{Pulled, Runner, Running};
use super::stage::{Progress, Stage};
use crate::clock;
use crate::translate::Failure;

/// After a stop that was not taken it is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Actor<R: Runner> {
    pub(super) task: Arc<acs::Task>,
    pub(super) runner: Arc<R>,
    pub(super) desired: watch::Receiver<Wish>,
    pub(super) outbox: Outbox,
    pub(super) health: Arc<Health>,
    /// Container states that have been reported.
    pub(super) told: HashMap<String, ContainerPhase>,
    pub(super) progress: Progress,
    /// When this agent started the task, until it runs.
    pub(super) started: Option<Instant>,
}

impl<R: Runner> Actor<R> {
    /// From the order to the last report. What is over soon is kept apart: a task that runs needs no room for it.
    pub(super) async fn run(mut self) {
        match Box::pin(self.launch()).await {
            Ok((running, pulled)) => self.follow(running, pulled).await,
            Err((failure, pulled)) => Box::pin(self.give_up(failure, &pulled)).await,
        }
    }

    /// The task was given to this node before, and nothing of it is here.
    pub(super) async fn mourn(self) {
        Box::pin(self.give_up(Some(Failure::lost()), &Pulled::default())).await;
    }

    /// Brings the task up. An error without a failure means that it was stopped before it ran.
    async fn launch(&mut self) -> Result<(R::Running, Pulled), (Option<Failure>, Pulled)> {
        let began = clock::now();
        let mut preparing = Box::pin(self.runner.prepare(Arc::clone(&self.task)));
        let prepared = loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.desired) => return Err((None, Pulled::default())),
                prepared = &mut preparing => break prepared,
                () = self.progress.lasts() => {
                    self.progress.settle();
                    self.outbox.put(Report::activating(&self.task, began));
                }
                () = self.outbox.work() => {}
            }
        };
        drop(preparing);
        let (prepared, pulled) = prepared.map_err(|failure| (Some(failure), Pulled::default()))?;
        match Box::pin(self.runner.start(Arc::clone(&self.task), prepared)).await {
            Ok(running) => {
                self.started = Some(Instant::now());
                Ok((running, pulled))
            }
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
        let (mut asked, mut ask_at) = (false, Instant::now());
        loop {
            if self.tell(&running.status(), &pulled) {
                break;
            }
            tokio::select! {
                () = running.changed() => running.recover().await,
                () = stop_due(&mut self.desired, ask_at), if !asked => {
                    asked = ask_to_stop(&self.task, &mut running).await;
                    ask_at = Instant::now() + ASK_AGAIN;
                }
                () = self.progress.lasts() => self.tell_stage(&running.status(), &pulled),
                () = self.outbox.work() => {}
            }
        }
        Box::pin(self.finish(running, &pulled)).await;
    }

    /// Reports what is new in a state. Returns whether it is the last.
    fn tell(&mut self, status: &TaskStatus, pulled: &Pulled) -> bool {
        self.health.note(&self.task, status);
        let ran = status.started_at.is_some();
        if ran && self.progress.stage() < Stage::Running {
            self.progress.enter(Stage::Running, Instant::now());
            self.note_told(status);
            if let Some(started) = self.started.take() {
                LAUNCHES.note(Phase::Runtime, started.elapsed());
            }
            tracing::info!(task = self.task.arn, "a task runs");
            self.outbox.put(Report::running(&self.task, status, pulled));
        }
        self.progress.enter(Stage::of(status), Instant::now());
        let last = status.phase == TaskPhase::Stopped;
        if self.told.is_empty() || last {
            return last;
        }
        for container in &status.containers {
            let before = self.told.insert(container.name.clone(), container.status);
            if before != Some(container.status) {
                self.outbox.put(Report::container(&self.task, container, pulled));
            }
        }
        last
    }

    /// Reports a stage that lasts, with the containers as they are. Whoever ordered a stop knows that the task stops.
    fn tell_stage(&mut self, status: &TaskStatus, pulled: &Pulled) {
        self.progress.settle();
        let stage = self.progress.stage();
        if stage == Stage::Stopping && *self.desired.borrow() == Wish::Stopped {
            return;
        }
        self.note_told(status);
        self.outbox.put(Report::stage(&self.task, stage.word(), status, pulled));
    }

    fn note_told(&mut self, status: &TaskStatus) {
        self.told = status.containers.iter().map(|container| (container.name.clone(), container.status)).collect();
    }

    async fn finish(mut self, mut running: R::Running, pulled: &Pulled) {
        let status = self.blame(running.status());
        let reason = status.stop.as_ref().map(|cause| cause.reason.as_str());
        tracing::info!(task = self.task.arn, reason, "a task has stopped");
        self.vacate(&mut running, &status, pulled).await;
        self.outbox.put(Report::stopped(&self.task, &status, pulled));
        self.outbox.empty().await;
        running.release().await;
    }

    async fn vacate(&mut self, running: &mut R::Running, status: &TaskStatus, pulled: &Pulled) {
        let mut vacating = std::pin::pin!(running.vacate());
        loop {
            tokio::select! {
                biased;
                () = &mut vacating => return,
                () = self.progress.lasts() => self.tell_stage(status, pulled),
                () = self.outbox.work() => {}
            }
        }
    }

    /// A task that was asked to stop did so for that reason, even if its supervisor had no time to say so.
    fn blame(&self, mut status: TaskStatus) -> TaskStatus {
        if status.stop.is_none() && *self.desired.borrow() == Wish::Stopped {
            status.stop = Some(StopCause { code: StopCode::Requested, reason: "Task stopped by request".to_owned() });
        }
        status
    }
}

/// Whether the task knows now that it is to stop.
async fn ask_to_stop(task: &acs::Task, running: &mut impl Running) -> bool {
    tracing::info!(task = task.arn, "stopping a task");
    let asked = running.stop().await;
    if let Err(error) = &asked {
        tracing::warn!(task = task.arn, %error, "a task could not be asked to stop, and will be again");
    }
    asked.is_ok()
}

/// Waits until the task is not wanted any more.
async fn stopped(desired: &mut watch::Receiver<Wish>) {
    if desired.wait_for(|desired| *desired == Wish::Stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the task is not wanted any more, and until `at`.
async fn stop_due(desired: &mut watch::Receiver<Wish>, at: Instant) {
    stopped(desired).await;
    sleep_until(at).await;
}
