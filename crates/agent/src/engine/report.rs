//! What a node tells of its tasks, and how it gets there: in order, one report of a task at a time, each until the
//! control plane has taken it or refused it for good.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::StatusCode;
use longshore_link::acs;
use longshore_link::phase::Phase;
use longshore_supervisor::protocol::{ContainerPhase, ContainerStatus, StopCode, TaskStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::post::Post;
use super::runner::{Pulled, timed};
use crate::api::{CallError, ControlPlane};
use crate::backoff::Backoff;
use crate::clock::seconds;
use crate::translate::{Failure, cluster_arn, runtime_id};

/// After so long a report is given up, as Amazon's agent does.
const GIVE_UP_AFTER: Duration = Duration::from_secs(72 * 3600);

/// How long a session may take to acknowledge a report, before it is made a call.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

/// Calls under way at the same time.
const PARALLEL_REPORTS: usize = 8;

/// Input of `SubmitTaskStateChange`. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskChange {
    pub(crate) cluster: String,
    pub(crate) task: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) containers: Vec<ContainerChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_started_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_stopped_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_stopped_at: Option<f64>,
}

/// One container in a [`TaskChange`]; with `cluster` and `task` the input of `SubmitContainerStateChange`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerChange {
    pub(crate) container_name: String,
    pub(crate) runtime_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) network_bindings: Vec<Value>,
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Report {
    Task(TaskChange),
    Container { cluster: String, task: String, container: ContainerChange },
}

impl Report {
    /// The task's images and network are being brought, since `began` (milliseconds since 1970).
    pub(crate) fn activating(task: &acs::Task, began: u64) -> Self {
        let pulled = Pulled { started_at: Some(began), ..Pulled::default() };
        Self::Task(outline(task, "ACTIVATING", &pulled))
    }

    /// The task is in a stage that lasts.
    pub(crate) fn stage(task: &acs::Task, word: &str, status: &TaskStatus, pulled: &Pulled) -> Self {
        Self::Task(TaskChange {
            execution_stopped_at: status.execution_stopped_at.map(seconds),
            ..task_change(task, word, status, pulled)
        })
    }

    /// The node does not take an order for this task, which therefore never starts.
    pub(crate) fn refused(task_arn: &str, failure: &Failure) -> Self {
        Self::Task(TaskChange {
            cluster: cluster_arn(task_arn),
            task: task_arn.to_owned(),
            status: "STOPPED".to_owned(),
            reason: Some(failure.reason.clone()),
            ..TaskChange::default()
        })
    }

    /// The task runs.
    pub(crate) fn running(task: &acs::Task, status: &TaskStatus, pulled: &Pulled) -> Self {
        Self::Task(task_change(task, "RUNNING", status, pulled))
    }

    /// The task has stopped. Why is only said when it stopped by itself.
    pub(crate) fn stopped(task: &acs::Task, status: &TaskStatus, pulled: &Pulled) -> Self {
        let cause = status.stop.as_ref().filter(|cause| cause.code != StopCode::Requested);
        Self::Task(TaskChange {
            reason: cause.map(|cause| cause.reason.clone()),
            execution_stopped_at: status.execution_stopped_at.map(seconds),
            ..task_change(task, "STOPPED", status, pulled)
        })
    }

    /// The task never started: for a reason of its own, or because it was stopped before.
    pub(crate) fn failed(task: &acs::Task, failure: Option<&Failure>, pulled: &Pulled) -> Self {
        let containers = task.containers.iter().map(|container| ContainerChange {
            container_name: container.name.clone(),
            runtime_id: runtime_id(task, &container.name),
            image_digest: pulled.digests.get(&container.name).cloned(),
            status: "STOPPED".to_owned(),
            reason: failure
                .filter(|failure| failure.container.as_ref() == Some(&container.name))
                .map(|failure| failure.reason.clone()),
            ..ContainerChange::default()
        });
        Self::Task(TaskChange {
            reason: failure.map(|failure| failure.reason.clone()),
            containers: containers.collect(),
            ..outline(task, "STOPPED", pulled)
        })
    }

    /// One container of a running task has changed.
    pub(crate) fn container(task: &acs::Task, container: &ContainerStatus, pulled: &Pulled) -> Self {
        let container = container_change(container, pulled);
        Self::Container { cluster: cluster_arn(&task.arn), task: task.arn.clone(), container }
    }

    fn says_running(&self) -> bool {
        matches!(self, Self::Task(change) if change.status == "RUNNING")
    }

    fn operation(&self) -> &'static str {
        match self {
            Self::Task(_) => "SubmitTaskStateChange",
            Self::Container { .. } => "SubmitContainerStateChange",
        }
    }

    fn input(&self) -> Value {
        match self {
            Self::Task(change) => serde_json::json!(change),
            Self::Container { cluster, task, container } => {
                let mut input = serde_json::json!(container);
                input["cluster"] = cluster.as_str().into();
                input["task"] = task.as_str().into();
                input
            }
        }
    }

    fn task(&self) -> &str {
        match self {
            Self::Task(change) => &change.task,
            Self::Container { task, .. } => task,
        }
    }
}

fn outline(task: &acs::Task, status: &str, pulled: &Pulled) -> TaskChange {
    TaskChange {
        cluster: cluster_arn(&task.arn),
        task: task.arn.clone(),
        status: status.to_owned(),
        pull_started_at: pulled.started_at.map(seconds),
        pull_stopped_at: pulled.stopped_at.map(seconds),
        ..TaskChange::default()
    }
}

fn task_change(task: &acs::Task, word: &str, status: &TaskStatus, pulled: &Pulled) -> TaskChange {
    let containers = status.containers.iter().map(|container| container_change(container, pulled)).collect();
    TaskChange { containers, ..outline(task, word, pulled) }
}

fn container_change(container: &ContainerStatus, pulled: &Pulled) -> ContainerChange {
    let stopped = container.status == ContainerPhase::Stopped;
    let status = match container.status {
        ContainerPhase::Pending => "PENDING",
        ContainerPhase::Running => "RUNNING",
        ContainerPhase::Stopped => "STOPPED",
    };
    ContainerChange {
        container_name: container.name.clone(),
        runtime_id: container.id.clone(),
        image_digest: pulled.digests.get(&container.name).cloned(),
        status: status.to_owned(),
        exit_code: container.exit_code.filter(|_| stopped),
        reason: container.reason.clone(),
        network_bindings: Vec::new(),
    }
}

/// Delivers reports; shared by all tasks of a node. Reports of tasks go through the session, if it takes them, else each is
/// a call.
pub(crate) struct Courier {
    plane: ControlPlane,
    post: Post,
    slots: Semaphore,
}

impl Courier {
    pub(crate) fn new(plane: ControlPlane) -> Self {
        Self { plane, post: Post::default(), slots: Semaphore::new(PARALLEL_REPORTS) }
    }

    /// Returns when the control plane has taken the report, or will never take it.
    pub(super) async fn deliver(&self, report: Report) {
        let mut backoff = Backoff::of_reports();
        let begun = Instant::now();
        loop {
            let Err(error) = self.attempt(&report).await else { return };
            if !error.is_transient() || begun.elapsed() > GIVE_UP_AFTER {
                tracing::warn!(task = report.task(), %error, "a report was refused and is dropped");
                return;
            }
            tracing::debug!(task = report.task(), %error, "a report will be repeated");
            backoff.wait().await;
        }
    }

    pub(super) fn post(&self) -> &Post {
        &self.post
    }

    async fn attempt(&self, report: &Report) -> Result<(), CallError> {
        match report.says_running() {
            true => timed(Phase::Report, self.hand_over(report)).await,
            false => self.hand_over(report).await,
        }
    }

    async fn hand_over(&self, report: &Report) -> Result<(), CallError> {
        match self.through_the_session(report).await {
            Some(Ok(())) => Ok(()),
            Some(Err(message)) => {
                let (operation, code) = (report.operation(), "Refused".to_owned());
                Err(CallError::Refused { operation, status: StatusCode::BAD_REQUEST, code, message })
            }
            None => {
                let _slot = self.slots.acquire().await;
                self.plane.call::<Value>(report.operation(), &report.input()).await.map(drop)
            }
        }
    }

    /// `None` if no session takes the report, or none acknowledged it in time: a report may arrive twice.
    async fn through_the_session(&self, report: &Report) -> Option<Result<(), String>> {
        let Report::Task(change) = report else { return None };
        tokio::time::timeout(ACKNOWLEDGED_WITHIN, self.post.send(change)).await.ok().flatten()
    }
}

/// The reports of one task that have not arrived yet.
pub(super) struct Outbox {
    courier: Arc<Courier>,
    waiting: VecDeque<Report>,
    under_way: Option<BoxFuture<'static, ()>>,
}

impl Outbox {
    pub(super) fn new(courier: Arc<Courier>) -> Self {
        Self { courier, waiting: VecDeque::new(), under_way: None }
    }

    pub(super) fn put(&mut self, report: Report) {
        self.waiting.push_back(report);
    }

    /// Delivers one report after the other; never returns. May be dropped at any point and called again.
    pub(super) async fn work(&mut self) {
        while self.deliver_next().await {}
        pending().await
    }

    /// Delivers all there are.
    pub(super) async fn empty(mut self) {
        while self.deliver_next().await {}
    }

    async fn deliver_next(&mut self) -> bool {
        if self.under_way.is_none() {
            let Some(report) = self.waiting.pop_front() else { return false };
            let courier = Arc::clone(&self.courier);
            self.under_way = Some(async move { courier.deliver(report).await }.boxed());
        }
        if let Some(delivery) = &mut self.under_way {
            delivery.await;
        }
        self.under_way = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use longshore_supervisor::protocol::Health;

    use super::*;

    #[test]
    fn only_a_stopped_container_has_an_exit_code() {
        let told = |status| {
            let container = ContainerStatus {
                name: "web".to_owned(),
                id: "1".to_owned(),
                status,
                pid: None,
                exit_code: Some(3),
                reason: None,
                health: Health::Unknown,
                created_at: None,
                started_at: None,
                finished_at: None,
                restart_count: 1,
                dropped_lines: 0,
            };
            container_change(&container, &Pulled::default()).exit_code
        };
        assert_eq!(told(ContainerPhase::Pending), None);
        assert_eq!(told(ContainerPhase::Running), None, "the code is of the life before");
        assert_eq!(told(ContainerPhase::Stopped), Some(3));
    }
}
