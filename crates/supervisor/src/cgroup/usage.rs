//! Use of resources read from a container's cgroup, in the form of [`crate::stats`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Layout;
use crate::stats::{BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, ThrottlingData};

/// Processor time of a group and of the host.
pub fn cpu(layout: &Layout, group: &str) -> CpuStats {
    let online = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let (cpu_usage, throttling_data) = match layout {
        Layout::V1(_) => (cpu_usage_v1(layout, group), throttling(layout, group, "throttled_time", 1)),
        Layout::V2(_) => (cpu_usage_v2(layout, group), throttling(layout, group, "throttled_usec", 1000)),
    };
    CpuStats { cpu_usage, system_cpu_usage: host_cpu_nanoseconds(), online_cpus: online, throttling_data }
}

/// Memory of a group; the limit is the smallest of its own, its task's and the host's.
pub fn memory(layout: &Layout, task: &str, group: &str) -> MemoryStats {
    let (usage, peak, limit) = match layout {
        Layout::V1(_) => ("memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes"),
        Layout::V2(_) => ("memory.current", "memory.peak", "memory.max"),
    };
    let limits = [number(layout, "memory", group, limit), number(layout, "memory", task, limit), host_memory()];
    MemoryStats {
        usage: number(layout, "memory", group, usage).unwrap_or(0),
        max_usage: number(layout, "memory", group, peak).unwrap_or(0),
        limit: limits.into_iter().flatten().min().unwrap_or(0),
        stats: table(&text(layout, "memory", group, "memory.stat")),
    }
}

/// Processes and threads of a group.
pub fn pids(layout: &Layout, group: &str) -> PidsStats {
    PidsStats { current: number(layout, "pids", group, "pids.current").unwrap_or(0) }
}

/// Bytes and operations by device.
pub fn block_io(layout: &Layout, group: &str) -> BlkioStats {
    match layout {
        Layout::V1(_) => BlkioStats {
            io_service_bytes_recursive: io_v1(&text(
                layout,
                "blkio",
                group,
                "blkio.throttle.io_service_bytes_recursive",
            )),
            io_serviced_recursive: io_v1(&text(layout, "blkio", group, "blkio.throttle.io_serviced_recursive")),
        },
        Layout::V2(_) => {
            let stat = text(layout, "io", group, "io.stat");
            BlkioStats {
                io_service_bytes_recursive: io_v2(&stat, "rbytes", "wbytes"),
                io_serviced_recursive: io_v2(&stat, "rios", "wios"),
            }
        }
    }
}

/// Counters of the interfaces in the network namespace of a process, loopback left out.
pub fn networks(pid: u32) -> BTreeMap<String, NetworkStats> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("net/dev")).unwrap_or_default();
    text.lines().filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

fn cpu_usage_v1(layout: &Layout, group: &str) -> CpuUsage {
    let read = |file| number(layout, "cpuacct", group, file).unwrap_or(0);
    let each = text(layout, "cpuacct", group, "cpuacct.usage_percpu");
    CpuUsage {
        total_usage: read("cpuacct.usage"),
        percpu_usage: each.split_whitespace().filter_map(|n| n.parse().ok()).collect(),
        usage_in_kernelmode: read("cpuacct.usage_sys"),
        usage_in_usermode: read("cpuacct.usage_user"),
    }
}

fn cpu_usage_v2(layout: &Layout, group: &str) -> CpuUsage {
    let stat = table(&text(layout, "cpu", group, "cpu.stat"));
    let read = |name| stat.get(name).copied().unwrap_or(0) * 1000;
    CpuUsage {
        total_usage: read("usage_usec"),
        percpu_usage: Vec::new(),
        usage_in_kernelmode: read("system_usec"),
        usage_in_usermode: read("user_usec"),
    }
}

fn throttling(layout: &Layout, group: &str, time: &str, nanoseconds: u64) -> ThrottlingData {
    let stat = table(&text(layout, "cpu", group, "cpu.stat"));
    let read = |name: &str| stat.get(name).copied().unwrap_or(0);
    ThrottlingData {
        periods: read("nr_periods"),
        throttled_periods: read("nr_throttled"),
        throttled_time: read(time) * nanoseconds,
    }
}

/// Sum of the first line of `/proc/stat` without guest time, in nanoseconds (a tick is 10 ms on every Linux ABI).
fn host_cpu_nanoseconds() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    first.split_whitespace().skip(1).take(8).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>() * 10_000_000
}

fn host_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = info.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn text(layout: &Layout, controller: &str, group: &str, file: &str) -> String {
    let directory = layout.directory(controller, group);
    directory.and_then(|d| fs::read_to_string(d.join(file)).ok()).unwrap_or_default()
}

/// `None` also for `max`.
fn number(layout: &Layout, controller: &str, group: &str, file: &str) -> Option<u64> {
    text(layout, controller, group, file).trim().parse().ok()
}

fn table(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_string(), value.trim().parse().ok()?))).collect()
}

/// Lines like `254:0 Read 4096`.
fn io_v1(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let mut parts = line.split_whitespace();
        let (major, minor) = device(parts.next()?)?;
        let op = parts.next().filter(|op| matches!(*op, "Read" | "Write"))?.to_string();
        Some(BlkioEntry { major, minor, op, value: parts.next()?.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines like `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`.
fn io_v2(text: &str, read: &str, write: &str) -> Vec<BlkioEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut parts = line.split_whitespace();
        let Some((major, minor)) = parts.next().and_then(device) else {
            continue;
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let op = if name == read { "Read" } else { "Write" };
            if let (true, Ok(value)) = (name == read || name == write, value.parse()) {
                entries.push(BlkioEntry { major, minor, op: op.into(), value });
            }
        }
    }
    entries
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn interface(line: &str) -> Option<(String, NetworkStats)> {
    let (name, counters) = line.split_once(':')?;
    let n: Vec<u64> = counters.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let at = |i: usize| n.get(i).copied();
    let stats = NetworkStats {
        rx_bytes: at(0)?,
        rx_packets: at(1)?,
        rx_errors: at(2)?,
        rx_dropped: at(3)?,
        tx_bytes: at(8)?,
        tx_packets: at(9)?,
        tx_errors: at(10)?,
        tx_dropped: at(11)?,
    };
    Some((name.trim().to_string(), stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let first = io_v1("254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 1\nTotal 12288\n");
        let second = io_v2("254:0 rbytes=4096 wbytes=8192 rios=1 wios=2\n", "rbytes", "wbytes");
        assert_eq!(first, second);
        assert_eq!(first[1], BlkioEntry { major: 254, minor: 0, op: "Write".into(), value: 8192 });
        let (name, stats) = interface("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
        assert_eq!((name.as_str(), stats.rx_bytes, stats.tx_bytes, stats.tx_dropped), ("eth0", 1, 9, 12));
        assert!(interface("Inter-|   Receive").is_none());
        assert_eq!(table("a 1\nb x\nc 3\n").len(), 2);
    }

    #[test]
    fn the_host_is_known() {
        assert!(host_cpu_nanoseconds() > 0);
        assert!(host_memory().unwrap() > 1 << 20);
    }
}
