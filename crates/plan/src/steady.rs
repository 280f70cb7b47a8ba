//! The time that planners are given: it follows the wall clock and never jumps.
//!
//! A planner compares times that it wrote down with the time it is. If somebody sets the machine's clock, or the clock comes
//! right only after the start, every such comparison would be off by as much: nodes lost at once, launches held back for a
//! day, tokens forgotten. So planners see a time that passes as the machine's uptime does, whatever the wall clock says, and
//! draws near the wall clock by at most an eighth of what passes. It begins no earlier than the newest time in the state, so
//! it does not go back over a restart either.
//!
//! ```text
//! wall   ──────────┐ set back            time   ──────────╲__  7/8 of the pace
//!                  └──────────────                        until the two meet
//! ```
//! What it leaves out: a machine that starts with a wrong clock is believed. (docs/decisions/0015-steady-time.md)

use std::time::Duration;

use longshore_wire::Timestamp;

/// Of the time that passes, the part by which the pace may differ.
const STEER: i64 = 8;

/// Follows the wall clock without its jumps.
#[derive(Clone, Debug)]
pub struct Steady {
    /// Since the epoch. All times here are in microseconds.
    time: i64,
    uptime: i64,
}

impl Steady {
    /// Begin at the wall clock's time, or at `newest` if that is later. `uptime` never goes back and also passes while the
    /// machine sleeps; where it begins is of no account.
    pub fn new(uptime: Duration, wall: Duration, newest: Timestamp) -> Self {
        Self { time: micros(wall).max(newest.millis().saturating_mul(1000)), uptime: micros(uptime) }
    }

    /// The time now. Never less than before.
    pub fn read(&mut self, uptime: Duration, wall: Duration) -> Timestamp {
        let passed = micros(uptime).saturating_sub(self.uptime).max(0);
        self.uptime = self.uptime.saturating_add(passed);
        let gap = micros(wall).saturating_sub(self.time).saturating_sub(passed);
        let steer = gap.clamp(-passed / STEER, passed / STEER);
        self.time = self.time.saturating_add(passed).saturating_add(steer);
        Timestamp::from_millis(self.time / 1000)
    }

    /// Go on from `newest` if that is later than now.
    pub fn not_before(&mut self, newest: Timestamp) {
        self.time = self.time.max(newest.millis().saturating_mul(1000));
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn seconds(seconds: i64) -> Duration {
        Duration::from_secs(seconds as u64)
    }

    #[test]
    fn without_jumps_it_is_the_wall_clock() {
        let mut steady = Steady::new(seconds(7), seconds(1000 * DAY), Timestamp::default());
        for passed in 0..100 {
            let read = steady.read(seconds(7 + passed), seconds(1000 * DAY + passed));
            assert_eq!(read.millis(), (1000 * DAY + passed) * 1000);
        }
    }

    #[test]
    fn a_jump_of_a_day_either_way_is_caught_up_with_in_eight_days_and_never_goes_back() {
        for jump in [DAY, -DAY] {
            let mut steady = Steady::new(seconds(0), seconds(1000 * DAY), Timestamp::default());
            let mut before = steady.read(seconds(0), seconds(1000 * DAY)).millis();
            for minute in 1..=9 * 24 * 60 {
                let (passed, wall) = (minute * 60, 1000 * DAY + jump + minute * 60);
                let now = steady.read(seconds(passed), seconds(wall)).millis();
                let pace = now - before;
                assert!((52_500..=67_500).contains(&pace), "{pace} ms in a minute");
                let near = (now - wall * 1000).abs();
                assert_eq!(near <= 1, passed >= 8 * DAY, "after {passed} s it is {near} ms away");
                before = now;
            }
        }
    }

    #[test]
    fn it_does_not_go_back_over_a_restart() {
        let newest = Timestamp::from_millis(1000 * DAY * 1000);
        let mut steady = Steady::new(seconds(0), seconds(999 * DAY), newest);
        assert_eq!(steady.read(seconds(0), seconds(999 * DAY)), newest);
        assert_eq!(steady.read(seconds(8), seconds(999 * DAY + 8)).millis(), newest.millis() + 7_000);
        steady.not_before(Timestamp::from_millis(newest.millis() + 60_000));
        assert_eq!(steady.read(seconds(8), seconds(0)).millis(), newest.millis() + 60_000);
        assert_eq!(steady.read(seconds(1), seconds(0)).millis(), newest.millis() + 60_000, "an uptime that goes back");
    }
}
