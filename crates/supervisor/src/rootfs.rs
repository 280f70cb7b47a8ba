//! A container's root file system, which is hostile: every path in it is resolved by the kernel inside it
//! (`openat2` with `RESOLVE_IN_ROOT`), never by string, so that a symbolic link leads nowhere else.
//!
//! Left out: what the OCI runtime itself resolves (mount targets, the program).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};

use crate::error::{Error, Result};

/// Beyond this a file of the image is not read further.
const READ_LIMIT: u64 = 4 << 20;

/// An open root directory.
pub struct Root(OwnedFd);

impl Root {
    pub fn open(path: &Path) -> Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty()).map_err(|e| Error::File {
            action: "open",
            path: path.into(),
            source: e.into(),
        })?;
        Ok(Root(fd))
    }

    /// Content of a regular file, at most 4 MiB of it; `None` if there is none.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let fd = match self.resolve(Path::new(path), flags) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => {
                return Ok(None);
            }
            Err(e) => return Err(failure("read", path, e)),
        };
        let file = File::from(fd);
        if !file.metadata().map_err(Error::file("read", path))?.is_file() {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.take(READ_LIMIT).read_to_end(&mut content).map_err(Error::file("read", path))?;
        Ok(Some(content))
    }

    /// Owner, group and mode of a directory; `None` if there is none.
    pub fn directory_owner(&self, path: &str) -> Option<(u32, u32, u32)> {
        let fd = self.resolve(Path::new(path), OFlag::O_PATH | OFlag::O_DIRECTORY).ok()?;
        let metadata = File::from(fd).metadata().ok()?;
        Some((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777))
    }

    /// Makes a directory and its parents (0755, root) where they are missing. An existing thing that is no directory
    /// is an error.
    pub fn create_directory(&self, path: &str) -> Result<()> {
        let mut known = PathBuf::from("/");
        for component in Path::new(path).components() {
            let name = match component {
                Component::Normal(name) => name,
                Component::RootDir | Component::CurDir => continue,
                _ => {
                    return Err(Error::Parameter(format!("directory {path:?} must not contain \"..\"")));
                }
            };
            let next = known.join(name);
            match self.resolve(&next, OFlag::O_PATH | OFlag::O_DIRECTORY) {
                Ok(_) => {}
                Err(Errno::ENOENT) => self.make(&known, Path::new(name), path)?,
                Err(e) => return Err(failure("create directory", path, e)),
            }
            known = next;
        }
        Ok(())
    }

    fn make(&self, parent: &Path, name: &Path, whole: &str) -> Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let parent = self.resolve(parent, flags).map_err(|e| failure("create directory", whole, e))?;
        mkdirat(&parent, name, Mode::from_bits_truncate(0o755)).map_err(|e| failure("create directory", whole, e))
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        loop {
            match openat2(self.0.as_fd(), path, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                other => return other,
            }
        }
    }
}

fn failure(action: &'static str, path: &str, source: Errno) -> Error {
    Error::File { action, path: path.into(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("longshore-rootfs-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("root/etc")).unwrap();
        std::fs::write(path.join("canary"), "outside").unwrap();
        path
    }

    #[test]
    fn links_stay_inside() {
        let base = scratch("links");
        let root = base.join("root");
        symlink("../../canary", root.join("etc/passwd")).unwrap();
        symlink(base.join("canary"), root.join("etc/group")).unwrap();
        symlink("/etc/real", root.join("etc/inside")).unwrap();
        std::fs::write(root.join("etc/real"), "inside").unwrap();
        let opened = Root::open(&root).unwrap();
        assert_eq!(opened.read("/etc/passwd").unwrap(), None);
        assert_eq!(opened.read("/etc/group").unwrap(), None);
        assert_eq!(opened.read("/etc/inside").unwrap().unwrap(), b"inside");
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn directories_are_made_inside_even_through_links() {
        let base = scratch("mkdir");
        let root = base.join("root");
        std::fs::create_dir(base.join("victim")).unwrap();
        symlink(base.join("victim"), root.join("work")).unwrap();
        symlink("../../../victim", root.join("up")).unwrap();
        let opened = Root::open(&root).unwrap();
        opened.create_directory("/plain/a/b").unwrap();
        assert!(root.join("plain/a/b").is_dir());
        for path in ["/work/x", "/up/x"] {
            assert!(opened.create_directory(path).is_err(), "a dangling link is not followed outside");
        }
        assert!(opened.create_directory("/a/../../x").is_err());
        assert_eq!(std::fs::read_dir(base.join("victim")).unwrap().count(), 0);
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let base = scratch("fifo");
        let root = base.join("root");
        nix::unistd::mkfifo(&root.join("etc/passwd"), Mode::from_bits_truncate(0o600)).unwrap();
        let opened = Root::open(&root).unwrap();
        assert_eq!(opened.read("/etc/passwd").unwrap(), None);
        assert_eq!(opened.read("/etc").unwrap(), None);
        std::fs::remove_dir_all(base).unwrap();
    }
}
