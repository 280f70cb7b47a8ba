//! The one place where the control plane reads the clock and draws chance.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_model::Mint;
use longshore_plan::steady::Steady;
use longshore_wire::Timestamp;
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;

/// The time of everything that planners compare: the wall clock without its jumps.
static STEADY: Mutex<Option<Steady>> = Mutex::new(None);

/// Time goes on from `newest`, the newest time in the state, if the wall clock is behind it.
pub fn begin(newest: Timestamp) {
    let behind = newest.millis() - wall().millis();
    if behind > 0 {
        tracing::warn!(
            seconds = behind / 1000,
            "the clock is behind what is stored; time goes on slowly until it is not"
        );
    }
    STEADY.lock().get_or_insert_with(|| Steady::new(uptime(), since_epoch(), newest)).not_before(newest);
}

/// The time that records carry. It never goes back and does not follow a wall clock that jumps.
pub fn now() -> Timestamp {
    let mut steady = STEADY.lock();
    let steady = steady.get_or_insert_with(|| Steady::new(uptime(), since_epoch(), Timestamp::default()));
    steady.read(uptime(), since_epoch())
}

/// What the machine's clock says: the time of log events, which come from other clocks.
pub fn wall() -> Timestamp {
    Timestamp::from_millis(since_epoch().as_millis() as i64)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How long the machine has been up, sleep included.
fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
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
