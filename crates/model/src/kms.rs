//! Keys of AWS KMS and their aliases. Key material is here in sealed form only: this crate neither seals nor opens it.
//!
//! Left out: asymmetric and HMAC keys, imported material, custom key stores, keys of several regions.

use std::collections::BTreeMap;

use longshore_wire::{Timestamp, record};

use crate::ids::AccountId;

/// Aliases that one key may have.
pub const MOST_ALIASES: usize = 50;

/// Rotations on demand that one key may have had.
pub const MOST_ROTATIONS_ON_DEMAND: usize = 25;

/// Grants that one key may have. AWS allows more; here a key goes with all that is its own in one transaction.
pub const MOST_GRANTS: usize = 50;

record! {
    /// What a key encrypts with from a time on, until the next one comes. Older ones still decrypt.
    pub struct KeyMaterial {
        /// From 1; a ciphertext says which.
        pub number: i32 = "number",
        /// 64 hex digits that answers show.
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        /// It came because somebody asked for it, not because it was due.
        pub on_demand: bool = "onDemand",
        /// 32 bytes, sealed under the master key.
        pub sealed: String = "sealed",
    }

    /// A symmetric key.
    pub struct EncryptionKey {
        pub account: String = "account",
        /// A UUID.
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub description: String = "description",
        pub disabled: bool = "disabled",
        /// When it goes, with all that it encrypts.
        pub delete_at: Option<Timestamp> = "deleteAt",
        /// The key policy: a document.
        pub policy: String = "policy",
        pub tags: BTreeMap<String, String> = "tags",
        /// Of an AWS managed key: the service, `secretsmanager`. Nobody changes it.
        pub service: Option<String> = "service",
        /// Ascending; never empty.
        pub materials: Vec<KeyMaterial> = "materials",
        /// Days between rotations, where rotation is enabled.
        pub rotation_days: Option<i32> = "rotationDays",
        /// When the next material is due. It is made when the key next encrypts.
        pub rotate_at: Option<Timestamp> = "rotateAt",
    }

    /// Leave for one principal to use a key, beside the key's policy.
    pub struct KeyGrant {
        pub account: String = "account",
        /// Id of the key.
        pub key: String = "key",
        /// 64 hex digits.
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub name: Option<String> = "name",
        pub grantee: String = "grantee",
        pub retiring: Option<String> = "retiring",
        pub operations: Vec<String> = "operations",
        /// Encryption contexts that it is for: all of these, and with `equals` no others.
        pub context: BTreeMap<String, String> = "context",
        pub equals: bool = "equals",
        /// What it comes to: a document in the language of key policies.
        pub policy: String = "policy",
    }

    pub struct KeyAlias {
        pub account: String = "account",
        /// `alias/…`
        pub name: String = "name",
        /// Id of the key.
        pub key: String = "key",
        pub created_at: Timestamp = "createdAt",
        pub updated_at: Timestamp = "updatedAt",
    }
}

/// `ACCOUNT/ID` of a key, `ACCOUNT/alias/NAME` of an alias.
pub fn key(account: &AccountId, id: &str) -> String {
    format!("{account}/{id}")
}

/// `ACCOUNT/KEY/ID` of a grant; without the id, what the keys of a key's grants begin with.
pub fn grant_key(account: &str, key: &str, id: &str) -> String {
    format!("{account}/{key}/{id}")
}

impl EncryptionKey {
    /// What it encrypts with.
    pub fn current(&self) -> Option<&KeyMaterial> {
        self.materials.last()
    }

    pub fn material(&self, number: i32) -> Option<&KeyMaterial> {
        self.materials.iter().find(|material| material.number == number)
    }
}
