//! Agents by JSON: registration, reports, and instances as operators see them.

use longshore_api::ecs::SubmitTaskStateChangeRequest;
use serde_json::{Value, json};

use super::submit_tasks;
use crate::ecs::testing::{HERE, World};
use crate::ecs::testing_tasks::{Tasks, fargate, registration};

const FARGATE: &str = "longshore.fargate";

fn world() -> World {
    let mut world = World::new();
    world.prepare(8);
    world
}

fn run(world: &mut World) -> String {
    world.ok("RunTask", fargate("web"))["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
}

fn described(world: &mut World, arn: &str) -> Value {
    world.ok("DescribeTasks", json!({"cluster": "prod", "tasks": [arn]}))["tasks"][0].clone()
}

fn report(world: &mut World, arn: &str, extra: Value) {
    let mut request = json!({"cluster": FARGATE, "task": arn});
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    assert_eq!(world.ok("SubmitTaskStateChange", request), json!({"acknowledgment": "ACCEPT"}));
}

#[test]
fn a_registration_echoes_every_attribute_and_adds_the_zone() {
    let mut world = World::new();
    let instance = world.ok("RegisterContainerInstance", registration(4))["containerInstance"].clone();
    let arn = instance["containerInstanceArn"].as_str().unwrap().to_owned();
    assert!(arn.starts_with(&format!("{HERE}container-instance/{FARGATE}/")), "{arn}");
    let names: Vec<_> = instance["attributes"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(
        json!(names),
        json!(["longshore.fargate", "longshore.public-pool", "ecs.cpu-architecture", "ecs.availability-zone"])
    );
    assert_eq!(instance["attributes"][3]["value"], json!("us-east-1a"));
    assert_eq!((&instance["status"], &instance["agentConnected"]), (&json!("ACTIVE"), &json!(false)));

    let mut in_zone = registration(1);
    in_zone["attributes"].as_array_mut().unwrap().push(json!({"name": "longshore.zone", "value": "us-east-1b"}));
    let attributes = world.ok("RegisterContainerInstance", in_zone)["containerInstance"]["attributes"].clone();
    assert_eq!(attributes[4], json!({"name": "ecs.availability-zone", "value": "us-east-1b"}));

    let mut again = registration(6);
    again["containerInstanceArn"] = json!(arn);
    world.now += 1000;
    let same = world.ok("RegisterContainerInstance", again)["containerInstance"].clone();
    assert_eq!(same["containerInstanceArn"], json!(arn));
    assert_eq!(same["registeredAt"], instance["registeredAt"]);
    assert_eq!(same["registeredResources"][0]["integerValue"], json!(6 * 256));
    assert_eq!(world.store.read().nodes.len(), 2);
}

#[test]
fn a_registration_whose_answer_was_lost_makes_no_second_node() {
    let mut world = World::new();
    let mut with_token = registration(4);
    with_token["clientToken"] = json!("0123456789abcdef");
    let arn = |answer: Value| answer["containerInstance"]["containerInstanceArn"].clone();
    let first = arn(world.ok("RegisterContainerInstance", with_token.clone()));
    world.now += 60_000;
    with_token["totalResources"][0]["integerValue"] = json!(512);
    assert_eq!(arn(world.ok("RegisterContainerInstance", with_token.clone())), first);
    assert_eq!(world.store.read().nodes.len(), 1);
    with_token["clientToken"] = json!("another");
    assert_ne!(arn(world.ok("RegisterContainerInstance", with_token.clone())), first);
    assert_ne!(arn(world.ok("RegisterContainerInstance", registration(4))), first);
    with_token["clientToken"] = json!("x".repeat(65));
    let fault = world.fault("RegisterContainerInstance", with_token);
    assert!(fault.starts_with("InvalidParameterException: clientToken"), "{fault}");
}

#[test]
fn wrong_registrations_are_refused() {
    let mut world = World::new();
    let mut bad_pool = registration(1);
    bad_pool["attributes"][1]["value"] = json!("198.19.7.1/24");
    let mut no_memory = registration(1);
    no_memory["totalResources"].as_array_mut().unwrap().pop();
    let mut foreign = registration(1);
    foreign["containerInstanceArn"] =
        json!("arn:aws:ecs:us-east-1:999999999999:container-instance/longshore.fargate/abc");
    for wrong in [bad_pool, no_memory, foreign] {
        let fault = world.fault("RegisterContainerInstance", wrong);
        assert!(fault.starts_with("InvalidParameterException: "), "{fault}");
    }
    let unknown_cluster = json!({"cluster": "nope", "totalResources": registration(1)["totalResources"]});
    assert_eq!(
        world.fault("RegisterContainerInstance", unknown_cluster),
        "ClusterNotFoundException: Cluster not found."
    );
    assert!(world.store.read().nodes.is_empty());
}

#[test]
fn an_agent_finds_its_session() {
    let mut world = World::new();
    let answer = world.ok("DiscoverPollEndpoint", json!({"cluster": FARGATE, "zoneId": "ignored"}));
    assert_eq!(answer["endpoint"], json!("ws://127.0.0.1:4566/acs"));
    assert_eq!(answer["telemetryEndpoint"], json!("ws://127.0.0.1:4566/tcs"));
}

#[test]
fn a_task_goes_its_way_by_reports() {
    let mut world = world();
    let arn = run(&mut world);
    world.now += 1000;
    let seconds = world.now / 1000;
    report(
        &mut world,
        &arn,
        json!({"status": "ACTIVATING", "pullStartedAt": seconds, "containers": [
        {"containerName": "web", "status": "CREATED", "runtimeId": "r1", "imageDigest": "sha256:1"}]}),
    );
    world.now += 1000;
    report(
        &mut world,
        &arn,
        json!({"status": "RUNNING", "containers": [{"containerName": "web", "status": "RUNNING"}]}),
    );
    let task = described(&mut world, &arn);
    assert_eq!((&task["lastStatus"], &task["connectivity"]), (&json!("RUNNING"), &json!("CONNECTED")));
    assert_eq!(task["containers"][0]["lastStatus"], json!("RUNNING"));
    assert_eq!(task["containers"][0]["imageDigest"], json!("sha256:1"));
    assert_eq!(task["version"], json!(3));
    let cluster = world.ok("DescribeClusters", json!({"clusters": ["prod"]}))["clusters"][0].clone();
    assert_eq!((&cluster["runningTasksCount"], &cluster["pendingTasksCount"]), (&json!(1), &json!(0)));
    world.now += 1000;
    report(
        &mut world,
        &arn,
        json!({"status": "STOPPED", "containers": [
        {"containerName": "web", "status": "STOPPED", "exitCode": 3}]}),
    );
    let task = described(&mut world, &arn);
    assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("STOPPED"), &json!("STOPPED")));
    assert_eq!(task["stopCode"], json!("EssentialContainerExited"));
    assert_eq!(task["stoppedReason"], json!("Essential container in task exited"));
    assert_eq!(task["containers"][0]["exitCode"], json!(3));
    assert_eq!(task["attachments"][0]["status"], json!("DELETED"));
    let instance = world.store.read().nodes.iter().next().unwrap().1.arn.clone();
    let shown = world.ok("DescribeContainerInstances", json!({"cluster": FARGATE, "containerInstances": [instance]}));
    assert_eq!(shown["containerInstances"][0]["remainingResources"][0]["integerValue"], json!(8 * 256));
}

#[test]
fn reports_on_what_is_unknown_or_foreign_are_refused() {
    let mut world = world();
    let arn = run(&mut world);
    for wrong in [
        format!("{HERE}task/prod/{}", "0".repeat(32)),
        arn.replace("us-east-1", "eu-west-1"),
        arn.replace("123456789012", "999999999999"),
        arn.replace(":ecs:", ":ec2:"),
        arn.replace("/prod/", "/other/"),
        "task".into(),
        String::new(),
    ] {
        let fault = world.fault("SubmitTaskStateChange", json!({"task": wrong, "status": "STOPPED"}));
        assert_eq!(fault, "InvalidParameterException: The referenced task was not found.", "{wrong}");
    }
    let fault = world.fault("SubmitTaskStateChange", json!({"task": arn, "status": "DANCING"}));
    assert_eq!(fault, "InvalidParameterException: Invalid status DANCING.");
    assert_eq!(described(&mut world, &arn)["lastStatus"], json!("PROVISIONING"));
}

#[test]
fn a_node_reports_its_own_tasks_in_its_session_and_no_others() {
    let mut world = world();
    let (own, never) = (run(&mut world), format!("{HERE}task/prod/{}", "0".repeat(32)));
    let node = world.store.read().tasks.iter().next().unwrap().1.node.clone().unwrap();
    let mut reported = |node: &str, tasks: &[&str], status: &str| {
        let request = |task: &&str| SubmitTaskStateChangeRequest {
            task: Some(task.to_string()),
            status: Some(status.to_owned()),
            ..Default::default()
        };
        let refused = submit_tasks(&mut world.context(), node, tasks.iter().map(request).collect()).unwrap();
        let refused: Vec<_> = refused.into_iter().map(|(task, fault)| format!("{task}: {fault}")).collect();
        (refused, described(&mut world, &own)["lastStatus"].as_str().unwrap().to_owned())
    };
    let not_found = |task: &str| format!("{task}: InvalidParameterException: The referenced task was not found.");
    assert_eq!(reported("another", &[&own], "RUNNING"), (vec![not_found(&own)], "PROVISIONING".to_owned()));
    let refused = vec![not_found(&never), not_found("task")];
    assert_eq!(reported(&node, &[&never, &own, "task"], "RUNNING"), (refused, "RUNNING".to_owned()));
    let dancing = format!("{own}: InvalidParameterException: Invalid status DANCING.");
    assert_eq!(reported(&node, &[&own], "DANCING"), (vec![dancing], "RUNNING".to_owned()));
}

#[test]
fn containers_and_attachments_report_too() {
    let mut world = world();
    let arn = run(&mut world);
    world.ok(
        "SubmitContainerStateChange",
        json!({"task": arn, "containerName": "web", "status": "RUNNING", "runtimeId": "r"}),
    );
    assert_eq!(described(&mut world, &arn)["containers"][0]["runtimeId"], json!("r"));
    let attachments = json!([{"attachmentArn": "a", "status": "ATTACHED"}]);
    let answer = world.ok("SubmitAttachmentStateChanges", json!({"attachments": attachments}));
    assert_eq!(answer, json!({"acknowledgment": "ACCEPT"}));
}

#[test]
fn instances_are_listed_drained_and_deregistered() {
    let mut world = world();
    let arns = world.ok("ListContainerInstances", json!({"cluster": FARGATE}))["containerInstanceArns"].clone();
    assert_eq!(arns.as_array().unwrap().len(), 1);
    assert_eq!(world.ok("ListContainerInstances", json!({"cluster": "prod"}))["containerInstanceArns"], json!([]));
    let drained = world.ok(
        "UpdateContainerInstancesState",
        json!({
        "cluster": FARGATE, "containerInstances": arns, "status": "DRAINING"}),
    );
    assert_eq!(drained["containerInstances"][0]["status"], json!("DRAINING"));
    let failures = world.ok("RunTask", fargate("web"))["failures"].clone();
    assert_eq!(failures[0]["detail"], json!("AGENT: no Fargate node is connected"));
    world.ok(
        "UpdateContainerInstancesState",
        json!({"cluster": FARGATE, "containerInstances": arns, "status": "ACTIVE"}),
    );
    let task = run(&mut world);
    let target = json!({"cluster": FARGATE, "containerInstance": arns[0]});
    assert_eq!(
        world.fault("DeregisterContainerInstance", target),
        "InvalidParameterException: Found running tasks on the instance."
    );
    world.ok("DeregisterContainerInstance", json!({"cluster": FARGATE, "containerInstance": arns[0], "force": true}));
    let shown = described(&mut world, &task);
    assert_eq!((&shown["lastStatus"], &shown["desiredStatus"]), (&json!("PROVISIONING"), &json!("STOPPED")));
    let held = |world: &World| world.store.read().index.subnet("123456789012/subnet-a").unwrap().taken.len();
    assert_eq!(held(&world), 1, "the node has not said that it stopped");
    report(&mut world, &task, json!({"status": "STOPPED"}));
    assert_eq!(held(&world), 0);
    assert_eq!(described(&mut world, &task)["stopCode"], json!("InfrastructureHealth"));
    assert_eq!(world.ok("ListContainerInstances", json!({"cluster": FARGATE}))["containerInstanceArns"], json!([]));
}

#[test]
fn the_tasks_of_a_node_that_is_away_end_with_its_forced_deregistration() {
    let mut world = world();
    let task = run(&mut world);
    let node = world.store.read().nodes.iter().next().unwrap().1.as_ref().clone();
    let arn = node.arn.clone();
    let mut away = node;
    assert!(away.disconnect(away.epoch, longshore_wire::Timestamp::from_millis(world.now)));
    world.put([away.into()]);
    world.ok("DeregisterContainerInstance", json!({"cluster": FARGATE, "containerInstance": arn, "force": true}));
    let task = described(&mut world, &task);
    assert_eq!((&task["lastStatus"], &task["stopCode"]), (&json!("STOPPED"), &json!("InfrastructureHealth")));
}

#[test]
fn a_node_is_registered_again_by_whoever_registered_it() {
    let mut world = World::new();
    let instance = world.ok("RegisterContainerInstance", registration(4))["containerInstance"].clone();
    let mut again = registration(4);
    again["containerInstanceArn"] = instance["containerInstanceArn"].clone();
    world.settings.enforces = true;
    world.ok("RegisterContainerInstance", again.clone());
    world.principal = Some("arn:aws:iam::123456789012:user/somebody".to_owned());
    let told = "ClientException: The container instance was registered by somebody else.";
    assert_eq!(world.fault("RegisterContainerInstance", again.clone()), told);
    world.settings.enforces = false;
    world.ok("RegisterContainerInstance", again);
}
