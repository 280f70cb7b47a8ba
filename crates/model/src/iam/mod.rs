//! Identities: users, groups, roles, instance profiles, managed policies, access keys, and who a caller is.
//!
//! Names are one without regard to case within an account, as IAM's are, so a key holds the name in small letters. What an
//! entity may do lies with it ([`Grants`]): its own documents, and the ARNs of managed policies. Who is in a group is said
//! by the user alone, which policies are used where by their users alone; the other direction is a scan. Secrets are here in
//! sealed form only: this crate neither seals nor opens them. Left out: passwords, MFA devices, SAML and OpenID providers.

mod caller;
mod entity;
mod key;

pub use caller::{Caller, Claims, Identity};
pub use entity::{Grants, Group, InstanceProfile, ManagedPolicy, PolicyVersion, Role, User};
pub use key::{AccessKey, AccountAlias};

use crate::ids::AccountId;

/// `ACCOUNT/name`, the name in small letters: the key of users, groups, roles, instance profiles and managed policies.
pub fn key(account: &AccountId, name: &str) -> String {
    entity_key(account.as_str(), name)
}

pub(crate) fn entity_key(account: &str, name: &str) -> String {
    format!("{account}/{}", name.to_ascii_lowercase())
}

/// `arn:aws:iam::ACCOUNT:KIND/path/name`; `path` begins and ends with a slash.
pub fn arn(account: &str, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}
