//! The files that matter, of the layers so far and of the one that is being read.

use std::collections::BTreeMap;

use super::path::Whiteout;
use crate::format::Found;

/// Files by path.
pub(super) type Files = BTreeMap<Vec<u8>, Found>;

/// Whiteouts reach the layers below alone, so those are kept apart from the layer that is being read.
#[derive(Default)]
pub(super) struct Stack {
    below: Files,
    own: Files,
}

impl Stack {
    /// Something that is no directory is at `path` now.
    pub(super) fn put(&mut self, path: Vec<u8>, found: Option<Found>) {
        remove_tree(&mut self.below, &path);
        remove_tree(&mut self.own, &path);
        if let Some(found) = found {
            self.own.insert(path, found);
        }
    }

    /// A directory is at `path` now; what was in it stays if it was one before.
    pub(super) fn make_directory(&mut self, path: &[u8]) {
        self.below.remove(path);
        self.own.remove(path);
    }

    /// What is at `path` so far.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Found> {
        self.own.get(path).or_else(|| self.below.get(path))
    }

    /// What this layer has at `path` is taken away, and what lower ones have is not.
    pub(super) fn take_own(&mut self, path: &[u8]) {
        remove_tree(&mut self.own, path);
    }

    pub(super) fn take_away(&mut self, whiteout: &Whiteout) {
        match whiteout {
            Whiteout::Tree(path) => remove_tree(&mut self.below, path),
            Whiteout::Content(path) if path.is_empty() => self.below.clear(),
            Whiteout::Content(path) => remove_content(&mut self.below, path),
            Whiteout::Nothing => {}
        }
    }

    pub(super) fn finish_layer(&mut self) {
        self.below.append(&mut self.own);
    }

    pub(super) fn into_files(self) -> Files {
        self.below
    }
}

fn remove_tree(files: &mut Files, path: &[u8]) {
    if !files.is_empty() {
        files.remove(path);
        remove_content(files, path);
    }
}

fn remove_content(files: &mut Files, path: &[u8]) {
    // All paths that begin with `path/`: `0` follows the slash.
    let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
    let inside: Vec<Vec<u8>> = files.range(first..end).map(|(path, _)| path.clone()).collect();
    for path in inside {
        files.remove(&path);
    }
}
