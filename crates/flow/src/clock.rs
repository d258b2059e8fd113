//! Where the time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of new batches, which their plans keep: a replay has the time of before.
pub trait Clock: Send + Sync {
    /// Microseconds since the epoch (UTC). It may jump: the times of a worker's batches grow all the same.
    fn now(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
    }
}
