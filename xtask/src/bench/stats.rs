//! Order statistics, and what the kernel says of a process.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Measured values of one figure, sorted.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl From<Vec<f64>> for Samples {
    fn from(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl From<f64> for Samples {
    fn from(value: f64) -> Self {
        Self(vec![value])
    }
}

impl Samples {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which `percent` of the samples lie (nearest rank); zero if there are none.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub fn low(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    pub fn high(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }
}

/// Something that is measured: one run of it gives one number.
pub type Side<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Run every side once a round, in turn and each round beginning with another: what disturbs the machine disturbs all of
/// them alike. One list of numbers a side, in the order of the rounds.
pub fn interleaved(rounds: usize, sides: &mut [Side<'_>]) -> Result<Vec<Vec<f64>>> {
    let mut found = vec![Vec::with_capacity(rounds); sides.len()];
    for round in 0..rounds {
        for step in 0..sides.len() {
            let side = (round + step) % sides.len();
            found[side].push(sides[side]()?);
        }
    }
    Ok(found)
}

/// The ratios of the pairs that were measured in the same rounds.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Samples {
    ours.iter().zip(theirs).map(|(our, their)| our / their).collect::<Vec<_>>().into()
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Resident memory of a process in MB, shared pages counted in full.
pub fn resident_mb(pid: u32) -> Result<f64> {
    status_kb(pid, "VmRSS:").map(|kb| kb / 1e3)
}

/// The most resident memory that a process has ever had, in MB.
pub fn peak_mb(pid: u32) -> Result<f64> {
    status_kb(pid, "VmHWM:").map(|kb| kb / 1e3)
}

fn status_kb(pid: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field)).context("the field")?;
    line.split_whitespace().nth(1).context("a number")?.parse().context("a number")
}

/// Processor time that a process has used.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("fields")?.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Process ids whose command line has `word` as its second word.
pub fn processes_with(word: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(word.as_bytes())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples = Samples::from((1..=100).rev().map(f64::from).collect::<Vec<_>>());
        assert_eq!((samples.median(), samples.percentile(99)), (50.0, 99.0));
        assert_eq!((samples.low(), samples.high()), (1.0, 100.0));
        assert_eq!(Samples::default().median(), 0.0);
    }

    #[test]
    fn sides_take_turns_at_being_first() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char, value: f64| -> Side<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(value)
            })
        };
        let found = interleaved(3, &mut [side('a', 2.0), side('b', 4.0)]).unwrap();
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!(ratios(&found[0], &found[1]).median(), 0.5);
    }
}
