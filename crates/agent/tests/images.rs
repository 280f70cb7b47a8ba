//! Images on a real containerd: imported, pulled from real and from hostile registries, kept and let go.
//!
//! These need root, containerd, docker-registry and skopeo, and fail where one is missing.

#[path = "images/agree.rs"]
mod agree;
#[path = "images/archive.rs"]
mod archive;
#[path = "images/daemon.rs"]
mod daemon;
#[path = "images/hostile.rs"]
mod hostile;
#[path = "images/keep.rs"]
mod keep;
#[path = "../../layer/tests/made/mod.rs"]
mod made;
#[path = "images/moved.rs"]
mod moved;
#[path = "images/node.rs"]
mod node;
#[path = "images/picture.rs"]
mod picture;
#[path = "images/pull.rs"]
mod pull;
#[path = "images/servers.rs"]
mod servers;

use longshore_agent::image::{Image, Progress};
use picture::Picture;

fn quiet(_: Progress) {}

fn two_layers() -> Picture {
    Picture::new(&[&[("run", b"one"), ("low", b"low")], &[("run", b"two"), ("deep/file", b"deep")]])
}

/// What a container sees at `path`: the uppermost directory that has it.
fn read(image: &Image, path: &str) -> Option<String> {
    image.lowers.iter().find_map(|lower| std::fs::read_to_string(lower.join(path)).ok())
}

fn check_two_layers(image: &Image) {
    assert_eq!(image.lowers.len(), 2);
    assert_eq!(read(image, "run").as_deref(), Some("two"));
    assert_eq!(read(image, "low").as_deref(), Some("low"));
    assert_eq!(read(image, "deep/file").as_deref(), Some("deep"));
    assert_eq!((image.config.cmd.as_slice(), image.config.env.as_slice()), (&["/run".into()][..], &["A=1".into()][..]));
    assert_eq!(image.config.exposed, ["80/tcp"]);
}
