//! Control groups of a task: `<task>` holds the task's limits, `<task>/<container>` each container's (made by the OCI
//! runtime). Both generations work: v1 (also "hybrid": v1 controllers beside a v2 tree) and v2.
//!
//! Left out: cpusets, I/O weights (ECS has none).

pub mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// Which trees are mounted where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Controller name to mount point; `unified` is where a v2 tree is mounted beside, `name=systemd` and the like
    /// are kept too because runtimes make directories in them.
    V1(BTreeMap<String, PathBuf>),
    /// The one tree.
    V2(PathBuf),
}

/// Limits of the whole task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// 1024 a vCPU; a hard limit.
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u64>,
}

/// Processes and threads that a task may have for each vCPU; also what a smaller task, or one without a size, may have.
const PROCESSES_PER_VCPU: u32 = 1024;
/// Length of a scheduling period in microseconds, the kernel's default.
const PERIOD_US: u64 = 100_000;
/// Of the same name in both generations.
const PROCESSES_FILE: &str = "pids.max";

impl Limits {
    /// The most processes and threads of the whole task: a fork bomb ends there and not at the host's last number.
    fn processes(self) -> u32 {
        // A vCPU is 1024 units, so that units are processes.
        self.cpu_units.unwrap_or(0).max(PROCESSES_PER_VCPU)
    }
}

impl Layout {
    /// What this host has.
    pub fn detect() -> Result<Layout> {
        let table = fs::read_to_string("/proc/self/mountinfo").map_err(Error::file("read", "/proc/self/mountinfo"))?;
        Layout::parse(&table).ok_or_else(|| Error::Parameter("no cgroup file system is mounted".into()))
    }

    fn parse(mountinfo: &str) -> Option<Layout> {
        let mut v1 = BTreeMap::new();
        let mut v2 = None;
        for line in mountinfo.lines() {
            let (left, right) = line.split_once(" - ")?;
            let point = PathBuf::from(left.split(' ').nth(4)?);
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1).unwrap_or_default());
            match kind {
                "cgroup2" => v2 = v2.or(Some(point)),
                "cgroup" => {
                    let names =
                        options.split(',').filter(|name| !matches!(*name, "rw" | "ro" | "xattr" | "favordynmods"));
                    v1.extend(names.map(|name| (name.to_string(), point.clone())));
                }
                _ => {}
            }
        }
        if !v1.contains_key("memory") {
            return v2.map(Layout::V2);
        }
        v1.extend(v2.map(|point| ("unified".to_string(), point)));
        Some(Layout::V1(v1))
    }

    /// The directory of a group in a controller's tree.
    pub fn directory(&self, controller: &str, group: &str) -> Option<PathBuf> {
        match self {
            Layout::V1(trees) => trees.get(controller).map(|point| point.join(group)),
            Layout::V2(point) => Some(point.join(group)),
        }
    }

    /// The directory of a group in every tree.
    fn directories(&self, group: &str) -> Vec<PathBuf> {
        let mut points: Vec<&PathBuf> = match self {
            Layout::V1(trees) => trees.values().collect(),
            Layout::V2(point) => vec![point],
        };
        points.sort();
        points.dedup();
        points.into_iter().map(|point| point.join(group)).collect()
    }

    /// Makes the task's group with its limits.
    pub fn create(&self, group: &str, limits: Limits) -> Result<()> {
        check_name(group)?;
        match self {
            Layout::V1(_) => self.create_v1(group, limits),
            Layout::V2(point) => create_v2(point, group, limits),
        }
    }

    fn create_v1(&self, group: &str, limits: Limits) -> Result<()> {
        let needed = |controller: &str| {
            let directory = self.directory(controller, group);
            directory.ok_or_else(|| Error::Parameter(format!("the {controller} controller is not mounted")))
        };
        let (cpu, memory, pids) = (needed("cpu")?, needed("memory")?, needed("pids")?);
        for directory in [&cpu, &memory, &pids] {
            fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        }
        write(&pids.join(PROCESSES_FILE), limits.processes())?;
        if let Some(units) = limits.cpu_units {
            write(&cpu.join("cpu.shares"), units.max(2))?;
            write(&cpu.join("cpu.cfs_period_us"), PERIOD_US)?;
            write(&cpu.join("cpu.cfs_quota_us"), quota(units))?;
        }
        if let Some(mib) = limits.memory_mib {
            write(&memory.join("memory.limit_in_bytes"), mib << 20)?;
            // Only where swap is accounted; without swap the limit above is all there is.
            let swap = memory.join("memory.memsw.limit_in_bytes");
            if swap.exists() {
                write(&swap, mib << 20)?;
            }
        }
        Ok(())
    }

    /// How often the kernel killed for memory in a group.
    pub fn out_of_memory_kills(&self, group: &str) -> u64 {
        let file = match self {
            Layout::V1(_) => "memory.oom_control",
            Layout::V2(_) => "memory.events",
        };
        let Some(directory) = self.directory("memory", group) else {
            return 0;
        };
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }

    /// Kills every process of a group and of those below it, and waits until none is left. The group can make no new
    /// process from then on, so that none is forked faster than they are killed.
    pub fn kill_all(&self, group: &str, patience: Duration) -> Result<()> {
        check_name(group)?;
        if let Some(directory) = self.directory("pids", group) {
            // The group may be gone, or made before it had this limit.
            let _ = fs::OpenOptions::new()
                .write(true)
                .open(directory.join(PROCESSES_FILE))
                .and_then(|mut f| f.write_all(b"0"));
        }
        let until = Instant::now() + patience;
        loop {
            let processes = self.processes(group);
            if processes.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Error::Parameter(format!("{} processes of {group} do not die", processes.len())));
            }
            for pid in processes {
                // It may be gone by now.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Process ids in a group and below, by the trees that every container is in.
    pub fn processes(&self, group: &str) -> Vec<i32> {
        let mut found = Vec::new();
        for controller in ["memory", "pids"] {
            if let Some(directory) = self.directory(controller, group) {
                collect_processes(&directory, &mut found);
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|pid| *pid > 0);
        found
    }

    /// Removes a group and those below it in every tree. Groups that still hold a process stay and are an error.
    pub fn remove(&self, group: &str) -> Result<()> {
        check_name(group)?;
        let failures: Vec<_> = self.directories(group).iter().filter_map(|d| remove_directories(d).err()).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }
}

/// The group of one container, given the task's.
pub fn container_group(task: &str, container: &str) -> String {
    format!("{task}/{container}")
}

/// A relative path of plain names, at least two deep, so that no mistake can hit a group of the host.
fn check_name(group: &str) -> Result<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if group.split('/').count() >= 2 && group.split('/').all(plain) {
        return Ok(());
    }
    Err(Error::Parameter(format!("{group:?} is no name for a task's cgroup")))
}

fn quota(units: u32) -> u64 {
    (u64::from(units) * PERIOD_US / 1024).max(1000)
}

/// cgroup v2's weight for v1's shares, as runtimes convert it.
fn weight(shares: u32) -> u64 {
    1 + (u64::from(shares.clamp(2, 262_144)) - 2) * 9999 / 262_142
}

fn create_v2(point: &Path, group: &str, limits: Limits) -> Result<()> {
    let mut directory = point.to_path_buf();
    enable_controllers(&directory);
    for part in group.split('/') {
        directory.push(part);
        if let Err(e) = fs::create_dir(&directory)
            && e.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(Error::file("create", directory)(e));
        }
        enable_controllers(&directory);
    }
    write(&directory.join(PROCESSES_FILE), limits.processes())?;
    if let Some(units) = limits.cpu_units {
        write(&directory.join("cpu.max"), format!("{} {PERIOD_US}", quota(units)))?;
        write(&directory.join("cpu.weight"), weight(units))?;
    }
    if let Some(mib) = limits.memory_mib {
        write(&directory.join("memory.max"), mib << 20)?;
        let swap = directory.join("memory.swap.max");
        if swap.exists() {
            write(&swap, 0)?;
        }
    }
    Ok(())
}

/// One by one: a controller that is not there must not keep the others away.
fn enable_controllers(directory: &Path) {
    for controller in ["cpu", "memory", "pids", "io", "cpuset", "hugetlb"] {
        let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn write(file: &Path, value: impl ToString) -> Result<()> {
    fs::write(file, value.to_string()).map_err(Error::file("write", file))
}

fn collect_processes(directory: &Path, found: &mut Vec<i32>) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(directory) {
        collect_processes(&child, found);
    }
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The last process of a group may still be on its way out, so a busy group is tried for a moment.
fn remove_directories(directory: &Path) -> Result<()> {
    for child in children(directory) {
        remove_directories(&child)?;
    }
    for _ in 0..100 {
        match fs::remove_dir(directory) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(Duration::from_millis(5)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other.map_err(Error::file("remove", directory)),
        }
    }
    Err(Error::Parameter(format!("cgroup {} stays busy", directory.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const UNIFIED: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn layouts_are_told_apart() {
        let hybrid = Layout::parse(HYBRID).unwrap();
        let path = |p: &str| Some(PathBuf::from(p));
        assert_eq!(hybrid.directory("cpuacct", "a/b"), path("/sys/fs/cgroup/cpu,cpuacct/a/b"));
        assert_eq!(hybrid.directory("unified", "a/b"), path("/sys/fs/cgroup/unified/a/b"));
        assert_eq!(hybrid.directories("a/b").len(), 4);
        assert_eq!(Layout::parse(UNIFIED), Some(Layout::V2("/sys/fs/cgroup".into())));
        assert_eq!(Layout::parse(""), None);
    }

    #[test]
    fn limits_of_the_second_generation_are_written() {
        let base = std::env::temp_dir().join(format!("longshore-cgroup-{}", std::process::id()));
        fs::create_dir_all(base.join("long/task")).unwrap();
        let limits = Limits { cpu_units: Some(256), memory_mib: Some(512) };
        Layout::V2(base.clone()).create("long/task", limits).unwrap();
        let read = |file: &str| fs::read_to_string(base.join("long/task").join(file)).unwrap();
        assert_eq!(read("cpu.max"), "25000 100000");
        assert_eq!(read("cpu.weight"), "10");
        assert_eq!(read("memory.max"), "536870912");
        assert_eq!(read("pids.max"), "1024");
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn processes_are_limited_by_the_vcpus() {
        for (units, expected) in [(None, 1024), (Some(256), 1024), (Some(1024), 1024), (Some(4096), 4096)] {
            assert_eq!(Limits { cpu_units: units, memory_mib: None }.processes(), expected);
        }
    }

    #[test]
    fn only_names_of_tasks_are_taken() {
        for bad in ["", "/", "one", "/abs/path", "a/../b", "a//b", "a/", "../.."] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name("longshore/main/0123").is_ok());
    }

    #[test]
    fn shares_become_weights() {
        for (shares, expected) in [(2, 1), (1024, 39), (262_144, 10_000), (0, 1)] {
            assert_eq!(weight(shares), expected);
        }
    }
}
