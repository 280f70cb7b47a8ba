//! One container inside the machine.

use super::health::Probe;
use super::{ContainerPhase, ContainerStatus, Health, Now};
use crate::spec::{Condition, ContainerSpec, RestartPolicy};

/// Where a container is, finer than what is told outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Pending,
    /// Asked for; neither start nor failure has been reported.
    Starting,
    Running,
    Exited,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub name: String,
    id: String,
    pub essential: bool,
    /// Containers it waits for.
    pub depends_on: Vec<(usize, Condition)>,
    /// Containers that wait for it, or took its volumes: they stop before it.
    pub dependents: Vec<usize>,
    pub stop_timeout_ms: u64,
    start_timeout_ms: Option<u64>,
    restart: Option<RestartPolicy>,
    pub probe: Option<Probe>,
    pub life: Life,
    pub started_once: bool,
    /// When SIGKILL is due; set by the stop signal.
    pub kill_at: Option<u64>,
    pub exit_code: Option<i32>,
    reason: Option<String>,
    pid: Option<u32>,
    /// Monotonic time of the latest start.
    running_since: u64,
    restart_count: u32,
    created_at: Option<u64>,
    started_at: Option<u64>,
    finished_at: Option<u64>,
}

/// ECS's default from stop signal to SIGKILL.
const DEFAULT_STOP_TIMEOUT_SECONDS: u32 = 30;

impl Node {
    pub fn new(spec: &ContainerSpec, depends_on: Vec<(usize, Condition)>) -> Self {
        let stop_timeout = spec.stop_timeout_seconds.unwrap_or(DEFAULT_STOP_TIMEOUT_SECONDS);
        Node {
            name: spec.name.clone(),
            id: spec.id.clone(),
            essential: spec.essential,
            depends_on,
            dependents: Vec::new(),
            stop_timeout_ms: u64::from(stop_timeout) * 1000,
            start_timeout_ms: spec.start_timeout_seconds.map(|s| u64::from(s) * 1000),
            restart: spec.restart_policy.clone().filter(|policy| policy.enabled),
            probe: spec.health_check.as_ref().map(Probe::new),
            life: Life::Pending,
            started_once: false,
            kill_at: None,
            exit_code: None,
            reason: None,
            pid: None,
            running_since: 0,
            restart_count: 0,
            created_at: None,
            started_at: None,
            finished_at: None,
        }
    }

    pub fn status(&self) -> ContainerStatus {
        ContainerStatus {
            name: self.name.clone(),
            id: self.id.clone(),
            status: match self.life {
                Life::Pending | Life::Starting => ContainerPhase::Pending,
                Life::Running => ContainerPhase::Running,
                Life::Exited => ContainerPhase::Stopped,
            },
            pid: self.pid,
            exit_code: self.exit_code,
            reason: self.reason.clone(),
            health: self.health(),
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            restart_count: self.restart_count,
            dropped_lines: 0,
        }
    }

    pub fn health(&self) -> Health {
        self.probe.as_ref().map_or(Health::Unknown, |probe| probe.health)
    }

    pub fn starting(&mut self) {
        self.life = Life::Starting;
    }

    pub fn started(&mut self, now: Now, pid: u32) {
        if self.life != Life::Starting {
            return;
        }
        self.life = Life::Running;
        self.started_once = true;
        self.pid = Some(pid);
        self.running_since = now.monotonic;
        self.created_at.get_or_insert(now.wall);
        self.started_at = Some(now.wall);
        if let Some(probe) = &mut self.probe {
            probe.container_started(now.monotonic);
        }
    }

    pub fn end(&mut self, now: Now, code: Option<i32>, reason: Option<String>) {
        self.life = Life::Exited;
        self.pid = None;
        self.kill_at = None;
        self.exit_code = code;
        self.reason = reason;
        self.finished_at = Some(now.wall);
    }

    /// Whether its policy starts it again after this exit: the code is known and not ignored, and it ran for the
    /// attempt period since its start or last restart.
    pub fn restarts_after(&self, now: Now, code: Option<i32>) -> bool {
        let (Some(policy), Some(code)) = (&self.restart, code) else {
            return false;
        };
        let ran = now.monotonic.saturating_sub(self.running_since);
        !policy.ignored_exit_codes.contains(&code) && ran >= u64::from(policy.restart_attempt_period_seconds) * 1000
    }

    /// Back to the queue; its dependencies were met once and stay so. How it ended before is no part of its new life.
    pub fn restart(&mut self) {
        self.life = Life::Pending;
        self.exit_code = None;
        self.reason = None;
        self.finished_at = None;
        self.depends_on.clear();
        self.restart_count += 1;
    }

    pub fn shorten_stop(&mut self, now: Now, timeout_ms: u64) {
        if let Some(kill_at) = &mut self.kill_at {
            *kill_at = (*kill_at).min(now.monotonic + timeout_ms);
        }
    }

    pub fn checked(&mut self, now: Now, passed: bool) {
        if let Some(probe) = &mut self.probe {
            probe.checked(now.monotonic, passed);
        }
    }

    pub fn begin_check(&mut self, now: Now) -> bool {
        self.life == Life::Running && self.probe.as_mut().is_some_and(|probe| probe.begin(now.monotonic))
    }

    pub fn next_check(&self) -> Option<u64> {
        self.probe.as_ref().and_then(Probe::deadline)
    }

    /// When those who wait for it to complete or be healthy give up.
    pub fn start_deadline(&self) -> Option<u64> {
        Some(self.running_since + self.start_timeout_ms?)
    }
}
