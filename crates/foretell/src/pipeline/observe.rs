//! A dry run: a worker that prints what each sink would get and leaves no trace.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use clap::ValueEnum;
use foretell_connect::console;
use foretell_flow::{Bounds, Demand, Event, Housekeeping, Partition, Position, Source, StageError, Worker};

use super::Pipeline;

/// Where a dry run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Begin {
    /// Where a new pipeline would: at the source's `start`
    Start,
    /// At the oldest record that is still there
    Earliest,
    /// At the next record
    Latest,
    /// Where the pipeline stands: the sinks are asked for their positions
    Positions,
}

/// The worker's name; no service sees it.
const WORKER: &str = "console";

impl Pipeline {
    /// A worker that reads without a group and prints this many rows of each batch instead of storing them.
    pub(crate) async fn observer(&self, begin: Begin, rows: usize) -> Result<Worker> {
        let console = (console::KIND.parse)(serde_json::json!({ "rows": rows })).map_err(|e| anyhow!(e.message))?;
        let mut sinks = Vec::new();
        for index in 0..self.sinks().len() {
            sinks.push(self.open_sink_as(index, WORKER, Some(&*console)).await?);
        }
        let stored = match begin {
            Begin::Positions => self.lowest().await?,
            Begin::Start | Begin::Earliest | Begin::Latest => HashMap::new(),
        };
        let mut context = self.source_context(WORKER, (0, 1));
        context.observe = true;
        let source = self.file.source.settings.open(&context, false).await;
        let source = source.map_err(|error| self.at(&["source", self.file.source.kind], error))?;
        let source = self.replayed(source);
        let source = Observed { source, begin, stored, reached: Committed::default() };
        Ok(self.assemble(Box::new(source), sinks, WORKER, HashSet::new()))
    }

    /// By partition, the lowest position that a sink holds.
    async fn lowest(&self) -> Result<HashMap<Partition, i64>> {
        let mut lowest: HashMap<Partition, i64> = HashMap::new();
        for index in 0..self.sinks().len() {
            let mut sink = self.open_sink(index, WORKER).await?;
            if !sink.traits.keeps_positions {
                continue;
            }
            for holding in sink.inner.positions().await.with_context(|| format!("sink `{}`", sink.name))? {
                lowest
                    .entry(holding.partition)
                    .and_modify(|low| *low = (*low).min(holding.next))
                    .or_insert(holding.next);
            }
        }
        Ok(lowest)
    }
}

/// A source that is only looked at. Where it begins is said from outside, and what would be committed stays here, so
/// that a broker that was away for a while costs no second printing.
struct Observed {
    source: Box<dyn Source>,
    begin: Begin,
    stored: HashMap<Partition, i64>,
    reached: Committed,
}

#[async_trait]
impl Source for Observed {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        self.source.next(demand).await
    }

    fn grows(&self) -> bool {
        self.source.grows()
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        self.source.partitions().await
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let mut bounds = self.source.bounds(partitions).await?;
        for bound in &mut bounds {
            bound.start = match self.begin {
                Begin::Start => bound.start,
                Begin::Earliest => bound.first,
                Begin::Latest => bound.end,
                Begin::Positions => self.stored.get(&bound.partition).copied().unwrap_or(bound.start),
            };
            bound.committed = lock(&self.reached).get(&bound.partition).copied();
        }
        Ok(bounds)
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        self.source.seek(positions).await
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(NoHousekeeping { housekeeping: self.source.housekeeping(), reached: self.reached.clone() })
    }
}

/// Housekeeping of a dry run.
struct NoHousekeeping {
    housekeeping: Arc<dyn Housekeeping>,
    reached: Committed,
}

#[async_trait]
impl Housekeeping for NoHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        self.housekeeping.behind(positions).await
    }

    async fn commit(&self, positions: &[Position], _: &str) -> Result<(), StageError> {
        lock(&self.reached).extend(positions.iter().map(|position| (position.partition.clone(), position.next)));
        Ok(())
    }
}

/// What would have been committed.
type Committed = Arc<Mutex<HashMap<Partition, i64>>>;

fn lock(reached: &Committed) -> std::sync::MutexGuard<'_, HashMap<Partition, i64>> {
    reached.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
