//! Each rule a row: a change to a good definition, and the answer.

use serde_json::{Value, json};

use super::{fargate, instance, outcome, patched};
use crate::ecs::testing::World;

/// Registers `base` with each patch. What is wanted is the whole answer, or a part of it after `…`.
fn check(base: fn() -> Value, rows: Vec<(Value, &str)>) {
    let mut world = World::new();
    for (patch, wanted) in rows {
        let found = outcome(&mut world, patched(base(), &patch));
        let good = match wanted.strip_prefix('…') {
            Some(part) => found.starts_with("ClientException: ") && found.contains(part),
            None => found == wanted,
        };
        assert!(good, "{patch}\n found: {found}\nwanted: {wanted}");
    }
}

fn containers(count: usize) -> Value {
    let one = |index: usize| json!({"name": format!("c{index}"), "image": "nginx"});
    (0..count).map(one).collect()
}

#[test]
fn a_definition_has_a_family_and_containers() {
    let long = "a".repeat(255);
    check(
        fargate,
        vec![
            (json!({}), "OK"),
            (json!({"family": long}), "OK"),
            (json!({"family": ""}), "ClientException: Family should not be null or empty."),
            (json!({"family": "a".repeat(256)}), "ClientException: Family should not be longer than 255 characters."),
            (json!({"family": "we b"}), "ClientException: Family contains invalid characters."),
            (json!({"family": "<script>"}), "ClientException: Family contains invalid characters."),
            (json!({"family": "../web"}), "ClientException: Family contains invalid characters."),
            (json!({"family": "web:1"}), "ClientException: Family contains invalid characters."),
            (json!({"family": "\u{202e}web"}), "ClientException: Family contains invalid characters."),
            (json!({"containerDefinitions": []}), "ClientException: Container list cannot be empty."),
            (json!({"containerDefinitions": containers(10)}), "OK"),
            (
                json!({"containerDefinitions": containers(11)}),
                "ClientException: Task definitions can have at most 10 containers.",
            ),
            (
                json!({"containerDefinitions": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]}),
                "ClientException: Container names must be unique. 'a' is used more than once.",
            ),
            (json!({"app": {"essential": false}}), "ClientException: At least one container must be marked as essential."),
            (
                json!({"containerDefinitions": [
                    {"name": "a", "image": "x", "essential": false}, {"name": "b", "image": "x"}]}),
                "OK",
            ),
        ],
    );
}

#[test]
fn a_container_has_a_name_and_an_image() {
    let digest = format!("nginx@sha256:{}", "a".repeat(64));
    check(
        fargate,
        vec![
            (json!({"app": {"name": null}}), "ClientException: Container.name should not be null or empty."),
            (json!({"app": {"name": ""}}), "ClientException: Container.name should not be null or empty."),
            (json!({"app": {"name": "a b"}}), "ClientException: Container.name contains invalid characters."),
            (json!({"app": {"name": "a\u{1b}[31m"}}), "ClientException: Container.name contains invalid characters."),
            (json!({"app": {"name": "a".repeat(256)}}), "…should not be longer than 255 characters."),
            (json!({"app": {"image": null}}), "ClientException: Container.image should not be null or empty."),
            (json!({"app": {"image": ""}}), "ClientException: Container.image should not be null or empty."),
            (json!({"app": {"image": "ngi nx"}}), "ClientException: Container.image contains invalid characters."),
            (json!({"app": {"image": "-nginx"}}), "ClientException: Container.image contains invalid characters."),
            (json!({"app": {"image": "registry.local:5000/team/nginx:1.27"}}), "OK"),
            (json!({"app": {"image": digest}}), "OK"),
            (json!({"app": {"image": "nginx@sha256:abc"}}), "…digest must be sha256"),
            (json!({"app": {"image": "nginx@"}}), "…digest must be sha256"),
            (json!({"app": {"image": "a".repeat(256)}}), "…should not be longer than 255 characters."),
        ],
    );
}

#[test]
fn fargate_wants_a_size_and_a_network_of_its_own() {
    let no_pair = "ClientException: No Fargate configuration exists for given values.";
    let network = "ClientException: Fargate only supports network mode \u{2018}awsvpc\u{2019}.";
    check(
        fargate,
        vec![
            (json!({"cpu": "1 vCPU", "memory": "2GB"}), "OK"),
            (json!({"cpu": ".25 vcpu", "memory": "0.5 GB"}), "OK"),
            (json!({"cpu": "256", "memory": "1536"}), no_pair),
            (json!({"cpu": "256", "memory": "300"}), no_pair),
            (json!({"cpu": "1024", "memory": "1024"}), no_pair),
            (json!({"cpu": "300"}), "ClientException: Invalid 'cpu' setting for task."),
            (json!({"cpu": "a lot"}), "ClientException: Invalid 'cpu' setting for task."),
            (json!({"cpu": "-256"}), "ClientException: Invalid 'cpu' setting for task."),
            (json!({"memory": "1e3"}), "ClientException: Invalid 'memory' setting for task."),
            (json!({"cpu": null}), "ClientException: Fargate requires that 'cpu' be defined at the task level."),
            (json!({"memory": null}), "ClientException: Fargate requires that 'memory' be defined at the task level."),
            (json!({"networkMode": null}), network),
            (json!({"networkMode": "bridge"}), network),
            (json!({"networkMode": "host"}), network),
            (json!({"ephemeralStorage": {"sizeInGiB": 21}}), "OK"),
            (json!({"ephemeralStorage": {"sizeInGiB": 200}}), "OK"),
            (json!({"ephemeralStorage": {"sizeInGiB": 20}}), "…Invalid ephemeral storage size."),
            (json!({"ephemeralStorage": {"sizeInGiB": 201}}), "…Invalid ephemeral storage size."),
        ],
    );
}

#[test]
fn containers_fit_into_their_task() {
    let cpu = "ClientException: The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.";
    let memory =
        "ClientException: The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.";
    let two = |left: Value, right: Value| {
        json!({"containerDefinitions": [
            patched(json!({"name": "a", "image": "x", "containerDefinitions": []}), &left),
            patched(json!({"name": "b", "image": "x", "containerDefinitions": []}), &right),
        ]})
    };
    check(
        fargate,
        vec![
            (json!({"app": {"cpu": 256, "memory": 512, "memoryReservation": 512}}), "OK"),
            (json!({"app": {"cpu": 257}}), cpu),
            (two(json!({"cpu": 128}), json!({"cpu": 129})), cpu),
            (two(json!({"memory": 256}), json!({"memory": 256})), "OK"),
            (two(json!({"memory": 256}), json!({"memory": 257})), memory),
            (two(json!({"memory": 500, "memoryReservation": 256}), json!({"memory": 256})), "OK"),
            (json!({"app": {"memory": 513}}), "…The container 'memory' cannot be greater than the value of the task"),
            (json!({"app": {"memory": 128, "memoryReservation": 129}}), "…greater than or equal to 'memoryReservation'."),
            (json!({"app": {"memory": 4}}), "…Invalid 'memory' setting for container 'app'."),
            (json!({"app": {"memoryReservation": 0}}), "…Invalid 'memoryReservation' setting for container 'app'."),
            (json!({"app": {"cpu": -1}}), "…Invalid 'cpu' setting for container 'app'."),
        ],
    );
    check(
        instance,
        vec![
            (json!({}), "OK"),
            (
                json!({"app": {"memory": null}}),
                "ClientException: Invalid setting for container 'app'. At least one of 'memory' or 'memoryReservation' \
                 must be specified.",
            ),
            (json!({"app": {"memory": null, "memoryReservation": 64}}), "OK"),
            (json!({"app": {"memory": null}, "memory": "512"}), "OK"),
        ],
    );
}

#[test]
fn fargate_takes_nothing_of_the_host() {
    let refused = |what: &str| format!("ClientException: Tasks using the Fargate launch type do not support {what}.");
    let linux = |member: Value| json!({"app": {"linuxParameters": member}});
    let rows = vec![
        (json!({"app": {"privileged": true}}), refused("privileged containers")),
        (linux(json!({"devices": [{"hostPath": "/dev/fuse"}]})), refused("devices")),
        (linux(json!({"sharedMemorySize": 64})), refused("sharedMemorySize")),
        (linux(json!({"maxSwap": 64})), refused("maxSwap")),
        (linux(json!({"swappiness": 60})), refused("swappiness")),
        (
            linux(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            refused("adding capabilities other than SYS_PTRACE"),
        ),
        (json!({"app": {"dnsServers": ["10.0.0.2"]}}), refused("dnsServers")),
        (json!({"app": {"dnsSearchDomains": ["corp.local"]}}), refused("dnsSearchDomains")),
        (json!({"app": {"dockerSecurityOptions": ["no-new-privileges"]}}), refused("dockerSecurityOptions")),
        (json!({"app": {"resourceRequirements": [{"type": "GPU", "value": "1"}]}}), refused("resourceRequirements")),
        (json!({"app": {"logConfiguration": {"logDriver": "json-file"}}}), refused("log driver json-file")),
        (json!({"volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}]}), refused("volumes with a host sourcePath")),
        (
            json!({"volumes": [{"name": "v", "dockerVolumeConfiguration": {"scope": "task"}}]}),
            refused("dockerVolumeConfiguration"),
        ),
        (json!({"ipcMode": "host"}), refused("ipcMode")),
        (json!({"pidMode": "host"}), refused("pidMode host")),
        (json!({"placementConstraints": [{"type": "memberOf", "expression": "a == b"}]}), refused("placementConstraints")),
    ];
    check(fargate, rows.iter().map(|(patch, wanted)| (patch.clone(), wanted.as_str())).collect());
    check(
        fargate,
        vec![
            (linux(json!({"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}})), "OK"),
            (linux(json!({"initProcessEnabled": true, "tmpfs": [{"containerPath": "/tmp", "size": 64}]})), "OK"),
            (json!({"pidMode": "task"}), "OK"),
            (json!({"app": {"links": ["x"]}}), "ClientException: links is not supported on container when networkMode=awsvpc."),
            (
                json!({"app": {"hostname": "x"}}),
                "ClientException: hostname is not supported on container when networkMode=awsvpc.",
            ),
            (
                json!({"app": {"extraHosts": [{"hostname": "a", "ipAddress": "1.2.3.4"}]}}),
                "ClientException: extraHosts is not supported on container when networkMode=awsvpc.",
            ),
            (
                json!({"app": {"disableNetworking": true}}),
                "ClientException: disableNetworking is not supported on container when networkMode=awsvpc.",
            ),
        ],
    );
}

#[test]
fn fargate_fetches_with_the_execution_role() {
    let needs =
        |what: &str| format!("ClientException: Fargate requires task definition to have execution role ARN to support {what}.");
    let logs = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}});
    let rows = [
        (json!({"app": {"logConfiguration": logs}}), "log driver awslogs"),
        (json!({"app": {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1"}}), "ECR images"),
        (json!({"app": {"secrets": [{"name": "A", "valueFrom": "parameter"}]}}), "secrets"),
        (json!({"app": {"repositoryCredentials": {"credentialsParameter": "arn"}}}), "repositoryCredentials"),
        (
            json!({"app": {"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/a.env"}]}}),
            "environmentFiles",
        ),
    ];
    let mut world = World::new();
    for (patch, what) in rows {
        assert_eq!(outcome(&mut world, patched(fargate(), &patch)), "OK", "{patch}");
        let without = patched(patched(fargate(), &patch), &json!({"executionRoleArn": null}));
        assert_eq!(outcome(&mut world, without), needs(what));
    }
}

#[test]
fn roles_are_names_or_arns() {
    check(
        fargate,
        vec![
            (json!({"taskRoleArn": "arn:aws:iam::123456789012:role/app"}), "OK"),
            (json!({"taskRoleArn": "arn:aws:iam::123456789012:role/path/app"}), "OK"),
            (json!({"taskRoleArn": "app"}), "OK"),
            (json!({"taskRoleArn": ""}), "OK"),
            (json!({"taskRoleArn": "arn:aws:iam::123456789:role/app"}), "ClientException: Role is not valid"),
            (json!({"taskRoleArn": "arn:aws:iam::123456789012:user/app"}), "ClientException: Role is not valid"),
            (json!({"taskRoleArn": "arn:aws:iam::123456789012:role/"}), "ClientException: Role is not valid"),
            (json!({"taskRoleArn": "arn:aws:s3::123456789012:role/app"}), "ClientException: Role is not valid"),
            (json!({"executionRoleArn": "a b"}), "ClientException: Role is not valid"),
        ],
    );
}

#[test]
fn ports_are_told_apart() {
    let ports = |list: Value| json!({"app": {"portMappings": list}});
    let twice = |network: &str, left: Value, right: Value| {
        json!({"networkMode": network, "containerDefinitions": [
            {"name": "a", "image": "x", "memory": 64, "portMappings": left},
            {"name": "b", "image": "x", "memory": 64, "portMappings": right}]})
    };
    check(
        fargate,
        vec![
            (ports(json!([{"containerPort": 80}])), "OK"),
            (ports(json!([{"containerPort": 80, "hostPort": 80}])), "OK"),
            (
                ports(json!([{"containerPort": 80, "hostPort": 8080}])),
                "ClientException: When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
            ),
            (ports(json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "udp"}])), "OK"),
            (ports(json!([{"containerPort": 80}, {"containerPort": 80}])), "…Port 80/tcp is mapped more than once."),
            (ports(json!([{}])), "ClientException: Invalid 'containerPort' setting for container 'app'."),
            (ports(json!([{"containerPort": 0}])), "ClientException: Invalid 'containerPort' setting for container 'app'."),
            (ports(json!([{"containerPort": 65536}])), "…Invalid 'containerPort' setting"),
            (ports(json!([{"containerPort": -1}])), "…Invalid 'containerPort' setting"),
            (ports(json!([{"containerPort": 80, "name": "http", "appProtocol": "http"}])), "OK"),
            (ports(json!([{"containerPort": 80, "appProtocol": "http"}])), "…It requires a port mapping with a name."),
            (ports(json!([{"containerPort": 80, "name": "HTTP"}])), "…Invalid 'portMappings.name' setting"),
            (ports(json!([{"containerPort": 80, "name": "-a"}])), "…Invalid 'portMappings.name' setting"),
            (
                ports(json!([{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}])),
                "ClientException: Port mapping names must be unique. 'a' is used more than once.",
            ),
            (ports(json!([{"containerPortRange": "8000-8010"}])), "OK"),
            (ports(json!([{"containerPortRange": "8010-8000"}])), "…Invalid 'containerPortRange' setting"),
            (ports(json!([{"containerPortRange": "8000-70000"}])), "…Invalid 'containerPortRange' setting"),
            (ports(json!([{"containerPortRange": "8000-8010"}, {"containerPort": 8005}])), "…mapped more than once."),
            (twice("awsvpc", json!([{"containerPort": 80}]), json!([{"containerPort": 80}])), "…mapped more than once."),
        ],
    );
    check(
        instance,
        vec![
            (twice("bridge", json!([{"containerPort": 80}]), json!([{"containerPort": 80}])), "OK"),
            (
                twice("bridge", json!([{"containerPort": 80, "hostPort": 8080}]), json!([{"containerPort": 81, "hostPort": 8080}])),
                "…Port 8080/tcp is mapped more than once.",
            ),
            (ports(json!([{"containerPort": 80, "hostPort": 0}])), "OK"),
            (ports(json!([{"containerPort": 80, "hostPort": 22}])), "…The port is reserved."),
            (ports(json!([{"containerPort": 80, "hostPort": 65536}])), "…Invalid 'hostPort' setting"),
            (
                json!({"networkMode": "none", "app": {"portMappings": [{"containerPort": 80}]}}),
                "ClientException: Port mappings are not supported when networkMode=none.",
            ),
        ],
    );
}

#[test]
fn dependencies_lead_somewhere_and_never_round() {
    let task = |containers: Value| json!({"containerDefinitions": containers});
    let one = |name: &str, on: &[(&str, &str)]| {
        let on: Vec<Value> = on.iter().map(|(name, when)| json!({"containerName": name, "condition": when})).collect();
        json!({"name": name, "image": "x", "memory": 64, "dependsOn": on, "essential": name == "app"})
    };
    let cycle = "ClientException: Cyclic dependency found between containers in the task definition.";
    let healthy = json!({"name": "db", "image": "x", "memory": 64, "healthCheck": {"command": ["CMD-SHELL", "true"]}});
    check(
        instance,
        vec![
            (task(json!([one("app", &[("db", "START")]), one("db", &[])])), "OK"),
            (task(json!([one("app", &[("db", "SUCCESS")]), one("db", &[])])), "OK"),
            (
                task(json!([one("app", &[]), one("db", &[("app", "COMPLETE")])])),
                "ClientException: A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
            ),
            (
                task(json!([one("app", &[("db", "HEALTHY")]), one("db", &[])])),
                "ClientException: A dependency container with HEALTHY condition must have a health check configured",
            ),
            (task(json!([one("app", &[("db", "HEALTHY")]), healthy])), "OK"),
            (task(json!([one("app", &[("gone", "START")])])), "…Container 'gone' is not defined in the task definition."),
            (task(json!([one("app", &[("app", "START")])])), cycle),
            (task(json!([one("app", &[("db", "START")]), one("db", &[("app", "START")])])), cycle),
            (
                task(json!([
                    one("app", &[("a", "START")]),
                    one("a", &[("b", "START")]),
                    one("b", &[("c", "START")]),
                    one("c", &[("a", "START")])
                ])),
                cycle,
            ),
            (
                task(json!([one("app", &[("a", "START"), ("b", "START")]), one("a", &[("b", "START")]), one("b", &[])])),
                "OK",
            ),
            (
                task(json!([one("app", &[("db", "START"), ("db", "START")]), one("db", &[])])),
                "…A container can be depended on only once.",
            ),
            (json!({"app": {"links": ["gone:db"]}}), "…refers to container 'gone', which is not defined"),
            (json!({"app": {"volumesFrom": [{"sourceContainer": "gone"}]}}), "…refers to container 'gone'"),
            (json!({"app": {"volumesFrom": [{"sourceContainer": "app"}]}}), "…cannot mount volumes from itself."),
        ],
    );
}

#[test]
fn volumes_are_named_and_stay_out_of_the_host() {
    let volume = |volume: Value| json!({"volumes": [volume]});
    let host = |path: &str| json!({"volumes": [{"name": "v", "host": {"sourcePath": path}}]});
    let mount = |mounts: Value| json!({"volumes": [{"name": "v"}], "app": {"mountPoints": mounts}});
    check(
        instance,
        vec![
            (volume(json!({"name": "v"})), "OK"),
            (volume(json!({})), "ClientException: Volume.name should not be null or empty."),
            (volume(json!({"name": "a/b"})), "ClientException: Volume.name contains invalid characters."),
            (json!({"volumes": [{"name": "v"}, {"name": "v"}]}), "…Volume names must be unique."),
            (
                volume(json!({"name": "v", "host": {}, "dockerVolumeConfiguration": {"scope": "task"}})),
                "…Only one kind of configuration can be specified.",
            ),
            (
                json!({"volumes": [{"name": "a", "configuredAtLaunch": true}, {"name": "b", "configuredAtLaunch": true}]}),
                "…at most one volume that is configured at launch.",
            ),
            (host("/srv/data"), "OK"),
            (host("/"), "…sourcePath must not be the root of the host."),
            (host("/./"), "…sourcePath must not be the root of the host."),
            (host("srv"), "…sourcePath must be an absolute path without '..'."),
            (host("/srv/../etc"), "…sourcePath must be an absolute path without '..'."),
            (host("/srv//x"), "…sourcePath must be a plain path."),
            (host("/proc"), "…a part of the host that is not shared."),
            (host("/proc/1/root"), "…a part of the host that is not shared."),
            (host("/var/run/docker.sock"), "…a part of the host that is not shared."),
            (host("/procedures"), "OK"),
            (
                volume(json!({"name": "v", "dockerVolumeConfiguration": {"scope": "task", "autoprovision": true}})),
                "…autoprovision is supported only for the scope shared.",
            ),
            (
                volume(json!({"name": "v", "efsVolumeConfiguration": {
                    "fileSystemId": "fs-1", "authorizationConfig": {"iam": "ENABLED"}}})),
                "…requires transit encryption.",
            ),
            (mount(json!([{"sourceVolume": "v", "containerPath": "/data"}])), "OK"),
            (mount(json!([{"sourceVolume": "w", "containerPath": "/data"}])), "ClientException: Unknown volume 'w'."),
            (mount(json!([{"containerPath": "/data"}])), "ClientException: Unknown volume ''."),
            (mount(json!([{"sourceVolume": "v"}])), "…containerPath must be an absolute path"),
            (mount(json!([{"sourceVolume": "v", "containerPath": "/"}])), "…containerPath must be an absolute path"),
            (mount(json!([{"sourceVolume": "v", "containerPath": "/a/../b"}])), "…containerPath must be an absolute path"),
            (
                mount(json!([{"sourceVolume": "v", "containerPath": "/d"}, {"sourceVolume": "v", "containerPath": "/d"}])),
                "…A containerPath is used more than once.",
            ),
        ],
    );
}

#[test]
fn the_environment_holds_what_a_process_can_be_given() {
    let env = |name: &str, value: &str| json!({"app": {"environment": [{"name": name, "value": value}]}});
    check(
        fargate,
        vec![
            (env("A", "1"), "OK"),
            (env("A", ""), "OK"),
            (env("A", "two\nlines"), "OK"),
            (env("LD_PRELOAD", "/lib/x.so"), "OK"),
            (env("", "1"), "…A variable name should not be null or empty."),
            (env("A=B", "1"), "…A variable name contains invalid characters."),
            (env("A\nB", "1"), "…A variable name contains invalid characters."),
            (json!({"app": {"environment": [{"value": "1"}]}}), "…A variable name should not be null or empty."),
            (
                json!({"app": {"environment": [{"name": "A", "value": "1"}], "secrets": [{"name": "A", "valueFrom": "p"}]}}),
                "…such as 'A'.",
            ),
            (
                json!({"app": {"secrets": [{"name": "A", "valueFrom": "p"}, {"name": "A", "valueFrom": "q"}]}}),
                "…such as 'A'.",
            ),
            (json!({"app": {"secrets": [{"name": "A", "valueFrom": ""}]}}), "…valueFrom should not be null or empty."),
            (
                json!({"app": {"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.txt"}]}}),
                "…It must be the ARN of an S3 object that ends in .env.",
            ),
        ],
    );
}

#[test]
fn checks_policies_and_timeouts_have_bounds() {
    let health = |patch: Value| {
        let mut check = json!({"command": ["CMD-SHELL", "true"]});
        check.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        json!({"app": {"healthCheck": check}})
    };
    let policy = |policy: Value| json!({"app": {"restartPolicy": policy}});
    check(
        fargate,
        vec![
            (health(json!({})), "OK"),
            (health(json!({"interval": 5, "timeout": 2, "retries": 1, "startPeriod": 0})), "OK"),
            (health(json!({"interval": 4})), "…'healthCheck.interval' setting for container 'app'. It must be between 5 and 300."),
            (health(json!({"interval": 301})), "…healthCheck.interval"),
            (health(json!({"timeout": 61})), "…healthCheck.timeout"),
            (health(json!({"retries": 11})), "…healthCheck.retries"),
            (health(json!({"startPeriod": 301})), "…healthCheck.startPeriod"),
            (health(json!({"command": []})), "…The command must start with CMD or CMD-SHELL."),
            (health(json!({"command": ["curl", "x"]})), "…The command must start with CMD or CMD-SHELL."),
            (health(json!({"command": ["CMD"]})), "…The command must start with CMD or CMD-SHELL."),
            (policy(json!({"enabled": true})), "OK"),
            (policy(json!({"enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": [0, 255]})), "OK"),
            (policy(json!({"enabled": true, "restartAttemptPeriod": 59})), "…restartPolicy.restartAttemptPeriod"),
            (policy(json!({"enabled": true, "restartAttemptPeriod": 1801})), "…restartPolicy.restartAttemptPeriod"),
            (policy(json!({"enabled": true, "ignoredExitCodes": [256]})), "…restartPolicy.ignoredExitCodes"),
            (policy(json!({"enabled": true, "ignoredExitCodes": vec![1; 51]})), "…It can have at most 50 items."),
            (policy(json!({"enabled": false, "restartAttemptPeriod": 60})), "…require that it be enabled."),
            (json!({"app": {"startTimeout": 2, "stopTimeout": 120}}), "OK"),
            (json!({"app": {"startTimeout": 1}}), "…Invalid 'startTimeout' setting"),
            (json!({"app": {"stopTimeout": 121}}), "…Invalid 'stopTimeout' setting"),
        ],
    );
    check(instance, vec![(json!({"app": {"stopTimeout": 600}}), "OK"), (json!({"app": {"stopTimeout": 0}}), "…stopTimeout")]);
}

#[test]
fn the_kernel_is_asked_for_what_a_container_may_have() {
    let limit = |name: &str, soft: i64, hard: i64| {
        json!({"app": {"ulimits": [{"name": name, "softLimit": soft, "hardLimit": hard}]}})
    };
    let control = |key: &str, value: &str| json!({"app": {"systemControls": [{"namespace": key, "value": value}]}});
    let linux = |member: Value| json!({"app": {"linuxParameters": member}});
    let namespaced = "…Only namespaced kernel parameters are supported.";
    check(
        instance,
        vec![
            (limit("nofile", 1024, 65_535), "OK"),
            (limit("nofile", 65_536, 65_535), "…Invalid 'ulimits' setting"),
            (limit("nofile", 1024, 2_000_000), "…Invalid 'ulimits' setting"),
            (limit("nofile", -1, -1), "…Invalid 'ulimits' setting"),
            (limit("memlock", -1, -1), "OK"),
            (limit("core", -2, 0), "…Invalid 'ulimits' setting"),
            (control("net.core.somaxconn", "1024"), "OK"),
            (control("kernel.shmmax", "68719476736"), "OK"),
            (control("fs.mqueue.msg_max", "10"), "OK"),
            (control("vm.overcommit_memory", "1"), namespaced),
            (control("kernel.panic", "1"), namespaced),
            (control("net", "1"), namespaced),
            (control("net/../kernel.panic", "1"), namespaced),
            (control("net..core", "1"), namespaced),
            (control("net.core.somaxconn", ""), "…A value should not be null or empty."),
            (
                json!({"networkMode": "host", "app": {"systemControls": [{"namespace": "net.core.somaxconn", "value": "1"}]}}),
                "…The namespace is the host's.",
            ),
            (linux(json!({"capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]}})), "OK"),
            (linux(json!({"capabilities": {"add": ["CAP_NET_ADMIN"]}})), "…Invalid 'capabilities' setting"),
            (linux(json!({"capabilities": {"drop": ["EVERYTHING"]}})), "…Invalid 'capabilities' setting"),
            (linux(json!({"sharedMemorySize": 64, "maxSwap": 0, "swappiness": 100})), "OK"),
            (linux(json!({"sharedMemorySize": 0})), "…Invalid 'sharedMemorySize' setting"),
            (linux(json!({"swappiness": 101})), "…Invalid 'swappiness' setting"),
            (linux(json!({"maxSwap": -1})), "…Invalid 'maxSwap' setting"),
            (linux(json!({"devices": [{"hostPath": "/dev/fuse", "permissions": ["read"]}]})), "OK"),
            (linux(json!({"devices": [{"hostPath": "/dev/../etc"}]})), "…Invalid 'devices' setting"),
            (linux(json!({"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["noexec", "mode=1777"]}]})), "OK"),
            (linux(json!({"tmpfs": [{"containerPath": "/t", "size": 0}]})), "…Invalid 'tmpfs.size' setting"),
            (linux(json!({"tmpfs": [{"containerPath": "/", "size": 1}]})), "…Invalid 'tmpfs' setting"),
            (
                linux(json!({"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["x,y"]}]})),
                "…A mount option is not known.",
            ),
        ],
    );
}

#[test]
fn log_drivers_have_their_options() {
    let logs = |driver: &str, options: Value| json!({"app": {"logConfiguration": {"logDriver": driver, "options": options}}});
    let awslogs = |patch: Value| {
        let mut options = json!({"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"});
        options.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        logs("awslogs", options)
    };
    check(
        fargate,
        vec![
            (awslogs(json!({"awslogs-create-group": "true", "mode": "non-blocking", "max-buffer-size": "25m"})), "OK"),
            (
                logs("awslogs", json!({"awslogs-stream-prefix": "p"})),
                "ClientException: Log driver awslogs requires options: awslogs-region, awslogs-group",
            ),
            (
                logs("awslogs", json!({"awslogs-group": "g", "awslogs-region": "r"})),
                "ClientException: Log driver awslogs requires options: awslogs-stream-prefix",
            ),
            (
                awslogs(json!({"awslogs-groups": "x"})),
                "ClientException: Log driver awslogs disallows options: awslogs-groups",
            ),
            (awslogs(json!({"mode": "fast"})), "…mode must be blocking or non-blocking."),
            (awslogs(json!({"max-buffer-size": "25mb"})), "…max-buffer-size must be a size"),
            (awslogs(json!({"awslogs-create-group": "yes"})), "…awslogs-create-group must be true or false."),
            (
                awslogs(json!({"awslogs-datetime-format": "%Y", "awslogs-multiline-pattern": "^x"})),
                "…exclude each other.",
            ),
            (logs("splunk", json!({})), "ClientException: Log driver splunk requires options: splunk-token, splunk-url"),
            (logs("awsfirelens", json!({})), "…exactly one container must have a firelensConfiguration."),
        ],
    );
    check(
        instance,
        vec![
            (logs("json-file", json!({"max-size": "10m"})), "OK"),
            (logs("awslogs", json!({"awslogs-group": "g", "awslogs-region": "r"})), "OK"),
        ],
    );
}

/// W14: 64 KiB and a byte.
#[test]
fn a_definition_has_a_longest_length() {
    let mut world = World::new();
    let long = |length: usize| patched(fargate(), &json!({"app": {"command": ["x".repeat(length)]}}));
    assert_eq!(outcome(&mut world, long(64 * 1024 - 2048)), "OK");
    let refused = outcome(&mut world, long(64 * 1024));
    assert!(refused.starts_with("ClientException: Actual length: '"), "{refused}");
    assert!(refused.ends_with("Max allowed length is '65536' bytes."), "{refused}");
}
