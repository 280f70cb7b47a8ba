//! Long policies are refused before they are read, and what is read is bounded.

use crate::policy::{Context, Decision, Kind, Malformed, Policies, Policy, Principal, Request, evaluate};
use crate::{AccountId, policy::ResourceRule};

fn statement(resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"*","Resource":"{resource}"}}"#)
}

#[test]
fn each_kind_has_its_limit_and_white_space_does_not_count() {
    let head = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::"#;
    for kind in [Kind::Identity, Kind::Boundary, Kind::Session] {
        let room = kind.limit() - head.len() - 3;
        let full = format!("{head}{}\"}}}}", "x".repeat(room));
        assert_eq!(Policy::parse(kind, &full).unwrap().size(), kind.limit());
        assert!(Policy::parse(kind, &full.replace(',', " ,\n\n  ")).is_ok());
        let over = format!("{head}{}\"}}}}", "x".repeat(room + 1));
        assert_eq!(Policy::parse(kind, &over), Err(Malformed::TooLong { limit: kind.limit() }));
        assert_eq!(Policy::parse(kind, &over).unwrap_err().code(), "LimitExceeded");
    }
}

#[test]
fn ten_mebibytes_and_ten_thousand_statements_are_refused() {
    let long = format!("{{\"Statement\":{}}}", statement(&"x".repeat(10 << 20)));
    let many = format!("{{\"Statement\":[{}]}}", vec![statement("*"); 10_000].join(","));
    let blank = format!("{{\"Statement\":{}}}{}", statement("*"), " ".repeat(10 << 20));
    for text in [long, many, blank] {
        assert!(matches!(Policy::parse(Kind::Resource, &text), Err(Malformed::TooLong { .. })));
    }
}

#[test]
fn the_keys_that_a_policy_asks_for_are_listed() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*",
        "Resource":"arn:aws:iam::1:user/${aws:username}","Condition":{
        "StringEquals":{"aws:ResourceTag/Team":"${aws:PrincipalTag/Team, 'none'}"},"Bool":{"aws:SecureTransport":true}}}}"#;
    let policy = Policy::parse(Kind::Identity, text).unwrap();
    let wanted = ["aws:PrincipalTag/Team", "aws:ResourceTag/Team", "aws:SecureTransport", "aws:username"];
    assert_eq!(policy.context_keys(), wanted);
}

#[test]
fn what_has_no_service_is_denied_as_an_error() {
    let account = AccountId::parse("123456789012").unwrap();
    let principal = Principal::Root(account.clone());
    let context = Context::default();
    let request =
        Request { principal: &principal, action: "RunTask", resource: "*", owner: &account, context: &context };
    let policies = Policies { rule: ResourceRule::Suffices, ..Policies::default() };
    let Decision::Deny(reason) = evaluate(&request, &policies) else { panic!("allowed") };
    let told = "User: arn:aws:iam::123456789012:root is not authorized to perform: RunTask on resource: *";
    assert_eq!(reason.sentence(&request), told);
}
