//! What the reader of layers finds is what containerd unpacks: archives that readers might take differently are brought in, and
//! what lies in the snapshot is compared with what was read.

use std::collections::BTreeMap;
use std::path::Path;

use longshore_layer::{Archive, Entry, Kind};

use super::made;
use super::node::Node;
use super::picture::Picture;

const ARCHIVES: u64 = 250;

/// What lies at each path: directory, file of so many bytes, link to a target, or something else.
type Tree = BTreeMap<String, String>;

/// What is to be unpacked; `None` for archives whose reading is not in question, but what becomes of them: entries below what
/// is no directory, and links to files that are not there.
fn expected(bytes: &[u8]) -> Option<Tree> {
    let mut archive = Archive::new(bytes);
    let mut tree = Tree::new();
    while let Some(entry) = archive.next_entry().expect("it was inspected") {
        put(&mut tree, &entry)?;
    }
    Some(tree)
}

fn put(tree: &mut Tree, entry: &Entry) -> Option<()> {
    let text = String::from_utf8(entry.name.clone()).unwrap();
    let names: Vec<&str> = text.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    let what = match entry.kind {
        Kind::Global => "nothing".to_owned(),
        Kind::Directory => "directory".to_owned(),
        Kind::File => format!("file of {}", entry.size),
        Kind::SymbolicLink => format!("link to {}", String::from_utf8_lossy(&entry.link)),
        Kind::Fifo => "other".to_owned(),
        _ => return None,
    };
    for end in 1..names.len() {
        let above = tree.entry(names[..end].join("/")).or_insert_with(|| "directory".to_owned());
        (above == "directory").then_some(())?;
    }
    let path = names.join("/");
    let is_kept = what == "directory" && tree.get(&path) == Some(&what);
    if !is_kept {
        tree.retain(|other, _| !other.starts_with(&format!("{path}/")));
    }
    match what.as_str() {
        "nothing" => drop(tree.remove(&path)),
        _ => drop(tree.insert(path, what)),
    }
    Some(())
}

fn found(root: &Path, below: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(below).unwrap().map(Result::unwrap) {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let what = match metadata.file_type() {
            kind if kind.is_dir() => "directory".to_owned(),
            kind if kind.is_file() => format!("file of {}", metadata.len()),
            kind if kind.is_symlink() => format!("link to {}", std::fs::read_link(&path).unwrap().display()),
            _ => "other".to_owned(),
        };
        tree.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), what);
        if metadata.is_dir() {
            found(root, &path, tree);
        }
    }
}

#[tokio::test]
async fn what_was_inspected_is_what_containerd_unpacks() {
    let node = Node::new().await;
    let file = node.file("image.tar");
    let mut compared = 0;
    for seed in 0..ARCHIVES {
        let bytes = made::archive(seed);
        Picture::of_tars(std::slice::from_ref(&bytes)).write(&file, false);
        let image = match node.images.import(&file, Some(&format!("app:{seed}"))).await {
            Ok(image) => image,
            Err(error) if error.to_string().contains("malformed layer") => continue,
            Err(error) => {
                assert_eq!(expected(&bytes), None, "seed {seed}: {error}");
                continue;
            }
        };
        let Some(expected) = expected(&bytes) else { continue };
        let mut tree = Tree::new();
        found(&image.lowers[0], &image.lowers[0], &mut tree);
        assert_eq!(tree, expected, "seed {seed}");
        compared += 1;
    }
    assert!(compared > ARCHIVES / 10, "{compared} of {ARCHIVES}");
}
