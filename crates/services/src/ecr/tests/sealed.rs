//! Repositories that are encrypted by KMS.

use longshore_store::blobs::Kept;

use crate::kms;

use super::*;

const CLOSED: &str = "team/closed";

/// A registry with a repository that is encrypted by a key, and the key.
fn closed() -> (Registry, Value) {
    let registry = Registry::new();
    let key = registry.0.of(&kms::SERVICE, "CreateKey", json!({})).unwrap()["KeyMetadata"]["KeyId"].clone();
    make(&registry, &key);
    (registry, key)
}

fn make(registry: &Registry, key: &Value) {
    let encryption = json!({"encryptionType": "KMS", "kmsKey": key});
    registry.ok("CreateRepository", json!({"repositoryName": CLOSED, "encryptionConfiguration": encryption}));
}

fn kms(registry: &Registry, operation: &str, input: Value) {
    registry.0.of(&kms::SERVICE, operation, input).unwrap();
}

fn put(registry: &Registry, layer: &Value) -> Result<Value, String> {
    let mut config = registry.layer_to(CLOSED, b"{}");
    config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let input = json!({"repositoryName": CLOSED, "imageManifest": manifest.to_string(), "imageTag": "it"});
    registry.0.of(&SERVICE, "PutImage", input).map_err(|fault| fault.to_string())
}

fn get(registry: &Registry) -> Value {
    registry.ok("BatchGetImage", json!({"repositoryName": CLOSED, "imageIds": [{"imageTag": "it"}]}))
}

#[test]
fn an_image_is_sealed_and_got_while_its_key_may_be_used() {
    let (registry, key) = closed();
    let layer = registry.layer_to(CLOSED, b"some bytes");
    put(&registry, &layer).unwrap();
    let digest = longshore_store::blobs::Digest::parse(layer["digest"].as_str().unwrap()).unwrap();
    assert_eq!(registry.0.blobs.size(&digest).unwrap(), None, "nothing lies as it came");
    assert_eq!(registry.0.blobs.seals().unwrap().len(), 1);
    let works = || {
        let got = get(&registry);
        assert_eq!((got["images"].as_array().unwrap().len(), &got["failures"]), (1, &json!([])));
    };
    works();
    let which = json!({"KeyId": key});
    let is_refused = |code: &str| {
        let failure = get(&registry)["failures"][0].clone();
        assert_eq!(failure["failureCode"], "KmsError", "{failure}");
        let reason = failure["failureReason"].as_str().unwrap();
        let is_told = reason.starts_with("The repository's key cannot be used: ") && reason.contains("arn:aws:kms:");
        assert!(is_told, "{reason}");
        let url = json!({"repositoryName": CLOSED, "layerDigest": layer["digest"]});
        for (operation, input) in
            [("InitiateLayerUpload", json!({"repositoryName": CLOSED})), ("GetDownloadUrlForLayer", url)]
        {
            let fault = registry.0.of(&SERVICE, operation, input).unwrap_err();
            assert_eq!(fault.name, "KmsException");
            assert!(format!("{fault:?}").contains(code), "{fault:?}");
        }
    };
    kms(&registry, "DisableKey", which.clone());
    is_refused("DisabledException");
    kms(&registry, "ScheduleKeyDeletion", which.clone());
    is_refused("KMSInvalidStateException");
    kms(&registry, "CancelKeyDeletion", which.clone());
    is_refused("DisabledException");
    kms(&registry, "EnableKey", which.clone());
    works();
    kms(&registry, "RotateKeyOnDemand", which);
    works();
    let id = key.as_str().unwrap();
    let stored = longshore_model::kms::key(&registry.0.account, id);
    registry.0.apply(vec![longshore_model::Change::Delete(longshore_model::TableName::EncryptionKey, stored)]);
    is_refused("NotFoundException");
}

/// The record of the repository that is encrypted.
fn record(registry: &Registry) -> longshore_model::registry::Repository {
    longshore_model::registry::Repository::clone(registry.0.store.read().repository("123456789012", CLOSED).unwrap())
}

#[test]
fn a_data_key_opens_in_its_own_record_alone() {
    let (registry, key) = closed();
    let mine = record(&registry);
    let encryption = json!({"encryptionType": "KMS", "kmsKey": key});
    registry.ok("CreateRepository", json!({"repositoryName": "other", "encryptionConfiguration": encryption}));
    let other = registry.0.store.read().repository("123456789012", "other").unwrap().clone();
    assert!(longshore_model::registry::is_sealed(&mine.id) && mine.data_key != other.data_key);
    let foreign = longshore_model::registry::Repository { data_key: other.data_key.clone(), ..mine.clone() };
    registry.0.apply(vec![foreign.into()]);
    let fault = registry.0.of(&SERVICE, "InitiateLayerUpload", json!({"repositoryName": CLOSED})).unwrap_err();
    assert!(fault.name == "KmsException" && format!("{fault:?}").contains("InvalidCiphertextException"), "{fault:?}");
    registry.0.apply(vec![mine.into()]);
    registry.layer_to(CLOSED, b"x");
}

#[test]
fn a_repository_that_is_made_again_takes_nothing_that_was_sealed_before() {
    let (registry, key) = closed();
    let account = registry.0.account.clone();
    let mut context = registry.0.context();
    let blobs = crate::ecr::content::bytes(&mut context, &account, CLOSED).unwrap();
    let kept = blobs.put(Algorithm::Sha256, b"bytes".as_slice().into()).unwrap();
    registry.ok("DeleteRepository", json!({"repositoryName": CLOSED}));
    make(&registry, &key);
    let mut link = |name: &str, kept: &Kept| {
        // Also if the upload had been begun for the one that is there now.
        let id = registry.0.store.read().repository("123456789012", name).unwrap().id.clone();
        crate::ecr::content::link(&mut context, (&account, name), &id, kept)
    };
    assert_eq!(link(CLOSED, &kept).unwrap_err().name, "RepositoryNotFoundException");
    let plain = registry.0.blobs.put(Algorithm::Sha256, b"bytes".as_slice().into()).unwrap();
    assert!(link(CLOSED, &plain).is_err());
    assert!(link(NAME, &plain).is_ok());
}

#[test]
fn layers_are_mounted_where_their_bytes_lie() {
    let (registry, key) = closed();
    let account = registry.0.account.clone();
    let digest = registry.layer_to(CLOSED, b"bytes")["digest"].as_str().unwrap().to_owned();
    let encryption = json!({"encryptionType": "KMS", "kmsKey": key});
    registry.ok("CreateRepository", json!({"repositoryName": "other", "encryptionConfiguration": encryption}));
    let mount = |from: &str, to: &str| {
        crate::ecr::content::mount(&mut registry.0.context(), &account, (from, to), &digest).unwrap()
    };
    assert!(!mount(CLOSED, "other") && !mount(CLOSED, NAME) && mount(CLOSED, CLOSED));
    registry.layer(b"bytes");
    registry.ok("CreateRepository", json!({"repositoryName": "open"}));
    assert!(!mount(NAME, "other") && mount(NAME, "open"));
}
