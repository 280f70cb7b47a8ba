//! The entries of a layer, as what unpacks them will read them ([`longshore_layer`]).
//!
//! Refused is what would not be unpacked as it stands (types, owners beyond 32 bits, paths that are too long or deep), what
//! leaves the root (`..`), devices of the machine, sparse files, and attributes by which the overlay would be told to show
//! something else. What two readers might read differently the reader refuses itself.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::{self, Read};

use longshore_layer::{Archive, Entry, Kind};

use super::{Share, refused};

/// Longest path, as Linux has it, and its most components.
const LONGEST_PATH: usize = 4095;
const LONGEST_COMPONENT: usize = 255;
const DEEPEST: usize = 256;
/// The largest user or group: the one above means "unchanged" to the kernel.
const LARGEST_ID: u64 = u32::MAX as u64 - 1;
/// Names of a symbolic link's target that are not counted: a path through the link may make each of them.
const FREE_NAMES: u64 = 8;
/// Attributes that only an overlay's own upper directory may have.
const OVERLAYS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Reads entries until the archive says that it ends, or until there is nothing more.
pub(super) fn check(tar: &mut impl Read, share: &Share) -> io::Result<()> {
    let mut archive = Archive::new(tar);
    let mut directories = Directories::default();
    while let Some(entry) = archive.next_entry()? {
        check_entry(&entry)?;
        share.take_entries(directories.add(&entry).saturating_add(1))?;
    }
    Ok(())
}

/// The directories that there are, to count those that no entry of their own makes.
#[derive(Default)]
struct Directories {
    hashes: RandomState,
    known: HashSet<u64>,
}

impl Directories {
    /// How many directories the entry brings beside itself.
    fn add(&mut self, entry: &Entry) -> u64 {
        let mut path = self.hashes.build_hasher();
        let mut new = 0;
        let mut names = names(&entry.name).peekable();
        while let Some(name) = names.next() {
            name.hash(&mut path);
            let is_itself = names.peek().is_none();
            if is_itself && entry.kind != Kind::Directory {
                break;
            }
            new += u64::from(self.known.insert(path.clone().finish()) && !is_itself);
        }
        new + more_names(entry)
    }
}

fn more_names(entry: &Entry) -> u64 {
    match entry.kind {
        Kind::SymbolicLink => {
            let count = names(&entry.link).filter(|name| *name != b"..").count();
            u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(FREE_NAMES)
        }
        _ => 0,
    }
}

fn check_entry(entry: &Entry) -> io::Result<()> {
    let name = entry.name.as_slice();
    check_path(name)?;
    for id in [entry.uid, entry.gid] {
        if id > LARGEST_ID {
            return Err(about(name, &format!("belongs to {id}, which is nobody")));
        }
    }
    if entry.attributes.iter().any(|attribute| OVERLAYS.iter().any(|prefix| attribute.starts_with(prefix))) {
        return Err(about(name, "has an attribute of overlays"));
    }
    match entry.kind {
        Kind::File | Kind::Directory | Kind::Fifo | Kind::Global => Ok(()),
        Kind::HardLink => check_path(&entry.link),
        Kind::SymbolicLink => check_text(&entry.link),
        Kind::CharacterDevice => check_device(entry),
        Kind::BlockDevice => Err(about(name, "is a block device")),
        Kind::SparseFile => Err(about(name, "is a sparse file")),
        Kind::Other(other) => Err(about(name, &format!("is of the unknown type {:?}", char::from(other)))),
    }
}

/// Those that every container has, and the mark of overlays for what is not there.
fn check_device(entry: &Entry) -> io::Result<()> {
    match entry.device {
        (0, 0) | (1, 3 | 5 | 7..=9) | (5, 0 | 2) => Ok(()),
        (major, minor) => Err(about(&entry.name, &format!("is the device {major}:{minor} of the machine"))),
    }
}

/// An entry that stays below the root, and whose whiteout does.
fn check_path(path: &[u8]) -> io::Result<()> {
    check_text(path)?;
    if names(path).any(|name| name == b"..") {
        return Err(about(path, "leads out of the layer"));
    }
    if names(path).count() > DEEPEST {
        return Err(about(path, &format!("lies more than {DEEPEST} directories deep")));
    }
    if names(path).any(|name| name.len() > LONGEST_COMPONENT) {
        return Err(about(path, "has a name that is too long"));
    }
    let hides = names(path).last().and_then(|last| last.strip_prefix(b".wh."));
    match hides {
        Some(b"" | b"." | b"..") => Err(about(path, "hides what is no entry")),
        _ => Ok(()),
    }
}

fn check_text(path: &[u8]) -> io::Result<()> {
    match path.len() > LONGEST_PATH || path.contains(&0) {
        true => Err(about(path, "is no path")),
        false => Ok(()),
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// The beginning of a path, whatever its bytes, and what is wrong with it.
fn about(path: &[u8], what: &str) -> io::Error {
    let shown: String = String::from_utf8_lossy(path).chars().take(80).collect();
    refused(format!("{shown:?} {what}"))
}
