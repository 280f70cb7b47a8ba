//! The task metadata endpoint, from inside. Row N1.

use std::fs::File;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use crate::node::Node;
use crate::plane::NODE;

const URL: &str = "http://169.254.170.2";

/// Bytes of a request line and headers that are read.
const LONGEST_HEAD: usize = 8 * 1024;

async fn idle(node: &Node) -> String {
    node.run("sleep 1000", |task| {
        task["availabilityZone"] = "us-east-1a".into();
        task["serviceName"] = "my-web-app".into();
    })
    .await
}

/// What a path answers inside the task.
async fn get(node: &Node, task: &str, path: &str) -> Value {
    let (done, text) = node.host(Some(task), &format!("curl -m 60 -sf '{URL}{path}'")).await;
    assert!(done, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// The status line that a raw request gets inside the task.
async fn raw(node: &Node, task: &str, request: &str) -> String {
    let command = format!("printf '{request}' | busybox nc -w 60 169.254.170.2 80 | head -n 1");
    node.host(Some(task), &command).await.1.trim().to_owned()
}

async fn id(node: &Node, task: &str) -> String {
    let running = node.plane.report(task, "RUNNING").await;
    running["containers"][0]["runtimeId"].as_str().unwrap().to_owned()
}

pub async fn the_endpoint_tells_container_and_task(node: Arc<Node>) {
    // By the container's own means first.
    let script = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task; echo; echo done; sleep 1000";
    let own = node.run(script, |_| {}).await;
    let output = node.said(&own, "done").await;
    assert!(output.contains(&format!("\"TaskARN\":\"{own}\"")), "{output}");
    node.stop(&own).await;

    let task = idle(&node).await;
    let id = id(&node, &task).await;
    let container = get(&node, &task, &format!("/v4/{id}")).await;
    assert_eq!(container["DockerId"], id);
    assert_eq!((&container["Name"], &container["KnownStatus"]), (&"web".into(), &"RUNNING".into()));
    assert_eq!(container["Labels"]["com.amazonaws.ecs.task-arn"], task);
    assert_eq!(container["LogDriver"], "json-file");
    let network = &container["Networks"][0];
    assert_eq!(network["NetworkMode"], "awsvpc");
    assert!(network["IPv4Addresses"][0].as_str().unwrap().starts_with("172.31."), "{network}");
    assert_eq!(network["IPv4SubnetCIDRBlock"], "172.31.0.0/20");
    assert!(container["StartedAt"].as_str().unwrap().ends_with('Z'), "{container}");
    for path in [format!("/v4/{id}/task"), format!("/v3/{id}/task"), "/v2/metadata".to_owned()] {
        let document = get(&node, &task, &path).await;
        assert_eq!(document["TaskARN"], task, "{path}");
        assert_eq!((&document["Family"], &document["Revision"]), (&"web".into(), &"1".into()));
        assert_eq!(document["Cluster"], "arn:aws:ecs:us-east-1:000000000000:cluster/production");
        assert_eq!(
            (&document["KnownStatus"], &document["AvailabilityZone"]),
            (&"RUNNING".into(), &"us-east-1a".into())
        );
        assert_eq!(document["Limits"]["CPU"], 0.25);
        assert_eq!(document["Containers"][0]["DockerId"], id);
        assert!(document["PullStartedAt"].is_string());
    }
    let document = get(&node, &task, &format!("/v4/{id}/task")).await;
    assert_eq!((&document["LaunchType"], &document["ServiceName"]), (&"FARGATE".into(), &"my-web-app".into()));
    node.stop(&task).await;
}

/// A node of Fargate's has no tags to tell; those of a task are asked for in the name of its account.
pub async fn tags_are_those_of_the_task(node: Arc<Node>) {
    let own = idle(&node).await;
    let other = node.usual("sleep 1000", |task| {
        task["arn"] = task["arn"].as_str().unwrap().replace(":000000000000:", ":111122223333:").into();
    });
    node.order(&other).await;
    let other = other["arn"].as_str().unwrap().to_owned();
    for (task, key) in [(&own, "NODEKEY"), (&other, "111122223333")] {
        let id = id(&node, task).await;
        let tagged = get(&node, task, &format!("/v4/{id}/taskWithTags")).await;
        assert_eq!(tagged["TaskTags"]["team"], "dock");
        assert_eq!((&tagged["ContainerInstanceTags"], &tagged["Errors"]), (&Value::Null, &Value::Null), "{tagged}");
        assert_eq!(node.plane.keys("ListTagsForResource").last().unwrap(), key);
    }
    assert!(!node.plane.calls("ListTagsForResource").iter().any(|input| input["resourceArn"] == NODE));
    node.plane.script("ListTagsForResource", 400, json!({"__type": "ClientException", "message": "no"}));
    let id = id(&node, &own).await;
    let without = get(&node, &own, &format!("/v4/{id}/taskWithTags")).await;
    assert_eq!((&without["TaskARN"], &without["Errors"][0]["ErrorField"]), (&own.clone().into(), &"TaskTags".into()));
    node.stop(&own).await;
    node.stop(&other).await;
}

/// A program that listens on every address has port 80 for itself, and the endpoint answers beside it.
pub async fn port_80_is_the_tasks_own(node: Arc<Node>) {
    let script = "mkdir /tmp/w; echo mine > /tmp/w/index.html; httpd -p 80 -h /tmp/w; wget -qO- http://127.0.0.1/; \
                  wget -qO- http://169.254.170.2/v2/metadata; echo; echo done; sleep 1000";
    let task = node.run(script, |_| {}).await;
    let output = node.said(&task, "done").await;
    assert!(output.starts_with("mine\n") && output.contains(&format!("\"TaskARN\":\"{task}\"")), "{output}");
    node.stop(&task).await;
}

pub async fn statistics_are_those_of_the_containers(node: Arc<Node>) {
    let task = idle(&node).await;
    let id = id(&node, &task).await;
    let own = get(&node, &task, &format!("/v4/{id}/stats")).await;
    assert!(own["memory_stats"]["usage"].as_u64().unwrap() > 0, "{own}");
    assert!(own["networks"]["eth0"]["rx_bytes"].is_u64(), "{own}");
    assert!(own["pids_stats"]["current"].as_u64().unwrap() >= 1, "{own}");
    let all = get(&node, &task, &format!("/v4/{id}/task/stats")).await;
    assert_eq!(all[&id]["id"], own["id"]);
    node.stop(&task).await;
}

pub async fn what_is_not_there_is_not_found(node: Arc<Node>) {
    let (task, other) = (idle(&node).await, idle(&node).await);
    let (own, others) = (id(&node, &task).await, id(&node, &other).await);
    // As much as is read of a head and no byte more: what nobody reads may cost the answer.
    let endless = format!("GET /v4/{own} HTTP/1.1\\r\\nHost: x\\r\\nX: ");
    let filler = "y".repeat(LONGEST_HEAD - endless.replace("\\r\\n", "\r\n").len());
    let rows = [
        (format!("GET /v4/{own} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"), "200"),
        (format!("GET /v4/{own} HTTP/1.1\\r\\nHost: evil.example:1\\r\\n\\r\\n"), "200"),
        (format!("GET /v4/{others} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"), "404"),
        (format!("GET /v4/{own}/../{others} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"), "404"),
        ("GET /v4/..%2f..%2fetc/passwd HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".replace('%', "%%"), "404"),
        ("GET /latest/meta-data/ HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\n\\r\\n".to_owned(), "404"),
        ("GET /v2/credentials/0 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".to_owned(), "404"),
        (format!("POST /v4/{own} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}"), "405"),
        (format!("DELETE /v4/{own}/task HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"), "405"),
        ("nonsense\\r\\n\\r\\n".to_owned(), "400"),
        (endless + &filler, "431"),
    ];
    for (request, status) in rows {
        let line = raw(&node, &task, &request).await;
        let shown: String = request.chars().take(80).collect();
        assert_eq!(line.split(' ').nth(1), Some(status), "{shown}: {line}");
    }
    node.stop(&task).await;
    node.stop(&other).await;
}

pub async fn no_task_may_ask_too_often(node: Arc<Node>) {
    let (task, other) = (idle(&node).await, idle(&node).await);
    let own = id(&node, &task).await;
    // One process asks fast enough on any machine.
    let flood = format!("curl -s -m 30 -o /dev/null -w '%{{http_code}}\\n' '{URL}/v2/metadata?[1-200]'");
    let others = id(&node, &other).await;
    let path = format!("/v4/{others}");
    let ((_, output), _) = tokio::join!(node.host(Some(&task), &flood), get(&node, &other, &path));
    let count = |status: &str| output.lines().filter(|line| *line == status).count();
    let (granted, refused) = (count("200"), count("429"));
    println!("of 200 requests in a row {granted} were answered and {refused} refused");
    assert!(granted >= 60 && refused > 0 && granted + refused == 200, "{output}");
    get(&node, &other, &path).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    get(&node, &task, &format!("/v4/{own}")).await;
    node.stop(&task).await;
    node.stop(&other).await;
}

pub async fn nobody_else_reaches_the_endpoint(node: Arc<Node>) {
    let (task, other) = (idle(&node).await, idle(&node).await);
    let own = id(&node, &task).await;
    let running = get(&node, &task, &format!("/v4/{own}")).await;
    let address = running["Networks"][0]["IPv4Addresses"][0].as_str().unwrap().to_owned();
    // One endpoint for all: another task is known by its address, and finds nothing of this one whatever it says.
    for header in ["Host: 169.254.170.2", "Host: 127.0.0.1", &format!("X-Forwarded-For: {address}")] {
        let request = format!("curl -m 5 -s -o /dev/null -w '%{{http_code}}' -H '{header}' {URL}/v4/{own}");
        assert_eq!(node.host(Some(&other), &request).await.1, "404", "{header}");
    }
    // Nor in this one's name: the bridge drops what does not come from the sender's own address.
    let steal = format!(
        "ip address add {address}/32 dev lo; curl --interface {address} -m 2 -sf {URL}/v4/{own}; echo $?; \
         ip address del {address}/32 dev lo"
    );
    let (_, output) = node.host(Some(&other), &steal).await;
    assert_eq!(output.trim(), "28", "it times out");
    get(&node, &task, &format!("/v4/{own}")).await;
    for from in [Some(other.as_str()), None] {
        let (reached, output) = node.host(from, &format!("curl -m 2 -sf http://{address}:80/v2/metadata")).await;
        assert!(!reached, "{output}");
    }
    let (reached, output) = node.host(None, "curl -m 2 -sf http://169.254.170.2/v2/metadata").await;
    assert!(!reached, "{output}");
    let (reached, output) = node.host(Some(&task), "curl -6 -m 2 -sf http://[fd00:ec2::2]/v2/metadata").await;
    assert!(!reached, "{output}");
    let (reached, _) = node.host(Some(&task), "curl -m 2 -sf http://169.254.169.254/latest/meta-data/").await;
    assert!(!reached, "the machine's own metadata is not for tasks");
    node.stop(&task).await;
    node.stop(&other).await;
}

/// Connections to the endpoint from the network namespace of a process.
fn connections(pid: u32, count: usize) -> Vec<TcpStream> {
    let open = move || {
        let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let connect = |_| TcpStream::connect_timeout(&"169.254.170.2:80".parse().unwrap(), Duration::from_secs(5));
        (0..count).filter_map(|number| connect(number).ok()).collect()
    };
    std::thread::spawn(open).join().unwrap()
}

/// A task that opens connections and says nothing takes only its own places.
pub async fn idle_connections_hold_up_nobody_else(node: Arc<Node>) {
    let (task, other) = (idle(&node).await, idle(&node).await);
    let (own, others) = (id(&node, &task).await, id(&node, &other).await);
    let ask = format!("curl -m 1 -s -o /dev/null {URL}/v2/metadata");
    let mut held = false;
    // Who says nothing is let go after some seconds: on a slow machine that may be too soon for us.
    for _ in 0..20 {
        let idle = connections(node.pid(&task), 100);
        held = !node.host(Some(&task), &ask).await.0;
        get(&node, &other, &format!("/v4/{others}")).await;
        drop(idle);
        if held {
            break;
        }
    }
    assert!(held, "the task has no place left");
    get(&node, &task, &format!("/v4/{own}")).await;
    node.stop(&task).await;
    node.stop(&other).await;
}

const ROLE: &str = "arn:aws:iam::000000000000:role/app";

/// Answers the next request for credentials, which must be this task's, and gives the id that it names.
async fn lend(node: &Node, task: &str, secret: &str, seconds: i64) -> String {
    let mut session = node.session().await;
    let asked = session.recv("TaskCredentialsRequest").await;
    assert_eq!((&asked["taskArn"], &asked["roleType"]), (&task.into(), &"TaskApplication".into()));
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let id = asked["credentialsId"].as_str().unwrap().to_owned();
    let credentials = json!({
        "credentialsId": id, "roleArn": ROLE, "accessKeyId": "ASIAEXAMPLE", "secretAccessKey": secret,
        "sessionToken": "token", "expiration": format!("{expires:.0}"),
    });
    let message = json!({
        "messageId": asked["messageId"], "taskArn": task, "roleType": "TaskApplication", "roleCredentials": credentials,
    });
    session.send("IAMRoleCredentialsMessage", message).await;
    let ack = session.recv("IAMRoleCredentialsAckRequest").await;
    assert_eq!((&ack["credentialsId"], &ack["messageId"]), (&asked["credentialsId"], &asked["messageId"]));
    id
}

/// Credentials come through the session, are asked for again when half of their life has passed, and by the next agent.
pub async fn credentials_are_kept_fresh_and_in_memory(node: Arc<Node>) {
    let script = "echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; sleep 1000";
    let task = node.begin(script, |task| task["taskRoleArn"] = ROLE.into()).await;
    let id = lend(&node, &task, "first-secret", 24).await;
    let lent = Instant::now();
    let path = format!("/v2/credentials/{id}");
    assert_eq!(node.said(&task, "credentials").await, format!("{path}\n"));
    node.plane.report(&task, "RUNNING").await;
    let first = get(&node, &task, &path).await;
    let members = ["RoleArn", "AccessKeyId", "SecretAccessKey", "Token"].map(|name| first[name].as_str().unwrap());
    assert_eq!(members, [ROLE, "ASIAEXAMPLE", "first-secret", "token"]);
    assert!(first["Expiration"].as_str().unwrap().ends_with('Z'), "{first}");
    assert_eq!(lend(&node, &task, "second-secret", 3600).await, id);
    assert!(lent.elapsed() > Duration::from_secs(9), "half of their life is {:?}", lent.elapsed());
    assert_eq!(get(&node, &task, &path).await["SecretAccessKey"], "second-secret");

    node.die().await;
    node.come_back().await;
    let early = raw(&node, &task, &format!("GET {path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")).await;
    assert_eq!(early.split(' ').nth(1), Some("503"), "{early}");
    assert_eq!(lend(&node, &task, "third-secret", 3600).await, id);
    assert_eq!(get(&node, &task, &path).await["SecretAccessKey"], "third-secret");
    for file in ["order.json", "task.json", "state.json", "supervisor.log"] {
        let text = std::fs::read_to_string(node.directory(&task).join(file)).unwrap();
        assert!(!text.contains("-secret"), "{file}");
    }
    node.stop(&task).await;
}
