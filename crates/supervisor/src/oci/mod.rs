//! The OCI runtime's `config.json` of one container.
//!
//! Namespaces are private but for the network, which the containers of a task share, and that of processes where the task
//! asks for it. Defaults are Docker's: masked and read-only parts of `/proc` and `/sys`, the default capabilities, devices
//! and seccomp rules. Everything hostile (the root file system) is left to the runtime and to [`crate::rootfs`].

mod capability;
mod device;
mod filter;
pub mod limit;
mod mounts;
mod seccomp;
mod tmpfs;

pub use mounts::{Bind, effective_mounts};
pub use tmpfs::is_tmpfs_option;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cgroup::container_group;
use crate::error::{Error, Result};
use crate::spec::{ContainerSpec, Network, RuntimeKind, TaskSpec};
use crate::user::User;

/// What the supervisor prepared for a container.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub rootfs: PathBuf,
    pub user: User,
    /// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` and the task's volumes.
    pub binds: Vec<Bind>,
    /// Path of the network namespace; `None` is the host's.
    pub network_namespace: Option<String>,
    /// Path of the namespace of processes that the task shares; `None` is the container's own.
    pub process_namespace: Option<String>,
    /// The hard limit of open files that this process may give.
    pub most_files: u64,
    /// The container init on the host, if it is to be PID 1.
    pub init: Option<PathBuf>,
}

/// Where the container init is inside a container.
const INIT_PATH: &str = "/dev/init";
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// crun's annotation for a filter that it need not compile. A crun that did not know it would compile `seccomp`.
const FINISHED_FILTER: &str = "run.oci.seccomp_bpf_data";

/// The whole `config.json`. Labels are not made annotations: runtimes take orders from those (`run.oci.…`).
pub fn config(task: &TaskSpec, container: &ContainerSpec, prepared: &Prepared) -> Result<Value> {
    let seccomp = (!container.privileged).then(|| seccomp::profile(&container.cap_add));
    let mut config = json!({
        "ociVersion": "1.0.2",
        "hostname": container.hostname,
        "process": process(container, prepared)?,
        "root": {"path": prepared.rootfs, "readonly": container.readonly_rootfs},
        "mounts": mounts::list(container, prepared)?,
        "linux": linux(task, container, prepared)?,
    });
    if let Some(profile) = seccomp {
        config["linux"]["seccomp"] = profile.to_oci();
        if task.runtime.kind == RuntimeKind::Crun {
            config["annotations"] = json!({ FINISHED_FILTER: filter::encoded(&profile) });
        }
    }
    Ok(config)
}

/// The `process` object of a health check or another command inside a container that runs.
pub fn exec_process(container: &ContainerSpec, prepared: &Prepared, args: &[String]) -> Result<Value> {
    let mut process = process(container, prepared)?;
    process["args"] = json!(args);
    process["terminal"] = json!(false);
    Ok(process)
}

/// Where the container is to work; `/` unless said.
pub fn working_directory(container: &ContainerSpec) -> Result<String> {
    let cwd = if container.cwd.is_empty() { "/" } else { container.cwd.as_str() };
    let plain = cwd.starts_with('/') && !cwd.split('/').any(|part| part == "..");
    // A directory of /proc can lead out of the container by an inherited descriptor (CVE-2024-21626).
    let proc = cwd.split('/').find(|part| !part.is_empty() && *part != ".") == Some("proc");
    if plain && !proc && !cwd.contains('\0') {
        return Ok(cwd.to_string());
    }
    Err(Error::Parameter(format!("working directory {cwd:?} must be absolute, without \"..\" and outside /proc")))
}

fn process(container: &ContainerSpec, prepared: &Prepared) -> Result<Value> {
    let user = &prepared.user;
    Ok(json!({
        "terminal": container.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids},
        "args": arguments(container, prepared)?,
        "env": environment(container, user)?,
        "cwd": working_directory(container)?,
        "capabilities": capability::sets(container, capability::own())?,
        "rlimits": limit::rlimits(&container.ulimits, prepared.most_files)?,
        "noNewPrivileges": false,
        "oomScoreAdj": 0,
    }))
}

fn arguments(container: &ContainerSpec, prepared: &Prepared) -> Result<Vec<String>> {
    if container.args.is_empty() || container.args[0].is_empty() {
        return Err(Error::Parameter("no command: neither the image nor the task definition names one".into()));
    }
    refuse_zero("command", &container.args)?;
    let mut args = container.args.clone();
    if prepared.init.is_some() {
        args.splice(0..0, [INIT_PATH.to_string(), "--".to_string()]);
    }
    Ok(args)
}

fn environment(container: &ContainerSpec, user: &User) -> Result<Vec<String>> {
    refuse_zero("environment", &container.env)?;
    let given = |name: &str| container.env.iter().any(|entry| entry.split('=').next() == Some(name));
    let mut env = Vec::with_capacity(container.env.len() + 4);
    if !given("PATH") {
        env.push(DEFAULT_PATH.to_string());
    }
    if !given("HOSTNAME") && !container.hostname.is_empty() {
        env.push(format!("HOSTNAME={}", container.hostname));
    }
    if !given("TERM") && container.tty {
        env.push("TERM=xterm".to_string());
    }
    if !given("HOME") {
        env.push(format!("HOME={}", user.home));
    }
    env.extend(container.env.iter().cloned());
    Ok(env)
}

fn refuse_zero(what: &str, texts: &[String]) -> Result<()> {
    match texts.iter().any(|text| text.contains('\0')) {
        true => Err(Error::Parameter(format!("the {what} contains a zero byte"))),
        false => Ok(()),
    }
}

fn linux(task: &TaskSpec, container: &ContainerSpec, prepared: &Prepared) -> Result<Value> {
    let mut linux = json!({
        "namespaces": namespaces(prepared),
        "cgroupsPath": format!("/{}", container_group(&task.cgroup, &container.name)),
        "resources": limit::resources(container)?,
        "devices": device::nodes(container)?,
        "sysctl": sysctls(task, container)?,
        "rootfsPropagation": "private",
    });
    if !container.privileged {
        linux["maskedPaths"] = json!(MASKED_PATHS);
        linux["readonlyPaths"] = json!(READONLY_PATHS);
    }
    Ok(linux)
}

fn namespaces(prepared: &Prepared) -> Value {
    let mut list: Vec<Value> = ["ipc", "uts", "mount", "cgroup"].iter().map(|kind| json!({"type": kind})).collect();
    list.push(match &prepared.process_namespace {
        Some(path) => json!({"type": "pid", "path": path}),
        None => json!({"type": "pid"}),
    });
    if let Some(path) = &prepared.network_namespace {
        list.push(json!({"type": "network", "path": path}));
    }
    Value::Array(list)
}

/// Only parameters that belong to a namespace of the container's own.
fn sysctls(task: &TaskSpec, container: &ContainerSpec) -> Result<Value> {
    for name in container.sysctls.keys() {
        let message =
            name.starts_with("kernel.shm") || name.starts_with("kernel.msg") || name.starts_with("fs.mqueue.");
        let network = name.starts_with("net.") && task.network != Network::Host;
        if !(message || network || name == "kernel.sem") || name.contains(['\0', '/']) {
            return Err(Error::Parameter(format!("sysctl {name:?} does not belong to the container")));
        }
    }
    Ok(json!(container.sysctls))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        Prepared {
            rootfs: "/r".into(),
            user: User { uid: 0, gid: 0, additional_gids: vec![], home: "/root".into() },
            binds: vec![],
            network_namespace: Some("/proc/1/fd/3".into()),
            process_namespace: None,
            most_files: 1 << 20,
            init: None,
        }
    }

    fn container() -> ContainerSpec {
        ContainerSpec { name: "web".into(), args: vec!["/bin/true".into()], ..ContainerSpec::default() }
    }

    fn task() -> TaskSpec {
        let network = Network::Path { path: "/n".into() };
        TaskSpec { cgroup: "longshore/test".into(), network, ..TaskSpec::default() }
    }

    #[test]
    fn parameters_that_cannot_be_are_refused() {
        type Change = fn(&mut ContainerSpec);
        let changes: Vec<(&str, Change)> = vec![
            ("no command", |c| c.args.clear()),
            ("zero in command", |c| c.args.push("a\0b".into())),
            ("zero in environment", |c| c.env.push("A=\0".into())),
            ("cwd in proc", |c| c.cwd = "/proc/self/fd/8".into()),
            ("cwd in proc, hidden", |c| c.cwd = "//./proc/1/root".into()),
            ("cwd with ..", |c| c.cwd = "/a/../proc".into()),
            ("cwd relative", |c| c.cwd = "a".into()),
            ("sysctl of the host", |c| drop(c.sysctls.insert("kernel.panic".into(), "1".into()))),
            ("sysctl with a path", |c| drop(c.sysctls.insert("net./../kernel".into(), "1".into()))),
            ("unknown capability", |c| c.cap_add.push("SYS_MAGIC".into())),
            ("unknown ulimit", |c| c.ulimits.push(crate::spec::Ulimit { name: "magic".into(), soft: 1, hard: 1 })),
        ];
        for (name, change) in changes {
            let mut container = container();
            change(&mut container);
            assert!(config(&task(), &container, &prepared()).is_err(), "{name}");
        }
        assert!(config(&task(), &container(), &prepared()).is_ok());
    }

    #[test]
    fn network_parameters_need_a_namespace() {
        let mut container = container();
        container.sysctls.insert("net.core.somaxconn".into(), "9".into());
        assert!(config(&task(), &container, &prepared()).is_ok());
        assert!(config(&TaskSpec { network: Network::Host, ..task() }, &container, &prepared()).is_err());
    }

    #[test]
    fn labels_are_no_orders_to_the_runtime() {
        let mut container = container();
        container.labels.insert("run.oci.seccomp_bpf_data".into(), "AAAA".into());
        let made = config(&task(), &container, &prepared()).unwrap();
        assert_eq!(made["annotations"], config(&task(), &self::container(), &prepared()).unwrap()["annotations"]);
    }

    #[test]
    fn an_init_goes_before_the_command() {
        let with_init = Prepared { init: Some("/i".into()), ..prepared() };
        let config = config(&task(), &container(), &with_init).unwrap();
        assert_eq!(config["process"]["args"], json!(["/dev/init", "--", "/bin/true"]));
        let exec = exec_process(&container(), &with_init, &["x".into()]).unwrap();
        assert_eq!(exec["args"], json!(["x"]));
    }
}
