//! Which snapshots are in use: the lower directories that the supervisors of this machine have mounted.
//!
//! Mount tables do not tell: a supervisor mounts by descriptor. What it mounted is in its specification, and where that is
//! is on its command line (`longshore supervise DIR`). So every instance on the machine is seen, whoever's containerd it
//! uses.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use longshore_supervisor::SPEC_FILE;
use serde::Deserialize;

/// What counts here of a supervisor's specification.
#[derive(Deserialize)]
struct Spec {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    lowers: Vec<PathBuf>,
}

/// The lower directories of running tasks.
pub(super) struct InUse(HashSet<PathBuf>);

impl InUse {
    /// Asks every supervisor's specification. Blocks for some milliseconds.
    pub(super) fn read() -> Self {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let directories = processes.filter_map(|process| supervised(&process.path()));
        Self(directories.flat_map(|directory| lowers(&directory)).collect())
    }

    /// Whether a task has mounted `lower`.
    pub(super) fn uses(&self, lower: &Path) -> bool {
        self.0.contains(lower)
    }
}

/// The task directory of a process that is a supervisor.
fn supervised(process: &Path) -> Option<PathBuf> {
    directory_of(&std::fs::read(process.join("cmdline")).ok()?)
}

/// `…\0supervise\0DIR\0`
fn directory_of(command_line: &[u8]) -> Option<PathBuf> {
    let mut words = command_line.split(|byte| *byte == 0).skip(1);
    let is_supervisor = words.next() == Some(b"supervise");
    let directory = words.next().filter(|word| is_supervisor && !word.is_empty())?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(directory)))
}

fn lowers(directory: &Path) -> Vec<PathBuf> {
    let read = std::fs::read(directory.join(SPEC_FILE)).ok();
    let spec = read.and_then(|text| serde_json::from_slice::<Spec>(&text).ok());
    spec.into_iter().flat_map(|spec| spec.containers).flat_map(|container| container.lowers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_known_by_its_command_line() {
        for (line, expected) in [
            (&b"/usr/bin/longshore\0supervise\0/run/longshore/1/t/2\0"[..], Some("/run/longshore/1/t/2")),
            (b"longshore\0up\0/run\0", None),
            (b"longshore\0supervise\0", None),
            (b"", None),
        ] {
            assert_eq!(directory_of(line), expected.map(PathBuf::from));
        }
    }
}
