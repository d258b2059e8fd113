//! What a worker is doing, how long its stages take and where each sink stands, for whoever watches from outside.
//! Nothing in the run loop reads it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::{BadRecord, Partition, Range};

/// Upper bounds in seconds of what [`Histogram`] counts, the last without one.
pub const BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Different reasons that bad records are counted by; further ones are counted as [`OTHER`]. A schema has few, and a longer
/// list would not help anybody.
const MOST_REASONS: usize = 64;

/// The reason of bad records whose own one is not counted apart.
pub const OTHER: &str = "other";

/// Bad records that are remembered with their place.
const RECENT: usize = 20;

/// A lag that was measured longer ago than this counts as unknown.
const SEEN: Duration = Duration::from_secs(15);

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// It waits for its share of the partitions.
    #[default]
    Assigning,
    /// It claims the sinks and finds out where they are.
    Claiming,
    /// It waits for the time of the next batch.
    Sleeping,
    /// It asks the source for records.
    Collecting,
    /// It decodes records and runs the query.
    Computing,
    /// It waits for sinks that have not yet stored what they got.
    Waiting,
    /// It has ended.
    Ended,
}

impl Phase {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Assigning => "assigning",
            Phase::Claiming => "claiming",
            Phase::Sleeping => "sleeping",
            Phase::Collecting => "collecting",
            Phase::Computing => "computing",
            Phase::Waiting => "waiting",
            Phase::Ended => "ended",
        }
    }
}

/// How often something took how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// By upper bound of [`BUCKETS`], not added up; the last counts all that is longer.
    pub counts: [u64; BUCKETS.len() + 1],
    /// Seconds, added up.
    pub sum: f64,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += seconds;
    }

    /// This and another one together.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }
}

/// A service that is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// What it says, or what is said of it; no secret, no value.
    pub message: String,
    /// Since when.
    pub since: Duration,
}

/// Bad records of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCount {
    /// What refused them.
    pub stage: String,
    /// Why, without a value.
    pub reason: String,
    /// How many.
    pub records: u64,
}

/// A bad record that was seen lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentBad {
    /// How long ago.
    pub age: Duration,
    /// Where it is: topic, partition and offset, or file and line.
    pub place: String,
    /// What refused it, and why.
    pub why: String,
}

/// A sink as it is now.
#[derive(Debug, Clone, Default)]
pub struct SinkReport {
    /// Its name in the pipeline file.
    pub name: String,
    /// Where it is in each partition that this worker has.
    pub positions: Vec<(Partition, i64)>,
    /// How long ago it stored something; `None` where it has not since the start.
    pub stored: Option<Duration>,
    /// Records on their way to it.
    pub waiting: u64,
    /// Rows that it alone refused.
    pub rejected: u64,
    /// Where it is away.
    pub outage: Option<Outage>,
    /// How long its writes took.
    pub writes: Histogram,
}

/// A worker as it is now.
#[derive(Debug, Clone, Default)]
pub struct WorkerReport {
    /// What it is doing.
    pub phase: Phase,
    /// Since when it is in this phase, or has last shown that it moves.
    pub since: Duration,
    /// Whether it has claimed its sinks, and holds them.
    pub claimed: bool,
    /// The source, or a service that the claim needs, where that is away.
    pub outage: Option<Outage>,
    /// How long the source has not said how far its log reaches, while sinks are claimed.
    pub silent: Option<Duration>,
    /// Plans from before the claim that are still to be replayed.
    pub leftover: usize,
    /// Batches between their computation and the slowest sink.
    pub batches: usize,
    /// Bytes that these hold: their records, and the rows made of them.
    pub bytes: usize,
    /// By partition, records between the slowest sink and the end of the log; `None` where that was not measured lately.
    pub lag: Option<Vec<(Partition, i64)>>,
    /// Bad records by stage and reason.
    pub bad: Vec<BadCount>,
    /// The latest bad records, the latest first.
    pub recent: Vec<RecentBad>,
    /// How long decoding a batch takes.
    pub decode: Histogram,
    /// How long the queries over a batch take.
    pub query: Histogram,
    /// How long it takes from the beginning of a batch until the leader has stored it.
    pub batch: Histogram,
    /// In the order of the pipeline file; dead letters last.
    pub sinks: Vec<SinkReport>,
}

#[derive(Debug)]
struct SinkState {
    name: String,
    positions: BTreeMap<Partition, i64>,
    stored: Option<Instant>,
    waiting: u64,
    rejected: u64,
    outage: Option<(String, Instant)>,
    writes: Histogram,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    beat: Instant,
    claimed: bool,
    outage: Option<(String, Instant)>,
    leftover: usize,
    batches: usize,
    bytes: usize,
    lag: Option<(Vec<(Partition, i64)>, Instant)>,
    /// When the source has last said how far its log reaches; at first, when the sinks were claimed.
    measured: Instant,
    bad: BTreeMap<(String, String), u64>,
    recent: VecDeque<(Instant, String, String)>,
    decode: Histogram,
    query: Histogram,
    batch: Histogram,
    sinks: Vec<SinkState>,
}

/// What is kept of a worker for whoever watches it. Every call is short.
#[derive(Debug)]
pub struct Monitor(Mutex<State>);

impl Default for Monitor {
    fn default() -> Self {
        Monitor(Mutex::new(State {
            phase: Phase::default(),
            beat: Instant::now(),
            claimed: false,
            outage: None,
            leftover: 0,
            batches: 0,
            bytes: 0,
            lag: None,
            measured: Instant::now(),
            bad: BTreeMap::new(),
            recent: VecDeque::new(),
            decode: Histogram::default(),
            query: Histogram::default(),
            batch: Histogram::default(),
            sinks: Vec::new(),
        }))
    }
}

impl Monitor {
    /// Everything, as it is now.
    pub fn report(&self) -> WorkerReport {
        let state = self.state();
        let outage = |outage: &Option<(String, Instant)>| {
            outage.as_ref().map(|(message, since)| Outage { message: message.clone(), since: since.elapsed() })
        };
        let sink = |sink: &SinkState| SinkReport {
            name: sink.name.clone(),
            positions: sink.positions.iter().map(|(partition, next)| (partition.clone(), *next)).collect(),
            stored: sink.stored.map(|at| at.elapsed()),
            waiting: sink.waiting,
            rejected: sink.rejected,
            outage: outage(&sink.outage),
            writes: sink.writes.clone(),
        };
        let bad = |((stage, reason), records): (&(String, String), &u64)| BadCount {
            stage: stage.clone(),
            reason: reason.clone(),
            records: *records,
        };
        let recent = |(at, place, why): &(Instant, String, String)| RecentBad {
            age: at.elapsed(),
            place: place.clone(),
            why: why.clone(),
        };
        WorkerReport {
            phase: state.phase,
            since: state.beat.elapsed(),
            claimed: state.claimed,
            outage: outage(&state.outage),
            silent: state.claimed.then(|| state.measured.elapsed()),
            leftover: state.leftover,
            batches: state.batches,
            bytes: state.bytes,
            lag: state.lag.as_ref().filter(|(_, at)| at.elapsed() < SEEN).map(|(lag, _)| lag.clone()),
            bad: state.bad.iter().map(bad).collect(),
            recent: state.recent.iter().rev().map(recent).collect(),
            decode: state.decode.clone(),
            query: state.query.clone(),
            batch: state.batch.clone(),
            sinks: state.sinks.iter().map(sink).collect(),
        }
    }

    /// The worker does this now; said again, it shows that it moves.
    pub(crate) fn phase(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.beat) = (phase, Instant::now());
    }

    /// A service without which there is no batch is away.
    pub(crate) fn away(&self, message: &str) {
        let mut state = self.state();
        let since = state.outage.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        state.outage = Some((message.to_string(), since));
    }

    /// The sinks are claimed, and stand here.
    pub(crate) fn claimed<'a>(
        &self,
        sinks: impl Iterator<Item = (&'a str, BTreeMap<Partition, i64>)>,
        leftover: usize,
    ) {
        let mut state = self.state();
        for (index, (name, positions)) in sinks.enumerate() {
            match state.sinks.get_mut(index) {
                Some(sink) => (sink.positions, sink.outage, sink.waiting) = (positions, None, 0),
                None => state.sinks.push(SinkState {
                    name: name.to_string(),
                    positions,
                    stored: None,
                    waiting: 0,
                    rejected: 0,
                    outage: None,
                    writes: Histogram::default(),
                }),
            }
        }
        (state.claimed, state.outage, state.leftover) = (true, None, leftover);
        state.measured = Instant::now();
    }

    /// The epoch is over: nothing is claimed any more.
    pub(crate) fn released(&self) {
        let mut state = self.state();
        (state.claimed, state.batches, state.bytes) = (false, 0, 0);
        state.lag = None;
        state.sinks.iter_mut().for_each(|sink| sink.waiting = 0);
    }

    /// This many leftover plans are still to be replayed.
    pub(crate) fn leftover(&self, plans: usize) {
        self.state().leftover = plans;
    }

    /// A batch is on its way to these sinks.
    pub(crate) fn sent(&self, records: usize, bytes: usize, sinks: impl Iterator<Item = bool>) {
        let mut state = self.state();
        state.batches += 1;
        state.bytes += bytes;
        for (sink, gets) in state.sinks.iter_mut().zip(sinks) {
            sink.waiting += if gets { records as u64 } else { 0 };
        }
    }

    /// A sink has the records of a batch.
    pub(crate) fn arrived(&self, sink: usize, records: usize) {
        if let Some(sink) = self.state().sinks.get_mut(sink) {
            sink.waiting = sink.waiting.saturating_sub(records as u64);
        }
    }

    /// Every sink has a batch.
    pub(crate) fn done(&self, bytes: usize) {
        let mut state = self.state();
        state.batches = state.batches.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// A sink has stored these ranges.
    pub(crate) fn stored(&self, sink: usize, ranges: &[Range]) {
        if let Some(sink) = self.state().sinks.get_mut(sink) {
            sink.positions.extend(ranges.iter().map(|range| (range.partition.clone(), range.to)));
            (sink.stored, sink.outage) = (Some(Instant::now()), None);
        }
    }

    /// A write took so long, and the sink refused this many of its rows.
    pub(crate) fn written(&self, sink: usize, took: Duration, rejected: u64) {
        if let Some(sink) = self.state().sinks.get_mut(sink) {
            sink.writes.add(took);
            sink.rejected += rejected;
        }
    }

    /// A sink is away.
    pub(crate) fn sink_away(&self, sink: usize, message: &str) {
        if let Some(sink) = self.state().sinks.get_mut(sink) {
            let since = sink.outage.as_ref().map_or_else(Instant::now, |(_, since)| *since);
            sink.outage = Some((message.to_string(), since));
        }
    }

    /// Decoding a batch and running its queries took so long.
    pub(crate) fn computed(&self, decode: Duration, query: Duration) {
        let mut state = self.state();
        state.decode.add(decode);
        state.query.add(query);
    }

    /// The leader has stored a batch, so long after it began.
    pub(crate) fn batch(&self, since_begin: Duration) {
        self.state().batch.add(since_begin);
    }

    /// By partition, how many records the slowest sink lacks.
    pub(crate) fn lag(&self, lag: Vec<(Partition, i64)>) {
        let mut state = self.state();
        state.measured = Instant::now();
        state.lag = Some((lag, state.measured));
    }

    /// Counts bad records by what refused them and why.
    pub(crate) fn bad(&self, bad: &[BadRecord]) {
        let mut state = self.state();
        for bad in bad {
            let key = (bad.stage.clone(), bad.reason.clone());
            let key = match state.bad.len() < MOST_REASONS || state.bad.contains_key(&key) {
                true => key,
                false => (bad.stage.split([' ', ':']).next().unwrap_or_default().to_string(), OTHER.to_string()),
            };
            *state.bad.entry(key).or_default() += 1;
        }
    }

    /// Remembers where a bad record is.
    pub(crate) fn recent(&self, place: String, bad: &BadRecord) {
        let mut state = self.state();
        if state.recent.len() == RECENT {
            state.recent.pop_front();
        }
        state.recent.push_back((Instant::now(), place, format!("{}: {}", bad.stage, bad.reason)));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_apart_up_to_a_bound() {
        let monitor = Monitor::default();
        let bad = |number: usize| BadRecord { row: 0, stage: "query".into(), reason: format!("reason {number}") };
        let all: Vec<BadRecord> = (0..MOST_REASONS + 10).map(bad).collect();
        monitor.bad(&all);
        monitor.bad(&all[..1]);
        let counted = monitor.report().bad;
        assert_eq!(counted.len(), MOST_REASONS + 1);
        let of = |reason: &str| counted.iter().find(|count| count.reason == reason).unwrap().records;
        assert_eq!((of("reason 0"), of("reason 1"), of(OTHER)), (2, 1, 10));
        assert_eq!(counted.iter().map(|count| count.records).sum::<u64>(), all.len() as u64 + 1);
    }

    #[test]
    fn an_outage_lasts_from_its_begin_until_something_is_stored() {
        let monitor = Monitor::default();
        let partition = Partition { topic: "t".into(), index: 0 };
        monitor.claimed([("out", BTreeMap::from([(partition.clone(), 3)]))].into_iter(), 0);
        monitor.sink_away(0, "refused");
        monitor.sink_away(0, "refused again");
        assert_eq!(monitor.report().sinks[0].outage.as_ref().unwrap().message, "refused again");
        monitor.stored(0, &[Range { partition: partition.clone(), from: 3, to: 7 }]);
        let sink = monitor.report().sinks.remove(0);
        assert_eq!((sink.outage, sink.positions), (None, vec![(partition, 7)]));
        assert!(sink.stored.is_some());
    }

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 60_000, 60_001] {
            histogram.add(Duration::from_millis(millis));
        }
        assert_eq!((histogram.counts[0], histogram.counts[1]), (1, 1));
        assert_eq!(histogram.counts[BUCKETS.len() - 1..], [1, 1]);
        assert!((histogram.sum - 120.004).abs() < 1e-9);
    }
}
