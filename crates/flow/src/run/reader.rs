//! Reads a source either as it comes, or exactly the ranges of a plan.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use arrow::array::BooleanArray;

use super::trigger::Limits;
use crate::{Chunk, Demand, Event, Partition, Position, Range, Records, Source, StageError};

/// How long a replay waits for records that must be there before it says that the source is away.
const PATIENCE: Duration = Duration::from_secs(60);

/// How an epoch ends without an error.
pub(super) enum End {
    /// All is done: the source has ended, everything that was there is taken, or the worker was told to stop.
    Finished,
    /// The assignment is void.
    Revoked,
    /// Another assignment came.
    Assigned(Vec<Partition>),
}

/// A source with what a replay read too far.
pub(super) struct Reader<'a> {
    source: &'a mut dyn Source,
    ahead: VecDeque<Chunk>,
}

/// A replay on its way.
pub(super) struct Replaying<'p> {
    ranges: &'p [Range],
    reached: HashMap<Partition, i64>,
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
pub(super) enum Part {
    /// Some of the records, or positions alone.
    Records(Chunk),
    /// They have all come.
    Over,
    /// The assignment changed in between.
    Changed(End),
}

/// What a replay ended with.
pub(super) enum Replay {
    /// The records of the ranges, all of them.
    Records(Vec<Records>),
    /// The assignment changed in between.
    Changed(End),
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a mut dyn Source) -> Self {
        Reader { source, ahead: VecDeque::new() }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        self.source
    }

    /// Records as they come.
    pub(super) async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        match self.ahead.pop_front() {
            Some(chunk) => Ok(Event::Records(chunk)),
            None => self.source.next(demand).await,
        }
    }

    /// The records of `ranges`, where each range begins at the partition's read position; what comes with them from
    /// beyond is kept for later.
    pub(super) async fn exactly(&mut self, ranges: &[Range], limits: &Limits) -> Result<Replay, StageError> {
        let mut replaying = Replaying::new(ranges);
        let mut records = Vec::new();
        loop {
            match self.part(&mut replaying, limits.demand(Duration::from_secs(1))).await? {
                Part::Records(chunk) => records.push(chunk.records),
                Part::Over => return Ok(Replay::Records(records)),
                Part::Changed(end) => return Ok(Replay::Changed(end)),
            }
        }
    }

    /// The next records of a replay.
    pub(super) async fn part(&mut self, replay: &mut Replaying<'_>, demand: Demand) -> Result<Part, StageError> {
        if !std::mem::replace(&mut replay.begun, true) {
            replay.pending = std::mem::take(&mut self.ahead);
        }
        loop {
            if replay.ranges.iter().all(|range| replay.reached[&range.partition] >= range.to) {
                self.ahead.append(&mut replay.pending);
                return Ok(Part::Over);
            }
            let chunk = match replay.pending.pop_front() {
                Some(chunk) => chunk,
                None => match self.source.next(demand).await? {
                    Event::Records(chunk) => chunk,
                    Event::Idle | Event::Ended if replay.heard.elapsed() < PATIENCE => continue,
                    Event::Idle | Event::Ended => {
                        return Err(StageError::unavailable("the source does not hand out records that a plan names"));
                    }
                    Event::Assigned(partitions) => return Ok(Part::Changed(End::Assigned(partitions))),
                    Event::Revoked => return Ok(Part::Changed(End::Revoked)),
                },
            };
            let (inside, beyond) = split(chunk, replay.ranges);
            if !beyond.reached.is_empty() {
                self.ahead.push_back(beyond);
            }
            if !inside.reached.is_empty() {
                let reached = inside.reached.iter().map(|position| (position.partition.clone(), position.next));
                replay.reached.extend(reached);
                replay.heard = Instant::now();
                return Ok(Part::Records(inside));
            }
        }
    }
}

/// A chunk's part within the ranges, and its part beyond them.
fn split(chunk: Chunk, ranges: &[Range]) -> (Chunk, Chunk) {
    let end = |index: i32| ranges.iter().find(|r| r.partition.index == index).map(|r| r.to);
    let mut inside = Vec::new();
    let mut beyond = Vec::new();
    for position in chunk.reached {
        match end(position.partition.index) {
            Some(to) if position.next > to => {
                inside.push(Position { partition: position.partition.clone(), next: to });
                beyond.push(position);
            }
            Some(_) => inside.push(position),
            None => beyond.push(position),
        }
    }
    let records = chunk.records;
    let mask: BooleanArray = (records.partitions.values().iter().zip(records.offsets.values()))
        .map(|(partition, offset)| Some(end(*partition).is_some_and(|to| *offset < to)))
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
