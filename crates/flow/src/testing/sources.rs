//! The suite for sources: assignment, bounds, order, seek, the same records again, the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{Chunk, Demand, Event, Partition, Position, Source};

/// A log with some records in it, to which nothing comes while the suite runs.
#[async_trait]
pub trait Log: Send {
    /// Opens a source of all its partitions, as a new process would; one that was opened before is gone.
    async fn open(&mut self) -> Box<dyn Source>;

    /// How many records it has; at least two.
    fn records(&self) -> usize;

    /// Whether the source says that it has ended.
    fn ends(&self) -> bool;
}

/// How long records may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

const DEMAND: Demand = Demand { rows: 7, bytes: 1 << 20, wait: Duration::from_millis(200) };

/// By partition and offset, a record's value.
type Values = BTreeMap<(i32, i64), Option<Vec<u8>>>;

/// Runs the whole suite.
///
/// # Panics
/// Where the source breaks its contract.
pub async fn run(log: &mut dyn Log) {
    let (mut source, partitions) = assigned(log).await;
    let bounds = source.bounds(&partitions).await.expect("it has bounds");
    assert_eq!(bounds.len(), partitions.len(), "one entry a partition");
    assert!(bounds.iter().all(|b| b.first <= b.start && b.start <= b.end && !b.identity.is_empty()), "{bounds:?}");
    assert!(source.partitions().await.expect("it knows") >= partitions.len());
    let begin: Vec<Position> =
        bounds.iter().map(|b| Position { partition: b.partition.clone(), next: b.first }).collect();
    let all = read(log, &mut *source, &begin, log.records()).await;
    assert_eq!(all.len(), log.records(), "each record comes once");
    drop(source);

    // Another process reads on from some place in the middle, and from it again.
    for cut in [0, all.len() / 2, all.len() - 1] {
        let (mut source, again) = assigned(log).await;
        assert_eq!(again, partitions, "the same partitions for the same worker");
        let now = source.bounds(&again).await.expect("it has bounds");
        let identities =
            |bounds: &[crate::Bounds]| -> Vec<String> { bounds.iter().map(|b| b.identity.clone()).collect() };
        assert_eq!(identities(&now), identities(&bounds), "one log, one identity");
        let below: Vec<(i32, i64)> = all.keys().take(cut).copied().collect();
        let from = |begin: &Position| {
            let read = below.iter().filter(|(index, _)| *index == begin.partition.index).map(|(_, offset)| offset + 1);
            Position { next: read.max().unwrap_or(begin.next), ..begin.clone() }
        };
        let from: Vec<Position> = begin.iter().map(from).collect();
        let rest: Values =
            all.iter().filter(|(place, _)| !below.contains(place)).map(|(p, v)| (*p, v.clone())).collect();
        assert_eq!(read(log, &mut *source, &from, rest.len()).await, rest, "the same records, read on from {from:?}");
        assert_eq!(read(log, &mut *source, &from, rest.len()).await, rest, "and sought again");
    }
}

/// The assignment comes before all else.
async fn assigned(log: &mut dyn Log) -> (Box<dyn Source>, Vec<Partition>) {
    let mut source = log.open().await;
    let begun = Instant::now();
    loop {
        match source.next(DEMAND).await.expect("it answers") {
            Event::Assigned(mut partitions) if !partitions.is_empty() => {
                partitions.sort();
                return (source, partitions);
            }
            Event::Assigned(_) | Event::Revoked | Event::Idle if begun.elapsed() < PATIENCE => {}
            event => panic!("the assignment comes first, not {event:?}"),
        }
    }
}

/// Reads this many records from these positions on, and then to the end, where there is one.
async fn read(log: &dyn Log, source: &mut dyn Source, from: &[Position], expected: usize) -> Values {
    source.seek(from).await.expect("it seeks");
    let mut at: BTreeMap<Partition, i64> = from.iter().map(|p| (p.partition.clone(), p.next)).collect();
    let mut values = Values::new();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "{} of {expected} records came", values.len());
        match source.next(DEMAND).await.expect("it answers") {
            Event::Records(chunk) => take(&chunk, &mut at, &mut values),
            Event::Idle if values.len() >= expected && !log.ends() => return values,
            Event::Ended => {
                assert!(log.ends(), "a log that does not end has ended");
                return values;
            }
            Event::Idle => {}
            event => panic!("records, not {event:?}"),
        }
    }
}

fn take(chunk: &Chunk, at: &mut BTreeMap<Partition, i64>, values: &mut Values) {
    let records = &chunk.records;
    let mut last = BTreeMap::new();
    for row in 0..records.len() {
        let (index, offset) = (records.partitions.value(row), records.offsets.value(row));
        let partition = records.topics.partition(index);
        let begin = at.get(&partition).copied().expect("only assigned partitions are read");
        assert!(offset >= begin, "offset {offset} of {partition} comes below {begin}");
        let before = last.insert(index, offset);
        assert!(before.is_none_or(|before| before < offset), "offsets of {partition} grow");
        let value = records.value(row).map(<[u8]>::to_vec);
        assert!(values.insert((index, offset), value).is_none(), "offset {offset} of {partition} comes twice");
    }
    for position in &chunk.reached {
        let last = records.topics.ordinal(&position.partition).and_then(|ordinal| last.remove(&ordinal));
        assert!(last.is_none_or(|last| last < position.next), "{position:?} lies above what came");
        at.insert(position.partition.clone(), position.next);
    }
    assert!(last.is_empty(), "records came of partitions that did not move: {last:?}");
}
