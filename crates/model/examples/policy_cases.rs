//! Cases for `tools/policy-differential`: one a line, as JSON that AWS's own evaluator or another's can be asked, with what
//! the engine decided. `cargo run -p longshore-model --example policy_cases -- [COUNT] [SEED]`
//!
//! Of the generator's cases those whose action and resource go together, with the keys that others know; a role's trust
//! policy is asked only about `sts:AssumeRole`.

#[path = "../tests/policy/case.rs"]
mod case;
#[path = "../tests/policy/generate.rs"]
mod generate;

use case::{ACCOUNT, Case, FEDERATED, SERVICE, SESSION, USER, engine};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// Whether an action can be on a resource.
fn fits(case: &Case) -> bool {
    let part = match case.action.as_str() {
        "ecs:StopTask" => ":task/",
        "logs:PutLogEvents" => ":log-stream:",
        "iam:PassRole" | "sts:AssumeRole" => ":role/",
        _ => return false,
    };
    // Others take a star in a request for a question about many resources.
    case.resource.contains(part) && !case.resource.contains('*')
}

fn principal(who: &str) -> String {
    match who {
        "root" => format!("arn:aws:iam::{ACCOUNT}:root"),
        "user" => USER.to_owned(),
        "session" => SESSION.to_owned(),
        "federated" => FEDERATED.to_owned(),
        _ => SERVICE.to_owned(),
    }
}

/// One value as a string, several as a list.
fn context(case: &Case) -> Value {
    let entry = |(key, values): (String, Vec<String>)| match values.as_slice() {
        [] => None,
        [one] => Some((key, json!(one))),
        many => Some((key, json!(many))),
    };
    Value::Object(case.keys().into_iter().filter_map(entry).collect::<Map<String, Value>>())
}

fn line(mut case: Case) -> Option<Value> {
    case.required = case.action == "sts:AssumeRole";
    if case.who == "service" {
        // It has no policies of its own.
        case = Case { identity: Vec::new(), boundary: None, session: None, ..case };
    }
    let untrusted = case.required && case.resource_policies.is_empty();
    if !fits(&case) || untrusted || case.session.as_ref().is_some_and(|policies| policies.len() != 1) {
        return None;
    }
    let decided = engine(&case).expect("the generator makes policies only");
    Some(json!({
        "principal": principal(case.who),
        "action": case.action,
        "resource": case.resource,
        "owner": case.owner,
        "context": context(&case),
        "identity": case.identity,
        "boundary": case.boundary,
        "session": case.session.map(|mut policies| policies.remove(0)),
        "resourcePolicy": case.resource_policies.first(),
        "decided": decided,
    }))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(5000, |text| text.parse().expect("a count"));
    let seed: u64 = arguments.next().map_or(1, |text| text.parse().expect("a seed"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = generate::case();
    let mut made = 0;
    while made < count {
        let case = strategy.new_tree(&mut runner).expect("a case").current();
        if let Some(line) = line(case) {
            println!("{line}");
            made += 1;
        }
    }
}
