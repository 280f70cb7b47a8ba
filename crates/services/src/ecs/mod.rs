//! Amazon ECS: clusters, task definitions, tasks, services, container instances, tags, account settings.
//!
//! One module a noun. What several of them need is in [`resolve`] (names and ARNs), [`page`] (lists), [`tag`] (what a tag
//! may be) and [`fault`] (AWS's errors in AWS's words).

pub mod agent;
pub mod cluster;
pub mod definition;
mod describe;
pub mod fault;
pub mod instance;
pub mod page;
pub mod resolve;
pub mod role;
pub mod service;
pub mod setting;
pub mod tag;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod testing_tasks;

use crate::{Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::ecs::SERVICE,
    blocking: false,
    operations: operations! {
        "CreateCluster" => cluster::create,
        "CreateService" => service::create,
        "DeleteAccountSetting" => setting::delete,
        "DeleteCluster" => cluster::delete,
        "DeleteService" => service::delete,
        "DeleteTaskDefinitions" => definition::delete,
        "DeregisterContainerInstance" => instance::deregister,
        "DeregisterTaskDefinition" => definition::deregister,
        "DescribeCapacityProviders" => cluster::strategy::describe,
        "DescribeClusters" => cluster::describe,
        "DescribeContainerInstances" => instance::describe,
        "DescribeServices" => service::describe,
        "DescribeTaskDefinition" => definition::describe,
        "DescribeTasks" => task::describe,
        "DiscoverPollEndpoint" => agent::discover,
        "ListAccountSettings" => setting::list,
        "ListClusters" => cluster::list,
        "ListContainerInstances" => instance::list,
        "ListServices" => service::list,
        "ListTagsForResource" => tag::list,
        "ListTaskDefinitionFamilies" => definition::families,
        "ListTaskDefinitions" => definition::list,
        "ListTasks" => task::list,
        "PutAccountSetting" => setting::put,
        "PutAccountSettingDefault" => setting::put_default,
        "PutClusterCapacityProviders" => cluster::put_capacity_providers,
        "RegisterContainerInstance" => agent::register,
        "RegisterTaskDefinition" => definition::register,
        "RunTask" => task::run,
        "StopTask" => task::stop,
        "SubmitAttachmentStateChanges" => agent::submit_attachments,
        "SubmitContainerStateChange" => agent::submit_container,
        "SubmitTaskStateChange" => agent::submit_task,
        "TagResource" => tag::tag,
        "UntagResource" => tag::untag,
        "UpdateCluster" => cluster::update,
        "UpdateClusterSettings" => cluster::update_settings,
        "UpdateContainerInstancesState" => instance::update_state,
        "UpdateService" => service::update,
    },
};
