//! What a registered definition looks like, and the life of revisions.

use serde_json::{Value, json};

use super::{fargate, instance, patched};
use crate::ecs::testing::{HERE, World};

fn register(world: &mut World, family: &str) -> String {
    let answer = world.ok("RegisterTaskDefinition", patched(instance(), &json!({"family": family})));
    answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
}

fn names(attributes: &Value) -> Vec<&str> {
    attributes.as_array().unwrap().iter().map(|attribute| attribute["name"].as_str().unwrap()).collect()
}

#[test]
fn ecs_fills_in_its_defaults() {
    let mut world = World::new();
    let definition = patched(
        fargate(),
        &json!({"cpu": ".25 vCPU", "memory": "0.5GB", "volumes": [{"name": "scratch"}], "app": {
            "portMappings": [{"containerPort": 80}], "healthCheck": {"command": ["CMD", "true"]},
            "restartPolicy": {"enabled": true}}}),
    );
    let answer = world.ok("RegisterTaskDefinition", definition);
    let found = &answer["taskDefinition"];
    let wanted = json!({
        "taskDefinitionArn": format!("{HERE}task-definition/web:1"),
        "containerDefinitions": [{
            "name": "app", "image": "nginx", "cpu": 0, "essential": true, "environment": [], "mountPoints": [],
            "volumesFrom": [], "systemControls": [],
            "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
            "healthCheck": {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3},
            "restartPolicy": {"enabled": true, "ignoredExitCodes": [], "restartAttemptPeriod": 300},
        }],
        "family": "web", "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
        "networkMode": "awsvpc", "revision": 1, "volumes": [{"name": "scratch", "host": {}}], "status": "ACTIVE",
        "requiresAttributes": [
            {"name": "ecs.capability.container-health-check"}, {"name": "ecs.capability.container-restart-policy"},
            {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.24"},
            {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}, {"name": "ecs.capability.task-eni"}],
        "placementConstraints": [], "compatibilities": ["EC2", "FARGATE"], "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "registeredAt": 1_700_000_000, "registeredBy": "arn:aws:iam::123456789012:root",
    });
    assert_eq!(sorted(found), sorted(&wanted));
    assert_eq!(world.ok("DescribeTaskDefinition", json!({"taskDefinition": "web"}))["taskDefinition"], *found);
}

/// Numbers as text: a timestamp may be written with a fraction.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn compatibilities_say_what_it_runs_on() {
    let cases = [
        (instance(), json!({}), json!(["EXTERNAL", "EC2"])),
        (instance(), json!({"networkMode": "awsvpc"}), json!(["EC2"])),
        (instance(), json!({"networkMode": "awsvpc", "cpu": "256", "memory": "512"}), json!(["EC2", "FARGATE"])),
        (
            instance(),
            json!({"networkMode": "awsvpc", "cpu": "256", "memory": "512", "app": {"privileged": true}}),
            json!(["EC2"]),
        ),
        (fargate(), json!({"requiresCompatibilities": ["EC2", "FARGATE"]}), json!(["EC2", "FARGATE"])),
        (
            fargate(),
            json!({"requiresCompatibilities": ["MANAGED_INSTANCES"]}),
            json!(["EC2", "MANAGED_INSTANCES", "FARGATE"]),
        ),
    ];
    let mut world = World::new();
    for (base, patch, wanted) in cases {
        let answer = world.ok("RegisterTaskDefinition", patched(base, &patch));
        assert_eq!(answer["taskDefinition"]["compatibilities"], wanted, "{patch}");
    }
    let external = patched(fargate(), &json!({"requiresCompatibilities": ["EXTERNAL"]}));
    assert_eq!(
        world.fault("RegisterTaskDefinition", external),
        "ClientException: Tasks using the External launch type do not support networkMode awsvpc."
    );
}

#[test]
fn attributes_follow_from_the_definition() {
    let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1";
    let logs = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}});
    let mut world = World::new();
    let definition =
        patched(fargate(), &json!({"taskRoleArn": "app", "app": {"image": image, "logConfiguration": logs}}));
    let answer = world.ok("RegisterTaskDefinition", definition);
    let wanted = [
        "com.amazonaws.ecs.capability.logging-driver.awslogs",
        "ecs.capability.execution-role-awslogs",
        "com.amazonaws.ecs.capability.docker-remote-api.1.19",
        "com.amazonaws.ecs.capability.ecr-auth",
        "ecs.capability.execution-role-ecr-pull",
        "com.amazonaws.ecs.capability.docker-remote-api.1.18",
        "com.amazonaws.ecs.capability.docker-remote-api.1.17",
        "ecs.capability.task-eni",
        "com.amazonaws.ecs.capability.task-iam-role",
    ];
    assert_eq!(names(&answer["taskDefinition"]["requiresAttributes"]), wanted);
}

#[test]
fn every_field_of_a_definition_is_kept() {
    let full: Value = serde_json::from_str(include_str!("full.json")).unwrap();
    let mut world = World::new();
    world.ok("RegisterTaskDefinition", full.clone());
    let found = &world.ok("DescribeTaskDefinition", json!({"taskDefinition": "full:1"}))["taskDefinition"];
    for (key, value) in full.as_object().unwrap() {
        assert_eq!(found[key], *value, "{key}");
    }
}

#[test]
fn a_revision_number_is_never_given_twice() {
    let mut world = World::new();
    assert_eq!(register(&mut world, "web"), format!("{HERE}task-definition/web:1"));
    assert_eq!(register(&mut world, "web"), format!("{HERE}task-definition/web:2"));
    world.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:2"}));
    world.ok("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:2"]}));
    world.put([longshore_model::Change::Delete(
        longshore_model::TableName::TaskDefinition,
        "123456789012/web:0000000002".to_owned(),
    )]);
    assert_eq!(register(&mut world, "web"), format!("{HERE}task-definition/web:3"));
    let newest = world.ok("DescribeTaskDefinition", json!({"taskDefinition": "web"}));
    assert_eq!(newest["taskDefinition"]["revision"], 3);
}

#[test]
fn a_family_alone_is_its_newest_active_revision() {
    let mut world = World::new();
    (0..3).for_each(|_| drop(register(&mut world, "web")));
    world.ok("DeregisterTaskDefinition", json!({"taskDefinition": format!("{HERE}task-definition/web:3")}));
    let of = |world: &mut World, name: &str| {
        let answer = world.call("DescribeTaskDefinition", json!({"taskDefinition": name}));
        answer.map(|it| (it["taskDefinition"]["revision"].clone(), it["taskDefinition"]["status"].clone()))
    };
    assert_eq!(of(&mut world, "web"), Ok((json!(2), json!("ACTIVE"))));
    assert_eq!(of(&mut world, "web:3"), Ok((json!(3), json!("INACTIVE"))));
    let missing = "ClientException: Unable to describe task definition.";
    for name in ["web:4", "gone", "gone:1", "We"] {
        assert_eq!(of(&mut world, name), Err(missing.to_owned()), "{name}");
    }
    for number in [1, 2] {
        world.ok("DeregisterTaskDefinition", json!({"taskDefinition": format!("web:{number}")}));
    }
    assert_eq!(of(&mut world, "web"), Err(missing.to_owned()));
}

#[test]
fn deregistering_and_deleting_go_step_by_step() {
    let mut world = World::new();
    register(&mut world, "web");
    let delete = |world: &mut World| world.ok("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:1", "gone:1"]}));
    let active = delete(&mut world);
    assert_eq!(active["taskDefinitions"], json!([]));
    assert_eq!(
        active["failures"][0]["reason"],
        "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
    );
    assert_eq!(active["failures"][1]["arn"], format!("{HERE}task-definition/gone:1"));

    let first = world.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"}));
    assert_eq!(first["taskDefinition"]["status"], "INACTIVE");
    world.now += 60_000;
    assert_eq!(world.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"})), first);

    let deleted = delete(&mut world);
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    assert_eq!(deleted["failures"].as_array().unwrap().len(), 1);
    let shown = world.ok("DescribeTaskDefinition", json!({"taskDefinition": "web:1"}));
    assert_eq!(shown["taskDefinition"]["status"], "DELETE_IN_PROGRESS");
}

#[test]
fn retiring_needs_a_revision_that_is_there() {
    let mut world = World::new();
    let eleven: Vec<String> = (1..=11).map(|number| format!("web:{number}")).collect();
    let cases = [
        (
            "DeregisterTaskDefinition",
            json!({"taskDefinition": "web"}),
            "ClientException: Invalid revision number. Number: ",
        ),
        (
            "DeregisterTaskDefinition",
            json!({"taskDefinition": "web:1"}),
            "ClientException: The specified task definition does not exist. Specify a valid account, family, revision \
             and try again.",
        ),
        (
            "DeregisterTaskDefinition",
            json!({"taskDefinition": "web:x"}),
            "ClientException: Invalid revision number. Number: x",
        ),
        (
            "DeleteTaskDefinitions",
            json!({"taskDefinitions": eleven}),
            "InvalidParameterException: taskDefinitions can have at most 10 items.",
        ),
        (
            "DeleteTaskDefinitions",
            json!({"taskDefinitions": []}),
            "InvalidParameterException: taskDefinitions can not be empty.",
        ),
    ];
    for (operation, input, wanted) in cases {
        assert_eq!(world.fault(operation, input), wanted);
    }
}

#[test]
fn definitions_are_listed_family_by_family() {
    let mut world = World::new();
    for family in ["web", "web-app", "db", "web", "web"] {
        register(&mut world, family);
    }
    world.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:2"}));
    let cases = [
        (json!({}), vec!["db:1", "web:1", "web:3", "web-app:1"]),
        (json!({"sort": "DESC"}), vec!["web-app:1", "web:3", "web:1", "db:1"]),
        (json!({"familyPrefix": "web"}), vec!["web:1", "web:3"]),
        (json!({"familyPrefix": "we"}), vec![]),
        (json!({"status": "INACTIVE"}), vec!["web:2"]),
        (json!({"status": "DELETE_IN_PROGRESS"}), vec![]),
    ];
    for (input, wanted) in cases {
        for size in [1, 2, 3, 100] {
            let wanted: Vec<String> = wanted.iter().map(|name| format!("{HERE}task-definition/{name}")).collect();
            assert_eq!(
                all(&mut world, "ListTaskDefinitions", "taskDefinitionArns", &input, size),
                wanted,
                "{input} {size}"
            );
        }
    }
}

#[test]
fn families_are_listed_by_what_they_hold() {
    let mut world = World::new();
    for family in ["web", "web-app", "db"] {
        register(&mut world, family);
    }
    world.ok("DeregisterTaskDefinition", json!({"taskDefinition": "db:1"}));
    let cases = [
        (json!({}), vec!["db", "web", "web-app"]),
        (json!({"familyPrefix": "web"}), vec!["web", "web-app"]),
        (json!({"familyPrefix": "x"}), vec![]),
        (json!({"status": "ACTIVE"}), vec!["web", "web-app"]),
        (json!({"status": "INACTIVE"}), vec!["db"]),
        (json!({"status": "ALL"}), vec!["db", "web", "web-app"]),
    ];
    for (input, wanted) in cases {
        for size in [1, 2, 100] {
            assert_eq!(
                all(&mut world, "ListTaskDefinitionFamilies", "families", &input, size),
                wanted,
                "{input} {size}"
            );
        }
    }
    assert_eq!(
        world.fault("ListTaskDefinitionFamilies", json!({"familyPrefix": "a/b"})),
        "InvalidParameterException: Invalid family prefix."
    );
}

/// Every entry of a listing, page by page.
pub fn all(world: &mut World, operation: &str, member: &str, input: &Value, size: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut input = patched(input.clone(), &json!({"maxResults": size}));
    loop {
        let answer = world.ok(operation, input.clone());
        let page = answer[member].as_array().unwrap();
        assert!(page.len() <= size);
        found.extend(page.iter().map(|entry| entry.as_str().unwrap().to_owned()));
        match answer["nextToken"].as_str() {
            Some(token) => input["nextToken"] = json!(token),
            None => return found,
        }
    }
}

#[test]
fn tags_come_with_the_definition_when_asked_for() {
    let mut world = World::new();
    let tags = json!([{"key": "team", "value": "a"}]);
    let answer = world.ok("RegisterTaskDefinition", patched(fargate(), &json!({"tags": tags})));
    assert_eq!(answer["tags"], tags);
    let plain = world.ok("DescribeTaskDefinition", json!({"taskDefinition": "web"}));
    assert_eq!(plain.get("tags"), None);
    let with = world.ok("DescribeTaskDefinition", json!({"taskDefinition": "web", "include": ["TAGS"]}));
    assert_eq!(with["tags"], tags);
}

/// The forms of the guides that ECS takes, and those it does not.
#[test]
fn the_guides_forms_register() {
    let logs = json!({"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/my-web-app",
        "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true"}});
    let web = json!({"family": "my-web-app", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
        "containerDefinitions": [{"name": "web", "image": "my-web-app:latest", "essential": true,
            "portMappings": [{"containerPort": 80, "protocol": "tcp"}], "logConfiguration": logs}]});
    let bridge = json!({"family": "bridge", "networkMode": "bridge", "containerDefinitions": [{"name": "web",
        "image": "nginx", "memory": 512, "cpu": 256, "essential": true,
        "portMappings": [{"containerPort": 80, "hostPort": 8080}]}]});
    let mut world = World::new();
    for definition in [web.clone(), bridge] {
        world.ok("RegisterTaskDefinition", definition);
    }
    let missing = world.fault("RegisterTaskDefinition", patched(web, &json!({"containerDefinitions": null})));
    assert!(missing.starts_with("InvalidParameterException: "), "{missing}");
}
