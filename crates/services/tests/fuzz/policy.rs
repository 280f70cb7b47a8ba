//! Policies: a text is refused, or it is what it was, says where its statements stand, and decides like for like.

use longshore_model::AccountId;
use longshore_model::policy::{
    Context, Decision, Kind, Malformed, Policies, Policy, Principal, Request, ResourceRule, evaluate, explain,
};

use crate::Target;

pub static TARGET: Target = Target {
    name: "policies",
    seeds: &[
        r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":["ecs:*Task*","s3:Get?"],"Resource":"*"}]}"#,
        r#"{"Version":"2012-10-17","Id":"x","Statement":{"Effect":"Deny","NotAction":"ecs:StopTask","NotResource":
            ["arn:aws:ecs:*:*:task/${aws:username, 'x'}/*"],"Condition":{"StringLike":{"aws:userid":["a*","${aws:username}"]},
            "ForAnyValue:StringNotEqualsIgnoreCase":{"aws:TagKeys":"a"},"Null":{"aws:SourceIp":"true"}}}}"#,
        r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*","Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"},
            {"Effect":"Allow","NotPrincipal":{"AWS":["111111111111","arn:aws:iam::111111111111:user/ann"]},"Action":"*"}]}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThanIfExists":{"aws:CurrentTime":
            "2030-01-01"},"NumericLessThan":{"ecs:task-cpu":1e3},"Bool":{"aws:SecureTransport":true},"NotIpAddress":
            {"aws:SourceIp":["10.0.0.0/8","::1"]},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"},"BinaryEquals":{"x:y":"AQ=="}}}}"#,
    ],
    words: &[
        "\"Version\":\"2012-10-17\",",
        "\"Statement\":",
        "\"Effect\":\"Allow\",",
        "\"Effect\":\"Deny\",",
        "\"Action\":",
        "\"NotAction\":",
        "\"Resource\":",
        "\"NotResource\":",
        "\"Principal\":",
        "\"NotPrincipal\":",
        "\"Condition\":",
        "\"Sid\":",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"*\"",
        "*",
        "?",
        "**",
        "${",
        "}",
        "${*}",
        "${aws:username}",
        "${aws:PrincipalTag/a, 'b'}",
        "arn:aws:ecs:*:*:*",
        "IfExists",
        "ForAllValues:",
        "ForAnyValue:",
        "StringEquals",
        "ArnLike",
        "Null",
        "IpAddress",
        "DateEquals",
        "\"aws:userid\":",
        "\\u0000",
        "\\",
    ],
    run,
    least: 50,
};

const KINDS: [Kind; 5] = [Kind::Identity, Kind::Resource, Kind::Trust, Kind::Boundary, Kind::Session];

fn run(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
    KINDS.map(|kind| of_kind(kind, text)).join("; ")
}

fn of_kind(kind: Kind, text: &str) -> String {
    let policy = match Policy::parse(kind, text) {
        Ok(policy) => policy,
        Err(malformed) => return refused(&malformed),
    };
    assert_eq!((policy.source(), policy.kind()), (text, kind));
    assert_eq!(Policy::parse(kind, policy.source()).as_ref(), Ok(&policy));
    let spans = policy.spans();
    assert_eq!(spans.len(), policy.statements().len());
    let places: Vec<_> = spans.iter().flat_map(|span| [span.start, span.end]).collect();
    assert!(places.is_sorted_by_key(|place| (place.line, place.column)), "{places:?}");
    let decided = ["ecs:StopTask", "sts:AssumeRole"].map(|action| decision(&policy, action));
    format!("{} statements, {} keys, {decided:?}", policy.statements().len().min(4), policy.context_keys().len().min(4))
}

fn refused(malformed: &Malformed) -> String {
    let told = malformed.to_string();
    assert!(told.len() < 1000, "{told}");
    told.chars().take_while(|letter| !letter.is_ascii_digit() && *letter != '"').take(50).collect()
}

/// What a user is told of one policy; its reasons come to the same.
fn decision(policy: &Policy, action: &str) -> &'static str {
    let account = AccountId::parse("111111111111").expect("an account");
    let principal = Principal::User { account: account.clone(), arn: "arn:aws:iam::111111111111:user/ann".to_owned() };
    let mut context: Context = principal.context();
    context.set("aws:SourceIp", ["10.0.0.1"]);
    context.set("aws:TagKeys", ["a", "b"]);
    let resource = "arn:aws:ecs:us-east-1:111111111111:task/ann/0";
    let request = Request { principal: &principal, action, resource, owner: &account, context: &context };
    let attached = matches!(policy.kind(), Kind::Resource | Kind::Trust);
    let policies = Policies {
        identity: if attached { Vec::new() } else { vec![policy] },
        resource: if attached { vec![policy] } else { Vec::new() },
        rule: if policy.kind() == Kind::Trust { ResourceRule::Required } else { ResourceRule::Suffices },
        ..Policies::default()
    };
    let explained = explain(&request, &policies);
    assert_eq!(explained.decision, evaluate(&request, &policies));
    let reasons = !explained.matched.is_empty();
    match explained.decision {
        Decision::Allow => {
            assert!(reasons, "allowed by nothing");
            "allowed"
        }
        Decision::Deny(longshore_model::policy::Reason::Explicit(_)) => {
            assert!(reasons, "denied by nothing");
            "denied"
        }
        Decision::Deny(_) => "not allowed",
    }
}
