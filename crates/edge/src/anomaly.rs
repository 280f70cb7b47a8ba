//! Targets that fail while the others of their group do not, and the share that they are left. Pure.
//!
//! With `load_balancing.algorithm.anomaly_mitigation` a group is judged once a [`WINDOW`]: a target whose answers are errors of
//! servers much more often than those of the others gets half of its share, down to a [`LEAST`] of it, by which it can show
//! that it has recovered; any other one gets twice its share, up to the whole. AWS tells of what is counted (5XX and errors of
//! connections), that it takes three targets, and that shares fall and rise by degrees; the numbers are ours.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Between two judgements.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Targets that it takes to say that one of them is unlike the others.
const TARGETS: usize = 3;

/// Answers of a target that it takes to judge it.
const ANSWERS: u32 = 10;

/// The whole share, and the least that a target is left.
const WHOLE: u32 = 1024;
const LEAST: u32 = WHOLE / 16;

/// Answers of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answers: u32,
    pub failures: u32,
}

/// What a target has answered since the last judgement, and the share that it was left.
#[derive(Debug)]
pub struct Record {
    answers: AtomicU32,
    failures: AtomicU32,
    share: AtomicU32,
}

impl Record {
    pub fn new() -> Self {
        Self { answers: AtomicU32::new(0), failures: AtomicU32::new(0), share: AtomicU32::new(WHOLE) }
    }

    /// One answer more, which is an error of a server, or one for want of an answer.
    pub fn note(&self, is_failure: bool) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u32::from(is_failure), Ordering::Relaxed);
    }

    /// What has been counted; it begins anew.
    pub fn take(&self) -> Tally {
        let failures = self.failures.swap(0, Ordering::Relaxed);
        Tally { answers: self.answers.swap(0, Ordering::Relaxed).max(failures), failures }
    }

    pub fn judge(&self, is_anomalous: bool) {
        let share = self.share.load(Ordering::Relaxed);
        let next = if is_anomalous { (share / 2).max(LEAST) } else { share.saturating_mul(2).min(WHOLE) };
        self.share.store(next, Ordering::Relaxed);
    }

    /// Whether the target gets the request that would be its turn.
    pub fn has_share(&self, chance: u64) -> bool {
        chance % u64::from(WHOLE) < u64::from(self.share.load(Ordering::Relaxed))
    }
}

/// Which targets fail much more often than all others of theirs together: three times as often, and one time in ten more.
pub fn find(tallies: &[Tally]) -> Vec<bool> {
    let sum = |count: fn(&Tally) -> u32| tallies.iter().map(|tally| u64::from(count(tally))).sum::<u64>();
    let (answers, failures) = (sum(|tally| tally.answers), sum(|tally| tally.failures));
    let is_anomalous = |tally: &Tally| {
        let (own, failed) = (u64::from(tally.answers), u64::from(tally.failures));
        let (others, others_failed) = (answers - own, failures - failed);
        if tallies.len() < TARGETS || tally.answers < ANSWERS || others == 0 {
            return false;
        }
        // In thousandths.
        let (rate, usual) = (failed * 1000 / own, others_failed * 1000 / others);
        rate >= 3 * usual && rate >= usual + 100
    };
    tallies.iter().map(is_anomalous).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_anomalous_beside_others_that_are_not() {
        type Case<'c> = (&'c [(u32, u32)], &'c [bool]);
        let cases: [Case<'_>; 8] = [
            (&[(100, 50), (100, 0), (100, 1)], &[true, false, false]),
            (&[(100, 9), (100, 0), (100, 0)], &[false; 3]),
            (&[(100, 10), (100, 0), (100, 0)], &[true, false, false]),
            (&[(100, 60), (100, 30), (100, 30)], &[false; 3]),
            (&[(100, 100), (100, 100), (100, 100)], &[false; 3]),
            (&[(9, 9), (100, 0), (100, 0)], &[false; 3]),
            (&[(100, 50), (100, 0)], &[false; 2]),
            (&[(100, 50), (0, 0), (0, 0)], &[false; 3]),
        ];
        for (counts, expected) in cases {
            let tallies: Vec<Tally> = counts.iter().map(|&(answers, failures)| Tally { answers, failures }).collect();
            assert_eq!(find(&tallies), expected, "{counts:?}");
        }
    }

    #[test]
    fn shares_fall_and_rise_by_halves() {
        let record = Record::new();
        let share = || (0..u64::from(WHOLE)).filter(|chance| record.has_share(*chance)).count();
        let judged = |is_anomalous| {
            record.judge(is_anomalous);
            share()
        };
        assert_eq!(share(), 1024);
        assert_eq!([true; 6].map(judged), [512, 256, 128, 64, 64, 64]);
        assert_eq!([false; 5].map(judged), [128, 256, 512, 1024, 1024]);
    }

    #[test]
    fn what_is_counted_is_counted_once() {
        let record = Record::new();
        for is_failure in [true, false, false] {
            record.note(is_failure);
        }
        assert_eq!(record.take(), Tally { answers: 3, failures: 1 });
        assert_eq!(record.take(), Tally::default());
    }
}
