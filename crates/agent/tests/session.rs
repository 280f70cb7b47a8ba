//! A node without containers and a control plane that the tests play: what is ordered happens once, what is reported
//! arrives, and a session that breaks is mended.

mod plane;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_agent::{AccessKey, Config, EngineKind, Joins, run};
use plane::{NODE, Plane, REGION, Session, arn, manifest, payload, soon, task, until};
use serde_json::{Value, json};

/// A node of a directory of its own, which goes with it.
struct Node {
    running: tokio::task::JoinHandle<Result<(), longshore_agent::Error>>,
    data_dir: PathBuf,
}

impl Node {
    fn start(plane: &Plane, name: &str) -> Self {
        let data_dir = std::env::temp_dir().join(format!("longshore-session-{}-{name}", std::process::id()));
        Self::start_in(plane, data_dir)
    }

    fn start_in(plane: &Plane, data_dir: PathBuf) -> Self {
        let address = plane.address.to_string();
        let mut config = Config::new(&data_dir, &address, REGION, "000000000000", EngineKind::Simulated);
        config.joins_by = Some(Joins::Token("token".to_owned()));
        let running = tokio::spawn(run(config, std::future::pending()));
        Self { running, data_dir }
    }

    async fn die(&self) {
        self.running.abort();
        until("the node's death", || self.running.is_finished()).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.running.abort();
        if let Ok(instance) = longshore_agent::Instance::of(&self.data_dir) {
            let _ = std::fs::remove_dir_all(instance.run_dir);
        }
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

async fn started(name: &str) -> (Arc<Plane>, Node, Session) {
    let plane = Plane::start().await;
    let node = Node::start(&plane, name);
    let session = plane.acs().await;
    (plane, node, session)
}

/// The usual task with a label on its container.
fn labelled(number: u32, label: &str, value: &str) -> Value {
    let mut task = task(number, "RUNNING");
    task["containers"][0]["dockerConfig"]["config"] = json!({"Labels": {label: value}}).to_string().into();
    task
}

#[tokio::test]
async fn a_node_registers_with_what_it_offers() {
    let (plane, _node, session) = started("register").await;
    let request = plane.calls("RegisterContainerInstance").remove(0);
    assert_eq!(request["cluster"], "longshore.fargate");
    assert!(request["clientToken"].as_str().is_some_and(|token| token.len() == 32), "{request}");
    let attributes: Vec<&str> =
        request["attributes"].as_array().unwrap().iter().filter_map(|attribute| attribute["name"].as_str()).collect();
    assert!(attributes.contains(&"longshore.fargate") && attributes.contains(&"ecs.capability.task-eni"));
    let resource = |name: &str| {
        let resources = request["totalResources"].as_array().unwrap();
        resources.iter().find(|resource| resource["name"] == name).unwrap()["integerValue"].as_i64().unwrap()
    };
    assert!(resource("CPU") >= 1024 && resource("MEMORY") > 0);
    for part in ["protocolVersion=2", "seqNum=1", "sendCredentials=true", "containerInstanceArn=arn%3Aaws%3Aecs"] {
        assert!(session.uri.contains(part), "{part} in {}", session.uri);
    }
}

#[tokio::test]
async fn a_task_runs_and_stops_as_ordered() {
    let (plane, _node, mut session) = started("run").await;
    session.order(1, &[task(1, "RUNNING")]).await;
    let running = plane.report(&arn(1), "RUNNING").await;
    let container = &running["containers"][0];
    assert_eq!((&container["containerName"], &container["status"]), (&json!("web"), &json!("RUNNING")));
    assert!(container["imageDigest"].as_str().unwrap().starts_with("sha256:"));
    assert!(running["pullStartedAt"].as_f64().unwrap() > 1e9, "{running}");
    assert_eq!(running["cluster"], "arn:aws:ecs:us-east-1:000000000000:cluster/production");
    session.order(2, &[task(1, "STOPPED")]).await;
    let stopped = plane.report(&arn(1), "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 143);
    assert_eq!(stopped["reason"], Value::Null, "whose will it was is the control plane's to say");
    assert!(stopped["executionStoppedAt"].as_f64().unwrap() >= running["pullStartedAt"].as_f64().unwrap());
}

#[tokio::test]
async fn a_task_that_ends_by_itself_says_why() {
    let (plane, _node, mut session) = started("exit").await;
    session.order(1, &[labelled(1, "longshore.simulate.exit-after", "0.05:3")]).await;
    let stopped = plane.report(&arn(1), "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 3);
    assert_eq!(stopped["reason"], "Essential container in task exited");
    assert_eq!(plane.statuses(&arn(1)), ["RUNNING", "STOPPED"]);
}

#[tokio::test]
async fn a_task_that_cannot_start_says_why() {
    let (plane, _node, mut session) = started("fail").await;
    let mut bad = task(1, "RUNNING");
    bad["networkMode"] = "bridge".into();
    session.order(1, &[bad, labelled(2, "longshore.simulate.exit-after", "never")]).await;
    let first = plane.report(&arn(1), "STOPPED").await;
    assert!(first["reason"].as_str().unwrap().starts_with("ResourceInitializationError: "), "{first}");
    let second = plane.report(&arn(2), "STOPPED").await;
    let reason = second["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotCreateContainerError: "), "{second}");
    assert_eq!(second["containers"][0]["reason"], reason);
    assert_eq!(plane.statuses(&arn(1)), ["STOPPED"]);
}

#[tokio::test]
async fn orders_that_come_again_or_late_do_nothing() {
    let (plane, _node, mut session) = started("stale").await;
    session.order(5, &[task(1, "RUNNING")]).await;
    plane.report(&arn(1), "RUNNING").await;
    session.order(5, &[task(1, "RUNNING")]).await;
    session.order(4, &[task(1, "STOPPED")]).await;
    session.order(5, &[task(1, "STOPPED")]).await;
    session.order(6, &[task(1, "STOPPED")]).await;
    plane.report(&arn(1), "STOPPED").await;
    session.order(5, &[task(1, "RUNNING")]).await;
    session.order(7, &[task(2, "RUNNING")]).await;
    plane.report(&arn(2), "RUNNING").await;
    assert_eq!(plane.statuses(&arn(1)), ["RUNNING", "STOPPED"]);
}

#[tokio::test]
async fn a_stop_for_a_task_that_is_not_here_is_answered() {
    let (plane, _node, mut session) = started("unknown").await;
    session.order(3, &[task(1, "STOPPED")]).await;
    plane.report(&arn(1), "STOPPED").await;
    assert_eq!(plane.statuses(&arn(1)), ["STOPPED"]);
}

/// Nothing runs, so nothing can run twice.
#[tokio::test]
async fn a_simulated_task_goes_on_with_the_next_agent() {
    let (plane, _node, mut session) = started("known").await;
    let mut known = task(1, "RUNNING");
    known["known"] = true.into();
    session.order(3, &[known]).await;
    plane.report(&arn(1), "RUNNING").await;
}

#[tokio::test]
async fn only_what_is_confirmed_stops_after_a_manifest() {
    let (plane, _node, mut session) = started("manifest").await;
    session.order(1, &[task(1, "RUNNING"), task(2, "RUNNING"), task(3, "RUNNING"), task(4, "RUNNING")]).await;
    for number in 1..=4 {
        plane.report(&arn(number), "RUNNING").await;
    }
    let (one, two) = (arn(1), arn(2));
    session.send("TaskManifestMessage", manifest(7, &[(&one, "RUNNING"), (&two, "STOPPED")])).await;
    let asked = session.recv("TaskStopVerificationMessage").await;
    let mut candidates: Vec<String> = asked["stopCandidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["taskArn"].as_str().unwrap().to_owned())
        .collect();
    candidates.sort();
    assert_eq!(candidates, [arn(2), arn(3), arn(4)]);
    session.send("TaskManifestMessage", manifest(7, &[])).await;
    assert!(session.silent_about("TaskStopVerificationMessage").await, "an old manifest is dropped");
    let confirmed = json!({"messageId": "1", "stopTasks": [{"taskArn": arn(3), "desiredStatus": "STOPPED"}]});
    session.send("TaskStopVerificationAck", confirmed).await;
    plane.report(&arn(3), "STOPPED").await;
    for number in [1, 2, 4] {
        assert_eq!(plane.statuses(&arn(number)), ["RUNNING"]);
    }
}

/// Row N2.
#[tokio::test]
async fn messages_that_are_not_for_this_node_or_make_no_sense_are_dropped() {
    let (plane, _node, mut session) = started("n2").await;
    let mut other_node = payload(1, &[task(1, "RUNNING")]);
    other_node["containerInstanceArn"] = NODE.replace("1111", "9999").into();
    let mut other_cluster = payload(1, &[task(1, "RUNNING")]);
    other_cluster["clusterArn"] = "arn:aws:ecs:us-east-1:000000000000:cluster/production".into();
    for message in [other_node, other_cluster] {
        session.send("PayloadMessage", message).await;
    }
    session.send("EverythingMessage", json!({"messageId": "1"})).await;
    session.send("PayloadMessage", json!({"seqNum": "many", "tasks": 7})).await;
    session.send("TaskManifestMessage", json!([])).await;
    for text in ["", "null", "[]", "{", "{\"type\":7}", "\u{0}"] {
        session.send_text(text.to_owned()).await;
    }
    assert!(session.silent_about("AckRequest").await, "what is dropped is not acknowledged");
    assert_eq!(plane.calls("SubmitTaskStateChange").len(), 0);
}

/// Row N2. A task whose order is not taken would wait for ever.
#[tokio::test]
async fn a_task_whose_order_is_refused_is_told_of_as_stopped() {
    let (plane, _node, mut session) = started("refusal").await;
    let mut strange = task(1, "RUNNING");
    strange["arn"] = "arn:aws:ecs:us-east-1:000000000000:task/production/../../../../etc/cron.d/x".into();
    let mut elsewhere = task(2, "RUNNING");
    elsewhere["arn"] = arn(2).replace("us-east-1", "eu-west-1").into();
    session.order(2, &[strange.clone(), elsewhere.clone(), task(3, "MAYBE"), task(4, "RUNNING")]).await;
    plane.report(&arn(4), "RUNNING").await;
    for (refused, why) in [
        (strange["arn"].as_str().unwrap(), "it does not name a task of this region"),
        (elsewhere["arn"].as_str().unwrap(), "it does not name a task of this region"),
        (&arn(3), "it wants neither RUNNING nor STOPPED"),
    ] {
        let stopped = plane.report(refused, "STOPPED").await;
        assert_eq!(stopped["reason"], format!("ResourceInitializationError: the node does not take the order: {why}"));
        assert_eq!(plane.statuses(refused), ["STOPPED"]);
    }
    session.order(3, &[task(4, "MAYBE")]).await;
    let mut unreadable = payload(4, &[task(5, "RUNNING"), task(4, "RUNNING")]);
    unreadable["tasks"][0]["memory"] = "much".into();
    session.send("PayloadMessage", unreadable).await;
    let nack = session.recv("NackRequest").await;
    assert_eq!((&nack["messageId"], &nack["containerInstance"]), (&json!("order-4"), &json!(NODE)));
    let stopped = plane.report(&arn(5), "STOPPED").await;
    assert!(stopped["reason"].as_str().unwrap().contains("it does not read: invalid type"), "{stopped}");
    assert_eq!(plane.statuses(&arn(4)), ["RUNNING"], "what runs is no matter of an order that makes no sense");
}

/// Row N2: a frame beyond the limit ends the session, and the next one goes on where this one was.
#[tokio::test]
async fn a_frame_without_measure_only_costs_the_session() {
    let (plane, _node, mut session) = started("large").await;
    session.order(1, &[task(1, "RUNNING")]).await;
    plane.report(&arn(1), "RUNNING").await;
    session.try_send_text("x".repeat(longshore_link::MAX_FRAME + 1)).await;
    let mut session = plane.acs().await;
    session.order(2, &[task(1, "STOPPED")]).await;
    plane.report(&arn(1), "STOPPED").await;
}

#[tokio::test]
async fn heartbeats_are_answered() {
    let (_plane, _node, mut session) = started("heartbeat").await;
    session.send("HeartbeatMessage", json!({"messageId": "beat", "healthy": true})).await;
    assert_eq!(session.recv("HeartbeatAckRequest").await["messageId"], "beat");
}

#[tokio::test]
async fn reports_wait_for_a_control_plane_that_is_away_and_keep_their_order() {
    let (plane, _node, mut session) = started("away").await;
    plane.script("SubmitTaskStateChange", 500, json!({"__type": "ServerException"}));
    plane.script("SubmitTaskStateChange", 400, json!({"__type": "ThrottlingException", "message": "Rate exceeded"}));
    session.order(1, &[labelled(1, "longshore.simulate.exit-after", "0.05:0")]).await;
    plane.report(&arn(1), "STOPPED").await;
    assert_eq!(plane.statuses(&arn(1)), ["RUNNING", "RUNNING", "RUNNING", "STOPPED"]);
    session.order(2, &[labelled(2, "longshore.simulate.exit-after", "0.5:7")]).await;
    plane.report(&arn(2), "RUNNING").await;
    plane.leave().await;
    drop(session);
    tokio::time::sleep(Duration::from_secs(1)).await;
    plane.come_back().await;
    assert_eq!(plane.report(&arn(2), "STOPPED").await["containers"][0]["exitCode"], 7);
    plane.acs().await;
}

#[tokio::test]
async fn a_report_that_is_refused_for_good_is_not_repeated() {
    let (plane, _node, mut session) = started("refused").await;
    plane.script("SubmitTaskStateChange", 400, json!({"__type": "ClientException", "message": "no such task"}));
    session.order(1, &[task(1, "RUNNING")]).await;
    session.order(2, &[task(1, "STOPPED")]).await;
    plane.report(&arn(1), "STOPPED").await;
    assert_eq!(plane.statuses(&arn(1)), ["RUNNING", "STOPPED"]);
}

#[tokio::test]
async fn a_control_plane_that_forgot_the_node_gets_it_anew() {
    let (plane, _node, mut session) = started("forgotten").await;
    session.send("CloseMessage", json!({"message": "InactiveInstanceException: gone"})).await;
    plane.acs().await;
    assert_eq!(plane.calls("RegisterContainerInstance").len(), 2);
    plane.script("acs", 400, json!({"message": "unknown container instance"}));
    plane.leave().await;
    plane.come_back().await;
    plane.acs().await;
    let registrations = plane.calls("RegisterContainerInstance");
    assert_eq!(registrations.len(), 3);
    assert_eq!(registrations[2]["containerInstanceArn"], NODE, "it comes back under its old name");
}

#[tokio::test]
async fn a_node_that_starts_again_is_the_same_node() {
    let (plane, node, _session) = started("again").await;
    let first = plane.calls("RegisterContainerInstance").remove(0);
    node.die().await;
    let again = Node::start_in(&plane, node.data_dir.clone());
    plane.acs().await;
    let second = plane.calls("RegisterContainerInstance").remove(1);
    assert_eq!(first["containerInstanceArn"], NODE, "it is who its key says");
    assert_eq!(second["containerInstanceArn"], NODE);
    assert_eq!(first["clientToken"], second["clientToken"]);
    drop(again);
}

const VOID: &str = "UnrecognizedClientException";

/// A life of a node that is to end by itself: why it did.
async fn end_of(plane: &Plane, data_dir: &std::path::Path, joins_by: Option<Joins>) -> String {
    let address = plane.address.to_string();
    let mut config = Config::new(data_dir, &address, REGION, "000000000000", EngineKind::Simulated);
    config.joins_by = joins_by;
    let ended = tokio::time::timeout(plane::SOON, run(config, std::future::pending())).await;
    ended.expect("the node goes on").unwrap_err().to_string()
}

#[tokio::test]
async fn a_machine_joins_once_and_signs_with_its_own_key_from_then_on() {
    let (plane, node, _session) = started("join").await;
    assert_eq!(plane.keys("JoinNode"), ["token"]);
    assert!(plane.calls("CreateJoinToken").is_empty());
    assert_eq!(plane.keys("RegisterContainerInstance"), ["NODEKEY"]);
    let file = node.data_dir.join("agent/node-key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(&file).unwrap().contains("planted"));
    node.die().await;
    let again = Node::start_in(&plane, node.data_dir.clone());
    plane.acs().await;
    assert_eq!(plane.calls("JoinNode").len(), 1);
    drop(again);
}

#[tokio::test]
async fn a_join_whose_answer_was_lost_is_repeated_as_the_same() {
    let plane = Plane::start().await;
    plane.script("JoinNode", 503, json!({}));
    let node = Node::start(&plane, "join-lost");
    plane.acs().await;
    let joins = plane.calls("JoinNode");
    assert_eq!(joins.len(), 2);
    assert_eq!(joins[0], joins[1]);
    assert!(joins[0]["clientToken"].as_str().is_some_and(|token| token.len() == 32), "{joins:?}");
    drop(node);
}

#[tokio::test]
async fn an_administrator_makes_the_token_for_the_name_of_before() {
    let (plane, node, _session) = started("join-admin").await;
    node.die().await;
    let admin = AccessKey { id: "AKIDEXAMPLE".to_owned(), ..AccessKey::default() };
    plane.script("RegisterContainerInstance", 400, json!({"__type": VOID}));
    plane.script("CreateJoinToken", 400, json!({"__type": "ValidationException"}));
    plane.script("JoinNode", 400, json!({"__type": "AccessDeniedException", "message": "used"}));
    let why = end_of(&plane, &node.data_dir, Some(Joins::Key(admin))).await;
    assert_eq!(why, "the control plane refuses this node: JoinNode: AccessDeniedException: used");
    assert_eq!(plane.keys("CreateJoinToken"), ["AKIDEXAMPLE", "AKIDEXAMPLE"]);
    let made: Vec<Value> =
        plane.calls("CreateJoinToken").iter().map(|input| input["containerInstance"].clone()).collect();
    assert_eq!(made, [json!(NODE), Value::Null], "a name that cannot be is let go");
    assert_eq!(plane.keys("JoinNode"), ["token", "made"]);
}

#[tokio::test]
async fn a_void_key_ends_the_node() {
    let (plane, node, mut session) = started("join-void").await;
    plane.script("DiscoverPollEndpoint", 400, json!({"__type": VOID}));
    plane.script("RegisterContainerInstance", 400, json!({"__type": VOID}));
    session.send("CloseMessage", json!({"message": "InactiveInstanceException: void"})).await;
    until("the node's end", || node.running.is_finished()).await;
    assert_eq!(plane.calls("JoinNode").len(), 1, "what it joined with is not tried again");
    plane.script("RegisterContainerInstance", 400, json!({"__type": VOID}));
    let why = end_of(&plane, &node.data_dir, None).await;
    assert!(why.starts_with("the key of this node is void"), "{why}");
}

#[tokio::test]
async fn a_machine_without_key_and_token_is_told_what_to_do() {
    let plane = Plane::start().await;
    let data_dir = std::env::temp_dir().join(format!("longshore-session-{}-join-none", std::process::id()));
    let why = end_of(&plane, &data_dir, None).await;
    std::fs::remove_dir_all(&data_dir).unwrap();
    assert!(why.contains("longshore join-token create"), "{why}");
    assert!(plane.calls("RegisterContainerInstance").is_empty());
}

#[tokio::test]
async fn a_name_that_the_control_plane_refuses_is_given_up() {
    let (plane, node, _session) = started("renamed").await;
    node.die().await;
    plane.script("RegisterContainerInstance", 400, json!({"__type": "ClientException", "message": "unknown"}));
    let again = Node::start_in(&plane, node.data_dir.clone());
    plane.acs().await;
    let registrations = plane.calls("RegisterContainerInstance");
    assert_eq!(registrations[1]["containerInstanceArn"], NODE);
    assert_eq!(registrations[2]["containerInstanceArn"], Value::Null);
    assert_ne!(registrations[1]["clientToken"], registrations[2]["clientToken"]);
    drop(again);
}

#[tokio::test]
async fn health_is_told_when_it_changes() {
    let (plane, _node, mut session) = started("health").await;
    let mut telemetry = plane.tcs().await;
    let first = telemetry.recv("PublishHealthRequest").await;
    assert_eq!(first["tasks"], json!([]));
    let mut checked = task(1, "RUNNING");
    checked["containers"][0]["healthCheckType"] = "DOCKER".into();
    session.order(1, &[checked, task(2, "RUNNING")]).await;
    let told = telemetry.recv("PublishHealthRequest").await;
    assert_eq!(told["tasks"].as_array().unwrap().len(), 1, "a task without a check has no health: {told}");
    assert_eq!(told["tasks"][0]["taskArn"], arn(1));
    assert_eq!(told["tasks"][0]["containers"][0]["healthStatus"], "HEALTHY");
    assert_eq!(told["metadata"]["containerInstance"], NODE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_share_one_session() {
    let (plane, _node, mut session) = started("thousand").await;
    let begun = std::time::Instant::now();
    for part in 0..100u32 {
        let tasks: Vec<Value> = (part * 10..part * 10 + 10).map(|number| task(number, "RUNNING")).collect();
        session.order(i64::from(part) + 1, &tasks).await;
    }
    soon(async {
        while plane.calls("SubmitTaskStateChange").len() < 1000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    println!("a thousand simulated tasks RUNNING after {:?}", begun.elapsed());
}
