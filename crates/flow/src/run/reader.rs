//! Reads a source either as it comes, or exactly the ranges of a plan.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use arrow::array::BooleanArray;
use tokio::time::Instant;

use super::trigger::Limits;
use crate::{Chunk, Demand, Event, Partition, Position, Range, Records, Source, StageError};

/// How long a replay waits for records that must be there before it says that the source is away.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an epoch ends without an error.
pub(super) enum EpochEnd {
    /// All is done: the source has ended, everything that was there is taken, or the worker was told to stop.
    Finished,
    /// The assignment is void.
    Revoked,
    /// Another assignment came.
    Assigned(Vec<Partition>),
}

/// What a replay reads too far is kept up to this many bytes; of partitions that go beyond it, it is read again.
const AHEAD: usize = 16 << 20;

/// A source, what was read too far from it, and the offsets beyond which nothing is wanted yet.
pub(super) struct Reader<'a> {
    source: &'a mut dyn Source,
    /// The next offset of each partition: what is below it was handed out, or waits in `ahead`.
    read: BTreeMap<Partition, i64>,
    ahead: VecDeque<Chunk>,
    /// The bytes in `ahead` that came from a replay.
    held: usize,
    caps: BTreeMap<Partition, i64>,
    /// What of `ahead` lies beyond the caps.
    beyond: VecDeque<Chunk>,
    /// Partitions from which records were dropped: they are sought again, to `read`, before more is read.
    dropped: BTreeSet<Partition>,
}

/// A replay on its way.
pub(super) struct Replaying<'p> {
    ranges: &'p [Range],
    reached: BTreeMap<Partition, i64>,
    /// What was read too far before it.
    pending: VecDeque<Chunk>,
    begun: bool,
    /// When records came last.
    heard: Instant,
}

impl<'p> Replaying<'p> {
    pub(super) fn new(ranges: &'p [Range]) -> Self {
        let reached = ranges.iter().map(|range| (range.partition.clone(), range.from)).collect();
        Replaying { ranges, reached, pending: VecDeque::new(), begun: false, heard: Instant::now() }
    }
}

/// A part of a replay.
#[expect(clippy::large_enum_variant, reason = "one at a time, never kept in numbers")]
pub(super) enum ReplayStep {
    /// Some of the records, or positions alone.
    Records(Chunk),
    /// They have all come.
    Over,
    /// The assignment changed in between.
    Changed(EpochEnd),
}

/// What a replay ended with.
pub(super) enum Replayed {
    /// The records of the ranges, all of them.
    Records(Vec<Records>),
    /// The assignment changed in between.
    Changed(EpochEnd),
}

impl<'a> Reader<'a> {
    /// A source that was sought to these offsets.
    pub(super) fn new(source: &'a mut dyn Source, read: BTreeMap<Partition, i64>) -> Self {
        Reader {
            source,
            read,
            ahead: VecDeque::new(),
            held: 0,
            caps: BTreeMap::new(),
            beyond: VecDeque::new(),
            dropped: BTreeSet::new(),
        }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        self.source
    }

    /// Whether something is at hand that a replay read too far: it is in pieces as small as the replay's batches were.
    pub(super) fn has_more(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// From now on `next` gives nothing beyond these offsets.
    pub(super) fn cap(&mut self, caps: BTreeMap<Partition, i64>) {
        self.caps = caps;
        self.beyond.append(&mut self.ahead);
        std::mem::swap(&mut self.beyond, &mut self.ahead);
    }

    /// Records as they come, up to the caps.
    pub(super) async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        let begun = Instant::now();
        loop {
            if let Some(chunk) = self.ahead.pop_front() {
                self.held = self.held.saturating_sub(chunk.records.bytes());
                if self.caps.is_empty() {
                    return Ok(Event::Records(chunk));
                }
                let (inside, beyond) = split(chunk, |partition| Some(self.end(partition)));
                if !beyond.reached.is_empty() {
                    self.beyond.push_back(beyond);
                }
                if !inside.reached.is_empty() {
                    return Ok(Event::Records(inside));
                }
                continue;
            }
            self.resume(|reader, partition| reader.read.get(partition).is_some_and(|at| *at < reader.end(partition)))
                .await?;
            let chunk = match self.source.next(demand).await? {
                Event::Records(chunk) => chunk,
                event => return Ok(event),
            };
            let chunk = match self.caps.is_empty() && self.dropped.is_empty() {
                true => chunk,
                false => {
                    let wanted =
                        |partition: &Partition| (!self.dropped.contains(partition)).then(|| self.end(partition));
                    let (inside, beyond) = split(chunk, wanted);
                    self.dropped.extend(beyond.reached.into_iter().map(|position| position.partition));
                    inside
                }
            };
            let chunk = self.accept(chunk);
            if !chunk.reached.is_empty() {
                return Ok(Event::Records(chunk));
            }
            if begun.elapsed() >= demand.wait {
                return Ok(Event::Idle);
            }
        }
    }

    fn end(&self, partition: &Partition) -> i64 {
        self.caps.get(partition).copied().unwrap_or(i64::MAX)
    }

    /// Notes how far the source was read.
    fn accept(&mut self, mut chunk: Chunk) -> Chunk {
        chunk.reached.retain(|position| self.read.get(&position.partition).is_none_or(|read| *read < position.next));
        self.read.extend(chunk.reached.iter().map(|position| (position.partition.clone(), position.next)));
        chunk
    }

    /// Seeks the partitions from which records were dropped.
    async fn resume(&mut self, wanted: impl Fn(&Self, &Partition) -> bool) -> Result<(), StageError> {
        let again = self.dropped.iter().filter(|partition| wanted(self, partition));
        let again: Vec<Position> =
            again.filter_map(|p| Some(Position { partition: p.clone(), next: *self.read.get(p)? })).collect();
        if !again.is_empty() {
            self.source.seek(&again).await?;
            self.dropped.retain(|partition| !again.iter().any(|position| position.partition == *partition));
        }
        Ok(())
    }

    /// The records of `ranges`, where each range begins at the partition's read position; what comes with them from
    /// beyond is kept for later.
    pub(super) async fn exactly(&mut self, ranges: &[Range], limits: &Limits) -> Result<Replayed, StageError> {
        let mut replaying = Replaying::new(ranges);
        let mut records = Vec::new();
        loop {
            match self.part(&mut replaying, limits.demand(Duration::from_secs(1))).await? {
                ReplayStep::Records(chunk) => records.push(chunk.records),
                ReplayStep::Over => return Ok(Replayed::Records(records)),
                ReplayStep::Changed(end) => return Ok(Replayed::Changed(end)),
            }
        }
    }

    /// The next records of a replay.
    pub(super) async fn part(&mut self, replay: &mut Replaying<'_>, demand: Demand) -> Result<ReplayStep, StageError> {
        if !std::mem::replace(&mut replay.begun, true) {
            self.cap(BTreeMap::new());
            replay.pending = std::mem::take(&mut self.ahead);
            self.held = 0;
        }
        loop {
            if replay.ranges.iter().all(|range| replay.reached[&range.partition] >= range.to) {
                self.ahead.append(&mut replay.pending);
                return Ok(ReplayStep::Over);
            }
            let (chunk, new) = match replay.pending.pop_front() {
                Some(chunk) => (chunk, false),
                None => {
                    let lacks = |range: &Range| replay.reached[&range.partition] < range.to;
                    self.resume(|_, partition| replay.ranges.iter().any(|r| r.partition == *partition && lacks(r)))
                        .await?;
                    // No more than the plan needs: what is beyond it would be cut again for each of many small plans.
                    let lacking: i64 = replay.ranges.iter().map(|r| (r.to - replay.reached[&r.partition]).max(0)).sum();
                    let rows = usize::try_from(lacking).unwrap_or(usize::MAX).clamp(1, demand.rows.max(1));
                    match self.source.next(Demand { rows, ..demand }).await? {
                        Event::Records(chunk) => {
                            let known = |partition: &Partition| (!self.dropped.contains(partition)).then_some(i64::MAX);
                            let (chunk, _) = split(chunk, known);
                            (self.accept(chunk), true)
                        }
                        Event::Idle | Event::Ended if replay.heard.elapsed() < PATIENCE => continue,
                        Event::Idle | Event::Ended => {
                            return Err(StageError::unavailable(
                                "the source does not hand out records that a plan names",
                            ));
                        }
                        Event::Assigned(partitions) => return Ok(ReplayStep::Changed(EpochEnd::Assigned(partitions))),
                        Event::Revoked => return Ok(ReplayStep::Changed(EpochEnd::Revoked)),
                    }
                }
            };
            let range = |partition: &Partition| replay.ranges.iter().find(|range| range.partition == *partition);
            let begin = |p: &Partition| range(p).map(|range| range.to);
            let (inside, beyond) = split(chunk, begin);
            if !beyond.reached.is_empty() {
                self.keep(beyond, new, begin);
            }
            if !inside.reached.is_empty() {
                let reached = inside.reached.iter().map(|position| (position.partition.clone(), position.next));
                replay.reached.extend(reached);
                replay.heard = Instant::now();
                return Ok(ReplayStep::Records(inside));
            }
        }
    }

    /// Keeps what a replay read too far, or drops it where that is too much already.
    fn keep(&mut self, beyond: Chunk, new: bool, begin: impl Fn(&Partition) -> Option<i64>) {
        let bytes = beyond.records.bytes();
        if !new || self.held + bytes <= AHEAD {
            self.held += bytes;
            self.ahead.push_back(beyond);
            return;
        }
        let records = &beyond.records;
        let offsets = || records.partitions.values().iter().zip(records.offsets.values());
        for Position { partition, next } in &beyond.reached {
            // Where it begins: behind the range, else at its first record, else it holds none.
            let ordinal = records.topics.ordinal(partition);
            let first = offsets().find(|(other, _)| ordinal == Some(**other)).map(|(_, offset)| *offset);
            self.read.insert(partition.clone(), begin(partition).or(first).unwrap_or(*next));
            self.dropped.insert(partition.clone());
        }
    }
}

/// A chunk's part below the ends of partitions, and its part beyond them; beyond is what has no end.
fn split(chunk: Chunk, end: impl Fn(&Partition) -> Option<i64>) -> (Chunk, Chunk) {
    let mut inside = Vec::new();
    let mut beyond = Vec::new();
    let mut ends: HashMap<i32, i64> = HashMap::new();
    let records = chunk.records;
    for position in chunk.reached {
        let ordinal = records.topics.ordinal(&position.partition);
        match end(&position.partition) {
            Some(to) if position.next > to => {
                ends.extend(ordinal.map(|ordinal| (ordinal, to)));
                inside.push(Position { partition: position.partition.clone(), next: to });
                beyond.push(position);
            }
            Some(to) => {
                ends.extend(ordinal.map(|ordinal| (ordinal, to)));
                inside.push(position);
            }
            None => beyond.push(position),
        }
    }
    let mask: BooleanArray = (records.partitions.values().iter().zip(records.offsets.values()))
        .map(|(partition, offset)| Some(ends.get(partition).is_some_and(|to| offset < to)))
        .collect();
    if mask.true_count() == records.len() {
        let none = records.filter(&BooleanArray::from(vec![false; records.len()]));
        return (Chunk { records, reached: inside }, Chunk { records: none, reached: beyond });
    }
    let rest: BooleanArray = mask.values().iter().map(|inside| Some(!inside)).collect();
    (
        Chunk { records: records.filter(&mask), reached: inside },
        Chunk { records: records.filter(&rest), reached: beyond },
    )
}
