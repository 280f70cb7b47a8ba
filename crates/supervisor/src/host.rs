//! Paths of the host that a task mounts. What was allowed is a name; what is bound is what is open, so every step from the
//! root is opened by itself, no link is followed, and what is missing is made inside what is open.
//!
//! A file system may never answer (FUSE, NFS). So all of it happens in a thread that is waited for a little while only.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, mkdirat};

use crate::error::{Error, Result};

/// How long the file systems of one path may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Enough for a few system calls.
const STACK: usize = 128 << 10;

/// A file or directory of the host, opened to be bound.
#[derive(Debug)]
pub struct Opened {
    pub fd: OwnedFd,
    pub directory: bool,
}

/// Opens an absolute path without `..`. Missing parts are made as directories (0755). A symbolic link anywhere in it, or a
/// file system that does not answer, is an error.
pub fn open_path(path: &Path) -> Result<Opened> {
    let (send, receive) = mpsc::channel();
    let asked = path.to_owned();
    let work = move || drop(send.send(walk(&asked)));
    let thread = std::thread::Builder::new().name("host path".into()).stack_size(STACK).spawn(work);
    thread.map_err(Error::file("open host path", path))?;
    let silent = |_| {
        let seconds = PATIENCE.as_secs();
        Err(Error::Parameter(format!("host path {} did not answer within {seconds} seconds", path.display())))
    };
    receive.recv_timeout(PATIENCE).unwrap_or_else(silent)
}

fn walk(path: &Path) -> Result<Opened> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut fd = open("/", flags, Mode::empty()).map_err(|e| failure(path, e))?;
    for name in names(path)? {
        fd = step(&fd, &name).map_err(|e| failure(path, e))?;
    }
    let duplicate = fd.try_clone().map_err(Error::file("open host path", path))?;
    let metadata = File::from(duplicate).metadata().map_err(Error::file("look at host path", path))?;
    Ok(Opened { fd, directory: metadata.is_dir() })
}

/// What the path goes through, below the root.
fn names(path: &Path) -> Result<Vec<PathBuf>> {
    let plain = |part| match part {
        Component::RootDir | Component::CurDir => None,
        Component::Normal(name) => Some(Ok(PathBuf::from(name))),
        _ => Some(Err(())),
    };
    let names = path.components().filter_map(plain).collect::<std::result::Result<_, _>>();
    names
        .ok()
        .filter(|_| path.is_absolute())
        .ok_or_else(|| Error::Parameter(format!("host path {} must be absolute and plain", path.display())))
}

fn step(parent: &OwnedFd, name: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(parent.as_fd(), name, how) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    match mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => openat2(parent.as_fd(), name, how),
        Err(e) => Err(e),
    }
}

fn failure(path: &Path, error: Errno) -> Error {
    match error {
        Errno::ELOOP => Error::Parameter(format!("host path {} goes through a symbolic link", path.display())),
        e => Error::File { action: "open host path", path: path.into(), source: e.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("longshore-host-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path.canonicalize().unwrap()
    }

    #[test]
    fn missing_parts_are_made_and_files_are_files() {
        let base = scratch("made");
        assert!(open_path(&base.join("a/b/c")).unwrap().directory);
        assert!(base.join("a/b/c").is_dir());
        fs::write(base.join("file"), "").unwrap();
        assert!(!open_path(&base.join("file")).unwrap().directory);
        for bad in [base.join("file/below"), base.join("../up"), PathBuf::from("relative")] {
            assert!(open_path(&bad).is_err(), "{bad:?}");
        }
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_directory_exchanged_for_a_link_leads_nowhere_else() {
        let base = scratch("race");
        let (one, other, victim) = (base.join("one"), base.join("other"), base.join("victim"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&victim).unwrap();
        symlink(&victim, &other).unwrap();
        let over = AtomicBool::new(false);
        let (mut made, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
                }
            });
            for round in 0..2000 {
                match walk(&one.join(format!("made/{round}"))) {
                    Ok(_) => made += 1,
                    Err(_) => refused += 1,
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(made > 0 && refused > 0, "{made} made, {refused} refused: both were met");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0, "nothing was made where the link leads");
        fs::remove_dir_all(base).unwrap();
    }
}
