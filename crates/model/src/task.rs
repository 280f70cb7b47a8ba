//! Tasks: one run of a task definition on a node.
//!
//! ```text
//! PROVISIONING -> PENDING -> ACTIVATING -> RUNNING -> DEACTIVATING -> STOPPING -> DEPROVISIONING -> STOPPED
//!       any state may jump forward; none goes back; STOPPED is final
//! ```
//! `desired` is written by the control plane only, `last` by the node's reports only; but for DEACTIVATING, which is the
//! control plane's own step when it wants a running task to stop, and for tasks that no node was ever given.

use longshore_api::ecs;
use longshore_wire::{Timestamp, record, string_enum};

use crate::balancer::{group_id, target_key};
use crate::definition::key_of;
use crate::ids::AccountId;

string_enum! {
    /// Where a task is in its life, in order.
    pub enum TaskStatus {
        Provisioning = "PROVISIONING",
        Pending = "PENDING",
        Activating = "ACTIVATING",
        Running = "RUNNING",
        Deactivating = "DEACTIVATING",
        Stopping = "STOPPING",
        Deprovisioning = "DEPROVISIONING",
        Stopped = "STOPPED",
    }
}

record! {
    /// An elastic network interface of an `awsvpc` task. It lives exactly as long as its task.
    pub struct Eni {
        pub id: String = "id",
        pub attachment: String = "attachment",
        pub subnet: String = "subnet",
        pub security_groups: Vec<String> = "securityGroups",
        pub private_ip: String = "privateIp",
        pub mac: String = "mac",
        pub public_ip: Option<String> = "publicIp",
    }
}

record! {
    /// What is known of one container of a task.
    pub struct Container {
        pub id: String = "id",
        pub name: String = "name",
        pub image: Option<String> = "image",
        pub image_digest: Option<String> = "imageDigest",
        /// The digest it is to run whatever its image's tag says: that of its deployment's first task.
        pub pinned: Option<String> = "pinned",
        pub runtime_id: Option<String> = "runtimeId",
        pub last: TaskStatus = "last",
        pub exit_code: Option<i32> = "exitCode",
        pub reason: Option<String> = "reason",
        pub health: Option<ecs::HealthStatus> = "health",
        pub network_bindings: Vec<ecs::NetworkBinding> = "networkBindings",
    }
}

record! {
    /// Where a task is registered while it runs.
    pub struct Seat {
        /// ARN of the target group.
        pub group: String = "group",
        pub port: i32 = "port",
    }

    /// What a task of a service has to do with load balancers.
    pub struct Balanced {
        /// At least one.
        pub seats: Vec<Seat> = "seats",
        /// When it was first healthy by the checks of all its target groups and of its containers.
        pub healthy_at: Option<Timestamp> = "healthyAt",
        /// It is to stop, and its node is not told before this time: requests under way are answered first.
        pub drains_until: Option<Timestamp> = "drainsUntil",
    }
}

record! {
    /// A task.
    pub struct Task {
        pub account: String = "account",
        pub cluster: String = "cluster",
        pub id: String = "id",
        pub family: String = "family",
        pub revision: i32 = "revision",
        /// The service (its name in the cluster) that started it, if any.
        pub service: Option<String> = "service",
        /// The node that was given the task.
        pub node: Option<String> = "node",
        pub zone: Option<String> = "zone",
        pub desired: TaskStatus = "desired",
        pub last: TaskStatus = "last",
        /// Rises with every change that a reader can see.
        pub version: i64 = "version",
        pub launch_type: ecs::LaunchType = "launchType",
        pub capacity_provider: Option<String> = "capacityProvider",
        pub platform_version: Option<String> = "platformVersion",
        /// CPU units (1024 = one vCPU) and MiB that the task takes on its node.
        pub cpu: i32 = "cpu",
        pub memory_mib: i32 = "memoryMib",
        pub group: Option<String> = "group",
        /// For service tasks the deployment id, else the caller's text.
        pub started_by: Option<String> = "startedBy",
        pub overrides: Option<Box<ecs::TaskOverride>> = "overrides",
        pub ephemeral_storage_gib: Option<i32> = "ephemeralStorageGib",
        /// The key that the cluster had for Fargate's scratch space.
        pub storage_key: Option<String> = "storageKey",
        pub enable_execute_command: bool = "enableExecuteCommand",
        pub eni: Option<Eni> = "eni",
        pub balanced: Option<Box<Balanced>> = "balanced",
        pub containers: Vec<Container> = "containers",
        pub health: Option<ecs::HealthStatus> = "health",
        pub tags: Vec<ecs::Tag> = "tags",
        pub stop_code: Option<ecs::TaskStopCode> = "stopCode",
        pub stopped_reason: Option<String> = "stoppedReason",
        pub created_at: Timestamp = "createdAt",
        pub connectivity_at: Option<Timestamp> = "connectivityAt",
        pub pull_started_at: Option<Timestamp> = "pullStartedAt",
        pub pull_stopped_at: Option<Timestamp> = "pullStoppedAt",
        pub started_at: Option<Timestamp> = "startedAt",
        pub stopping_at: Option<Timestamp> = "stoppingAt",
        pub execution_stopped_at: Option<Timestamp> = "executionStoppedAt",
        pub stopped_at: Option<Timestamp> = "stoppedAt",
    }
}

/// `ACCOUNT/CLUSTER/ID`
pub fn key(account: &AccountId, cluster: &str, id: &str) -> String {
    format!("{account}/{cluster}/{id}")
}

impl Task {
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.account, self.cluster, self.id)
    }

    /// `ACCOUNT/CLUSTER/NAME` of the service that owns it.
    pub fn service_key(&self) -> Option<String> {
        self.service.as_ref().map(|name| format!("{}/{}/{name}", self.account, self.cluster))
    }

    /// The key of the task definition it runs.
    pub fn definition_key(&self) -> String {
        key_of(&self.account, &self.family, self.revision)
    }

    pub fn is_stopped(&self) -> bool {
        self.last == TaskStatus::Stopped
    }

    pub fn seats(&self) -> &[Seat] {
        self.balanced.as_ref().map(|balanced| balanced.seats.as_slice()).unwrap_or_default()
    }

    /// The key of the target that it is in this group.
    pub fn target_key(&self, seat: &Seat) -> Option<String> {
        let address = &self.eni.as_ref()?.private_ip;
        Some(target_key(&self.account, group_id(&seat.group)?, address, seat.port))
    }

    /// Keys of the targets that it is while it runs.
    pub fn target_keys(&self) -> impl Iterator<Item = String> {
        self.seats().iter().filter_map(|seat| self.target_key(seat))
    }

    /// Until when it waits for requests under way before its node is told to stop it.
    pub fn drains_until(&self) -> Option<Timestamp> {
        self.balanced.as_ref()?.drains_until
    }

    /// What its node is to be told: as long as it drains, that it runs.
    pub fn ordered(&self) -> TaskStatus {
        match self.drains_until() {
            Some(_) => TaskStatus::Running,
            None => self.desired,
        }
    }

    /// Ask for the task to stop. The first reason stays. Returns whether anything changed.
    pub fn request_stop(&mut self, code: ecs::TaskStopCode, reason: &str, now: Timestamp) -> bool {
        if self.desired == TaskStatus::Stopped {
            return false;
        }
        self.desired = TaskStatus::Stopped;
        self.stop_code.get_or_insert(code);
        self.stopped_reason.get_or_insert_with(|| reason.to_owned());
        let now = self.not_before_its_past(now);
        self.stopping_at.get_or_insert(now);
        self.version += 1;
        match self.last {
            _ if self.node.is_none() => self.finish(now),
            TaskStatus::Running => self.last = TaskStatus::Deactivating,
            _ => {}
        }
        true
    }

    /// The moment, or the newest that was told of the task: who reads the clock first may be the second to write.
    fn not_before_its_past(&self, now: Timestamp) -> Timestamp {
        let past = [
            self.connectivity_at,
            self.pull_started_at,
            self.pull_stopped_at,
            self.started_at,
            self.stopping_at,
            self.execution_stopped_at,
        ];
        past.into_iter().flatten().fold(now.max(self.created_at), Timestamp::max)
    }

    /// The end of the task: every container not yet reported stopped is stopped.
    pub fn finish(&mut self, now: Timestamp) {
        let now = self.not_before_its_past(now);
        self.desired = TaskStatus::Stopped;
        self.last = TaskStatus::Stopped;
        self.stopping_at.get_or_insert(now);
        self.execution_stopped_at.get_or_insert(now);
        self.stopped_at.get_or_insert(now);
        if let Some(balanced) = &mut self.balanced {
            balanced.drains_until = None;
        }
        for container in &mut self.containers {
            container.last = TaskStatus::Stopped;
        }
    }
}
