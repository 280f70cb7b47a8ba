//! Services by JSON: from CreateService over deployments to INACTIVE, and every contradiction.

use serde_json::{Value, json};

use crate::ecs::testing::{HERE, World};
use crate::ecs::testing_tasks::{Tasks, fargate};

fn world() -> World {
    let mut world = World::new();
    world.prepare(32);
    world
}

fn create(extra: Value) -> Value {
    let mut request = fargate("web:1");
    let members = request.as_object_mut().unwrap();
    members.insert("serviceName".into(), json!("web"));
    members.insert("desiredCount".into(), json!(2));
    for (name, value) in extra.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    request
}

fn described(world: &mut World) -> Value {
    world.ok("DescribeServices", json!({"cluster": "prod", "services": ["web"]}))["services"][0].clone()
}

fn update(world: &mut World, extra: Value) -> Value {
    let mut request = json!({"cluster": "prod", "service": "web"});
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    world.ok("UpdateService", request)["service"].clone()
}

fn counts(service: &Value) -> Value {
    json!([service["desiredCount"], service["runningCount"], service["pendingCount"]])
}

#[test]
fn a_service_comes_up_and_is_described() {
    let mut world = world();
    let service = world.ok("CreateService", create(json!({})))["service"].clone();
    for (name, wanted) in [
        ("serviceArn", json!(format!("{HERE}service/prod/web"))),
        ("status", json!("ACTIVE")),
        ("launchType", json!("FARGATE")),
        ("platformVersion", json!("LATEST")),
        ("taskDefinition", json!(format!("{HERE}task-definition/web:1"))),
        ("schedulingStrategy", json!("REPLICA")),
        ("propagateTags", json!("NONE")),
        ("events", json!([])),
    ] {
        assert_eq!(service[name], wanted, "{name}");
    }
    assert_eq!(counts(&service), json!([2, 0, 0]));
    world.turn();
    assert_eq!(counts(&described(&mut world)), json!([2, 0, 2]));
    world.go_on(1);
    let service = described(&mut world);
    assert_eq!(counts(&service), json!([2, 2, 0]));
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    let primary = &service["deployments"][0];
    assert_eq!((&primary["status"], &primary["rolloutState"]), (&json!("PRIMARY"), &json!("COMPLETED")));
    assert_eq!(service["events"][0]["message"], json!("(service web) has reached a steady state."));

    let arns = world.ok("ListTasks", json!({"cluster": "prod", "serviceName": "web"}))["taskArns"].clone();
    let tasks = world.ok("DescribeTasks", json!({"cluster": "prod", "tasks": arns}))["tasks"].clone();
    assert_eq!(tasks[0]["startedBy"], primary["id"]);
    assert_eq!(tasks[0]["group"], json!("service:web"));
    assert_eq!(tasks[0]["attachments"][0]["status"], json!("ATTACHED"));
}

#[test]
fn a_new_definition_is_rolled_out() {
    let mut world = world();
    world.ok("CreateService", create(json!({})));
    world.go_on(60);
    let service = update(&mut world, json!({"taskDefinition": "other"}));
    assert_eq!(service["taskDefinition"], json!(format!("{HERE}task-definition/other:1")));
    let states: Vec<_> = service["deployments"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(json!(states), json!(["PRIMARY", "ACTIVE"]));
    world.turn();
    let service = described(&mut world);
    assert_eq!(counts(&service), json!([2, 2, 2]));
    assert_eq!(service["deployments"][1]["runningCount"], json!(2));
    world.go_on(60);
    let service = described(&mut world);
    assert_eq!((counts(&service), service["deployments"].as_array().unwrap().len()), (json!([2, 2, 0]), 1));
}

#[test]
fn only_what_tasks_are_made_of_starts_a_deployment() {
    let mut world = world();
    world.ok("CreateService", create(json!({})));
    world.go_on(2);
    let id = described(&mut world)["deployments"][0]["id"].clone();
    for (change, deploys) in [
        (json!({"desiredCount": 3}), false),
        (json!({"taskDefinition": "web:1"}), false),
        (json!({"deploymentConfiguration": {"minimumHealthyPercent": 50}}), false),
        (json!({"healthCheckGracePeriodSeconds": 5}), false),
        (json!({"platformVersion": "LATEST"}), false),
        (json!({"enableExecuteCommand": true}), false),
        (json!({"enableECSManagedTags": true}), false),
        (json!({"availabilityZoneRebalancing": "DISABLED"}), false),
        (json!({"forceNewDeployment": true}), true),
        (json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-a"]}}}), true),
        (json!({"platformVersion": "1.3.0"}), true),
        (json!({"propagateTags": "SERVICE"}), false),
        (json!({"serviceConnectConfiguration": {"enabled": false}}), true),
    ] {
        let before = described(&mut world)["deployments"][0]["id"].clone();
        let after = update(&mut world, change.clone())["deployments"][0]["id"].clone();
        assert_eq!(before != after, deploys, "{change}");
    }
    assert_ne!(described(&mut world)["deployments"][0]["id"], id);
    let tasks = world.store.read().tasks.iter().filter(|(_, task)| task.enable_execute_command).count();
    world.go_on(1);
    let later = world.store.read().tasks.iter().filter(|(_, task)| task.enable_execute_command).count();
    assert!(later > tasks, "what does not start a deployment holds for later tasks");
    let configuration = described(&mut world)["deploymentConfiguration"].clone();
    assert_eq!((&configuration["minimumHealthyPercent"], &configuration["maximumPercent"]), (&json!(50), &json!(200)));
}

#[test]
fn a_service_is_deleted_by_way_of_draining() {
    let mut world = world();
    world.ok("CreateService", create(json!({})));
    world.go_on(1);
    let target = json!({"cluster": "prod", "service": "web"});
    assert_eq!(
        world.fault("DeleteService", target.clone()),
        "InvalidParameterException: The service cannot be stopped while it is scaled above 0."
    );
    let forced = json!({"cluster": "prod", "service": "web", "force": true});
    assert_eq!(world.ok("DeleteService", forced.clone())["service"]["status"], json!("DRAINING"));
    assert_eq!(world.ok("DeleteService", forced)["service"]["status"], json!("DRAINING"), "again is no error");
    assert_eq!(
        world.fault("CreateService", create(json!({}))),
        "InvalidParameterException: Unable to Start a service that is still Draining."
    );
    assert_eq!(world.fault("UpdateService", target.clone()), "ServiceNotActiveException: Service was not ACTIVE.");
    world.go_on(1);
    assert_eq!(described(&mut world)["status"], json!("INACTIVE"));
    assert_eq!(world.fault("DeleteService", target), "ServiceNotFoundException: Service not found.");
    assert_eq!(world.ok("ListServices", json!({"cluster": "prod"}))["serviceArns"], json!([]));
    world.ok("CreateService", create(json!({})));
    world.go_on(1);
    assert_eq!(counts(&described(&mut world)), json!([2, 2, 0]));
}

/// What CreateService refuses (W13): nothing is written.
#[track_caller]
fn refused(extra: Value, wanted: &str) {
    let mut world = world();
    let fault = world.fault("CreateService", create(extra.clone()));
    assert!(fault.contains(wanted), "{extra}: {fault}");
    let typed = [
        "InvalidParameterException",
        "ClientException",
        "UnsupportedFeatureException",
        "PlatformUnknown",
        "Cluster",
        "NamespaceNotFoundException",
    ];
    assert!(typed.iter().any(|code| fault.starts_with(code)), "{fault}");
    assert!(world.store.read().services.is_empty());
}

#[test]
fn contradictions_are_refused_before_any_effect() {
    let group = json!({"targetGroupArn": "arn", "containerName": "web", "containerPort": 80});
    let strategy = json!([{"capacityProvider": "FARGATE", "weight": 1}]);
    refused(json!({"schedulingStrategy": "DAEMON"}), "The daemon scheduling strategy does not support a desired count");
    refused(
        json!({"schedulingStrategy": "DAEMON", "desiredCount": null}),
        "does not support the DAEMON scheduling strategy yet",
    );
    refused(
        json!({"deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 100}}),
        "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
    );
    refused(json!({"deploymentConfiguration": {"maximumPercent": 50}}), "maximumPercent must be 100 or more.");
    refused(
        json!({"deploymentConfiguration": {"minimumHealthyPercent": -1}}),
        "minimumHealthyPercent must be between 0 and 100.",
    );
    refused(
        json!({"capacityProviderStrategy": strategy}),
        "Specifying both a launch type and capacity provider strategy",
    );
    refused(
        json!({"capacityProviderStrategy": strategy, "launchType": null}),
        "cannot contain a capacity provider that is not associated with the cluster",
    );
    refused(
        json!({"placementStrategy": [{"type": "spread", "field": "host"}]}),
        "Placement strategies are not supported",
    );
    refused(json!({"placementConstraints": [{"type": "distinctInstance"}]}), "Placement constraints are not supported");
    refused(json!({"loadBalancers": vec![group.clone(); 7]}), "loadBalancers can have at most 5 items.");
    refused(
        json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-x"]}}}),
        "The subnet ID 'subnet-x' does not exist",
    );
    refused(json!({"networkConfiguration": null}), "Network Configuration must be provided when networkMode 'awsvpc'");
    refused(json!({"desiredCount": null}), "Desired count cannot be null.");
    refused(json!({"desiredCount": -1}), "Desired count cannot be negative.");
    refused(json!({"taskDefinition": null}), "TaskDefinition can not be blank.");
    refused(json!({"taskDefinition": "nope"}), "TaskDefinition not found.");
    refused(json!({"serviceName": "a b"}), "Service name must be");
    refused(json!({"cluster": "nope"}), "Cluster not found.");
    refused(
        json!({"deploymentController": {"type": "CODE_DEPLOY"}}),
        "does not support the deployment controller CODE_DEPLOY yet",
    );
    refused(
        json!({"deploymentController": {"type": "EXTERNAL"}}),
        "does not support the deployment controller EXTERNAL yet",
    );
    refused(json!({"deploymentConfiguration": {"strategy": "BLUE_GREEN"}}), "strategies other than ROLLING");
    refused(json!({"launchType": "EC2"}), "No Container Instances were found in your cluster.");
    refused(json!({"platformVersion": "0.1"}), "The specified platform does not exist.");
}

#[test]
fn what_does_not_exist_is_told_in_awss_words() {
    let group = json!({"targetGroupArn": "arn:tg", "containerName": "web", "containerPort": 80});
    refused(json!({"loadBalancers": [group]}), "InvalidParameterException: The specified target group does not exist.");
    let classic = json!({"loadBalancerName": "lb", "containerName": "web", "containerPort": 80});
    refused(json!({"loadBalancers": [classic]}), "InvalidParameterException: The load balancer lb does not exist.");
    refused(json!({"loadBalancers": [{}]}), "A target group ARN or a load balancer name must be specified.");
    let both = json!({"targetGroupArn": "arn:tg", "loadBalancerName": "lb"});
    refused(json!({"loadBalancers": [both]}), "cannot both be specified");
    refused(json!({"serviceRegistries": [{"registryArn": "arn:r"}]}), "The service registry arn:r does not exist.");
    refused(json!({"serviceRegistries": [{}]}), "registryArn cannot be empty.");
    refused(
        json!({"serviceConnectConfiguration": {"enabled": true, "namespace": "inner"}}),
        "NamespaceNotFoundException: Failed to retrieve namespace for inner",
    );
    refused(json!({"serviceConnectConfiguration": {"enabled": true}}), "Service Connect needs a namespace");
    let lattice = json!({"roleArn": "arn:aws:iam::1:role/x", "targetGroupArn": "arn:tg", "portName": "web"});
    refused(json!({"vpcLatticeConfigurations": [lattice]}), "The specified target group does not exist.");
    refused(json!({"gatewayConnectors": [{"portName": "web"}]}), "does not support gateway connectors yet");
    let alarms = json!({"alarmNames": ["high", "low"], "enable": true, "rollback": true});
    refused(json!({"deploymentConfiguration": {"alarms": alarms}}), "The specified alarms do not exist: high, low.");
    let volume = json!({"name": "data", "managedEBSVolume": {"roleArn": "arn:aws:iam::1:role/x", "sizeInGiB": 1}});
    refused(
        json!({"volumeConfigurations": [volume]}),
        "Volume configuration provided but no matching configuredAtLaunch volume found in task definition.",
    );
}

#[test]
fn deployment_configurations_are_checked() {
    let configuration = |given: Value| json!({"deploymentConfiguration": given});
    let threshold = |kind: &str, value: i32| {
        configuration(json!({"deploymentCircuitBreaker": {
            "enable": true, "rollback": true, "thresholdConfiguration": {"type": kind, "value": value}}}))
    };
    refused(threshold("COUNT", 0), "type COUNT must be 1 or more");
    refused(threshold("BOUNDED_PERCENT", 101), "between 1 and 100 percent");
    refused(threshold("UNBOUNDED_PERCENT", 0), "between 1 and 100 percent");
    refused(configuration(json!({"lifecycleHooks": [{"targetType": "PAUSE"}]})), "lifecycleHooks are not supported");
    refused(
        configuration(json!({"linearConfiguration": {"stepPercent": 10.0}})),
        "linearConfiguration is not supported",
    );
    refused(configuration(json!({"canaryConfiguration": {}})), "canaryConfiguration is not supported");
    refused(configuration(json!({"bakeTimeInMinutes": 1441})), "bakeTimeInMinutes must be between 0 and 1440.");
    refused(
        configuration(json!({"earlySuccessCriteria": {"enable": true, "healthyPercent": 99,
            "sourceServiceRevisionCleanup": "BLOCKING"}})),
        "cannot be less than minimumHealthyPercent",
    );
    refused(
        configuration(json!({"earlySuccessCriteria": {"enable": true, "healthyPercent": 100}})),
        "healthyPercent and sourceServiceRevisionCleanup must be specified",
    );
}

#[test]
fn what_aws_stores_is_stored_and_returned() {
    let mut world = world();
    let definition = json!({"family": "disk", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
        "memory": "512", "volumes": [{"name": "data", "configuredAtLaunch": true}],
        "containerDefinitions": [{"name": "web", "image": "busybox"}]});
    world.ok("RegisterTaskDefinition", definition);
    let configuration = json!({
        "deploymentCircuitBreaker": {"enable": true, "rollback": true, "resetOnHealthyTask": false,
            "thresholdConfiguration": {"type": "COUNT", "value": 2}},
        "alarms": {"alarmNames": [], "enable": false, "rollback": false},
        "bakeTimeInMinutes": 5, "maximumPercent": 150, "minimumHealthyPercent": 50, "strategy": "ROLLING",
        "earlySuccessCriteria": {"enable": true, "healthyPercent": 60, "sourceServiceRevisionCleanup": "DEFERRED"},
    });
    let volumes = json!([{"name": "data", "managedEBSVolume": {
        "roleArn": "arn:aws:iam::000000000000:role/ebs", "sizeInGiB": 10, "filesystemType": "xfs", "encrypted": true}}]);
    let connect = json!({"enabled": false});
    let service = world.ok(
        "CreateService",
        create(json!({
            "taskDefinition": "disk", "deploymentConfiguration": configuration, "volumeConfigurations": volumes,
            "serviceConnectConfiguration": connect, "loadBalancers": [], "serviceRegistries": [],
            "monitoring": {"metricConfigurations": [{"metricNames": ["CPUUtilization"], "resolutionSeconds": 20}]},
        })),
    )["service"]
        .clone();
    assert_eq!(service["deploymentConfiguration"], configuration);
    assert_eq!(service["resourceManagementType"], json!("CUSTOMER"));
    let primary = &service["deployments"][0];
    assert_eq!((&primary["volumeConfigurations"], &primary["serviceConnectConfiguration"]), (&volumes, &connect));
    let number = primary["id"].as_str().unwrap().trim_start_matches("ecs-svc/").to_owned();
    assert_eq!(service["currentServiceDeployment"], json!(format!("{HERE}service-deployment/prod/web/{number}")));
    assert_eq!(
        service["currentServiceRevisions"],
        json!([{"arn": format!("{HERE}service-revision/prod/web/{number}"), "requestedTaskCount": 2,
            "runningTaskCount": 0, "pendingTaskCount": 0}])
    );
    world.turn();
    let task = world.ok("ListTasks", json!({"cluster": "prod", "desiredStatus": "STOPPED"}))["taskArns"][0].clone();
    let task = world.ok("DescribeTasks", json!({"cluster": "prod", "tasks": [task]}))["tasks"][0].clone();
    assert!(task["stoppedReason"].as_str().unwrap().contains("volumes configured at launch (volume data)"), "{task}");
    let service = update(&mut world, json!({"taskDefinition": "web:1", "volumeConfigurations": []}));
    let deployments = service["deployments"].as_array().unwrap();
    assert_eq!(deployments[0].get("volumeConfigurations"), None);
    assert_eq!(deployments[0]["serviceConnectConfiguration"], connect);
    let stays =
        json!({"cluster": "prod", "service": "web", "taskDefinition": "web:1", "volumeConfigurations": volumes});
    assert!(world.fault("UpdateService", stays).contains("no matching configuredAtLaunch volume"));
    assert_eq!(update(&mut world, json!({}))["deploymentConfiguration"], configuration, "nothing is lost by an update");
}

#[test]
fn the_clusters_key_for_scratch_space_shows_on_deployments_and_tasks() {
    let mut world = world();
    let configuration = json!({"managedStorageConfiguration": {"fargateEphemeralStorageKmsKeyId": "key"}});
    world.ok("UpdateCluster", json!({"cluster": "prod", "configuration": configuration}));
    let service = world.ok("CreateService", create(json!({})))["service"].clone();
    assert_eq!(service["deployments"][0]["fargateEphemeralStorage"], json!({"kmsKeyId": "key"}));
    world.turn();
    let alone = world.ok("RunTask", fargate("web:1"))["tasks"][0]["taskArn"].clone();
    let of_service = world.ok("ListTasks", json!({"cluster": "prod", "serviceName": "web"}))["taskArns"][0].clone();
    let tasks = world.ok("DescribeTasks", json!({"cluster": "prod", "tasks": [alone, of_service]}))["tasks"].clone();
    for task in tasks.as_array().unwrap() {
        assert_eq!(task["fargateEphemeralStorage"], json!({"sizeInGiB": 20, "kmsKeyId": "key"}));
    }
}

#[test]
fn too_many_failures_bring_the_last_complete_deployment_back() {
    let mut world = world();
    let breaker = json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true,
        "thresholdConfiguration": {"type": "COUNT", "value": 1}}});
    world.ok("CreateService", create(json!({"deploymentConfiguration": breaker})));
    world.go_on(2);
    let good = described(&mut world)["deployments"][0]["id"].clone();
    let broken = json!({"family": "broken", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "containerDefinitions": [{"name": "web", "image": "busybox",
        "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/a.env"}]}],
        "executionRoleArn": "arn:aws:iam::000000000000:role/x"});
    world.ok("RegisterTaskDefinition", broken);
    let bad = update(&mut world, json!({"taskDefinition": "broken"}))["deployments"][0]["id"].clone();
    world.turn();
    world.turn();
    let service = described(&mut world);
    assert_eq!(service["taskDefinition"], json!(format!("{HERE}task-definition/web:1")));
    assert_eq!(service["deployments"][0]["id"], good);
    world.go_on(2);
    let service = described(&mut world);
    assert_eq!((&service["deployments"][0]["rolloutState"], counts(&service)), (&json!("COMPLETED"), json!([2, 2, 0])));
    let told: Vec<_> = service["events"].as_array().unwrap().iter().map(|event| event["message"].clone()).collect();
    let bad = bad.as_str().unwrap();
    for wanted in [
        format!("(service web) (deployment {bad}) deployment failed: tasks failed to start."),
        format!("(service web) rolling back to deployment {}.", good.as_str().unwrap()),
    ] {
        assert!(told.contains(&json!(wanted)), "{told:?}");
    }
}

#[test]
fn a_name_is_taken_and_a_token_gives_the_same_service() {
    let mut world = world();
    let first = world.ok("CreateService", create(json!({"clientToken": "t"})));
    assert_eq!(world.ok("CreateService", create(json!({"clientToken": "t"}))), first);
    assert_eq!(
        world.fault("CreateService", create(json!({}))),
        "InvalidParameterException: Creation of service was not idempotent."
    );
    assert!(
        world
            .fault("CreateService", create(json!({"clientToken": "t", "desiredCount": 5})))
            .starts_with("ConflictException")
    );
    assert!(
        world
            .fault("CreateService", create(json!({"clientToken": "x".repeat(37)})))
            .starts_with("InvalidParameterException")
    );
}

#[test]
fn services_are_listed_in_pages_and_missing_ones_told() {
    let mut world = world();
    for index in 0..12 {
        world.ok("CreateService", create(json!({"serviceName": format!("s{index:02}"), "desiredCount": 0})));
    }
    let first = world.ok("ListServices", json!({"cluster": "prod"}));
    assert_eq!(first["serviceArns"].as_array().unwrap().len(), 10);
    let second = world.ok("ListServices", json!({"cluster": "prod", "nextToken": first["nextToken"]}));
    assert_eq!(second["serviceArns"], json!([format!("{HERE}service/prod/s10"), format!("{HERE}service/prod/s11")]));
    assert!(second.get("nextToken").is_none());
    assert_eq!(world.ok("ListServices", json!({"cluster": "prod", "launchType": "EC2"}))["serviceArns"], json!([]));
    let answer = world.ok("DescribeServices", json!({"cluster": "prod", "services": ["s00", "nope"]}));
    assert_eq!(answer["services"].as_array().unwrap().len(), 1);
    assert_eq!(answer["failures"], json!([{"arn": format!("{HERE}service/prod/nope"), "reason": "MISSING"}]));
    assert_eq!(
        world.fault("UpdateService", json!({"cluster": "prod", "service": "nope"})),
        "ServiceNotFoundException: Service not found."
    );
}
