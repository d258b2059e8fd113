//! The progress line, and what all workers of a pipeline have done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_flow::{Snapshot, Stats};
use tracing::field::display;
use tracing::info;

/// A progress line each interval. `trigger`: how often batches are to begin.
pub(super) async fn report(stats: Vec<Arc<Stats>>, interval: Duration, trigger: Option<Duration>) {
    let mut last = Snapshot::default();
    let mut at = Instant::now();
    loop {
        tokio::time::sleep(interval).await;
        let now = total(&stats);
        let seconds = at.elapsed().as_secs_f64();
        at = Instant::now();
        let batches = now.batches - last.batches;
        let late = now.late - last.late;
        let longest = stats.iter().map(|stats| stats.longest()).max().unwrap_or_default();
        let batch_ms = (now.busy_micros - last.busy_micros).checked_div(batches.max(1)).unwrap_or_default() / 1000;
        // A number where it is one.
        let lag: &dyn tracing::Value = match &now.lag {
            Some(lag) => lag,
            None => &display("unknown"),
        };
        info!(
            rows_per_s = ((now.records - last.records) as f64 / seconds).round() as u64,
            records = now.records,
            lag,
            batches,
            batch_ms,
            bad = now.bad,
            rejected = now.rejected,
            late,
            "progress{}",
            overlong(longest, late, trigger).unwrap_or_default()
        );
        last = now;
    }
}

/// What is said of batches that take longer than the trigger's interval: the longest, and how many batches began late.
fn overlong(longest: Duration, late: u64, trigger: Option<Duration>) -> Option<String> {
    let every = trigger.filter(|every| longest > *every)?;
    let seconds = |duration: Duration| (duration.as_secs_f64() * 10.0).round() / 10.0;
    let late = if late > 0 { format!(" ({late} late)") } else { String::new() };
    Some(format!(": batch {:.1} s, longer than every {} s{late}", longest.as_secs_f64(), seconds(every)))
}

pub(super) fn total(stats: &[Arc<Stats>]) -> Snapshot {
    stats.iter().map(|stats| stats.snapshot()).fold(Snapshot { lag: Some(0), ..Snapshot::default() }, |a, b| Snapshot {
        records: a.records + b.records,
        bad: a.bad + b.bad,
        rejected: a.rejected + b.rejected,
        batches: a.batches + b.batches,
        late: a.late + b.late,
        busy_micros: a.busy_micros + b.busy_micros,
        lag: a.lag.zip(b.lag).map(|(a, b)| a + b),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_longer_than_the_interval_is_told() {
        let (long, every) = (Duration::from_millis(4240), Some(Duration::from_secs(3)));
        let told = |late| overlong(long, late, every).unwrap();
        assert_eq!(told(2), ": batch 4.2 s, longer than every 3 s (2 late)");
        assert_eq!(told(0), ": batch 4.2 s, longer than every 3 s");
        let half = Some(Duration::from_millis(500));
        assert_eq!(overlong(long, 1, half).unwrap(), ": batch 4.2 s, longer than every 0.5 s (1 late)");
        assert_eq!(overlong(Duration::from_secs(2), 0, every), None, "within the interval");
        assert_eq!(overlong(long, 9, None), None, "no interval, nothing to say");
    }
}
