//! What an administrator makes.

use std::collections::BTreeMap;

use longshore_wire::{Timestamp, record};

use super::arn;

record! {
    /// What an entity may do, by its own policies.
    #[derive(Default)]
    pub struct Grants {
        /// ARNs of managed policies, in the order they were attached.
        pub attached: Vec<String> = "attached",
        /// Inline policies: name to document.
        pub inline: BTreeMap<String, String> = "inline",
    }

    pub struct User {
        pub account: String = "account",
        pub name: String = "name",
        /// Begins and ends with a slash; so all paths here.
        pub path: String = "path",
        /// `AIDA…`
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub boundary: Option<String> = "boundary",
        pub tags: BTreeMap<String, String> = "tags",
        /// Names of groups, as the groups spell them.
        pub groups: Vec<String> = "groups",
        pub grants: Option<Grants> = "grants",
    }

    pub struct Group {
        pub account: String = "account",
        pub name: String = "name",
        pub path: String = "path",
        /// `AGPA…`
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub grants: Option<Grants> = "grants",
    }

    pub struct Role {
        pub account: String = "account",
        pub name: String = "name",
        pub path: String = "path",
        /// `AROA…`
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        /// Who may assume it: a document.
        pub trust: String = "trust",
        pub description: Option<String> = "description",
        pub max_session_seconds: i32 = "maxSessionSeconds",
        pub boundary: Option<String> = "boundary",
        pub tags: BTreeMap<String, String> = "tags",
        pub grants: Option<Grants> = "grants",
        /// Of a service-linked role: the service, `ecs.amazonaws.com`. Nobody else changes it.
        pub service: Option<String> = "service",
    }

    pub struct InstanceProfile {
        pub account: String = "account",
        pub name: String = "name",
        pub path: String = "path",
        /// `AIPA…`
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub role: Option<String> = "role",
        pub tags: BTreeMap<String, String> = "tags",
    }

    pub struct PolicyVersion {
        /// 1 is `v1`.
        pub number: i32 = "number",
        pub document: String = "document",
        pub created_at: Timestamp = "createdAt",
    }

    /// A managed policy of a customer's. AWS's own are no records.
    pub struct ManagedPolicy {
        pub account: String = "account",
        pub name: String = "name",
        pub path: String = "path",
        /// `ANPA…`
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub updated_at: Timestamp = "updatedAt",
        pub description: Option<String> = "description",
        pub tags: BTreeMap<String, String> = "tags",
        /// At most five, ascending.
        pub versions: Vec<PolicyVersion> = "versions",
        /// Number of the version in force.
        pub default_version: i32 = "defaultVersion",
        /// Number of the last version that was ever made.
        pub last_version: i32 = "lastVersion",
    }
}

impl User {
    pub fn arn(&self) -> String {
        arn(&self.account, "user", &self.path, &self.name)
    }
}

impl Group {
    pub fn arn(&self) -> String {
        arn(&self.account, "group", &self.path, &self.name)
    }
}

impl Role {
    pub fn arn(&self) -> String {
        arn(&self.account, "role", &self.path, &self.name)
    }
}

impl InstanceProfile {
    pub fn arn(&self) -> String {
        arn(&self.account, "instance-profile", &self.path, &self.name)
    }
}

impl ManagedPolicy {
    pub fn arn(&self) -> String {
        arn(&self.account, "policy", &self.path, &self.name)
    }

    /// The version of a number.
    pub fn version(&self, number: i32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The document in force.
    pub fn document(&self) -> Option<&str> {
        self.version(self.default_version).map(|version| version.document.as_str())
    }
}
