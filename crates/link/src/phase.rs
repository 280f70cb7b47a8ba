//! Where the time of a launch goes, phase by phase: histograms that `/metrics` shows.
//!
//! Control plane and node of one process share them (`longshore up`); of two processes each has its own, and only the
//! control plane's are shown. Durations come in as arguments: there is no clock here.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A part of the way from RunTask to RUNNING, in order of time. [`Snapshot`](Self::Snapshot) and
/// [`Network`](Self::Network) run beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A RunTask request is routed, read and answered.
    Api,
    /// It is checked, and its tasks are placed and recorded in memory.
    Plan,
    /// What was decided becomes durable.
    Commit,
    /// A durable change becomes an order and is sent to the node.
    Order,
    /// The node writes the order down.
    Take,
    /// The images are resolved and their snapshots found; pulled where they are not present.
    Snapshot,
    /// The task gets its network namespace and interface.
    Network,
    /// The supervisor is started, until its first word.
    Supervisor,
    /// Root file systems are mounted and the OCI runtime starts the containers, until all essential ones have started.
    Runtime,
    /// RUNNING is reported, until the control plane has it durable.
    Report,
}

impl Phase {
    pub const ALL: [Phase; 10] = [
        Phase::Api,
        Phase::Plan,
        Phase::Commit,
        Phase::Order,
        Phase::Take,
        Phase::Snapshot,
        Phase::Network,
        Phase::Supervisor,
        Phase::Runtime,
        Phase::Report,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Plan => "plan",
            Self::Commit => "commit",
            Self::Order => "order",
            Self::Take => "take",
            Self::Snapshot => "snapshot",
            Self::Network => "network",
            Self::Supervisor => "supervisor",
            Self::Runtime => "runtime",
            Self::Report => "report",
        }
    }
}

/// Upper bounds of the buckets, in microseconds.
const BOUNDS: [u64; 12] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000, 10_000_000];

#[derive(Debug, Default)]
struct Histogram {
    /// Durations up to each bound; the last also holds those beyond it.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// The phases of all launches of a process.
#[derive(Debug, Default)]
pub struct Launches {
    phases: [Histogram; Phase::ALL.len()],
}

/// Those of this process.
pub static LAUNCHES: std::sync::LazyLock<Launches> = std::sync::LazyLock::new(Launches::default);

impl Launches {
    pub fn note(&self, phase: Phase, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let histogram = &self.phases[phase as usize];
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        histogram.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        histogram.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Prometheus' text form: `longshore_launch_seconds`, a histogram by `phase`.
    pub fn text(&self) -> String {
        let mut text = String::from("# TYPE longshore_launch_seconds histogram\n");
        for (phase, histogram) in Phase::ALL.iter().zip(&self.phases) {
            let name = phase.name();
            let mut count = 0;
            for (place, bucket) in histogram.buckets.iter().enumerate() {
                count += bucket.load(Ordering::Relaxed);
                let bound = BOUNDS.get(place).map_or("+Inf".to_owned(), |bound| (*bound as f64 / 1e6).to_string());
                let _ = writeln!(text, "longshore_launch_seconds_bucket{{phase=\"{name}\",le=\"{bound}\"}} {count}");
            }
            let seconds = histogram.micros.load(Ordering::Relaxed) as f64 / 1e6;
            let _ = writeln!(text, "longshore_launch_seconds_sum{{phase=\"{name}\"}} {seconds}");
            let _ = writeln!(text, "longshore_launch_seconds_count{{phase=\"{name}\"}} {count}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_their_phase_and_bucket() {
        let launches = Launches::default();
        launches.note(Phase::Network, Duration::from_micros(700));
        launches.note(Phase::Network, Duration::from_micros(100));
        launches.note(Phase::Network, Duration::from_secs(3600));
        let text = launches.text();
        for line in [
            "longshore_launch_seconds_bucket{phase=\"network\",le=\"0.0001\"} 1",
            "longshore_launch_seconds_bucket{phase=\"network\",le=\"0.001\"} 2",
            "longshore_launch_seconds_bucket{phase=\"network\",le=\"10\"} 2",
            "longshore_launch_seconds_bucket{phase=\"network\",le=\"+Inf\"} 3",
            "longshore_launch_seconds_sum{phase=\"network\"} 3600.0008",
            "longshore_launch_seconds_count{phase=\"network\"} 3",
            "longshore_launch_seconds_count{phase=\"api\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        let places: Vec<usize> = Phase::ALL.iter().map(|phase| *phase as usize).collect();
        assert_eq!(places, (0..Phase::ALL.len()).collect::<Vec<_>>());
    }
}
