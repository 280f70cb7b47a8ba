//! Rules of replication, and what pushes lead to; who may bring copies.

use longshore_model::iam::Caller;
use longshore_model::registry::{Destination, RegistrySettings};
use longshore_model::{AccountId, State};

use super::*;
use crate::access::Replica;

const OWN: &str = "123456789012";
const OTHER: &str = "222222222222";

fn place(registry: &str, region: &str) -> Value {
    json!({"region": region, "registryId": registry})
}

/// A registry that knows peers of its own account in two regions, and one of another account in its own.
fn with_peers() -> Registry {
    let mut bench = Bench::new();
    let peer = |registry: &str, region: &str| Destination { region: region.to_owned(), registry: registry.to_owned() };
    bench.settings.peers = [peer(OWN, "eu-west-1"), peer(OWN, "eu-west-2"), peer(OTHER, "us-east-1")].into();
    let registry = Registry(bench);
    registry.ok("CreateRepository", json!({"repositoryName": NAME}));
    registry
}

fn put(rules: Value) -> Value {
    json!({"replicationConfiguration": {"rules": rules}})
}

fn statuses(registry: &Registry, digest: &str) -> Value {
    let input = json!({"repositoryName": NAME, "imageId": {"imageDigest": digest}});
    registry.ok("DescribeImageReplicationStatus", input)["replicationStatuses"].clone()
}

#[test]
fn rules_are_kept_and_shown_and_replaced() {
    let registry = with_peers();
    let rules = json!([
        {"destinations": [place(OWN, "eu-west-1"), place(OTHER, "us-east-1")],
         "repositoryFilters": [{"filter": "team/", "filterType": "PREFIX_MATCH"}]},
        {"destinations": [place(OWN, "eu-west-2")], "deleteReplication": {"enabled": false}},
    ]);
    let answer = registry.ok("PutReplicationConfiguration", put(rules.clone()));
    assert_eq!(answer["replicationConfiguration"]["rules"], rules);
    let shown = registry.ok("DescribeRegistry", json!({}));
    assert_eq!(shown, json!({"registryId": OWN, "replicationConfiguration": {"rules": rules}}));
    registry.ok("PutReplicationConfiguration", put(json!([])));
    assert_eq!(registry.ok("DescribeRegistry", json!({}))["replicationConfiguration"]["rules"], json!([]));
}

#[test]
fn rules_that_cannot_be_followed_are_refused() {
    let registry = with_peers();
    let filter = |text: &str| {
        let filters = json!([{"filter": text, "filterType": "PREFIX_MATCH"}]);
        json!([{"destinations": [place(OWN, "eu-west-1")], "repositoryFilters": filters}])
    };
    let rule = json!({"destinations": [place(OWN, "eu-west-1")]});
    let deletes = json!([{"destinations": [place(OWN, "eu-west-1")], "deleteReplication": {"enabled": true}}]);
    let many: Vec<Value> = (0..60).map(|number| place(&format!("{number:012}"), "eu-west-1")).collect();
    let more: Vec<Value> = (60..101).map(|number| place(&format!("{number:012}"), "eu-west-1")).collect();
    for (rules, wanted) in [
        (json!([{"destinations": [place(OWN, "us-east-1")]}]), "InvalidParameterException: Invalid parameter at"),
        (
            json!([{"destinations": [place(OWN, "ap-south-1")]}]),
            "ValidationException: Longshore has not been told where",
        ),
        (
            json!([{"destinations": [place("333333333333", "eu-west-1")]}]),
            "ValidationException: Longshore has not been",
        ),
        (deletes, "ValidationException: Replication of deletions"),
        (json!([{"destinations": many}, {"destinations": more}]), "InvalidParameterException: Invalid parameter at"),
        (json!([{}]), "InvalidParameterException"),
        (json!([{"destinations": [place("12", "eu-west-1")]}]), "InvalidParameterException"),
        (filter("UPPER"), "InvalidParameterException"),
        (filter("a"), "InvalidParameterException"),
        (json!(vec![rule; 26]), "InvalidParameterException"),
    ] {
        let fault = registry.fault("PutReplicationConfiguration", put(rules.clone()));
        assert!(fault.starts_with(wanted), "{rules}: {fault}");
    }
    assert_eq!(registry.ok("DescribeRegistry", json!({}))["replicationConfiguration"]["rules"], json!([]));
}

#[test]
fn what_is_pushed_after_a_rule_is_copied() {
    let registry = with_peers();
    let before = registry.image("before", Some("old"));
    let destinations = json!([place(OTHER, "us-east-1"), place(OWN, "eu-west-1")]);
    registry.ok("PutReplicationConfiguration", put(json!([{"destinations": destinations}])));
    assert_eq!(statuses(&registry, &before), json!([]));
    let after = registry.image("after", Some("new"));
    let waits =
        |registry: &str, region: &str| json!({"region": region, "registryId": registry, "status": "IN_PROGRESS"});
    let both = json!([waits(OWN, "eu-west-1"), waits(OTHER, "us-east-1")]);
    assert_eq!(statuses(&registry, &after), both);
    let again = registry.image("before", Some("other"));
    assert_eq!((again == before, statuses(&registry, &before)), (true, both), "a tag that is set is a push");
    let fault = registry
        .fault("DescribeImageReplicationStatus", json!({"repositoryName": NAME, "imageId": {"imageTag": "nowhere"}}));
    assert!(fault.starts_with("ImageNotFoundException"), "{fault}");
}

#[test]
fn a_copy_goes_no_further_and_has_its_repository_made() {
    let registry = with_peers();
    registry.ok("PutReplicationConfiguration", put(json!([{"destinations": [place(OWN, "eu-west-1")]}])));
    let template = json!({
        "prefix": "team", "appliedFor": ["REPLICATION"], "imageTagMutability": "IMMUTABLE",
    });
    registry.ok("CreateRepositoryCreationTemplate", template);
    let mut context = registry.0.context();
    let account = context.account().clone();
    let fault = crate::ecr::for_push(&mut context, &account, "team/copy").unwrap_err();
    assert_eq!(fault.name, "RepositoryNotFoundException", "the template is for copies");
    context.is_replica = true;
    crate::ecr::for_push(&mut context, &account, "team/copy").unwrap();
    crate::ecr::for_push(&mut context, &account, "other").unwrap();
    let described = registry.ok("DescribeRepositories", json!({"repositoryNames": ["team/copy", "other"]}));
    let mutability: Vec<&Value> =
        described["repositories"].as_array().unwrap().iter().map(|one| &one["imageTagMutability"]).collect();
    assert_eq!(mutability, ["IMMUTABLE", "MUTABLE"]);
    let manifest = bytes::Bytes::from(registry.manifest(&[]).to_string());
    let push = crate::ecr::content::Push {
        registry: &account,
        repository: NAME,
        bytes: &manifest,
        media_type: None,
        digest: None,
        tags: &["v1"],
        looked_at: None,
    };
    let pushed = crate::ecr::content::put_image(&mut context, &push).unwrap();
    assert_eq!(statuses(&registry, &pushed.image.digest), json!([]));
}

/// Whether OTHER's image may be brought to OWN's repository NAME by OWN's root.
fn may(policy: Option<&str>, source: &str) -> Result<(), String> {
    let mut state = State::default();
    let settings =
        RegistrySettings { account: OWN.to_owned(), policy: policy.map(str::to_owned), settings: Default::default() };
    state.apply(&settings.into());
    let account = |text: &str| AccountId::parse(text).unwrap();
    let replica = Replica { source: account(source), registry: account(OWN), repository: NAME.to_owned() };
    let caller = Caller::root(account(OWN));
    replica.judge(&state, "us-east-1", &caller, &caller.context())
}

#[test]
fn the_registrys_policy_lets_an_account_bring_copies() {
    let policy = |actions: &str, principal: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},
            "Action":{actions},"Resource":"arn:aws:ecr:us-east-1:{OWN}:repository/team/*"}}}}"#
        )
    };
    let other = format!("arn:aws:iam::{OTHER}:root");
    let both = r#"["ecr:ReplicateImage","ecr:CreateRepository"]"#;
    assert_eq!(may(Some(&policy(both, &other)), OTHER), Ok(()));
    assert_eq!(may(None, OWN), Ok(()), "its own account's from another region");
    for (policy, lacks) in [
        (None, "ecr:ReplicateImage"),
        (Some(policy(r#""ecr:ReplicateImage""#, &other)), "ecr:CreateRepository"),
        (Some(policy(r#""ecr:CreateRepository""#, &other)), "ecr:ReplicateImage"),
        (Some(policy(both, "arn:aws:iam::333333333333:root")), "ecr:ReplicateImage"),
    ] {
        let said = may(policy.as_deref(), OTHER).unwrap_err();
        assert!(said.contains(lacks) && said.contains(OTHER), "{said}");
    }
}
