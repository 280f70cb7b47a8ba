//! Account settings, client tokens and log groups: small records without a room of their own.

use longshore_wire::{Timestamp, record};

use crate::ids::AccountId;

record! {
    /// An account setting as somebody set it. `principal` is an ARN, or empty for the account's default.
    pub struct Setting {
        pub account: String = "account",
        pub principal: String = "principal",
        pub name: String = "name",
        pub value: String = "value",
    }
}

/// `ACCOUNT/NAME/PRINCIPAL`
pub fn setting_key(account: &AccountId, name: &str, principal: &str) -> String {
    format!("{account}/{name}/{principal}")
}

record! {
    /// A client token that was used, what it asked for and what it made.
    pub struct Token {
        pub account: String = "account",
        /// `RunTask`, `CreateService`, …
        pub operation: String = "operation",
        pub cluster: String = "cluster",
        pub token: String = "token",
        /// A digest of the request's parameters.
        pub request: String = "request",
        /// ARNs of what was made, in order.
        pub made: Vec<String> = "made",
        pub created_at: Timestamp = "createdAt",
    }
}

/// `ACCOUNT/CLUSTER/OPERATION/TOKEN`
pub fn token_key(account: &AccountId, cluster: &str, operation: &str, token: &str) -> String {
    format!("{account}/{cluster}/{operation}/{token}")
}

record! {
    /// A CloudWatch Logs group. Streams and events are bulk and lie in the log store under `uid`, so that a group made
    /// again under an old name begins empty.
    pub struct LogGroup {
        pub account: String = "account",
        pub name: String = "name",
        pub uid: String = "uid",
        pub created_at: Timestamp = "createdAt",
        pub retention_days: Option<i32> = "retentionDays",
        pub kms_key: Option<String> = "kmsKey",
        pub class: Option<String> = "class",
        pub deletion_protected: bool = "deletionProtected",
        pub tags: std::collections::BTreeMap<String, String> = "tags",
    }
}

/// `ACCOUNT/NAME`
pub fn log_group_key(account: &AccountId, name: &str) -> String {
    format!("{account}/{name}")
}
