//! ACS: the channel on which a node gets its orders.
//!
//! ```text
//! control plane                                   agent
//!   HeartbeatMessage (at least every 60 s)  ──►
//!                                           ◄──   HeartbeatAckRequest
//!   PayloadMessage (tasks to run or stop)   ──►
//!                                           ◄──   AckRequest
//!   TaskManifestMessage (on connect)        ──►
//!                                           ◄──   TaskStopVerificationMessage (what is not in it)
//!   TaskStopVerificationAck (what may stop) ──►
//!                                           ◄──   TaskStateChangesMessage (what became of tasks)
//!   TaskStateChangesAck (it is durable)     ──►
//! ```
//! Credentials of tasks' roles are in [`crate::credentials`]. The last two are an *addition*: many reports in one message, where Amazon's agent calls `SubmitTaskStateChange` for each.
//! A control plane that takes them says so in its manifest (`docs/decisions/0019`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tasks that the node should run or stop. A task may come again; the order with the higher `seq_num` counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PayloadMessage {
    pub message_id: String,
    pub cluster_arn: String,
    pub container_instance_arn: String,
    /// Milliseconds since 1970.
    pub generated_at: i64,
    pub seq_num: i64,
    pub tasks: Vec<Task>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    pub arn: String,
    pub family: String,
    /// The revision, as text.
    pub version: String,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
    pub network_mode: String,
    pub launch_type: String,
    /// vCPUs; zero when the task has no limit of its own.
    pub cpu: f64,
    /// MiB; zero when the task has no limit of its own.
    pub memory: i64,
    pub service_name: Option<String>,
    pub pid_mode: Option<String>,
    pub ipc_mode: Option<String>,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
    /// JSON text of overrides that are not yet merged in; ours are merged, so `{}`.
    pub overrides: String,
    /// *Addition.* Availability zone that the metadata endpoint tells.
    pub availability_zone: Option<String>,
    /// *Addition.* GiB of scratch space.
    pub ephemeral_storage_gib: Option<i32>,
    /// *Addition.* VPC id that the metadata endpoint tells.
    pub vpc_id: Option<String>,
    /// *Addition.* The role that the task's programs have; the node asks for its credentials
    /// ([`crate::credentials`]).
    pub task_role_arn: Option<String>,
    /// *Addition.* The role by which its logs are written and its secrets read; likewise.
    pub execution_role_arn: Option<String>,
    /// *Addition.* The node has acknowledged an order for this task before. If it has no trace of the task, the task is
    /// over: a task never runs a second time.
    pub known: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: String,
    pub image: String,
    /// CPU units: a relative share.
    pub cpu: i64,
    /// Hard limit in MiB; zero for none.
    pub memory: i64,
    pub essential: bool,
    pub command: Option<Vec<String>>,
    pub entry_point: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    /// Variables and options of the log driver whose values the node reads when it starts the task.
    pub secrets: Vec<Secret>,
    /// How to sign in to the image's registry, if not as the node does.
    pub registry_authentication: Option<RegistryAuthentication>,
    pub port_mappings: Vec<PortMapping>,
    pub mount_points: Vec<MountPoint>,
    pub volumes_from: Vec<VolumeFrom>,
    pub depends_on: Vec<Dependency>,
    /// Seconds.
    pub start_timeout: Option<i64>,
    /// Seconds.
    pub stop_timeout: Option<i64>,
    pub restart_policy: Option<RestartPolicy>,
    pub docker_config: DockerConfig,
    pub overrides: String,
    pub container_arn: Option<String>,
    /// `DOCKER` when `docker_config` has a health check.
    pub health_check_type: Option<String>,
}

/// Something that has its value from elsewhere. The value is in no order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    pub name: String,
    /// A parameter's name or ARN, or a secret's ARN, which JSON key, version stage and version id may follow.
    pub value_from: String,
    /// [`LOG_DRIVER`] for an option of the container's log driver; anything else is a variable of the container.
    pub target: String,
}

/// What [`Secret::target`] says of an option of the log driver, and of a variable.
pub const LOG_DRIVER: &str = "LOG_DRIVER";
pub const CONTAINER: &str = "CONTAINER";

impl Secret {
    /// Whether it is an option of the log driver.
    pub fn is_log_option(&self) -> bool {
        self.target == LOG_DRIVER
    }
}

/// Credentials for a registry; they themselves are in no order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegistryAuthentication {
    /// `asm`: a secret of Secrets Manager.
    #[serde(rename = "type")]
    pub kind: String,
    pub asm_auth_data: AsmAuthData,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AsmAuthData {
    /// ARN or name of a secret that holds `{"username": …, "password": …}`.
    pub credentials_parameter: String,
    pub region: String,
}

/// What Docker would be told: JSON texts of its `Config` and `HostConfig` (see [`crate::docker`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    pub config: Option<String>,
    pub host_config: Option<String>,
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    pub container_port: i32,
    pub host_port: i32,
    /// `tcp` or `udp`.
    pub protocol: String,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MountPoint {
    pub source_volume: String,
    pub container_path: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeFrom {
    pub source_container: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependency {
    pub container_name: String,
    /// `START`, `COMPLETE`, `SUCCESS` or `HEALTHY`.
    pub condition: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartPolicy {
    pub enabled: bool,
    pub ignored_exit_codes: Vec<i32>,
    /// Seconds.
    pub restart_attempt_period: i64,
}

/// A volume of the task. With no source path it is scratch space that lives as long as the task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub host: Option<HostVolume>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostVolume {
    pub source_path: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElasticNetworkInterface {
    /// `eni-…`
    pub ec2_id: String,
    pub attachment_arn: String,
    pub mac_address: String,
    pub ipv4_addresses: Vec<Ipv4Address>,
    /// Gateway with the subnet's prefix length: `172.31.0.1/20`.
    pub subnet_gateway_ipv4_address: String,
    pub domain_name_servers: Vec<String>,
    pub domain_name: Vec<String>,
    pub private_dns_name: Option<String>,
    /// *Addition.* Public address that maps to the primary private one.
    pub public_ipv4_address: Option<String>,
    /// *Addition.*
    pub subnet_id: Option<String>,
    /// *Addition.*
    pub security_groups: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipv4Address {
    pub primary: bool,
    pub private_address: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AckRequest {
    pub cluster: String,
    pub container_instance: String,
    pub message_id: String,
}

/// The agent could not take a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NackRequest {
    pub cluster: String,
    pub container_instance: String,
    pub message_id: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatMessage {
    pub message_id: String,
    pub healthy: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatAckRequest {
    pub message_id: String,
}

/// Everything that should be on the node. A manifest with a `timeline` not above the last one seen is dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskManifestMessage {
    pub message_id: String,
    pub cluster_arn: String,
    pub container_instance_arn: String,
    pub generated_at: i64,
    pub timeline: i64,
    pub tasks: Vec<TaskIdentifier>,
    /// *Addition.* Whether the control plane takes [`TaskStateChangesMessage`] in this session.
    pub takes_reports: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskIdentifier {
    pub task_arn: String,
    pub task_cluster_arn: String,
    pub desired_status: String,
}

/// Tasks that the agent has and the manifest does not want running.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStopVerificationMessage {
    pub message_id: String,
    pub stop_candidates: Vec<TaskIdentifier>,
}

/// Those of the candidates that may stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStopVerificationAck {
    pub message_id: String,
    pub generated_at: i64,
    pub stop_tasks: Vec<TaskIdentifier>,
}

/// *Addition.* What became of tasks: [`MAX_REPORTS`] reports at most, of the node's own tasks. Repeated under another id
/// until it is acknowledged; a report that comes twice changes nothing the second time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStateChangesMessage {
    pub message_id: String,
    /// Each the input of `SubmitTaskStateChange`.
    pub changes: Vec<Value>,
}

/// Most reports of one [`TaskStateChangesMessage`].
pub const MAX_REPORTS: usize = 100;

/// *Addition.* All reports of a message are durable, but for those that are refused for good.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskStateChangesAck {
    pub message_id: String,
    pub refused: Vec<RefusedChange>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusedChange {
    pub task: String,
    pub reason: String,
}

/// The control plane ends the session; the agent connects again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CloseMessage {
    pub message: String,
}

crate::messages! {
    PayloadMessage,
    AckRequest,
    NackRequest,
    HeartbeatMessage,
    HeartbeatAckRequest,
    TaskManifestMessage,
    TaskStopVerificationMessage,
    TaskStopVerificationAck,
    TaskStateChangesMessage,
    TaskStateChangesAck,
    CloseMessage,
}
