//! Sizes: task-level CPU and memory with their units, Fargate's table of pairs, and sums over containers.

use longshore_wire::Fault;

use super::{Draft, name};
use crate::ecs::fault;

/// CPU units of one vCPU, MiB of one GB.
const UNIT: i64 = 1024;

/// Task-level CPU units that EC2 takes.
const CPU_RANGE: std::ops::RangeInclusive<i64> = 128..=196_608;

/// Fargate's pairs: CPU units, least and most memory in MiB, and the step between.
const FARGATE: [(i64, i64, i64, i64); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// Whether Fargate has a machine of this size.
pub fn is_fargate(cpu: i64, memory: i64) -> bool {
    // 1536 MiB is on the quarter vCPU's grid and yet not offered.
    let odd = cpu == 256 && memory == 1536;
    let offers = |(units, least, most, step): &(i64, i64, i64, i64)| {
        *units == cpu && (*least..=*most).contains(&memory) && (memory - least) % step == 0
    };
    !odd && FARGATE.iter().any(offers)
}

/// Whether Fargate has machines of this CPU size.
pub fn is_fargate_cpu(cpu: i64) -> bool {
    FARGATE.iter().any(|(units, ..)| *units == cpu)
}

/// Task-level CPU in units: `1024`, `1 vCPU`, `.5vcpu`.
pub fn cpu(text: &str) -> Result<i64, Fault> {
    let units = amount(text, "vcpu").filter(|units| CPU_RANGE.contains(units));
    units.ok_or_else(|| fault::client("Invalid 'cpu' setting for task."))
}

/// Task-level memory in MiB: `2048`, `2GB`, `0.5 GB`.
pub fn memory(text: &str) -> Result<i64, Fault> {
    let mib = amount(text, "gb").filter(|mib| (1..=i64::from(i32::MAX)).contains(mib));
    mib.ok_or_else(|| fault::client("Invalid 'memory' setting for task."))
}

/// A plain number, or a decimal of `unit` (1024 of what is counted); `None` when it is neither, or not whole.
fn amount(text: &str, unit: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    match text.strip_suffix(unit) {
        None => digits(&text),
        Some(number) => decimal(number.trim_end()),
    }
}

/// 1024 times a decimal of at most ten digits on either side.
fn decimal(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { digits(whole)? };
    let scale = 10_i64.pow(u32::try_from(part.len()).ok().filter(|length| *length <= 10)?);
    let part = if part.is_empty() { 0 } else { digits(part)? };
    let scaled = part * UNIT;
    (scaled % scale == 0).then(|| whole * UNIT + scaled / scale)
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// What containers take must fit into the task, if the task has a size.
pub fn check_sums(draft: &Draft) -> Result<(), Fault> {
    let sum = |of: fn(&longshore_api::ecs::ContainerDefinition) -> Option<i32>| -> i64 {
        draft.containers().iter().filter_map(of).map(i64::from).sum()
    };
    if draft.cpu.is_some_and(|cpu| sum(|container| container.cpu) > cpu) {
        return Err(fault::client(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        ));
    }
    let Some(memory) = draft.memory else {
        return Ok(());
    };
    if let Some(large) = draft.containers().iter().find(|one| one.memory.is_some_and(|own| i64::from(own) > memory)) {
        return Err(fault::client(format!(
            "Invalid setting for container '{}'. The container 'memory' cannot be greater than the value of the task \
             'memory'.",
            name(large)
        )));
    }
    match sum(|container| container.memory_reservation.or(container.memory)) > memory {
        true => Err(fault::client(
            "The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        let cpus = [
            ("256", Some(256)),
            ("1024", Some(1024)),
            ("1 vCPU", Some(1024)),
            ("1vcpu", Some(1024)),
            (".25 vCPU", Some(256)),
            ("0.5 VCPU", Some(512)),
            ("0.125 vcpu", Some(128)),
            ("16 vCPU", Some(16_384)),
            ("", None),
            ("vCPU", None),
            (". vCPU", None),
            ("-1", None),
            ("+256", None),
            ("1e3", None),
            ("NaN", None),
            ("0.3 vCPU", None),
            ("127", None),
            ("196609", None),
            ("99999999999999999999", None),
            ("1 GB", None),
        ];
        for (text, wanted) in cpus {
            assert_eq!(cpu(text).ok(), wanted, "{text}");
        }
        let memories = [
            ("512", Some(512)),
            ("0.5GB", Some(512)),
            ("2GB", Some(2048)),
            ("2 gb", Some(2048)),
            ("120 GB", Some(122_880)),
            ("0", None),
            ("2 MB", None),
            ("2GBGB", None),
            ("", None),
        ];
        for (text, wanted) in memories {
            assert_eq!(memory(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn fargate_offers_its_table_and_nothing_else() {
        let offered = [
            (256, vec![512, 1024, 2048]),
            (512, (1..=4).map(|gb| gb * 1024).collect()),
            (1024, (2..=8).map(|gb| gb * 1024).collect()),
            (2048, (4..=16).map(|gb| gb * 1024).collect()),
            (4096, (8..=30).map(|gb| gb * 1024).collect()),
            (8192, (16..=60).step_by(4).map(|gb| gb * 1024).collect()),
            (16_384, (32..=120).step_by(8).map(|gb| gb * 1024).collect::<Vec<i64>>()),
        ];
        for (cpu, memories) in offered {
            for memory in (0..=131_072).step_by(256) {
                assert_eq!(is_fargate(cpu, memory), memories.contains(&memory), "{cpu} {memory}");
            }
        }
        assert!(!is_fargate(128, 512) && !is_fargate(300, 1024) && !is_fargate(32_768, 65_536));
    }
}
