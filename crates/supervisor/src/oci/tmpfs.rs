//! Options of a memory file system inside a container: those that ECS documents for `tmpfs.mountOptions`, and what becomes
//! of each. What the API lets through must not fail a start, so options without a meaning here are dropped.

use std::fs;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::spec::Tmpfs;

/// Handed to the runtime as they are; the last ones say how mounts below it spread.
const FLAGS: [&str; 29] = [
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
];
/// Without a meaning for a file system that is new and no other directory.
const DROPPED: [&str; 4] = ["defaults", "remount", "bind", "rbind"];

/// The machine's memory nodes that have memory, as `0` or `0-3,5`.
const MEMORY_NODES: &str = "/sys/devices/system/node/has_memory";

/// What becomes of an option.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    Unknown,
}

/// Whether a tmpfs can be mounted with this option: one of the flags ECS documents, or `mode`, `uid`, `gid`, `nr_inodes`,
/// `nr_blocks` or `mpol` with a value the kernel reads.
pub fn is_tmpfs_option(option: &str) -> bool {
    fate(option, "") != Fate::Unknown
}

/// The entry of `config.json`. `nosuid`, `nodev` and `noexec` unless asked otherwise; the size counts last, so it wins over
/// `nr_blocks`.
pub fn mount(tmpfs: &Tmpfs) -> Result<Value> {
    let asked = |option: &str| tmpfs.mount_options.iter().any(|asked| asked == option);
    let safe = ["suid", "dev", "exec"].into_iter().filter(|option| !asked(option));
    let mut options: Vec<String> = safe.map(|option| format!("no{option}")).collect();
    let nodes = fs::read_to_string(MEMORY_NODES).unwrap_or_default();
    for option in &tmpfs.mount_options {
        match fate(option, &nodes) {
            Fate::Kept => options.push(option.clone()),
            Fate::Dropped => {}
            Fate::Unknown => return Err(Error::Parameter(format!("tmpfs option {option:?} is not known"))),
        }
    }
    options.push(format!("size={}m", tmpfs.size_mib));
    Ok(json!({"destination": tmpfs.container_path, "type": "tmpfs", "source": "tmpfs", "options": options}))
}

fn fate(option: &str, nodes: &str) -> Fate {
    let is = |good: bool| if good { Fate::Kept } else { Fate::Unknown };
    match option.split_once('=') {
        None if DROPPED.contains(&option) => Fate::Dropped,
        None => is(FLAGS.contains(&option)),
        Some(("mode", value)) => is(is_mode(value)),
        Some(("uid" | "gid", value)) => is(number(value).is_some_and(|id| id < u64::from(u32::MAX))),
        Some(("nr_inodes" | "nr_blocks", value)) => {
            is(number(value.strip_suffix(['k', 'm', 'g']).unwrap_or(value)).is_some())
        }
        Some(("mpol", value)) => policy(value, nodes),
        Some(_) => Fate::Unknown,
    }
}

fn is_mode(value: &str) -> bool {
    let octal = value.len() <= 5 && value.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    octal && u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777)
}

/// Digits only, few enough to be no trouble when they are multiplied.
fn number(text: &str) -> Option<u64> {
    let plain = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// A memory policy is advice where pages are to lie: on a machine without the nodes it names it is dropped.
fn policy(value: &str, nodes: &str) -> Fate {
    let (kind, named) = value.split_once(':').map_or((value, None), |(kind, named)| (kind, Some(named)));
    let (kind, how) = kind.split_once('=').map_or((kind, None), |(kind, how)| (kind, Some(how)));
    let wanted = named.map(range);
    let known = match (kind, &wanted) {
        ("default" | "local" | "prefer" | "interleave", None) => how.is_none(),
        ("prefer", Some(Some(one))) => one.start() == one.end() && is_way(how),
        ("bind" | "interleave", Some(Some(_))) => is_way(how),
        _ => false,
    };
    let there: Vec<_> = nodes.trim().split(',').filter_map(range).collect();
    let has = |node: u64| there.iter().any(|range| range.contains(&node));
    match (known, wanted.flatten()) {
        (false, _) => Fate::Unknown,
        (true, Some(wanted)) if !wanted.clone().all(has) => Fate::Dropped,
        (true, None) if there.is_empty() => Fate::Dropped,
        (true, _) => Fate::Kept,
    }
}

fn is_way(how: Option<&str>) -> bool {
    matches!(how, None | Some("static" | "relative"))
}

/// `3` or `0-3`, below the most nodes a kernel knows.
fn range(text: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last < 1024).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_memory_file_systems() {
        let options = |list: &[&str]| {
            let mount_options = list.iter().map(|option| option.to_string()).collect();
            mount(&Tmpfs { container_path: "/t".into(), size_mib: 8, mount_options }).map(|m| m["options"].clone())
        };
        assert_eq!(options(&[]).unwrap(), json!(["nosuid", "nodev", "noexec", "size=8m"]));
        assert_eq!(options(&["exec", "mode=700"]).unwrap(), json!(["nosuid", "nodev", "exec", "mode=700", "size=8m"]));
        assert_eq!(options(&["remount", "bind", "defaults"]).unwrap(), options(&[]).unwrap());
        for bad in ["size=9999g", "upperdir=/", "mode=7,size=1", "mode", "x"] {
            assert!(options(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_those_the_kernel_reads() {
        let rows = [
            ("mode=1777", true),
            ("mode=01777", true),
            ("mode=99", false),
            ("mode=17777", false),
            ("mode=+7", false),
            ("uid=4294967294", true),
            ("uid=4294967295", false),
            ("gid=root", false),
            ("nr_inodes=10k", true),
            ("nr_inodes=k", false),
            ("nr_blocks=99999999999", false),
            ("mpol=interleave:0-3", true),
            ("mpol=bind=static:0", true),
            ("mpol=prefer:0-1", false),
            ("mpol=bind", false),
            ("mpol=local:0", false),
            ("mpol=", false),
        ];
        for (option, good) in rows {
            assert_eq!(is_tmpfs_option(option), good, "{option}");
        }
    }

    #[test]
    fn a_policy_for_nodes_that_are_not_there_is_dropped() {
        for (option, nodes, expected) in [
            ("mpol=bind:0-1", "0-1\n", Fate::Kept),
            ("mpol=bind:0-2", "0-1\n", Fate::Dropped),
            ("mpol=prefer:5", "0-1,5\n", Fate::Kept),
            ("mpol=local", "0\n", Fate::Kept),
            ("mpol=local", "", Fate::Dropped),
        ] {
            assert_eq!(fate(option, nodes), expected, "{option} of {nodes:?}");
        }
    }
}
