//! Secrets of AWS Secrets Manager and their versions. Values are here in sealed form only: this crate neither seals nor
//! opens them.
//!
//! Staging labels lie with the secret, each at one version, so that no two versions can have the same.

use std::collections::BTreeMap;

use longshore_wire::{Blob, Timestamp, record};

use crate::arn::{Arn, Place};
use crate::ids::AccountId;

/// The staging labels of the value that is valid, of the one before, and of the one that a rotation is to make valid. Only
/// the last may be at a version that is not there yet.
pub const CURRENT: &str = "AWSCURRENT";
pub const PREVIOUS: &str = "AWSPREVIOUS";
pub const PENDING: &str = "AWSPENDING";

/// Characters of a suffix.
pub const SUFFIX: usize = 6;

/// Versions that one secret may have.
pub const MOST_VERSIONS: usize = 100;

record! {
    pub struct Secret {
        pub account: String = "account",
        pub name: String = "name",
        /// The six characters behind the name in its ARN: a secret made again under an old name has another.
        pub suffix: String = "suffix",
        /// Its versions lie under this.
        pub uid: String = "uid",
        pub created_at: Timestamp = "createdAt",
        pub changed_at: Option<Timestamp> = "changedAt",
        /// The beginning of the day.
        pub accessed_at: Option<Timestamp> = "accessedAt",
        pub description: Option<String> = "description",
        /// What its owner calls it; nothing is made of it.
        pub kind: Option<String> = "kind",
        /// ARN of the key; none is the AWS managed key.
        pub kms_key: Option<String> = "kmsKey",
        pub tags: BTreeMap<String, String> = "tags",
        /// The resource policy: a document.
        pub policy: Option<String> = "policy",
        /// Staging label to version id.
        pub stages: BTreeMap<String, String> = "stages",
        /// When it was deleted, and when it goes.
        pub deleted_at: Option<Timestamp> = "deletedAt",
        pub delete_at: Option<Timestamp> = "deleteAt",
        /// Once it was asked for.
        pub rotation: Option<Rotation> = "rotation",
    }

    /// How and when a secret gets another value.
    pub struct Rotation {
        /// ARN of the task definition whose tasks do it; without a revision, the newest ACTIVE one.
        pub function: String = "function",
        pub enabled: bool = "enabled",
        pub after_days: Option<i64> = "afterDays",
        /// Hours of the window, as `3h`. Tasks begin when it opens.
        pub duration: Option<String> = "duration",
        /// `rate(…)` or `cron(…)`.
        pub schedule: Option<String> = "schedule",
        /// When it last succeeded.
        pub rotated_at: Option<Timestamp> = "rotatedAt",
        /// When the next window opens.
        pub next_at: Option<Timestamp> = "nextAt",
        /// When the rotation that AWSPENDING tells of is tried, for the first time or again.
        pub try_at: Option<Timestamp> = "tryAt",
        /// Attempts that failed since the window opened.
        pub failures: i32 = "failures",
        pub running: Option<Attempt> = "running",
    }

    /// A task that rotates a secret.
    pub struct Attempt {
        pub cluster: String = "cluster",
        pub task: String = "task",
        /// The id of the version that is to become current.
        pub token: String = "token",
        pub began_at: Timestamp = "beganAt",
    }

    pub struct SecretVersion {
        pub account: String = "account",
        /// The secret's `uid`.
        pub secret: String = "secret",
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub accessed_at: Option<Timestamp> = "accessedAt",
        /// ARN of the key; none is the AWS managed key.
        pub kms_key: Option<String> = "kmsKey",
        /// Whether the value is text; it is binary else.
        pub text: bool = "text",
        /// The value: a ciphertext of KMS.
        pub sealed: Blob = "sealed",
    }
}

/// Of a secret: `ACCOUNT/NAME`.
pub fn key(account: &AccountId, name: &str) -> String {
    format!("{account}/{name}")
}

/// Of a version: `ACCOUNT/UID/ID`. Without the id, what the keys of a secret's versions begin with.
pub fn version_key(account: &str, uid: &str, id: &str) -> String {
    format!("{account}/{uid}/{id}")
}

impl Secret {
    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX`
    pub fn arn(&self, place: &Place) -> String {
        place.arn("secretsmanager", &format!("secret:{}-{}", self.name, self.suffix))
    }

    /// The version that a rotation is to make current, there or not: AWSPENDING is at it, and AWSCURRENT is not.
    pub fn pending(&self) -> Option<&String> {
        self.stages.get(PENDING).filter(|id| self.stages.get(CURRENT) != Some(id))
    }

    /// When rotating it needs a look: at once while a task runs, else when it is due.
    pub fn rotates_at(&self) -> Option<Timestamp> {
        let rotation = self.rotation.as_ref()?;
        match rotation.running {
            Some(_) => Some(Timestamp::default()),
            None if !rotation.enabled || self.deleted_at.is_some() => None,
            None => rotation.try_at.into_iter().chain(rotation.next_at).min(),
        }
    }

    /// The labels of a version.
    pub fn stages_of<'a>(&'a self, version: &'a str) -> impl Iterator<Item = &'a String> {
        self.stages.iter().filter(move |(_, id)| *id == version).map(|(stage, _)| stage)
    }
}

impl Rotation {
    /// Family and, if it names one, revision of the task definition.
    pub fn definition(&self) -> Option<(&str, Option<i32>)> {
        let named = Arn::parse(&self.function)?.resource.strip_prefix("task-definition/")?;
        match named.split_once(':') {
            Some((family, revision)) => Some((family, Some(revision.parse().ok()?))),
            None => Some((named, None)),
        }
    }
}

impl Attempt {
    /// The key of its task.
    pub fn task_key(&self, account: &str) -> String {
        format!("{account}/{}/{}", self.cluster, self.task)
    }
}

impl SecretVersion {
    pub fn key(&self) -> String {
        version_key(&self.account, &self.secret, &self.id)
    }

    /// Bytes that its value takes.
    pub fn size(&self) -> usize {
        self.sealed.0.len()
    }
}

/// Name and suffix of an ARN's resource, `secret:NAME-SUFFIX`.
pub fn split(resource: &str) -> Option<(&str, &str)> {
    let whole = resource.strip_prefix("secret:")?;
    let (name, suffix) = whole.split_at_checked(whole.len().checked_sub(SUFFIX)?)?;
    Some((name.strip_suffix('-').filter(|name| !name.is_empty())?, suffix))
}
