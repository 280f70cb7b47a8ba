//! The condition keys of ECS and how they come out of its requests.

use longshore_wire::Value;

use super::resource::{cluster, definition_arn};
use crate::access::asked::{inner, set, set_tags};
use crate::access::{Asked, Key};

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident $key:literal |$asked:ident| $values:expr;)*) => {
        $($(#[$doc])* pub(in crate::access) static $name: Key = Key {
            name: $key,
            set: |$asked, context| {
                let values: Vec<String> = $values.into_iter().map(String::from).collect();
                set(context, $key, values.iter().map(String::as_str));
            },
        };)*
    };
}

keys! {
    CLUSTER "ecs:cluster" |asked| [asked.place.cluster(&cluster(asked))];
    /// The revision that will run; of an update that names none, none.
    DEFINITION "ecs:task-definition" |asked| definition_arn(asked);
    CAPACITY_PROVIDER "ecs:capacity-provider" |asked| providers(asked);
    EXECUTE_COMMAND "ecs:enable-execute-command" |asked| asked.flag("enableExecuteCommand");
    MANAGED_TAGS "ecs:enable-ecs-managed-tags" |asked| asked.flag("enableECSManagedTags");
    PROPAGATE_TAGS "ecs:propagate-tags" |asked| asked.text("propagateTags");
    SERVICE_CONNECT "ecs:enable-service-connect" |asked| asked.flag("serviceConnectConfiguration.enabled");
    NAMESPACE "ecs:namespace" |asked| asked.given("serviceConnectConfiguration.namespace");
    EBS_VOLUMES "ecs:enable-ebs-volumes" |asked| [(!asked.list("volumeConfigurations").is_empty()).to_string()];
    PUBLIC_IP "ecs:auto-assign-public-ip" |asked| {
        let given = asked.text("networkConfiguration.awsvpcConfiguration.assignPublicIp");
        given.map(|given| if given == "ENABLED" { "true" } else { "false" })
    };
    SUBNET "ecs:subnet" |asked| asked.texts("networkConfiguration.awsvpcConfiguration.subnets");
    SETTING "ecs:account-setting" |asked| asked.text("name");
    CPU "ecs:task-cpu" |asked| asked.given("cpu").and_then(units);
    MEMORY "ecs:task-memory" |asked| asked.given("memory").and_then(units);
    COMPATIBILITY "ecs:compute-compatibility" |asked| asked.texts("requiresCompatibilities");
    PRIVILEGED "ecs:privileged" |asked| [asked.list("containerDefinitions").iter().any(is_privileged).to_string()];
    STORAGE_KEY "ecs:fargate-ephemeral-storage-kms-key" |asked| {
        asked.given("configuration.managedStorageConfiguration.fargateEphemeralStorageKmsKeyId")
    };
    /// Used by other services' tables as well.
    PASSED_TO_TASKS "iam:PassedToService" |_asked| ["ecs-tasks.amazonaws.com"];
    PASSED_TO_ECS "iam:PassedToService" |_asked| ["ecs.amazonaws.com"];
    TAG_KEYS "aws:TagKeys" |asked| asked.texts("tagKeys");
}

pub(super) static TAGS: Key =
    Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("tags")) };

/// The operation that makes what is tagged; its input's shape tells.
pub(super) static CREATE_ACTION: Key = Key {
    name: "ecs:CreateAction",
    set: |asked, context| {
        if let Value::Structure(structure) = asked.input {
            set(context, "ecs:CreateAction", structure.def.name.strip_suffix("Request"));
        }
    },
};

fn is_privileged(container: &Value) -> bool {
    let Value::Structure(container) = container else { return false };
    container.get("privileged") == Some(&Value::Boolean(true))
}

fn providers(asked: &Asked<'_>) -> Vec<String> {
    let strategy = asked.list("capacityProviderStrategy").iter().chain(asked.list("defaultCapacityProviderStrategy"));
    let named = strategy.filter_map(|item| inner(item, "capacityProvider")).chain(asked.texts("capacityProviders"));
    named.map(|name| asked.place.arn("ecs", &format!("capacity-provider/{name}"))).collect()
}

/// CPU units or MiB: a number, or one with its unit (`1 vCPU`, `.5 GB`).
fn units(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = lower.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
    let number: f64 = lower[..lower.len() - unit.len()].parse().ok()?;
    match unit.trim() {
        "" => Some(number.to_string()),
        "vcpu" | "gb" => Some((number * 1024.0).to_string()),
        _ => None,
    }
}
