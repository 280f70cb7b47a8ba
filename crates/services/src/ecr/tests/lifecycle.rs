use super::*;

const POLICY: &str = r#"{"rules":[{"rulePriority":1,"description":"keep two","selection":{"tagStatus":"any",
    "countType":"imageCountMoreThan","countNumber":2},"action":{"type":"expire"}}]}"#;

#[test]
fn a_policy_is_set_tried_out_and_deleted() {
    let mut registry = Registry::new();
    let which = json!({"repositoryName": NAME});
    for operation in ["GetLifecyclePolicy", "DeleteLifecyclePolicy", "StartLifecyclePolicyPreview"] {
        let fault = registry.fault(operation, which.clone());
        assert!(fault.starts_with("LifecyclePolicyNotFoundException: Lifecycle policy does not exist"), "{fault}");
    }
    assert!(registry.fault("GetLifecyclePolicyPreview", which.clone()).starts_with("LifecyclePolicyPreviewNotFound"));
    let first = registry.image("1", Some("v1"));
    for name in ["2", "3"] {
        registry.0.now += 1000;
        registry.image(name, None);
    }
    let begun =
        registry.ok("StartLifecyclePolicyPreview", json!({"repositoryName": NAME, "lifecyclePolicyText": POLICY}));
    assert_eq!((&begun["status"], &begun["lifecyclePolicyText"]), (&json!("IN_PROGRESS"), &json!(POLICY)));
    let preview = registry.ok("GetLifecyclePolicyPreview", which.clone());
    assert_eq!((&preview["status"], &preview["summary"]["expiringImageTotalCount"]), (&json!("COMPLETE"), &json!(1)));
    let result = &preview["previewResults"][0];
    assert_eq!((&result["imageDigest"], &result["imageTags"]), (&json!(first), &json!(["v1"])));
    assert_eq!((&result["action"]["type"], &result["appliedRulePriority"]), (&json!("EXPIRE"), &json!(1)));
    let untagged = json!({"repositoryName": NAME, "filter": {"tagStatus": "UNTAGGED"}});
    assert_eq!(registry.ok("GetLifecyclePolicyPreview", untagged)["previewResults"], json!([]));
    assert_eq!(registry.listed().len(), 3, "a preview takes nothing away");
    registry.ok("PutLifecyclePolicy", json!({"repositoryName": NAME, "lifecyclePolicyText": POLICY}));
    assert_eq!(registry.ok("GetLifecyclePolicy", which.clone())["lifecyclePolicyText"], POLICY);
    assert_eq!(registry.ok("DeleteLifecyclePolicy", which.clone())["lifecyclePolicyText"], POLICY);
    registry.ok("DeleteRepository", json!({"repositoryName": NAME, "force": true}));
    assert_eq!(registry.0.store.read().lifecycle_previews.iter().count(), 0);
}

#[test]
fn a_bad_policy_is_refused_with_what_is_wrong_with_it() {
    let registry = Registry::new();
    let padded = |text: &str| format!("{text}{}", " ".repeat(100));
    for (text, wanted) in [
        (padded("{}"), "rules must be a list"),
        (padded("x"), "Could not map policyString into JSON."),
        (POLICY.replace("expire", "transition"), "archives no images"),
        ("{}".to_owned(), "lifecyclePolicyText"),
    ] {
        for operation in ["PutLifecyclePolicy", "StartLifecyclePolicyPreview"] {
            let fault = registry.fault(operation, json!({"repositoryName": NAME, "lifecyclePolicyText": text}));
            assert!(fault.starts_with("InvalidParameterException: ") && fault.contains(wanted), "{text}: {fault}");
        }
    }
}
