//! `cargo xtask bench --breakdown`: where each millisecond of a launch goes, from the histograms of `/metrics`.
//!
//! The launches are made one at a time, so the means of the phases add up to the mean of a launch, but for what lies
//! between them: the way there and back over loopback, and how long the bench takes to see RUNNING. Snapshot and network run beside
//! each other; the longer counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::launch::{Bundle, Launches, running};
use super::stats::{Samples, Side, interleaved, millis};

const ROUNDS: usize = 100;

/// The phases in order of time, and what is in them.
const PHASES: [(&str, &str); 10] = [
    ("api", "the request is routed, read and answered"),
    ("plan", "checked, placed, recorded in memory"),
    ("commit", "durable"),
    ("order", "made into an order and sent"),
    ("take", "the node writes the order down"),
    ("snapshot", "images resolved, snapshots found (beside the network)"),
    ("network", "namespace and interface"),
    ("supervisor", "started, until its first word"),
    ("runtime", "root file systems mounted, the OCI runtime has started the containers"),
    ("report", "RUNNING is durable"),
];

/// Sum in milliseconds and count, by phase.
type Sums = BTreeMap<String, (f64, f64)>;

/// The table, as Markdown.
pub fn run() -> Result<String> {
    let launches = Launches::new("breakdown")?;
    let mut client = launches.instance.client()?;
    let before = sums(&client.page("/metrics")?);
    let bundle = Bundle::new()?;
    let mut sides: Vec<Side<'_>> =
        vec![Box::new(|| running(&mut client, &launches.sleeper).map(millis)), Box::new(|| bundle.run().map(millis))];
    let found = interleaved(ROUNDS, &mut sides)?;
    drop(sides);
    let after = sums(&launches.instance.client()?.page("/metrics")?);
    table(&found, &before, &after)
}

fn table(found: &[Vec<f64>], before: &Sums, after: &Sums) -> Result<String> {
    let whole = mean(&found[0]);
    let bare = mean(&found[1]);
    let mut text = format!("| phase | mean of {ROUNDS} | what |\n|---|---|---|\n");
    let mut means = BTreeMap::new();
    for (phase, what) in PHASES {
        let (old, new) = (before.get(phase).copied().unwrap_or_default(), after.get(phase).context(phase)?);
        let mean = (new.0 - old.0) / (new.1 - old.1).max(1.0);
        means.insert(phase, mean);
        let _ = writeln!(text, "| {phase} | {mean:.2} ms | {what} |");
    }
    let hidden = means["snapshot"].min(means["network"]);
    let rest = whole - (means.values().sum::<f64>() - hidden);
    let _ = writeln!(text, "| between | {rest:.2} ms | loopback, waking up, until the bench saw it |");
    let _ =
        writeln!(text, "| **whole** | **{whole:.2} ms** | p50 {:.2} ms |", Samples::from(found[0].clone()).median());
    let ratio = means["runtime"] / bare;
    let _ = writeln!(text, "\nThe runtime's part is {ratio:.2} × `crun run --detach` ({bare:.2} ms); wanted ≤ 1.5 ×.");
    Ok(text)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Reads `longshore_launch_seconds_sum{phase="NAME"} SECONDS` and its count.
fn sums(metrics: &str) -> Sums {
    let mut sums = Sums::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("longshore_launch_seconds_") else { continue };
        let Some((kind @ ("sum" | "count"), rest)) = rest.split_once("{phase=\"") else { continue };
        let Some((phase, value)) = rest.split_once("\"} ") else { continue };
        let value: f64 = value.parse().unwrap_or_default();
        let entry = sums.entry(phase.to_owned()).or_default();
        match kind {
            "sum" => entry.0 = value * 1e3,
            _ => entry.1 = value,
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_counts_are_read_by_phase() {
        let text = "longshore_launch_seconds_bucket{phase=\"api\",le=\"0.1\"} 2\n\
                    longshore_launch_seconds_sum{phase=\"api\"} 0.25\nlongshore_launch_seconds_count{phase=\"api\"} 2\n";
        assert_eq!(sums(text), Sums::from([("api".to_owned(), (250.0, 2.0))]));
    }
}
