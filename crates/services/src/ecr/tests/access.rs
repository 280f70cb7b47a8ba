//! Who may do what: by the caller's policies, and by the repository's.

use std::collections::BTreeMap;

use longshore_model::iam::{Caller, Grants, Identity, User};
use longshore_model::registry::Repository;
use longshore_model::{AccountId, Change, Place, State};
use longshore_wire::{Timestamp, json};

use super::SERVICE;
use crate::access::{Asked, judge};

const OWN: &str = "111111111111";
const OTHER: &str = "222222222222";

/// A repository of OWN's with a tag, and a user `ann` in each account.
fn state(own: Option<&str>, repository: Option<&str>) -> State {
    let mut state = State::default();
    let row = Repository {
        policy: repository.map(str::to_owned),
        tags: BTreeMap::from([("team".to_owned(), "web".to_owned())]),
        ..Repository::new(OWN, "team/web", "r", Timestamp::from_millis(0))
    };
    state.apply(&Change::from(row));
    for account in [OWN, OTHER] {
        let inline = own.map(|document| ("it".to_owned(), document.to_owned()));
        let grants = Grants { attached: Vec::new(), inline: inline.into_iter().collect() };
        let user = User {
            account: account.to_owned(),
            name: "ann".to_owned(),
            path: "/".to_owned(),
            id: "AIDA".to_owned(),
            created_at: Timestamp::from_millis(0),
            boundary: None,
            tags: BTreeMap::new(),
            groups: Vec::new(),
            grants: Some(grants),
        };
        state.apply(&user.into());
    }
    state
}

/// Whether ann of an account may do this; what she is told, if not.
fn may(state: &State, account: &str, operation: &str, body: &str) -> Result<(), String> {
    let shape = SERVICE.def.operation(operation).unwrap().input.unwrap().get();
    let input = json::decode(body.replace('\'', "\"").as_bytes(), shape).unwrap();
    let account = AccountId::parse(account).unwrap();
    let place = Place::new("us-east-1", &account);
    let identity =
        Identity::User { name: "ann".to_owned(), path: "/".to_owned(), id: "AIDA".to_owned(), tags: BTreeMap::new() };
    let caller = Caller { account, access_key: String::new(), identity, claims: None };
    let asked = Asked { place: &place, state, input: &input, user: None };
    judge("ecr", operation, &asked, &caller, &caller.context())
}

fn identity(effect: &str, action: &str, more: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"{more}}}}}"#
    )
}

fn resource(effect: &str, account: &str, action: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Principal":{{"AWS":"arn:aws:iam::{account}:user/ann"}}}}}}"#
    )
}

const PULL: &str = "{'registryId':'111111111111','repositoryName':'team/web','imageIds':[{'imageTag':'a'}]}";

fn check(own: Option<&str>, repository: Option<&str>, wanted: (bool, bool)) {
    let state = state(own, repository);
    let found = [OWN, OTHER].map(|account| may(&state, account, "BatchGetImage", PULL).is_ok());
    assert_eq!((found[0], found[1]), wanted, "{own:?} {repository:?}");
}

#[test]
fn a_callers_policy_and_the_repositorys_are_asked_and_both_of_another_accounts() {
    let (allow, pulls) = (identity("Allow", "ecr:*", ""), "ecr:BatchGetImage");
    let (own, other) = (resource("Allow", OWN, pulls), resource("Allow", OTHER, pulls));
    check(None, None, (false, false));
    check(Some(&allow), None, (true, false));
    check(None, Some(&own), (true, false));
    check(None, Some(&other), (false, false));
    check(Some(&allow), Some(&other), (true, true));
    check(Some(&allow), Some(&resource("Deny", OWN, pulls)), (false, false));
    check(Some(&identity("Deny", "ecr:BatchGetImage", "")), Some(&own), (false, false));
    check(Some(&allow), Some("{"), (false, false));
    check(Some(&identity("Allow", "ecr:PutImage", "")), None, (false, false));
    let tagged = |value| {
        identity("Allow", "ecr:*", &format!(r#","Condition":{{"StringEquals":{{"ecr:ResourceTag/team":"{value}"}}}}"#))
    };
    check(Some(&tagged("web")), None, (true, false));
    check(Some(&tagged("shop")), None, (false, false));
}

#[test]
fn a_refusal_names_the_repository_whoevers_it_is() {
    let state = state(None, None);
    let told = may(&state, OTHER, "BatchGetImage", PULL).unwrap_err();
    assert!(
        told.contains("ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:111111111111:repository/team/web"),
        "{told}"
    );
    let told = may(&state, OWN, "DescribeRepositories", "{}").unwrap_err();
    assert!(told.contains("arn:aws:ecr:us-east-1:111111111111:repository/*"), "{told}");
    let told = may(&state, OWN, "GetAuthorizationToken", "{}").unwrap_err();
    assert!(told.contains("ecr:GetAuthorizationToken on resource: *"), "{told}");
}

#[test]
fn a_repository_is_judged_by_its_own_arn_however_it_is_named() {
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"},
        {"Effect":"Deny","Action":"ecr:*","Resource":"arn:aws:ecr:us-east-1:111111111111:repository/team/web"}]}"#;
    let state = state(Some(deny), None);
    let tag = |arn: &str| may(&state, OWN, "TagResource", &format!("{{'resourceArn':'{arn}','tags':[]}}"));
    for place in ["aws:ecr:us-east-1", "aws:ecr:eu-west-1"] {
        assert!(tag(&format!("arn:{place}:111111111111:repository/team/web")).is_err(), "{place}");
    }
    assert_eq!(tag("arn:aws:ecr:us-east-1:111111111111:repository/team/other"), Ok(()));
    // One of another partition is found by nobody.
    let registry = super::Registry::new();
    for partition in ["zz", "aws-cn", ""] {
        let arn = format!("arn:{partition}:ecr:us-east-1:123456789012:repository/team/web");
        let input = serde_json::json!({"resourceArn": arn, "tags": [{"Key": "a", "Value": "b"}]});
        let fault = registry.fault("TagResource", input);
        assert!(fault.starts_with("InvalidParameterException"), "{partition}: {fault}");
        let fault = registry.fault("ListTagsForResource", serde_json::json!({"resourceArn": arn}));
        assert!(fault.starts_with("InvalidParameterException"), "{partition}: {fault}");
    }
}

#[test]
fn tags_of_a_request_are_seen_by_conditions() {
    let condition = r#","Condition":{"StringEquals":{"aws:RequestTag/team":"web"}}"#;
    let state = state(Some(&identity("Allow", "ecr:*", condition)), None);
    let made = |tags: &str| may(&state, OWN, "CreateRepository", &format!("{{'repositoryName':'ab','tags':[{tags}]}}"));
    assert_eq!(made("{'Key':'team','Value':'web'}"), Ok(()));
    assert!(made("{'Key':'team','Value':'shop'}").is_err());
    assert!(made("").is_err());
}
