//! Chance, for choices among targets and names of traces; nothing here is a secret.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::time::SystemTime;

thread_local! {
    static SEED: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
}

/// Any number: the next of a sequence (SplitMix64) that each thread begins somewhere else.
pub fn number() -> u64 {
    SEED.with(|seed| {
        let next = seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        seed.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// The name of a new trace: `1-TIME-ID`, eight and twenty-four hexadecimal digits.
pub fn trace() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (high, low) = (number() & 0xffff_ffff, number());
    format!("1-{:08x}-{high:08x}{low:016x}", since.as_secs() & 0xffff_ffff)
}

/// Microseconds since 1970.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970.
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
