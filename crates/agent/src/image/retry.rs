//! Trying again, as the ECS agent does: five tries, waiting from 1.1 to 5 seconds between them.

use std::time::Duration;

use super::error::Error;

/// How often and how patiently a step is tried.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Most tries.
    pub tries: u32,
    /// The first wait; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, first_wait: Duration::from_millis(1100), longest_wait: Duration::from_secs(5) }
    }
}

impl Retry {
    /// For questions to containerd: about fifteen seconds, which is longer than it takes to start again.
    pub(super) const LOOKUP: Self =
        Self { tries: 32, first_wait: Duration::from_millis(50), longest_wait: Duration::from_millis(500) };

    /// Runs `step` until it succeeds, fails for good, or has been tried often enough.
    pub(super) async fn run<T, F>(&self, step: &'static str, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut wait = self.first_wait;
        let mut tries = 1;
        loop {
            let reason = match attempt().await {
                Ok(value) => return Ok(value),
                Err(reason) => reason,
            };
            if !reason.is_retryable() || tries >= self.tries {
                return Err(Error::Retried { step, tries, reason: Box::new(reason) });
            }
            tracing::warn!(step, tries, %reason, "trying again");
            tokio::time::sleep(wait).await;
            wait = self.longest_wait.min(wait * 2);
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Retry = Retry { tries: 5, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    async fn check(failures: u32, retryable: bool) -> Result<u32, String> {
        let mut tried = 0;
        let attempt = || {
            tried += 1;
            let fails = tried <= failures;
            async move { if fails { Err(Error::Registry { message: "no".to_owned(), retryable }) } else { Ok(tried) } }
        };
        QUICK.run("ref pull", attempt).await.map_err(|error| error.stopped_reason())
    }

    #[tokio::test]
    async fn only_failures_that_may_pass_are_tried_again() {
        let gave_up = |tries| Err(format!("CannotPullContainerError: ref pull has been retried {tries} time(s): no"));
        assert_eq!(check(0, true).await, Ok(1));
        assert_eq!(check(4, true).await, Ok(5));
        assert_eq!(check(5, true).await, gave_up(5));
        assert_eq!(check(1, false).await, gave_up(1));
    }
}
