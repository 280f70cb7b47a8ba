use std::os::unix::fs::OpenOptionsExt as _;

use super::*;

#[test]
fn an_image_is_put_and_got_as_it_was() {
    let registry = Registry::new();
    let text = format!(" {}\n", registry.manifest(&[b"one", b"second"]));
    let digest = registry.put_text(&text, Some("v1")).unwrap();
    assert_eq!(digest, digest_of(Algorithm::Sha256, text.as_bytes()).to_string());
    for id in
        [json!({"imageTag": "v1"}), json!({"imageDigest": digest}), json!({"imageTag": "v1", "imageDigest": digest})]
    {
        let got = registry.ok("BatchGetImage", json!({"repositoryName": NAME, "imageIds": [id]}));
        assert_eq!((&got["images"][0]["imageManifest"], &got["failures"]), (&json!(text), &json!([])), "{id}");
        assert_eq!(got["images"][0]["imageManifestMediaType"], MANIFEST);
    }
    let details = registry.ok("DescribeImages", json!({"repositoryName": NAME}))["imageDetails"][0].clone();
    assert_eq!((&details["imageSizeInBytes"], &details["imageTags"]), (&json!(2 + 3 + 6), &json!(["v1"])));
    assert_eq!(details["artifactMediaType"], "application/vnd.oci.image.config.v1+json");
    assert_eq!((&details["imageDigest"], &details["imageStatus"]), (&json!(digest), &json!("ACTIVE")));
    assert!(details["lastRecordedPullTime"].is_number(), "it was pulled: {details}");
}

#[test]
fn a_batch_says_of_each_image_why_it_is_not_there() {
    let registry = Registry::new();
    let digest = registry.image("a", Some("v1"));
    let other = registry.image("b", None);
    for (id, wanted) in [
        (json!({}), "MissingDigestAndTag"),
        (json!({"imageTag": "none"}), "ImageNotFound"),
        (json!({"imageDigest": "sha256:00"}), "InvalidImageDigest"),
        (json!({"imageDigest": digest.replace("sha256:", "SHA256:")}), "InvalidImageDigest"),
        (json!({"imageDigest": other, "imageTag": "v1"}), "ImageNotFound"),
    ] {
        let got = registry.ok("BatchGetImage", json!({"repositoryName": NAME, "imageIds": [id]}));
        assert_eq!(got["images"], json!([]), "{id}");
        assert_eq!((&got["failures"][0]["failureCode"], &got["failures"][0]["imageId"]), (&json!(wanted), &id));
    }
    let input = json!({"repositoryName": NAME, "imageIds": [{"imageTag": "v1"}], "acceptedMediaTypes": [INDEX]});
    assert_eq!(registry.ok("BatchGetImage", input)["failures"][0]["failureCode"], "ImageNotFound");
    let fault = registry.fault("BatchGetImage", json!({"repositoryName": "none", "imageIds": [{"imageTag": "v1"}]}));
    assert!(fault.starts_with("RepositoryNotFoundException"), "{fault}");
}

#[test]
fn the_same_image_again_is_told_of_and_another_tag_is_another_image() {
    let registry = Registry::new();
    let manifest = registry.manifest_of_known();
    registry.put(&manifest, None).unwrap();
    let again = registry.put(&manifest, None).unwrap_err();
    assert!(again.starts_with("ImageAlreadyExistsException: Image with digest 'sha256:"), "{again}");
    let digest = registry.put(&manifest, Some("v1")).unwrap();
    assert!(registry.put(&manifest, Some("v1")).unwrap_err().starts_with("ImageAlreadyExistsException"));
    registry.put(&manifest, Some("v2")).unwrap();
    let other = registry.image("other", Some("v2"));
    assert_eq!(registry.listed(), [("v1".to_owned(), digest), ("v2".to_owned(), other)]);
}

#[test]
fn an_immutable_tag_does_not_move_but_where_it_is_excluded() {
    let registry = Registry::new();
    let first = registry.manifest_of_known();
    registry.put(&first, Some("v1")).unwrap();
    registry.put(&first, Some("dev-1")).unwrap();
    let mut second = first.clone();
    second["annotations"] = json!({"a": "b"});
    let set = |mutability: &str, filters: Value| {
        let input = json!({"repositoryName": NAME, "imageTagMutability": mutability,
                           "imageTagMutabilityExclusionFilters": filters});
        registry.ok("PutImageTagMutability", input);
    };
    set("IMMUTABLE", Value::Null);
    let refused = registry.put(&second, Some("v1")).unwrap_err();
    assert_eq!(
        refused,
        "ImageTagAlreadyExistsException: The image tag 'v1' already exists in the 'team/web' repository and cannot be \
         overwritten because the tag is immutable."
    );
    assert!(registry.put(&first, Some("v1")).unwrap_err().starts_with("ImageAlreadyExistsException"));
    registry.put(&second, Some("new")).unwrap();
    let filters = json!([{"filterType": "WILDCARD", "filter": "dev-*"}]);
    set("IMMUTABLE_WITH_EXCLUSION", filters.clone());
    registry.put(&second, Some("dev-1")).unwrap();
    assert!(registry.put(&second, Some("v1")).is_err());
    set("MUTABLE_WITH_EXCLUSION", filters);
    registry.put(&second, Some("v1")).unwrap();
    assert!(registry.put(&first, Some("dev-1")).is_err());
}

#[test]
fn an_image_goes_by_its_digest_with_its_tags_and_by_its_last_tag() {
    let registry = Registry::new();
    let manifest = registry.manifest_of_known();
    let digest = registry.put(&manifest, Some("a")).unwrap();
    registry.put(&manifest, Some("b")).unwrap();
    let gone = registry.delete(json!({"imageTag": "a"}));
    assert_eq!(gone, json!({"imageIds": [{"imageDigest": digest, "imageTag": "a"}], "failures": []}));
    assert_eq!(registry.listed(), [("b".to_owned(), digest.clone())]);
    registry.delete(json!({"imageTag": "b"}));
    assert_eq!(registry.listed(), []);
    for tag in ["a", "b"] {
        registry.put(&manifest, Some(tag)).unwrap();
    }
    let gone = registry.delete(json!({"imageDigest": digest}));
    assert_eq!(gone["imageIds"].as_array().unwrap().len(), 2);
    assert_eq!(registry.listed(), []);
    let untagged = registry.put(&manifest, None).unwrap();
    assert_eq!(registry.delete(json!({"imageDigest": untagged}))["imageIds"], json!([{"imageDigest": untagged}]));
}

#[test]
fn what_cannot_be_deleted_says_why() {
    let registry = Registry::new();
    let (one, other) = (registry.image("one", Some("v1")), registry.image("other", None));
    for (id, wanted) in [
        (json!({}), "MissingDigestAndTag"),
        (json!({"imageTag": "none"}), "ImageNotFound"),
        (json!({"imageTag": ".x"}), "InvalidImageTag"),
        (json!({"imageDigest": "x"}), "InvalidImageDigest"),
        (json!({"imageDigest": other, "imageTag": "v1"}), "ImageTagDoesNotMatchDigest"),
    ] {
        let answer = registry.delete(id.clone());
        assert_eq!((&answer["imageIds"], &answer["failures"][0]["failureCode"]), (&json!([]), &json!(wanted)), "{id}");
    }
    let index = registry.put(&registry.index(&[&one, &other]), Some("all")).unwrap();
    let answer = registry.delete(json!({"imageDigest": other}));
    assert_eq!(answer["failures"][0]["failureCode"], "ImageReferencedByManifestList");
    let reason = answer["failures"][0]["failureReason"].as_str().unwrap();
    assert_eq!(reason, format!("Requested image referenced by manifest list: [{index}]"));
    assert_eq!(registry.delete(json!({"imageTag": "v1"}))["imageIds"], json!([]), "its last tag, and it is listed");
    registry.delete(json!({"imageDigest": index}));
    registry.delete(json!({"imageDigest": other}));
    assert_eq!(registry.listed(), [("v1".to_owned(), one)]);
}

#[test]
fn an_image_goes_whose_bytes_are_a_layer_of_another() {
    let registry = Registry::new();
    let manifest = registry.manifest(&[]);
    let digest = registry.put(&manifest, None).unwrap();
    let text = manifest.to_string();
    let mut other = manifest;
    other["layers"] = json!([registry.layer(text.as_bytes())]);
    let other = registry.put(&other, None).unwrap();
    let answer = registry.delete(json!({"imageDigest": digest}));
    assert_eq!(answer["failures"], json!([]));
    assert_eq!(registry.listed(), [(String::new(), other)]);
}

#[test]
fn an_image_with_many_tags_goes_whole() {
    let registry = Registry::new();
    let manifest = registry.manifest_of_known();
    let digest = registry.put(&manifest, None).unwrap();
    for tag in 0..300 {
        registry.put(&manifest, Some(&format!("t{tag}"))).unwrap();
    }
    let answer = registry.delete(json!({"imageDigest": digest}));
    assert_eq!(answer["imageIds"].as_array().unwrap().len(), 300);
    let state = registry.0.store.read();
    assert_eq!((state.images.iter().count(), state.image_tags.iter().count()), (0, 0));
}

#[test]
fn an_index_is_as_large_as_what_it_lists_and_referrers_are_told_of() {
    let registry = Registry::new();
    let (one, two) = (registry.image("one", None), registry.image("two", None));
    let index = registry.put(&registry.index(&[&one, &two]), Some("all")).unwrap();
    let found = registry.ok("DescribeImages", json!({"repositoryName": NAME, "imageIds": [{"imageTag": "all"}]}));
    assert_eq!(found["imageDetails"][0]["imageSizeInBytes"], 4);
    assert_eq!(found["imageDetails"][0]["imageManifestMediaType"], INDEX);
    let mut signature = registry.manifest_of_known();
    signature["subject"] = registry.descriptor(&index);
    signature["artifactType"] = json!("application/signature");
    signature["annotations"] = json!({"by": "me"});
    let signature = registry.put(&signature, None).unwrap();
    let of = |filter: Value| {
        let input = json!({"repositoryName": NAME, "subjectId": {"imageDigest": index}, "filter": filter});
        registry.ok("ListImageReferrers", input)["referrers"].clone()
    };
    let all = of(Value::Null);
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!((&all[0]["digest"], &all[0]["artifactType"]), (&json!(signature), &json!("application/signature")));
    assert_eq!(all[0]["annotations"], json!({"by": "me"}));
    assert_eq!(of(json!({"artifactTypes": ["application/signature"]})), all);
    assert_eq!(of(json!({"artifactTypes": ["application/other"]})), json!([]));
    assert_eq!(of(json!({"artifactStatus": "ARCHIVED"})), json!([]));
}

/// Manifests that are read slowly: pipes lie in their places.
#[test]
fn records_change_while_the_manifests_of_referrers_are_read() {
    let mut registry = Registry::new();
    let subject = registry.image("subject", None);
    let mut signature = registry.manifest_of_known();
    signature["subject"] = registry.descriptor(&subject);
    let mut digests: Vec<String> = ["one", "two"]
        .map(|name| {
            signature["annotations"] = json!({"name": name});
            registry.put(&signature, None).unwrap()
        })
        .into();
    digests.sort();
    let pipes = digests.iter().map(|digest| registry.0.replace_by_pipe(digest)).collect::<Vec<_>>();
    registry.0.reopen_blobs();
    // Whether somebody waited to read there.
    let released = |pipe: &std::path::PathBuf| {
        let mut options = std::fs::File::options();
        options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(pipe).is_ok()
    };
    let until = |pipe: &std::path::PathBuf| {
        while !released(pipe) {
            std::thread::yield_now();
        }
    };
    let input = json!({"repositoryName": NAME, "subjectId": {"imageDigest": subject}});
    let registry = &registry;
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| registry.ok("ListImageReferrers", input));
        // It has come to the first manifest, and will not come past the second.
        until(&pipes[0]);
        let (told, hears) = std::sync::mpsc::channel();
        let writing = scope.spawn(move || {
            registry.ok("CreateRepository", json!({"repositoryName": "meanwhile"}));
            told.send(()).unwrap();
        });
        let written = hears.recv_timeout(std::time::Duration::from_secs(20));
        until(&pipes[1]);
        writing.join().unwrap();
        assert_eq!(listing.join().unwrap()["referrers"].as_array().unwrap().len(), 2);
        written.expect("records changed while a manifest was being read");
    });
}

#[test]
fn pages_of_images_leave_none_out_and_filters_hold() {
    let registry = Registry::new();
    let manifest = registry.manifest_of_known();
    for tag in ["a", "b", "c", "d"] {
        registry.put(&manifest, Some(tag)).unwrap();
    }
    (0..5).for_each(|number| drop(registry.image(&format!("untagged {number}"), None)));
    registry.image("x", Some("x"));
    let pages = |operation: &str, member: &str, size: i32, filter: Value| {
        let (mut rows, mut token) = (Vec::new(), Value::Null);
        loop {
            let input = json!({"repositoryName": NAME, "maxResults": size, "nextToken": token, "filter": filter});
            let page = registry.ok(operation, input);
            assert!(page[member].as_array().unwrap().len() <= size as usize);
            rows.extend(page[member].as_array().unwrap().iter().map(Value::to_string));
            token = page["nextToken"].clone();
            if token.is_null() {
                rows.sort();
                rows.dedup();
                return rows.len();
            }
        }
    };
    for size in [1, 2, 3, 100] {
        assert_eq!(pages("ListImages", "imageIds", size, Value::Null), 10);
        assert_eq!(pages("ListImages", "imageIds", size, json!({"tagStatus": "TAGGED"})), 5);
        assert_eq!(pages("ListImages", "imageIds", size, json!({"tagStatus": "UNTAGGED"})), 5);
        assert_eq!(pages("DescribeImages", "imageDetails", size, Value::Null), 7);
        assert_eq!(pages("DescribeImages", "imageDetails", size, json!({"tagStatus": "TAGGED"})), 2);
        assert_eq!(pages("DescribeImages", "imageDetails", size, json!({"imageStatus": "ARCHIVED"})), 0);
    }
    let fault = registry.fault("DescribeImages", json!({"repositoryName": NAME, "imageIds": [{"imageTag": "none"}]}));
    assert_eq!(
        fault,
        "ImageNotFoundException: The image with imageId {imageDigest:null, imageTag:'none'} does not exist within the \
         repository with name 'team/web' in the registry with id '123456789012'"
    );
}

#[test]
fn a_pull_is_noted_once_a_day() {
    let mut registry = Registry::new();
    registry.image("a", Some("a"));
    let pulled = |registry: &Registry| {
        registry.ok("BatchGetImage", json!({"repositoryName": NAME, "imageIds": [{"imageTag": "a"}]}));
        registry.0.store.read().images.iter().next().unwrap().1.pulled_at.unwrap().millis()
    };
    let first = pulled(&registry);
    registry.0.now += 23 * 3600 * 1000;
    assert_eq!(pulled(&registry), first);
    registry.0.now += 3600 * 1000;
    assert_eq!(pulled(&registry), registry.0.now);
}
