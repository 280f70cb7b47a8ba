//! Rules for what reaches the kernel: capabilities, devices, tmpfs, swap, limits and kernel parameters.

use longshore_api::ecs::{self, IpcMode, NetworkMode, UlimitName};
use longshore_wire::Fault;

use super::{Draft, invalid, is_mount, is_path, repeated, within};

const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// What ECS documents for `tmpfs.mountOptions`. Every supervisor takes each of them, which a test below holds.
const MOUNT_OPTIONS: &[&str] = &[
    "defaults",
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
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// Kernel parameters of an IPC namespace; those of `fs.mqueue` and of `net` come on top.
const IPC_CONTROLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Open files that the kernel lets one process have (`fs.nr_open`).
const OPEN_FILES: i32 = 1_048_576;

pub fn check(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    check_ulimits(container)?;
    check_controls(draft, container)?;
    let Some(linux) = &container.linux_parameters else {
        return Ok(());
    };
    check_capabilities(container, linux)?;
    check_devices(container, linux)?;
    check_tmpfs(container, linux)?;
    within(container, "sharedMemorySize", linux.shared_memory_size, (1, i32::MAX))?;
    within(container, "maxSwap", linux.max_swap, (0, i32::MAX))?;
    within(container, "swappiness", linux.swappiness, (0, 100))
}

fn check_ulimits(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let limits = container.ulimits.as_deref().unwrap_or_default();
    if let Some(name) = repeated(limits.iter().filter_map(|limit| limit.name)) {
        return Err(invalid(container, "ulimits", &format!("{name} is set more than once.")));
    }
    for limit in limits {
        let (soft, hard) = (limit.soft_limit.unwrap_or(0), limit.hard_limit.unwrap_or(0));
        // Minus one is no limit.
        let ordered = hard == -1 || (soft != -1 && soft <= hard);
        let open_files = limit.name != Some(UlimitName::Nofile) || (0..=OPEN_FILES).contains(&hard);
        if soft < -1 || hard < -1 || !ordered || !open_files {
            return Err(invalid(
                container,
                "ulimits",
                "The limits are out of range or the soft one is above the hard one.",
            ));
        }
    }
    Ok(())
}

fn check_controls(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let controls = container.system_controls.as_deref().unwrap_or_default();
    if repeated(controls.iter().map(|control| control.namespace.as_deref())).is_some() {
        return Err(invalid(container, "systemControls", "A namespace is set more than once."));
    }
    for control in controls {
        let (key, value) =
            (control.namespace.as_deref().unwrap_or_default(), control.value.as_deref().unwrap_or_default());
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(invalid(container, "systemControls", "A value should not be null or empty."));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let whole = key.bytes().all(plain) && key.split('.').all(|part| !part.is_empty());
        let ipc = IPC_CONTROLS.contains(&key) || key.starts_with("fs.mqueue.");
        let net = key.starts_with("net.");
        if !whole || !(ipc || net) {
            return Err(invalid(container, "systemControls", "Only namespaced kernel parameters are supported."));
        }
        if net && draft.network == NetworkMode::Host || ipc && draft.api.ipc_mode == Some(IpcMode::Host) {
            return Err(invalid(container, "systemControls", "The namespace is the host's."));
        }
    }
    Ok(())
}

fn check_capabilities(container: &ecs::ContainerDefinition, linux: &ecs::LinuxParameters) -> Result<(), Fault> {
    let Some(capabilities) = &linux.capabilities else {
        return Ok(());
    };
    let mut named = capabilities.add.iter().flatten().chain(capabilities.drop.iter().flatten());
    match named.all(|name| CAPABILITIES.contains(&name.as_str())) {
        true => Ok(()),
        false => Err(invalid(container, "capabilities", "")),
    }
}

fn check_devices(container: &ecs::ContainerDefinition, linux: &ecs::LinuxParameters) -> Result<(), Fault> {
    let good = |device: &ecs::Device| {
        device.host_path.as_deref().is_some_and(is_path) && device.container_path.as_deref().is_none_or(is_path)
    };
    match linux.devices.iter().flatten().all(good) {
        true => Ok(()),
        false => Err(invalid(container, "devices", "Paths must be absolute.")),
    }
}

fn check_tmpfs(container: &ecs::ContainerDefinition, linux: &ecs::LinuxParameters) -> Result<(), Fault> {
    for mount in linux.tmpfs.iter().flatten() {
        if !mount.container_path.as_deref().is_some_and(is_mount) {
            return Err(invalid(container, "tmpfs", "containerPath must be an absolute path below the root."));
        }
        within(container, "tmpfs.size", Some(mount.size.unwrap_or(0)), (1, i32::MAX))?;
        if !mount.mount_options.iter().flatten().all(|option| is_mount_option(option)) {
            return Err(invalid(container, "tmpfs", "A mount option is not known."));
        }
    }
    Ok(())
}

/// A flag, or an option with a value that a memory file system reads.
fn is_mount_option(option: &str) -> bool {
    let digits =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    match option.split_once('=') {
        None => MOUNT_OPTIONS.contains(&option),
        Some(("mode", value)) => digits(value, 5) && u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777),
        Some(("uid" | "gid", value)) => digits(value, 10) && value.parse().is_ok_and(|id: u32| id < u32::MAX),
        Some(("nr_inodes" | "nr_blocks", value)) => digits(value.strip_suffix(['k', 'm', 'g']).unwrap_or(value), 10),
        Some(("mpol", value)) => is_policy(value),
        Some(_) => false,
    }
}

/// A memory policy: how pages are laid out, and over which nodes (`bind:0-3`, `prefer=static:1`).
fn is_policy(value: &str) -> bool {
    let node = |text: &str| text.parse::<u16>().ok().filter(|node| *node < 1024 && !text.starts_with('+'));
    let Some((kind, nodes)) = value.split_once(':') else {
        return matches!(value, "default" | "local" | "prefer" | "interleave");
    };
    let (first, last) = nodes.split_once('-').unwrap_or((nodes, nodes));
    let ordered = matches!((node(first), node(last)), (Some(first), Some(last)) if first <= last);
    let (kind, way) = kind.split_once('=').unwrap_or((kind, "static"));
    let one = kind == "prefer" && first == last;
    ordered && (one || matches!(kind, "bind" | "interleave")) && matches!(way, "static" | "relative")
}

#[cfg(test)]
mod tests {
    use longshore_supervisor::is_tmpfs_option;

    use super::*;

    #[test]
    fn a_mount_option_that_registers_can_be_mounted() {
        for option in MOUNT_OPTIONS {
            assert!(is_mount_option(option) && is_tmpfs_option(option), "{option}");
        }
    }

    #[test]
    fn values_that_register_are_those_that_can_be_mounted() {
        let keys = ["mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "size", "upperdir"];
        let values = [
            "",
            "0",
            "00",
            "7",
            "8",
            "1777",
            "17777",
            "07777",
            "+7",
            "-1",
            "4294967294",
            "4294967295",
            "99999999999",
            "1k",
            "1kk",
            "k",
            "1K",
            "1,size=1",
            "default",
            "default:0",
            "local",
            "local=static",
            "prefer",
            "prefer:0",
            "prefer:0-1",
            "prefer:1-1",
            "prefer=static",
            "prefer=static:0",
            "bind",
            "bind:0",
            "bind:0-3",
            "bind:3-0",
            "bind:1023",
            "bind:1024",
            "bind:+1",
            "bind:0,1",
            "bind=relative:0",
            "bind=x:0",
            "interleave",
            "interleave:0-3",
            "weighted",
        ];
        let mut taken = 0;
        for option in keys.iter().flat_map(|key| values.map(|value| format!("{key}={value}"))) {
            assert_eq!(is_mount_option(&option), is_tmpfs_option(&option), "{option}");
            taken += usize::from(is_mount_option(&option));
        }
        assert!(taken > 30, "{taken}");
    }
}
