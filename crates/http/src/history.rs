//! The last hour, in points that a page can draw.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foretell_flow::monitor::Histogram;
use serde_json::{Value, json};

use crate::worker::Worker;

/// How often a point is added.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// Points of an hour.
const MOST: usize = 720;

/// What is counted since the start, at one moment.
#[derive(Debug, Clone)]
struct Counts {
    at: Instant,
    records: u64,
    bad: u64,
    batches: u64,
    seconds: f64,
}

#[derive(Debug, Clone)]
struct Point {
    at: Instant,
    rate: f64,
    bad: f64,
    lag: Option<i64>,
    batch_ms: Option<f64>,
}

/// Points, the latest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: Option<Counts>,
    points: VecDeque<Point>,
}

impl History {
    /// Adds a point: what happened since the one before.
    pub(crate) fn add(&mut self, workers: &[Worker]) {
        let mut batch = Histogram::default();
        workers.iter().for_each(|worker| batch.merge(&worker.report.batch));
        let now = Counts {
            at: Instant::now(),
            records: workers.iter().map(|worker| worker.counts.records).sum(),
            bad: workers.iter().map(|worker| worker.counts.bad).sum(),
            batches: batch.counts.iter().sum(),
            seconds: batch.sum,
        };
        if let Some(last) = self.last.replace(now.clone()) {
            let seconds = (now.at - last.at).as_secs_f64().max(f64::MIN_POSITIVE);
            let batches = now.batches.saturating_sub(last.batches);
            if self.points.len() == MOST {
                self.points.pop_front();
            }
            self.points.push_back(Point {
                at: now.at,
                rate: now.records.saturating_sub(last.records) as f64 / seconds,
                bad: now.bad.saturating_sub(last.bad) as f64 / seconds,
                lag: workers.iter().map(|worker| worker.counts.lag).sum(),
                batch_ms: (batches > 0).then(|| (now.seconds - last.seconds) * 1000.0 / batches as f64),
            });
        }
    }

    /// One array a line of the page's charts; `age` in seconds.
    pub(crate) fn json(&self) -> Value {
        let column = |value: fn(&Point) -> Value| self.points.iter().map(value).collect::<Vec<_>>();
        json!({
            "age": column(|point| json!(point.at.elapsed().as_secs())),
            "records_per_s": column(|point| json!(point.rate)),
            "bad_per_s": column(|point| json!(point.bad)),
            "lag": column(|point| json!(point.lag)),
            "batch_ms": column(|point| json!(point.batch_ms)),
        })
    }
}
