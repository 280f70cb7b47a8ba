//! How long to wait before trying again: a span that grows by a factor up to a bound, with some chance in it, so that
//! many nodes that lost one control plane do not come back all at once.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    factor: f64,
    bound: Duration,
    /// Largest deviation, as a share of the span.
    jitter: f64,
    next: Duration,
}

impl Backoff {
    /// Of reports: 1 s, ×1.3, up to 30 s.
    pub(crate) fn of_reports() -> Self {
        Self::new(Duration::from_secs(1), 1.3, Duration::from_secs(30), 0.0)
    }

    /// Of sessions: 250 ms, ×1.5, up to two minutes. A control plane on this machine is looked for more eagerly: nobody
    /// else is waiting for it.
    pub(crate) fn of_sessions(local: bool) -> Self {
        match local {
            true => Self::new(Duration::from_millis(50), 1.5, Duration::from_secs(2), 0.2),
            false => Self::new(Duration::from_millis(250), 1.5, Duration::from_secs(120), 0.2),
        }
    }

    fn new(first: Duration, factor: f64, bound: Duration, jitter: f64) -> Self {
        Self { first, factor, bound, jitter, next: first }
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The span to wait now; the one after will be longer.
    pub(crate) fn step(&mut self) -> Duration {
        let span = self.next;
        self.next = self.bound.min(span.mul_f64(self.factor));
        span.mul_f64(1.0 + self.jitter * (2.0 * chance() - 1.0))
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }
}

/// A number from 0 to 1. Its only use is to spread out waiting times.
pub(crate) fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_grow_to_the_bound_and_start_over() {
        let mut backoff = Backoff::of_reports();
        let spans: Vec<f64> = (0..20).map(|_| backoff.step().as_secs_f64()).collect();
        assert_eq!(spans[0], 1.0);
        assert!((spans[1] - 1.3).abs() < 1e-6 && spans[19] == 30.0, "{spans:?}");
        backoff.reset();
        assert_eq!(backoff.step(), Duration::from_secs(1));
    }

    #[test]
    fn spans_of_sessions_stay_within_a_fifth() {
        for _ in 0..200 {
            let span = Backoff::of_sessions(false).step().as_secs_f64();
            assert!((0.2..=0.3).contains(&span), "{span}");
        }
    }
}
