//! Task definitions: families and their immutable revisions.

use std::sync::Arc;

use longshore_api::ecs;
use longshore_wire::record;

use crate::ids::AccountId;
use crate::state::State;

record! {
    /// A family remembers the last revision it gave out, so that a number is never given twice, not even after deletion.
    pub struct Family {
        pub account: String = "account",
        pub family: String = "family",
        pub last_revision: i32 = "lastRevision",
    }
}

record! {
    /// One revision. `api` is what DescribeTaskDefinition returns; tags travel beside it.
    pub struct TaskDefinition {
        pub account: String = "account",
        pub family: String = "family",
        pub revision: i32 = "revision",
        pub api: ecs::TaskDefinition = "api",
        pub tags: Vec<ecs::Tag> = "tags",
    }
}

/// `ACCOUNT/FAMILY`
pub fn family_key(account: &AccountId, family: &str) -> String {
    format!("{account}/{family}")
}

/// `ACCOUNT/FAMILY:REVISION`, the revision padded so that text order is number order.
pub fn key(account: &AccountId, family: &str, revision: i32) -> String {
    key_of(account.as_str(), family, revision)
}

pub(crate) fn key_of(account: &str, family: &str, revision: i32) -> String {
    format!("{account}/{family}:{revision:010}")
}

impl State {
    /// The revision that is named, of any status, or the newest ACTIVE one of the family.
    pub fn definition_named(
        &self,
        account: &AccountId,
        family: &str,
        revision: Option<i32>,
    ) -> Option<&Arc<TaskDefinition>> {
        if let Some(revision) = revision {
            return self.definitions.get(&key(account, family, revision));
        }
        let prefix = format!("{}:", family_key(account, family));
        let mut last = self.definitions.last(&prefix)?;
        while !last.is_active() {
            let before = key(account, family, last.revision);
            last = self.definitions.scan_back(&prefix, Some(&before)).next()?.1;
        }
        self.definitions.get(&key(account, family, last.revision))
    }
}

impl TaskDefinition {
    pub fn is_active(&self) -> bool {
        self.api.status == Some(ecs::TaskDefinitionStatus::Active)
    }

    pub fn is_being_deleted(&self) -> bool {
        self.api.status == Some(ecs::TaskDefinitionStatus::DeleteInProgress)
    }

    /// Whether its tasks can run on Fargate.
    pub fn suits_fargate(&self) -> bool {
        self.api.compatibilities.as_deref().unwrap_or_default().contains(&ecs::Compatibility::Fargate)
    }

    pub fn containers(&self) -> &[ecs::ContainerDefinition] {
        self.api.container_definitions.as_deref().unwrap_or_default()
    }
}
