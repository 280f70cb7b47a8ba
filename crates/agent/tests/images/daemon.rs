//! The private containerd: started, adopted, pointed at, stopped.

use longshore_agent::containerd::{Containerd, Layout, Options};
use longshore_agent::image::{Error, local};

use super::node::{self, Directory, Node};
use super::two_layers;

#[tokio::test]
async fn a_private_containerd_is_adopted_shared_and_stopped_by_the_last() {
    let node = Node::new().await;
    assert!(node.containerd.started());
    let second = Containerd::open(&node.options()).await.unwrap();
    assert!(!second.started());
    assert_eq!(second.pid(), node.containerd.pid());
    let pid = node.containerd.pid().unwrap();
    let session = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session: i32 = session.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap();
    assert_eq!(session, pid, "it has a session of its own");
    assert!(!second.stop_if_unused().await.unwrap(), "it was not started by this handle");
    let pointed = Options::new(node.file("other"), Some(node.containerd.socket().to_owned()));
    let third = Containerd::open(&pointed).await.unwrap();
    assert_eq!((third.pid(), third.started()), (None, false));
    third.stop().await.unwrap();
    assert!(node.containerd.pid().is_some(), "one that was pointed at goes on");
    let stranger = Containerd::open(&Options::new(node.file("other"), Some(node.file("nobody.sock")))).await;
    assert!(stranger.unwrap_err().to_string().contains("does not answer"));
}

#[tokio::test]
async fn the_command_line_starts_containerd_when_needed_and_stops_it_again() {
    let directory = Directory::new();
    let options = Options::private(directory.0.join("data"));
    let archive = directory.0.join("image.tar");
    two_layers().write(&archive, false);
    let image = local::import(&options, &archive, Some("app:1")).await.unwrap();
    let layout = Layout::of(&options.data_dir).unwrap();
    let run_dir = layout.socket().ancestors().nth(2).unwrap().to_owned();
    assert!(!run_dir.exists(), "nothing is left there");
    let nothing = local::import(&options, &directory.0.join("nothing.tar"), Some("app:2")).await;
    assert!(matches!(nothing, Err(Error::Archive(_))), "{nothing:?}");
    assert!(!run_dir.exists(), "nor after a failure");
    let listed = local::list(&options).await.unwrap();
    assert_eq!((listed.len(), &listed[0].digest), (1, &image.digest));
    let agent = Containerd::open(&options).await.unwrap();
    local::remove(&options, "app:1").await.unwrap();
    assert_eq!(node::daemon(&layout), agent.pid(), "a containerd that others use goes on");
    assert!(matches!(local::remove(&options, "app:1").await, Err(Error::NotFound(_))));
    agent.stop().await.unwrap();
    assert_eq!(node::daemon(&layout), None);
    node::end(&options.data_dir);
}

#[tokio::test]
async fn those_who_start_and_stop_it_at_the_same_time_do_not_harm_each_other() {
    let directory = Directory::new();
    let options = Options::private(directory.0.join("data"));
    let archive = directory.0.join("image.tar");
    two_layers().write(&archive, false);
    local::import(&options, &archive, Some("app:1")).await.unwrap();
    let lists = (0..12).map(|_| async {
        let listed = local::list(&options).await.expect("each finds a containerd");
        assert_eq!(listed.len(), 1);
    });
    futures_util::future::join_all(lists).await;
    let run_dir = Layout::of(&options.data_dir).unwrap().socket().ancestors().nth(2).unwrap().to_owned();
    assert!(!run_dir.exists(), "the last one leaves nothing");
    node::end(&options.data_dir);
}

#[tokio::test]
async fn a_missing_program_and_a_failing_daemon_are_told_apart() {
    let directory = Directory::new();
    let program = |name: &str| Options { program: name.into(), ..Options::private(directory.0.join("data")) };
    let missing = Containerd::open(&program("no-such-containerd")).await.unwrap_err();
    assert!(missing.to_string().contains("install containerd"), "{missing}");
    let failing = Containerd::open(&program("false")).await.unwrap_err();
    assert!(failing.to_string().contains("ended while it was starting"), "{failing}");
    let layout = Layout::of(&directory.0.join("data")).unwrap();
    assert!(!layout.socket().ancestors().nth(2).unwrap().exists(), "nothing is left there");
    node::end(&directory.0.join("data"));
    let colon = Containerd::open(&Options::private(directory.0.join("a:b"))).await.unwrap_err();
    assert!(colon.to_string().contains("has a colon"), "{colon}");
}
