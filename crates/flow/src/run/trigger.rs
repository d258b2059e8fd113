//! When a batch begins, and how large it may be.

use std::time::Duration;

use tokio::time::Instant;

use crate::Demand;

/// When a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// As soon as there is work.
    Continuous,
    /// At this interval; when a batch takes longer, the next one begins at once and nothing piles up.
    Every(Duration),
    /// Takes what is there at the start, then stops.
    AvailableNow,
}

/// How large a batch may be, and how much may be under way between the leader and the slowest sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records in a batch.
    pub rows: usize,
    /// Bytes of keys and values in a batch.
    pub bytes: usize,
    /// Bytes of batches under way: their records, the rows made of them, and some for each batch itself. A full window
    /// pauses the source.
    pub window: usize,
    /// Records in a slice, where batches are sliced; a few more where they come in other portions.
    pub slice: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { rows: 50_000, bytes: 16 << 20, window: 128 << 20, slice: 16_384 }
    }
}

impl Limits {
    /// Asks a source for a batch.
    pub(super) fn demand(&self, wait: Duration) -> Demand {
        Demand { rows: self.rows, bytes: self.bytes, wait }
    }
}

/// The clock of `Trigger::Every`.
#[derive(Debug)]
pub(super) struct Ticks {
    every: Duration,
    next: Instant,
}

impl Ticks {
    pub(super) fn new(every: Duration) -> Self {
        Ticks { every, next: Instant::now() + every }
    }

    /// When the next batch begins.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// The interval.
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// A batch begins. `full`: it was cut at a limit, so more is waiting and the next begins at once. Returns whether
    /// this one began late, by more than a tenth of the interval.
    pub(super) fn begin(&mut self, now: Instant, full: bool) -> bool {
        let late = now.saturating_duration_since(self.next) > self.every / 10;
        self.next = if full { now } else { (self.next + self.every).max(now) };
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn batches_that_take_longer_than_the_interval_follow_at_once_and_none_piles_up() {
        let mut ticks = Ticks::new(3 * SECOND);
        let begin = ticks.due();
        assert!(!ticks.begin(begin, false), "the first is due");
        assert_eq!(ticks.due(), begin + 3 * SECOND);
        // It took ten seconds: three ticks went by, one batch follows, at once.
        assert!(ticks.begin(begin + 10 * SECOND, false), "late");
        assert_eq!(ticks.due(), begin + 10 * SECOND, "one batch makes up for it");
        assert!(!ticks.begin(begin + 10 * SECOND, false));
        assert_eq!(ticks.due(), begin + 13 * SECOND, "and then it is every three seconds again");
    }

    #[test]
    fn a_full_batch_is_followed_at_once() {
        let mut ticks = Ticks::new(3 * SECOND);
        let begin = ticks.due();
        assert!(!ticks.begin(begin + SECOND / 10, true), "a tenth of the interval is not late");
        assert_eq!(ticks.due(), begin + SECOND / 10);
    }
}
