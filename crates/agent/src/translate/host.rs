//! Which paths of the host a task may mount.

use std::path::{Component, Path, PathBuf};

use super::Failure;

/// Directories through which a container would own the machine.
const SYSTEM: [&str; 12] =
    ["/proc", "/sys", "/dev", "/boot", "/etc", "/run", "/var/run", "/root", "/usr", "/bin", "/sbin", "/lib"];

/// The path, if a task may mount it. The supervisor opens it without following a link in the last component.
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
        let protected = [PathBuf::from("/var/lib/longshore")];
        for good in ["/srv/data", "/var/lib/other", "/mnt", "/processed"] {
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
            "/var/lib/longshore",
            "/var/lib/longshore/tasks",
            "/var/lib",
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
