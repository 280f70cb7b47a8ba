//! From order to report.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::node::Node;
use crate::plane::{self, arn};

const FOREVER: &str = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done";

fn host_config(config: Value) -> Value {
    config.to_string().into()
}

pub async fn a_task_runs_in_a_container_and_stops_when_ordered(node: Arc<Node>) {
    let task = node.run(FOREVER, |_| {}).await;
    let running = node.plane.report(&task, "RUNNING").await;
    let container = &running["containers"][0];
    assert_eq!(container["status"], "RUNNING");
    assert!(container["imageDigest"].as_str().unwrap().starts_with("sha256:"), "{running}");
    let id = task.rsplit('/').next().unwrap();
    assert!(container["runtimeId"].as_str().unwrap().starts_with(id), "{running}");
    node.said(&task, "ready").await;
    let root = std::fs::read_link(format!("/proc/{}/ns/mnt", node.pid(&task))).unwrap();
    assert_ne!(root, std::fs::read_link("/proc/self/ns/mnt").unwrap());
    let stopped = node.stop(&task).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped}");
    assert_eq!(stopped["reason"], Value::Null);
    node.gone(&task).await;
}

pub async fn an_exit_code_is_reported_with_its_reason(node: Arc<Node>) {
    let task = node.run("sleep 0.2; exit 3", |_| {}).await;
    let stopped = node.plane.report(&task, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 3);
    assert_eq!(stopped["reason"], "Essential container in task exited");
    node.gone(&task).await;
}

pub async fn an_image_that_is_not_there_is_said_to_be(node: Arc<Node>) {
    let task = node.begin("true", |task| task["containers"][0]["image"] = "127.0.0.1:1/nothing:here".into()).await;
    let stopped = node.plane.report(&task, "STOPPED").await;
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    assert_eq!(stopped["containers"][0]["reason"], reason);
    node.gone(&task).await;
    let task = node.begin("true", |task| task["containers"][0]["image"] = "UPPER/../x".into()).await;
    let stopped = node.plane.report(&task, "STOPPED").await;
    assert!(stopped["reason"].as_str().unwrap().starts_with("CannotPullContainerError: "), "{stopped}");
}

pub async fn an_order_that_cannot_be_carried_out_says_why(node: Arc<Node>) {
    type Change = fn(&mut Value);
    let rows: [(Change, &str); 6] = [
        (|task| task["containers"][0]["command"] = json!(["/no/such/program"]), "no/such/program"),
        (|task| task["containers"][0]["environment"] = json!({"A": "b\u{0}c"}), "zero byte"),
        (
            |task| task["containers"][0]["dockerConfig"]["hostConfig"] = host_config(json!({"Privileged": true})),
            "Fargate",
        ),
        (
            |task| {
                task["elasticNetworkInterfaces"][0]["ipv4Addresses"][0]["privateAddress"] = "10.9.9.9".into();
            },
            "network interface",
        ),
        (
            |task| task["volumes"] = json!([{"name": "v", "host": {"sourcePath": "/var/run/docker.sock"}}]),
            "cannot be mounted",
        ),
        (|task| task["containers"][0]["dockerConfig"]["config"] = "{".into(), "does not read"),
    ];
    for (change, expected) in rows {
        let task = node.begin("sleep 5", change).await;
        let stopped = node.plane.report(&task, "STOPPED").await;
        let told = format!("{} {}", stopped["reason"], stopped["containers"][0]["reason"]);
        assert!(told.contains(expected), "{expected}: {stopped}");
        assert_eq!(node.plane.statuses(&task), ["STOPPED"]);
        node.gone(&task).await;
    }
}

pub async fn a_task_that_is_stopped_while_it_starts_stops(node: Arc<Node>) {
    let task = node.begin(FOREVER, |_| {}).await;
    node.stop(&task).await;
    node.gone(&task).await;
    let ends = node.plane.statuses(&task);
    assert_eq!(ends.iter().filter(|status| *status == "STOPPED").count(), 1, "{ends:?}");
}

pub async fn a_task_has_its_address_names_and_environment(node: Arc<Node>) {
    let script = "ip addr show eth0; cat /etc/hosts /etc/resolv.conf; hostname; env; pwd; echo done; sleep 60";
    let task = node.run(script, |task| {
        let container = &mut task["containers"][0];
        container["environment"] = json!({"COLOUR": "blue green"});
        container["dockerConfig"]["config"] = host_config(json!({"WorkingDir": "/tmp"}));
    });
    let task = task.await;
    let output = node.said(&task, "done").await;
    let address = output.lines().find_map(|line| line.trim().strip_prefix("inet 172.31.")).unwrap().to_owned();
    let address = format!("172.31.{}", address.split('/').next().unwrap());
    let name = format!("ip-{}.ec2.internal", address.replace('.', "-"));
    for expected in [
        format!("{address} {name}"),
        "nameserver 172.31.0.2".to_owned(),
        format!("HOSTNAME={name}"),
        "COLOUR=blue green".to_owned(),
        "AWS_REGION=us-east-1".to_owned(),
        "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/".to_owned(),
        "\n/tmp\n".to_owned(),
    ] {
        assert!(output.contains(&expected), "{expected} in {output}");
    }
    node.stop(&task).await;
}

pub async fn two_containers_share_the_network_and_volumes(node: Arc<Node>) {
    let script = "while ! wget -qO- http://127.0.0.1:8080/hello; do sleep 0.05; done; sleep 60";
    let task = node.run(script, |task| {
        let mut other = task["containers"][0].clone();
        other["name"] = "other".into();
        other["command"] = json!(["/bin/sh", "-c", "echo shared > /data/hello; httpd -f -p 8080 -h /data"]);
        other["mountPoints"] = json!([{"sourceVolume": "v", "containerPath": "/data"}]);
        task["containers"][0]["mountPoints"] =
            json!([{"sourceVolume": "v", "containerPath": "/mine", "readOnly": true}]);
        task["containers"].as_array_mut().unwrap().push(other);
        task["volumes"] = json!([{"name": "v"}]);
    });
    let task = task.await;
    node.said(&task, "shared").await;
    node.stop(&task).await;
    node.gone(&task).await;
}

pub async fn a_public_address_answers_on_the_host(node: Arc<Node>) {
    let registered = node.plane.calls("RegisterContainerInstance").remove(0);
    let attributes = registered["attributes"].as_array().unwrap();
    let pool = attributes.iter().find(|attribute| attribute["name"] == "longshore.public-pool").unwrap();
    let public = pool["value"].as_str().unwrap().replace(".0/24", ".77");
    let task = node.run("echo hello > /tmp/index.html; httpd -f -p 80 -h /tmp", |task| {
        task["elasticNetworkInterfaces"][0]["publicIpv4Address"] = public.clone().into();
    });
    let task = task.await;
    let command = format!(
        "for i in $(seq 300); do curl -m 2 -sSf http://{public}/ && exit; sleep 0.1; done; ip route get {public}; exit 1"
    );
    let (reached, output) = node.host(None, &command).await;
    assert!(reached && output.contains("hello"), "{output}");
    node.stop(&task).await;
    node.gone(&task).await;
}

pub async fn health_is_told(node: Arc<Node>) {
    let mut telemetry = node.plane.tcs().await;
    let task = node.run("sleep 1000", |task| {
        let container = &mut task["containers"][0];
        let check = json!({"Test": ["CMD-SHELL", "test -e /tmp/well"], "Interval": 1_000_000_000, "Retries": 1000});
        container["dockerConfig"]["config"] = host_config(json!({"Healthcheck": check}));
        container["healthCheckType"] = "DOCKER".into();
    });
    let task = task.await;
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "HEALTHY") {
        let told = telemetry.recv("PublishHealthRequest").await;
        let tasks = told["tasks"].as_array().unwrap();
        if let Some(own) = tasks.iter().find(|own| own["taskArn"] == *task) {
            words.push(own["containers"][0]["healthStatus"].as_str().unwrap().to_owned());
            std::fs::write(node.inside(&task, "tmp/well"), "").unwrap();
        }
    }
    assert_eq!(words[0], "UNKNOWN");
    node.stop(&task).await;
}

/// Of a task whose containers wait for each other.
pub async fn stages_that_last_are_told(node: Arc<Node>) {
    let task = node.begin("sleep 0.2; exit 4", |task| {
        let mut first = task["containers"][0].clone();
        first["name"] = "first".into();
        first["essential"] = false.into();
        first["command"] = json!(["/bin/sleep", "1.5"]);
        let mut beside = first.clone();
        beside["name"] = "beside".into();
        beside["command"] = json!(["/bin/sh", "-c", "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.05; done"]);
        beside["stopTimeout"] = 10.into();
        task["containers"][0]["dependsOn"] = json!([{"containerName": "first", "condition": "SUCCESS"}]);
        task["containers"].as_array_mut().unwrap().extend([first, beside]);
    });
    let task = task.await;
    let activating = node
        .plane
        .call_where("SubmitTaskStateChange", |told| {
            told["task"] == *task && told["status"] == "ACTIVATING" && told["containers"] != json!([])
        })
        .await;
    assert_eq!(activating["containers"][0]["status"], "PENDING", "{activating}");
    let running = node.plane.report(&task, "RUNNING").await;
    assert_eq!(running["containers"][1]["exitCode"], 0, "{running}");
    let stopping = node.plane.report(&task, "STOPPING").await;
    assert_eq!(stopping["containers"][2]["status"], "RUNNING", "{stopping}");
    let stopped = node.plane.report(&task, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 4, "{stopped}");
    node.gone(&task).await;
}

pub async fn a_task_whose_last_lines_take_their_time_is_deprovisioning(node: Arc<Node>) {
    for _ in 0..3 {
        node.plane.script("PutLogEvents", 500, json!({"__type": "InternalFailure"}));
    }
    let task = node.begin("echo last words; exit 4", |task| {
        let options = json!({"awslogs-group": "/g", "awslogs-stream-prefix": "s"});
        task["containers"][0]["dockerConfig"]["hostConfig"] =
            host_config(json!({"LogConfig": {"Type": "awslogs", "Config": options}}));
    });
    let task = task.await;
    let told = node.plane.report(&task, "DEPROVISIONING").await;
    assert_eq!((&told["containers"][0]["status"], &told["containers"][0]["exitCode"]), (&json!("STOPPED"), &json!(4)));
    node.plane.report(&task, "STOPPED").await;
    assert_eq!(node.plane.statuses(&task), ["RUNNING", "STOPPED"]);
    let sent = node.plane.calls("PutLogEvents");
    assert!(sent.iter().all(|call| call["logEvents"][0]["message"] == "last words"), "{sent:?}");
    node.gone(&task).await;
}

pub async fn many_tasks_start_and_leave_nothing(node: Arc<Node>) {
    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let task = node.run(FOREVER, |_| {}).await;
        times.push(begun.elapsed());
        node.stop(&task).await;
        node.gone(&task).await;
    }
    times.sort();
    println!("order → RUNNING reported, one after the other: p50 {:.1?}, slowest {:.1?}", times[10], times[19]);
    let first = 50_000;
    let tasks: Vec<Value> = (first..first + 20)
        .map(|number| {
            let mut task = plane::task(number % 3000, "RUNNING");
            task["arn"] = arn(number).into();
            task["containers"][0]["image"] = "busybox:latest".into();
            task["containers"][0]["command"] = json!(["/bin/sleep", "1000"]);
            task["containers"][0]["stopTimeout"] = 0.into();
            task
        })
        .collect();
    let begun = Instant::now();
    for task in &tasks {
        node.order(task).await;
    }
    for number in first..first + 20 {
        node.plane.report(&arn(number), "RUNNING").await;
    }
    let took = begun.elapsed();
    println!("twenty at once: {took:.1?}, {:.0} a second", 20.0 / took.as_secs_f64());
    for mut task in tasks {
        task["desiredStatus"] = "STOPPED".into();
        node.order(&task).await;
    }
    for number in first..first + 20 {
        node.plane.report(&arn(number), "STOPPED").await;
        node.gone(&arn(number)).await;
    }
}
