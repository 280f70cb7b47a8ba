//! Nodes: machines (or sandboxes' hosts) that run tasks. ECS calls them container instances.

use longshore_api::ecs;
use longshore_wire::{Timestamp, record};

record! {
    /// A node. A Fargate node belongs to no cluster: it runs tasks of every cluster and account.
    pub struct Node {
        pub id: String = "id",
        pub account: String = "account",
        pub cluster: Option<String> = "cluster",
        pub arn: String = "arn",
        /// `ACTIVE`, `DRAINING` or `INACTIVE`.
        pub status: String = "status",
        pub fargate: bool = "fargate",
        pub zone: String = "zone",
        /// CPU units (1024 = one vCPU) and MiB on offer.
        pub cpu: i32 = "cpu",
        pub memory_mib: i32 = "memoryMib",
        /// The /24 (or other prefix) that public addresses on this node come from.
        pub public_pool: Option<String> = "publicPool",
        pub attributes: Vec<ecs::Attribute> = "attributes",
        pub version_info: Option<ecs::VersionInfo> = "versionInfo",
        pub connected: bool = "connected",
        /// Rises with each session; a report or an order of an older session is refused.
        pub epoch: i64 = "epoch",
        /// Sequence number of the last task manifest sent.
        pub manifest: i64 = "manifest",
        pub registered_at: Timestamp = "registeredAt",
        pub disconnected_at: Option<Timestamp> = "disconnectedAt",
        pub tags: Vec<ecs::Tag> = "tags",
    }
}

impl Node {
    pub fn takes_tasks(&self) -> bool {
        self.connected && self.status == "ACTIVE"
    }
}
