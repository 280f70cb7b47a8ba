//! What a task does next: a pure state machine over its containers.
//!
//! Inputs are what happened (a container started, exited, was found healthy; time passed; somebody asked to stop),
//! outputs are what to do. Nothing here touches the world: time comes in with every input, so the same inputs give the
//! same task. A container goes
//!
//! ```text
//! Pending ──dependencies met──► Starting ──► Running ──► Exited
//!    │                             │           ▲  │ restart policy
//!    └──dependency impossible──────┴──► Exited └──┘
//! ```
//!
//! and the task Activating → Running (all essential containers started) → Stopping → Stopped. Stopping goes in reverse
//! dependency order: a container gets its stop signal only after all that depend on it are gone.
//!
//! Left out: how containers are made (the caller's), what stop means to a service (the control plane's).

mod health;
mod node;
mod order;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use crate::protocol::{ContainerPhase, ContainerStatus, Health, StopCause, StopCode, TaskPhase, TaskStatus};
use crate::spec::TaskSpec;
use node::{Life, Node};

/// A moment on both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Never jumps; every delay is counted on it.
    pub monotonic: u64,
    /// Since the Unix epoch; only written into records.
    pub wall: u64,
}

/// Something that happened. Containers are named by their place in the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The first process of the container runs.
    Started { container: usize, pid: u32 },
    /// It could not be created or started.
    StartFailed { container: usize, reason: String },
    /// Its first process ended; `code` is 128 + signal for a death by signal, `None` if it cannot be known.
    Exited { container: usize, code: Option<i32>, out_of_memory: bool },
    /// A health check that was asked for ended.
    Checked { container: usize, passed: bool },
    /// Time passed.
    Tick,
    /// Stop the task, with a time limit instead of each container's own if there is one.
    Stop { cause: StopCause, timeout_ms: Option<u64> },
    /// The logs are flushed, or given up.
    Drained,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create and start it; answer with `Started` or `StartFailed`.
    Start(usize),
    /// Send its stop signal.
    Signal(usize),
    /// Send SIGKILL.
    Kill(usize),
    /// Run its health check once; answer with `Checked`.
    Check(usize),
    /// No container runs or will run: flush the logs, answer with `Drained`.
    Drain,
}

/// SIGKILL is sent again after this long without an exit.
const KILL_AGAIN_MS: u64 = 5_000;

/// The task and its containers.
#[derive(Clone, Debug)]
pub struct Machine {
    task_arn: String,
    supervisor_pid: u32,
    nodes: Vec<Node>,
    phase: TaskPhase,
    stop: Option<StopCause>,
    stop_timeout_ms: Option<u64>,
    started_at: Option<u64>,
    stopping_at: Option<u64>,
    execution_stopped_at: Option<u64>,
}

impl Machine {
    /// A task of which nothing has been started. The first step should be a [`Input::Tick`].
    ///
    /// Dependencies on unknown containers and cycles of them are refused with the words to show.
    pub fn new(spec: &TaskSpec, supervisor_pid: u32) -> Result<Self, String> {
        Ok(Machine {
            task_arn: spec.task_arn.clone(),
            supervisor_pid,
            nodes: order::link(&spec.containers)?,
            phase: TaskPhase::Activating,
            stop: None,
            stop_timeout_ms: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
        })
    }

    /// Takes in what happened and says what to do now.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Action> {
        self.take(now, input);
        let mut actions = Vec::new();
        if self.stop.is_none() {
            self.start_ready(now, &mut actions);
            self.note_running(now);
        }
        if self.stop.is_some() {
            self.stop_in_order(now, &mut actions);
        }
        self.run_checks(now, &mut actions);
        self.finish(now, &mut actions);
        actions
    }

    /// When the next [`Input::Tick`] is due on the monotonic clock.
    pub fn deadline(&self) -> Option<u64> {
        let running = self.nodes.iter().filter(|node| node.life == Life::Running);
        if self.stop.is_some() {
            return running.filter_map(|node| node.kill_at).min();
        }
        let check = running.filter_map(Node::next_check).min();
        [check, order::give_up_at(&self.nodes)].into_iter().flatten().min()
    }

    /// Everything there is to tell.
    pub fn status(&self) -> TaskStatus {
        TaskStatus {
            task_arn: self.task_arn.clone(),
            supervisor_pid: self.supervisor_pid,
            phase: self.phase,
            stop: self.stop.clone(),
            health: self.health(),
            started_at: self.started_at,
            stopping_at: self.stopping_at,
            execution_stopped_at: self.execution_stopped_at,
            containers: self.nodes.iter().map(Node::status).collect(),
        }
    }

    /// Where the task is.
    pub fn phase(&self) -> TaskPhase {
        self.phase
    }

    /// One container's record.
    pub fn container(&self, container: usize) -> ContainerStatus {
        self.nodes[container].status()
    }

    fn take(&mut self, now: Now, input: Input) {
        match input {
            Input::Started { container, pid } => self.nodes[container].started(now, pid),
            Input::StartFailed { container, reason } => self.start_failed(now, container, reason),
            Input::Exited { container, code, out_of_memory } => self.exited(now, container, code, out_of_memory),
            Input::Checked { container, passed } => self.nodes[container].checked(now, passed),
            Input::Tick => {}
            Input::Stop { cause, timeout_ms } => self.request_stop(now, cause, timeout_ms),
            Input::Drained => self.drained(),
        }
    }

    fn start_failed(&mut self, now: Now, container: usize, reason: String) {
        let node = &mut self.nodes[container];
        if node.life != Life::Starting {
            return;
        }
        node.end(now, None, Some(reason.clone()));
        if node.essential {
            self.begin_stop(now, StopCode::TaskFailedToStart, &reason);
        }
    }

    fn exited(&mut self, now: Now, container: usize, code: Option<i32>, out_of_memory: bool) {
        let stopping = self.stop.is_some();
        let node = &mut self.nodes[container];
        if node.life != Life::Running {
            return;
        }
        let reason = out_of_memory.then(|| OUT_OF_MEMORY.to_string());
        let restart = !stopping && node.restarts_after(now, code);
        node.end(now, code, reason);
        if restart {
            node.restart();
        } else if node.essential && !stopping {
            self.begin_stop(now, StopCode::EssentialContainerExited, "Essential container in task exited");
        }
    }

    fn request_stop(&mut self, now: Now, cause: StopCause, timeout_ms: Option<u64>) {
        if self.phase >= TaskPhase::Stopped {
            return;
        }
        self.begin_stop(now, cause.code, &cause.reason);
        let Some(limit) = timeout_ms else { return };
        self.stop_timeout_ms = Some(self.stop_timeout_ms.map_or(limit, |known| known.min(limit)));
        for node in &mut self.nodes {
            node.shorten_stop(now, limit);
        }
    }

    /// The first cause stays.
    fn begin_stop(&mut self, now: Now, code: StopCode, reason: &str) {
        if self.stop.is_none() {
            self.stop = Some(StopCause { code, reason: reason.to_string() });
            self.stopping_at = Some(now.wall);
            self.phase = self.phase.max(TaskPhase::Stopping);
        }
    }

    fn drained(&mut self) {
        if self.execution_stopped_at.is_some() {
            self.phase = TaskPhase::Stopped;
        }
    }

    fn start_ready(&mut self, now: Now, actions: &mut Vec<Action>) {
        loop {
            let before = actions.len();
            let mut given_up = false;
            for container in 0..self.nodes.len() {
                if self.stop.is_none() && self.nodes[container].life == Life::Pending {
                    given_up |= self.start_if_ready(now, container, actions);
                }
            }
            if !given_up && before == actions.len() {
                return;
            }
        }
    }

    /// True if the container was given up, which others may have waited for.
    fn start_if_ready(&mut self, now: Now, container: usize, actions: &mut Vec<Action>) -> bool {
        match order::readiness(&self.nodes, container, now) {
            order::Readiness::Ready => {
                self.nodes[container].starting();
                actions.push(Action::Start(container));
                false
            }
            order::Readiness::Wait => false,
            order::Readiness::TimedOut(reason) => {
                self.begin_stop(now, StopCode::TaskFailedToStart, &reason);
                true
            }
            order::Readiness::Never(reason) => {
                self.nodes[container].end(now, None, Some(reason.clone()));
                if self.nodes[container].essential {
                    self.begin_stop(now, StopCode::TaskFailedToStart, &reason);
                }
                true
            }
        }
    }

    fn note_running(&mut self, now: Now) {
        let all = self.nodes.iter().filter(|n| n.essential).all(|n| n.started_once);
        if all && self.phase == TaskPhase::Activating {
            self.phase = TaskPhase::Running;
            self.started_at = Some(now.wall);
        }
    }

    fn stop_in_order(&mut self, now: Now, actions: &mut Vec<Action>) {
        for node in &mut self.nodes {
            if node.life == Life::Pending {
                node.end(now, None, None);
            }
        }
        for container in 0..self.nodes.len() {
            if self.nodes[container].life == Life::Running && order::may_stop(&self.nodes, container) {
                self.stop_one(now, container, actions);
            }
        }
    }

    fn stop_one(&mut self, now: Now, container: usize, actions: &mut Vec<Action>) {
        let limit = self.stop_timeout_ms;
        let node = &mut self.nodes[container];
        let Some(kill_at) = node.kill_at else {
            let timeout = limit.unwrap_or(node.stop_timeout_ms);
            if timeout > 0 {
                node.kill_at = Some(now.monotonic + timeout);
                actions.push(Action::Signal(container));
            } else {
                node.kill_at = Some(now.monotonic + KILL_AGAIN_MS);
                actions.push(Action::Kill(container));
            }
            return;
        };
        if now.monotonic >= kill_at {
            node.kill_at = Some(now.monotonic + KILL_AGAIN_MS);
            actions.push(Action::Kill(container));
        }
    }

    fn run_checks(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.stop.is_some() {
            return;
        }
        for (container, node) in self.nodes.iter_mut().enumerate() {
            if node.begin_check(now) {
                actions.push(Action::Check(container));
            }
        }
    }

    fn finish(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.execution_stopped_at.is_some() || !self.nodes.iter().all(|n| n.life == Life::Exited) {
            return;
        }
        self.begin_stop(now, StopCode::EssentialContainerExited, "All containers in task exited");
        self.execution_stopped_at = Some(now.wall);
        actions.push(Action::Drain);
    }

    /// Worst of the essential containers that have a check: UNHEALTHY, then UNKNOWN, then HEALTHY.
    fn health(&self) -> Health {
        let mut checked = self.nodes.iter().filter(|n| n.essential && n.probe.is_some()).map(Node::health).peekable();
        if checked.peek().is_none() {
            return Health::Unknown;
        }
        checked.max_by_key(|health| health::badness(*health)).unwrap_or_default()
    }
}

/// ECS's words for a container that met its memory limit.
pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
