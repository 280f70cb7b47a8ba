//! Which paths of the host a task may mount.

use std::path::{Component, Path, PathBuf};

use super::Failure;

/// Directories through which a container would own the machine, by what is read, run or kept there. The one list there is:
/// the API registers any plain path, as ECS does, which knows no machine.
const SYSTEM: [&str; 22] = [
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/efi",
    "/etc",
    "/run",
    "/var/run",
    "/var/lib",
    "/var/spool",
    "/var/cache",
    "/root",
    "/home",
    "/usr",
    "/opt",
    "/snap",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
];

/// The path, if a task may mount it. The supervisor opens it without following a link in any component.
///
/// # Errors
/// On Fargate always; else for paths that are not absolute and plain, or lie in (or hold) a protected directory.
pub(super) fn path(text: &str, fargate: bool, protected: &[PathBuf]) -> Result<PathBuf, Failure> {
    let refuse = |why: &str| Err(Failure::resource(format!("the host path {text:?} cannot be mounted: {why}")));
    if fargate {
        return refuse("a task on Fargate has no host");
    }
    let path = PathBuf::from(text);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if text.contains('\0') || !path.is_absolute() || !path.components().all(plain) {
        return refuse("it is not a plain absolute path");
    }
    let system = SYSTEM.iter().map(Path::new);
    let mut closed = system.chain(protected.iter().map(PathBuf::as_path));
    if closed.any(|closed| path.starts_with(closed) || closed.starts_with(&path)) {
        return refuse("it belongs to the machine");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_outside_the_system_can_be_mounted() {
        let protected = [PathBuf::from("/srv/longshore")];
        for good in ["/srv/data", "/var/data", "/mnt", "/processed", "/library"] {
            assert_eq!(path(good, false, &protected).unwrap(), PathBuf::from(good));
        }
        let bad = [
            "/",
            "/proc",
            "/proc/1/root",
            "/sys",
            "/dev/sda",
            "/var/run/docker.sock",
            "/run/docker.sock",
            "/var",
            "/etc",
            "/srv/../etc",
            "srv",
            "",
            ".",
            "/srv\0/x",
            "/var/lib/docker",
            "/var/spool/cron/crontabs",
            "/home/user/.ssh",
            "/lib64",
            "/srv/longshore",
            "/srv/longshore/tasks",
            "/srv",
        ];
        for bad in bad {
            let failure = path(bad, false, &protected).unwrap_err();
            assert!(failure.reason.starts_with("ResourceInitializationError: the host path"), "{bad}: {failure}");
        }
    }

    #[test]
    fn a_fargate_task_mounts_nothing_of_the_host() {
        let failure = path("/srv/data", true, &[]).unwrap_err();
        assert!(failure.reason.ends_with("a task on Fargate has no host"), "{failure}");
    }
}
