//! The restart throttle: a service whose tasks stop before they ever run starts them ever more slowly.
//!
//! `delay(n) = min(27 min, 10 s * 2^(n-2) * jitter)` for the n-th failure in a row, nothing for the first; the first task
//! that runs resets it. The cap is AWS's, the steps are ours (AWS publishes none). Tasks of one wave count once: a failure
//! counts only if its task was made after the last failure was counted.

use longshore_model::Mint;
use longshore_model::service::Throttle;
use longshore_wire::Timestamp;

use crate::after;

/// The longest delay, in milliseconds.
pub const CAP_MILLIS: i64 = 27 * 60 * 1000;

const STEP_MILLIS: i64 = 10_000;

/// The delay after `failures` in a row. `jitter` is in thousandths.
pub fn delay_millis(failures: i32, jitter: i64) -> i64 {
    if failures < 2 {
        return 0;
    }
    let doublings = (failures - 2).min(20) as u32;
    (STEP_MILLIS.saturating_mul(1 << doublings).saturating_mul(jitter) / 1000).min(CAP_MILLIS)
}

/// Count a task, made at `created_at`, that stopped before it ran. Returns whether launches are being held back now.
pub fn failed(throttle: &mut Throttle, created_at: Timestamp, now: Timestamp, mint: &mut Mint) -> bool {
    if throttle.counted_at.is_none_or(|counted| created_at >= counted) {
        throttle.failures = throttle.failures.saturating_add(1);
        throttle.counted_at = Some(now);
        let jitter = 800 + (mint.next_u64() % 401) as i64;
        let delay = delay_millis(throttle.failures, jitter);
        throttle.not_before = (delay > 0).then(|| after(now, delay));
    }
    throttle.not_before.is_some()
}

/// As [`failed`], for a task that cannot ever start: trying again at once would be pointless.
pub fn hopeless(throttle: &mut Throttle, now: Timestamp, mint: &mut Mint) {
    throttle.failures = throttle.failures.max(1);
    throttle.counted_at = None;
    failed(throttle, now, now, mint);
}

/// A task ran: the failures are over; how long it runs is for [`pace`](crate::pace). Returns whether anything changed.
pub fn recovered(throttle: &mut Throttle) -> bool {
    let clear = Throttle { failures: 0, not_before: None, counted_at: None, ..throttle.clone() };
    let changed = *throttle != clear;
    *throttle = clear;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let delays: Vec<i64> = (0..=10).map(|failures| delay_millis(failures, 1000) / 1000).collect();
        assert_eq!(delays, [0, 0, 10, 20, 40, 80, 160, 320, 640, 1280, 1620]);
        assert_eq!(delay_millis(i32::MAX, 1200), CAP_MILLIS);
        assert_eq!((delay_millis(2, 800), delay_millis(2, 1200)), (8_000, 12_000));
    }

    #[test]
    fn a_wave_counts_once() {
        let (mut throttle, mut mint) = (Throttle::default(), Mint::new(1));
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        for _ in 0..10 {
            failed(&mut throttle, at(0), at(5), &mut mint);
        }
        assert_eq!((throttle.failures, throttle.not_before), (1, None));
        assert!(failed(&mut throttle, at(5), at(9), &mut mint));
        assert_eq!(throttle.failures, 2);
        assert!(recovered(&mut throttle));
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn a_task_that_always_fails_in_five_seconds_is_tried_about_sixty_times_a_day() {
        let (mut throttle, mut mint, mut now, mut launches) = (Throttle::default(), Mint::new(3), 0_i64, 0);
        while now < 86_400_000 {
            launches += 1;
            let created = Timestamp::from_millis(now);
            now += 5_000;
            failed(&mut throttle, created, Timestamp::from_millis(now), &mut mint);
            now = throttle.not_before.map_or(now, |at| at.millis());
        }
        assert!((58..=66).contains(&launches), "{launches}");
    }
}
