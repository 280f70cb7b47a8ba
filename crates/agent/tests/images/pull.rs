//! Pulls: from a real registry, and from one that lies, dawdles and fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_agent::image::{Auth, Ecr, Images, Progress};
use serde_json::json;

use super::node::Node;
use super::picture::{self, INDEX, Picture};
use super::servers::{Debian, Manners, Own};
use super::{check_two_layers, quiet, read, two_layers};

fn basic(password: &str) -> Auth {
    Auth::Basic { user: "puller".to_owned(), password: password.to_owned() }
}

async fn reason(images: &Images, reference: &str, auth: &Auth) -> String {
    images.ensure(reference, auth, quiet).await.unwrap_err().stopped_reason()
}

#[tokio::test]
async fn a_real_registry_is_pulled_from_by_tag_and_by_digest() {
    let (node, registry) = (Node::new().await, Debian::start(false));
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    registry.push(&archive, "team/app:1");
    let by_tag = node.images.ensure(&registry.name("team/app:1"), &Auth::Anonymous, quiet).await.unwrap();
    check_two_layers(&by_tag);
    let pinned = registry.name(&format!("team/app@{}", by_tag.digest));
    node.images.remove(&registry.name("team/app:1")).await.unwrap();
    let by_digest = node.images.ensure(&pinned, &Auth::Anonymous, quiet).await.unwrap();
    check_two_layers(&by_digest);
    assert_eq!((by_digest.reference, by_digest.digest), (pinned, by_tag.digest));
}

#[tokio::test]
async fn credentials_open_a_protected_registry_and_wrong_ones_do_not() {
    let (node, registry) = (Node::new().await, Debian::start(true));
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    registry.push(&archive, "app:1");
    let name = registry.name("app:1");
    for auth in [Auth::Anonymous, basic("wrong"), Auth::Bearer("nonsense".to_owned())] {
        let reason = reason(&node.images, &name, &auth).await;
        let expected = format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {name}: pull \
             access denied, repository does not exist or may require authorization: "
        );
        assert!(reason.starts_with(&expected), "{reason}");
        assert!(!reason.contains("wrong") && !reason.contains("nonsense"), "{reason}");
    }
    check_two_layers(&node.images.ensure(&name, &basic("secret"), quiet).await.unwrap());
}

/// What one caller has pulled another finds on the same node.
#[tokio::test]
async fn an_image_that_was_pulled_with_credentials_is_given_to_nobody_without() {
    let (node, registry) = (Node::new().await, Debian::start(true));
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    registry.push(&archive, "app:1");
    let (name, images) = (registry.name("app:1"), &node.images);
    let image = images.ensure(&name, &basic("secret"), quiet).await.unwrap();
    let pinned = registry.name(&format!("app@{}", image.digest));
    for name in [&name, &pinned] {
        for auth in [Auth::Anonymous, basic("wrong")] {
            let told = reason(images, name, &auth).await;
            assert!(told.contains("pull access denied"), "{name}: {told}");
        }
        check_two_layers(&images.ensure(name, &basic("secret"), quiet).await.unwrap());
    }
    drop(registry);
    for name in [&name, &pinned] {
        let told = reason(images, name, &Auth::Anonymous).await;
        assert!(told.starts_with("CannotPullContainerError: ") && told.contains("failed to do request"), "{told}");
        check_two_layers(&images.ensure(name, &basic("secret"), quiet).await.unwrap());
    }
}

/// Nothing resolves these names but the node.
#[tokio::test]
async fn images_of_ecr_are_asked_for_at_the_control_plane() {
    let node = Node::new().await;
    let plane = Own::start(Manners { picture: two_layers(), token: Some("t0ken"), ..Manners::default() });
    let images = node.fresh_images().with_ecr(Ecr::new(&plane.endpoint(), "us-east-1"));
    for registry in ["111122223333.dkr.ecr.us-east-1.amazonaws.com", "111122223333.dkr.ecr.us-east-1.localhost"] {
        let name = format!("{registry}/app:1");
        check_two_layers(&images.ensure(&name, &Auth::Bearer("t0ken".to_owned()), quiet).await.unwrap());
        assert!(images.is_of_ecr(&name) && !node.images.is_of_ecr(&name));
    }
    let asked = plane.asked("/manifests/");
    assert!(!asked.is_empty(), "{asked:?}");
    assert!(asked.iter().all(|line| line.ends_with("at 111122223333.dkr.ecr.us-east-1.localhost")), "{asked:?}");
    assert!(images.is_of_ecr(&format!("localhost:{}/app:1", plane.endpoint().split(':').nth(1).unwrap())));
    let elsewhere = "111122223333.dkr.ecr.eu-west-1.amazonaws.com.invalid/app:1";
    assert!(!images.is_of_ecr(elsewhere));
    let told = reason(&images, elsewhere, &Auth::Anonymous).await;
    assert!(told.contains("https://111122223333.dkr.ecr.eu-west-1.amazonaws.com.invalid/"), "{told}");
}

#[tokio::test]
async fn an_image_of_ecr_that_is_here_is_not_given_to_whom_ecr_has_not_let_in() {
    let node = Node::new().await;
    let plane = Own::start(Manners { picture: two_layers(), ..Manners::default() });
    let images = node.fresh_images().with_ecr(Ecr::new(&plane.endpoint(), "us-east-1"));
    let by_tag = "111122223333.dkr.ecr.us-east-1.localhost/app:1".to_owned();
    let image = images.ensure(&by_tag, &basic("one role's"), quiet).await.unwrap();
    let pinned = format!("111122223333.dkr.ecr.us-east-1.localhost/app@{}", image.digest);
    images.ensure(&pinned, &basic("one role's"), quiet).await.unwrap();
    plane.set_away(true);
    for name in [&by_tag, &pinned] {
        check_two_layers(&images.ensure(name, &basic("one role's"), quiet).await.unwrap());
        for other in [basic("another's"), Auth::Anonymous] {
            let told = reason(&images, name, &other).await;
            assert!(told.starts_with("CannotPullContainerError: ") && told.contains("429 Too Many Requests"), "{told}");
        }
    }
    plane.set_away(false);
    check_two_layers(&images.ensure(&by_tag, &basic("another's"), quiet).await.unwrap());
    plane.set_away(true);
    check_two_layers(&images.ensure(&by_tag, &basic("another's"), quiet).await.unwrap());
}

#[tokio::test]
async fn what_a_registry_does_not_have_is_not_found_at_once() {
    let (node, registry) = (Node::new().await, Debian::start(false));
    for name in [registry.name("nothing:1"), registry.name(&format!("nothing@sha256:{}", "0".repeat(64)))] {
        let expected = format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {name}: \
             {name}: not found"
        );
        assert_eq!(reason(&node.images, &name, &Auth::Anonymous).await, expected);
    }
    let reason = reason(&node.images, "Not A Reference", &Auth::Anonymous).await;
    assert!(reason.starts_with("CannotPullContainerError: invalid reference format"), "{reason}");
}

#[tokio::test]
async fn an_unreachable_registry_is_tried_five_times() {
    let node = Node::new().await;
    let reason = reason(&node.images, "127.0.0.1:1/app:1", &Auth::Anonymous).await;
    let expected = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
                    127.0.0.1:1/app:1: failed to do request: Get \"http://127.0.0.1:1";
    assert!(reason.starts_with(expected) && reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_registry_that_recovers_in_time_is_pulled_from() {
    let node = Node::new().await;
    for (failures, succeeds) in [(4, true), (9, false)] {
        let registry = Own::start(Manners { picture: two_layers(), failures, ..Manners::default() });
        let name = registry.name("app:1");
        let pulled = node.images.ensure(&name, &Auth::Anonymous, quiet).await;
        assert_eq!(pulled.is_ok(), succeeds, "{pulled:?}");
        assert_eq!(registry.asked("/manifests/").len(), 5);
    }
}

#[tokio::test]
async fn a_token_is_fetched_where_a_registry_asks_for_one() {
    let node = Node::new().await;
    let registry = Own::start(Manners { picture: two_layers(), token: Some("t0ken"), ..Manners::default() });
    let name = registry.name("app:1");
    check_two_layers(&node.images.ensure(&name, &Auth::Anonymous, quiet).await.unwrap());
    assert_eq!(registry.asked("/token?").len(), 1);
    assert!(registry.asked("scope=repository%3Aapp%3Apull").len() == 1, "{:?}", registry.asked("/token?"));
    let other = node.fresh_images();
    assert!(other.pull(&name, &Auth::Bearer("other".to_owned()), quiet).await.is_err());
    check_two_layers(&other.pull(&name, &Auth::Bearer("t0ken".to_owned()), quiet).await.unwrap());
}

#[tokio::test]
async fn the_manifest_of_this_platform_is_taken_from_an_index() {
    let node = Node::new().await;
    let picture = Picture::indexed(&[&[("run", b"here")]]);
    let registry = Own::start(Manners { picture: picture.clone(), ..Manners::default() });
    let image = node.images.ensure(&registry.name("app:1"), &Auth::Anonymous, quiet).await.unwrap();
    assert_eq!(read(&image, "run").as_deref(), Some("here"));
    assert_eq!(image.digest.as_str(), picture.digest());
    assert_ne!(image.manifest, image.digest);
    let asked = registry.asked("/blobs/").len();
    for digest in [&image.digest, &image.manifest] {
        let pinned = registry.name(&format!("app@{digest}"));
        assert_eq!(node.images.ensure(&pinned, &Auth::Anonymous, quiet).await.unwrap().lowers, image.lowers);
    }
    assert_eq!(registry.asked("/blobs/").len(), asked, "an image that is here by another name is not fetched again");

    let elsewhere = picture.edit(|index| index["manifests"].as_array_mut().unwrap().truncate(1));
    let registry = Own::start(Manners { picture: elsewhere, ..Manners::default() });
    let reason = reason(&node.images, &registry.name("app:1"), &Auth::Anonymous).await;
    let expected = format!("does not contain descriptor matching platform 'linux/{}'", picture::architecture());
    assert!(reason.ends_with(&expected), "{reason}");
}

#[tokio::test]
async fn hostile_registries_are_refused_and_leave_nothing() {
    let node = Node::new().await;
    let mut other = two_layers();
    let lie = other.blobs[other.digest()].clone();
    other = Picture::new(&[&[("run", b"other")]]);
    let pinned = other.digest().to_owned();
    other.blobs.insert(pinned.clone(), lie);
    let mut nested = Picture::indexed(&[&[("run", b"deep")]]);
    let mut inner = nested.top.clone();
    inner["platform"] = json!({"os": "linux", "architecture": picture::architecture()});
    nested.lead_to(INDEX, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]}));
    let mut swollen = two_layers();
    swollen.lead_to(picture::MANIFEST, json!({"schemaVersion": 2, "filler": "x".repeat(5 << 20)}));
    let many = two_layers().edit(|manifest| manifest["layers"] = json!(vec![manifest["layers"][0].clone(); 10_000]));
    let foreign = two_layers().edit(|manifest| {
        manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar")
    });
    let rows = [
        (two_layers().corrupt(), None, "app:1".to_owned(), "does not match its digest"),
        (other, None, format!("app@{pinned}"), "does not match its digest"),
        (two_layers(), Some(INDEX), "app:1".to_owned(), "was served as"),
        (nested, None, "app:1".to_owned(), "leads to another index"),
        (swollen, None, "app:1".to_owned(), "larger than 4194304 bytes"),
        (many, None, "app:1".to_owned(), "more than 127"),
        (foreign, None, "app:1".to_owned(), "is not supported"),
    ];
    for (picture, served_as, image, expected) in rows {
        let registry = Own::start(Manners { picture, served_as, ..Manners::default() });
        let reason = reason(&node.images, &registry.name(&image), &Auth::Anonymous).await;
        assert!(reason.contains(expected) && reason.contains("retried 1 time(s)"), "{expected}: {reason}");
        assert_eq!(node.images.list().await.unwrap(), [], "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_one_image_share_one_pull() {
    let node = Node::new().await;
    let picture = Picture::new(&[&[("run", b"x"), ("big", &picture::noise(2 << 20, 7))], &[("top", b"y")]]);
    let pause = Duration::from_millis(5);
    let registry = Own::start(Manners { picture, pause, ..Manners::default() });
    let name = registry.name("app:1");
    let arrived = Arc::new(AtomicU64::new(0));
    let ensures = (0..20).map(|_| {
        let (images, name, arrived) = (node.images.clone(), name.clone(), Arc::clone(&arrived));
        tokio::spawn(async move {
            let hear = move |progress: Progress| arrived.store(progress.done_bytes, Ordering::Relaxed);
            images.ensure(&name, &Auth::Anonymous, hear).await.unwrap().lowers
        })
    });
    let ensures: Vec<_> = ensures.collect();
    let mut lowers = Vec::new();
    for ensure in ensures {
        lowers.push(ensure.await.unwrap());
    }
    assert!(lowers.iter().all(|each| *each == lowers[0]));
    assert_eq!(registry.asked("/blobs/").len(), 3, "two layers and a configuration, once each");
    assert!(arrived.load(Ordering::Relaxed) > 2 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_layers_are_fetched_once() {
    let node = Node::new().await;
    let base: picture::Files = &[("base", b"b")];
    let first = Own::start(Manners { picture: Picture::new(&[base, &[("a", b"a")]]), ..Manners::default() });
    let second =
        Own::start(Manners { picture: Picture::new(&[base, &[("c", b"c")], &[("c", b"c")]]), ..Manners::default() });
    let one = node.images.ensure(&first.name("app:1"), &Auth::Anonymous, quiet).await.unwrap();
    let other = node.images.ensure(&second.name("app:1"), &Auth::Anonymous, quiet).await.unwrap();
    assert_eq!((one.lowers.len(), other.lowers.len()), (2, 3));
    assert_eq!(one.lowers.last(), other.lowers.last());
    assert_eq!(second.asked("/blobs/").len(), 2, "one new layer, which is there twice, and a configuration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_goes_on_after_containerd_is_killed_and_started_again() {
    let node = Node::new().await;
    let picture = Picture::new(&[&[("run", b"x"), ("big", &picture::noise(8 << 20, 3))]]);
    let layer = picture.layer();
    let pause = Duration::from_millis(30);
    let registry = Own::start(Manners { picture, pause, ..Manners::default() });
    let name = registry.name("app:1");
    let arrived = Arc::new(AtomicU64::new(0));
    let pull = {
        let (images, arrived) = (node.images.clone(), Arc::clone(&arrived));
        let hear = move |progress: Progress| arrived.store(progress.done_bytes, Ordering::Relaxed);
        tokio::spawn(async move { images.ensure(&name, &Auth::Anonymous, hear).await })
    };
    while arrived.load(Ordering::Relaxed) < 3 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.kill();
    while !node.containerd.revive().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let image = pull.await.unwrap().unwrap();
    assert_eq!(std::fs::metadata(image.lowers[0].join("big")).unwrap().len(), 8 << 20);
    let resumed = registry.asked(&layer).iter().filter(|line| line.contains("bytes=")).count();
    assert!(resumed >= 1, "{:?}", registry.asked(&layer));
}
