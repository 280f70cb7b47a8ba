//! Amazon ECR: repositories and what is in them.
//!
//! Records say what there is; bytes lie apart, under their digests (`docs/decisions/0040`). [`content`] is what the API here
//! has in common with the distribution API under `/v2/`. A registry is an account's; of another account's repository a
//! caller sees what both its own policies and the repository's allow.
//!
//! The bytes of a repository that is encrypted by KMS are sealed under a key of its own ([`seal`]); those of the others lie as they
//! came.
//!
//! Left out: signing, archiving.

mod authorization;
pub mod cache;
pub mod content;
pub mod download;
mod fault;
mod find;
mod host;
mod image;
mod layer;
mod lifecycle;
mod policy;
mod registry;
mod replication;
mod repository;
pub mod scan;
pub mod seal;
mod setting;
mod tag;
mod template;
pub mod token;

use crate::{Service, operations};

pub use fault::bytes as bytes_fault;
pub use registry::mounts;
pub use template::{for_pull, for_push};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::ecr::SERVICE,
    blocking: true,
    operations: operations! {
        "CreateRepository" => repository::create,
        "DescribeRepositories" => repository::describe,
        "DeleteRepository" => repository::delete,
        "SetRepositoryPolicy" => policy::set,
        "GetRepositoryPolicy" => policy::get,
        "DeleteRepositoryPolicy" => policy::delete,
        "PutLifecyclePolicy" => lifecycle::put,
        "GetLifecyclePolicy" => lifecycle::get,
        "DeleteLifecyclePolicy" => lifecycle::delete,
        "StartLifecyclePolicyPreview" => lifecycle::start_preview,
        "GetLifecyclePolicyPreview" => lifecycle::get_preview,
        "PutImageTagMutability" => setting::put_mutability,
        "PutImageScanningConfiguration" => setting::put_scanning,
        "PutImage" => image::put,
        "BatchGetImage" => image::get,
        "DescribeImages" => image::describe,
        "ListImages" => image::list,
        "BatchDeleteImage" => image::delete,
        "ListImageReferrers" => image::referrers,
        "DescribeImageReplicationStatus" => replication::status,
        "BatchCheckLayerAvailability" => layer::check,
        "GetDownloadUrlForLayer" => layer::url,
        "InitiateLayerUpload" => layer::initiate,
        "UploadLayerPart" => layer::upload,
        "CompleteLayerUpload" => layer::complete,
        "GetAuthorizationToken" => authorization::get,
        "DescribeRegistry" => replication::describe,
        "PutReplicationConfiguration" => replication::put,
        "PutRegistryPolicy" => registry::put_policy,
        "GetRegistryPolicy" => registry::get_policy,
        "DeleteRegistryPolicy" => registry::delete_policy,
        "PutAccountSetting" => registry::put_setting,
        "GetAccountSetting" => registry::get_setting,
        "CreateRepositoryCreationTemplate" => template::create,
        "UpdateRepositoryCreationTemplate" => template::update,
        "DescribeRepositoryCreationTemplates" => template::describe,
        "DeleteRepositoryCreationTemplate" => template::delete,
        "CreatePullThroughCacheRule" => cache::create,
        "DescribePullThroughCacheRules" => cache::describe,
        "UpdatePullThroughCacheRule" => cache::update,
        "DeletePullThroughCacheRule" => cache::delete,
        "ValidatePullThroughCacheRule" => cache::validate,
        "StartImageScan" => scan::start,
        "DescribeImageScanFindings" => scan::describe,
        "BatchGetRepositoryScanningConfiguration" => scan::of_repositories,
        "PutRegistryScanningConfiguration" => scan::configure,
        "GetRegistryScanningConfiguration" => scan::of_registry,
        "TagResource" => tag::tag,
        "UntagResource" => tag::untag,
        "ListTagsForResource" => tag::list,
    },
};

#[cfg(test)]
mod tests;
