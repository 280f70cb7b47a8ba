//! What a decision costs: `cargo run --release -p longshore-model --example policy_cost`.
//!
//! Three figures of SPECIFICATION.md: a hundred policies of ten statements, the worst pattern, a common request. A word
//! behind `--` picks those whose name holds it.

#![expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use std::hint::black_box;
use std::time::Instant;

use longshore_model::AccountId;
use longshore_model::policy::{Context, Kind, Policies, Policy, Principal, Request, evaluate};

const TASK: &str = "arn:aws:ecs:us-east-1:111111111111:task/prod/0123456789abcdef0123456789abcdef";

fn policy(statements: &[String]) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    Policy::parse(Kind::Identity, &text).expect("a policy")
}

/// One that is of the request's action and resource but whose condition does not hold.
fn close(index: usize) -> String {
    format!(
        r#"{{"Effect":"Allow","Action":["ecs:Describe*","ecs:StopTask"],"Resource":"arn:aws:ecs:*:*:task/prod/*",
           "Condition":{{"StringEquals":{{"aws:username":"user{index}"}}}}}}"#
    )
}

/// One of another action.
fn far(index: usize) -> String {
    format!(r#"{{"Effect":"Allow","Action":["s3:Get*","logs:Put*"],"Resource":"arn:aws:s3:::bucket{index}/*"}}"#)
}

/// The median of many short batches, and the best: on a busy machine some go undisturbed.
fn measure(what: &str, turns: u32, mut turn: impl FnMut() -> bool) {
    if std::env::args().nth(1).is_some_and(|wanted| !what.contains(&wanted)) {
        return;
    }
    let mut batches = [0.0; 500];
    for batch in &mut batches {
        let began = Instant::now();
        for _ in 0..turns {
            black_box(turn());
        }
        *batch = began.elapsed().as_secs_f64() / f64::from(turns) * 1e6;
    }
    batches.sort_by(f64::total_cmp);
    println!("{what}: {:.2} µs (best {:.2} µs)", batches[batches.len() / 2], batches[0]);
}

fn main() {
    let account = AccountId::parse("111111111111").expect("an account");
    let arn = "arn:aws:iam::111111111111:user/ann".to_owned();
    let principal = Principal::User { account: account.clone(), arn };
    let context: Context = principal.context();
    let decide = |policies: &[Policy], resource: &str| {
        let policies = Policies { identity: policies.iter().collect(), ..Policies::default() };
        let request =
            Request { principal: &principal, action: "ecs:StopTask", resource, owner: &account, context: &context };
        evaluate(&request, &policies).is_allowed()
    };
    for (what, statement) in [
        ("100 policies of 10 statements, none of the action", far as fn(usize) -> String),
        ("100 policies of 10 statements, all but their conditions match", close),
    ] {
        let policies: Vec<Policy> = (0..100).map(|_| policy(&(0..10).map(statement).collect::<Vec<_>>())).collect();
        measure(what, 20, || decide(&policies, TASK));
    }
    let one = [policy(&[far(1), close(1), r#"{"Effect":"Allow","Action":"ecs:*","Resource":"*"}"#.to_owned()])];
    measure("one policy of 3 statements", 2000, || decide(&one, TASK));
    let long = format!("arn:aws:ecs:us-east-1:111111111111:{}", "a".repeat(2000));
    for (what, pattern) in [
        ("1,000 stars and an end that is not there", "*a".repeat(1000) + "b"),
        ("1,000 stars, all passed", "*a".repeat(1000) + "*b*"),
        ("a thousand letters behind a star", format!("*{}b", "a".repeat(1000))),
        ("a thousand letters and question marks behind a star", format!("*{}b*", "a?".repeat(500))),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecs:*:*:{pattern}"}}"#);
        let policies = [policy(&[statement])];
        measure(what, 3, || decide(&policies, &long));
    }
}
