//! A task in real containers, from the first word of its supervisor to the last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_link::acs;
use longshore_supervisor::protocol::{
    Command, ContainerPhase, ContainerStatus, Health, StopCause, StopCode, TaskPhase, TaskStatus,
};
use tokio::process::Child;
use tokio::time::timeout;

use super::eni::eni;
use super::home::{self, Order};
use super::link::{Link, LinkError};
use super::real::Parts;
use super::runner::{Pulled, Running};
use crate::clock;
use crate::metadata::Served;
use crate::translate::{runtime_id, task_id};

/// How long a released supervisor may take to clean up and end. It keeps lines that no control plane takes for up to an
/// hour.
const RELEASE_WITHIN: Duration = Duration::from_secs(61 * 60);

pub(crate) struct Contained {
    parts: Arc<Parts>,
    task: Arc<acs::Task>,
    pulled: Pulled,
    /// None once the supervisor is known to be dead.
    link: Option<Link>,
    /// The last state of a task whose supervisor is dead.
    last: Option<TaskStatus>,
    /// The supervisor, if this process started it.
    child: Option<Child>,
    served: Option<Served>,
}

impl Contained {
    pub(super) fn new(
        parts: Arc<Parts>,
        task: Arc<acs::Task>,
        pulled: Pulled,
        link: Link,
        child: Option<Child>,
        served: Option<Served>,
    ) -> Self {
        Self { parts, task, pulled, link: Some(link), last: None, child, served }
    }

    /// A task that was found without a supervisor.
    pub(super) async fn dead(parts: Arc<Parts>, task: Arc<acs::Task>, pulled: Pulled) -> Self {
        let mut dead = Self { parts, task, pulled, link: None, last: None, child: None, served: None };
        dead.last = home::last(&dead.directory());
        if dead.last.is_none() {
            dead.bury().await;
        }
        dead
    }

    fn directory(&self) -> PathBuf {
        self.parts.home.task(task_id(&self.task.arn))
    }

    /// Whether the connection is gone and the end of the task was not heard.
    fn is_lost(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_gone() && link.status().phase != TaskPhase::Stopped)
    }

    /// A supervisor that lets go of a client may still live.
    async fn reconnect(&mut self) {
        match Link::find(&self.directory()).await {
            Some(link) => {
                if let Some(served) = &self.served {
                    served.answer(&self.task, &link, &self.pulled);
                }
                self.link = Some(link);
            }
            None => self.bury().await,
        }
    }

    /// Ends what the supervisor left and keeps what is known of it.
    async fn bury(&mut self) {
        let before = self.link.take().map(|link| link.status());
        let directory = self.directory();
        let reaped = tokio::task::spawn_blocking(move || longshore_supervisor::reap(&directory)).await;
        let status = match reaped {
            Ok(Ok(remains)) => remains.status,
            Ok(Err(error)) => {
                tracing::error!(task = self.task.arn, %error, "what a dead supervisor left could not be ended");
                None
            }
            Err(_) => None,
        };
        tracing::warn!(task = self.task.arn, "the supervisor of a task has died");
        let last = status.unwrap_or_else(|| ended(before.unwrap_or_else(|| unknown(&self.task))));
        let order = Order { task: acs::Task::clone(&self.task), pulled: self.pulled.clone(), credentials_id: None };
        if let Err(error) = self.parts.home.leave_word(task_id(&self.task.arn), &order, &last) {
            tracing::warn!(task = self.task.arn, %error, "the end of a task could not be written down");
        }
        self.last = Some(last);
    }

    /// Lets the supervisor clean up and end; whether it did.
    async fn release_supervisor(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        match link.ask(Command::Release).await {
            Ok(_) => timeout(RELEASE_WITHIN, link.gone()).await.is_ok(),
            Err(error) => {
                tracing::warn!(task = self.task.arn, %error, "a supervisor could not be released");
                false
            }
        }
    }

    /// The supervisor's process, if it is a child of this one, must be waited for.
    async fn end_child(&mut self, patience: Duration) {
        let Some(mut child) = self.child.take() else { return };
        if timeout(patience, child.wait()).await.is_err() {
            tracing::error!(task = self.task.arn, "a supervisor that should end does not and is killed");
            let _ = child.kill().await;
        }
    }
}

impl Running for Contained {
    fn status(&self) -> TaskStatus {
        match (&self.last, &self.link) {
            (Some(last), _) => last.clone(),
            (None, Some(link)) => link.status(),
            (None, None) => ended(unknown(&self.task)),
        }
    }

    async fn changed(&mut self) {
        if self.is_lost() {
            return;
        }
        match &mut self.link {
            Some(link) => link.changed().await,
            None => std::future::pending().await,
        }
    }

    async fn recover(&mut self) {
        if self.is_lost() {
            self.reconnect().await;
        }
    }

    async fn stop(&mut self) -> Result<(), LinkError> {
        let Some(link) = &self.link else { return Ok(()) };
        link.ask(Command::Stop { reason: None, timeout_seconds: None }).await.map(drop)
    }

    async fn vacate(&mut self) {
        self.served = None;
        if let Ok(eni) = eni(&self.task) {
            self.parts.release(&eni.id).await;
        }
    }

    async fn release(mut self) {
        let released = self.release_supervisor().await;
        self.end_child(if released { RELEASE_WITHIN } else { Duration::from_secs(1) }).await;
        let directory = self.directory();
        let removed = tokio::task::spawn_blocking(move || home::remove(&directory)).await;
        if let Ok(Err(error)) = removed {
            tracing::error!(task = self.task.arn, %error, "the directory of a task could not be removed");
        }
    }
}

/// The state of a task of which nothing is known.
fn unknown(task: &acs::Task) -> TaskStatus {
    let containers = task.containers.iter().map(|container| ContainerStatus {
        name: container.name.clone(),
        id: runtime_id(task, &container.name),
        status: ContainerPhase::Pending,
        pid: None,
        exit_code: None,
        reason: None,
        health: Health::Unknown,
        created_at: None,
        started_at: None,
        finished_at: None,
        restart_count: 0,
        dropped_lines: 0,
    });
    TaskStatus {
        task_arn: task.arn.clone(),
        supervisor_pid: 0,
        phase: TaskPhase::Activating,
        stop: None,
        health: Health::Unknown,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        containers: containers.collect(),
    }
}

/// That state, ended without anybody having seen how.
fn ended(mut status: TaskStatus) -> TaskStatus {
    let now = clock::now();
    for container in &mut status.containers {
        if container.status != ContainerPhase::Stopped {
            container.status = ContainerPhase::Stopped;
            container.pid = None;
            container.finished_at = Some(now);
        }
    }
    let code = match status.started_at {
        Some(_) => StopCode::EssentialContainerExited,
        None => StopCode::TaskFailedToStart,
    };
    let reason = "Task supervisor ended unexpectedly".to_owned();
    status.stop.get_or_insert(StopCause { code, reason });
    status.execution_stopped_at.get_or_insert(now);
    status.phase = TaskPhase::Stopped;
    status
}
