//! Layers that are made to harm: none of them gets out of its directory, and none unpacks without end. What each rule of the
//! inspection refuses is with the inspection; here the whole way is gone, by containerd.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use longshore_agent::image::{Auth, Digest};

use super::node::Node;
use super::picture::{self, LAYER, Picture};
use super::servers::{Manners, Own};
use super::{quiet, read};

const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An entry of a layer: type, name as it stands in the header, target of a link, content.
type Raw<'a> = (tar::EntryType, &'a str, &'a str, &'a [u8]);

/// A layer whose names are written as they are, which the crate's own writer would refuse.
fn layer(entries: &[Raw]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, target, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o4755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What `path` weighs on the disk, bytes.
fn weight(path: &Path) -> u64 {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    metadata.blocks() * 512 + below.map(|entry| weight(&entry.path())).sum::<u64>()
}

/// A directory of the host that no image may change, with one file.
fn canary(node: &Node) -> PathBuf {
    let canary = node.file("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("file"), "outside").unwrap();
    canary
}

#[tokio::test]
async fn links_and_names_of_a_layer_lead_nowhere_outside_of_it() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let node = Node::new().await;
    let canary = canary(&node);
    let (outside, file) = (canary.to_str().unwrap(), canary.join("file"));
    let (file, absolute) = (file.to_str().unwrap(), format!("{}/new", canary.display()));
    let up = format!("{}{outside}", "../".repeat(9));
    let rows: Vec<(Vec<Raw>, bool)> = vec![
        // Names that begin at the root begin at the layer's.
        (vec![(Regular, &absolute, "", b"in")], true),
        // A link, and then through it.
        (vec![(Symlink, "out", outside, b""), (Regular, "out/new", "", b"in")], true),
        (vec![(Symlink, "out", &up, b""), (Regular, "out/new", "", b"in")], true),
        (vec![(Symlink, "a", "b", b""), (Symlink, "b", outside, b""), (Regular, "a/new", "", b"in")], true),
        (vec![(Symlink, "self", "self", b""), (Regular, "self/new", "", b"in")], false),
        (vec![(Symlink, "f", file, b""), (Regular, "f", "", b"in")], true),
        (vec![(Symlink, "d", outside, b""), (Directory, "d", "", b"")], true),
        // One file by two names.
        (vec![(Link, "hard", file, b"")], false),
        (vec![(Symlink, "out", outside, b""), (Link, "hard", "out/file", b"")], false),
        // What is hidden is the layer's own.
        (vec![(Symlink, "out", outside, b""), (Regular, "out/.wh.file", "", b"")], true),
        (vec![(Symlink, "out", outside, b""), (Regular, "out/.wh..wh..opq", "", b"")], true),
    ];
    for (number, (entries, unpacks)) in rows.iter().enumerate() {
        let archive = node.file("image.tar");
        Picture::of_tars(&[layer(entries)]).write(&archive, false);
        let imported = node.images.import(&archive, Some(&format!("app:{number}"))).await;
        assert_eq!(imported.is_ok(), *unpacks, "{number}: {imported:?}");
        let left: Vec<_> = std::fs::read_dir(&canary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["file"], "{number}");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "outside", "{number}");
        assert_eq!(std::fs::metadata(file).unwrap().nlink(), 1, "{number}");
    }
}

#[tokio::test]
async fn what_the_inspection_refuses_is_not_unpacked_and_said() {
    use tar::EntryType::{Block, Char, Regular};
    let node = Node::new().await;
    let rows: Vec<(Vec<Raw>, &str)> = vec![
        (
            vec![(Regular, "fine", "", b""), (Regular, "../canary/new", "", b"in")],
            r#""../canary/new" leads out of the layer"#,
        ),
        (vec![(Char, "dev/mem", "", b"")], "nothing"),
        (vec![(Block, "dev/sda", "", b"")], r#""dev/sda" is a block device"#),
        (vec![(Regular, ".wh...", "", b"")], r#"".wh..." hides what is no entry"#),
    ];
    for (entries, expected) in rows {
        let registry = Own::start(Manners { picture: Picture::of_tars(&[layer(&entries)]), ..Manners::default() });
        let name = registry.name("app:1");
        match node.images.ensure(&name, &Auth::Anonymous, quiet).await {
            // A device without numbers is the mark of overlays for what is not there.
            Ok(_) => assert_eq!(expected, "nothing"),
            Err(error) => assert_eq!(
                error.stopped_reason(),
                format!("CannotPullContainerError: ref pull has been retried 1 time(s): malformed layer: {expected}")
            ),
        }
    }
}

/// As a plain archive it holds a file whose name is the magic number of what zstd skips; as zstd's it holds another.
#[tokio::test]
async fn bytes_that_are_called_two_things_are_refused() {
    let node = Node::new().await;
    let mut plain = layer(&[(tar::EntryType::Regular, "name", "", b"")]);
    let length = u32::try_from(plain.len() - 8).unwrap().to_le_bytes();
    let mut header = tar::Header::from_byte_slice(&plain[..512]).clone();
    header.as_mut_bytes()[..8].copy_from_slice(&[&[0x50, 0x2a, 0x4d, 0x18][..], &length].concat());
    header.set_cksum();
    plain[..512].copy_from_slice(header.as_bytes());
    let other = layer(&[(tar::EntryType::Regular, "other", "", b"")]);
    let both = [plain, zstd::encode_all(&other[..], 1).unwrap()].concat();
    let types = ["application/vnd.oci.image.layer.v1.tar", ZSTD];
    let diff_ids = [Digest::of(&both).to_string(), Digest::of(&other).to_string()];
    let archive = node.file("image.tar");
    let layers = types.iter().zip(&diff_ids).map(|(kind, diff_id)| (*kind, both.clone(), diff_id.clone()));
    Picture::packed(layers.clone().collect()).write(&archive, false);
    let told = node.images.import(&archive, Some("app:both")).await.unwrap_err().to_string();
    assert!(told.contains("is of two media types"), "{told}");
    for one in layers {
        Picture::packed(vec![one]).write(&archive, false);
        node.images.import(&archive, Some("app:one")).await.unwrap();
    }
}

#[tokio::test]
async fn bombs_are_refused_and_cost_no_room() {
    let node = Node::new().await;
    let before = weight(&node.file("data"));
    let head = layer(&[(tar::EntryType::Directory, "d/", "", b"")]);
    let header = &head[..512];
    let mut big = tar::Header::new_ustar();
    big.set_path("zeros").unwrap();
    big.set_size(8 << 30);
    big.set_cksum();
    let zeros = vec![0; 64 << 20];
    // Members and frames one after the other; 1.5 GiB in all.
    let unit = picture::gzip(&zeros);
    let gzip = [picture::gzip(header), picture::gzip(big.as_bytes()), unit.repeat(24)].concat();
    let unit = zstd::encode_all(&zeros[..], 1).unwrap();
    let frames =
        [zstd::encode_all(header, 1).unwrap(), zstd::encode_all(&big.as_bytes()[..], 1).unwrap(), unit.repeat(24)];
    for (kind, packed) in [(LAYER, gzip), (ZSTD, frames.concat())] {
        assert!(packed.len() < 8 << 20, "{} bytes", packed.len());
        let diff_id = Digest::of(b"whatever it is").to_string();
        let registry =
            Own::start(Manners { picture: Picture::packed(vec![(kind, packed, diff_id)]), ..Manners::default() });
        let refused = node.images.ensure(&registry.name("app:1"), &Auth::Anonymous, quiet).await.unwrap_err();
        let told = refused.stopped_reason();
        assert!(told.ends_with("malformed layer: the layers swell to more than an image may unpack to"), "{told}");
        assert_eq!(node.images.list().await.unwrap(), []);
    }
    node.images.prune().await.unwrap();
    let grown = weight(&node.file("data")).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes are left of two bombs");
}

#[tokio::test]
async fn a_layer_that_was_here_before_is_inspected_too() {
    let node = Node::new().await;
    let good = layer(&[(tar::EntryType::Regular, "big", "", &picture::noise(3 << 20, 5))]);
    let bad = [&good[..good.len() - 1024], &[7; 512]].concat();
    let picture = Picture::of_tars(&[bad]);
    let registry = Own::start(Manners { picture, ..Manners::default() });
    for _ in 0..2 {
        let refused = node.images.ensure(&registry.name("app:1"), &Auth::Anonymous, quiet).await.unwrap_err();
        assert!(refused.to_string().contains("malformed layer"), "{refused}");
    }
}

#[tokio::test]
async fn layers_of_every_compression_are_unpacked() {
    let node = Node::new().await;
    let tar = |text: &[u8]| picture::tar(&[("run", text)]);
    let plain = "application/vnd.oci.image.layer.v1.tar";
    let unmarked = "application/vnd.docker.image.rootfs.diff.tar";
    for (kind, packed) in [
        (plain, tar(b"1")),
        (LAYER, picture::gzip(&tar(b"1"))),
        (ZSTD, zstd::encode_all(&tar(b"1")[..], 3).unwrap()),
        (unmarked, picture::gzip(&tar(b"1"))),
    ] {
        let diff_id = Digest::of(&tar(b"1")).to_string();
        let registry =
            Own::start(Manners { picture: Picture::packed(vec![(kind, packed, diff_id)]), ..Manners::default() });
        let image = node.images.ensure(&registry.name("app:1"), &Auth::Anonymous, quiet).await.unwrap();
        assert_eq!(read(&image, "run").as_deref(), Some("1"), "{kind}");
        node.images.remove(&registry.name("app:1")).await.unwrap();
    }
}
