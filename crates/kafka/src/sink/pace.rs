//! How soon after a transaction the next may begin.
//!
//! The coordinator answers a commit before all partitions have its mark. Asked to open the next transaction earlier, it
//! answers with "concurrent transactions", and the client asks again 20 ms later: whoever waits for a millisecond is
//! quicker. How long the marks take is the cluster's, so it is found out: a transaction that was late makes the rest
//! behind each longer, and each that was not makes it a little shorter.

use std::time::Duration;

use parking_lot::Mutex;

/// Transactions of more rows are not in such a hurry, and take long for other reasons.
const SMALL: usize = 2000;
/// What the client waits before it asks again.
const LATE: Duration = Duration::from_millis(20);
/// The first rest.
const FIRST: Duration = Duration::from_millis(1);
const LONGER: Duration = Duration::from_micros(500);
/// One late transaction weighs as much as 500 others: at 1,000 rows a second it is late for twenty.
const SHORTER: Duration = Duration::from_micros(1);

/// The rest behind each transaction of one writer.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Duration>);

impl Default for Pace {
    fn default() -> Pace {
        Pace(Mutex::new(FIRST))
    }
}

impl Pace {
    /// How long to rest after a transaction of this many rows, which took this long from its beginning until all of it
    /// was stored.
    pub(super) fn rest(&self, rows: usize, took: Duration) -> Duration {
        if rows > SMALL {
            return Duration::ZERO;
        }
        let mut rest = self.0.lock();
        *rest = match took >= LATE {
            true => rest.saturating_add(LONGER).min(LATE),
            false => rest.saturating_sub(SHORTER),
        };
        *rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A coordinator that needs so long for its marks: the share of transactions that are late, and the rest in the end.
    fn cluster(marks: Duration, transactions: u32) -> (f64, Duration) {
        let (pace, mut late, mut rest) = (Pace::default(), 0, FIRST);
        for _ in 0..transactions {
            let is_late = rest < marks;
            late += u32::from(is_late);
            rest = pace.rest(3, if is_late { LATE } else { Duration::from_millis(2) });
        }
        (f64::from(late) / f64::from(transactions), rest)
    }

    #[test]
    fn a_rest_as_long_as_the_marks_take() {
        for marks in [0, 1, 4, 12].map(Duration::from_millis) {
            let (late, rest) = cluster(marks, 10_000);
            assert!(late < 0.01, "{marks:?}: {late}");
            assert!(rest <= marks + LONGER, "{marks:?}: {rest:?}");
        }
        // Where even the longest does not help, it does not grow for ever.
        assert_eq!(cluster(Duration::from_secs(1), 1000).1, LATE);
    }

    #[test]
    fn none_behind_what_is_large() {
        let pace = Pace::default();
        assert_eq!(pace.rest(100_000, Duration::from_secs(2)), Duration::ZERO);
        assert!(pace.rest(1, Duration::from_millis(2)) < FIRST);
    }
}
