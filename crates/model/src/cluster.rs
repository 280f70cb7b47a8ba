//! Clusters and the capacity providers they may use.

use longshore_api::ecs;
use longshore_wire::record;

use crate::ids::AccountId;

record! {
    /// A cluster. `api` holds what DescribeClusters returns, except counts, which are derived.
    pub struct Cluster {
        pub account: String = "account",
        pub name: String = "name",
        pub api: ecs::Cluster = "api",
    }
}

/// `ACCOUNT/NAME`
pub fn key(account: &AccountId, name: &str) -> String {
    format!("{account}/{name}")
}

impl Cluster {
    pub fn is_active(&self) -> bool {
        self.api.status.as_deref() == Some("ACTIVE")
    }

    /// The key for Fargate's scratch space.
    pub fn storage_key(&self) -> Option<&str> {
        let storage = self.api.configuration.as_ref()?.managed_storage_configuration.as_ref()?;
        storage.fargate_ephemeral_storage_kms_key_id.as_deref()
    }
}
