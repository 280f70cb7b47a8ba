//! What this machine must have for a node, what it has, and what to do about the difference.
//!
//! Each check is a function that looks and answers; with `fix` it may first mend what can be mended without taking
//! anything away from others: mounts of cgroup hierarchies, kernel modules. Packages are left to the administrator.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use longshore_supervisor::runtime::{self, Candidate};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Good,
    /// Was wrong and is mended now.
    Mended,
    /// Works, with something to know.
    Warning,
    /// Tasks cannot run.
    Bad,
}

#[derive(Clone, Debug)]
pub struct Check {
    pub subject: &'static str,
    pub level: Level,
    pub found: String,
    pub advice: Option<String>,
}

impl Check {
    fn good(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, level: Level::Good, found: found.into(), advice: None }
    }

    fn with(subject: &'static str, level: Level, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { subject, level, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Look at everything. `listen` is the address the gateway wants.
pub fn examine(data_dir: &Path, listen: SocketAddr, fix: bool) -> Vec<Check> {
    let mut checks = vec![root(), kernel(), overlay(fix), cgroups()];
    checks.extend(oci_runtime(fix));
    checks.extend([
        tool("containerd", &["--version"], "containerd"),
        tool("nft", &["--version"], "nftables"),
        port(data_dir, listen),
        disk(data_dir),
    ]);
    checks
}

fn root() -> Check {
    match nix::unistd::geteuid().is_root() {
        true => Check::good("user", "root"),
        false => {
            Check::with("user", Level::Bad, "not root", "run as root, or use --engine simulated, which needs no rights")
        }
    }
}

/// The oldest kernel with everything a task needs (openat2, clone into cgroups, time namespaces aside).
const OLDEST_KERNEL: (u32, u32) = (5, 10);

fn kernel() -> Check {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    match version >= OLDEST_KERNEL {
        true => Check::good("kernel", release),
        false => Check::with("kernel", Level::Bad, release, "a kernel of 5.10 or newer is needed"),
    }
}

fn overlay(fix: bool) -> Check {
    let known = || std::fs::read_to_string("/proc/filesystems").is_ok_and(|list| list.contains("overlay"));
    if known() {
        return Check::good("overlayfs", "available");
    }
    let loaded = fix && Command::new("modprobe").arg("overlay").status().is_ok_and(|done| done.success());
    match loaded && known() {
        true => Check { level: Level::Mended, ..Check::good("overlayfs", "module loaded") },
        false => Check::with("overlayfs", Level::Bad, "not available", "load the module: modprobe overlay"),
    }
}

fn cgroups() -> Check {
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let v1 = ["cpu", "memory", "pids"].iter().all(|name| Path::new("/sys/fs/cgroup").join(name).exists());
    match (v2, v1) {
        (true, _) => Check::good("cgroups", "version 2"),
        (false, true) => Check::good("cgroups", "version 1 (hybrid)"),
        (false, false) => Check::with(
            "cgroups",
            Level::Bad,
            "the cpu, memory and pids controllers are not mounted",
            "mount a cgroup2 file system at /sys/fs/cgroup",
        ),
    }
}

/// The runtimes that are there, what keeps them from working, and the known holes of their versions.
fn oci_runtime(fix: bool) -> Vec<Check> {
    let mut checks = if fix { mend_runtime() } else { Vec::new() };
    let (chosen, there) = (runtime::choose(), runtime::detect());
    let chosen = chosen.and_then(|chosen| there.iter().find(|candidate| candidate.path == chosen.path));
    checks.push(match chosen {
        Some(Candidate { path, version, .. }) => {
            Check::good("runtime", format!("tasks run by {} {version}", path.display()))
        }
        None => Check::with("runtime", Level::Bad, "none works", "install crun, then longshore doctor --fix"),
    });
    for candidate in there {
        let found = format!("{} {}", candidate.path.display(), candidate.version);
        let problems = runtime::problems(&candidate).into_iter();
        checks.extend(problems.map(|problem| {
            Check::with("runtime", Level::Warning, format!("{found}: {}", problem.what), problem.remedy)
        }));
    }
    let host = runtime::host_problems().into_iter();
    checks.extend(host.map(|problem| Check::with("starts", Level::Warning, problem.what, problem.remedy)));
    checks
}

fn mend_runtime() -> Vec<Check> {
    match runtime::fix() {
        Ok(done) => {
            done.into_iter().map(|what| Check { level: Level::Mended, ..Check::good("runtime", what) }).collect()
        }
        // Whether a runtime works all the same is looked at next.
        Err(error) => {
            vec![Check::with("runtime", Level::Warning, error.to_string(), "mend it by hand, then look again")]
        }
    }
}

fn tool(name: &'static str, words: &[&str], package: &str) -> Check {
    let found = Command::new(name).args(words).output();
    match found {
        Ok(done) if done.status.success() => {
            let text = String::from_utf8_lossy(&done.stdout);
            Check::good(name, text.lines().next().unwrap_or_default().trim())
        }
        _ => Check::with(name, Level::Bad, "not found", format!("install the package {package}")),
    }
}

fn port(data_dir: &Path, listen: SocketAddr) -> Check {
    let ours = std::fs::read_to_string(data_dir.join("endpoint")).is_ok_and(|text| text.trim() == listen.to_string());
    match TcpListener::bind(listen) {
        Ok(_) => Check::good("port", format!("{listen} is free")),
        Err(_) if ours => Check::good("port", format!("{listen} is in use by this instance")),
        Err(error) => Check::with("port", Level::Warning, format!("{listen}: {error}"), "choose another by --listen"),
    }
}

/// Bytes below which images hardly fit.
const LITTLE: u64 = 2 * 1024 * 1024 * 1024;

fn disk(data_dir: &Path) -> Check {
    let existing = data_dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = nix::sys::statvfs::statvfs(existing) else {
        return Check::with("disk", Level::Warning, "unknown", "the data directory's file system does not answer");
    };
    let free = stat.blocks_available() * stat.fragment_size();
    let found = format!("{:.1} GB free in {}", free as f64 / 1e9, existing.display());
    match free >= LITTLE {
        true => Check::good("disk", found),
        false => Check::with("disk", Level::Warning, found, "make room, or choose another --data-dir"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_is_named_with_its_version() {
        let checks = oci_runtime(false);
        let good = checks.iter().find(|check| check.level == Level::Good).expect("a runtime that works");
        let path = runtime::choose().expect("a runtime that works").path;
        let version = good.found.strip_prefix(&format!("tasks run by {} ", path.display())).expect(&good.found);
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
    }

    #[test]
    fn what_slows_starts_down_is_a_warning() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let checks = examine(Path::new("/"), listen, false);
        let found: Vec<(Level, &str)> = checks
            .iter()
            .filter(|check| check.subject == "starts")
            .map(|check| (check.level, check.found.as_str()))
            .collect();
        let problems = runtime::host_problems();
        let expected: Vec<(Level, &str)> =
            problems.iter().map(|problem| (Level::Warning, problem.what.as_str())).collect();
        assert_eq!(found, expected);
    }
}
