//! What is said over `DIR/sock`: newline-delimited JSON, both ways.
//!
//! On connecting the client first gets a `snapshot` with everything known, then each change as it happens. `sequence`
//! rises by one with every change and is the same for all clients; a snapshot carries the number of the last change
//! it holds. A change carries the whole record that changed, so a client only ever replaces what it has. A command
//! carries an `id` of the client's choice that comes back in its reply; replies carry no sequence.
//!
//! Times are milliseconds since the Unix epoch. Left out: exec, which needs a stream of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stats::ContainerStats;

/// One line from the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Everything known, on connecting.
    Snapshot { sequence: u64, task: TaskStatus },
    /// One container changed.
    Container { sequence: u64, container: ContainerStatus },
    /// The task changed (`containers` is complete here too).
    Task { sequence: u64, task: TaskStatus },
    /// Answer to a command.
    Reply { id: u64, reply: Reply },
}

/// The task as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    pub task_arn: String,
    pub supervisor_pid: u32,
    pub phase: TaskPhase,
    /// Why it stops or stopped; set when leaving `Running` or failing to reach it.
    pub stop: Option<StopCause>,
    /// Worst health of the essential containers that have a check.
    pub health: Health,
    /// All essential containers started.
    pub started_at: Option<u64>,
    pub stopping_at: Option<u64>,
    /// The last container exited.
    pub execution_stopped_at: Option<u64>,
    pub containers: Vec<ContainerStatus>,
}

/// Moves forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskPhase {
    /// Containers are being created and started.
    Activating,
    /// All essential containers have started.
    Running,
    /// Stop signals have been sent.
    Stopping,
    /// No container runs and the logs are flushed or given up. Waits for `release`.
    Stopped,
}

/// Why a task stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopCause {
    pub code: StopCode,
    /// AWS's wording, e.g. `Essential container in task exited`.
    pub reason: String,
}

/// The stop codes a supervisor can know of itself, named as in the ECS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    /// A `stop` command; whose will it was is known to the agent.
    Requested,
}

/// One container as the supervisor sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub name: String,
    pub id: String,
    pub status: ContainerPhase,
    /// Process id of its first process on the host, while it runs.
    pub pid: Option<u32>,
    /// Known once it exited; 128 + signal if it was killed by one.
    pub exit_code: Option<i32>,
    /// Set when there is more to say than the exit code: `OutOfMemoryError: …`, `CannotStartContainerError: …`.
    pub reason: Option<String>,
    pub health: Health,
    pub created_at: Option<u64>,
    /// Of the latest start.
    pub started_at: Option<u64>,
    pub finished_at: Option<u64>,
    pub restart_count: u32,
    /// Lines dropped by a full non-blocking log buffer.
    #[serde(default)]
    pub dropped_lines: u64,
}

/// As in the ECS API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerPhase {
    Pending,
    Running,
    Stopped,
}

/// As in the ECS API. Without a check it stays `Unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Health {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

/// One line from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    #[serde(flatten)]
    pub command: Command,
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Stop all containers in reverse dependency order. Answered at once; a second stop only shortens the time.
    Stop {
        /// Goes into the stop cause; `None`: `Task stopped by request`.
        #[serde(default)]
        reason: Option<String>,
        /// Instead of every container's own `stopTimeout`; 0 kills at once.
        #[serde(default)]
        timeout_seconds: Option<u32>,
    },
    /// Current use of resources.
    Stats,
    /// The snapshot once more, as a message of its own.
    Snapshot,
    /// Send logs there from now on (the control plane moved or its credentials changed).
    LogEndpoint { endpoint: crate::spec::LogEndpoint },
    /// Give up what of the logs is not delivered so long after the last container's end. Never lengthens the time.
    GiveUpLogs { after_seconds: u32 },
    /// The final state is safe with the agent: remove mounts, cgroups and `DIR`, then exit. Refused before `Stopped`.
    Release,
}

/// Answer to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Done,
    /// By container name; containers that do not run are absent.
    Stats {
        containers: BTreeMap<String, ContainerStats>,
    },
    Refused {
        reason: String,
    },
}
