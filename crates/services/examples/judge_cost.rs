//! What the judgement of one call costs: `cargo run --release -p longshore-services --example judge_cost`.
//!
//! DescribeTasks by a user with three managed policies of its account, as long ones as there are. The figure is in
//! SPECIFICATION.md.

use std::hint::black_box;
use std::time::Instant;

use longshore_model::iam::{Caller, Grants, Identity, ManagedPolicy, PolicyVersion, User};
use longshore_model::policy::Context;
use longshore_model::{AccountId, Change, Place, State};
use longshore_services::access::{Asked, judge};
use longshore_services::ecs;
use longshore_wire::{Timestamp, json};

const ACCOUNT: &str = "111111111111";
const EPOCH: Timestamp = Timestamp::from_millis(0);

/// About 6,000 characters of statements, of which the last allows to describe tasks.
fn document() -> String {
    let far = |at: usize| {
        format!(r#"{{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":"arn:aws:s3:::bucket-{at}/*"}}"#)
    };
    let mut statements: Vec<String> = (0..60).map(far).collect();
    statements.push(r#"{"Effect":"Allow","Action":"ecs:Describe*","Resource":"arn:aws:ecs:*:*:task/prod/*"}"#.into());
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn managed(name: &str) -> ManagedPolicy {
    ManagedPolicy {
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
        path: "/".to_owned(),
        id: format!("ANPA{name}"),
        created_at: EPOCH,
        updated_at: EPOCH,
        description: None,
        tags: Default::default(),
        versions: vec![PolicyVersion { number: 1, document: document(), created_at: EPOCH }],
        default_version: 1,
        last_version: 1,
    }
}

fn user(attached: Vec<String>) -> User {
    User {
        account: ACCOUNT.to_owned(),
        name: "ann".to_owned(),
        path: "/".to_owned(),
        id: "AIDAANN".to_owned(),
        created_at: EPOCH,
        boundary: None,
        tags: Default::default(),
        groups: Vec::new(),
        grants: Some(Grants { attached, inline: Default::default() }),
    }
}

/// The keys that the gateway gives, beside the caller's.
fn conditions(caller: &Caller) -> Context {
    let mut conditions = caller.context();
    for (key, value) in [
        ("aws:SourceIp", "127.0.0.1"),
        ("aws:SecureTransport", "false"),
        ("aws:RequestedRegion", "us-east-1"),
        ("aws:CurrentTime", "2026-11-21T00:00:00Z"),
        ("aws:EpochTime", "1795219200"),
        ("aws:UserAgent", "aws-cli"),
    ] {
        conditions.set(key, [value]);
    }
    conditions
}

/// The median of many short batches, and the best: on a busy machine some go undisturbed.
fn measure(what: &str, mut turn: impl FnMut()) {
    const TURNS: u32 = 200;
    let mut batches = [0.0; 500];
    for batch in &mut batches {
        let began = Instant::now();
        (0..TURNS).for_each(|_| turn());
        *batch = began.elapsed().as_secs_f64() / f64::from(TURNS) * 1e6;
    }
    batches.sort_by(f64::total_cmp);
    println!("{what}: {:.2} µs (best {:.2} µs)", batches[batches.len() / 2], batches[0]);
}

fn main() {
    let account = AccountId::parse(ACCOUNT).expect("an account");
    let mut state = State::default();
    let policies = ["one", "two", "three"].map(managed);
    let arns = policies.iter().map(ManagedPolicy::arn).collect();
    policies.into_iter().for_each(|policy| state.apply(&Change::from(policy)));
    let ann = user(arns);
    state.apply(&Change::from(ann.clone()));
    let identity = Identity::User { name: ann.name, path: ann.path, id: ann.id, tags: ann.tags };
    let caller = Caller { account: account.clone(), access_key: "AKIA".to_owned(), identity, claims: None };
    let (place, conditions) = (Place::new("us-east-1", &account), conditions(&caller));
    let def = ecs::SERVICE.def.operation("DescribeTasks").and_then(|operation| operation.input).expect("an input");
    let body = br#"{"cluster":"prod","tasks":["0123456789abcdef0123456789abcdef"]}"#;
    let input = json::decode(body, def.get()).expect("a request");
    let asked = Asked { place: &place, state: &state, input: &input, user: Some("ann") };
    let judged = judge("ecs", "DescribeTasks", &asked, &caller, &conditions);
    judged.expect("a leave");
    measure("DescribeTasks by a user with three managed policies", || {
        black_box(judge("ecs", "DescribeTasks", &asked, &caller, &conditions)).expect("a leave");
    });
    measure("the keys of the request", || drop(black_box(self::conditions(&caller))));
}
