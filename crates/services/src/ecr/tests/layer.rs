use super::*;

fn digest(bytes: &[u8]) -> String {
    digest_of(Algorithm::Sha256, bytes).to_string()
}

struct Upload<'a> {
    registry: &'a Registry,
    id: String,
}

impl Upload<'_> {
    fn new(registry: &Registry) -> Upload<'_> {
        let begun = registry.ok("InitiateLayerUpload", json!({"repositoryName": NAME}));
        Upload { registry, id: begun["uploadId"].as_str().unwrap().to_owned() }
    }

    fn part(&self, first: i64, last: i64, bytes: &[u8]) -> Value {
        json!({"repositoryName": NAME, "uploadId": self.id, "partFirstByte": first, "partLastByte": last,
               "layerPartBlob": STANDARD.encode(bytes)})
    }

    fn send(&self, first: i64, bytes: &[u8]) -> Value {
        self.registry.ok("UploadLayerPart", self.part(first, first + bytes.len() as i64 - 1, bytes))
    }

    fn end(&self, digest: &str) -> Value {
        json!({"repositoryName": NAME, "uploadId": self.id, "layerDigests": [digest]})
    }
}

#[test]
fn a_layer_comes_in_parts_and_is_there_when_it_is_whole() {
    let registry = Registry::new();
    let upload = Upload::new(&registry);
    let whole = digest(b"onetwo");
    let check = || {
        let found =
            registry.ok("BatchCheckLayerAvailability", json!({"repositoryName": NAME, "layerDigests": [whole]}));
        found["layers"][0].clone()
    };
    assert_eq!(check(), json!({"layerDigest": whole, "layerAvailability": "UNAVAILABLE"}));
    assert_eq!(upload.send(0, b"one")["lastByteReceived"], 2);
    assert_eq!(upload.send(3, b"two")["lastByteReceived"], 5);
    assert_eq!(check()["layerAvailability"], "UNAVAILABLE");
    let ended = registry.ok("CompleteLayerUpload", upload.end(&whole));
    assert_eq!((&ended["layerDigest"], &ended["uploadId"]), (&json!(whole), &json!(upload.id)));
    let found = check();
    assert_eq!((&found["layerAvailability"], &found["layerSize"]), (&json!("AVAILABLE"), &json!(6)));
    let fault = registry.fault("UploadLayerPart", upload.part(6, 6, b"x"));
    assert!(fault.starts_with("UploadNotFoundException"), "{fault}");
    let other = digest(b"other");
    let fault = registry.fault("GetDownloadUrlForLayer", json!({"repositoryName": NAME, "layerDigest": other}));
    assert!(fault.starts_with("LayersNotFoundException"), "{fault}");
    let url = registry.ok("GetDownloadUrlForLayer", json!({"repositoryName": NAME, "layerDigest": whole}));
    let start = format!("http://127.0.0.1:4566/v2/team/web/blobs/{whole}?X-Longshore-Registry=123456789012&");
    assert!(url["downloadUrl"].as_str().unwrap().starts_with(&start), "{url}");
}

#[test]
fn a_layer_that_is_there_is_told_of_and_stays() {
    let registry = Registry::new();
    registry.layer(b"x");
    let upload = Upload::new(&registry);
    upload.send(0, b"x");
    let fault = registry.fault("CompleteLayerUpload", upload.end(&digest(b"x")));
    assert!(fault.starts_with("LayerAlreadyExistsException"), "{fault}");
    let again =
        registry.ok("BatchCheckLayerAvailability", json!({"repositoryName": NAME, "layerDigests": [digest(b"x")]}));
    assert_eq!(again["layers"][0]["layerAvailability"], "AVAILABLE");
}

#[test]
fn sha512_names_layers_too() {
    let registry = Registry::new();
    let upload = Upload::new(&registry);
    upload.send(0, b"x");
    let name = digest_of(Algorithm::Sha512, b"x").to_string();
    assert_eq!(registry.ok("CompleteLayerUpload", upload.end(&name))["layerDigest"], name);
}

#[test]
fn parts_come_in_order_and_are_what_they_are_said_to_be() {
    let registry = Registry::new();
    let upload = Upload::new(&registry);
    upload.send(0, b"one");
    for (part, wanted) in [
        (upload.part(4, 6, b"two"), "InvalidLayerPartException"),
        (upload.part(2, 4, b"two"), "InvalidLayerPartException"),
        (upload.part(3, 4, b"two"), "InvalidParameterException"),
        (upload.part(3, 2, b""), "InvalidParameterException"),
        (upload.part(5, 3, b"two"), "InvalidParameterException"),
        (upload.part(-1, 1, b"two"), "InvalidParameterException"),
        (upload.part(i64::MIN, i64::MAX, b"two"), "InvalidParameterException"),
        (upload.part(i64::MAX - 2, i64::MAX, b"two"), "InvalidLayerPartException"),
    ] {
        let fault = registry.fault("UploadLayerPart", part.clone());
        assert!(fault.starts_with(wanted), "{part}: {fault}");
    }
    upload.send(3, b"two");
    registry.ok("CompleteLayerUpload", upload.end(&digest(b"onetwo")));
}

#[test]
fn a_wrong_digest_ends_the_upload_and_leaves_nothing() {
    let registry = Registry::new();
    let upload = Upload::new(&registry);
    let fault = registry.fault("CompleteLayerUpload", upload.end(&digest(b"")));
    assert!(fault.starts_with("EmptyUploadException"), "{fault}");
    upload.send(0, b"one");
    for text in ["sha256:00", "md5:0cc175b9c0f1b6a831c399e269772661", &digest(b"one").to_uppercase()] {
        let fault = registry.fault("CompleteLayerUpload", upload.end(text));
        assert!(fault.starts_with("InvalidParameterException"), "{text}: {fault}");
    }
    let fault = registry.fault("CompleteLayerUpload", upload.end(&digest(b"two")));
    assert!(fault.starts_with("InvalidLayerException: Layer digest does not match"), "{fault}");
    let fault = registry.fault("CompleteLayerUpload", upload.end(&digest(b"one")));
    assert!(fault.starts_with("UploadNotFoundException"), "{fault}");
    assert_eq!(registry.0.blobs.open_uploads(), 0);
    assert_eq!(registry.0.store.read().layers.iter().count(), 0);
}

#[test]
fn an_upload_is_its_repositorys_alone() {
    let registry = Registry::new();
    registry.ok("CreateRepository", json!({"repositoryName": "other"}));
    let upload = Upload::new(&registry);
    let mut part = upload.part(0, 0, b"x");
    part["repositoryName"] = json!("other");
    assert!(registry.fault("UploadLayerPart", part).starts_with("UploadNotFoundException"));
    let unknown = Upload { registry: &registry, id: "00000000-0000-4000-8000-000000000000".to_owned() };
    assert!(registry.fault("UploadLayerPart", unknown.part(0, 0, b"x")).starts_with("UploadNotFoundException"));
    let fault = registry.fault("InitiateLayerUpload", json!({"repositoryName": "none"}));
    assert!(fault.starts_with("RepositoryNotFoundException"), "{fault}");
}

#[test]
fn a_repository_that_is_made_again_sees_no_upload_of_the_one_before() {
    let registry = Registry::new();
    let upload = Upload::new(&registry);
    upload.send(0, b"one");
    registry.ok("DeleteRepository", json!({"repositoryName": NAME}));
    assert!(registry.fault("UploadLayerPart", upload.part(3, 5, b"two")).starts_with("RepositoryNotFoundException"));
    registry.ok("CreateRepository", json!({"repositoryName": NAME}));
    assert!(registry.fault("UploadLayerPart", upload.part(3, 5, b"two")).starts_with("UploadNotFoundException"));
    let fault = registry.fault("CompleteLayerUpload", upload.end(&digest(b"one")));
    assert!(fault.starts_with("UploadNotFoundException"), "{fault}");
    let again = Upload::new(&registry);
    again.send(0, b"one");
    registry.ok("CompleteLayerUpload", again.end(&digest(b"one")));
}

#[test]
fn who_asks_for_a_layer_keeps_it_from_going() {
    let mut registry = Registry::new();
    registry.layer(b"x");
    let pushed = |registry: &Registry| registry.0.store.read().layers.iter().next().unwrap().1.pushed_at.millis();
    let first = pushed(&registry);
    let input = json!({"repositoryName": NAME, "layerDigests": [digest(b"x"), "", "x"]});
    let found = registry.ok("BatchCheckLayerAvailability", input.clone());
    let codes: Vec<_> = found["failures"].as_array().unwrap().iter().map(|one| one["failureCode"].clone()).collect();
    assert_eq!(codes, ["MissingLayerDigest", "InvalidLayerDigest"]);
    assert_eq!(pushed(&registry), first);
    registry.0.now += 11 * 60 * 1000;
    registry.ok("BatchCheckLayerAvailability", input);
    assert_eq!(pushed(&registry), registry.0.now);
}

#[test]
fn a_layer_is_mounted_from_a_repository_that_has_it_and_one_in_use_is_not_taken_away() {
    let registry = Registry::new();
    registry.ok("CreateRepository", json!({"repositoryName": "other"}));
    let name = registry.layer(b"x")["digest"].as_str().unwrap().to_owned();
    let mount = |from, to, digest: &str| {
        let (mut context, account) = (registry.0.context(), registry.0.account.clone());
        crate::ecr::content::mount(&mut context, &account, (from, to), digest)
    };
    assert!(!mount("other", NAME, &name).unwrap());
    assert!(!mount("none", NAME, &name).unwrap());
    assert!(mount(NAME, "other", &name).unwrap());
    assert!(mount(NAME, "none", &name).is_err());
    let unlink = |repository, digest: &str| {
        let (mut context, account) = (registry.0.context(), registry.0.account.clone());
        crate::ecr::content::unlink(&mut context, &account, repository, digest).map_err(|fault| fault.name)
    };
    registry.put(&registry.manifest(&[b"y"]), None).unwrap();
    assert_eq!(unlink(NAME, &digest(b"y")), Err("LayerInaccessibleException"));
    assert_eq!(unlink("other", &digest(b"y")), Err("LayersNotFoundException"));
    assert_eq!(unlink("other", &name), Ok(()));
    assert_eq!(unlink("other", &name), Err("LayersNotFoundException"));
}
