//! Health of one container: what a row of check results means.
//!
//! A success makes it healthy at any time and ends the start period; failures inside the start period do not count;
//! `retries` failures in a row make it unhealthy. The next check is due an interval after the end of the one before.

use super::Health;
use crate::spec::HealthCheck;

#[derive(Clone, Debug)]
pub(super) struct Probe {
    interval_ms: u64,
    retries: u32,
    start_period_ms: u64,
    pub health: Health,
    failures: u32,
    started_at: u64,
    ever_passed: bool,
    next: Option<u64>,
    under_way: bool,
}

impl Probe {
    pub fn new(check: &HealthCheck) -> Self {
        Probe {
            interval_ms: u64::from(check.interval_seconds.max(1)) * 1000,
            retries: check.retries.max(1),
            start_period_ms: u64::from(check.start_period_seconds) * 1000,
            health: Health::Unknown,
            failures: 0,
            started_at: 0,
            ever_passed: false,
            next: None,
            under_way: false,
        }
    }

    /// A new life of the container: nothing is known of it.
    pub fn container_started(&mut self, now: u64) {
        self.health = Health::Unknown;
        self.failures = 0;
        self.ever_passed = false;
        self.started_at = now;
        self.next = Some(now + self.interval_ms);
    }

    /// True if a check is due; it then counts as under way until its result comes.
    pub fn begin(&mut self, now: u64) -> bool {
        let due = !self.under_way && self.next.is_some_and(|at| now >= at);
        self.under_way |= due;
        due
    }

    pub fn checked(&mut self, now: u64, passed: bool) {
        if !self.under_way {
            return;
        }
        self.under_way = false;
        self.next = Some(now + self.interval_ms);
        if passed {
            self.health = Health::Healthy;
            self.failures = 0;
            self.ever_passed = true;
        } else if self.ever_passed || now >= self.started_at + self.start_period_ms {
            self.failures += 1;
            if self.failures >= self.retries {
                self.health = Health::Unhealthy;
            }
        }
    }

    pub fn deadline(&self) -> Option<u64> {
        self.next.filter(|_| !self.under_way)
    }
}

/// UNHEALTHY is worse than UNKNOWN, which is worse than HEALTHY.
pub(super) fn badness(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Unknown => 1,
        Health::Unhealthy => 2,
    }
}
