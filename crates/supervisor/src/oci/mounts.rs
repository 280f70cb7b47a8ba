//! What is mounted in a container.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{INIT_PATH, Prepared, tmpfs};
use crate::error::{Error, Result};
use crate::spec::{ContainerSpec, MountPoint, TaskSpec};

/// A file or directory of the host inside a container. The source is one of the supervisor's own paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// All volumes a container sees: its own mount points, then those of the containers it takes volumes from. The first
/// one at a path wins.
pub fn effective_mounts(task: &TaskSpec, container: &ContainerSpec) -> Result<Vec<MountPoint>> {
    let mut list = Vec::new();
    gather(task, container, false, 0, &mut list)?;
    Ok(list)
}

/// The `mounts` list, parents before children.
pub fn list(container: &ContainerSpec, prepared: &Prepared) -> Result<Value> {
    let mut list = kernel_mounts(container);
    let mut rest: Vec<(String, Value)> = Vec::new();
    for memory in &container.tmpfs {
        rest.push((memory.container_path.clone(), tmpfs::mount(memory)?));
    }
    for bind in &prepared.binds {
        rest.push((bind.target.clone(), bound(bind)));
    }
    for (target, _) in &rest {
        check_target(target)?;
    }
    rest.sort_by_key(|(target, _)| target.split('/').filter(|part| !part.is_empty()).count());
    list.extend(rest.into_iter().map(|(_, mount)| mount));
    if let Some(init) = &prepared.init {
        list.push(bound(&Bind { source: init.clone(), target: INIT_PATH.into(), read_only: true }));
    }
    Ok(Value::Array(list))
}

fn gather(
    task: &TaskSpec,
    container: &ContainerSpec,
    read_only: bool,
    depth: usize,
    list: &mut Vec<MountPoint>,
) -> Result<()> {
    if depth > task.containers.len() {
        return Err(Error::Parameter(format!("container {} takes volumes from itself", container.name)));
    }
    for mount in &container.mounts {
        if !list.iter().any(|known| known.container_path == mount.container_path) {
            list.push(MountPoint { read_only: mount.read_only || read_only, ..mount.clone() });
        }
    }
    for from in &container.volumes_from {
        let source = task.containers.iter().find(|c| c.name == from.source_container);
        let source = source.ok_or_else(|| Error::Parameter(format!("no container {}", from.source_container)))?;
        gather(task, source, read_only || from.read_only, depth + 1, list)?;
    }
    Ok(())
}

fn kernel_mounts(container: &ContainerSpec) -> Vec<Value> {
    let shm = format!("size={}m", container.shm_mib.unwrap_or(64));
    let write = if container.privileged { "rw" } else { "ro" };
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": source, "options": options});
    let safe = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&safe[..], more].concat();
    vec![
        mount("/proc", "proc", "proc", &safe),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &[&safe[..], &[write]].concat()),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &[&safe[..], &["relatime", write]].concat()),
        mount("/dev/mqueue", "mqueue", "mqueue", &safe),
        mount("/dev/shm", "tmpfs", "shm", &[&with(&["mode=1777"])[..], &[shm.as_str()]].concat()),
    ]
}

fn bound(bind: &Bind) -> Value {
    let write = if bind.read_only { "ro" } else { "rw" };
    let options = json!(["rbind", "rprivate", write]);
    json!({"destination": bind.target, "type": "bind", "source": bind.source, "options": options})
}

/// Nothing may be put over the kernel's own file systems or the root.
fn check_target(target: &str) -> Result<()> {
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let covered = matches!(parts.as_slice(), [] | ["proc" | "sys", ..] | ["dev"]);
    if !target.starts_with('/') || parts.contains(&"..") || covered || target.contains('\0') {
        return Err(Error::Parameter(format!("cannot mount at {target:?} in a container")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::VolumesFrom;

    #[test]
    fn volumes_come_from_others_and_stay_read_only() {
        let mount = |volume: &str, path: &str| MountPoint {
            volume: volume.into(),
            container_path: path.into(),
            read_only: false,
        };
        let from = |name: &str, read_only| VolumesFrom { source_container: name.into(), read_only };
        let container = |name: &str, mounts, volumes_from| ContainerSpec {
            name: name.into(),
            mounts,
            volumes_from,
            ..ContainerSpec::default()
        };
        let task = TaskSpec {
            containers: vec![
                container("a", vec![mount("v", "/v")], vec![]),
                container("b", vec![mount("w", "/w")], vec![from("a", true)]),
                container("c", vec![mount("mine", "/w")], vec![from("b", false)]),
                container("d", vec![], vec![from("d", false)]),
            ],
            ..TaskSpec::default()
        };
        let seen = effective_mounts(&task, &task.containers[2]).unwrap();
        let seen: Vec<_> = seen.iter().map(|m| (m.volume.as_str(), m.container_path.as_str(), m.read_only)).collect();
        assert_eq!(seen, [("mine", "/w", false), ("v", "/v", true)]);
        assert!(effective_mounts(&task, &task.containers[3]).is_err());
    }

    #[test]
    fn targets_over_the_kernels_own_are_refused() {
        for bad in ["", "/", "relative", "/proc", "/proc/sys", "/sys/x", "/dev", "/a/../proc", "//proc", "/./sys"] {
            assert!(check_target(bad).is_err(), "{bad:?}");
        }
        for good in ["/data", "/dev/shm", "/etc/hosts", "/process"] {
            assert!(check_target(good).is_ok(), "{good:?}");
        }
    }
}
