//! What the agent asks of a supervisor: the file `DIR/task.json`.
//!
//! The agent resolves everything that needs the outside (images, secrets, volumes, host names, address, role) and
//! writes plain values; the supervisor adds nothing but the safe defaults of a container. Names follow the ECS API
//! where there is one. Every field but the identities has a default, so that an older file stays readable.
//!
//! Left out on purpose: pull behaviour, ports (a task has its own address), placement, anything with a retry policy
//! that belongs to the control plane.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One task: a network namespace, a cgroup and its containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// `arn:aws:ecs:…:task/cluster/id`.
    pub task_arn: String,
    /// Last part of the ARN; also names the pump that sends the logs.
    pub task_id: String,
    /// The task's cgroup below the root of each hierarchy, without leading slash: `longshore/<instance>/<task id>`.
    pub cgroup: String,
    #[serde(default)]
    pub cpu: TaskCpu,
    /// Hard memory limit of the task in MiB; `None` leaves only the containers' own limits (EC2).
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// What the containers may have on disk, in MiB: writable layers and scratch volumes. A task with more is stopped within
    /// some seconds. `None` is no limit.
    #[serde(default)]
    pub storage_mib: Option<u64>,
    #[serde(default)]
    pub network: Network,
    /// The containers see each other's processes (`pidMode` `task`); else each has its own.
    #[serde(default)]
    pub share_processes: bool,
    /// The OCI runtime to drive.
    pub runtime: RuntimeSpec,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Where `awslogs` containers send their lines; required if any container uses it.
    #[serde(default)]
    pub log_endpoint: Option<LogEndpoint>,
    /// An inherited, connected stream socket that is served as the first client of the supervisor's socket, so that
    /// the agent that starts a task need not wait for `DIR/sock` to appear.
    #[serde(default)]
    pub client_fd: Option<i32>,
    /// A file in memory (the agent's descriptor, as a path) with what must not reach a disk: [`Secrets`]. Read once, at the
    /// start; the files that hold variables of it then lie in memory too.
    #[serde(default)]
    pub secrets: Option<PathBuf>,
    pub containers: Vec<ContainerSpec>,
}

/// What belongs to a task and must not reach a disk.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Secrets {
    /// Variables, names to values, by container.
    pub environments: BTreeMap<String, BTreeMap<String, String>>,
    /// Log configurations in place of those of the specification, by container.
    pub logs: BTreeMap<String, LogConfig>,
    /// Headers beside those of the log endpoint.
    pub log_headers: BTreeMap<String, String>,
}

/// Processor time of the whole task, in CPU units (1024 are one vCPU).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCpu {
    /// `None`: no task-level size (EC2).
    #[serde(default)]
    pub units: Option<u32>,
}

/// The network namespace shared by the containers of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Network {
    /// The namespace of the host (network mode `host`).
    #[default]
    Host,
    /// A namespace open in the supervisor as this file descriptor number (inherited from the agent). The supervisor
    /// keeps it open: the namespace lives as long as the supervisor or any container does.
    Inherited { fd: i32 },
    /// A namespace bound to a file; opened once at start and kept open.
    Path { path: PathBuf },
}

/// Which OCI runtime, and how its command line differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeSpec {
    pub kind: RuntimeKind,
    /// Absolute path of the binary.
    pub path: PathBuf,
}

/// Runtimes known by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    #[default]
    Crun,
    Runc,
    Runsc,
}

/// A volume of the task, mounted by containers by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub source: VolumeSource,
}

/// Where a volume's files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum VolumeSource {
    /// An empty directory of the task, gone with it.
    Scratch,
    /// A directory or file of the host, by its canonical path: no component may be a symbolic link when the supervisor
    /// opens it, so what the agent allowed is what is bound. Created (0755) if missing, and refused if it does not answer.
    Host { path: PathBuf },
}

/// The CloudWatch Logs endpoint that the log pump speaks to, over plain HTTP.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEndpoint {
    /// `address:port`, numeric.
    pub address: String,
    /// Sent as they are with every request. What proves who sends comes by [`Secrets::log_headers`].
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What headers say is not shown.
impl std::fmt::Debug for LogEndpoint {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<&String> = self.headers.keys().collect();
        to.debug_struct("LogEndpoint").field("address", &self.address).field("headers", &headers).finish()
    }
}

/// One container of the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Name in the task definition; unique in the task.
    pub name: String,
    /// Id at the runtime; unique on the host, `[A-Za-z0-9_.-]`.
    pub id: String,
    pub essential: bool,
    /// Image reference as the user wrote it; for the stats answer and messages only.
    pub image: String,
    /// Directories of the image, topmost first (the order of overlay's `lowerdir`). At least one.
    pub lowers: Vec<PathBuf>,
    /// Entry point and command, merged.
    pub args: Vec<String>,
    /// `NAME=value`, merged; a `PATH` is added if there is none.
    pub env: Vec<String>,
    /// Absolute; empty means `/`. Created in the root file system if missing.
    pub cwd: String,
    /// `""`, `user`, `uid`, `user:group`, `uid:gid`: looked up in the container's own `/etc/passwd` and `/etc/group`.
    pub user: String,
    pub hostname: String,
    /// Whole text of `/etc/hosts`.
    pub hosts: String,
    /// Whole text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Kept for whoever reads the file; nothing acts on them here.
    pub labels: BTreeMap<String, String>,
    /// CPU shares (ECS `cpu`): a weight, 1024 a vCPU. `None` or below 2 counts as 2.
    pub cpu_shares: Option<u32>,
    /// Hard limit in MiB; beyond it the kernel kills.
    pub memory_mib: Option<u64>,
    /// Soft limit in MiB.
    pub memory_reservation_mib: Option<u64>,
    pub readonly_rootfs: bool,
    pub privileged: bool,
    pub mounts: Vec<MountPoint>,
    pub volumes_from: Vec<VolumesFrom>,
    pub tmpfs: Vec<Tmpfs>,
    /// Size of `/dev/shm` in MiB; `None` is 64.
    pub shm_mib: Option<u64>,
    pub devices: Vec<Device>,
    /// Added to the default set; `ALL` and names with or without `CAP_`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// By name as ECS has it (`nofile`, `nproc`, …). `nofile` is 65535/65535 unless named.
    pub ulimits: Vec<Ulimit>,
    pub sysctls: BTreeMap<String, String>,
    /// `initProcessEnabled`: a small init is PID 1, forwards signals and reaps.
    pub init: bool,
    /// `pseudoTerminal`.
    pub tty: bool,
    /// `interactive`: standard input stays open (nothing is ever written to it).
    pub stdin_open: bool,
    /// Name or number, with or without `SIG`; empty is `SIGTERM`.
    pub stop_signal: String,
    /// From stop signal to SIGKILL; `None` is 30 s.
    pub stop_timeout_seconds: Option<u32>,
    /// How long after its start this container may take to become what others wait for (COMPLETE, SUCCESS, HEALTHY);
    /// beyond it the task stops. `None` is no bound.
    pub start_timeout_seconds: Option<u32>,
    pub depends_on: Vec<Dependency>,
    pub health_check: Option<HealthCheck>,
    pub restart_policy: Option<RestartPolicy>,
    pub log: LogConfig,
}

impl Default for ContainerSpec {
    fn default() -> Self {
        ContainerSpec {
            name: String::new(),
            id: String::new(),
            essential: true,
            image: String::new(),
            lowers: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: String::new(),
            user: String::new(),
            hostname: String::new(),
            hosts: String::new(),
            resolv_conf: String::new(),
            labels: BTreeMap::new(),
            cpu_shares: None,
            memory_mib: None,
            memory_reservation_mib: None,
            readonly_rootfs: false,
            privileged: false,
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            tmpfs: Vec::new(),
            shm_mib: None,
            devices: Vec::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            ulimits: Vec::new(),
            sysctls: BTreeMap::new(),
            init: false,
            tty: false,
            stdin_open: false,
            stop_signal: String::new(),
            stop_timeout_seconds: None,
            start_timeout_seconds: None,
            depends_on: Vec::new(),
            health_check: None,
            restart_policy: None,
            log: LogConfig::None,
        }
    }
}

/// A volume of the task inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Name of one of the task's volumes.
    pub volume: String,
    /// Absolute path in the container.
    pub container_path: String,
    #[serde(default)]
    pub read_only: bool,
}

/// All mount points of another container of the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    pub source_container: String,
    #[serde(default)]
    pub read_only: bool,
}

/// A memory file system inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    pub container_path: String,
    pub size_mib: u64,
    /// Mount options as ECS names them (`noexec`, `mode=…`, …).
    #[serde(default)]
    pub mount_options: Vec<String>,
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host_path: PathBuf,
    /// Empty: the same as on the host.
    #[serde(default)]
    pub container_path: String,
    /// Letters of `rwm`; empty is all.
    #[serde(default)]
    pub permissions: String,
}

/// One resource limit; −1 is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// This container waits for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub container: String,
    pub condition: Condition,
}

/// What the other container must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Condition {
    Start,
    Complete,
    Success,
    Healthy,
}

/// A command run inside the container now and then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `["CMD", arg…]` or `["CMD-SHELL", text]`; anything else is run as `CMD`.
    pub command: Vec<String>,
    /// Seconds between the end of a check and the next one.
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Seconds after the start in which failures do not count.
    pub start_period_seconds: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            command: Vec::new(),
            interval_seconds: 30,
            timeout_seconds: 5,
            retries: 3,
            start_period_seconds: 0,
        }
    }
}

/// Start the container again in place, without replacing the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub enabled: bool,
    #[serde(default)]
    pub ignored_exit_codes: Vec<i32>,
    /// It must have run at least this long since its start or last restart.
    #[serde(default = "default_restart_attempt_period")]
    pub restart_attempt_period_seconds: u32,
}

fn default_restart_attempt_period() -> u32 {
    300
}

/// Where a container's output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum LogConfig {
    /// Read and thrown away.
    #[default]
    None,
    /// `DIR/<container>/log.json`, one JSON object a line, two files of at most 10 MiB.
    JsonFile,
    Awslogs(AwsLogs),
}

/// Options of the `awslogs` driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AwsLogs {
    pub group: String,
    pub region: String,
    /// Full stream name (`prefix/container/task id`, built by the agent).
    pub stream: String,
    pub create_group: bool,
    /// strftime-like; a line that matches begins a new event.
    pub datetime_format: Option<String>,
    /// Regular expression; a line that matches begins a new event.
    pub multiline_pattern: Option<String>,
    pub mode: LogMode,
    /// Bytes kept in non-blocking mode; `None` is 10 MiB.
    pub max_buffer_bytes: Option<u64>,
}

/// What happens when lines come faster than they can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogMode {
    /// The oldest are dropped and counted (AWS's default since June 2025).
    #[default]
    NonBlocking,
    /// The container waits.
    Blocking,
}
