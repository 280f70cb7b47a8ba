//! Services behind load balancers, by their operations.

use longshore_api::elasticloadbalancing as elb;
use longshore_model::balancer::Health;
use longshore_model::network::Vpc;
use longshore_plan::balancer;
use longshore_wire::Timestamp;
use serde_json::{Value, json};

use crate::ecs::testing::{ACCOUNT, World};
use crate::ecs::testing_tasks::{Tasks, container};
use crate::elasticloadbalancing;

fn balance(world: &mut World, operation: &str, input: Value) -> Value {
    let answer = world.call_of(&elasticloadbalancing::SERVICE, operation, input.clone());
    answer.unwrap_or_else(|fault| panic!("{operation} {input}: {fault}"))
}

fn group(world: &mut World, name: &str, extra: Value) -> String {
    let mut input = json!({"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1", "TargetType": "ip"});
    input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let made = balance(world, "CreateTargetGroup", input);
    made["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned()
}

/// Forward from the balancer to these groups, from one port each.
fn listen(world: &mut World, groups: &[&String]) {
    let made = balance(world, "CreateLoadBalancer", json!({"Name": "front", "Subnets": ["subnet-a", "subnet-b"]}));
    for (index, group) in groups.iter().enumerate() {
        let action = json!({"Type": "forward", "TargetGroupArn": group});
        let arn = &made["LoadBalancers"][0]["LoadBalancerArn"];
        let input = json!({
            "LoadBalancerArn": arn, "Protocol": "HTTP", "Port": 80 + index, "DefaultActions": [action],
        });
        balance(world, "CreateListener", input);
    }
}

/// Two VPCs; the definition `site` maps the ports 80 and 81 of its container `web`, `site:2` only 80; the groups `web` and
/// `admin` have a balancer.
fn world() -> (World, [String; 2]) {
    let mut world = World::new();
    world.prepare(64);
    for (id, cidr) in [("vpc-1", "172.31.0.0/16"), ("vpc-2", "10.0.0.0/16")] {
        let vpc = Vpc {
            account: ACCOUNT.into(),
            id: id.into(),
            cidr: cidr.into(),
            is_default: id == "vpc-1",
            dhcp_options: "dopt-1".into(),
        };
        world.put([vpc.into()]);
    }
    for ports in [json!([{"containerPort": 80}, {"containerPort": 81}]), json!([{"containerPort": 80}])] {
        let input = json!({
            "family": "site", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
            "memory": "512", "containerDefinitions": [container(json!({"portMappings": ports}))],
        });
        world.ok("RegisterTaskDefinition", input);
    }
    let groups = ["web", "admin"].map(|name| group(&mut world, name, json!({})));
    listen(&mut world, &[&groups[0], &groups[1]]);
    (world, groups)
}

fn entry(group: &str, port: i32) -> Value {
    json!({"targetGroupArn": group, "containerName": "web", "containerPort": port})
}

fn create(balancers: Value, extra: Value) -> Value {
    let mut input = json!({
        "cluster": "prod", "serviceName": "web", "taskDefinition": "site:1", "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-a", "subnet-b"]}},
        "loadBalancers": balancers,
    });
    input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    input
}

fn described(world: &mut World) -> Value {
    let answer = world.ok("DescribeServices", json!({"cluster": "prod", "services": ["web"]}));
    answer["services"][0].clone()
}

/// An edge finds every target healthy.
fn heal(world: &mut World) {
    let now = Timestamp::from_millis(world.now);
    let seats: Vec<(String, String, u16)> = {
        let state = world.store.read();
        let tasks = state.tasks.iter().filter(|(_, task)| !task.is_stopped());
        let seat = |task: &longshore_model::task::Task| {
            let address = task.eni.as_ref().unwrap().private_ip.clone();
            let seats = task.seats().iter();
            seats.map(|seat| (seat.group.clone(), address.clone(), seat.port as u16)).collect::<Vec<_>>()
        };
        tasks.flat_map(|(_, task)| seat(task)).collect()
    };
    for (group, address, port) in seats {
        let state = elb::TargetHealthStateEnum::Healthy;
        let health = Health { state, reason: None, description: None, at: now };
        world.decide(|state, changes| changes.extend(balancer::found(state, &group, &address, port, health)));
    }
}

fn targets(world: &mut World, group: &str) -> Vec<String> {
    let answer = balance(world, "DescribeTargetHealth", json!({"TargetGroupArn": group}));
    let rows = answer["TargetHealthDescriptions"].as_array().unwrap().iter();
    rows.map(|row| row["TargetHealth"]["State"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_service_shows_its_load_balancers_and_registers_its_tasks() {
    let (mut world, [web, admin]) = world();
    let given = json!([entry(&web, 80), entry(&admin, 81)]);
    let made =
        world.ok("CreateService", create(given.clone(), json!({"healthCheckGracePeriodSeconds": 2_147_483_647})));
    assert_eq!(made["service"]["loadBalancers"], given);
    assert_eq!(made["service"]["healthCheckGracePeriodSeconds"], json!(2_147_483_647));
    world.go_on(2);
    assert_eq!(
        (targets(&mut world, &web), targets(&mut world, &admin)),
        (vec!["initial".into()], vec!["initial".into()])
    );
    assert_eq!(described(&mut world)["deployments"][0]["rolloutState"], json!("IN_PROGRESS"));
    heal(&mut world);
    world.turn();
    let service = described(&mut world);
    assert_eq!((&service["loadBalancers"], &service["deployments"][0]["rolloutState"]), (&given, &json!("COMPLETED")));
}

#[test]
fn other_load_balancers_are_a_new_deployment() {
    let (mut world, [web, admin]) = world();
    world.ok("CreateService", create(json!([entry(&web, 80)]), json!({})));
    let update = |world: &mut World, extra: Value| {
        let mut input = json!({"cluster": "prod", "service": "web"});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = world.ok("UpdateService", input);
        (answer["service"]["deployments"].as_array().unwrap().len(), answer["service"]["loadBalancers"].clone())
    };
    let same = json!([entry(&web, 80)]);
    assert_eq!(update(&mut world, json!({"loadBalancers": same})), (1, same.clone()));
    assert_eq!(update(&mut world, json!({"desiredCount": 2, "healthCheckGracePeriodSeconds": 7})), (1, same.clone()));
    assert_eq!(update(&mut world, json!({"taskDefinition": "site:2"})), (2, same), "they are kept");
    let both = json!([entry(&web, 80), entry(&admin, 81)]);
    let changed = json!({"taskDefinition": "site:1", "loadBalancers": both});
    assert_eq!(update(&mut world, changed), (3, both));
    let input = json!({"cluster": "prod", "service": "web", "taskDefinition": "site:2"});
    let told = "InvalidParameterException: The container web did not have a container port 81 defined.";
    assert_eq!(world.fault("UpdateService", input), told);
    world.go_on(2);
    assert_eq!((targets(&mut world, &web).len(), targets(&mut world, &admin).len()), (2, 2));
    heal(&mut world);
    assert_eq!(update(&mut world, json!({"loadBalancers": []})).1, json!([]));
    world.go_on(50);
    let draining = vec!["draining".to_owned(); 2];
    assert_eq!((targets(&mut world, &web), targets(&mut world, &admin)), (draining.clone(), draining));
    let tasks = world.ok("ListTasks", json!({"cluster": "prod", "desiredStatus": "STOPPED"}));
    assert_eq!(tasks["taskArns"].as_array().unwrap().len(), 2, "told to stop, and still there");
    world.go_on(300);
    assert_eq!(described(&mut world)["deployments"].as_array().unwrap().len(), 1);
}

#[test]
fn a_stopped_task_drains_first() {
    let (mut world, [web, _]) = world();
    world.ok("CreateService", create(json!([entry(&web, 80)]), json!({})));
    world.go_on(2);
    heal(&mut world);
    let task = world.ok("ListTasks", json!({"cluster": "prod"}))["taskArns"][0].clone();
    let stopped = world.ok("StopTask", json!({"cluster": "prod", "task": task}));
    assert_eq!(stopped["task"]["lastStatus"], json!("DEACTIVATING"));
    assert_eq!(targets(&mut world, &web), ["draining"]);
    let status = |world: &mut World| {
        let answer = world.ok("DescribeTasks", json!({"cluster": "prod", "tasks": [task]}));
        answer["tasks"][0]["lastStatus"].as_str().unwrap().to_owned()
    };
    world.go_on(299);
    assert_eq!(status(&mut world), "DEACTIVATING");
    world.go_on(2);
    assert_eq!(status(&mut world), "STOPPED");
}

#[test]
fn what_cannot_be_balanced_is_refused_in_awss_words() {
    let (mut world, [web, _]) = world();
    let lonely = group(&mut world, "lonely", json!({}));
    let instances = group(&mut world, "instances", json!({"TargetType": "instance"}));
    let elsewhere = group(&mut world, "elsewhere", json!({"VpcId": "vpc-2"}));
    let with = |members: Value| {
        let mut one = entry(&web, 80);
        one.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!([one])
    };
    let other = web.replace("targetgroup/web", "targetgroup/nope");
    let region = web.replace("us-east-1", "eu-west-1");
    let rows = [
        (json!([entry(&other, 80)]), "The specified target group does not exist.".to_owned()),
        (json!([entry(&format!("{web}0"), 80)]), "The specified target group does not exist.".to_owned()),
        (json!([entry(&region, 80)]), "The specified target group does not exist.".to_owned()),
        (
            json!([entry(&lonely, 80)]),
            format!("The target group with targetGroupArn {lonely} does not have an associated load balancer."),
        ),
        (
            json!([entry(&instances, 80)]),
            format!(
                "The provided target group {instances} has target type instance, which is incompatible with the awsvpc \
                 network mode specified in the task definition."
            ),
        ),
        (
            json!([entry(&elsewhere, 80)]),
            format!("The target group {elsewhere} does not belong to the VPC of the service's subnets."),
        ),
        (with(json!({"containerName": "db"})), "The container db does not exist in the task definition.".to_owned()),
        (
            with(json!({"containerPort": 8080})),
            "The container web did not have a container port 8080 defined.".to_owned(),
        ),
        (with(json!({"containerPort": null})), "Container Port can not be blank.".to_owned()),
        (with(json!({"containerName": null})), "Container Name can not be blank.".to_owned()),
        (json!([entry(&web, 80), entry(&web, 80)]), "cannot be specified twice".to_owned()),
        (
            with(json!({"loadBalancerName": "lb"})),
            "targetGroupArn and loadBalancerName cannot both be specified.".to_owned(),
        ),
    ];
    for (balancers, wanted) in rows {
        let fault = world.fault("CreateService", create(balancers.clone(), json!({})));
        let code = fault.starts_with("InvalidParameterException: ");
        assert!(code && fault.contains(&wanted), "{balancers}: {fault}");
    }
    let advanced = with(json!({"advancedConfiguration": {"alternateTargetGroupArn": lonely}}));
    let fault = world.fault("CreateService", create(advanced, json!({})));
    assert!(fault.starts_with("UnsupportedFeatureException: "), "{fault}");
    for (balancers, wanted) in [
        (json!([entry(&web, 80)]), "You cannot specify an IAM role for services that require a service linked role."),
        (json!([]), "A role was passed, but no load balancers were present."),
    ] {
        let fault = world.fault("CreateService", create(balancers, json!({"role": "ecsServiceRole"})));
        assert_eq!(fault, format!("InvalidParameterException: {wanted}"));
    }
    assert!(world.store.read().services.is_empty());
}
