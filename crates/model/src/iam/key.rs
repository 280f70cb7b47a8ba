//! Access keys and the account's alias.

use longshore_wire::{Timestamp, record};

record! {
    /// A long-lived access key.
    pub struct AccessKey {
        /// `AKIA…`; no two accounts have the same.
        pub id: String = "id",
        pub account: String = "account",
        /// Name of the user; empty for the account's root.
        pub user: String = "user",
        pub created_at: Timestamp = "createdAt",
        pub inactive: bool = "inactive",
        /// The secret key, sealed under the master key.
        pub sealed: String = "sealed",
    }

    /// The name that stands for an account's number.
    pub struct AccountAlias {
        pub account: String = "account",
        pub alias: String = "alias",
    }
}
