use super::*;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}"#;

fn input(prefix: &str, more: Value) -> Value {
    let mut input = json!({"prefix": prefix, "appliedFor": ["CREATE_ON_PUSH"]});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[test]
fn a_template_is_made_shown_changed_and_deleted() {
    let registry = Registry(Bench::new());
    let made = registry.ok("CreateRepositoryCreationTemplate", input("team/", json!({"description": "one"})));
    let template = made["repositoryCreationTemplate"].clone();
    assert_eq!((&template["prefix"], &template["imageTagMutability"]), (&json!("team"), &json!("MUTABLE")));
    let again = registry.fault("CreateRepositoryCreationTemplate", input("team", json!({})));
    assert!(again.starts_with("TemplateAlreadyExistsException"), "{again}");
    registry.ok("CreateRepositoryCreationTemplate", input("ROOT", json!({})));
    let changed = registry.ok(
        "UpdateRepositoryCreationTemplate",
        json!({"prefix": "team", "imageTagMutability": "IMMUTABLE", "repositoryPolicy": POLICY}),
    );
    let changed = &changed["repositoryCreationTemplate"];
    assert_eq!((&changed["description"], &changed["imageTagMutability"]), (&json!("one"), &json!("IMMUTABLE")));
    let shown = registry.ok("DescribeRepositoryCreationTemplates", json!({"prefixes": ["team/"]}));
    assert_eq!(shown["repositoryCreationTemplates"], json!([changed]));
    let all = registry.ok("DescribeRepositoryCreationTemplates", json!({}));
    assert_eq!(all["repositoryCreationTemplates"].as_array().unwrap().len(), 2);
    let bare = registry.ok("UpdateRepositoryCreationTemplate", json!({"prefix": "team", "repositoryPolicy": ""}));
    assert_eq!(bare["repositoryCreationTemplate"]["repositoryPolicy"], Value::Null);
    registry.ok("DeleteRepositoryCreationTemplate", json!({"prefix": "team"}));
    for operation in ["DeleteRepositoryCreationTemplate", "UpdateRepositoryCreationTemplate"] {
        assert!(registry.fault(operation, json!({"prefix": "team"})).starts_with("TemplateNotFoundException"));
    }
}

#[test]
fn a_bad_template_is_refused() {
    let registry = Registry(Bench::new());
    for more in [
        json!({"appliedFor": []}),
        json!({"appliedFor": ["SOMETIMES"]}),
        json!({"repositoryPolicy": "x"}),
        json!({"lifecyclePolicy": "x"}),
        json!({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}),
        json!({"prefix": "../x"}),
        json!({"resourceTags": [{"Key": "aws:x", "Value": ""}]}),
    ] {
        let fault = registry.fault("CreateRepositoryCreationTemplate", input("team", more.clone()));
        assert!(fault.starts_with("Invalid"), "{more}: {fault}");
    }
    for number in 0..50 {
        registry.ok("CreateRepositoryCreationTemplate", input(&format!("t{number}"), json!({})));
    }
    let fault = registry.fault("CreateRepositoryCreationTemplate", input("more", json!({})));
    assert!(fault.starts_with("LimitExceededException"), "{fault}");
}

#[test]
fn a_push_makes_a_repository_by_the_nearest_template() {
    let registry = Registry(Bench::new());
    let push = |name: &str| registry.0.of(&SERVICE, "InitiateLayerUpload", json!({"repositoryName": name}));
    assert_eq!(push("team/web").unwrap_err().name, "RepositoryNotFoundException");
    registry.ok("CreateRepositoryCreationTemplate", input("ROOT", json!({})));
    let more = json!({"imageTagMutability": "IMMUTABLE", "repositoryPolicy": POLICY,
                      "resourceTags": [{"Key": "team", "Value": "web"}], "encryptionConfiguration": {"encryptionType": "KMS"}});
    registry.ok("CreateRepositoryCreationTemplate", input("team", more));
    let other = json!({"prefix": "team/cache", "appliedFor": ["PULL_THROUGH_CACHE"]});
    registry.ok("CreateRepositoryCreationTemplate", other);
    for name in ["team/web", "team/cache/x", "teams"] {
        push(name).unwrap();
    }
    let shown =
        |name: &str| registry.ok("DescribeRepositories", json!({"repositoryNames": [name]}))["repositories"][0].clone();
    assert_eq!(shown("team/web")["imageTagMutability"], "IMMUTABLE");
    assert_eq!(shown("team/web")["encryptionConfiguration"]["encryptionType"], "KMS");
    assert_eq!(shown("team/cache/x")["imageTagMutability"], "IMMUTABLE", "the nearest that is for pushes");
    assert_eq!(shown("teams")["imageTagMutability"], "MUTABLE");
    assert_eq!(registry.ok("GetRepositoryPolicy", json!({"repositoryName": "team/web"}))["policyText"], POLICY);
    let input = json!({"registryId": "999999999999", "repositoryName": "team/new"});
    assert_eq!(registry.0.of(&SERVICE, "InitiateLayerUpload", input).unwrap_err().name, "RepositoryNotFoundException");
}
