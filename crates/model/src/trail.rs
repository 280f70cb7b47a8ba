//! Trails: where audit records are delivered besides the log that holds them all.

use std::collections::BTreeMap;

use longshore_wire::{Timestamp, record};

use crate::ids::AccountId;

record! {
    /// A trail of CloudTrail's, and how far it has delivered.
    pub struct Trail {
        pub account: String = "account",
        pub name: String = "name",
        pub created_at: Timestamp = "createdAt",
        /// The directory below `DATA/trails`.
        pub bucket: String = "bucket",
        /// Of the paths below it.
        pub prefix: Option<String> = "prefix",
        /// ARN, as it was given.
        pub log_group: Option<String> = "logGroup",
        pub log_role: Option<String> = "logRole",
        pub global_events: bool = "globalEvents",
        pub multi_region: bool = "multiRegion",
        pub tags: BTreeMap<String, String> = "tags",
        pub selectors: Vec<Selector> = "selectors",
        pub logging: bool = "logging",
        pub started_at: Option<Timestamp> = "startedAt",
        pub stopped_at: Option<Timestamp> = "stoppedAt",
        /// Numbers of the last audit records that were looked at, for files and for the log group.
        pub position: i64 = "position",
        pub log_position: i64 = "logPosition",
        pub files: Option<Delivery> = "files",
        pub logs: Option<Delivery> = "logs",
    }

    /// Which management events a trail delivers.
    pub struct Selector {
        /// `All`, `ReadOnly`, `WriteOnly`.
        pub read_write: String = "readWrite",
        pub management: bool = "management",
        /// Event sources that are left out.
        pub excluded: Vec<String> = "excluded",
    }

    /// What became of deliveries to one place.
    #[derive(Default)]
    pub struct Delivery {
        pub attempted_at: Option<Timestamp> = "attemptedAt",
        pub succeeded_at: Option<Timestamp> = "succeededAt",
        /// Of the latest, if it failed.
        pub error: Option<String> = "error",
    }
}

/// `ACCOUNT/NAME`
pub fn key(account: &AccountId, name: &str) -> String {
    format!("{account}/{name}")
}
