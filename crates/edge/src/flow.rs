//! When something last moved on a connection or an exchange.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// One exchange, or one connection between two sides.
#[derive(Debug)]
pub struct Flow {
    started: Instant,
    /// Milliseconds after the start.
    last: AtomicU64,
    waits: AtomicBool,
    sent: AtomicBool,
    broke: AtomicBool,
    carried: AtomicU64,
}

impl Flow {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            last: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            broke: AtomicBool::new(false),
            carried: AtomicU64::new(0),
        }
    }

    /// Something moved.
    pub fn touch(&self) {
        self.last.store(self.millis(), Ordering::Relaxed);
    }

    /// When something last moved.
    pub fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// Ends when nothing has moved for so long.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let until = self.last() + limit;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Whether it is the client that the request's body waits for.
    pub fn waits_for_client(&self) -> bool {
        self.waits.load(Ordering::Relaxed) && !self.is_sent()
    }

    /// The client is asked for more of the body (`true`), or has given it.
    pub fn wait(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// The request's body has gone to the target, all of it.
    pub fn is_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn set_sent(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    /// The request's body came to no good end.
    pub fn is_broken(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }

    pub fn set_broken(&self) {
        self.broke.store(true, Ordering::Relaxed);
    }

    /// Bytes of the request's body that have come.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    pub fn carry(&self, count: usize) {
        self.carried.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
