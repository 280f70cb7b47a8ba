//! Tags that move, and the node's own credentials.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use longshore_agent::image::{Auth, Error, Image, Images};

use super::node::Node;
use super::picture::Picture;
use super::servers::{Debian, Manners, Own};
use super::{check_two_layers, quiet, read, two_layers};

const CREDENTIALS: &str = "cHVsbGVyOnNlY3JldA=="; // puller:secret
const WRONG: &str = "cHVsbGVyOndyb25n"; // puller:wrong

async fn ensure(images: &Images, name: &str) -> Result<Image, Error> {
    images.ensure(name, &Auth::Anonymous, quiet).await
}

fn push(node: &Node, registry: &Debian, picture: &Picture, image: &str) {
    let archive = node.file("image.tar");
    picture.write(&archive, false);
    registry.push(&archive, image);
}

fn write(file: &Path, registry: &str, auth: &str, mode: u32) {
    let host = registry.split('/').next().unwrap();
    std::fs::write(file, serde_json::json!({"auths": {host: {"auth": auth}}}).to_string()).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_moved_tag_is_pulled_again_and_a_digest_is_not() {
    let (node, registry) = (Node::new().await, Debian::start(false));
    let name = registry.name("app:1");
    push(&node, &registry, &two_layers(), "app:1");
    let old = ensure(&node.images, &name).await.unwrap();
    assert_eq!(ensure(&node.images, &name).await.unwrap(), old);
    let pinned = registry.name(&format!("app@{}", old.digest));
    ensure(&node.images, &pinned).await.unwrap();

    push(&node, &registry, &Picture::new(&[&[("run", b"new")]]), "app:1");
    let new = ensure(&node.images, &name).await.unwrap();
    assert_ne!(new.digest, old.digest);
    assert_eq!(read(&new, "run").as_deref(), Some("new"));
    assert_eq!(ensure(&node.images, &pinned).await.unwrap().digest, old.digest);

    let address = registry.address();
    drop(registry);
    for images in [&node.images, &node.fresh_images()] {
        assert_eq!(ensure(images, &name).await.unwrap(), new, "a registry that is away leaves what is here");
    }
    let _silent = TcpListener::bind(address).unwrap();
    let begun = Instant::now();
    assert_eq!(ensure(&node.images, &name).await.unwrap(), new, "so does one that does not answer");
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_tag_that_has_not_moved_costs_one_question() {
    let node = Node::new().await;
    let registry = Own::start(Manners { picture: Picture::indexed(&[&[("run", b"x")]]), ..Manners::default() });
    let name = registry.name("app:1");
    let first = ensure(&node.images, &name).await.unwrap();
    let blobs = registry.asked("/blobs/").len();
    assert_eq!(registry.asked("HEAD ").len(), 0);
    assert_eq!(ensure(&node.fresh_images(), &name).await.unwrap(), first);
    assert_eq!((registry.asked("HEAD ").len(), registry.asked("/blobs/").len()), (1, blobs));
}

#[tokio::test]
async fn nobody_is_asked_about_what_was_imported() {
    let node = Node::new().await;
    let registry = Own::start(Manners { picture: Picture::new(&[&[("run", b"theirs")]]), ..Manners::default() });
    let (name, archive) = (registry.name("app:1"), node.file("image.tar"));
    two_layers().write(&archive, false);
    node.images.import(&archive, Some(&name)).await.unwrap();
    for images in [&node.images, &node.fresh_images()] {
        check_two_layers(&ensure(images, &name).await.unwrap());
    }
    assert_eq!(registry.asked(""), [""; 0]);

    let pulled = node.images.pull(&name, &Auth::Anonymous, quiet).await.unwrap();
    assert_eq!(read(&pulled, "run").as_deref(), Some("theirs"));
    let asked = registry.asked("/manifests/").len();
    assert_eq!(ensure(&node.images, &name).await.unwrap(), pulled);
    assert!(registry.asked("/manifests/").len() > asked, "a pull over an import is a pull");
}

#[tokio::test]
async fn the_credentials_of_the_node_are_read_at_each_pull() {
    let (node, registry) = (Node::new().await, Debian::start(true));
    let (name, file) = (registry.name("app:1"), node.file("registries.json"));
    push(&node, &registry, &two_layers(), "app:1");
    let images = node.fresh_images().with_credentials(file.clone());
    let other = "registry.example:5000/app";
    let denied = "pull access denied, repository does not exist or may require authorization";
    let rows = [
        (None, denied),
        (Some((other, CREDENTIALS, 0o600)), denied),
        (Some((name.as_str(), WRONG, 0o600)), denied),
        (Some((&name, CREDENTIALS, 0o640)), "others may have access to it (mode 0640)"),
        (Some((&name, "secret!", 0o600)), "is not base64"),
    ];
    for (written, expected) in rows {
        if let Some((registry, auth, mode)) = written {
            write(&file, registry, auth, mode);
        }
        let reason = ensure(&images, &name).await.unwrap_err().stopped_reason();
        assert!(reason.contains(expected) && !reason.contains("secret"), "{expected}: {reason}");
    }
    write(&file, &name, CREDENTIALS, 0o600);
    check_two_layers(&ensure(&images, &name).await.unwrap());

    write(&file, &name, WRONG, 0o600);
    let reason = ensure(&images, &name).await.unwrap_err().stopped_reason();
    assert!(reason.contains(denied), "who is let in no longer does not get what is here: {reason}");
    let own = Auth::Basic { user: "puller".to_owned(), password: "secret".to_owned() };
    images.ensure(&name, &own, quiet).await.expect("credentials of the caller go first");
}

#[tokio::test]
async fn the_credentials_of_the_node_buy_a_token() {
    let node = Node::new().await;
    let login = Some("Basic cHVsbGVyOnNlY3JldA==");
    let registry = Own::start(Manners { picture: two_layers(), token: Some("t0ken"), login, ..Manners::default() });
    let (name, file) = (registry.name("app:1"), node.file("registries.json"));
    let images = node.fresh_images().with_credentials(file.clone());
    assert!(ensure(&images, &name).await.is_err());
    write(&file, &name, CREDENTIALS, 0o600);
    check_two_layers(&ensure(&images, &name).await.unwrap());
    assert_eq!(registry.asked("/token?").len(), 2);
    check_two_layers(&ensure(&images, &name).await.unwrap());
}
