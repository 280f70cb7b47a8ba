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
        pub registered_at: Timestamp = "registeredAt",
        /// ARN of who registered it: nobody else may be this node.
        pub owner: Option<String> = "owner",
        pub disconnected_at: Option<Timestamp> = "disconnectedAt",
        pub tags: Vec<ecs::Tag> = "tags",
    }
}

/// The cluster name under which nodes that serve every cluster register.
pub const FARGATE_CLUSTER: &str = "longshore.fargate";

impl Node {
    /// A session begins: reports and orders of older sessions are void from now on. Returns its number.
    pub fn connect(&mut self) -> i64 {
        self.connected = true;
        self.disconnected_at = None;
        self.epoch += 1;
        self.epoch
    }

    /// The session `epoch` ended. Returns whether it was the newest one, so that anything changed.
    pub fn disconnect(&mut self, epoch: i64, now: Timestamp) -> bool {
        let ends = self.connected && self.epoch == epoch;
        if ends {
            self.connected = false;
            self.disconnected_at = Some(now);
        }
        ends
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        let named = |attribute: &&ecs::Attribute| attribute.name.as_deref() == Some(name);
        self.attributes.iter().find(named)?.value.as_deref()
    }

    /// Whether this is the principal that registered the node.
    pub fn is_of(&self, principal: &str) -> bool {
        self.owner.as_deref().is_none_or(|owner| owner == principal)
    }

    pub fn takes_tasks(&self) -> bool {
        self.connected && self.status == "ACTIVE"
    }
}
