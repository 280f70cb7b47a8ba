//! Parameters of SSM's Parameter Store. A parameter is one record, each version of it another, so that a new version costs
//! its own size and not that of all the others. Values of `SecureString` are here in sealed form only: this crate neither
//! seals nor opens them.

use std::collections::BTreeMap;

use longshore_wire::{Timestamp, record};

use crate::ids::AccountId;

/// Most versions of a parameter that are kept. AWS's number; a parameter and all its versions go in one transaction.
pub const VERSIONS_KEPT: usize = 100;

record! {
    pub struct Parameter {
        pub account: String = "account",
        /// As it was made, with its slashes: `/app/db/password`, or `password`.
        pub name: String = "name",
        /// Number of the newest version, from 1.
        pub latest: i64 = "latest",
        /// When it vanishes, if a policy of its newest version says so.
        pub expires_at: Option<Timestamp> = "expiresAt",
        pub tags: BTreeMap<String, String> = "tags",
    }

    /// What a parameter was at some time.
    pub struct ParameterVersion {
        pub account: String = "account",
        pub name: String = "name",
        pub number: i64 = "number",
        /// `String`, `StringList` or `SecureString`.
        pub kind: String = "kind",
        /// Of a `SecureString` the ciphertext, in base64.
        pub value: String = "value",
        /// Of a `SecureString` the KMS key, as the caller named it.
        pub key_id: Option<String> = "keyId",
        /// `Standard` or `Advanced`.
        pub tier: String = "tier",
        pub data_type: String = "dataType",
        pub description: Option<String> = "description",
        pub allowed_pattern: Option<String> = "allowedPattern",
        /// A policy's JSON each, ten at most.
        pub policies: Vec<String> = "policies",
        /// Ten at most; one is on one version of a parameter only.
        pub labels: Vec<String> = "labels",
        pub modified_at: Timestamp = "modifiedAt",
        /// ARN of who wrote it.
        pub modified_by: String = "modifiedBy",
    }
}

/// `ACCOUNT/NAME`
pub fn parameter_key(account: &AccountId, name: &str) -> String {
    key(account.as_str(), name)
}

/// `ACCOUNT/NAME:`, with which the keys of a parameter's versions begin. Names have no colon.
pub fn version_prefix(account: &AccountId, name: &str) -> String {
    format!("{account}/{name}:")
}

/// `ACCOUNT/NAME:NUMBER`, in the order of the numbers.
pub fn version_key(account: &AccountId, name: &str, number: i64) -> String {
    numbered_key(account.as_str(), name, number)
}

pub(crate) fn key(account: &str, name: &str) -> String {
    format!("{account}/{name}")
}

pub(crate) fn numbered_key(account: &str, name: &str, number: i64) -> String {
    format!("{account}/{name}:{number:019}")
}

impl Parameter {
    /// Whether it has not vanished yet.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl ParameterVersion {
    pub fn is_secure(&self) -> bool {
        self.kind == "SecureString"
    }
}
