//! The resources of ECS's requests, and the roles that they pass on.

use std::sync::Arc;

use longshore_api::ecs::Tag;
use longshore_model::definition::TaskDefinition;
use longshore_model::{Arn, cluster, definition, iam, service, task};

use crate::access::{Asked, Found, Resource};
use crate::ecs::definition::find;
use crate::ecs::resolve;

/// What stands for a name that is none: the operation will refuse it.
const NO_NAME: &str = "*";

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident $form:literal |$asked:ident| $arns:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: Resource = Resource {
            form: $form,
            find: |$asked| $arns.into_iter().map(|arn| found($asked, arn)).collect(),
        };)*
    };
}

/// The same resource, if the request has tags for it.
macro_rules! tagged {
    ($($name:ident |$asked:ident| $form:literal $arn:expr;)*) => {
        $(pub(super) static $name: Resource = Resource {
            form: $form,
            find: |$asked| match $asked.list("tags").is_empty() {
                true => Vec::new(),
                false => vec![Found { arn: $arn, tags: Vec::new() }],
            },
        };)*
    };
}

resources! {
    CLUSTER_NEW "cluster/CLUSTER" |asked| [new_cluster(asked)];
    CLUSTER_NAMED "cluster/CLUSTER" |asked| [asked.place.cluster(&cluster(asked))];
    CLUSTERS "cluster/CLUSTER" |asked| {
        let named = asked.texts("clusters");
        let named = if named.is_empty() { vec![""] } else { named };
        named.into_iter().map(|name| asked.place.cluster(&cluster_name(asked, name))).collect::<Vec<_>>()
    };
    CAPACITY_PROVIDERS "capacity-provider/PROVIDER" |asked| {
        let named = asked.texts("capacityProviders");
        let named = if named.is_empty() { vec![NO_NAME] } else { named };
        let short = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        named.iter().map(|name| asked.place.arn("ecs", &format!("capacity-provider/{}", short(name)))).collect::<Vec<_>>()
    };
    SERVICE_NEW "service/CLUSTER/SERVICE" |asked| [new_service(asked)];
    SERVICE "service/CLUSTER/SERVICE" |asked| [service_arn(asked, asked.text("service").unwrap_or_default())];
    SERVICES "service/CLUSTER/SERVICE" |asked| each(asked, "services", service_arn);
    TASK "task/CLUSTER/TASK" |asked| [task_arn(asked, asked.text("task").unwrap_or_default())];
    TASKS "task/CLUSTER/TASK" |asked| each(asked, "tasks", task_arn);
    CONTAINER_INSTANCES "container-instance/CLUSTER/INSTANCE" |asked| each(asked, "containerInstances", instance_arn);
    /// The instance whose tasks are asked for, or all.
    CONTAINER_INSTANCE_ANY "container-instance/CLUSTER/INSTANCE" |asked| {
        [instance_arn(asked, asked.given("containerInstance").unwrap_or(NO_NAME))]
    };
    DEFINITION_FAMILY "task-definition/FAMILY:*" |asked| [new_definition(asked)];
    DEFINITION_TO_RUN "task-definition/FAMILY:REVISION" |asked| definition_arn(asked);
    DEFINITIONS "task-definition/FAMILY:REVISION" |asked| each(asked, "taskDefinitions", named_definition);
    /// Whatever carries tags.
    BY_ARN "TYPE/NAME" |asked| asked.given("resourceArn").map(str::to_owned);
    ROLES_GIVEN "role/PATH/ROLE" |asked| roles(asked, &[asked.given("taskRoleArn"), asked.given("executionRoleArn")]);
    ROLES_OVERRIDDEN "role/PATH/ROLE" |asked| {
        roles(asked, &[asked.given("overrides.taskRoleArn"), asked.given("overrides.executionRoleArn")])
    };
    /// Those of the task definition that is named.
    ROLES_OF_DEFINITION "role/PATH/ROLE" |asked| {
        asked.given("taskDefinition").map(|given| roles_of(asked, given)).unwrap_or_default()
    };
    ROLE_OF_SERVICE "role/PATH/ROLE" |asked| roles(asked, &[asked.given("role")]);
}

tagged! {
    TAGGED_CLUSTER |asked| "cluster/CLUSTER" new_cluster(asked);
    TAGGED_SERVICE |asked| "service/CLUSTER/SERVICE" new_service(asked);
    TAGGED_DEFINITION |asked| "task-definition/FAMILY:*" new_definition(asked);
    TAGGED_TASK |asked| "task/CLUSTER/*" asked.place.task(&cluster(asked), "*");
    TAGGED_INSTANCE |asked| "container-instance/CLUSTER/*" asked.place.container_instance(&cluster(asked), "*");
}

fn each(asked: &Asked<'_>, list: &str, arn: impl Fn(&Asked<'_>, &str) -> String) -> Vec<String> {
    asked.texts(list).into_iter().map(|given| arn(asked, given)).collect()
}

/// The name of the request's cluster.
pub(super) fn cluster(asked: &Asked<'_>) -> String {
    cluster_name(asked, asked.text("cluster").unwrap_or_default())
}

fn cluster_name(asked: &Asked<'_>, given: &str) -> String {
    resolve::cluster_name(asked.place, Some(given)).unwrap_or_else(|_| NO_NAME.to_owned())
}

fn new_cluster(asked: &Asked<'_>) -> String {
    asked.place.cluster(&cluster_name(asked, asked.text("clusterName").unwrap_or_default()))
}

fn new_service(asked: &Asked<'_>) -> String {
    service_arn(asked, asked.text("serviceName").unwrap_or_default())
}

fn new_definition(asked: &Asked<'_>) -> String {
    asked.place.arn("ecs", &format!("task-definition/{}:*", asked.text("family").unwrap_or_default()))
}

fn service_arn(asked: &Asked<'_>, given: &str) -> String {
    let cluster = cluster(asked);
    let name = resolve::service_name(asked.place, &cluster, given).unwrap_or_else(|_| NO_NAME.to_owned());
    asked.place.service(&cluster, &name)
}

fn task_arn(asked: &Asked<'_>, given: &str) -> String {
    let cluster = cluster(asked);
    let id = resolve::task_id(asked.place, &cluster, given).unwrap_or_else(|_| NO_NAME.to_owned());
    asked.place.task(&cluster, &id)
}

fn instance_arn(asked: &Asked<'_>, given: &str) -> String {
    let cluster = cluster(asked);
    let id = resolve::container_instance_id(asked.place, &cluster, given).unwrap_or_else(|_| NO_NAME.to_owned());
    asked.place.container_instance(&cluster, &id)
}

fn definition_record<'a>(asked: &Asked<'a>, given: &str) -> Option<&'a Arc<TaskDefinition>> {
    find(asked.state, &asked.place.account, &resolve::definition_ref(asked.place, given).ok()?)
}

/// The revision that the request means; the family's `*` if there is none.
pub(super) fn definition_arn(asked: &Asked<'_>) -> Option<String> {
    asked.given("taskDefinition").map(|given| runnable_definition(asked, given))
}

/// ARN of the revision that a task definition's name or ARN means; the family's `*` if there is none.
pub(in crate::access) fn runnable_definition(asked: &Asked<'_>, given: &str) -> String {
    match definition_record(asked, given) {
        Some(record) => asked.place.task_definition(&record.family, record.revision),
        None => named_definition(asked, given),
    }
}

/// ARNs of the roles of a task definition.
pub(in crate::access) fn roles_of(asked: &Asked<'_>, definition: &str) -> Vec<String> {
    let record = definition_record(asked, definition).map(|record| record.api.clone()).unwrap_or_default();
    roles(asked, &[record.task_role_arn.as_deref(), record.execution_role_arn.as_deref()])
}

fn named_definition(asked: &Asked<'_>, given: &str) -> String {
    let resource = match resolve::definition_ref(asked.place, given) {
        Ok(named) => match named.revision {
            Some(revision) => format!("{}:{revision}", named.family),
            None => format!("{}:*", named.family),
        },
        Err(_) => NO_NAME.to_owned(),
    };
    asked.place.arn("ecs", &format!("task-definition/{resource}"))
}

/// Roles by ARN or by name, each once. A name is the role's of that name, wherever its path leads.
fn roles(asked: &Asked<'_>, given: &[Option<&str>]) -> Vec<String> {
    let arn = |text: &str| match text.starts_with("arn:") {
        true => text.to_owned(),
        false => match asked.state.roles.get(&iam::key(&asked.place.account, text)) {
            Some(role) => role.arn(),
            None => format!("arn:aws:iam::{}:role/{text}", asked.place.account),
        },
    };
    let given = given.iter().flatten().filter(|text| !text.is_empty());
    let mut arns: Vec<String> = given.map(|text| arn(text)).collect();
    arns.dedup();
    arns
}

/// A resource with the tags it has now.
pub(in crate::access) fn found(asked: &Asked<'_>, arn: String) -> Found {
    let tags = tags(asked, &arn).unwrap_or_default();
    let pair = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    Found { arn, tags: tags.into_iter().map(pair).collect() }
}

fn tags(asked: &Asked<'_>, arn: &str) -> Option<Vec<Tag>> {
    let (state, account) = (asked.state, &asked.place.account);
    let arn = Arn::parse(arn).filter(|arn| arn.service == "ecs" && arn.account == account.as_str())?;
    let parts: Vec<&str> = arn.resource.split('/').collect();
    match parts[..] {
        ["cluster", name] => state.clusters.get(&cluster::key(account, name))?.api.tags.clone(),
        ["service", within, name] => state.services.get(&service::key(account, within, name))?.api.tags.clone(),
        ["task", within, id] => Some(state.tasks.get(&task::key(account, within, id))?.tags.clone()),
        ["container-instance", _, id] => {
            Some(state.nodes.get(id).filter(|node| node.account == account.as_str())?.tags.clone())
        }
        ["task-definition", revision] => {
            let (family, revision) = revision.split_once(':')?;
            let key = definition::key(account, family, revision.parse().ok()?);
            Some(state.definitions.get(&key)?.tags.clone())
        }
        _ => None,
    }
}
