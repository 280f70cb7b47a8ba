//! Amazon ECS: clusters, task definitions, tasks, services, container instances, tags, account settings.
//!
//! One module a noun. What several of them need is in [`resolve`] (names and ARNs), [`page`] (lists), [`tag`] (what a tag
//! may be) and [`fault`] (AWS's errors in AWS's words).

pub mod cluster;
pub mod definition;
pub mod fault;
pub mod page;
pub mod resolve;
pub mod setting;
pub mod tag;

use crate::{Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::ecs::SERVICE,
    operations: operations! {
        "CreateCluster" => cluster::create,
        "DeleteAccountSetting" => setting::delete,
        "DeleteCluster" => cluster::delete,
        "DeleteTaskDefinitions" => definition::delete,
        "DeregisterTaskDefinition" => definition::deregister,
        "DescribeCapacityProviders" => cluster::strategy::describe,
        "DescribeClusters" => cluster::describe,
        "DescribeTaskDefinition" => definition::describe,
        "ListAccountSettings" => setting::list,
        "ListClusters" => cluster::list,
        "ListTagsForResource" => tag::list,
        "ListTaskDefinitionFamilies" => definition::families,
        "ListTaskDefinitions" => definition::list,
        "PutAccountSetting" => setting::put,
        "PutAccountSettingDefault" => setting::put_default,
        "PutClusterCapacityProviders" => cluster::put_capacity_providers,
        "RegisterTaskDefinition" => definition::register,
        "TagResource" => tag::tag,
        "UntagResource" => tag::untag,
        "UpdateCluster" => cluster::update,
        "UpdateClusterSettings" => cluster::update_settings,
    },
};
