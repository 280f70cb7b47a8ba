//! How long the kernel takes to move a process into a cgroup.
//!
//! Every fork takes the same lock as a move, so cheaply that a move has first to wait for an RCU grace period: 10 to 20 ms,
//! longer than all the rest of a container's start. Since Linux 6.0 a cgroup tree mounted with `favordynmods` (any one of
//! them decides for all) makes moves quick and forks a little dearer. A node that starts containers wants that.

use std::fs;
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};

use crate::error::{Error, Result};

/// A cgroup v2 tree as it is mounted, without `favordynmods`.
#[derive(Debug, PartialEq, Eq)]
pub struct Tree {
    point: PathBuf,
    /// Of the mount point; they have to be repeated.
    flags: MsFlags,
    /// Of the file system; likewise.
    options: Vec<String>,
}

/// The tree to remount, if there is one and this kernel knows how.
pub fn slow_tree() -> Option<Tree> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let major: u32 = release.split('.').next()?.parse().ok()?;
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    parse(&table).filter(|_| major >= 6)
}

impl Tree {
    /// Remounts it with everything it had and `favordynmods`. Returns what was done, in words.
    pub fn favour(&self) -> Result<String> {
        let options = self.options.iter().map(String::as_str).chain(["favordynmods"]).collect::<Vec<_>>().join(",");
        let flags = self.flags | MsFlags::MS_REMOUNT;
        mount(Some("none"), &self.point, Some("cgroup2"), flags, Some(options.as_str())).map_err(|e| Error::File {
            action: "remount cgroup v2",
            path: self.point.clone(),
            source: e.into(),
        })?;
        Ok(format!("remounted {} with favordynmods", self.point.display()))
    }
}

/// `None` if there is no v2 tree, or if any tree has the option already.
fn parse(mountinfo: &str) -> Option<Tree> {
    let mut found = None;
    for line in mountinfo.lines() {
        let (left, right) = line.split_once(" - ")?;
        let (left, right): (Vec<&str>, Vec<&str>) = (left.split(' ').collect(), right.split(' ').collect());
        let (kind, options) = (right.first()?, right.get(2)?);
        if kind.starts_with("cgroup") && options.split(',').any(|option| option == "favordynmods") {
            return None;
        }
        if *kind == "cgroup2" && found.is_none() {
            let options = options.split(',').filter(|option| !matches!(*option, "rw" | "ro"));
            found = Some(Tree {
                point: left.get(4)?.into(),
                flags: left.get(5)?.split(',').map(flag).collect(),
                options: options.map(str::to_string).collect(),
            });
        }
    }
    found
}

fn flag(name: &str) -> MsFlags {
    match name {
        "ro" => MsFlags::MS_RDONLY,
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        _ => MsFlags::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remount_keeps_what_was() {
        let table = "23 1 0:22 / /sys rw - sysfs sysfs rw\n\
            31 23 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 \
            rw,nsdelegate,memory_recursiveprot\n";
        let tree = parse(table).unwrap();
        assert_eq!(tree.point, PathBuf::from("/sys/fs/cgroup"));
        assert_eq!(tree.options, ["nsdelegate", "memory_recursiveprot"]);
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        assert_eq!(tree.flags, safe | MsFlags::MS_RELATIME);
    }

    #[test]
    fn nothing_is_to_do_where_it_is_done_or_cannot_be() {
        let v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";
        let done = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,favordynmods\n";
        assert_eq!(parse(v1), None);
        assert_eq!(parse(done), None);
        let by_v1 = format!("{}{}", v1.replace("rw,cpu", "rw,favordynmods,cpu"), done.replace(",favordynmods", ""));
        assert_eq!(parse(&by_v1), None, "one tree decides for all");
    }
}
