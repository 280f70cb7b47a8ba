//! AWS KMS, as far as secrets need it: symmetric keys, aliases, key policies, rotation.
//!
//! ```text
//!     master key ──seals──► key material ──derives──► a key for each message ──AES-256-GCM──► ciphertext
//! ```
//! [`Ring`] is what other services encrypt with, in their caller's name or with the AWS managed key of their own. A
//! ciphertext says which key and which material of it decrypts; it is bound to its encryption context and account.
//!
//! Left out: asymmetric and HMAC keys, imported material, custom key stores, keys of several regions, and the use of keys
//! across accounts.

mod alias;
mod cipher;
mod deletion;
mod fault;
mod find;
mod grant;
mod key;
mod managed;
mod operation;
mod page;
mod policy;
mod retire;
mod ring;
mod rotation;
mod tag;
#[cfg(test)]
mod tests;

use crate::{Service, operations};

pub use cipher::{Blob as Ciphertext, EncryptionContext};
pub use find::{arn, find};
pub use managed::alias as managed_alias;
pub use retire::{GRANT_ID, Named as NamedGrant};
pub use ring::{Opened, Ring};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::kms::SERVICE,
    blocking: false,
    operations: operations! {
        "CreateKey" => key::create,
        "DescribeKey" => key::describe,
        "ListKeys" => key::list,
        "EnableKey" => key::enable,
        "DisableKey" => key::disable,
        "UpdateKeyDescription" => key::update_description,
        "ScheduleKeyDeletion" => deletion::schedule,
        "CancelKeyDeletion" => deletion::cancel,
        "Encrypt" => operation::encrypt,
        "Decrypt" => operation::decrypt,
        "ReEncrypt" => operation::re_encrypt,
        "GenerateDataKey" => operation::generate_data_key,
        "GenerateDataKeyWithoutPlaintext" => operation::generate_data_key_without_plaintext,
        "GenerateRandom" => operation::generate_random,
        "CreateAlias" => alias::create,
        "UpdateAlias" => alias::update,
        "DeleteAlias" => alias::delete,
        "ListAliases" => alias::list,
        "GetKeyPolicy" => policy::get,
        "PutKeyPolicy" => policy::put,
        "ListKeyPolicies" => policy::list,
        "TagResource" => tag::tag,
        "UntagResource" => tag::untag,
        "ListResourceTags" => tag::list,
        "EnableKeyRotation" => rotation::enable,
        "DisableKeyRotation" => rotation::disable,
        "GetKeyRotationStatus" => rotation::status,
        "RotateKeyOnDemand" => rotation::on_demand,
        "ListKeyRotations" => rotation::list,
        "CreateGrant" => grant::create,
        "ListGrants" => grant::list,
        "ListRetirableGrants" => retire::list,
        "RevokeGrant" => grant::revoke,
        "RetireGrant" => retire::retire,
    },
};
