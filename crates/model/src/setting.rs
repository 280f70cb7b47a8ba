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
        /// When it may be forgotten, once the last task it made is forgotten.
        pub until: Option<Timestamp> = "until",
    }
}

/// How long a token lasts at most, in milliseconds.
pub const TOKEN_MILLIS: i64 = 24 * 60 * 60 * 1000;

impl Token {
    /// When it is void, whatever became of what it made.
    pub fn end(&self) -> Timestamp {
        let longest = Timestamp::from_millis(self.created_at.millis().saturating_add(TOKEN_MILLIS));
        self.until.map_or(longest, |until| until.min(longest))
    }

    /// Keys of the tasks it made.
    pub fn task_keys(&self) -> impl Iterator<Item = String> {
        let tasks = self.made.iter().filter(|arn| arn.contains(":task/"));
        let ids = tasks.filter_map(|arn| arn.rsplit('/').next());
        ids.map(|id| format!("{}/{}/{id}", self.account, self.cluster))
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
