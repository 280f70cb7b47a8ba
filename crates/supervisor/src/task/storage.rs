//! Watches what a task has on disk: the writable layers of its containers and its scratch volumes. A task with more than
//! its ephemeral storage is stopped.
//!
//! ```text
//!   10 s ──► count, a few entries at a time ──► too much? stop the task
//!     ▲                                   └──► else wait: 10 s, or 20 times what the count took
//!     └──────────────────────────────────────────┘
//! ```
//!
//! It is a guard against a task that fills the disk by accident, and looks now and then: a task may be over its limit for
//! some seconds, and nothing of a full disk is seen inside the container before. Nobody is followed anywhere: links are
//! counted, not gone through, and each directory is opened from the one above it.
//!
//! Left out: the image (all tasks of a node share it), files that are deleted and still open, what is nested deeper than
//! [`DEEPEST`] directories, and limits that the file system itself keeps (project quotas).

use std::fs::{self, Metadata, ReadDir};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::spec::{TaskSpec, VolumeSource};

/// Shortest time between two counts, and before the first one.
const EVERY_MS: u64 = 10_000;
/// Counting takes at most one part in this many of the time.
const SHARE: u64 = 20;
/// Entries counted in one go, and the pause until the next go.
const ENTRIES: usize = 2000;
const PAUSE_MS: u64 = 40;
/// Each costs two descriptors and 32 KiB while it is counted.
const DEEPEST: usize = 64;

/// The watch over one task.
pub struct Storage {
    limit: u64,
    roots: Vec<PathBuf>,
    count: Option<Count>,
    /// Milliseconds spent on the count under way.
    spent: u64,
    /// When to go on.
    pub next: u64,
}

/// A count under way.
struct Count {
    /// Not begun yet.
    roots: Vec<PathBuf>,
    open: Vec<(OwnedFd, ReadDir)>,
    bytes: u64,
}

impl Storage {
    /// None for a task without a limit.
    pub fn new(dir: &Path, task: &TaskSpec, now: u64) -> Option<Storage> {
        let limit = task.storage_mib? << 20;
        let layers = (0..task.containers.len()).map(|container| super::bundle::directory(dir, container).join("upper"));
        let scratch = task.volumes.iter().enumerate().filter(|(_, volume)| volume.source == VolumeSource::Scratch);
        let volumes = scratch.map(|(place, _)| super::bundle::volume_directory(dir, place));
        let roots = layers.chain(volumes).collect();
        Some(Storage { limit, roots, count: None, spent: 0, next: now + EVERY_MS })
    }

    /// Counts on if it is time to. True once there is too much.
    pub fn is_exceeded(&mut self, now: u64) -> bool {
        if now < self.next {
            return false;
        }
        let begun = Instant::now();
        let mut count = self.count.take().unwrap_or_else(|| Count::new(&self.roots));
        let finished = count.go(ENTRIES, self.limit);
        self.spent += u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if count.bytes > self.limit {
            return true;
        }
        if finished {
            self.next = now + EVERY_MS.max(self.spent.saturating_mul(SHARE));
            self.spent = 0;
        } else {
            self.next = now + PAUSE_MS;
            self.count = Some(count);
        }
        false
    }
}

impl Count {
    fn new(roots: &[PathBuf]) -> Count {
        Count { roots: roots.to_vec(), open: Vec::new(), bytes: 0 }
    }

    /// Counts some entries; true when there are no more, or more bytes than `limit`.
    fn go(&mut self, entries: usize, limit: u64) -> bool {
        for _ in 0..entries {
            if !self.step() || self.bytes > limit {
                return true;
            }
        }
        false
    }

    fn begin_root(&mut self) -> bool {
        let Some(root) = self.roots.pop() else {
            return false;
        };
        self.enter(fs::File::open(root).map(OwnedFd::from).ok());
        true
    }

    /// One entry; false when there is none left. What vanishes meanwhile does not count.
    fn step(&mut self) -> bool {
        let Some((parent, entries)) = self.open.last_mut() else {
            return self.begin_root();
        };
        let Some(entry) = entries.next() else {
            self.open.pop();
            return true;
        };
        let Some((entry, metadata)) = entry.ok().and_then(|entry| entry.metadata().ok().map(|found| (entry, found)))
        else {
            return true;
        };
        self.bytes += bytes(&metadata);
        if metadata.is_dir() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let child = openat(parent.as_fd(), entry.file_name().as_os_str(), flags, Mode::empty()).ok();
            self.enter(child);
        }
        true
    }

    fn enter(&mut self, directory: Option<OwnedFd>) {
        let Some(directory) = directory.filter(|_| self.open.len() < DEEPEST) else {
            return;
        };
        if let Ok(entries) = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd())) {
            self.open.push((directory, entries));
        }
    }
}

/// What an entry takes on disk. A file with several names is shared out among them.
fn bytes(metadata: &Metadata) -> u64 {
    let names = if metadata.is_dir() { 1 } else { metadata.nlink().max(1) };
    metadata.blocks() * 512 / names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    const MIB: u64 = 1 << 20;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("longshore-storage-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn counted(root: &Path) -> u64 {
        let mut count = Count::new(&[root.to_owned(), root.join("missing")]);
        while !count.go(3, u64::MAX) {}
        assert!(count.open.is_empty());
        count.bytes
    }

    #[test]
    fn what_is_on_disk_is_counted_once_and_links_are_not_followed() {
        let base = scratch("count");
        fs::create_dir_all(base.join("root/a/b")).unwrap();
        for (file, size) in
            [("root/one", MIB), ("root/a/two", 2 * MIB), ("root/a/b/three", 3 * MIB), ("outside", 64 * MIB)]
        {
            fs::write(base.join(file), vec![1; usize::try_from(size).unwrap()]).unwrap();
        }
        fs::hard_link(base.join("root/a/two"), base.join("root/again")).unwrap();
        symlink(&base, base.join("root/up")).unwrap();
        symlink(base.join("outside"), base.join("root/far")).unwrap();
        File::create(base.join("root/sparse")).unwrap().set_len(512 * MIB).unwrap();
        let bytes = counted(&base.join("root"));
        assert!((6 * MIB..7 * MIB).contains(&bytes), "{bytes}");
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_deep_tree_and_a_wide_one_end() {
        let base = scratch("deep");
        let deep = (0..DEEPEST + 20).fold(base.clone(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), vec![1; 1 << 20]).unwrap();
        assert!(counted(&base) < MIB, "what is too deep is left out");
        for number in 0..3000 {
            fs::write(base.join(number.to_string()), "x").unwrap();
        }
        let mut count = Count::new(std::slice::from_ref(&base));
        assert!(!count.go(3000, u64::MAX), "a wide one takes several goes");
        assert!(count.go(3000, u64::MAX));
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_count_stops_at_the_limit_and_waits_between() {
        let base = scratch("limit");
        fs::create_dir_all(base.join("c0/upper")).unwrap();
        let task = TaskSpec { containers: vec![Default::default()], storage_mib: Some(1), ..TaskSpec::default() };
        let mut storage = Storage::new(&base, &task, 0).unwrap();
        assert!(Storage::new(&base, &TaskSpec::default(), 0).is_none());
        fs::write(base.join("c0/upper/x"), vec![1; 2 << 20]).unwrap();
        assert!(!storage.is_exceeded(EVERY_MS - 1), "it is not time yet");
        assert!(storage.is_exceeded(EVERY_MS));
        fs::write(base.join("c0/upper/x"), "").unwrap();
        storage.next = 0;
        assert!(!storage.is_exceeded(5));
        assert!(storage.next >= 5 + EVERY_MS);
        fs::remove_dir_all(base).unwrap();
    }
}
