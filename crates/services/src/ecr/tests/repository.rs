use super::*;
use crate::ecr::token;

#[test]
fn a_repository_is_made_shown_and_deleted() {
    let registry = Registry(Bench::new());
    let made = registry.ok("CreateRepository", json!({"repositoryName": NAME}))["repository"].clone();
    assert_eq!(made["repositoryArn"], "arn:aws:ecr:us-east-1:123456789012:repository/team/web");
    assert_eq!(made["repositoryUri"], "123456789012.dkr.ecr.us-east-1.localhost:4566/team/web");
    assert_eq!((&made["imageTagMutability"], &made["registryId"]), (&json!("MUTABLE"), &json!("123456789012")));
    assert_eq!(made["encryptionConfiguration"], json!({"encryptionType": "AES256"}));
    let found = registry.ok("DescribeRepositories", json!({"repositoryNames": [NAME]}));
    assert_eq!(found["repositories"], json!([made]));
    let again = registry.fault("CreateRepository", json!({"repositoryName": NAME}));
    assert_eq!(
        again,
        "RepositoryAlreadyExistsException: The repository with name 'team/web' already exists in the registry with id \
         '123456789012'"
    );
    registry.ok("DeleteRepository", json!({"repositoryName": NAME}));
    assert_eq!(
        registry.fault("DescribeRepositories", json!({"repositoryNames": [NAME]})),
        "RepositoryNotFoundException: The repository with name 'team/web' does not exist in the registry with id \
         '123456789012'"
    );
}

#[test]
fn a_repository_that_is_not_empty_is_deleted_by_force_and_one_made_anew_is_empty() {
    let registry = Registry::new();
    registry.image("a", Some("latest"));
    let refused = registry.fault("DeleteRepository", json!({"repositoryName": NAME}));
    assert!(refused.starts_with("RepositoryNotEmptyException: "), "{refused}");
    registry.ok("DeleteRepository", json!({"repositoryName": NAME, "force": true}));
    registry.ok("CreateRepository", json!({"repositoryName": NAME}));
    assert_eq!(registry.listed(), []);
    let fault = registry.fault("DescribeImages", json!({"repositoryName": NAME, "imageIds": [{"imageTag": "latest"}]}));
    assert!(fault.starts_with("ImageNotFoundException: The image with imageId {imageDigest:null, imageTag:'latest'}"));
    let layers = registry.ok(
        "BatchCheckLayerAvailability",
        json!({"repositoryName": NAME, "layerDigests": [digest_of(Algorithm::Sha256, b"{}").to_string()]}),
    );
    assert_eq!(layers["layers"][0]["layerAvailability"], "UNAVAILABLE");
}

#[test]
fn pages_of_repositories_leave_none_out() {
    let registry = Registry(Bench::new());
    let names: Vec<String> = (0..7).map(|number| format!("r-{number}")).collect();
    names.iter().for_each(|name| drop(registry.ok("CreateRepository", json!({"repositoryName": name}))));
    let (mut found, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = registry.ok("DescribeRepositories", json!({"maxResults": 3, "nextToken": token}));
        let rows = page["repositories"].as_array().unwrap();
        found.extend(rows.iter().map(|row| row["repositoryName"].as_str().unwrap().to_owned()));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(found, names);
    let fault = registry.fault("DescribeRepositories", json!({"nextToken": "x"}));
    assert!(fault.starts_with("InvalidParameterException: Invalid parameter at 'nextToken'"), "{fault}");
}

#[test]
fn a_bad_wish_is_refused() {
    let registry = Registry(Bench::new());
    let long = "a".repeat(257);
    for (input, wanted) in [
        (json!({"repositoryName": "UPPER"}), "InvalidParameterException"),
        (json!({"repositoryName": "a/../b"}), "InvalidParameterException"),
        (json!({"repositoryName": "a//b"}), "InvalidParameterException"),
        (json!({"repositoryName": "a"}), "InvalidParameterException"),
        (json!({"repositoryName": "_catalog"}), "InvalidParameterException"),
        (json!({"repositoryName": long}), "InvalidParameterException"),
        (json!({"repositoryName": "ab", "imageTagMutability": "SOMETIMES"}), "InvalidParameterException"),
        (
            json!({"repositoryName": "ab", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}),
            "InvalidParameterException",
        ),
        (
            json!({"repositoryName": "ab", "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "a*"}]}),
            "InvalidParameterException",
        ),
        (
            json!({"repositoryName": "ab", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                   "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "a*b*c*"}]}),
            "InvalidParameterException",
        ),
        (json!({"repositoryName": "ab", "tags": [{"Key": "aws:x", "Value": ""}]}), "InvalidTagParameterException"),
        (json!({"repositoryName": "ab", "tags": [{"Key": "", "Value": ""}]}), "InvalidTagParameterException"),
        (
            json!({"repositoryName": "ab", "tags": [{"Key": "a", "Value": ""}, {"Key": "a", "Value": ""}]}),
            "InvalidTagParameterException",
        ),
        (
            json!({"repositoryName": "ab", "tags": (0..51).map(|n| json!({"Key": n.to_string(), "Value": ""})).collect::<Vec<_>>()}),
            "TooManyTagsException",
        ),
        (
            json!({"repositoryName": "ab", "encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": "alias/x"}}),
            "InvalidParameterException",
        ),
        (
            json!({"repositoryName": "ab", "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/none"}}),
            "KmsException",
        ),
        (json!({"repositoryName": "ab", "registryId": "999999999999"}), "InvalidParameterException"),
    ] {
        let fault = registry.fault("CreateRepository", input.clone());
        assert!(fault.starts_with(wanted), "{input}: {fault}");
    }
    assert_eq!(registry.ok("DescribeRepositories", json!({}))["repositories"], json!([]));
}

#[test]
fn a_repository_is_encrypted_by_the_accounts_key_or_by_ecrs() {
    let registry = Registry(Bench::new());
    let key = registry.0.of(&crate::kms::SERVICE, "CreateKey", json!({})).unwrap()["KeyMetadata"]["Arn"].clone();
    let made = |name: &str, configuration: Value| {
        let input = json!({"repositoryName": name, "encryptionConfiguration": configuration});
        registry.ok("CreateRepository", input)["repository"]["encryptionConfiguration"].clone()
    };
    let own = made("own", json!({"encryptionType": "KMS", "kmsKey": key}));
    assert_eq!(own, json!({"encryptionType": "KMS", "kmsKey": key}));
    let usual = made("usual", json!({"encryptionType": "KMS"}));
    let aliases = registry.0.of(&crate::kms::SERVICE, "ListAliases", json!({})).unwrap()["Aliases"].clone();
    let alias = aliases.as_array().unwrap().iter().find(|alias| alias["AliasName"] == "alias/aws/ecr").unwrap();
    assert!(usual["kmsKey"].as_str().unwrap().ends_with(alias["TargetKeyId"].as_str().unwrap()));
    registry.0.of(&crate::kms::SERVICE, "DisableKey", json!({"KeyId": key})).unwrap();
    let input = json!({"repositoryName": "no", "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": key}});
    assert!(registry.fault("CreateRepository", input).starts_with("KmsException"));
}

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}"#;

#[test]
fn a_policy_is_set_shown_and_deleted() {
    let registry = Registry::new();
    let which = json!({"repositoryName": NAME});
    let none = "RepositoryPolicyNotFoundException: Repository policy does not exist for the repository with name 'team/web' \
                in the registry with id '123456789012'";
    assert_eq!(registry.fault("GetRepositoryPolicy", which.clone()), none);
    assert_eq!(registry.fault("DeleteRepositoryPolicy", which.clone()), none);
    registry.ok("SetRepositoryPolicy", json!({"repositoryName": NAME, "policyText": POLICY}));
    assert_eq!(registry.ok("GetRepositoryPolicy", which.clone())["policyText"], POLICY);
    for text in
        ["", "{}", "[]", r#"{"Statement":[{"Effect":"Allow","Action":"ecr:*"}]}"#, &POLICY.replace("Allow", "x")]
    {
        let fault = registry.fault("SetRepositoryPolicy", json!({"repositoryName": NAME, "policyText": text}));
        assert!(fault.starts_with("InvalidParameterException: Invalid parameter at 'PolicyText'"), "{text}: {fault}");
    }
    assert_eq!(registry.ok("DeleteRepositoryPolicy", which.clone())["policyText"], POLICY);
    assert_eq!(registry.fault("GetRepositoryPolicy", which), none);
}

#[test]
fn a_policy_that_locks_its_setter_out_is_set_by_force_alone() {
    let registry = Registry::new();
    let text = POLICY.replace("Allow", "Deny");
    let fault = registry.fault("SetRepositoryPolicy", json!({"repositoryName": NAME, "policyText": text}));
    assert!(fault.contains("Use force"), "{fault}");
    registry.ok("SetRepositoryPolicy", json!({"repositoryName": NAME, "policyText": text, "force": true}));
}

#[test]
fn tags_are_added_and_taken_away() {
    let registry = Registry::new();
    let arn = "arn:aws:ecr:us-east-1:123456789012:repository/team/web";
    registry.ok(
        "TagResource",
        json!({"resourceArn": arn, "tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]}),
    );
    registry.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "x"]}));
    let tags = registry.ok("ListTagsForResource", json!({"resourceArn": arn}));
    assert_eq!(tags["tags"], json!([{"Key": "b", "Value": "2"}]));
    for (arn, wanted) in [
        ("x", "InvalidParameterException"),
        ("arn:aws:ecr:eu-west-1:123456789012:repository/team/web", "InvalidParameterException"),
        ("arn:aws:ecr:us-east-1:123456789012:repository/none", "RepositoryNotFoundException"),
        ("arn:aws:ecs:us-east-1:123456789012:repository/team/web", "InvalidParameterException"),
    ] {
        let fault = registry.fault("ListTagsForResource", json!({"resourceArn": arn}));
        assert!(fault.starts_with(wanted), "{arn}: {fault}");
    }
}

#[test]
fn what_is_configured_is_shown() {
    let registry = Registry::new();
    let filters = json!([{"filterType": "WILDCARD", "filter": "dev-*"}]);
    let input = json!({"repositoryName": NAME, "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                       "imageTagMutabilityExclusionFilters": filters});
    registry.ok("PutImageTagMutability", input);
    let scanning = json!({"repositoryName": NAME, "imageScanningConfiguration": {"scanOnPush": true}});
    registry.ok("PutImageScanningConfiguration", scanning);
    let shown = registry.ok("DescribeRepositories", json!({}))["repositories"][0].clone();
    assert_eq!(shown["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION");
    assert_eq!(shown["imageTagMutabilityExclusionFilters"], filters);
    assert_eq!(shown["imageScanningConfiguration"], json!({"scanOnPush": true}));
}

#[test]
fn a_registry_has_a_policy_and_settings_and_replicates_nothing() {
    let registry = Registry(Bench::new());
    assert!(registry.fault("GetRegistryPolicy", json!({})).starts_with("RegistryPolicyNotFoundException"));
    registry.ok("PutRegistryPolicy", json!({"policyText": POLICY}));
    assert_eq!(registry.ok("GetRegistryPolicy", json!({}))["policyText"], POLICY);
    assert_eq!(registry.ok("DeleteRegistryPolicy", json!({}))["policyText"], POLICY);
    assert!(registry.fault("DeleteRegistryPolicy", json!({})).starts_with("RegistryPolicyNotFoundException"));
    assert!(registry.fault("PutRegistryPolicy", json!({"policyText": "x"})).starts_with("InvalidParameterException"));
    let name = "BLOB_MOUNTING";
    assert_eq!(registry.ok("GetAccountSetting", json!({"name": name}))["value"], "ENABLED");
    registry.ok("PutAccountSetting", json!({"name": name, "value": "DISABLED"}));
    assert_eq!(registry.ok("GetAccountSetting", json!({"name": name}))["value"], "DISABLED");
    assert!(!crate::ecr::mounts(&registry.0.store.read(), "123456789012"));
    for input in [json!({"name": name, "value": "x"}), json!({"name": "NONE", "value": "ENABLED"})] {
        assert!(registry.fault("PutAccountSetting", input).starts_with("ValidationException"));
    }
    let described = registry.ok("DescribeRegistry", json!({}));
    assert_eq!(described, json!({"registryId": "123456789012", "replicationConfiguration": {"rules": []}}));
}

#[test]
fn a_login_is_aws_and_a_token_that_opens_to_its_caller() {
    let registry = Registry(Bench::new());
    let data = registry.ok("GetAuthorizationToken", json!({}))["authorizationData"].clone();
    assert_eq!(data[0]["proxyEndpoint"], "http://123456789012.dkr.ecr.us-east-1.localhost:4566");
    let plain = STANDARD.decode(data[0]["authorizationToken"].as_str().unwrap()).unwrap();
    let plain = String::from_utf8(plain).unwrap();
    let token = plain.strip_prefix("AWS:").unwrap();
    let context = registry.0.context();
    let (state, vault) = (registry.0.store.read(), &context.settings.vault);
    let caller = token::open(&state, vault, token::Keys::Any, token, context.now);
    drop(state);
    assert_eq!(caller.map(|caller| caller.arn()).as_deref(), Some("arn:aws:iam::123456789012:root"));
    let two = registry.ok("GetAuthorizationToken", json!({"registryIds": ["999999999999", "123456789012"]}));
    assert_eq!(two["authorizationData"].as_array().unwrap().len(), 2);
}
