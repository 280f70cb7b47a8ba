//! Pacing: a service whose tasks end right after they started starts them ever more slowly.
//!
//! A task that ends unasked less than [`QUICK_MILLIS`] after it started is a quick exit. The first two in a row are
//! replaced at once, for a task that was killed must be; then `delay(n) = min(30 s, 1 s * 2^(n-3))`. A task that ends
//! after a longer life ends the row, and a new deployment begins one of its own. As with [`throttle`](crate::throttle), a
//! wave counts once: a quick exit counts only if its task was made after the last one was counted. So between two counts
//! no place of a service is filled twice by tasks that exit quickly, and a deployment of N tasks that all do is launched at
//! most 8 times N a minute.
//!
//! AWS paces nothing here and tells nobody; its launches take seconds and are limited to 500 a service and minute. No event
//! is told and nothing is counted as failed.

use longshore_model::service::Throttle;
use longshore_model::task::Task;
use longshore_wire::Timestamp;

use crate::after;

/// A shorter life than this, in milliseconds, is a quick exit.
pub const QUICK_MILLIS: i64 = 10_000;

/// The longest delay, in milliseconds.
pub const CAP_MILLIS: i64 = 30_000;

/// Quick exits in a row that are replaced at once.
const FREE: i32 = 2;

const STEP_MILLIS: i64 = 1_000;

/// The delay after `quick_exits` in a row, in milliseconds.
pub fn delay_millis(quick_exits: i32) -> i64 {
    if quick_exits <= FREE {
        return 0;
    }
    let doublings = (quick_exits - FREE - 1).min(20) as u32;
    (STEP_MILLIS << doublings).min(CAP_MILLIS)
}

/// Count a task that had run and ended unasked. Returns whether anything changed.
pub fn ended(throttle: &mut Throttle, task: &Task, now: Timestamp) -> bool {
    match life_millis(task, now) < QUICK_MILLIS {
        true => exited_quickly(throttle, task.created_at, now),
        false => forgive(throttle),
    }
}

/// How long the task ran; nothing if it was never seen running.
fn life_millis(task: &Task, now: Timestamp) -> i64 {
    let end = task.execution_stopped_at.unwrap_or(now);
    task.started_at.map_or(0, |start| end.millis().saturating_sub(start.millis()))
}

fn exited_quickly(throttle: &mut Throttle, created_at: Timestamp, now: Timestamp) -> bool {
    let counts = throttle.quick_counted_at.is_none_or(|counted| created_at >= counted);
    if counts {
        throttle.quick_exits = throttle.quick_exits.saturating_add(1);
        throttle.quick_counted_at = Some(now);
        let delay = delay_millis(throttle.quick_exits);
        throttle.quick_not_before = (delay > 0).then(|| after(now, delay));
    }
    counts
}

fn forgive(throttle: &mut Throttle) -> bool {
    let clear = Throttle { quick_exits: 0, quick_not_before: None, quick_counted_at: None, ..throttle.clone() };
    let changed = *throttle != clear;
    *throttle = clear;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn two_quick_exits_are_free_and_then_delays_double_up_to_the_cap() {
        let delays: Vec<i64> = (0..=10).map(|exits| delay_millis(exits) / 1000).collect();
        assert_eq!(delays, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(delay_millis(i32::MAX), CAP_MILLIS);
    }

    #[test]
    fn a_wave_counts_once() {
        let mut throttle = Throttle::default();
        let counted: Vec<bool> = (0..10).map(|_| exited_quickly(&mut throttle, at(0), at(5))).collect();
        assert_eq!(counted.iter().filter(|counted| **counted).count(), 1);
        assert_eq!((throttle.quick_exits, throttle.until()), (1, None));
    }

    #[test]
    fn a_task_that_exits_at_once_is_tried_about_120_times_an_hour() {
        let (mut throttle, mut now, mut launches) = (Throttle::default(), 0, 0);
        while now < 3_600_000 {
            launches += 1;
            let created = at(now);
            now += 50;
            exited_quickly(&mut throttle, created, at(now));
            now = throttle.until().map_or(now, |until| until.millis());
        }
        assert!((120..=130).contains(&launches), "{launches}");
    }

    #[test]
    fn failures_and_quick_exits_are_forgiven_apart() {
        let mut throttle =
            Throttle { failures: 4, not_before: Some(at(90)), counted_at: Some(at(10)), ..Throttle::default() };
        for _ in 0..3 {
            assert!(exited_quickly(&mut throttle, at(20), at(20)));
        }
        assert_eq!(throttle.until(), Some(at(1020)));
        assert!(crate::throttle::recovered(&mut throttle));
        assert_eq!((throttle.failures, throttle.quick_exits), (0, 3));
        assert!(!crate::throttle::recovered(&mut throttle));
        assert!(forgive(&mut throttle) && !forgive(&mut throttle));
        assert_eq!(throttle, Throttle::default());
    }
}
