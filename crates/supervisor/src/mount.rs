//! Mounts of a task. They live in the supervisor's own mount namespace, so that nothing is left behind on the host
//! whatever becomes of the supervisor, and nobody else sees the containers' files.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::host;

/// Leaves the host's mount namespace. Unmounting on the host still reaches in (so that nothing of the host is kept
/// busy), mounting here never reaches out.
pub fn leave_host() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(Error::system("leave the mount namespace"))?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(Error::system("make mounts private"))
}

/// Mounts an empty directory that only this namespace sees and that is never written to a disk, not even to swap; makes the
/// directory. Where the kernel has no ramfs, it is a tmpfs.
pub fn memory(target: &Path) -> Result<()> {
    fs::create_dir_all(target).map_err(Error::file("create", target))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let attempt = |kind: &str, options: &str| mount(Some(kind), target, Some(kind), flags, Some(options));
    let mounted = attempt("ramfs", "mode=0700").or_else(|_| attempt("tmpfs", "mode=0700,size=64m"));
    mounted.map_err(|e| Error::File { action: "mount memory at", path: target.into(), source: e.into() })
}

/// Mounts an overlay of `lowers` (topmost first) at `target`, writing to `upper` and `work`; makes the directories.
///
/// Layers are named by descriptor (`/proc/self/fd/N`): any path may hold commas and colons, and many layers fit in the
/// one page the kernel takes.
pub fn overlay(lowers: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> Result<()> {
    for directory in [upper, work, target] {
        fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    }
    let opened = lowers.iter().map(|path| directory(path)).collect::<Result<Vec<_>>>()?;
    let lower = opened.iter().map(descriptor).collect::<Vec<_>>().join(":");
    let (upper, work) = (directory(upper)?, directory(work)?);
    let options = format!("lowerdir={lower},upperdir={},workdir={}", descriptor(&upper), descriptor(&work));
    let attempt = |more: &str| {
        let options = format!("{options}{more}");
        mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
    };
    // An attribute of a layer's file must not lead to another's content, whatever the kernel does by default. Without
    // `volatile` the kernel syncs a whole file system when the container ends. Older kernels do not know either.
    let mut mounted = attempt(",redirect_dir=nofollow,metacopy=off,volatile");
    for fewer in [",redirect_dir=nofollow,metacopy=off", ",volatile", ""] {
        if mounted == Err(Errno::EINVAL) {
            mounted = attempt(fewer);
        }
    }
    mounted.map_err(|e| Error::File { action: "mount overlay", path: target.into(), source: e.into() })
}

/// Binds a directory or file of the host to `target` (made to fit), with everything mounted below it; see
/// [`host::open_path`].
pub fn bind_host(source: &Path, target: &Path) -> Result<()> {
    let opened = host::open_path(source)?;
    make_target(target, opened.directory)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(descriptor(&opened.fd).as_str()), target, None::<&str>, flags, None::<&str>).map_err(|e| Error::File {
        action: "bind to",
        path: target.into(),
        source: e.into(),
    })
}

/// Unmounts everything at or below a directory, newest first. Gathers nothing: what cannot be unmounted is detached.
pub fn unmount_below(directory: &Path) -> Result<()> {
    let points = mounted_below(directory)?;
    for point in points.iter().rev() {
        umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).map_err(|e| Error::File {
            action: "unmount",
            path: point.clone(),
            source: e.into(),
        })?;
    }
    Ok(())
}

/// Removes a directory with everything in it, but only if nothing is mounted there: a volume of the host must never be
/// emptied by mistake.
pub fn remove_tree(directory: &Path) -> Result<()> {
    if let Some(point) = mounted_below(directory)?.first() {
        return Err(Error::Parameter(format!("{} is still mounted", point.display())));
    }
    match fs::remove_dir_all(directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", directory)(e)),
        _ => Ok(()),
    }
}

fn mounted_below(directory: &Path) -> Result<Vec<PathBuf>> {
    points_below(directory).map_err(Error::system("reading the mount table"))
}

/// Mount points at or below a directory, in the order they were made.
pub fn points_below(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    Ok(points.filter(|point| point.starts_with(directory)).collect())
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        result.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    result.push_str(rest);
    result.into()
}

fn make_target(target: &Path, directory: bool) -> Result<()> {
    let made = if directory {
        fs::create_dir_all(target)
    } else {
        OpenOptions::new().create(true).append(true).open(target).map(drop)
    };
    made.map_err(Error::file("create", target))
}

fn directory(path: &Path) -> Result<OwnedFd> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(|e| Error::File {
        action: "open layer",
        path: path.into(),
        source: e.into(),
    })
}

fn descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_mount_points_are_read() {
        let rows = [(r"/a\040b", "/a b"), (r"/a\134b", r"/a\b"), ("/plain", "/plain"), (r"/odd\9", r"/odd\9")];
        for (text, expected) in rows {
            assert_eq!(unescape(text), PathBuf::from(expected));
        }
    }
}
