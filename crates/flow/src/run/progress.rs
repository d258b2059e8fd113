//! What a worker knows of itself while it runs: positions by sink, counters for the progress line.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::monitor::Monitor;
use crate::{Partition, Position, Range};

/// A lag that was measured longer ago than this counts as unknown.
const SEEN: Duration = Duration::from_secs(15);

/// Counters of one worker. Each only grows, except the lag.
#[derive(Debug, Default)]
pub struct Stats {
    records: AtomicU64,
    bad: AtomicU64,
    rejected: AtomicU64,
    batches: AtomicU64,
    late: AtomicU64,
    busy_micros: AtomicU64,
    longest_micros: AtomicU64,
    lag: Mutex<Option<(i64, Instant)>>,
    /// What is kept for whoever watches from outside.
    pub monitor: Monitor,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Records that the leader has stored.
    pub records: u64,
    /// Records that did not decode, or that a model or the query refused.
    pub bad: u64,
    /// Rows that one sink alone refused.
    pub rejected: u64,
    /// Batches that the leader has stored.
    pub batches: u64,
    /// Batches that began late, because the one before took longer than the trigger's interval.
    pub late: u64,
    /// Microseconds from the beginning of each batch until the leader had stored it, added up.
    pub busy_micros: u64,
    /// Records between the position of the slowest sink and the end of the log; `None` where that was not measured lately.
    pub lag: Option<i64>,
}

impl Stats {
    /// Reads all counters.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            records: self.records.load(Relaxed),
            bad: self.bad.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            batches: self.batches.load(Relaxed),
            late: self.late.load(Relaxed),
            busy_micros: self.busy_micros.load(Relaxed),
            lag: lock(&self.lag).filter(|(_, seen)| seen.elapsed() < SEEN).map(|(records, _)| records),
        }
    }

    /// The longest work on one batch that was stored since the last call: decoding, the queries, and the leader's
    /// write; not what it waited for the batch before.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_micros.swap(0, Relaxed))
    }

    pub(super) fn stored(&self, records: usize, since_begin: Duration, work: Duration) {
        self.records.fetch_add(records as u64, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.busy_micros.fetch_add(since_begin.as_micros() as u64, Relaxed);
        self.longest_micros.fetch_max(work.as_micros() as u64, Relaxed);
    }

    pub(super) fn bad(&self, records: usize) {
        self.bad.fetch_add(records as u64, Relaxed);
    }

    pub(super) fn rejected(&self, rows: u64) {
        self.rejected.fetch_add(rows, Relaxed);
    }

    pub(super) fn late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    pub(super) fn lag(&self, records: i64) {
        *lock(&self.lag) = Some((records, Instant::now()));
    }

    /// The partitions that the lag was of may be another's now.
    pub(super) fn forget_lag(&self) {
        *lock(&self.lag) = None;
    }
}

/// Where each sink stands: by sink, by partition.
#[derive(Debug)]
pub(super) struct Positions {
    sinks: Vec<Mutex<BTreeMap<Partition, i64>>>,
}

impl Positions {
    pub(super) fn new(sinks: Vec<BTreeMap<Partition, i64>>) -> Self {
        Positions { sinks: sinks.into_iter().map(Mutex::new).collect() }
    }

    /// A sink has stored these ranges.
    pub(super) fn advance(&self, sink: usize, ranges: &[Range]) {
        let mut positions = lock(&self.sinks[sink]);
        for range in ranges {
            positions.insert(range.partition.clone(), range.to);
        }
    }

    /// By partition the lowest position of all sinks but `except`.
    pub(super) fn lowest(&self, except: Option<usize>) -> Vec<Position> {
        let mut lowest: BTreeMap<Partition, i64> = BTreeMap::new();
        for (_, sink) in self.sinks.iter().enumerate().filter(|(index, _)| Some(*index) != except) {
            for (partition, next) in lock(sink).iter() {
                lowest.entry(partition.clone()).and_modify(|low| *low = (*low).min(*next)).or_insert(*next);
            }
        }
        lowest.into_iter().map(|(partition, next)| Position { partition, next }).collect()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
