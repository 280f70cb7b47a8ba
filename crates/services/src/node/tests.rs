//! Tokens are good once and for their time; keys are one node's.

use longshore_model::iam::Caller;
use longshore_model::node_key::access_key_id;
use longshore_wire::Shape as _;
use serde_json::{Value, json};

use super::*;
use crate::access::{self, Asked};
use crate::ecs::testing::{ACCOUNT, TASK, World};
use crate::ecs::testing_tasks::Tasks;

const CLIENT: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

impl World {
    fn node_call(&mut self, caller: Option<Caller>, operation: &str, input: Value) -> Result<Value, String> {
        let before = std::mem::replace(&mut self.caller, caller);
        let outcome = self.call_of(&SERVICE, operation, input);
        self.caller = before;
        outcome
    }

    /// A token, and the ARN of what it makes.
    fn token(&mut self, input: Value) -> (String, String) {
        let made = self.node_call(None, "CreateJoinToken", input).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("joinToken"), text("containerInstanceArn"))
    }

    fn bearer(&self, token: &str) -> Result<Caller, Denial> {
        bearer(&self.store.read(), &self.settings, token, Timestamp::from_millis(self.now))
    }

    fn join(&mut self, token: &str, client: &str) -> Result<Value, String> {
        let caller = self.bearer(token).map_err(|denial| format!("{denial:?}"))?;
        self.node_call(Some(caller), "JoinNode", json!({"clientToken": client}))
    }

    fn holder(&self, id: &str) -> Option<(Caller, String)> {
        holder(&self.store.read(), &self.settings, id)
    }

    /// The node with this id, joined.
    fn joined(&mut self, id: &str) -> Caller {
        let (token, _) = self.token(json!({"containerInstance": id}));
        self.join(&token, CLIENT).unwrap();
        self.holder(&access_key_id(id)).unwrap().0
    }
}

#[test]
fn a_token_makes_one_key_which_opens_by_its_id() {
    let mut world = World::new();
    let (token, arn) = world.token(json!({}));
    let joined = world.join(&token, CLIENT).unwrap();
    assert_eq!(joined["containerInstanceArn"], json!(arn));
    let node = arn.rsplit('/').next().unwrap();
    assert_eq!(joined["accessKeyId"], json!(access_key_id(node)));
    let (caller, secret) = world.holder(&access_key_id(node)).unwrap();
    assert_eq!((caller.arn(), caller.node()), (arn.clone(), Some(node)));
    assert_eq!(joined["secretAccessKey"], json!(secret));
    assert_eq!(world.holder(&access_key_id(TASK)), None);
    // A second use is refused, the same one repeated is not.
    assert_eq!(world.join(&token, OTHER).unwrap_err(), "AccessDeniedException: The join token was used.");
    assert_eq!(world.join(&token, CLIENT).unwrap()["secretAccessKey"], json!(secret));
    // Neither token nor secret is in the records.
    let state = world.store.read();
    for record in state.records() {
        let bytes = String::from_utf8(record.to_bytes()).unwrap();
        assert!(!bytes.contains(&token["longshore-join-".len()..]) && !bytes.contains(&secret), "{bytes}");
    }
}

#[test]
fn a_token_is_good_for_its_time() {
    let mut world = World::new();
    let (token, _) = world.token(json!({"expiresInSeconds": 60}));
    let (used, _) = world.token(json!({"expiresInSeconds": 60}));
    world.join(&used, CLIENT).unwrap();
    world.now += 59_999;
    assert!(world.bearer(&token).is_ok() && world.join(&used, CLIENT).is_ok());
    world.now += 1;
    for token in [&token, &used] {
        assert_eq!(world.join(token, CLIENT).unwrap_err(), "ExpiredToken");
    }
    for wrong in ["", "longshore-join-", &token[..token.len() - 1], &format!("{token}0"), &token.to_uppercase()] {
        assert_eq!(world.bearer(wrong), Err(Denial::UnknownKey), "{wrong}");
    }
}

#[test]
fn what_names_no_node_makes_no_token() {
    let mut world = World::new();
    for (input, told) in [
        (json!({"expiresInSeconds": 59}), "ValidationException: "),
        (json!({"expiresInSeconds": 86_401}), "ValidationException: "),
        (json!({"expiresInSeconds": "60"}), "SerializationException: "),
        (json!({"containerInstance": ""}), "ValidationException: "),
        (json!({"containerInstance": "x".repeat(257)}), "ValidationException: "),
        (json!({"containerInstance": "i-0123456789"}), "ValidationException: The id of a container instance"),
        (json!({"containerInstance": TASK.to_uppercase()}), "ValidationException: "),
        (
            json!({"containerInstance": format!("arn:aws:ecs:us-east-1:999999999999:container-instance/longshore.fargate/{TASK}")}),
            "ValidationException: ",
        ),
    ] {
        let fault = world.node_call(None, "CreateJoinToken", input.clone()).unwrap_err();
        assert!(fault.starts_with(told), "{input}: {fault}");
    }
    assert!(world.store.read().join_tokens.is_empty());
    let (token, _) = world.token(json!({}));
    let caller = world.bearer(&token).unwrap();
    for input in [json!({}), json!({"clientToken": "short"}), json!({"clientToken": format!("{CLIENT} ")})] {
        let fault = world.node_call(Some(caller.clone()), "JoinNode", input.clone()).unwrap_err();
        assert!(fault.starts_with("ValidationException: "), "{input}: {fault}");
    }
    let fault = world.node_call(None, "JoinNode", json!({"clientToken": CLIENT})).unwrap_err();
    assert_eq!(fault, "AccessDeniedException: A node joins with a join token.");
    assert!(world.store.read().node_keys.is_empty());
}

#[test]
fn tokens_are_bounded() {
    let mut world = World::new();
    for _ in 0..1000 {
        world.token(json!({}));
    }
    let fault = world.node_call(None, "CreateJoinToken", json!({})).unwrap_err();
    assert!(fault.starts_with("LimitExceededException: "), "{fault}");
}

#[test]
fn who_joins_again_has_another_key_under_the_same_name() {
    let mut world = World::new();
    let (first, arn) = world.token(json!({}));
    let before = world.join(&first, CLIENT).unwrap();
    let (second, same) = world.token(json!({"containerInstance": arn}));
    assert_eq!(same, arn);
    let after = world.join(&second, OTHER).unwrap();
    assert_eq!(after["accessKeyId"], before["accessKeyId"]);
    assert_ne!(after["secretAccessKey"], before["secretAccessKey"]);
    let (_, secret) = world.holder(after["accessKeyId"].as_str().unwrap()).unwrap();
    assert_eq!(after["secretAccessKey"], json!(secret));
    let told = "AccessDeniedException: The join token was used, and the key that it made is void.";
    assert_eq!(world.join(&first, CLIENT).unwrap_err(), told);
}

fn registration(more: Value) -> Value {
    let mut request = json!({
        "cluster": "longshore.fargate", "attributes": [{"name": "longshore.fargate"}],
        "totalResources": [{"name": "CPU", "integerValue": 1024}, {"name": "MEMORY", "integerValue": 1024}],
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

#[test]
fn a_key_registers_the_node_that_it_names_and_no_other_until_that_is_deregistered() {
    let mut world = World::new();
    world.settings.enforces = true;
    let caller = world.joined(TASK);
    let own = caller.arn();
    let other = own.replace(TASK, OTHER);
    world.caller = Some(caller);
    let registered = world.ok("RegisterContainerInstance", registration(json!({})));
    assert_eq!(registered["containerInstance"]["containerInstanceArn"], json!(own));
    world.ok("RegisterContainerInstance", registration(json!({"containerInstanceArn": own})));
    let of_cluster = json!({"cluster": "prod", "attributes": []});
    for wrong in [registration(json!({"containerInstanceArn": other})), registration(of_cluster)] {
        let fault = world.fault("RegisterContainerInstance", wrong);
        assert!(fault.starts_with("AccessDeniedException: "), "{fault}");
    }
    assert_eq!(world.store.read().nodes.len(), 1);
    world.caller = None;
    let told = "ClientException: The container instance was registered by somebody else.";
    assert_eq!(world.fault("RegisterContainerInstance", registration(json!({"containerInstanceArn": own}))), told);
    world.ok("DeregisterContainerInstance", json!({"cluster": "longshore.fargate", "containerInstance": own}));
    assert_eq!(world.holder(&access_key_id(TASK)), None);
}

#[test]
fn a_key_takes_over_the_node_that_somebody_registered_before() {
    let mut world = World::new();
    world.settings.enforces = true;
    let made = world.ok("RegisterContainerInstance", registration(json!({})));
    let arn = made["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
    world.caller = Some(world.joined(arn.rsplit('/').next().unwrap()));
    world.ok("RegisterContainerInstance", registration(json!({"containerInstanceArn": arn})));
    assert_eq!(world.store.read().nodes.iter().next().unwrap().1.owner.as_ref(), Some(&arn));
}

/// Whether the access rules let the node call an operation, and why not.
fn may(world: &World, caller: &Caller, service: &str, operation: &str, input: &Value) -> Result<(), String> {
    let def = crate::SERVICES.iter().find(|one| one.def.name == service).unwrap().def;
    let shape = def.operation(operation).unwrap().input.map_or(<()>::def(), ShapeRef::get);
    let input = longshore_wire::json::decode(input.to_string().as_bytes(), shape).unwrap();
    let (place, state) = (place(&world.settings), world.store.read());
    let asked = Asked { place: &place, state: &state, input: &input, user: None };
    access::judge(service, operation, &asked, caller, &caller.context())
}

#[test]
fn a_node_may_be_a_node_and_nothing_else() {
    let mut world = World::new();
    let caller = world.joined(TASK);
    let allowed = [
        ("ecs", "RegisterContainerInstance"),
        ("ecs", "DiscoverPollEndpoint"),
        ("ecs", "SubmitTaskStateChange"),
        ("ecs", "SubmitContainerStateChange"),
        ("ecs", "SubmitAttachmentStateChanges"),
        ("sts", "GetCallerIdentity"),
    ];
    for service in crate::SERVICES {
        for operation in service.operations {
            let (service, operation) = (service.def.name, operation.name);
            let judged = may(&world, &caller, service, operation, &json!({}));
            assert_eq!(judged.is_ok(), allowed.contains(&(service, operation)), "{service}:{operation}");
        }
    }
    let told = may(&world, &caller, "ecs", "ListClusters", &json!({})).unwrap_err();
    let own = format!("arn:aws:ecs:us-east-1:{ACCOUNT}:container-instance/longshore.fargate/{TASK}");
    assert_eq!(
        told,
        format!(
            "User: {own} is not authorized to perform: ecs:ListClusters on resource: * because no identity-based policy \
             allows the ecs:ListClusters action"
        )
    );
    let (token, _) = world.token(json!({}));
    let joining = world.bearer(&token).unwrap();
    assert!(may(&world, &joining, "longshore", "JoinNode", &json!({})).is_ok());
    for (service, operation) in allowed.into_iter().chain([("longshore", "CreateJoinToken")]) {
        assert!(may(&world, &joining, service, operation, &json!({})).is_err(), "{operation}");
    }
    let (as_edge, arn) = world.token(json!({"edge": true}));
    let key = world.join(&as_edge, CLIENT).unwrap()["accessKeyId"].as_str().unwrap().to_owned();
    let edge = world.holder(&key).unwrap().0;
    assert_eq!(edge.arn(), arn);
    let state = world.store.read();
    for (caller, action, good) in [
        (&caller, "longshore:StartEdgeSession", false),
        (&edge, "longshore:StartEdgeSession", true),
        (&edge, "ecs:Poll", true),
        (&caller, "ecs:Poll", true),
        (&caller, "ecs:StartTelemetrySession", true),
        (&caller, "ecs:RunTask", false),
        (&joining, "ecs:Poll", false),
    ] {
        let needed = access::Needed::on_nothing(action, &caller.account);
        assert_eq!(access::judge_one(&state, &needed, caller, &caller.context()).is_ok(), good, "{action}");
    }
}

#[test]
fn a_node_writes_the_logs_of_its_own_tasks_and_reads_their_tags() {
    let mut world = World::new();
    world.prepare(8);
    let log = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "/own", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}});
    let container = crate::ecs::testing_tasks::container(json!({"logConfiguration": log}));
    world.ok("RegisterTaskDefinition", json!({
        "family": "logs", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "executionRoleArn": "arn:aws:iam::123456789012:role/x", "containerDefinitions": [container]}));
    let task = world.ok("RunTask", crate::ecs::testing_tasks::fargate("logs"))["tasks"][0].clone();
    let (arn, name) = (task["taskArn"].as_str().unwrap(), task["containers"][0]["name"].as_str().unwrap());
    let id = arn.rsplit('/').next().unwrap();
    let node = world.store.read().tasks.iter().next().unwrap().1.node.clone().unwrap();
    let own = super::caller(&world.settings, &node, None);
    let other = super::caller(&world.settings, OTHER, None);
    let check = |world: &World| {
        let stream = format!("p/{name}/{id}");
        let rows = [
            ("CreateLogGroup", json!({"logGroupName": "/own"}), true),
            ("CreateLogGroup", json!({"logGroupName": "/other"}), false),
            ("CreateLogStream", json!({"logGroupName": "/own", "logStreamName": stream}), true),
            ("PutLogEvents", json!({"logGroupName": "/own", "logStreamName": stream, "logEvents": []}), true),
            ("PutLogEvents", json!({"logGroupName": "/other", "logStreamName": stream, "logEvents": []}), false),
            (
                "PutLogEvents",
                json!({"logGroupName": "/own", "logStreamName": format!("x/{stream}"), "logEvents": []}),
                false,
            ),
            (
                "PutLogEvents",
                json!({"logGroupName": "/own", "logStreamName": stream.replace(id, OTHER), "logEvents": []}),
                false,
            ),
            ("PutLogEvents", json!({"logGroupName": "/own", "logStreamName": "", "logEvents": []}), false),
            ("GetLogEvents", json!({"logGroupName": "/own", "logStreamName": stream}), false),
            ("DeleteLogStream", json!({"logGroupName": "/own", "logStreamName": stream}), false),
        ];
        for (operation, input, good) in rows {
            assert_eq!(may(world, &own, "logs", operation, &input).is_ok(), good, "{operation} {input}");
            assert!(may(world, &other, "logs", operation, &input).is_err(), "{operation} {input}");
        }
        for (of, good) in
            [(arn.to_owned(), true), (own.arn(), true), (other.arn(), false), (arn.replace(id, OTHER), false)]
        {
            let judged = may(world, &own, "ecs", "ListTagsForResource", &json!({"resourceArn": of}));
            assert_eq!(judged.is_ok(), good, "{of}");
        }
        assert!(may(world, &other, "ecs", "ListTagsForResource", &json!({"resourceArn": arn})).is_err());
    };
    check(&world);
    world.finish_all();
    check(&world);
    // What it reports is of its own tasks.
    world.caller = Some(other);
    let fault = world.fault("SubmitTaskStateChange", json!({"task": arn, "status": "STOPPED"}));
    assert_eq!(fault, "InvalidParameterException: The referenced task was not found.");
    world.caller = Some(own);
    world.ok("SubmitTaskStateChange", json!({"task": arn, "status": "STOPPED"}));
}
