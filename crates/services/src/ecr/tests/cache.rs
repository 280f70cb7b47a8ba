//! Rules of the pull-through cache.

use longshore_model::AccountId;
use longshore_wire::Timestamp;

use super::*;
use crate::ecr::cache::{Tried, Upstream, asked};
use crate::ecr::content::{self, Named, Push, put_image};
use crate::secretsmanager;

const HOST: &str = "here.test:5000";

fn registry() -> Registry {
    let mut bench = Bench::new();
    bench.settings.upstreams.push(Upstream { host: HOST.to_owned(), url: "http://127.0.0.1:5000".to_owned() });
    Registry(bench)
}

fn input(prefix: &str, more: Value) -> Value {
    let mut input = json!({"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": HOST});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

impl Registry {
    fn secret(&self, name: &str, text: &str) -> String {
        let input = json!({"Name": name, "SecretString": text, "ClientRequestToken": "0".repeat(32)});
        let made = self.0.of(&secretsmanager::SERVICE, "CreateSecret", input).unwrap();
        made["ARN"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_rule_is_made_shown_changed_and_deleted() {
    let registry = registry();
    let login = registry.secret("ecr-pullthroughcache/hub", r#"{"username":"u","accessToken":"t"}"#);
    let made = registry.ok("CreatePullThroughCacheRule", input("hub/", json!({"upstreamRepositoryPrefix": "corp/"})));
    assert_eq!((&made["ecrRepositoryPrefix"], &made["upstreamRepositoryPrefix"]), (&json!("hub"), &json!("corp")));
    assert_eq!((&made["registryId"], &made["upstreamRegistryUrl"]), (&json!("123456789012"), &json!(HOST)));
    assert_eq!(made["upstreamRegistry"], Value::Null);
    let again = registry.fault("CreatePullThroughCacheRule", input("hub", json!({})));
    assert!(again.starts_with("PullThroughCacheRuleAlreadyExistsException"), "{again}");
    let known = json!({"upstreamRegistryUrl": "quay.io"});
    assert_eq!(registry.ok("CreatePullThroughCacheRule", input("ROOT", known))["upstreamRegistry"], "quay");
    let changed =
        registry.ok("UpdatePullThroughCacheRule", json!({"ecrRepositoryPrefix": "hub", "credentialArn": login}));
    assert_eq!(changed["credentialArn"], json!(login));
    let shown = registry.ok("DescribePullThroughCacheRules", json!({"ecrRepositoryPrefixes": ["hub/"]}));
    assert_eq!(shown["pullThroughCacheRules"][0]["credentialArn"], json!(login));
    assert_eq!(shown["pullThroughCacheRules"].as_array().unwrap().len(), 1);
    let first = registry.ok("DescribePullThroughCacheRules", json!({"maxResults": 1}));
    let next = json!({"maxResults": 1, "nextToken": first["nextToken"]});
    let second = registry.ok("DescribePullThroughCacheRules", next);
    assert_eq!(second["pullThroughCacheRules"][0]["ecrRepositoryPrefix"], "hub");
    assert_eq!(second["nextToken"], Value::Null);
    let gone = registry.ok("DeletePullThroughCacheRule", json!({"ecrRepositoryPrefix": "hub"}));
    assert_eq!(gone["upstreamRegistryUrl"], HOST);
    for operation in ["DeletePullThroughCacheRule", "UpdatePullThroughCacheRule", "ValidatePullThroughCacheRule"] {
        let fault = registry.fault(operation, json!({"ecrRepositoryPrefix": "hub"}));
        assert!(fault.starts_with("PullThroughCacheRuleNotFoundException"), "{operation}: {fault}");
    }
    let fault = registry.fault("DescribePullThroughCacheRules", json!({"ecrRepositoryPrefixes": ["hub"]}));
    assert!(fault.starts_with("PullThroughCacheRuleNotFoundException"), "{fault}");
}

#[test]
fn a_bad_rule_is_refused() {
    let registry = registry();
    let bare = registry.secret("ecr-pullthroughcache/bare", r#"{"username":"u"}"#);
    let none = bare.replace("bare", "none");
    let check = |more: Value, wanted: &str| {
        let fault = registry.fault("CreatePullThroughCacheRule", input("hub", more.clone()));
        assert!(fault.starts_with(wanted), "{more}: {fault}");
    };
    check(json!({"ecrRepositoryPrefix": "../x"}), "InvalidParameterException");
    check(json!({"ecrRepositoryPrefix": "a".repeat(31)}), "InvalidParameterException");
    check(json!({"ecrRepositoryPrefix": "ROOT", "upstreamRepositoryPrefix": "corp"}), "InvalidParameterException");
    check(json!({"registryId": "999999999999"}), "InvalidParameterException");
    check(json!({"upstreamRegistry": "harbor"}), "InvalidParameterException");
    check(
        json!({"credentialArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:other/x-abcdef"}),
        "InvalidParam",
    );
    for host in ["harbor.example.com", "http://127.0.0.1:5000", "127.0.0.1:5000", "quay.io/x", "", "169.254.169.254"] {
        check(json!({"upstreamRegistryUrl": host}), "UnsupportedUpstreamRegistryException");
    }
    let aws = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    check(json!({"upstreamRegistryUrl": aws}), "UnsupportedUpstreamRegistryException");
    check(json!({"upstreamRegistryUrl": "quay.io", "upstreamRegistry": "k8s"}), "UnsupportedUpstreamRegistryException");
    let closed = registry.fault("CreatePullThroughCacheRule", input("hub", json!({"upstreamRegistryUrl": "ghcr.io"})));
    assert!(closed.contains("requires authentication"), "{closed}");
    check(json!({"credentialArn": none}), "SecretNotFoundException");
    check(json!({"credentialArn": bare}), "ValidationException");
    check(json!({"customRoleArn": "arn:aws:iam::123456789012:role/x"}), "ValidationException");
    let deleted = registry.secret("ecr-pullthroughcache/gone", "{}");
    registry.0.of(&secretsmanager::SERVICE, "DeleteSecret", json!({"SecretId": deleted})).unwrap();
    check(json!({"credentialArn": deleted}), "UnableToAccessSecretException");
    for number in 0..50 {
        registry.ok("CreatePullThroughCacheRule", input(&format!("t{number}"), json!({})));
    }
    check(json!({}), "LimitExceededException");
}

#[test]
fn what_an_upstream_said_is_told_of_the_rule_that_it_was_asked_for() {
    let registry = registry();
    registry.ok("CreatePullThroughCacheRule", input("hub", json!({})));
    let account = AccountId::parse("123456789012").unwrap();
    let rule = asked(&registry.0.store.read(), &account, "hub/").unwrap();
    let validate = |tried: Option<Tried>| {
        let mut context = registry.0.context();
        context.tried = tried;
        let request = longshore_api::ecr::ValidatePullThroughCacheRuleRequest {
            ecr_repository_prefix: Some("hub".to_owned()),
            registry_id: None,
        };
        crate::ecr::cache::validate(&mut context, request)
    };
    let good = validate(Some(Tried { rule: rule.clone(), failure: None })).unwrap();
    assert_eq!((good.is_valid, good.failure), (Some(true), None));
    let bad = validate(Some(Tried { rule: rule.clone(), failure: Some("away".to_owned()) })).unwrap();
    assert_eq!((bad.is_valid, bad.failure.as_deref()), (Some(false), Some("away")));
    let other = longshore_api::ecr::PullThroughCacheRule { updated_at: None, ..rule };
    for tried in [None, Some(Tried { rule: other, failure: None })] {
        assert_eq!(validate(tried).unwrap_err().name, "ServerException");
    }
}

#[test]
fn an_index_of_an_upstream_gets_its_images_as_they_come() {
    let registry = Registry::new();
    let account = AccountId::parse("123456789012").unwrap();
    let mut manifest = registry.manifest(&[b"one"]);
    let one = manifest.to_string();
    manifest["layers"] = json!([registry.layer(b"two")]);
    let two = manifest.to_string();
    let described = |text: &str| json!({"mediaType": MANIFEST, "digest": digest_of(Algorithm::Sha256, text.as_bytes()).to_string(), "size": text.len()});
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [described(&one), described(&two)]}).to_string();
    let put = |text: &str, tags: &[&str], at: Option<i64>| {
        let looked_at = at.map(Timestamp::from_millis);
        let push = Push {
            registry: &account,
            repository: NAME,
            bytes: &bytes::Bytes::copy_from_slice(text.as_bytes()),
            media_type: None,
            digest: None,
            tags,
            looked_at,
        };
        put_image(&mut registry.0.context(), &push)
    };
    assert_eq!(put(&index, &["v1"], None).unwrap_err().name, "ReferencedImagesNotFoundException");
    let digest = put(&index, &["v1"], Some(5)).unwrap().image.digest;
    let seen = || {
        let state = registry.0.store.read();
        assert_eq!(longshore_plan::check::state(&state), []);
        let image = content::image(&state, &account, NAME, Named::by(&digest)).unwrap();
        let looked_at = state.image_tags.iter().next().unwrap().1.looked_at;
        (image.images.len(), image.absent.len(), image.size, looked_at.map(Timestamp::millis))
    };
    assert_eq!(seen(), (0, 2, 0, Some(5)));
    put(&one, &[], Some(6)).unwrap();
    assert_eq!(seen(), (1, 1, 5, Some(5)));
    put(&two, &[], Some(6)).unwrap();
    put(&index, &["v1"], Some(7)).unwrap();
    assert_eq!(seen(), (2, 0, 10, Some(7)));
    // What is pushed over it is nobody else's any more, also if it is the same.
    assert_eq!(put(&index, &["v1"], None).unwrap().moved, ["v1"]);
    assert_eq!(seen().3, None);
    assert!(put(&one, &["v1"], Some(8)).unwrap().moved.is_empty());
    let state = registry.0.store.read();
    assert_eq!(content::image(&state, &account, NAME, Named::by("v1")).unwrap().digest, digest);
}
