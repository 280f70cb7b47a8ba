//! The lifecycle of tasks without containers: for tests of infrastructure code and for runs at scale.
//!
//! A task runs a few milliseconds after its order and until it is stopped, or until the time that its label
//! `longshore.simulate.exit-after=SECONDS[:CODE]` says; a stop takes a few milliseconds and ends it with 143, as
//! SIGTERM would.

use std::sync::Arc;
use std::time::Duration;

use longshore_link::{acs, docker};
use longshore_supervisor::protocol::{
    ContainerPhase, ContainerStatus, Health, StopCause, StopCode, TaskPhase, TaskStatus,
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::link::LinkError;
use super::runner::{Pulled, Runner, Running};
use crate::clock;
use crate::translate::{Failure, check_task, runtime_id};

/// Containers of this label end by themselves.
const EXIT_AFTER: &str = "longshore.simulate.exit-after";

const START_TAKES: Duration = Duration::from_millis(3);
const STOP_TAKES: Duration = Duration::from_millis(3);

/// Of a process that ends by SIGTERM.
const TERMINATED: i32 = 143;

pub(crate) struct Simulated;

impl Runner for Simulated {
    type Prepared = ();
    type Running = Pretence;

    const REPEATABLE: bool = true;

    fn record(&self, _: &acs::Task) -> std::io::Result<()> {
        Ok(())
    }

    async fn prepare(&self, task: Arc<acs::Task>) -> Result<((), Pulled), Failure> {
        check_task(&task)?;
        let digest = |container: &acs::Container| (container.name.clone(), digest(&container.image));
        let digests = task.containers.iter().map(digest).collect();
        let now = Some(clock::now());
        Ok(((), Pulled { started_at: now, stopped_at: now, digests }))
    }

    async fn start(&self, task: Arc<acs::Task>, (): ()) -> Result<Pretence, Failure> {
        tokio::time::sleep(START_TAKES).await;
        Pretence::new(&task)
    }

    async fn abandon(&self, _: &acs::Task) {}
}

/// The digest in an image's name, else one made of the name.
fn digest(image: &str) -> String {
    match image.split_once('@') {
        Some((_, digest)) => digest.to_owned(),
        None => format!("sha256:{}", hex::encode(Sha256::digest(image.as_bytes()))),
    }
}

/// A task that only says that it runs.
pub(crate) struct Pretence {
    status: TaskStatus,
    /// When it ends, which container's doing that is, and with which code.
    end: Option<(Instant, usize, i32)>,
}

impl Pretence {
    fn new(task: &acs::Task) -> Result<Self, Failure> {
        let now = clock::now();
        let containers = task.containers.iter().map(|container| ContainerStatus {
            name: container.name.clone(),
            id: runtime_id(task, &container.name),
            status: ContainerPhase::Running,
            pid: None,
            exit_code: None,
            reason: None,
            health: if container.health_check_type.is_some() { Health::Healthy } else { Health::Unknown },
            created_at: Some(now),
            started_at: Some(now),
            finished_at: None,
            restart_count: 0,
            dropped_lines: 0,
        });
        let status = TaskStatus {
            task_arn: task.arn.clone(),
            supervisor_pid: 0,
            phase: TaskPhase::Running,
            stop: None,
            health: Health::Unknown,
            started_at: Some(now),
            stopping_at: None,
            execution_stopped_at: None,
            containers: containers.collect(),
        };
        Ok(Self { status, end: first_exit(task)? })
    }

    fn end(&mut self, container: usize, code: i32) {
        let now = clock::now();
        for (place, status) in self.status.containers.iter_mut().enumerate() {
            status.status = ContainerPhase::Stopped;
            status.exit_code = Some(if place == container { code } else { TERMINATED });
            status.finished_at = Some(now);
        }
        self.status.phase = TaskPhase::Stopped;
        self.status.execution_stopped_at = Some(now);
        self.status.stop.get_or_insert_with(|| StopCause {
            code: StopCode::EssentialContainerExited,
            reason: "Essential container in task exited".to_owned(),
        });
    }
}

impl Running for Pretence {
    fn status(&self) -> TaskStatus {
        self.status.clone()
    }

    async fn changed(&mut self) {
        match self.end {
            Some((at, container, code)) if self.status.phase != TaskPhase::Stopped => {
                tokio::time::sleep_until(at).await;
                self.end(container, code);
            }
            _ => std::future::pending().await,
        }
    }

    async fn recover(&mut self) {}

    async fn stop(&mut self) -> Result<(), LinkError> {
        self.status.phase = TaskPhase::Stopping;
        self.status.stopping_at = Some(clock::now());
        self.status.stop = Some(StopCause { code: StopCode::Requested, reason: "Task stopped by request".to_owned() });
        self.end = Some((Instant::now() + STOP_TAKES, 0, TERMINATED));
        Ok(())
    }

    async fn vacate(&mut self) {}

    async fn release(self) {}
}

/// The earliest end among the essential containers' labels.
fn first_exit(task: &acs::Task) -> Result<Option<(Instant, usize, i32)>, Failure> {
    let mut first: Option<(Duration, usize, i32)> = None;
    for (place, container) in task.containers.iter().enumerate().filter(|(_, container)| container.essential) {
        let Some((after, code)) = exit_of(container)? else { continue };
        if first.is_none_or(|(earliest, ..)| after < earliest) {
            first = Some((after, place, code));
        }
    }
    Ok(first.map(|(after, place, code)| (Instant::now() + after, place, code)))
}

fn exit_of(container: &acs::Container) -> Result<Option<(Duration, i32)>, Failure> {
    let Some(text) = container.docker_config.config.as_deref() else { return Ok(None) };
    let config: docker::Config = serde_json::from_str(text).map_err(|error| {
        Failure::container(&container.name, format!("the order's Docker config does not read: {error}"))
    })?;
    let Some(label) = config.labels.get(EXIT_AFTER) else { return Ok(None) };
    let (seconds, code) = label.split_once(':').unwrap_or((label, "0"));
    let seconds = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match (seconds.filter(|after| *after < Duration::from_secs(1 << 32)), code.parse()) {
        (Some(after), Ok(code)) => Ok(Some((after, code))),
        _ => Err(Failure::container(&container.name, format!("{label:?} is not SECONDS:CODE"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(label: &str) -> acs::Container {
        let config =
            docker::Config { labels: [(EXIT_AFTER.to_owned(), label.to_owned())].into(), ..docker::Config::default() };
        let config = serde_json::to_string(&config).ok();
        acs::Container {
            name: "web".to_owned(),
            essential: true,
            docker_config: acs::DockerConfig { config, ..acs::DockerConfig::default() },
            ..acs::Container::default()
        }
    }

    #[test]
    fn the_label_says_when_and_how_a_task_ends() {
        let exit = |label: &str| exit_of(&container(label));
        assert_eq!(exit("1.5:3").unwrap(), Some((Duration::from_millis(1500), 3)));
        assert_eq!(exit("0").unwrap(), Some((Duration::ZERO, 0)));
        for bad in ["", "x", "-1", "1:x", "NaN", "inf", "1e300:0"] {
            assert!(exit(bad).unwrap_err().reason.contains("is not SECONDS:CODE"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_task_ends_by_itself_or_by_a_stop() {
        let task = |label: &str| acs::Task { containers: vec![container(label)], ..acs::Task::default() };
        let mut own = Pretence::new(&task("0.01:3")).unwrap();
        own.changed().await;
        assert_eq!(own.status().containers[0].exit_code, Some(3));
        assert_eq!(own.status().stop.unwrap().code, StopCode::EssentialContainerExited);
        let mut stopped = Pretence::new(&task("60:3")).unwrap();
        stopped.stop().await.unwrap();
        stopped.changed().await;
        assert_eq!(stopped.status().containers[0].exit_code, Some(143));
        assert_eq!(stopped.status().stop.unwrap().code, StopCode::Requested);
    }
}
