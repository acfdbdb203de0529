//! Time as an argument.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::time::Instant;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 (UTC).
    fn now_ms(&self) -> u64;
    /// Waits.
    async fn sleep(&self, ms: u64);
}

/// The machine's clock as it was at the start, moved on by the monotonic clock: a step of
/// the machine's clock does not expire leases. Follows tokio's paused time in tests.
#[derive(Debug, Default)]
pub struct MonotonicClock {
    start: OnceLock<(u64, Instant)>,
}

impl MonotonicClock {
    /// A clock that starts when it is first asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that starts now and says `now_ms`.
    pub fn starting_at(now_ms: u64) -> Self {
        Self { start: OnceLock::from((now_ms, Instant::now())) }
    }
}

#[async_trait]
impl Clock for MonotonicClock {
    fn now_ms(&self) -> u64 {
        let (start_ms, start) = self.start.get_or_init(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            (since.as_millis() as u64, Instant::now())
        });
        start_ms + start.elapsed().as_millis() as u64
    }

    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
