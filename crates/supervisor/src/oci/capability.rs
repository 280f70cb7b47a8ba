//! Linux capabilities of a container: Docker's default set, changed by `add` and `drop`.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::spec::ContainerSpec;

/// Docker's default set.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All there are, in the kernel's order.
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Capabilities that this process has, as a bit set: no container can have more.
pub fn own() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// The `capabilities` object. A user other than root loses the effective ones when the program starts, as on Docker.
pub fn sets(container: &ContainerSpec, own: u64) -> Result<Value> {
    let list = chosen(container, own)?;
    let names: Vec<String> = list.into_iter().map(|name| format!("CAP_{name}")).collect();
    Ok(json!({"bounding": names, "effective": names, "permitted": names}))
}

/// Whether a list of additions names a capability.
pub fn names(list: &[String], capability: &str) -> bool {
    list.iter().any(|name| matches!(plain(name).as_str(), "ALL") || plain(name) == capability)
}

/// What was added by name stays even if this process has it not: the runtime will say so.
fn chosen(container: &ContainerSpec, own: u64) -> Result<Vec<&'static str>> {
    for name in container.cap_add.iter().chain(&container.cap_drop) {
        let name = plain(name);
        if name != "ALL" && !ALL.contains(&name.as_str()) {
            return Err(Error::Parameter(format!("unknown capability {name:?}")));
        }
    }
    let added = |name: &str| container.cap_add.iter().any(|c| plain(c) == name);
    let dropped = |name: &str| container.cap_drop.iter().any(|c| plain(c) == name);
    let everything = container.privileged || added("ALL");
    let keep = |number: usize, name: &str| {
        let from_start = everything || (DEFAULT.contains(&name) && !dropped("ALL"));
        let lasting = container.privileged || !dropped(name);
        added(name) || (from_start && lasting && own >> number & 1 == 1)
    };
    let numbered = ALL.iter().enumerate().filter(|(number, name)| keep(*number, name));
    Ok(numbered.map(|(_, name)| *name).collect())
}

fn plain(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_and_drops() {
        let own = u64::MAX;
        let list = |add: &[&str], drop: &[&str], privileged: bool| {
            let texts = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
            let container =
                ContainerSpec { cap_add: texts(add), cap_drop: texts(drop), privileged, ..ContainerSpec::default() };
            chosen(&container, own).unwrap()
        };
        assert_eq!(list(&[], &[], false).len(), 14);
        assert!(list(&["SYS_PTRACE"], &[], false).contains(&"SYS_PTRACE"));
        assert!(list(&["cap_sys_ptrace"], &[], false).contains(&"SYS_PTRACE"));
        assert_eq!(list(&[], &["ALL"], false).len(), 0);
        assert_eq!(list(&["KILL"], &["ALL"], false), ["KILL"]);
        assert_eq!(list(&["ALL"], &["SYS_ADMIN"], false).len(), 40);
        assert_eq!(list(&[], &["ALL"], true).len(), 41);
        let privileged = ContainerSpec { privileged: true, ..ContainerSpec::default() };
        assert_eq!(chosen(&privileged, 0b101).unwrap(), ["CHOWN", "DAC_READ_SEARCH"]);
    }
}
