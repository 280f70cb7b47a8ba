use longshore_model::definition::TaskDefinition;
use longshore_model::task::Balanced;

use super::*;

const ACCOUNT: &str = "123456789012";

struct World {
    state: State,
    desk: Desk,
    now: Timestamp,
    mint: Mint,
}

fn node() -> Node {
    let text = format!(
        r#"{{"id": "n1", "account": "{ACCOUNT}", "arn": "arn:n1", "status": "ACTIVE", "zone": "us-east-1a",
            "epoch": 3, "registeredAt": 1}}"#
    );
    longshore_wire::json::from_slice(text.as_bytes()).expect("a node")
}

fn task(id: &str, desired: &str, last: &str) -> Task {
    let text = format!(
        r#"{{"account": "{ACCOUNT}", "cluster": "prod", "id": "{id}", "family": "web", "revision": 1, "node": "n1",
            "desired": "{desired}", "last": "{last}", "launchType": "FARGATE", "createdAt": 1}}"#
    );
    longshore_wire::json::from_slice(text.as_bytes()).expect("a task")
}

fn key(id: &str) -> String {
    format!("{ACCOUNT}/prod/{id}")
}

impl World {
    fn new(tasks: usize) -> Self {
        let mut state = State::default();
        let definition = format!(r#"{{"account": "{ACCOUNT}", "family": "web", "revision": 1, "api": {{}}}}"#);
        let definition: TaskDefinition = longshore_wire::json::from_slice(definition.as_bytes()).expect("a definition");
        state.apply(&definition.into());
        state.apply(&node().into());
        let mut world = Self {
            state,
            desk: Desk::open("us-east-1", &node()).expect("a desk"),
            now: Timestamp::from_millis(1_800_000_000_000),
            mint: Mint::new(1),
        };
        for number in 0..tasks {
            world.put(task(&format!("t{number:02}"), "RUNNING", "PROVISIONING"));
        }
        world
    }

    fn put(&mut self, task: Task) {
        self.state.apply(&task.into());
    }

    fn greet(&mut self) -> Vec<String> {
        self.desk.greeting(&self.state, self.now, &mut self.mint)
    }

    fn orders(&mut self, ids: &[&str]) -> Vec<acs::PayloadMessage> {
        let keys: Vec<String> = ids.iter().map(|id| key(id)).collect();
        payloads(&self.desk.orders(&self.state, &keys, self.now, &mut self.mint))
    }

    fn overdue(&mut self) -> Vec<acs::PayloadMessage> {
        payloads(&self.desk.overdue(&self.state, self.now, &mut self.mint))
    }

    fn hear(&mut self, message: &impl crate::Message) -> Heard {
        self.desk.hear(&self.state, &frame(message), self.now).expect("it reads")
    }

    fn ack(&mut self, payload: &acs::PayloadMessage) -> Heard {
        self.hear(&acs::AckRequest { message_id: payload.message_id.clone(), ..Default::default() })
    }
}

fn payloads(frames: &[String]) -> Vec<acs::PayloadMessage> {
    frames.iter().map(|text| Frame::parse(text).and_then(Frame::read).expect("a payload")).collect()
}

#[test]
fn a_session_begins_with_a_manifest_and_then_every_open_order() {
    let mut world = World::new(PAYLOAD_TASKS + 2);
    world.put(task("t00", "STOPPED", "RUNNING"));
    world.put(task("t01", "STOPPED", "STOPPED"));
    let frames = world.greet();
    let manifest: acs::TaskManifestMessage = Frame::parse(&frames[0]).and_then(Frame::read).expect("a manifest");
    let payloads = payloads(&frames[1..]);
    assert_eq!(manifest.tasks.len(), PAYLOAD_TASKS + 1);
    assert!(manifest.takes_reports);
    assert_eq!(payloads.iter().map(|payload| payload.tasks.len()).collect::<Vec<_>>(), [PAYLOAD_TASKS, 1]);
    assert_eq!(payloads[0].tasks[0].desired_status, "STOPPED");
    let numbers = [manifest.timeline, payloads[0].seq_num, payloads[1].seq_num];
    assert_eq!(numbers, [(3 << 32) | 1, (3 << 32) | 2, (3 << 32) | 3]);
}

#[test]
fn an_order_goes_out_once_and_again_when_something_else_is_wanted() {
    let mut world = World::new(1);
    assert_eq!(world.orders(&["t00"]).len(), 1);
    world.put(task("t00", "RUNNING", "RUNNING"));
    assert_eq!(world.orders(&["t00"]).len(), 0);
    world.put(task("t00", "STOPPED", "DEACTIVATING"));
    assert_eq!(world.orders(&["t00"])[0].tasks[0].desired_status, "STOPPED");
    world.put(task("t00", "STOPPED", "STOPPED"));
    assert_eq!(world.orders(&["t00", "unknown"]).len(), 0);
    assert_eq!(world.desk.sent.len(), 0);
}

#[test]
fn a_task_that_drains_is_told_to_stop_once_it_has_drained() {
    let mut world = World::new(1);
    world.orders(&["t00"]);
    let drains = |until: Option<i64>| {
        let drains_until = until.map(Timestamp::from_millis);
        let balanced = Balanced { seats: Vec::new(), healthy_at: None, drains_until };
        Task { balanced: Some(Box::new(balanced)), ..task("t00", "STOPPED", "DEACTIVATING") }
    };
    world.put(drains(Some(1)));
    assert_eq!(world.orders(&["t00"]).len(), 0);
    let greeting = world.greet();
    let manifest: acs::TaskManifestMessage = Frame::parse(&greeting[0]).and_then(Frame::read).expect("a manifest");
    assert_eq!(manifest.tasks[0].desired_status, "RUNNING");
    assert_eq!(payloads(&greeting[1..])[0].tasks[0].desired_status, "RUNNING");
    let asked = acs::TaskStopVerificationMessage { stop_candidates: manifest.tasks, ..Default::default() };
    let Heard::Answer(answer) = world.hear(&asked) else { panic!("no answer") };
    let answer: acs::TaskStopVerificationAck = Frame::parse(&answer).and_then(Frame::read).expect("an answer");
    assert!(answer.stop_tasks.is_empty());
    assert_eq!(addressee(&drains(Some(1)).into()), None);
    assert_eq!(addressee(&drains(None).into()), Some(("n1", key("t00"))));
    world.put(drains(None));
    assert_eq!(world.orders(&["t00"])[0].tasks[0].desired_status, "STOPPED");
}

#[test]
fn an_acknowledgement_tells_what_the_order_wanted_and_counts_once() {
    let mut world = World::new(1);
    let payload = world.orders(&["t00"]).remove(0);
    world.put(task("t00", "STOPPED", "PROVISIONING"));
    assert_eq!(world.ack(&payload), Heard::Acknowledged(vec![(key("t00"), TaskStatus::Running)]));
    assert_eq!(world.ack(&payload), Heard::Nothing);
}

#[test]
fn reports_are_read_as_the_operation_reads_them() {
    let mut world = World::new(1);
    let report = |task: &str, status: &str| serde_json::json!({"task": task, "status": status, "pullStartedAt": 1.5});
    let changes = vec![report("arn:t00", "PENDING"), report("arn:t01", "RUNNING")];
    let heard = world.hear(&acs::TaskStateChangesMessage { message_id: "m".into(), changes });
    let Heard::Reported(reports) = heard else { panic!("{heard:?}") };
    let read: Vec<_> =
        reports.changes.iter().map(|change| (change.status.as_deref(), change.pull_started_at)).collect();
    let pulled = Some(Timestamp::from_millis(1500));
    assert_eq!((&*reports.message_id, read), ("m", vec![(Some("PENDING"), pulled), (Some("RUNNING"), pulled)]));
    let mut refused = |changes| {
        let message = acs::TaskStateChangesMessage { message_id: "m".into(), changes };
        world.desk.hear(&world.state, &frame(&message), world.now).map_err(|error| error.to_string())
    };
    let wrong = refused(vec![serde_json::json!({"task": 1})]).unwrap_err();
    assert!(wrong.starts_with("a TaskStateChangesMessage does not read: "), "{wrong}");
    assert!(refused(vec![report("arn:t00", "RUNNING"); acs::MAX_REPORTS]).is_ok());
    let long = refused(vec![report("arn:t00", "RUNNING"); acs::MAX_REPORTS + 1]).unwrap_err();
    assert_eq!(long, "101 reports came in one message, which takes 100");
}

#[test]
fn a_refusal_names_the_orders_and_a_bounded_reason() {
    let mut world = World::new(1);
    let payload = world.orders(&["t00"]).remove(0);
    let nack = acs::NackRequest { message_id: payload.message_id, reason: "x".repeat(5000), ..Default::default() };
    let refused = Heard::Refused(vec![(key("t00"), TaskStatus::Running)], "x".repeat(REASON_SHOWN));
    assert_eq!(world.hear(&nack), refused);
    assert_eq!(world.hear(&nack), Heard::Nothing);
}

#[test]
fn what_nobody_acknowledges_goes_out_again_as_it_is_then() {
    let mut world = World::new(2);
    let payload = world.orders(&["t00"]).remove(0);
    world.orders(&["t01"]);
    world.now = Timestamp::from_millis(world.now.millis() + RESEND_MILLIS - 1);
    assert_eq!(world.overdue().len(), 0);
    world.ack(&payload);
    world.put(task("t01", "STOPPED", "PROVISIONING"));
    world.now = Timestamp::from_millis(world.now.millis() + 1);
    let again = world.overdue();
    assert_eq!((again.len(), again[0].tasks[0].desired_status.as_str()), (1, "STOPPED"));
    assert_eq!(world.desk.waiting.len(), 1, "a repeated order takes the place of the first");
    assert_eq!(world.overdue().len(), 0);
}

#[test]
fn only_what_is_not_wanted_may_stop() {
    let mut world = World::new(2);
    world.put(task("t01", "STOPPED", "RUNNING"));
    let arn = |id: &str| format!("arn:aws:ecs:us-east-1:{ACCOUNT}:task/prod/{id}");
    let candidate = |id: &str| acs::TaskIdentifier { task_arn: arn(id), ..Default::default() };
    let asked = acs::TaskStopVerificationMessage {
        message_id: "m".into(),
        stop_candidates: ["t00", "t01", "gone"].map(candidate).to_vec(),
    };
    let Heard::Answer(answer) = world.hear(&asked) else { panic!("it is answered") };
    let answer: acs::TaskStopVerificationAck = Frame::parse(&answer).and_then(Frame::read).expect("an answer");
    let stopped: Vec<&str> = answer.stop_tasks.iter().map(|task| task.task_arn.as_str()).collect();
    assert_eq!(stopped, [arn("t01").as_str(), arn("gone").as_str()]);
}

#[test]
fn what_does_not_read_is_an_error_and_what_is_unknown_is_named() {
    let mut world = World::new(0);
    assert!(world.desk.hear(&world.state, "{", world.now).is_err());
    let unknown = world.desk.hear(&world.state, r#"{"type": "Something", "message": {}}"#, world.now);
    assert_eq!(unknown.expect("it reads"), Heard::Unknown("Something".into()));
}

#[test]
fn a_node_gets_credentials_of_its_own_running_tasks_alone() {
    let mut world = World::new(2);
    world.put(task("t01", "STOPPED", "STOPPED"));
    let mut foreign = task("t02", "RUNNING", "RUNNING");
    foreign.node = Some("n2".into());
    world.put(foreign);
    world.put(task("t03", "STOPPED", "STOPPING"));
    let arn = |id: &str| format!("arn:aws:ecs:us-east-1:{ACCOUNT}:task/prod/{id}");
    let ask = |task_arn: String, role_type: &str| {
        let (message_id, credentials_id) = ("m".to_owned(), "c".to_owned());
        TaskCredentialsRequest { message_id, task_arn, role_type: role_type.to_owned(), credentials_id }
    };
    let (own, execution) = ("TaskApplication", "TaskExecution");
    for (id, word, kind) in
        [("t00", own, RoleKind::Task), ("t00", execution, RoleKind::Execution), ("t03", own, RoleKind::Task)]
    {
        let asked = ask(arn(id), word);
        assert_eq!(world.hear(&asked), Heard::Wanted(key(id), kind, asked.clone()));
    }
    let refused = [
        (ask(arn("t01"), "TaskApplication"), false),
        (ask(arn("t02"), "TaskApplication"), true),
        (ask(arn("gone"), "TaskApplication"), true),
        (ask(arn("t00"), "Instance"), false),
        (ask(arn("t00").replace("us-east-1", "eu-west-1"), "TaskApplication"), true),
        (ask(String::new(), "TaskApplication"), true),
        (ask(arn("../prod/t00"), "TaskApplication"), true),
    ];
    for (asked, foreign) in refused {
        let (task, answer) = match world.hear(&asked) {
            Heard::Answer(answer) => (None, answer),
            Heard::Foreign(task, answer) => (Some(task), answer),
            other => panic!("{asked:?}: {other:?}"),
        };
        assert_eq!(task, foreign.then(|| asked.task_arn.clone()));
        let refusal: TaskCredentialsRefusal = Frame::parse(&answer).and_then(Frame::read).expect("a refusal");
        assert_eq!((refusal.message_id.as_str(), refusal.task_arn), ("m", asked.task_arn));
    }
}

#[test]
fn credentials_go_out_in_amazons_form_and_are_not_shown() {
    let asked = TaskCredentialsRequest {
        message_id: "m".into(),
        task_arn: "arn:t".into(),
        role_type: "TaskApplication".into(),
        credentials_id: "c".into(),
    };
    let issued =
        RoleCredentials { secret_access_key: "hidden".into(), session_token: "hidden".into(), ..Default::default() };
    assert!(!format!("{issued:?}").contains("hidden"));
    let text = credentials_issued(asked, issued);
    let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(frame["type"], "IAMRoleCredentialsMessage");
    let message = &frame["message"];
    assert_eq!((&message["roleType"], &message["taskArn"]), (&"TaskApplication".into(), &"arn:t".into()));
    assert_eq!(message["roleCredentials"]["credentialsId"], "c");
    assert_eq!(message["roleCredentials"]["secretAccessKey"], "hidden");
}
