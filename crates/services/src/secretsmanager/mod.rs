//! AWS Secrets Manager: secrets, their versions and staging labels, rotation, recovery windows, resource policies, passwords.
//!
//! A value is encrypted by KMS before it reaches the store, bound to the secret's ARN and the version's id, under the
//! secret's key or the AWS managed key `alias/aws/secretsmanager`. Labels lie with the secret; moving AWSCURRENT leaves
//! AWSPREVIOUS behind. A deleted secret stays until its window ends and is then forgotten by the reaper.
//!
//! Left out: replication to other regions, and secrets of other accounts or that others manage.

mod batch;
mod create;
mod delete;
mod describe;
mod fault;
mod filter;
mod find;
mod get;
mod list;
mod password;
mod plain;
mod policy;
mod put;
mod rotate;
#[cfg(test)]
mod rotate_tests;
mod stage;
mod tag;
#[cfg(test)]
mod tests;
mod update;
mod version;

use crate::{Service, operations};

pub use find::find;
pub use get::{current, text};

/// The name that KMS knows this service by.
pub const NAME: &str = "secretsmanager";

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::secretsmanager::SERVICE,
    blocking: false,
    operations: operations! {
        "CreateSecret" => create::create,
        "GetSecretValue" => get::get,
        "BatchGetSecretValue" => batch::get,
        "PutSecretValue" => put::put,
        "UpdateSecret" => update::update,
        "DescribeSecret" => describe::describe,
        "ListSecrets" => list::list,
        "DeleteSecret" => delete::delete,
        "RestoreSecret" => delete::restore,
        "RotateSecret" => rotate::rotate,
        "CancelRotateSecret" => rotate::cancel,
        "UpdateSecretVersionStage" => stage::update,
        "ListSecretVersionIds" => list::versions,
        "TagResource" => tag::tag,
        "UntagResource" => tag::untag,
        "GetResourcePolicy" => policy::get,
        "PutResourcePolicy" => policy::put,
        "DeleteResourcePolicy" => policy::delete,
        "ValidateResourcePolicy" => policy::validate,
        "GetRandomPassword" => password::get,
    },
};
