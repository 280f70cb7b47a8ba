//! Policies that are not understood are refused, in AWS's words where there are any.

use crate::policy::{Kind, Policy};

const SYNTAX: &str = "Syntax errors in policy.";
const VERSION: &str = "Policy document must be version 2012-10-17 or greater.";
const ACTIONS: &str = "Policy statement must contain actions.";
const RESOURCES: &str = "Policy statement must contain resources.";
const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";

/// The policy of one statement; `'` stands for `"`.
fn of(statement: &str) -> String {
    format!("{{'Version':'2012-10-17','Statement':{{{statement}}}}}")
}

/// The message begins with `wanted`.
fn check(kind: Kind, text: &str, wanted: &str) {
    let text = text.replace('\'', "\"");
    match Policy::parse(kind, &text) {
        Ok(_) => panic!("{kind:?} {text} is taken"),
        Err(error) => assert!(error.to_string().starts_with(wanted), "{kind:?} {text}: {error}"),
    }
}

fn taken(kind: Kind, text: &str) {
    let text = text.replace('\'', "\"");
    let policy = Policy::parse(kind, &text).unwrap_or_else(|error| panic!("{kind:?} {text}: {error}"));
    assert_eq!(policy.source(), text);
    assert_eq!(policy.kind(), kind);
}

#[test]
fn what_is_no_policy_is_refused() {
    for text in [
        "",
        "[]",
        "null",
        "'x'",
        "1",
        "{",
        "{}",
        "{}{}",
        "\u{feff}{}",
        "{'Version':'2012-10-17'}",
        "{'Statement':[]}",
        "{'Statement':[[]]}",
        "{'Statement':'x'}",
        "{'Statement':null}",
        "{'Statement':{}, 'Extra':1}",
        "{'Id':1,'Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}",
        "{'Version':'2012-10-17','Version':'2012-10-17','Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}",
        "{'statement':{'Effect':'Allow','Action':'*','Resource':'*'}}",
        "{'Statement':{'Effect':'Allow','Action':'\u{1}','Resource':'*'}}",
    ] {
        if !text.starts_with("{'Statement':{}") {
            check(Kind::Identity, text, SYNTAX);
        }
        assert!(Policy::parse(Kind::Identity, &text.replace('\'', "\"")).is_err());
    }
    let nested = format!("{{\"Statement\":{}{}}}", "[".repeat(900), "]".repeat(900));
    check(Kind::Identity, &nested, SYNTAX);
}

#[test]
fn versions_are_two() {
    for version in ["'2012-10-18'", "'2008-10-18'", "''", "20121017", "null", "['2012-10-17']"] {
        let text = format!("{{'Version':{version},'Statement':{{'Effect':'Allow','Action':'*','Resource':'*'}}}}");
        check(Kind::Identity, &text, VERSION);
    }
    for version in ["'Version':'2012-10-17',", "'Version':'2008-10-17',", ""] {
        let text = format!("{{{version}'Statement':[{{'Effect':'Allow','Action':'*','Resource':'*'}}]}}");
        taken(Kind::Identity, &text);
    }
}

#[test]
fn statements_have_the_elements_that_their_kind_asks_for() {
    let allow = "'Effect':'Allow'";
    let all = "'Effect':'Allow','Action':'*','Resource':'*'";
    let cases: &[(Kind, &str, &str)] = &[
        (Kind::Identity, "'Action':'*','Resource':'*'", "Missing required field Effect"),
        (Kind::Identity, "'Effect':'allow','Action':'*','Resource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':['Allow'],'Action':'*','Resource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':'Allow','Resource':'*'", ACTIONS),
        (Kind::Identity, "'Effect':'Allow','Action':[],'Resource':'*'", ACTIONS),
        (Kind::Identity, "'Effect':'Allow','Action':'*'", RESOURCES),
        (Kind::Identity, "'Effect':'Allow','Action':'*','Resource':[]", RESOURCES),
        (Kind::Identity, "'Effect':'Allow','Action':'*','NotAction':'*','Resource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':'Allow','Action':'*','Resource':'*','NotResource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':'Allow','Action':{'x':1},'Resource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':'Allow','Action':[1],'Resource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':'Allow','Action':null,'Resource':'*'", SYNTAX),
        (Kind::Identity, "'Effect':'Allow','Action':'**','Resource':'*'", VENDOR),
        (Kind::Identity, "'Effect':'Allow','Action':'','Resource':'*'", VENDOR),
        (Kind::Identity, "'Effect':'Allow','Action':'*:*','Resource':'*'", "Vendor * is not valid"),
        (Kind::Identity, "'Effect':'Allow','Action':'e s:*','Resource':'*'", "Vendor e s is not valid"),
        (Kind::Identity, "'Effect':'Allow','Action':':x','Resource':'*'", "Vendor  is not valid"),
        (Kind::Identity, "'Effect':'Allow','Action':'ecs:','Resource':'*'", "The policy failed legacy parsing"),
        (Kind::Identity, "'Effect':'Allow','Action':'ecs:é','Resource':'*'", "The policy failed legacy parsing"),
        (
            Kind::Identity,
            "'Effect':'Allow','Action':'ecs:a:b','Resource':'*'",
            "Actions/Condition can contain only one colon.",
        ),
        (Kind::Identity, "'Effect':'Allow','Action':'*','Resource':'x'", "Resource x must be in ARN format or \"*\"."),
        (Kind::Session, &format!("{all},'Principal':'*'"), "Policy document should not specify a principal."),
        (Kind::Boundary, &format!("{all},'NotPrincipal':'*'"), "Policy document should not specify a principal."),
        (
            Kind::Identity,
            &format!("{all},'Principal':{{'AWS':'*'}}"),
            "Policy document should not specify a principal.",
        ),
        (Kind::Identity, &format!("{all},'Unknown':1"), SYNTAX),
        (Kind::Identity, &format!("{all},'Sid':1"), SYNTAX),
        (Kind::Identity, &format!("{all},'Sid':'a b'"), "Statement IDs (SID) must be alpha-numeric."),
        (Kind::Identity, &format!("{all},'Condition':[]"), SYNTAX),
        (Kind::Identity, &format!("{all},'Condition':{{'StringEquals':[]}}"), SYNTAX),
        (Kind::Identity, &format!("{all},'Condition':{{'StringEquals':{{'aws:userid':null}}}}"), SYNTAX),
        (Kind::Identity, &format!("{all},'Condition':{{'StringEquals':{{'aws:userid':[[]]}}}}"), SYNTAX),
        (Kind::Identity, &format!("{all},'Condition':{{'StringEquals':{{'userid':'x'}}}}"), VENDOR),
        (Kind::Identity, &format!("{all},'Condition':{{'StringSame':{{}}}}"), SYNTAX),
        (
            Kind::Identity,
            &format!("{all},'Condition':{{'StringEquals':{{'aws:userid':'x','AWS:UserId':'y'}}}}"),
            SYNTAX,
        ),
        (Kind::Resource, all, "Missing required field Principal"),
        (Kind::Resource, &format!("{all},'Principal':{{}}"), "Missing required field Principal"),
        (Kind::Resource, &format!("{all},'Principal':'x'"), "Invalid principal in policy: \"x\""),
        (Kind::Resource, &format!("{all},'Principal':1"), SYNTAX),
        (Kind::Resource, &format!("{all},'Principal':'*','NotPrincipal':'*'"), SYNTAX),
        (Kind::Trust, &format!("{allow},'Action':'sts:AssumeRole'"), "Missing required field Principal"),
        (
            Kind::Trust,
            &format!("{allow},'Action':'sts:AssumeRole','NotPrincipal':{{'AWS':'123456789012'}}"),
            "Has prohibited field NotPrincipal",
        ),
        (
            Kind::Trust,
            &format!("{allow},'Action':'sts:AssumeRole','Principal':'*','Resource':'*'"),
            "Has prohibited field Resource",
        ),
        (
            Kind::Trust,
            &format!("{allow},'Action':'ecs:*','Principal':'*'"),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
    ];
    for (kind, statement, wanted) in cases {
        check(*kind, &of(statement), wanted);
    }
}

#[test]
fn principals_are_accounts_users_roles_sessions_and_services() {
    let with = |kind: &str, value: &str| {
        of(&format!("'Effect':'Allow','Action':'sts:AssumeRole','Principal':{{'{kind}':'{value}'}}"))
    };
    for (kind, value) in [
        ("AWS", "*"),
        ("AWS", "123456789012"),
        ("AWS", "arn:aws:iam::123456789012:root"),
        ("AWS", "arn:aws:iam::123456789012:user/path/name"),
        ("AWS", "arn:aws:iam::123456789012:role/name"),
        ("AWS", "arn:aws:sts::123456789012:assumed-role/name/session"),
        ("AWS", "arn:aws:sts::123456789012:federated-user/name"),
        ("Service", "ecs-tasks.amazonaws.com"),
        ("Federated", "arn:aws:iam::123456789012:saml-provider/x"),
    ] {
        taken(Kind::Trust, &with(kind, value));
    }
    for (kind, value) in [
        ("AWS", ""),
        ("AWS", "12345678901"),
        ("AWS", "arn:aws:iam::123456789012:user/*"),
        ("AWS", "arn:aws:iam::123456789012:group/x"),
        ("AWS", "arn:aws:iam::123456789012:user/"),
        ("AWS", "arn:aws:iam::123456789012:root/x"),
        ("AWS", "arn:aws:iam:us-east-1:123456789012:user/x"),
        ("AWS", "arn:aws:iam::*:root"),
        ("AWS", "arn:aws:ecs::123456789012:role/x"),
        ("AWS", "arn:aws:iam::123456789012:user/${aws:username}"),
        ("Service", "*"),
        ("Service", "ecs-tasks"),
        ("Service", "ecs*.amazonaws.com"),
        ("Federated", "*"),
        ("aws", "*"),
        ("Anyone", "*"),
    ] {
        check(
            Kind::Trust,
            &with(kind, value),
            &format!("Invalid principal in policy: '{kind}':'{value}'").replace('\'', "\""),
        );
    }
}

#[test]
fn statement_ids_are_unique() {
    let two = |one: &str, other: &str| {
        let statement = |sid: &str| format!("{{'Sid':'{sid}','Effect':'Allow','Action':'*','Resource':'*'}}");
        format!("{{'Statement':[{},{}]}}", statement(one), statement(other))
    };
    check(Kind::Identity, &two("a", "a"), "Statement IDs (SID) in a single policy must be unique.");
    taken(Kind::Identity, &two("a", "A"));
    taken(Kind::Identity, &two("", ""));
    let named = "{'Statement':{'Sid':'Enable IAM users','Effect':'Allow','Action':'*','Resource':'*','Principal':'*'}}";
    taken(Kind::Resource, named);
}

#[test]
fn texts_of_documents_that_are_in_use_are_taken() {
    for (kind, statement) in [
        (Kind::Identity, "'Effect':'Allow','NotAction':['iam:*','sts:*'],'NotResource':'arn:aws:s3:::b/*'"),
        (Kind::Identity, "'Effect':'Deny','Action':'ecs:*','Resource':['arn:aws:ecs:*:*:task/*/${aws:username}']"),
        (Kind::Identity, "'Effect':'Allow','Action':'*','Resource':'*','Condition':{}"),
        (Kind::Identity, "'Effect':'Allow','Action':'*','Resource':'*','Condition':{'Bool':{}}"),
        (
            Kind::Identity,
            "'Effect':'Allow','Action':'*','Resource':'*','Condition':{'Bool':{'aws:SecureTransport':true}}",
        ),
        (
            Kind::Identity,
            "'Effect':'Allow','Action':'*','Resource':'*','Condition':{'NumericLessThan':{'s3:max-keys':[1,2.5]}}",
        ),
        (
            Kind::Identity,
            "'Effect':'Allow','Action':'iam:PassRole','Resource':'*','Condition':{'StringLike':{'iam:PassedToService':'ecs-tasks.amazonaws.com'}}",
        ),
        (Kind::Resource, "'Effect':'Allow','Action':['ecr:BatchGetImage'],'Principal':{'AWS':['*']}"),
        (
            Kind::Resource,
            "'Effect':'Deny','Action':'*','Resource':'*','NotPrincipal':{'AWS':'123456789012','Service':'ecs.amazonaws.com'}",
        ),
        (
            Kind::Trust,
            "'Effect':'Allow','Principal':{'Service':['ecs-tasks.amazonaws.com']},'Action':['sts:AssumeRole','sts:TagSession'],'Condition':{'ArnLike':{'aws:SourceArn':'arn:aws:ecs:us-west-2:111122223333:*'},'StringEquals':{'aws:SourceAccount':'111122223333'}}",
        ),
    ] {
        taken(kind, &of(statement));
    }
}
