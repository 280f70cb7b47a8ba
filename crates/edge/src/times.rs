//! How long answers took, counted in ranges that grow with the time: each is at most a sixteenth of it wide.

use std::sync::atomic::{AtomicU64, Ordering};

use longshore_link::edge::ResponseTimes;

/// Ranges of a doubling.
const STEPS: u64 = 16;

/// Doublings of [`STEPS`] microseconds up to 2^32: more than an hour.
const DOUBLINGS: u64 = 28;

const RANGES: usize = (STEPS * (DOUBLINGS + 1)) as usize;

/// Longer times count as this.
const LONGEST: u64 = (1 << 32) - 1;

#[derive(Debug)]
pub struct Times {
    ranges: Box<[AtomicU64]>,
    sum: AtomicU64,
    least: AtomicU64,
    most: AtomicU64,
}

impl Default for Times {
    fn default() -> Self {
        let ranges = (0..RANGES).map(|_| AtomicU64::new(0)).collect();
        Self { ranges, sum: AtomicU64::new(0), least: AtomicU64::new(u64::MAX), most: AtomicU64::new(0) }
    }
}

impl Times {
    pub fn add(&self, micros: u64) {
        let micros = micros.min(LONGEST);
        if let Some(range) = self.ranges.get(range(micros)) {
            range.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(micros, Ordering::Relaxed);
        self.least.fetch_min(micros, Ordering::Relaxed);
        self.most.fetch_max(micros, Ordering::Relaxed);
    }

    /// What was added since it was last taken; `None` if nothing was.
    pub fn take(&self) -> Option<ResponseTimes> {
        let taken =
            self.ranges.iter().enumerate().map(|(place, range)| (longest(place), range.swap(0, Ordering::Relaxed)));
        let ranges: Vec<(u64, u64)> = taken.filter(|(_, count)| *count > 0).collect();
        let count = ranges.iter().map(|(_, count)| *count).sum();
        let (least, most) = (self.least.swap(u64::MAX, Ordering::Relaxed), self.most.swap(0, Ordering::Relaxed));
        let sum_micros = self.sum.swap(0, Ordering::Relaxed);
        // One that is being added may have its range counted and its extremes not yet.
        let (min_micros, max_micros) = (least.min(most), most);
        (count > 0).then_some(ResponseTimes { count, sum_micros, min_micros, max_micros, ranges })
    }
}

/// The place of the range that a time is in.
fn range(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2() - STEPS.ilog2());
    let step = (micros >> doubling) - STEPS;
    (STEPS * (doubling + 1) + step) as usize
}

/// The longest time of a range.
fn longest(place: usize) -> u64 {
    let place = place as u64;
    if place < STEPS {
        return place;
    }
    let doubling = place / STEPS - 1;
    ((STEPS + place % STEPS + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_each_other_and_are_narrow() {
        for micros in (0..5_000).chain([1 << 20, (1 << 31) + 12_345, LONGEST]) {
            let place = range(micros);
            let most = longest(place);
            assert!(place < RANGES && micros <= most, "{micros}");
            assert!(place == 0 || micros > longest(place - 1), "{micros}");
            assert!(most - micros <= micros / STEPS, "{micros}");
        }
    }

    #[test]
    fn what_is_taken_is_what_was_added_since() {
        let times = Times::default();
        assert_eq!(times.take(), None);
        [3, 3, 100, u64::MAX].into_iter().for_each(|micros| times.add(micros));
        let taken = times.take().expect("times");
        assert_eq!((taken.count, taken.min_micros, taken.max_micros), (4, 3, LONGEST));
        assert_eq!(taken.ranges, [(3, 2), (103, 1), (LONGEST, 1)]);
        assert_eq!((taken.sum_micros, times.take()), (106 + LONGEST, None));
    }
}
