//! Who may do what by which policies.

use crate::AccountId;
use crate::policy::{Decision, Kind, Policies, Policy, Principal, Request, ResourceRule, evaluate};

const TASK: &str = "arn:aws:ecs:us-east-1:111111111111:task/prod/0123";
const ROLE: &str = "arn:aws:iam::111111111111:role/path/app";
const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/app/one";
const USER: &str = "arn:aws:iam::111111111111:user/path/ann";

fn account(digit: char) -> AccountId {
    AccountId::parse(&digit.to_string().repeat(12)).unwrap()
}

fn user() -> Principal {
    Principal::User { account: account('1'), arn: USER.to_owned() }
}

fn session() -> Principal {
    Principal::Session { account: account('1'), role: ROLE.to_owned(), arn: SESSION.to_owned() }
}

fn root() -> Principal {
    Principal::Root(account('1'))
}

fn federated() -> Principal {
    Principal::Federated { account: account('1'), arn: "arn:aws:sts::111111111111:federated-user/ann".to_owned() }
}

fn tasks() -> Principal {
    Principal::Service("ecs-tasks.amazonaws.com".to_owned())
}

/// The policies of a case by kind, as single statements; `'` stands for `"`.
#[derive(Default, Clone, Copy)]
struct Case<'a> {
    identity: &'a [&'a str],
    boundary: Option<&'a str>,
    session: Option<&'a [&'a str]>,
    resource: &'a [&'a str],
    trust: Option<&'a str>,
    key: Option<&'a str>,
    other_account: bool,
    action: Option<&'a str>,
}

fn policy(kind: Kind, statement: &str) -> Policy {
    let text = format!("{{'Version':'2012-10-17','Statement':{{{statement}}}}}").replace('\'', "\"");
    Policy::parse(kind, &text).unwrap_or_else(|error| panic!("{statement}: {error}"))
}

fn all(kind: Kind, statements: &[&str]) -> Vec<Policy> {
    statements.iter().map(|statement| policy(kind, statement)).collect()
}

/// `allowed`, or what stands behind the resource in AWS's sentence.
fn told(principal: &Principal, case: Case<'_>) -> String {
    let identity = all(Kind::Identity, case.identity);
    let boundary = case.boundary.map(|statement| policy(Kind::Boundary, statement));
    let session = case.session.map(|statements| all(Kind::Session, statements));
    let mut resource = all(Kind::Resource, case.resource);
    resource.extend(case.trust.map(|statement| policy(Kind::Trust, statement)));
    resource.extend(case.key.map(|statement| policy(Kind::Resource, statement)));
    let own = case.trust.is_some() || case.key.is_some();
    let policies = Policies {
        identity: identity.iter().collect(),
        boundary: boundary.as_ref(),
        session: session.as_ref().map(|policies| policies.iter().collect()),
        resource: resource.iter().collect(),
        rule: if own { ResourceRule::Required } else { ResourceRule::Suffices },
    };
    let owner = account(if case.other_account { '2' } else { '1' });
    let mut context = principal.context();
    context.set("aws:SourceIp", ["10.0.0.1"]);
    let resource = if case.trust.is_some() { ROLE } else { TASK };
    let action = case.action.unwrap_or("ecs:StopTask");
    let request = Request { principal, action, resource, owner: &owner, context: &context };
    match evaluate(&request, &policies) {
        Decision::Allow => "allowed".to_owned(),
        Decision::Deny(reason) => {
            let sentence = reason.sentence(&request);
            let head =
                format!("User: {} is not authorized to perform: {action} on resource: {resource} ", principal.arn());
            sentence.strip_prefix(&head).unwrap_or_else(|| panic!("{sentence}")).to_owned()
        }
    }
}

fn check(principal: &Principal, case: Case<'_>, wanted: &str) {
    assert_eq!(told(principal, case), wanted);
}

const NO_IDENTITY: &str = "because no identity-based policy allows the ecs:StopTask action";
const NO_BOUNDARY: &str = "because no permissions boundary allows the ecs:StopTask action";
const NO_SESSION: &str = "because no session policy allows the ecs:StopTask action";
const NO_RESOURCE: &str = "because no resource-based policy allows the ecs:StopTask action";

const ALLOW: &str = "'Effect':'Allow','Action':'ecs:*','Resource':'*'";
const DENY: &str = "'Effect':'Deny','Action':'ecs:stop*','Resource':'*'";
const OTHER: &str = "'Effect':'Allow','Action':'s3:*','Resource':'*'";
const TO_USER: &str = "'Effect':'Allow','Action':'ecs:*','Principal':{'AWS':'arn:aws:iam::111111111111:user/path/ann'}";
const TO_ROLE: &str = "'Effect':'Allow','Action':'ecs:*','Principal':{'AWS':'arn:aws:iam::111111111111:role/path/app'}";
const TO_SESSION: &str =
    "'Effect':'Allow','Action':'ecs:*','Principal':{'AWS':'arn:aws:sts::111111111111:assumed-role/app/one'}";
const TO_ACCOUNT: &str = "'Effect':'Allow','Action':'ecs:*','Principal':{'AWS':'111111111111'}";
const TO_ALL: &str = "'Effect':'Allow','Action':'ecs:*','Principal':'*'";
const DENY_ALL: &str = "'Effect':'Deny','Action':'ecs:*','Principal':'*'";

#[test]
fn nothing_is_allowed_that_no_policy_allows() {
    check(&user(), Case::default(), NO_IDENTITY);
    check(&user(), Case { identity: &[OTHER], ..Case::default() }, NO_IDENTITY);
    check(&user(), Case { identity: &[OTHER, ALLOW], ..Case::default() }, "allowed");
    check(&session(), Case { identity: &[ALLOW], ..Case::default() }, "allowed");
    check(&root(), Case::default(), "allowed");
    check(&tasks(), Case::default(), NO_RESOURCE);
    let who = Some("sts:GetCallerIdentity");
    let denied: &[&str] = &["'Effect':'Deny','Action':'*','Resource':'*'"];
    check(&user(), Case { identity: denied, action: who, ..Case::default() }, "allowed");
}

#[test]
fn an_explicit_deny_wins_wherever_it_stands() {
    let full = Case { identity: &[ALLOW], resource: &[TO_SESSION], ..Case::default() };
    check(&session(), full, "allowed");
    for (case, wanted) in [
        (Case { identity: &[ALLOW, DENY], ..full }, "with an explicit deny in an identity-based policy"),
        (Case { boundary: Some(DENY), ..full }, "with an explicit deny in a permissions boundary"),
        (Case { session: Some(&[ALLOW, DENY]), ..full }, "with an explicit deny in a session policy"),
        (Case { resource: &[TO_SESSION, DENY_ALL], ..full }, "with an explicit deny in a resource-based policy"),
    ] {
        check(&session(), case, wanted);
    }
    check(
        &root(),
        Case { resource: &[DENY_ALL], ..Case::default() },
        "with an explicit deny in a resource-based policy",
    );
}

#[test]
fn boundary_and_session_policy_only_narrow() {
    let full = Case { identity: &[ALLOW], boundary: Some(ALLOW), session: Some(&[ALLOW]), ..Case::default() };
    check(&session(), full, "allowed");
    check(&session(), Case { identity: &[], ..full }, NO_IDENTITY);
    check(&session(), Case { boundary: Some(OTHER), ..full }, NO_BOUNDARY);
    check(&session(), Case { session: Some(&[OTHER]), ..full }, NO_SESSION);
    check(&session(), Case { session: Some(&[]), ..full }, NO_SESSION);
    check(&session(), Case { session: Some(&[OTHER, ALLOW]), ..full }, "allowed");
    check(&federated(), Case { identity: &[ALLOW], ..Case::default() }, NO_SESSION);
    check(&federated(), Case { identity: &[ALLOW], session: Some(&[ALLOW]), ..Case::default() }, "allowed");
}

#[test]
fn a_resource_policy_within_the_account_suffices_as_far_as_it_names_the_caller() {
    let narrow = Case { boundary: Some(OTHER), session: Some(&[OTHER]), ..Case::default() };
    for (principal, named, bare, narrowed) in [
        (user(), TO_USER, "allowed", "allowed"),
        (session(), TO_SESSION, "allowed", "allowed"),
        (session(), TO_ROLE, "allowed", NO_BOUNDARY),
        (session(), TO_ALL, "allowed", NO_BOUNDARY),
        (user(), TO_ALL, "allowed", NO_BOUNDARY),
        (session(), TO_ACCOUNT, NO_IDENTITY, NO_IDENTITY),
        (user(), TO_ACCOUNT, NO_IDENTITY, NO_IDENTITY),
        (user(), TO_ROLE, NO_IDENTITY, NO_IDENTITY),
        (session(), TO_USER, NO_IDENTITY, NO_IDENTITY),
    ] {
        check(&principal, Case { resource: &[named], ..Case::default() }, bare);
        check(&principal, Case { resource: &[named], ..narrow }, narrowed);
    }
    let limited = Case { resource: &[TO_ROLE], session: Some(&[OTHER]), ..Case::default() };
    check(&session(), limited, NO_SESSION);
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let across = Case { other_account: true, ..Case::default() };
    check(&user(), across, NO_IDENTITY);
    check(&user(), Case { identity: &[ALLOW], ..across }, NO_RESOURCE);
    check(&user(), Case { resource: &[TO_USER], ..across }, NO_IDENTITY);
    check(&root(), across, NO_RESOURCE);
    check(&root(), Case { resource: &[TO_ACCOUNT], ..across }, "allowed");
    for resource in [TO_USER, TO_ACCOUNT, TO_ALL] {
        let both = Case { identity: &[ALLOW], resource: &[resource], ..across };
        check(&user(), both, "allowed");
        check(&user(), Case { boundary: Some(OTHER), ..both }, NO_BOUNDARY);
    }
    let named = Case { identity: &[ALLOW], resource: &[TO_SESSION], session: Some(&[OTHER]), ..across };
    check(&session(), named, NO_SESSION);
}

#[test]
fn a_role_is_never_passed_to_another_account() {
    let pass = "'Effect':'Allow','Action':'iam:PassRole','Resource':'*'";
    let case = Case { identity: &[pass], action: Some("iam:PassRole"), ..Case::default() };
    check(&user(), case, "allowed");
    let wanted = "because no resource-based policy allows the iam:PassRole action";
    check(&user(), Case { other_account: true, resource: &[TO_ALL], ..case }, wanted);
    check(&root(), Case { other_account: true, ..case }, wanted);
}

const TRUST_TASKS: &str =
    "'Effect':'Allow','Action':'sts:AssumeRole','Principal':{'Service':'ecs-tasks.amazonaws.com'}";
const TRUST_USER: &str =
    "'Effect':'Allow','Action':'sts:AssumeRole','Principal':{'AWS':'arn:aws:iam::111111111111:user/path/ann'}";
const TRUST_ACCOUNT: &str = "'Effect':'Allow','Action':'sts:AssumeRole','Principal':{'AWS':'111111111111'}";
const ASSUME: &str = "'Effect':'Allow','Action':'sts:AssumeRole','Resource':'*'";

#[test]
fn a_role_is_taken_by_those_its_trust_policy_names() {
    let no_trust = "because no role trust policy allows the sts:AssumeRole action";
    let no_identity = "because no identity-based policy allows the sts:AssumeRole action";
    let base = Case { action: Some("sts:AssumeRole"), ..Case::default() };
    let trusted = |trust| Case { trust: Some(trust), ..base };
    check(&tasks(), trusted(TRUST_TASKS), "allowed");
    check(&tasks(), trusted(TRUST_USER), no_trust);
    check(&user(), Case { identity: &[ASSUME], ..trusted(TRUST_TASKS) }, no_trust);
    check(&user(), trusted(TRUST_USER), "allowed");
    check(&user(), trusted(TRUST_ACCOUNT), no_identity);
    check(&user(), Case { identity: &[ASSUME], ..trusted(TRUST_ACCOUNT) }, "allowed");
    check(&user(), Case { other_account: true, ..trusted(TRUST_USER) }, no_identity);
    check(&user(), Case { other_account: true, identity: &[ASSUME], ..trusted(TRUST_USER) }, "allowed");
    check(&root(), trusted(TRUST_TASKS), no_trust);
    let deny = "'Effect':'Deny','Action':'sts:*','Principal':'*'";
    check(&user(), Case { identity: &[ASSUME], ..trusted(deny) }, "with an explicit deny in the role trust policy");
}

#[test]
fn a_key_is_used_by_those_its_own_policy_names() {
    let key = |key| Case { key: Some(key), identity: &[ALLOW], ..Case::default() };
    check(&user(), key(TO_ROLE), NO_RESOURCE);
    check(&user(), key(TO_ACCOUNT), "allowed");
    check(&user(), Case { identity: &[], ..key(TO_ACCOUNT) }, NO_IDENTITY);
    check(&user(), Case { identity: &[], ..key(TO_USER) }, "allowed");
    check(&root(), key(TO_ACCOUNT), "allowed");
    check(&root(), key(TO_ROLE), NO_RESOURCE);
    let narrow = Case { identity: &[], session: Some(&[OTHER]), ..key(TO_ROLE) };
    check(&session(), narrow, NO_SESSION);
}

#[test]
fn elements_with_not_mean_everything_else() {
    let one = |identity: &[&str]| told(&user(), Case { identity, ..Case::default() });
    for (statement, wanted) in [
        ("'Effect':'Allow','NotAction':'iam:*','Resource':'*'", "allowed"),
        ("'Effect':'Allow','NotAction':['iam:*','ECS:stoptask'],'Resource':'*'", NO_IDENTITY),
        ("'Effect':'Allow','Action':'*','NotResource':'arn:aws:ecs:*:*:service/*'", "allowed"),
        ("'Effect':'Allow','Action':'*','NotResource':'arn:aws:ecs:*:*:task/prod/*'", NO_IDENTITY),
        ("'Effect':'Allow','Action':'*','NotResource':'arn:aws:ecs:*:*:task/${aws:SourceVpc}'", NO_IDENTITY),
        ("'Effect':'Allow','Action':'*','Resource':'arn:aws:ecs:*:*:task/${aws:SourceVpc, 'prod'}/*'", "allowed"),
        ("'Effect':'Allow','Action':'ecs:St?pT*k','Resource':'arn:aws:ecs:us-*-1:*:task/prod/????'", "allowed"),
        (
            "'Effect':'Allow','Action':'ecs:StopTask','Resource':'arn:aws:ecs:us-east-1:111111111111:TASK/*'",
            NO_IDENTITY,
        ),
    ] {
        let statement = statement.replace("'prod'}", "\\u0027prod\\u0027}");
        assert_eq!(one(&[&statement]), wanted, "{statement}");
    }
    let deny = "'Effect':'Deny','Action':'*','NotResource':'arn:aws:ecs:*:*:task/${aws:SourceVpc}'";
    assert_eq!(one(&[ALLOW, deny]), "with an explicit deny in an identity-based policy");
}

#[test]
fn not_principal_spares_those_it_names() {
    let deny = |named: &str| format!("'Effect':'Deny','Action':'*','NotPrincipal':{{'AWS':'{named}'}}");
    let denied = "with an explicit deny in a resource-based policy";
    for (principal, named, boundary, wanted) in [
        (user(), USER, None, "allowed"),
        (user(), "111111111111", None, "allowed"),
        (user(), ROLE, None, denied),
        (session(), ROLE, None, "allowed"),
        (session(), SESSION, None, "allowed"),
        (user(), USER, Some(ALLOW), "allowed"),
        (user(), "111111111111", Some(ALLOW), denied),
        (root(), "111111111111", None, "allowed"),
        (root(), "222222222222", None, denied),
    ] {
        let statement = deny(named);
        check(&principal, Case { identity: &[ALLOW], boundary, resource: &[&statement], ..Case::default() }, wanted);
    }
    let allow = "'Effect':'Allow','Action':'*','NotPrincipal':{'AWS':'arn:aws:iam::111111111111:user/path/ann'}";
    check(&user(), Case { resource: &[allow], ..Case::default() }, NO_IDENTITY);
    check(&session(), Case { resource: &[allow], ..Case::default() }, "allowed");
}

#[test]
fn what_cannot_be_said_allows_nothing_and_denies() {
    let unclear = "'Condition':{'StringNotEquals':{'aws:PrincipalType':'${aws:SourceVpc}'}}";
    let allow = format!("{ALLOW},{unclear}");
    let deny = format!("{DENY},{unclear}");
    check(&user(), Case { identity: &[&allow], ..Case::default() }, NO_IDENTITY);
    let denied = "with an explicit deny in an identity-based policy";
    check(&user(), Case { identity: &[ALLOW, &deny], ..Case::default() }, denied);
}

#[test]
fn conditions_of_a_statement_must_all_hold() {
    let with = |condition: &str| {
        let statement = format!("{ALLOW},'Condition':{condition}");
        told(&user(), Case { identity: &[&statement], ..Case::default() })
    };
    for (condition, wanted) in [
        ("{'StringEquals':{'aws:username':'ann'}}", "allowed"),
        ("{'StringEquals':{'AWS:Username':['bob','ann']}}", "allowed"),
        ("{'StringEquals':{'aws:username':'Ann'}}", NO_IDENTITY),
        ("{'StringEquals':{'aws:username':'ann','aws:PrincipalType':'User'}}", "allowed"),
        ("{'StringEquals':{'aws:username':'ann','aws:PrincipalType':'Account'}}", NO_IDENTITY),
        ("{'StringEquals':{'aws:username':'ann'},'IpAddress':{'aws:SourceIp':'11.0.0.0/8'}}", NO_IDENTITY),
        ("{'StringEquals':{'aws:username':'ann'},'IpAddress':{'aws:SourceIp':'10.0.0.0/8'}}", "allowed"),
        ("{'Null':{'aws:TokenIssueTime':'true'}}", "allowed"),
        ("{'ArnLike':{'aws:PrincipalArn':'arn:aws:iam::*:user/*'}}", "allowed"),
        ("{'Bool':{'aws:PrincipalIsAWSService':'false'}}", "allowed"),
    ] {
        assert_eq!(with(condition), wanted, "{condition}");
    }
}
