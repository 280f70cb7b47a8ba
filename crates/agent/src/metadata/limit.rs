//! How often a task may ask.

use std::time::{Duration, Instant};

/// Requests a second, and how many may come at once.
const RATE: f64 = 40.0;
const BURST: f64 = 60.0;

/// A bucket that a request takes a token from, and time fills again.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { tokens: BURST, filled: now }
    }

    /// Whether there was a token to take.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let since: Duration = now.saturating_duration_since(self.filled);
        self.tokens = BURST.min(self.tokens + RATE * since.as_secs_f64());
        self.filled = now;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_at_once_and_forty_a_second() {
        let begin = Instant::now();
        let mut bucket = Bucket::full(begin);
        let granted = |bucket: &mut Bucket, at: Instant| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(granted(&mut bucket, begin), 60);
        assert_eq!(granted(&mut bucket, begin), 0);
        assert_eq!(granted(&mut bucket, begin + Duration::from_secs(1)), 40);
        assert_eq!(granted(&mut bucket, begin + Duration::from_secs(3600)), 60);
    }
}
