//! The health of one target, from the outcomes of its checks. Pure.
//!
//! ```text
//!   initial ── one success ──────────────────► healthy
//!   initial ── unhealthy_threshold failures ─► unhealthy
//!   healthy ── unhealthy_threshold failures ─► unhealthy ── healthy_threshold successes ─► healthy
//! ```
//! Successes and failures count only in a row. A target that is new needs one success, one that has failed all of them.

use longshore_link::edge::{HealthCheck, Reason, TargetState};

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// A status code that is none of the matcher's.
    Mismatch(u16),
    /// No connection or no answer in time.
    Timeout,
    /// The connection was refused or broke, or the answer does not read.
    Failed,
}

/// What is known of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkup {
    pub state: TargetState,
    pub reason: Option<Reason>,
    pub description: Option<String>,
    successes: u32,
    failures: u32,
}

impl Checkup {
    /// A target that has just been registered.
    pub fn new() -> Self {
        Self {
            state: TargetState::Initial,
            reason: Some(Reason::RegistrationInProgress),
            description: Some("Target registration is in progress".to_owned()),
            successes: 0,
            failures: 0,
        }
    }

    /// The checks begin.
    pub fn begin(&mut self) {
        if self.state == TargetState::Initial {
            self.reason = Some(Reason::InitialHealthChecking);
            self.description = Some("Initial health checks in progress".to_owned());
        }
    }

    /// Takes the outcome of a check; says whether what is known has changed.
    pub fn take(&mut self, outcome: &Outcome, check: &HealthCheck) -> bool {
        let before = (self.state, self.reason, self.description.clone());
        match outcome {
            Outcome::Success => self.succeed(check),
            _ => self.fail(outcome, check),
        }
        before != (self.state, self.reason, self.description.clone())
    }

    fn succeed(&mut self, check: &HealthCheck) {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        let needed = if self.state == TargetState::Initial { 1 } else { check.healthy_threshold };
        if self.state == TargetState::Healthy || self.successes >= needed {
            (self.state, self.reason, self.description) = (TargetState::Healthy, None, None);
        }
    }

    fn fail(&mut self, outcome: &Outcome, check: &HealthCheck) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        if self.state != TargetState::Unhealthy && self.failures < check.unhealthy_threshold {
            return;
        }
        self.state = TargetState::Unhealthy;
        (self.reason, self.description) = match outcome {
            Outcome::Mismatch(code) => mismatch(*code),
            Outcome::Timeout => (Some(Reason::Timeout), Some("Request timed out".to_owned())),
            _ => (Some(Reason::FailedHealthChecks), Some("Health checks failed".to_owned())),
        };
    }
}

impl Default for Checkup {
    fn default() -> Self {
        Self::new()
    }
}

fn mismatch(code: u16) -> (Option<Reason>, Option<String>) {
    (Some(Reason::ResponseCodeMismatch), Some(format!("Health checks failed with these codes: [{code}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states that a row of outcomes leads through: `+` is a success, `-` a failure, `t` a timeout, `m` a mismatch.
    fn states(outcomes: &str, healthy_threshold: u32, unhealthy_threshold: u32) -> Vec<TargetState> {
        let check = HealthCheck { healthy_threshold, unhealthy_threshold, ..HealthCheck::default() };
        let mut checkup = Checkup::new();
        let read = |letter| match letter {
            '+' => Outcome::Success,
            't' => Outcome::Timeout,
            'm' => Outcome::Mismatch(500),
            _ => Outcome::Failed,
        };
        let mut step = |letter| {
            checkup.take(&read(letter), &check);
            checkup.state
        };
        outcomes.chars().map(&mut step).collect()
    }

    #[test]
    fn thresholds_count_in_a_row() {
        use TargetState::{Healthy as H, Initial as I, Unhealthy as U};
        let cases: &[(&str, &[TargetState])] = &[
            ("+", &[H]),
            ("-+", &[I, H]),
            ("--", &[I, U]),
            ("+-+-", &[H, H, H, H]),
            ("+--", &[H, H, U]),
            ("--+++", &[I, U, U, U, H]),
            ("--++-+++", &[I, U, U, U, U, U, U, H]),
        ];
        for (outcomes, expected) in cases {
            assert_eq!(states(outcomes, 3, 2), *expected, "{outcomes}");
        }
    }

    #[test]
    fn the_reason_is_that_of_the_last_failure() {
        let check = HealthCheck { unhealthy_threshold: 2, ..HealthCheck::default() };
        let mut checkup = Checkup::new();
        checkup.begin();
        assert_eq!(checkup.reason, Some(Reason::InitialHealthChecking));
        assert!(!checkup.take(&Outcome::Failed, &check));
        assert!(checkup.take(&Outcome::Mismatch(503), &check));
        assert_eq!(checkup.description.as_deref(), Some("Health checks failed with these codes: [503]"));
        assert!(checkup.take(&Outcome::Timeout, &check));
        assert_eq!((checkup.state, checkup.reason), (TargetState::Unhealthy, Some(Reason::Timeout)));
        assert!(!checkup.take(&Outcome::Timeout, &check));
    }
}
