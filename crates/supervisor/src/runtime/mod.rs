//! The OCI runtime: which one this host has and what is wrong with it ([`detect`], [`problems`], [`fix`]), and how it
//! is driven ([`Driver`]).

mod driver;
mod speed;
mod version;

pub(crate) use driver::{Driver, Stdio, last_words};

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};

use crate::cgroup::Layout;
use crate::error::{Error, Result};
use crate::spec::{RuntimeKind, RuntimeSpec};

/// A runtime found on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub kind: RuntimeKind,
    pub path: PathBuf,
    /// As it says itself, e.g. `1.8.1`; empty if it could not be asked.
    pub version: String,
}

/// Something wrong with a runtime here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub remedy: String,
    /// It cannot start containers like this.
    pub fatal: bool,
    /// [`fix`] mends it.
    pub fixable: bool,
}

const NAMES: [(RuntimeKind, &str); 3] =
    [(RuntimeKind::Crun, "crun"), (RuntimeKind::Runc, "runc"), (RuntimeKind::Runsc, "runsc")];
const DIRECTORIES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The runtimes of this host, preferred first (crun, runc, runsc), looked for in `PATH` and the usual directories.
pub fn detect() -> Vec<Candidate> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).chain(DIRECTORIES.map(PathBuf::from)).collect();
    let find = |name: &str| directories.iter().map(|d| d.join(name)).find(|file| file.is_file());
    let candidate = |(kind, name): &(RuntimeKind, &str)| {
        let path = find(name)?;
        let version = ask_version(&path).unwrap_or_default();
        Some(Candidate { kind: *kind, path, version })
    };
    NAMES.iter().filter_map(candidate).collect()
}

/// The one to use: crun if it works here, else runc. gVisor's runsc is only taken where it is asked for.
pub fn choose() -> Option<RuntimeSpec> {
    let usable = |c: &Candidate| c.kind != RuntimeKind::Runsc && !problems(c).iter().any(|p| p.fatal);
    let found = detect().into_iter().find(usable)?;
    Some(RuntimeSpec { kind: found.kind, path: found.path })
}

/// What is wrong with a runtime on this host: known holes, and what keeps it from working.
pub fn problems(candidate: &Candidate) -> Vec<Problem> {
    let mut list = Vec::new();
    if candidate.version.is_empty() {
        list.push(Problem {
            what: format!("{} does not answer --version", candidate.path.display()),
            remedy: "install it anew".into(),
            fatal: true,
            fixable: false,
        });
    }
    list.extend(version::holes(candidate));
    if let (RuntimeKind::Crun, Ok(layout)) = (candidate.kind, Layout::detect()) {
        list.extend(stray_controllers(&layout).first().map(|_| crun_refuses(&layout)));
    }
    list
}

/// What of the host itself stands in the way of a quick start; never fatal.
pub fn host_problems() -> Vec<Problem> {
    let slow = speed::slow_tree().map(|_| Problem {
        what: "a start waits 10 to 20 ms for the kernel to move a process into its cgroup".into(),
        remedy: "remount cgroup v2 with favordynmods (longshore doctor --fix); forks become slightly dearer".into(),
        fatal: false,
        fixable: true,
    });
    slow.into_iter().collect()
}

/// Mends what may be mended: gives every controller that sits in the v2 tree of a hybrid host its v1 hierarchy, and
/// remounts the v2 tree so that starts do not wait. Both last until the next boot. Returns what was done, in words.
pub fn fix() -> Result<Vec<String>> {
    let layout = Layout::detect()?;
    let mounted: Result<Vec<String>> = stray_controllers(&layout).iter().map(|c| mount_controller(c)).collect();
    let favoured = speed::slow_tree().map(|tree| tree.favour()).transpose();
    mounted.and_then(|mut done| {
        done.extend(favoured?);
        Ok(done)
    })
}

/// Controllers that a hybrid host has in its v2 tree. crun, as of 1.8, starts nothing then.
fn stray_controllers(layout: &Layout) -> Vec<String> {
    let Layout::V1(trees) = layout else {
        return Vec::new();
    };
    let Some(unified) = trees.get("unified") else {
        return Vec::new();
    };
    let text = fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(str::to_string).collect()
}

fn crun_refuses(layout: &Layout) -> Problem {
    let names = stray_controllers(layout).join(", ");
    Problem {
        what: format!("crun does not work while a hybrid host has controllers in its cgroup v2 tree: {names}"),
        remedy: format!("mount them as cgroup v1 (longshore doctor --fix), e.g. at /sys/fs/cgroup/{names}"),
        fatal: true,
        fixable: true,
    }
}

fn mount_controller(controller: &str) -> Result<String> {
    let target = Path::new("/sys/fs/cgroup").join(controller);
    fs::create_dir_all(&target).map_err(Error::file("create", &target))?;
    mount(Some("cgroup"), &target, Some("cgroup"), MsFlags::empty(), Some(controller)).map_err(|e| Error::File {
        action: "mount cgroup v1",
        path: target.clone(),
        source: e.into(),
    })?;
    Ok(format!("mounted the {controller} controller at {}", target.display()))
}

/// First word after `version` in the first line, e.g. of `runc version 1.1.5+ds1`.
fn ask_version(path: &Path) -> Option<String> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.lines().next()?.split_whitespace().skip_while(|word| *word != "version");
    words.nth(1).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_in_the_wrong_tree_are_a_problem_for_crun() {
        let base = std::env::temp_dir().join(format!("longshore-hybrid-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let layout = Layout::V1([("unified".to_string(), base.clone())].into());
        assert!(stray_controllers(&layout).is_empty());
        fs::write(base.join("cgroup.controllers"), "hugetlb rdma\n").unwrap();
        assert_eq!(stray_controllers(&layout), ["hugetlb", "rdma"]);
        let problem = crun_refuses(&layout);
        assert!(problem.fatal && problem.fixable && problem.what.contains("hugetlb, rdma"));
        assert!(stray_controllers(&Layout::V2(base.clone())).is_empty(), "a pure v2 host is as it should be");
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_does_not_answer_is_no_runtime() {
        let candidate = Candidate { kind: RuntimeKind::Runc, path: "/x".into(), version: String::new() };
        assert!(problems(&candidate).iter().any(|problem| problem.fatal));
    }

    #[test]
    fn versions_are_asked_for() {
        let directory = std::env::temp_dir().join(format!("longshore-version-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let program = directory.join("runtime");
        fs::write(&program, "#!/bin/sh\necho runc version 1.2.3+x\necho more\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(ask_version(&program).as_deref(), Some("1.2.3+x"));
        assert_eq!(ask_version(&directory), None);
        fs::remove_dir_all(directory).unwrap();
    }
}
