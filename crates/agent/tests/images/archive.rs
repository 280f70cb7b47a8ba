//! Archives: good ones come in, bad ones leave nothing.

use std::path::Path;

use longshore_agent::image::{Auth, Error};
use serde_json::json;

use super::node::Node;
use super::picture::Picture;
use super::{check_two_layers, quiet, read, two_layers};

#[tokio::test]
async fn an_archive_is_imported_listed_found_and_removed() {
    let node = Node::new().await;
    let (picture, archive) = (two_layers(), node.file("image.tar"));
    for packed in [false, true] {
        picture.write(&archive, packed);
        let image = node.images.import(&archive, Some("my-app:1")).await.unwrap();
        check_two_layers(&image);
        assert_eq!(image.reference, "docker.io/library/my-app:1");
        assert_eq!(image.digest.as_str(), picture.digest());
        let listed = node.images.list().await.unwrap();
        assert_eq!(listed.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["my-app:1"]);
        assert!(listed[0].size_bytes > 0 && listed[0].digest == image.digest);
        let pinned = format!("my-app:other@{}", image.digest);
        for reference in ["my-app:1", "docker.io/library/my-app:1", &pinned] {
            let found = node.fresh_images().ensure(reference, &Auth::Anonymous, quiet).await.unwrap();
            assert_eq!((found.lowers, found.digest), (image.lowers.clone(), image.digest.clone()));
        }
        node.images.remove("my-app:1").await.unwrap();
        assert_eq!(node.images.list().await.unwrap(), []);
        assert!(matches!(node.images.remove("my-app:1").await, Err(Error::NotFound(_))));
        assert!(image.lowers.iter().all(|lower| !lower.exists()), "the content of a removed image goes at once");
    }
}

#[tokio::test]
async fn what_docker_saves_is_imported_too() {
    let node = Node::new().await;
    let (archive, saved) = (node.file("image.tar"), node.file("saved.tar"));
    two_layers().write(&archive, false);
    let copied = std::process::Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet", &format!("oci-archive:{}", archive.display())])
        .arg(format!("docker-archive:{}:me/app:7", saved.display()))
        .output()
        .expect("skopeo must be installed");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let image = node.images.import(&saved, None).await.unwrap();
    assert_eq!(image.reference, "docker.io/me/app:7");
    check_two_layers(&image);
}

#[tokio::test]
async fn a_tag_that_moves_leads_to_the_new_image() {
    let node = Node::new().await;
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    let old = node.images.import(&archive, Some("app")).await.unwrap();
    Picture::new(&[&[("run", b"new")]]).write(&archive, false);
    let new = node.images.import(&archive, Some("app")).await.unwrap();
    assert_ne!(old.digest, new.digest);
    assert_eq!(read(&new, "run").as_deref(), Some("new"));
    assert_eq!(node.images.get("app").await.unwrap(), Some(new));
    let pinned = format!("app:latest@{}", old.digest);
    let found = node.fresh_images().ensure(&pinned, &Auth::Anonymous, quiet).await.unwrap();
    assert_eq!(
        (found.digest, found.lowers),
        (old.digest.clone(), old.lowers),
        "what a deployment keeps to is still here"
    );
    let names: Vec<_> = node.images.list().await.unwrap().into_iter().map(|line| line.name).collect();
    assert_eq!(names, ["app:latest".to_owned(), format!("app@{}", old.digest)]);
}

#[tokio::test]
async fn bad_archives_are_refused_and_leave_nothing() {
    let node = Node::new().await;
    let archive = node.file("image.tar");
    let both = two_layers().edit(|manifest| manifest["manifests"] = json!([]));
    let negative = two_layers().edit(|manifest| manifest["layers"][0]["size"] = json!(-1));
    let smaller = two_layers().edit(|manifest| manifest["layers"][0]["size"] = json!(5));
    let huge = two_layers().edit(|manifest| manifest["layers"][0]["size"] = json!(i64::MAX));
    let mut missing = two_layers();
    missing.blobs.remove(&missing.layer());
    let rows = [
        (both, "both a manifest and an index"),
        (negative, "out of range"),
        (huge, "out of range"),
        (smaller, "does not match"),
        (two_layers().corrupt(), "does not match"),
        (missing, "is missing"),
    ];
    for (picture, expected) in rows {
        picture.write(&archive, false);
        let error = node.images.import(&archive, Some("app")).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(node.images.list().await.unwrap(), [], "{expected}");
    }
    let wrong = node.images.import(Path::new("/nonexistent.tar"), Some("app")).await;
    assert!(matches!(wrong, Err(Error::Archive(_))), "{wrong:?}");
    assert!(matches!(node.images.import(&archive, Some("../x")).await, Err(Error::Reference { .. })));
    two_layers().write(&archive, false);
    let nameless = node.images.import(&archive, None).await.unwrap_err().to_string();
    assert_eq!(nameless, "image archive: it does not name its image; choose a name with --tag");
    assert_eq!(node.images.list().await.unwrap(), []);
}
