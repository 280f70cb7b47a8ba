//! Token buckets: how often something may happen. The clock is the caller's.
//!
//! As AWS describes its own: a bucket begins full, tokens are added once a second, and what does not fit is discarded.

use longshore_wire::Timestamp;

/// How much a bucket holds, and how much is added each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub burst: u32,
    pub refill: u32,
}

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    tokens: u32,
    /// The second that tokens were last added in, since the epoch.
    second: i64,
}

impl Bucket {
    /// A full one.
    pub fn full(limit: Limit, now: Timestamp) -> Self {
        Self { tokens: limit.burst, second: second(now) }
    }

    /// Takes so many tokens, if they are all there. A clock that goes back adds none.
    pub fn take(&mut self, limit: Limit, now: Timestamp, tokens: u32) -> bool {
        self.refill(limit, now);
        let left = self.tokens.checked_sub(tokens);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }

    /// Whether it holds all it can: then it says no more than a new one.
    pub fn is_full(&mut self, limit: Limit, now: Timestamp) -> bool {
        self.refill(limit, now);
        self.tokens >= limit.burst
    }

    fn refill(&mut self, limit: Limit, now: Timestamp) {
        let passed = second(now).saturating_sub(self.second);
        if passed <= 0 {
            return;
        }
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(limit.refill.saturating_mul(passed)).min(limit.burst);
        self.second = second(now);
    }
}

fn second(now: Timestamp) -> i64 {
    now.millis().div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { burst: 3, refill: 2 };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// At each time, how many of five tries succeed.
    fn check(times: &[i64], wanted: &[usize]) {
        let mut bucket = Bucket::full(LIMIT, at(times[0]));
        let taken = times.iter().map(|time| (0..5).filter(|_| bucket.take(LIMIT, at(*time), 1)).count());
        assert_eq!(taken.collect::<Vec<_>>(), wanted, "{times:?}");
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_refill_each_second() {
        check(&[0, 999, 1000, 1999, 2000], &[3, 0, 2, 0, 2]);
        check(&[0, 60_000], &[3, 3]);
        check(&[500, 1000], &[3, 2]);
        check(&[5000, 0, 5999, 6000], &[3, 0, 0, 2]);
        check(&[0, i64::MAX], &[3, 3]);
    }

    #[test]
    fn what_is_not_all_there_takes_nothing() {
        let mut bucket = Bucket::full(LIMIT, at(0));
        assert!(!bucket.take(LIMIT, at(0), 4));
        assert!(bucket.take(LIMIT, at(0), 3));
        assert!(!bucket.is_full(LIMIT, at(1000)));
        assert!(bucket.is_full(LIMIT, at(2000)));
    }
}
