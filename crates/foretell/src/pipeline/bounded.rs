//! A source that ends where its log ended when it was assigned: what a replay of dead letters writes to the topic that it
//! reads is for the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::BooleanArray;
use async_trait::async_trait;
use foretell_flow::{
    Bounds, Chunk, Demand, Event, Housekeeping, Location, Partition, Position, Provenance, Source, StageError,
};

/// Reads no further than its log went.
pub(super) struct Bounded {
    source: Box<dyn Source>,
    /// By partition, where it has got and where it ends.
    ends: BTreeMap<Partition, (i64, i64)>,
}

impl Bounded {
    pub(super) fn new(source: Box<dyn Source>) -> Bounded {
        Bounded { source, ends: BTreeMap::new() }
    }

    fn is_through(&self) -> bool {
        !self.ends.is_empty() && self.ends.values().all(|(at, end)| at >= end)
    }

    /// What of a chunk was there at the beginning.
    fn cut(&mut self, chunk: Chunk) -> Chunk {
        let records = &chunk.records;
        let end = |(partition, (_, end)): (&Partition, &(i64, i64))| Some((records.topics.ordinal(partition)?, *end));
        let ends: BTreeMap<i32, i64> = self.ends.iter().filter_map(end).collect();
        let places = records.partitions.values().iter().zip(records.offsets.values());
        let is_inside = |(ordinal, offset): (&i32, &i64)| ends.get(ordinal).is_none_or(|end| offset < end);
        let inside: BooleanArray = places.map(|place| Some(is_inside(place))).collect();
        let records = if inside.true_count() == records.len() { chunk.records } else { chunk.records.filter(&inside) };
        let mut reached = chunk.reached;
        for position in &mut reached {
            if let Some((at, end)) = self.ends.get_mut(&position.partition) {
                position.next = position.next.min(*end);
                *at = position.next.max(*at);
            }
        }
        Chunk { records, reached }
    }
}

#[async_trait]
impl Source for Bounded {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if self.is_through() {
            return Ok(Event::Ended);
        }
        match self.source.next(demand).await? {
            Event::Assigned(partitions) => {
                let bounds = self.source.bounds(&partitions).await?;
                self.ends = bounds.into_iter().map(|bound| (bound.partition, (bound.first, bound.end))).collect();
                Ok(Event::Assigned(partitions))
            }
            Event::Revoked => {
                self.ends.clear();
                Ok(Event::Revoked)
            }
            Event::Records(chunk) => Ok(Event::Records(self.cut(chunk))),
            other => Ok(other),
        }
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        self.source.partitions().await
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        self.source.bounds(partitions).await
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        for position in positions {
            if let Some((at, _)) = self.ends.get_mut(&position.partition) {
                *at = position.next;
            }
        }
        self.source.seek(positions).await
    }

    async fn elsewhere(&mut self) -> Result<usize, StageError> {
        self.source.elsewhere().await
    }

    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        self.source.notes().await
    }

    async fn aliases(&mut self) -> Result<Vec<String>, StageError> {
        self.source.aliases().await
    }

    fn grows(&self) -> bool {
        self.source.grows()
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        self.source.housekeeping()
    }

    async fn places(&mut self, records: &Provenance) -> Result<Option<Vec<Location>>, StageError> {
        self.source.places(records).await
    }
}
