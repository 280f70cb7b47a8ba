//! What an edge counts: one minute of it, by the names that CloudWatch has for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Series of one minute; what is beyond is left out.
pub const MAX_SERIES: usize = 10_000;

/// What was counted in one minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Milliseconds since 1970 that the minute began at.
    pub at: i64,
    /// At most [`MAX_SERIES`].
    pub series: Vec<Series>,
}

/// What was counted of a load balancer, or of one of its target groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Series {
    /// ARN.
    pub balancer: String,
    /// ARN; `None` is all of the balancer.
    pub target_group: Option<String>,
    /// By CloudWatch's name: `RequestCount`, `NewFlowCount_UDP`, …. Sums of the minute; of `Active…` and `…HostCount` what
    /// it was at the end. What is zero is left out, except hosts.
    pub values: BTreeMap<String, u64>,
    /// `TargetResponseTime`.
    pub response_times: Option<ResponseTimes>,
}

/// How long answers took, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseTimes {
    pub count: u64,
    pub sum_micros: u64,
    pub min_micros: u64,
    pub max_micros: u64,
    /// The longest time of a range, and how many answers were within it: ascending, ranges without answers left out. A range
    /// is at most a sixteenth of its time wide.
    pub ranges: Vec<(u64, u64)>,
}

impl ResponseTimes {
    /// The time that so much of the answers (0–1) took at most, as exactly as ranges tell; zero if there is none.
    pub fn percentile(&self, part: f64) -> u64 {
        let rank = (part.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0);
        let mut below = 0_u64;
        let found = self.ranges.iter().find(|(_, count)| {
            below = below.saturating_add(*count);
            below as f64 >= rank
        });
        found.map_or(self.max_micros, |(most, _)| (*most).clamp(self.min_micros, self.max_micros.max(self.min_micros)))
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min_micros = if self.count == 0 { other.min_micros } else { self.min_micros.min(other.min_micros) };
        self.max_micros = self.max_micros.max(other.max_micros);
        self.count = self.count.saturating_add(other.count);
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
        let mut ranges: BTreeMap<u64, u64> = self.ranges.iter().copied().collect();
        for (most, count) in &other.ranges {
            let sum = ranges.entry(*most).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.ranges = ranges.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ranges: &[(u64, u64)]) -> ResponseTimes {
        let count = ranges.iter().map(|(_, count)| count).sum();
        let (min_micros, max_micros) = (1, ranges.last().map_or(0, |(most, _)| *most));
        ResponseTimes { count, sum_micros: 0, min_micros, max_micros, ranges: ranges.to_vec() }
    }

    #[test]
    fn a_percentile_is_the_range_that_its_rank_is_in() {
        let all = times(&[(10, 50), (20, 40), (90, 9), (500, 1)]);
        let cases = [(0.0, 10), (0.5, 10), (0.51, 20), (0.9, 20), (0.95, 90), (0.99, 90), (0.999, 500), (1.0, 500)];
        for (part, expected) in cases {
            assert_eq!(all.percentile(part), expected, "{part}");
        }
        assert_eq!(ResponseTimes::default().percentile(0.5), 0);
    }

    #[test]
    fn times_of_several_groups_are_those_of_their_balancer() {
        let mut all = ResponseTimes::default();
        all.add(&times(&[(10, 2)]));
        all.add(&ResponseTimes::default());
        all.add(&times(&[(5, 1), (10, 1), (30, 1)]));
        assert_eq!((all.count, all.min_micros, all.max_micros), (5, 1, 30));
        assert_eq!(all.ranges, [(5, 1), (10, 3), (30, 1)]);
    }
}
