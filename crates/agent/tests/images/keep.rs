//! What stays and what goes, and how fast that which is here is found.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use longshore_agent::image::{Auth, Cleanup};

use super::node::Node;
use super::picture::Picture;
use super::servers::Debian;
use super::{check_two_layers, quiet, two_layers};

#[tokio::test]
async fn images_outlive_a_killed_containerd() {
    let node = Node::new().await;
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    let image = node.images.import(&archive, Some("app")).await.unwrap();
    node.kill();
    while !node.containerd.revive().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(node.images.get("app").await.unwrap().as_ref(), Some(&image));
    assert_eq!(node.fresh_images().get("app").await.unwrap(), Some(image));
}

#[tokio::test]
async fn garbage_collection_keeps_what_is_named_or_in_use_and_nothing_else() {
    let node = Node::new().await;
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    let kept = node.images.import(&archive, Some("kept")).await.unwrap();
    Picture::new(&[&[("a", b"a")], &[("b", b"b")]]).write(&archive, false);
    let gone = node.images.import(&archive, Some("gone")).await.unwrap();

    let mut task = running_on(&node.file("task"), &gone.lowers);
    let (_, starting) = node.images.ensure_held("gone", &Auth::Anonymous, quiet).await.unwrap();
    node.fresh_images().remove("gone").await.unwrap();
    let still_there = gone.lowers.iter().all(|lower| lower.is_dir());
    end(&mut task);
    assert!(still_there, "what a task runs on stays");

    assert_eq!(node.images.prune().await.unwrap(), 0, "an image of a container that starts stays");
    drop(starting);
    assert_eq!(node.images.prune().await.unwrap(), 1);
    assert!(gone.lowers.iter().all(|lower| !lower.exists()));
    assert_eq!(node.fresh_images().get("kept").await.unwrap(), Some(kept.clone()));
    check_two_layers(&kept);
    let blobs = std::fs::read_dir(node.file("data/containerd/io.containerd.content.v1.content/blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 2, "the manifest and the configuration of the image that is kept");
}

/// A process that looks like the supervisor of a task over `lowers`.
fn running_on(directory: &Path, lowers: &[PathBuf]) -> Child {
    std::fs::create_dir(directory).unwrap();
    let spec = serde_json::json!({ "containers": [{ "name": "main", "lowers": lowers }] });
    std::fs::write(directory.join("task.json"), spec.to_string()).unwrap();
    std::fs::write(directory.join("supervise"), "read line\n").unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.arg("supervise").arg(directory).current_dir(directory).stdin(Stdio::piped()).spawn().unwrap()
}

fn end(task: &mut Child) {
    task.kill().unwrap();
    task.wait().unwrap();
}

/// The names that are left.
async fn names(node: &Node) -> Vec<String> {
    node.images.list().await.unwrap().into_iter().map(|image| image.name).collect()
}

fn later(hours: u64) -> SystemTime {
    SystemTime::now() + Duration::from_secs(hours * 3600)
}

#[tokio::test]
async fn a_pulled_image_that_nobody_uses_goes_after_an_hour_and_an_imported_one_never() {
    let (node, registry) = (Node::new().await, Debian::start(false));
    let (archive, rules) = (node.file("image.tar"), Cleanup::default());
    Picture::new(&[&[("a", b"imported")]]).write(&archive, false);
    node.images.import(&archive, Some("imported")).await.unwrap();
    two_layers().write(&archive, false);
    registry.push(&archive, "app:1");
    let name = registry.name("app:1");
    let image = node.images.ensure(&name, &Auth::Anonymous, quiet).await.unwrap();

    assert_eq!(node.images.collect(&rules, SystemTime::now() + Duration::from_secs(3400)).await.unwrap(), 0);
    let (_, starting) = node.images.ensure_held(&name, &Auth::Anonymous, quiet).await.unwrap();
    assert_eq!(node.images.collect(&rules, later(2)).await.unwrap(), 0, "a task starts on it");
    let mut task = running_on(&node.file("task"), &image.lowers);
    drop(starting);
    assert_eq!(node.fresh_images().collect(&rules, later(2)).await.unwrap(), 0, "a task runs on it");
    end(&mut task);
    assert!(image.lowers.iter().all(|lower| lower.is_dir()));

    assert_eq!(node.images.collect(&rules, later(2)).await.unwrap(), 1);
    assert_eq!(names(&node).await, ["imported:latest"]);
    assert!(image.lowers.iter().all(|lower| !lower.exists()), "its snapshots are gone too");
    check_two_layers(&node.images.ensure(&name, &Auth::Anonymous, quiet).await.unwrap());
}

#[tokio::test]
async fn what_was_used_lately_stays_and_the_others_go_a_few_at_a_time() {
    let (node, registry) = (Node::new().await, Debian::start(false));
    let archive = node.file("image.tar");
    for number in ["1", "2", "3"] {
        Picture::new(&[&[("number", number.as_bytes())]]).write(&archive, false);
        registry.push(&archive, &format!("app:{number}"));
        node.images.ensure(&registry.name(&format!("app:{number}")), &Auth::Anonymous, quiet).await.unwrap();
        // Times of records are told apart by whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let rules = Cleanup { per_cycle: 1, ..Cleanup::default() };
    let mut task =
        running_on(&node.file("task"), &node.images.get(&registry.name("app:1")).await.unwrap().unwrap().lowers);
    assert_eq!(node.images.collect(&rules, later(2)).await.unwrap(), 1);
    end(&mut task);
    let left = |number: &str| registry.name(&format!("app:{number}"));
    assert_eq!(names(&node).await, [left("1"), left("3")], "1 was run until now, so 2 was used longest ago");
    assert_eq!(node.images.collect(&rules, later(2)).await.unwrap(), 1);
    assert_eq!(names(&node).await, [left("1")]);
}

#[tokio::test]
async fn an_image_removed_and_brought_again_behind_the_agent_is_found_anew() {
    let node = Node::new().await;
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    let before = node.images.import(&archive, Some("app")).await.unwrap();
    let other = node.fresh_images();
    other.remove("app").await.unwrap();
    assert_eq!(node.images.get("app").await.unwrap(), None);
    other.import(&archive, Some("app")).await.unwrap();
    let after = node.images.get("app").await.unwrap().unwrap();
    assert_ne!(before.lowers, after.lowers);
    check_two_layers(&after);
}

#[tokio::test]
async fn a_present_image_is_found_quickly() {
    let begun = Instant::now();
    let node = Node::new().await;
    let start = begun.elapsed();
    let archive = node.file("image.tar");
    two_layers().write(&archive, false);
    let begun = Instant::now();
    node.images.import(&archive, Some("app")).await.unwrap();
    let import = begun.elapsed();
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        node.images.ensure("app", &Auth::Anonymous, quiet).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("containerd start {start:?}, import {import:?}, ensure p50 {:?} p99 {:?}", times[100], times[198]);
    // A small part of that on a quiet machine; what is fetched again takes longer on any.
    assert!(times[100] < Duration::from_millis(500), "{:?}", times[100]);
}
