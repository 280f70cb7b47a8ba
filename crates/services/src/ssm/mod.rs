//! SSM's Parameter Store: parameters with their versions, labels, policies and tags.
//!
//! A `SecureString` is encrypted under a KMS key before it reaches the store ([`cipher`]), and decrypted for an answer that
//! asks for `WithDecryption`; without it the answer carries the ciphertext.
//!
//! A parameter whose Expiration policy is due is gone for every handler; `longshore_plan::expire` removes its records.
//!
//! Left out: the rest of Systems Manager, notifications of policies (there is nobody to notify), parameters of other
//! accounts and of AWS's own (`/aws/service/…`, `/aws/reference/secretsmanager/…`), and the data types `aws:ec2:image` and
//! `aws:ssm:integration`.

mod cipher;
mod delete;
mod describe;
mod fault;
mod filter;
mod get;
mod history;
mod label;
pub(crate) mod name;
mod page;
mod path;
mod policy;
mod put;
mod tag;
#[cfg(test)]
mod tests;
mod value;

use crate::{Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::ssm::SERVICE,
    blocking: false,
    operations: operations! {
        "AddTagsToResource" => tag::add,
        "DeleteParameter" => delete::one,
        "DeleteParameters" => delete::several,
        "DescribeParameters" => describe::describe,
        "GetParameter" => get::one,
        "GetParameterHistory" => history::get,
        "GetParameters" => get::several,
        "GetParametersByPath" => path::get,
        "LabelParameterVersion" => label::add,
        "ListTagsForResource" => tag::list,
        "PutParameter" => put::put,
        "RemoveTagsFromResource" => tag::remove,
        "UnlabelParameterVersion" => label::remove,
    },
};
