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
}
