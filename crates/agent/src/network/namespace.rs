//! Network namespaces: making them, pinning them to a name, working inside them.
//!
//! A thread that changed its namespace is never handed back to anybody: [`inside`] works on a thread of its own that ends
//! with the work. The namespace of a task has no name; it lives as long as somebody holds its file descriptor.

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{panic, thread};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

use super::error::{Doing, Error};

/// Where names are pinned, as `ip netns` does it, so that an operator may look inside.
const DIRECTORY: &str = "/run/netns";

/// Runs `work` in the namespace, on a thread of its own, and waits for it.
pub(super) fn inside<T, F>(netns: BorrowedFd<'_>, work: F) -> Result<T, Error>
where
    T: Send,
    F: FnOnce() -> Result<T, Error> + Send,
{
    let entered = || {
        setns(netns, CloneFlags::CLONE_NEWNET).doing(|| "enter a network namespace".into())?;
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join().unwrap_or_else(|cause| panic::resume_unwind(cause)))
}

/// The calling thread's network namespace.
pub(super) fn current() -> Result<OwnedFd, Error> {
    open(Path::new("/proc/thread-self/ns/net"))
}

/// Moves the calling thread into a fresh namespace and returns a descriptor of it.
pub(super) fn enter_new() -> Result<OwnedFd, Error> {
    unshare(CloneFlags::CLONE_NEWNET).doing(|| "make a network namespace".into())?;
    current()
}

/// Opens the namespace pinned under `name`; none if there is no such pin.
pub(super) fn pinned(name: &str) -> Result<Option<OwnedFd>, Error> {
    let path = pin_path(name);
    if is_pin(&path) { open(&path).map(Some) } else { Ok(None) }
}

/// Opens the namespace pinned under `name`, making it first if it is not there.
pub(super) fn pin(name: &str) -> Result<OwnedFd, Error> {
    if let Some(netns) = pinned(name)? {
        return Ok(netns);
    }
    let path = pin_path(name);
    fs::create_dir_all(DIRECTORY).doing(|| format!("make {DIRECTORY}"))?;
    File::create(&path).doing(|| format!("make {}", path.display()))?;
    let made = thread::scope(|scope| scope.spawn(|| pin_new(&path)).join());
    made.unwrap_or_else(|cause| panic::resume_unwind(cause))
}

/// Removes the pin; the namespace goes when nothing else holds it. Fine if it is not there.
pub(super) fn unpin(name: &str) -> Result<(), Error> {
    let path = pin_path(name);
    while is_pin(&path) {
        umount2(&path, MntFlags::MNT_DETACH).doing(|| format!("unmount {}", path.display()))?;
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::system(format!("remove {name}"), error)),
        _ => Ok(()),
    }
}

/// Whether a namespace is pinned under `name`.
pub(super) fn is_pinned(name: &str) -> bool {
    is_pin(&pin_path(name))
}

/// Writes a value below `/proc/sys` of the calling thread's namespace. Not there means fine: the kernel lacks the feature.
pub(super) fn set_sysctl(key: &str, value: &str) -> Result<(), Error> {
    match fs::write(format!("/proc/sys/{key}"), value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::system(format!("set {key}"), error)),
        _ => Ok(()),
    }
}

fn pin_new(path: &Path) -> Result<OwnedFd, Error> {
    let netns = enter_new()?;
    let source = Path::new("/proc/thread-self/ns/net");
    mount(Some(source), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .doing(|| format!("pin {}", path.display()))?;
    Ok(netns)
}

fn pin_path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn is_pin(path: &Path) -> bool {
    matches!(statfs(path), Ok(found) if found.filesystem_type() == NSFS_MAGIC)
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    Ok(File::open(path).doing(|| format!("open {}", path.display()))?.into())
}
