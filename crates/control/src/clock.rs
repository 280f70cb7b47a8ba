//! The one place where the control plane reads the clock and draws chance.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_model::Mint;
use longshore_wire::Timestamp;

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as i64)
}

/// A seed that no other call gets: the kernel's randomness once, then a counter through the generator.
pub fn seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static BASE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let base = *BASE.get_or_init(kernel_random);
    let step = NEXT.fetch_add(1, Ordering::Relaxed);
    Mint::new(base ^ step.wrapping_mul(0xD134_2543_DE82_EF95)).next_u64()
}

pub fn mint() -> Mint {
    Mint::new(seed())
}

/// How long from `now` until `at`; zero when it has passed.
pub fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(at.millis().saturating_sub(now.millis()).max(0) as u64)
}

fn kernel_random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds its hashers from the kernel.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
