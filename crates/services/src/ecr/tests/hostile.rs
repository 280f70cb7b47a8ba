//! Manifests that are none: each is refused and leaves nothing.

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(registry: &Registry, text: &str, wanted: &str) {
    let shown: String = text.chars().take(300).collect();
    let refused = registry.put_text(text, Some("bad")).expect_err(&shown);
    assert!(refused.starts_with(wanted), "{shown}: {refused}");
    assert!(refused.len() < 3000, "{}", refused.len());
    let state = registry.0.store.read();
    assert_eq!((state.images.iter().count(), state.image_tags.iter().count()), (0, 0), "{shown}");
}

const INVALID: &str = "InvalidParameterException: Invalid parameter at 'ImageManifest";

#[test]
fn a_manifest_is_one_thing_and_says_nothing_twice() {
    let registry = Registry::new();
    let good = registry.manifest(&[b"layer"]);
    let with = |member: &str, value: Value| {
        let mut changed = good.clone();
        changed[member] = value;
        changed.to_string()
    };
    let without = |member: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(member);
        changed.to_string()
    };
    let text = good.to_string();
    let again = |member: &str| format!("{},{member}}}", text.strip_suffix('}').unwrap());
    for bad in [
        "".to_owned(),
        "x".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"x\"".to_owned(),
        text[..text.len() - 1].to_owned(),
        format!("{text}{{}}"),
        "[".repeat(100_000),
        format!("{{\"a\":{}", "[".repeat(100_000)),
        with("manifests", json!([])),
        with("fsLayers", json!([])),
        with("schemaVersion", json!(1)),
        with("schemaVersion", json!("2")),
        with("schemaVersion", json!(2.5)),
        with("mediaType", json!(INDEX)),
        with("mediaType", json!("application/vnd.docker.distribution.manifest.v1+json")),
        with("mediaType", json!("text/html")),
        with("mediaType", json!(7)),
        with("layers", json!({})),
        with("layers", Value::Null),
        with("config", Value::Null),
        with("config", json!([])),
        with("artifactType", json!("a b")),
        with("artifactType", json!("")),
        with("artifactType", json!("a".repeat(256))),
        with("subject", json!({"mediaType": MANIFEST, "digest": "x", "size": 1})),
        with("subject", json!({"mediaType": MANIFEST, "digest": DIGEST, "size": -1})),
        without("config"),
        without("layers"),
        without("schemaVersion"),
        again("\"layers\":[]"),
        again("\"mediaType\":\"x\""),
        again("\"Layers\":[]"),
        again("\"Manifests\":[]"),
        again("\"MANIFESTS\":[]"),
    ] {
        check(&registry, &bad, if bad.is_empty() { "InvalidParameterException" } else { INVALID });
    }
    let upper = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    check(&registry, upper, INVALID);
    registry.put(&good, Some("good")).unwrap();
}

#[test]
fn a_descriptor_says_what_there_is() {
    let registry = Registry::new();
    let good = registry.manifest(&[b"layer"]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed["layers"][0]);
        changed.to_string()
    };
    for (text, wanted) in [
        (with(&|layer| layer["size"] = json!(-1)), INVALID),
        (with(&|layer| layer["size"] = json!(6)), INVALID),
        (with(&|layer| layer["size"] = json!(i64::MAX)), INVALID),
        (with(&|layer| layer["size"] = json!(u64::MAX)), INVALID),
        (with(&|layer| layer["size"] = json!(1e300)), INVALID),
        (with(&|layer| layer["digest"] = json!("sha256:00")), INVALID),
        (with(&|layer| layer["digest"] = json!(DIGEST.to_uppercase())), INVALID),
        (with(&|layer| layer["digest"] = json!("sha256:../../../../etc/passwd")), INVALID),
        (with(&|layer| layer["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e")), INVALID),
        (with(&|layer| layer["digest"] = json!(DIGEST)), "LayersNotFoundException: Layers with digests '[sha256:e3b0"),
        (with(&|layer| layer["mediaType"] = json!("")), INVALID),
        (with(&|layer| layer["mediaType"] = json!("a\nb")), INVALID),
        (with(&|layer| layer["urls"] = json!(["https://example.com/x"])), INVALID),
        (with(&|layer| layer["urls"] = json!(["file:///etc/passwd"])), INVALID),
        (with(&|layer| drop(layer.as_object_mut().unwrap().remove("digest"))), INVALID),
        (with(&|layer| *layer = json!("x")), INVALID),
    ] {
        check(&registry, &text, wanted);
    }
}

/// Go's reader takes `Digest`, `DIGEST` and, because letters of any script are folded, `ſize` for what it looks for; the last
/// of a name wins.
#[test]
fn a_member_is_there_once_and_in_its_own_spelling_wherever_it_is() {
    let registry = Registry::new();
    let image = registry.manifest(&[b"layer"]);
    let text = image.to_string();
    registry.put(&image, Some("good")).unwrap();
    let listed = registry.index(&[&registry.listed()[0].1]).to_string();
    registry.delete(json!({"imageTag": "good"}));
    // Before each of its members, every descriptor has one more; so has the top.
    let extra = |text: &str, member: &str| {
        let of_all = ["\"config\":{", "\"layers\":[{", "\"manifests\":[{", "\"subject\":{"];
        let with = |at: &&str| text.contains(*at).then(|| text.replace(*at, &format!("{at}{member},")));
        of_all.iter().filter_map(with).collect::<Vec<_>>()
    };
    let subject = format!(r#"{{"subject":{{"mediaType":"{MANIFEST}","digest":"{DIGEST}","size":1}},{}"#, &text[1..]);
    let other = format!("sha256:{:064}", 0);
    for member in [
        format!(r#""Digest":"{other}""#),
        format!(r#""dıgest":1,"DIGEST":"{other}""#),
        r#""\u017fize":1"#.to_owned(),
        r#""ſize":1"#.to_owned(),
        r#""SIZE":1"#.to_owned(),
        r#""size":1"#.to_owned(),
        r#""MediaType":"x""#.to_owned(),
        r#""URLs":["https://example.com/x"]"#.to_owned(),
        r#""urlſ":["https://example.com/x"]"#.to_owned(),
        r#""Data":"e30=""#.to_owned(),
        r#""platform":{"os":"linux","OS":"windows"}"#.to_owned(),
        r#""platform":{"os":"linux","oſ":"windows"}"#.to_owned(),
        r#""platform":{"os":"linux","os":"windows"}"#.to_owned(),
    ] {
        for bad in [&text, &listed, &subject].into_iter().flat_map(|text| extra(text, &member)) {
            check(&registry, &bad, INVALID);
        }
    }
    for member in [
        r#""layerſ":[]"#,
        r#""layer\u017f":[]"#,
        r#""manifeſts":[]"#,
        r#""ſchemaVersion":2"#,
        r#""CONFIG":{}"#,
        r#""Subject":null"#,
        r#""Annotations":{}"#,
        r#""annotations":{},"annotations":{}"#,
    ] {
        check(&registry, &format!("{{{member},{}", &text[1..]), INVALID);
    }
    // What nobody knows may be spelt as it likes.
    registry.put_text(&format!(r#"{{"x":1,"X":2,"layer":{{"Digest":1}},{}"#, &text[1..]), None).unwrap();
}

#[test]
fn foreign_layers_need_not_be_there_if_the_web_has_them() {
    let registry = Registry::new();
    let mut manifest = registry.manifest(&[]);
    let foreign = |urls: Value| {
        json!([{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": DIGEST, "size": 9,
                "urls": urls}])
    };
    for urls in [json!([]), json!(["file:///x"]), json!(["https://example.com/x", "javascript:x"])] {
        manifest["layers"] = foreign(urls.clone());
        let refused = registry.put(&manifest, None).unwrap_err();
        let wanted = if urls == json!([]) { "LayersNotFoundException" } else { INVALID };
        assert!(refused.starts_with(wanted), "{urls}: {refused}");
    }
    manifest["layers"] = foreign(json!(["https://example.com/x"]));
    registry.put(&manifest, None).unwrap();
    let state = registry.0.store.read();
    let image = state.images.iter().next().unwrap().1.clone();
    assert_eq!((image.size, image.layers.len()), (2, 1), "what is not here is not counted");
}

#[test]
fn a_manifest_names_so_many_things_and_has_so_many_bytes() {
    let registry = Registry::new();
    let mut manifest = registry.manifest(&[]);
    let layer = |number: usize| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{number:064x}"), "size": 1});
    manifest["layers"] = (0..10_000).map(layer).collect();
    check(&registry, &manifest.to_string(), INVALID);
    let missing: Vec<Value> = (0..4000).map(layer).collect();
    manifest["layers"] = json!(missing);
    check(&registry, &manifest.to_string(), "LayersNotFoundException");
    let mut manifest = registry.manifest_of_known();
    let empty = manifest.to_string().len() + r#","annotations":{"a":""}"#.len();
    manifest["annotations"] = json!({"a": "x".repeat(4 * 1024 * 1024 - empty)});
    registry.put(&manifest, None).unwrap();
    manifest["annotations"] = json!({"a": "x".repeat(4 * 1024 * 1024 - empty + 1)});
    let refused = registry.put(&manifest, None).unwrap_err();
    assert!(refused.starts_with("InvalidParameterException"), "{:.200}", refused);
}

#[test]
fn an_index_lists_what_is_there_and_is_not_too_deep() {
    let registry = Registry::new();
    let mut below = registry.image("leaf", None);
    let leaf = registry.descriptor(&below);
    for (change, wanted) in [
        (json!({"mediaType": MANIFEST, "digest": DIGEST, "size": 1}), "ReferencedImagesNotFoundException"),
        (json!({"mediaType": MANIFEST, "digest": below, "size": 1}), INVALID),
        (json!({"mediaType": "application/json", "digest": below, "size": leaf["size"]}), INVALID),
    ] {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [leaf, change]});
        let refused = registry.put(&index, None).unwrap_err();
        assert!(refused.starts_with(wanted), "{change}: {refused}");
    }
    let mut depth = 0;
    let refused = loop {
        match registry.put(&registry.index(&[&below]), None) {
            Ok(digest) => (below, depth) = (digest, depth + 1),
            Err(refused) => break refused,
        }
        assert!(depth < 100);
    };
    assert!(refused.starts_with(INVALID) && refused.contains("deep"), "{refused}");
    assert_eq!(depth, 4);
}

#[test]
fn tags_and_digests_are_checked() {
    let registry = Registry::new();
    let manifest = registry.manifest(&[]).to_string();
    for tag in [".a", "-a", "a/b", "a b", "é", "a:b", &"a".repeat(129)] {
        let refused = registry.put_text(&manifest, Some(tag)).unwrap_err();
        assert!(refused.starts_with("InvalidParameterException"), "{tag}: {refused}");
    }
    let mut input = json!({"repositoryName": NAME, "imageManifest": manifest, "imageDigest": DIGEST});
    let fault = registry.fault("PutImage", input.clone());
    assert!(fault.starts_with("ImageDigestDoesNotMatchException"), "{fault}");
    input["imageDigest"] = json!("x");
    assert!(registry.fault("PutImage", input.clone()).starts_with("InvalidParameterException"));
    input["imageDigest"] = Value::Null;
    input["imageManifestMediaType"] = json!(INDEX);
    assert!(registry.fault("PutImage", input.clone()).starts_with("InvalidParameterException"));
    input["imageManifestMediaType"] = json!(format!("{MANIFEST}; charset=utf-8"));
    let sha512 = digest_of(Algorithm::Sha512, manifest.as_bytes()).to_string();
    input["imageDigest"] = json!(sha512);
    let put = registry.ok("PutImage", input);
    assert_eq!(put["image"]["imageId"]["imageDigest"], sha512);
    assert_eq!(put["image"]["imageManifestMediaType"], MANIFEST);
}

#[test]
fn what_is_refused_leaves_no_bytes() {
    let registry = Registry::new();
    let manifest = registry.manifest(&[]).to_string().replace("\"layers\":[]", &format!(
        "\"layers\":[{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"{DIGEST}\",\"size\":0}}]"
    ));
    registry.put_text(&manifest, None).unwrap_err();
    let digest = digest_of(Algorithm::Sha256, manifest.as_bytes());
    assert_eq!(registry.0.blobs.size(&digest).unwrap(), None);
}
