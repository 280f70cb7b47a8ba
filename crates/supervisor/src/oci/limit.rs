//! Limits of a container: rlimits and cgroup resources.

use serde_json::{Value, json};

use super::device;
use crate::error::{Error, Result};
use crate::spec::{ContainerSpec, Ulimit};

/// Fargate's default for open files, soft and hard.
pub const DEFAULT_NOFILE: u64 = 65_535;
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The `rlimits` list. The default for open files is lower where this process may not give as many.
pub fn rlimits(ulimits: &[Ulimit], most_files: u64) -> Result<Value> {
    let mut list = Vec::new();
    if !ulimits.iter().any(|limit| limit.name == "nofile") {
        let files = DEFAULT_NOFILE.min(most_files);
        list.push(json!({"type": "RLIMIT_NOFILE", "soft": files, "hard": files}));
    }
    for limit in ulimits {
        if !NAMES.contains(&limit.name.as_str()) {
            return Err(Error::Parameter(format!("unknown ulimit {:?}", limit.name)));
        }
        let (soft, hard) = (value(limit.soft), value(limit.hard));
        if soft > hard {
            return Err(Error::Parameter(format!("ulimit {}: the soft limit is above the hard one", limit.name)));
        }
        list.push(json!({"type": format!("RLIMIT_{}", limit.name.to_uppercase()), "soft": soft, "hard": hard}));
    }
    Ok(Value::Array(list))
}

/// The `resources` object: shares, memory and devices. Swap is never given.
pub fn resources(container: &ContainerSpec) -> Result<Value> {
    let mut memory = serde_json::Map::new();
    if let Some(mib) = container.memory_mib {
        memory.insert("limit".into(), json!(mib << 20));
        memory.insert("swap".into(), json!(mib << 20));
    }
    if let Some(mib) = container.memory_reservation_mib {
        memory.insert("reservation".into(), json!(mib << 20));
    }
    let shares = container.cpu_shares.unwrap_or(0).clamp(2, 262_144);
    Ok(json!({"cpu": {"shares": shares}, "memory": memory, "devices": device::rules(container)?}))
}

/// −1 is no limit.
fn value(limit: i64) -> u64 {
    u64::try_from(limit).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_name() {
        let limit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
        assert_eq!(rlimits(&[], 1 << 20).unwrap()[0]["hard"], 65_535);
        assert_eq!(rlimits(&[], 20_000).unwrap()[0]["soft"], 20_000);
        let list = rlimits(&[limit("nofile", 10, 20), limit("memlock", -1, -1)], 1 << 20).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 2);
        assert_eq!(list[1], json!({"type": "RLIMIT_MEMLOCK", "soft": u64::MAX, "hard": u64::MAX}));
        assert!(rlimits(&[limit("nofile", 20, 10)], 1 << 20).is_err());
        assert!(rlimits(&[limit("nofile", -1, 10)], 1 << 20).is_err());
    }
}
