//! How much a repository may have, and a disk that takes nothing more.

use longshore_model::Change;
use longshore_model::registry::{Image, Layer, MOST_LOOSE, MOST_REFERENCES, MOST_REFERENCES_IN_ALL};
use longshore_store::{Fault as MediumFault, Memory, Store};
use longshore_wire::Timestamp;

use super::*;
use crate::logs::testing::NOW;

fn id(registry: &Registry) -> String {
    registry.0.store.read().repository("123456789012", NAME).unwrap().id.clone()
}

/// Put past all checks, as much as there may be in a transaction at a time.
fn apply(registry: &Registry, mut changes: impl Iterator<Item = Change>) {
    loop {
        let some: Vec<Change> = changes.by_ref().take(longshore_model::MAX_CHANGES).collect();
        if some.is_empty() {
            return;
        }
        registry.0.apply(some);
    }
}

#[test]
fn a_repository_has_so_many_layers_that_no_image_names() {
    let registry = Registry::new();
    let manifest = registry.manifest(&[b"known"]);
    registry.put(&manifest, None).unwrap();
    let known = manifest["layers"][0].clone();
    let (repository, pushed_at) = (id(&registry), Timestamp::from_millis(NOW));
    let layer =
        |number: usize| Layer { repository: repository.clone(), digest: format!("d{number}"), size: 1, pushed_at };
    apply(&registry, (0..MOST_LOOSE).map(|number| layer(number).into()));
    let upload =
        registry.0.of(&SERVICE, "InitiateLayerUpload", json!({"repositoryName": NAME})).unwrap()["uploadId"].clone();
    let part = json!({"repositoryName": NAME, "uploadId": upload, "partFirstByte": 0, "partLastByte": 0, "layerPartBlob": "eA=="});
    registry.0.of(&SERVICE, "UploadLayerPart", part).unwrap();
    let digest = digest_of(Algorithm::Sha256, b"x").to_string();
    let end = json!({"repositoryName": NAME, "uploadId": upload, "layerDigests": [digest]});
    let fault = registry.fault("CompleteLayerUpload", end);
    assert!(fault.starts_with("LimitExceededException: A repository may have 100000 layers"), "{fault}");
    let mut context = registry.0.context();
    let account = registry.0.account.clone();
    let kept = registry.0.blobs.put(Algorithm::Sha256, b"known".as_slice().into()).unwrap();
    assert_eq!(kept.digest.as_str(), known["digest"]);
    let linked = super::super::content::link(&mut context, (&account, NAME), &repository, &kept);
    assert!(linked.unwrap(), "one that is there already takes no room");
}

#[test]
fn the_images_of_a_repository_name_so_much_in_all() {
    let registry = Registry::new();
    let first = registry.image("first", None);
    let row = Image::clone(registry.0.store.read().image(&id(&registry), &first).unwrap());
    let names = |many: usize| (0..many).map(|number| format!("d{number}")).collect::<Vec<_>>();
    let rest = MOST_REFERENCES_IN_ALL - 2;
    let whole = (0..rest / MOST_REFERENCES).map(|number| (number, MOST_REFERENCES));
    let all = whole.chain([(MOST_REFERENCES_IN_ALL, rest % MOST_REFERENCES)]);
    let image = |(number, many)| Image { digest: format!("m{number}"), layers: names(many), ..row.clone() }.into();
    for change in all.map(image) {
        registry.0.apply(vec![change]);
    }
    // There is room for one reference: the configuration.
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(Algorithm::Sha256, b"{}").to_string(), "size": 2});
    let manifest =
        |name: &str| json!({"schemaVersion": 2, "config": config, "layers": [], "annotations": {"name": name}});
    registry.put(&manifest("last"), None).unwrap();
    let fault = registry.put(&manifest("beyond"), None).unwrap_err();
    assert!(fault.starts_with("LimitExceededException: The images of a repository may refer to 2000000"), "{fault}");
}

#[test]
fn a_full_disk_keeps_nobody_from_pulling() {
    let mut registry = Registry(Bench::new());
    let medium = Memory::default();
    registry.0.store = Store::open(medium.clone()).unwrap();
    registry.ok("CreateRepository", json!({"repositoryName": NAME}));
    let image = registry.image("one", Some("v1"));
    // A store that goes writes what is queued.
    registry.0.store = Store::open(Memory::default()).unwrap();
    registry.0.store = Store::open(medium.clone()).unwrap();
    registry.0.now += 25 * 3600 * 1000;
    medium.set_fault(MediumFault::Full);
    // The store learns of it by a write.
    let tags = json!({"resourceArn": format!("arn:aws:ecr:us-east-1:123456789012:repository/{NAME}"), "tags": [{"Key": "a", "Value": "b"}]});
    let is_full = || {
        let fault = registry.0.of(&SERVICE, "TagResource", tags.clone()).err();
        fault.is_some_and(|fault| fault.to_string().contains("The disk of the control plane is full"))
    };
    while !is_full() {
        std::thread::yield_now();
    }
    let pulled = registry.ok("BatchGetImage", json!({"repositoryName": NAME, "imageIds": [{"imageTag": "v1"}]}));
    assert_eq!(pulled["images"][0]["imageId"]["imageDigest"], image);
    let config = digest_of(Algorithm::Sha256, b"{}").to_string();
    let found = registry.ok("BatchCheckLayerAvailability", json!({"repositoryName": NAME, "layerDigests": [config]}));
    assert_eq!(found["layers"][0]["layerAvailability"], "AVAILABLE");
    assert_eq!(registry.0.store.read().images.iter().next().unwrap().1.pulled_at, None);
}
