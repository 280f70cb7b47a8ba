//! Tasks by JSON: what RunTask takes and refuses, what is shown, stopped and listed.

use longshore_model::definition::TaskDefinition;
use longshore_plan::launch;
use serde_json::{Value, json};

use crate::ecs::testing::{ACCOUNT, HERE, World, task};
use crate::ecs::testing_tasks::{Tasks, container, fargate};

fn world() -> World {
    let mut world = World::new();
    world.prepare(16);
    world
}

fn run(extra: Value) -> Value {
    merged(fargate("web:1"), extra)
}

fn merged(mut base: Value, extra: Value) -> Value {
    for (name, value) in extra.as_object().unwrap() {
        match value {
            Value::Null => base.as_object_mut().unwrap().remove(name),
            value => base.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    base
}

#[test]
fn a_task_has_its_node_and_its_interface_in_the_answer() {
    let mut world = world();
    let answer = world.ok("RunTask", run(json!({"startedBy": "me", "tags": [{"key": "a", "value": "b"}]})));
    assert_eq!(answer["failures"], json!([]));
    let task = &answer["tasks"][0];
    let arn = task["taskArn"].as_str().unwrap();
    assert!(arn.starts_with(&format!("{HERE}task/prod/")), "{arn}");
    for (name, wanted) in [
        ("lastStatus", json!("PROVISIONING")),
        ("desiredStatus", json!("RUNNING")),
        ("launchType", json!("FARGATE")),
        ("platformVersion", json!("1.4.0")),
        ("cpu", json!("256")),
        ("memory", json!("512")),
        ("group", json!("family:web")),
        ("startedBy", json!("me")),
        ("version", json!(1)),
        ("healthStatus", json!("UNKNOWN")),
        ("clusterArn", json!(format!("{HERE}cluster/prod"))),
        ("taskDefinitionArn", json!(format!("{HERE}task-definition/web:1"))),
        ("tags", json!([{"key": "a", "value": "b"}])),
        ("ephemeralStorage", json!({"sizeInGiB": 20})),
    ] {
        assert_eq!(task[name], wanted, "{name}");
    }
    let attachment = &task["attachments"][0];
    assert_eq!((&attachment["type"], &attachment["status"]), (&json!("ElasticNetworkInterface"), &json!("PRECREATED")));
    let names: Vec<_> = attachment["details"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(
        json!(names),
        json!(["subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"])
    );
    assert_eq!(attachment["details"][3]["value"], json!("ip-172-31-0-4.ec2.internal"));
    let container = &task["containers"][0];
    assert_eq!(container["networkInterfaces"][0]["privateIpv4Address"], json!("172.31.0.4"));
    assert_eq!(container["lastStatus"], json!("PENDING"));
    assert!(task.get("containerInstanceArn").is_none() && task.get("startedAt").is_none());
}

/// What RunTask refuses, and how.
#[track_caller]
fn refused(extra: Value, wanted: &str) {
    let mut world = world();
    let before = world.store.read().tasks.len();
    assert_eq!(world.fault("RunTask", run(extra)), wanted);
    assert_eq!(world.store.read().tasks.len(), before, "nothing is partly applied");
}

#[test]
fn wrong_requests_are_refused_in_the_words_of_ecs() {
    refused(json!({"taskDefinition": "nope"}), "ClientException: TaskDefinition not found.");
    refused(json!({"taskDefinition": "web:9"}), "ClientException: TaskDefinition not found.");
    refused(json!({"cluster": "nope"}), "ClusterNotFoundException: Cluster not found.");
    refused(json!({"count": 0}), "InvalidParameterException: count must be between 1 and 10.");
    refused(json!({"count": 11}), "InvalidParameterException: count must be between 1 and 10.");
    refused(
        json!({"launchType": null}),
        "InvalidParameterException: No Container Instances were found in your cluster.",
    );
    refused(
        json!({"launchType": "EC2"}),
        "InvalidParameterException: No Container Instances were found in your cluster.",
    );
    refused(
        json!({"launchType": "EXTERNAL"}),
        "UnsupportedFeatureException: Longshore does not support tasks of launch type EXTERNAL yet.",
    );
    refused(
        json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]}),
        "InvalidParameterException: Specifying both a launch type and capacity provider strategy is not supported. \
         Remove one and try again.",
    );
    refused(
        json!({"networkConfiguration": null}),
        "InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    );
    refused(
        json!({"taskDefinition": "bridge:1"}),
        "InvalidParameterException: Task definition does not support launch_type FARGATE.",
    );
    refused(json!({"platformVersion": "9.9"}), "PlatformUnknownException: The specified platform does not exist.");
    refused(
        json!({"placementStrategy": [{"type": "random"}]}),
        "InvalidParameterException: Placement strategies are not supported with FARGATE launch type.",
    );
    refused(
        json!({"startedBy": "x".repeat(129)}),
        "InvalidParameterException: startedBy can be at most 128 characters long.",
    );
    refused(
        json!({"group": "service:web"}),
        "InvalidParameterException: Invalid namespace for group: service: is reserved for services.",
    );
    refused(
        json!({"propagateTags": "SERVICE"}),
        "InvalidParameterException: propagateTags cannot be SERVICE for tasks without a service.",
    );
}

#[test]
fn networks_are_checked_before_anything_is_made() {
    let network = |subnets: Value, groups: Value| json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups}}});
    refused(
        network(json!(["subnet-x"]), json!([])),
        "InvalidParameterException: Error retrieving subnet information for [subnet-x]: The subnet ID 'subnet-x' does \
         not exist (ErrorCode: InvalidSubnetID.NotFound)",
    );
    refused(
        network(json!(["subnet-a"]), json!(["sg-x"])),
        "InvalidParameterException: Error retrieving security group information for [sg-x]: The security group 'sg-x' \
         does not exist (ErrorCode: InvalidGroup.NotFound)",
    );
    refused(network(json!([]), json!([])), "InvalidParameterException: subnets can not be empty.");
    refused(
        network(json!(vec!["subnet-a"; 17]), json!([])),
        "InvalidParameterException: subnets can have at most 16 items.",
    );
    refused(
        network(json!(["subnet-a"]), json!(vec!["sg-a"; 6])),
        "InvalidParameterException: securityGroups can have at most 5 items.",
    );
}

#[test]
fn overrides_are_checked_and_shown() {
    let container =
        |extra: Value| json!({"overrides": {"containerOverrides": [merged(json!({"name": "web"}), extra)]}});
    refused(
        container(json!({"name": "other"})),
        "InvalidParameterException: Override for container named other is not a container in the TaskDefinition.",
    );
    refused(
        container(json!({"environment": [{"name": "A=B", "value": ""}]})),
        "ClientException: Environment variable names must be non-empty and without '=', and hold no NUL.",
    );
    refused(json!({"overrides": {"cpu": "300"}}), "ClientException: No Fargate configuration exists for given values.");
    refused(
        container(json!({"command": ["x".repeat(9000)]})),
        "InvalidParameterException: Container Overrides length must be at most 8192",
    );
    let mut world = world();
    let overrides = json!({"cpu": ".5 vCPU", "memory": "1GB",
                           "containerOverrides": [{"name": "web", "command": ["echo"]}]});
    let task = world.ok("RunTask", run(json!({"overrides": overrides})))["tasks"][0].clone();
    assert_eq!((&task["cpu"], &task["memory"]), (&json!("512"), &json!("1024")));
    assert_eq!(task["overrides"]["containerOverrides"], json!([{"name": "web", "command": ["echo"]}]));
}

#[test]
fn what_no_node_takes_is_a_failure_with_its_reason() {
    let mut world = World::new();
    world.prepare(3);
    let answer = world.ok("RunTask", run(json!({"count": 5})));
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(answer["failures"].as_array().unwrap().len(), 2);
    let failure = &answer["failures"][0];
    assert_eq!(
        failure["reason"],
        json!("Capacity is unavailable at this time. Please try again later or in a different availability zone")
    );
    assert_eq!(failure["detail"], json!("RESOURCE:CPU: 256 CPU units are wanted, at most 0 are free on one node"));
}

#[test]
fn the_default_cluster_is_made_on_demand_and_a_default_strategy_is_used() {
    let mut world = world();
    let task = world.ok("RunTask", run(json!({"cluster": null})))["tasks"][0].clone();
    assert_eq!(task["clusterArn"], json!(format!("{HERE}cluster/default")));
    let strategy = json!([{"capacityProvider": "FARGATE_SPOT", "weight": 3}, {"capacityProvider": "FARGATE", "weight": 1, "base": 2}]);
    world.ok("PutClusterCapacityProviders", json!({
        "cluster": "prod", "capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": strategy,
    }));
    let answer = world.ok("RunTask", run(json!({"launchType": null, "count": 10})));
    let tasks = answer["tasks"].as_array().unwrap();
    let spot = tasks.iter().filter(|task| task["capacityProviderName"] == json!("FARGATE_SPOT")).count();
    assert_eq!((spot, tasks.len()), (6, 10));
}

/// W12
#[test]
fn a_client_token_has_one_effect() {
    let mut world = world();
    let first = world.ok("RunTask", run(json!({"clientToken": "t1", "count": 2})));
    let again =
        world.ok("RunTask", run(json!({"clientToken": "t1", "count": 2, "cluster": format!("{HERE}cluster/prod")})));
    assert_eq!(first, again);
    assert_eq!(world.store.read().tasks.len(), 2);
    let conflict = world.fault("RunTask", run(json!({"clientToken": "t1", "count": 1})));
    assert!(conflict.starts_with("ConflictException: "), "{conflict}");
    for token in ["x".repeat(65), "a b".into(), "tök".into(), "a\u{7f}".into()] {
        let refused = world.fault("RunTask", run(json!({"clientToken": token})));
        assert!(refused.starts_with("InvalidParameterException: clientToken"), "{refused}");
    }
    // Another cluster, another account: another token.
    world.ok("RunTask", run(json!({"clientToken": "t1", "cluster": "default"})));
    assert_eq!(world.store.read().tasks.len(), 3);
    // A day later it is forgotten.
    world.now += 24 * 3600 * 1000;
    world.ok("RunTask", run(json!({"clientToken": "t1", "count": 1})));
    assert_eq!(world.store.read().tasks.len(), 4);
}

#[test]
fn a_token_whose_request_made_nothing_may_be_tried_again() {
    let mut world = World::new();
    world.prepare(1);
    world.ok("RunTask", run(json!({})));
    let none = world.ok("RunTask", run(json!({"clientToken": "t"})));
    assert_eq!(none["tasks"], json!([]));
    world.finish_all();
    assert_eq!(world.ok("RunTask", run(json!({"clientToken": "t"})))["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_stored_and_cannot_run_yet_stops_at_once_and_says_so() {
    for (definition, what) in [
        (
            json!({"containerDefinitions": [container(json!({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/f.env"}]}))]}),
            "environmentFiles of container web",
        ),
        (
            json!({"containerDefinitions": [container(json!({}))], "volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]}),
            "EFS volumes (volume v)",
        ),
    ] {
        let mut world = world();
        let base = json!({"family": "odd", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
                          "memory": "512", "executionRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/x")});
        world.ok("RegisterTaskDefinition", merged(base, definition));
        let task = world.ok("RunTask", run(json!({"taskDefinition": "odd"})))["tasks"][0].clone();
        assert_eq!(task["lastStatus"], json!("STOPPED"), "{what}");
        assert_eq!(task["stopCode"], json!("TaskFailedToStart"));
        let reason = format!("ResourceInitializationError: {what} are not supported by this version of Longshore");
        assert_eq!(task["stoppedReason"], json!(reason));
    }
}

#[test]
fn stopping_is_asked_for_once() {
    let mut world = world();
    let arn = world.ok("RunTask", run(json!({})))["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    let stop = |world: &mut World, reason: &str| {
        world.ok("StopTask", json!({"cluster": "prod", "task": arn, "reason": reason}))["task"].clone()
    };
    let first = stop(&mut world, "enough");
    assert_eq!(first["desiredStatus"], json!("STOPPED"));
    assert_eq!(first["lastStatus"], json!("PROVISIONING"), "its node has yet to stop it");
    assert_eq!((&first["stopCode"], &first["stoppedReason"]), (&json!("UserInitiated"), &json!("enough")));
    world.now += 1000;
    assert_eq!(stop(&mut world, "again"), first);
    let id = "0".repeat(32);
    assert_eq!(
        world.fault("StopTask", json!({"cluster": "prod", "task": id})),
        "InvalidParameterException: The referenced task was not found."
    );
}

#[test]
fn describing_tells_what_is_missing() {
    let mut world = world();
    let arn = world.ok("RunTask", run(json!({})))["tasks"][0]["taskArn"].clone();
    let id = "0".repeat(32);
    let answer = world.ok("DescribeTasks", json!({"cluster": "prod", "tasks": [arn, id]}));
    assert_eq!(answer["tasks"][0]["taskArn"], arn);
    assert_eq!(answer["tasks"][0]["tags"], json!([]));
    assert_eq!(answer["failures"], json!([{"arn": format!("{HERE}task/prod/{id}"), "reason": "MISSING"}]));
    assert_eq!(
        world.fault("DescribeTasks", json!({"cluster": "prod", "tasks": []})),
        "InvalidParameterException: Tasks cannot be empty."
    );
    assert_eq!(
        world.fault("DescribeTasks", json!({"cluster": "prod", "tasks": vec![id; 101]})),
        "InvalidParameterException: tasks can have at most 100 items."
    );
}

/// Number of tasks that ListTasks gives for a filter.
fn listed(world: &mut World, filter: Value) -> usize {
    world.ok("ListTasks", merged(json!({"cluster": "prod"}), filter))["taskArns"].as_array().unwrap().len()
}

#[test]
fn a_filter_that_few_tasks_pass_gives_short_pages() {
    let mut world = World::new();
    world.prepare(8);
    let named = |index: usize, family: &str| task(json!({"id": format!("{index:032x}"), "family": family}));
    for start in (0..10_010).step_by(100) {
        world.put((start..start + 100).map(|index| named(index, "many")));
    }
    world.put([named(20_000, "rare")]);
    let rare = |token: Value| json!({"cluster": "prod", "family": "rare", "nextToken": token});
    let first = world.ok("ListTasks", json!({"cluster": "prod", "family": "rare"}));
    assert_eq!(first["taskArns"], json!([]), "10,000 tasks were looked at");
    let second = world.ok("ListTasks", rare(first["nextToken"].clone()));
    assert_eq!((second["taskArns"].as_array().unwrap().len(), second.get("nextToken")), (1, None));
    let many = world.ok("ListTasks", json!({"cluster": "prod", "family": "many"}));
    assert_eq!(many["taskArns"].as_array().unwrap().len(), 100);
}

#[test]
fn listing_filters() {
    let mut world = world();
    world.ok("RunTask", run(json!({"count": 3, "startedBy": "me"})));
    let arn = world.ok("RunTask", run(json!({"taskDefinition": "other"})))["tasks"][0]["taskArn"].clone();
    world.ok("StopTask", json!({"cluster": "prod", "task": arn}));
    for (filter, count) in [
        (json!({}), 3),
        (json!({"desiredStatus": "RUNNING"}), 3),
        (json!({"desiredStatus": "STOPPED"}), 1),
        (json!({"desiredStatus": "PENDING"}), 0),
        (json!({"family": "web"}), 3),
        (json!({"family": "other"}), 0),
        (json!({"family": "other", "desiredStatus": "STOPPED"}), 1),
        (json!({"startedBy": "me"}), 3),
        (json!({"startedBy": "you"}), 0),
        (json!({"launchType": "FARGATE"}), 3),
        (json!({"launchType": "EC2"}), 0),
    ] {
        assert_eq!(listed(&mut world, filter.clone()), count, "{filter}");
    }
    assert_eq!(
        world.fault("ListTasks", json!({"cluster": "prod", "serviceName": "nope"})),
        "ServiceNotFoundException: Service not found."
    );
}

/// W10
#[test]
fn pages_hold_everything_once_and_tokens_are_checked() {
    let mut world = world();
    world.ok("RunTask", run(json!({"count": 7})));
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    for pages in 1.. {
        let asked = json!({"cluster": "prod", "maxResults": 3, "nextToken": token});
        let answer = world.ok(
            "ListTasks",
            merged(asked.clone(), if token.is_null() { json!({"nextToken": null}) } else { json!({}) }),
        );
        seen.extend(answer["taskArns"].as_array().unwrap().iter().map(|arn| arn.to_string()));
        token = answer["nextToken"].clone();
        if token.is_null() {
            assert_eq!(pages, 3);
            break;
        }
        for other in [json!({"family": "web"}), json!({"desiredStatus": "STOPPED"}), json!({"cluster": "default"})] {
            let with = merged(json!({"cluster": "prod", "maxResults": 3, "nextToken": token}), other);
            assert_eq!(world.fault("ListTasks", with), "InvalidParameterException: Invalid token.");
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    for wrong in [0, -1, 101, 1_000_000_000] {
        assert!(
            world.fault("ListTasks", json!({"maxResults": wrong})).starts_with("InvalidParameterException"),
            "{wrong}"
        );
    }
}

#[test]
fn tags_come_from_the_request_the_definition_and_ecs() {
    let mut world = world();
    let tags = |world: &mut World, extra: Value| world.ok("RunTask", run(extra))["tasks"][0]["tags"].clone();
    let own = json!([{"key": "mine", "value": "1"}]);
    assert_eq!(
        tags(&mut world, json!({"propagateTags": "TASK_DEFINITION"})),
        json!([{"key": "from", "value": "definition"}])
    );
    assert_eq!(tags(&mut world, json!({"tags": own})), own);
    assert_eq!(
        tags(&mut world, json!({"enableECSManagedTags": true})),
        json!([{"key": "aws:ecs:clusterName", "value": "prod"}])
    );
    let duplicate = json!({"tags": [{"key": "a"}, {"key": "a"}]});
    assert!(world.fault("RunTask", run(duplicate)).starts_with("InvalidParameterException"));
}

#[test]
fn every_definition_of_these_tests_can_run() {
    let mut world = world();
    world.ok("RunTask", run(json!({})));
    let state = world.store.read();
    let definitions: Vec<&TaskDefinition> = state.definitions.iter().map(|(_, row)| row.as_ref()).collect();
    assert!(definitions.iter().all(|definition| launch::unsupported(definition, None).is_none()));
}
