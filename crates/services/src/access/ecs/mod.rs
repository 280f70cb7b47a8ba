//! Amazon ECS.

pub(super) mod key;
pub(super) mod resource;

use super::{Access, NONE, Need, Table};
use key::{
    CAPACITY_PROVIDER, CLUSTER, COMPATIBILITY, CPU, CREATE_ACTION, DEFINITION, EBS_VOLUMES, EXECUTE_COMMAND,
    MANAGED_TAGS, MEMORY, NAMESPACE, PASSED_TO_ECS, PASSED_TO_TASKS, PRIVILEGED, PROPAGATE_TAGS, PUBLIC_IP,
    SERVICE_CONNECT, SETTING, STORAGE_KEY, SUBNET, TAG_KEYS, TAGS,
};
use resource::{
    BY_ARN, CAPACITY_PROVIDERS, CLUSTER_NAMED, CLUSTER_NEW, CLUSTERS, CONTAINER_INSTANCE_ANY, CONTAINER_INSTANCES,
    DEFINITION_FAMILY, DEFINITION_TO_RUN, DEFINITIONS, ROLE_OF_SERVICE, ROLES_GIVEN, ROLES_OF_DEFINITION,
    ROLES_OVERRIDDEN, SERVICE, SERVICE_NEW, SERVICES, TAGGED_CLUSTER, TAGGED_DEFINITION, TAGGED_INSTANCE,
    TAGGED_SERVICE, TAGGED_TASK, TASK, TASKS,
};

macro_rules! access {
    ($($name:literal: $($action:literal on $resource:ident $([$($key:ident)*])?),+;)*) => {
        &[$(Access::new($name, &[$(Need::new($action, &$resource, &[$($(&$key),*)?])),+]),)*]
    };
}

pub(super) static TABLE: Table = Table {
    service: "ecs",
    operations: access! {
        "CreateCluster":
            "ecs:CreateCluster" on CLUSTER_NEW [TAGS CAPACITY_PROVIDER STORAGE_KEY],
            "ecs:TagResource" on TAGGED_CLUSTER [TAGS CREATE_ACTION];
        "CreateService":
            "ecs:CreateService" on SERVICE_NEW [
                CLUSTER DEFINITION TAGS CAPACITY_PROVIDER EXECUTE_COMMAND MANAGED_TAGS PROPAGATE_TAGS SERVICE_CONNECT
                NAMESPACE EBS_VOLUMES PUBLIC_IP SUBNET
            ],
            "ecs:TagResource" on TAGGED_SERVICE [TAGS CREATE_ACTION CLUSTER],
            "iam:PassRole" on ROLES_OF_DEFINITION [PASSED_TO_TASKS],
            "iam:PassRole" on ROLE_OF_SERVICE [PASSED_TO_ECS];
        "DeleteAccountSetting": "ecs:DeleteAccountSetting" on NONE [SETTING];
        "DeleteCluster": "ecs:DeleteCluster" on CLUSTER_NAMED;
        "DeleteService": "ecs:DeleteService" on SERVICE [CLUSTER];
        "DeleteTaskDefinitions": "ecs:DeleteTaskDefinitions" on DEFINITIONS;
        "DeregisterContainerInstance": "ecs:DeregisterContainerInstance" on CLUSTER_NAMED;
        "DeregisterTaskDefinition": "ecs:DeregisterTaskDefinition" on NONE;
        "DescribeCapacityProviders": "ecs:DescribeCapacityProviders" on CAPACITY_PROVIDERS;
        "DescribeClusters": "ecs:DescribeClusters" on CLUSTERS;
        "DescribeContainerInstances": "ecs:DescribeContainerInstances" on CONTAINER_INSTANCES [CLUSTER];
        "DescribeServices": "ecs:DescribeServices" on SERVICES [CLUSTER];
        "DescribeTaskDefinition": "ecs:DescribeTaskDefinition" on NONE;
        "DescribeTasks": "ecs:DescribeTasks" on TASKS [CLUSTER];
        "DiscoverPollEndpoint": "ecs:DiscoverPollEndpoint" on NONE;
        "ListAccountSettings": "ecs:ListAccountSettings" on NONE;
        "ListClusters": "ecs:ListClusters" on NONE;
        "ListContainerInstances": "ecs:ListContainerInstances" on CLUSTER_NAMED;
        "ListServices": "ecs:ListServices" on NONE [CLUSTER];
        "ListTagsForResource": "ecs:ListTagsForResource" on BY_ARN;
        "ListTaskDefinitionFamilies": "ecs:ListTaskDefinitionFamilies" on NONE;
        "ListTaskDefinitions": "ecs:ListTaskDefinitions" on NONE;
        "ListTasks": "ecs:ListTasks" on CONTAINER_INSTANCE_ANY [CLUSTER];
        "PutAccountSetting": "ecs:PutAccountSetting" on NONE [SETTING];
        "PutAccountSettingDefault": "ecs:PutAccountSettingDefault" on NONE [SETTING];
        "PutClusterCapacityProviders": "ecs:PutClusterCapacityProviders" on CLUSTER_NAMED [CAPACITY_PROVIDER];
        "RegisterContainerInstance":
            "ecs:RegisterContainerInstance" on CLUSTER_NAMED [TAGS],
            "ecs:TagResource" on TAGGED_INSTANCE [TAGS CREATE_ACTION CLUSTER];
        "RegisterTaskDefinition":
            "ecs:RegisterTaskDefinition" on DEFINITION_FAMILY [TAGS CPU MEMORY COMPATIBILITY PRIVILEGED],
            "ecs:TagResource" on TAGGED_DEFINITION [TAGS CREATE_ACTION],
            "iam:PassRole" on ROLES_GIVEN [PASSED_TO_TASKS];
        "RunTask":
            "ecs:RunTask" on DEFINITION_TO_RUN [
                CLUSTER TAGS CAPACITY_PROVIDER EXECUTE_COMMAND MANAGED_TAGS PROPAGATE_TAGS EBS_VOLUMES PUBLIC_IP SUBNET
            ],
            "ecs:TagResource" on TAGGED_TASK [TAGS CREATE_ACTION CLUSTER],
            "iam:PassRole" on ROLES_OF_DEFINITION [PASSED_TO_TASKS],
            "iam:PassRole" on ROLES_OVERRIDDEN [PASSED_TO_TASKS];
        "StopTask": "ecs:StopTask" on TASK [CLUSTER];
        "SubmitAttachmentStateChanges": "ecs:SubmitAttachmentStateChanges" on CLUSTER_NAMED;
        "SubmitContainerStateChange": "ecs:SubmitContainerStateChange" on CLUSTER_NAMED;
        "SubmitTaskStateChange": "ecs:SubmitTaskStateChange" on CLUSTER_NAMED;
        "TagResource": "ecs:TagResource" on BY_ARN [TAGS];
        "UntagResource": "ecs:UntagResource" on BY_ARN [TAG_KEYS];
        "UpdateCluster": "ecs:UpdateCluster" on CLUSTER_NAMED [STORAGE_KEY];
        "UpdateClusterSettings": "ecs:UpdateClusterSettings" on CLUSTER_NAMED;
        "UpdateContainerInstancesState": "ecs:UpdateContainerInstancesState" on CONTAINER_INSTANCES [CLUSTER];
        "UpdateService":
            "ecs:UpdateService" on SERVICE [
                CLUSTER DEFINITION CAPACITY_PROVIDER EXECUTE_COMMAND MANAGED_TAGS PROPAGATE_TAGS SERVICE_CONNECT
                NAMESPACE EBS_VOLUMES PUBLIC_IP SUBNET
            ],
            "iam:PassRole" on ROLES_OF_DEFINITION [PASSED_TO_TASKS];
    },
};
