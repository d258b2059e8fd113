//! The run loop: one worker, from its assignment to its last commit.
//!
//! A worker lives in *epochs*. An epoch begins with an assignment: every sink is claimed, leftover plans are replayed,
//! then batches flow until the assignment changes, a sink is fenced, or the worker is told to stop. Whatever happens,
//! the next epoch begins from what the sinks say; nothing is patched up in between.

mod bad_share;
mod batches;
mod collected;
mod collector;
mod compute;
mod dispatcher;
mod epoch;
mod housekeeping;
mod known_sinks;
mod leftover;
mod operators;
mod output;
mod planner;
mod progress;
mod reader;
mod sink_task;
mod sliced;
mod start;
mod trigger;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use compute::{DecodeKeys, Keys, Rows, StageFactory, Stages, records_schema};
pub use progress::{Snapshot, Stats};
pub use sink_task::{SinkInput, SinkStage};
pub use trigger::{Limits, Trigger};

use crate::monitor::Phase;
use crate::testing::{BrokenStep, is_broken};
use crate::{Clock, Event, Fault, Source, StageError};
use epoch::Epoch;
use known_sinks::KnownSinks;
use reader::EpochEnd;

/// How long a drain may take before what is left is abandoned; it is replayed at the next start.
const DRAIN: Duration = Duration::from_secs(8);

/// How often an epoch may be fenced in a row before the worker gives up: a rebalance fences once or twice.
const FENCED_AT_MOST: u32 = 20;

/// From so many times in a row on it is no rebalance.
const FENCED_OFTEN: u32 = 4;

/// An epoch that lasted this long was not fenced off by what fenced the one before.
const QUIET: Duration = Duration::from_secs(30);

/// Wait before asking again for a service that is away.
const AGAIN: Duration = Duration::from_secs(1);

/// What to do with a bad record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRecord {
    /// Count it, hand it to the dead letters, go on.
    Continue,
    /// Stop before the batch that holds it is written.
    Stop,
    /// Go on as long as they are few: stop before the batch is written by which more than this many of a million of the
    /// latest records are bad.
    StopAbove(u32),
}

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pipeline's name.
    pub pipeline: String,
    /// This worker's stable name.
    pub worker: String,
    /// When a batch begins.
    pub trigger: Trigger,
    /// How large a batch may be, and how much may be under way.
    pub limits: Limits,
    /// What to do with a bad record.
    pub on_bad_record: OnBadRecord,
    /// Topics that had positions before this run began: partitions without one start at their first record.
    pub known_topics: HashSet<String>,
    /// Whether the query takes a batch as a whole: then this worker must have all partitions.
    pub exclusive: bool,
    /// Whether what is there at the start is taken in large batches, computed and handed on slice by slice. Only where
    /// every sink takes slices and each result depends on one record.
    pub sliced: bool,
    /// Where models and tables of earlier batches are kept, where that is this machine's own and these change while the
    /// pipeline runs; else empty. Written as the homes of sinks are.
    pub state: String,
}

/// For a look only: whether a start would ask where positions are, as far as can be told without an assignment.
///
/// # Errors
/// [`Fault::State`]: what a start would stop with; and those of the services.
pub async fn check_positions(
    pipeline: &str,
    source: &mut dyn Source,
    sinks: &mut [SinkStage],
) -> Result<(), StageError> {
    let known_sinks = KnownSinks::read(&source.notes().await?);
    let held = start::held(sinks, &[], false).await?;
    known_sinks.check_lost(sinks, pipeline, (source, &[]), &held).await
}

/// A member of the consumer group with its own batch loop and sinks.
pub struct Worker {
    /// Where records come from.
    pub source: Box<dyn Source>,
    /// The sinks, in the order of the pipeline file; dead letters last.
    pub sinks: Vec<SinkStage>,
    /// Gives the decoder and the query, of today and of leftover plans.
    pub factory: Arc<dyn StageFactory>,
    /// How to run.
    pub settings: Settings,
    /// Tells the time of batches.
    pub clock: Arc<dyn Clock>,
    /// What the progress line reads.
    pub stats: Arc<Stats>,
}

impl Worker {
    /// Runs until `shutdown` is cancelled (drains first), the source ends, or an error that trying again cannot mend.
    ///
    /// Batches are computed on the thread that the task is on: on a runtime of one thread the sinks wait meanwhile.
    ///
    /// # Errors
    /// [`Fault::Settings`], [`Fault::State`] and [`Fault::Data`]: a person must act; the text says how. [`Fault::Defect`]: a
    /// defect of this program.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), StageError> {
        let mut sinks = std::mem::take(&mut self.sinks);
        let mut fenced = 0;
        let mut fresh = true;
        let mut assigned = None;
        let mut at_begin = None;
        let outcome = loop {
            // Before the first assignment: partitions that come later are new.
            let at_begin = match at_begin {
                Some(count) => count,
                None => match self.source.partitions().await {
                    Ok(count) => *at_begin.insert(count),
                    // Told to stop before anything began.
                    Err(error) if error.fault == Fault::Unavailable && shutdown.is_cancelled() => break Ok(()),
                    Err(error) if error.fault == Fault::Unavailable => {
                        debug!(worker = self.settings.worker, "{error}: trying again");
                        self.stats.monitor.away(&error.message);
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    Err(error) => break Err(error),
                },
            };
            let partitions = match assigned.take() {
                Some(partitions) => partitions,
                None => match self.assignment(&shutdown).await {
                    Ok(Some(partitions)) => partitions,
                    Ok(None) => break Ok(()),
                    Err(error) if error.fault == Fault::Unavailable => {
                        debug!(worker = self.settings.worker, "{error}: trying again");
                        self.stats.monitor.away(&error.message);
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    Err(error) => break Err(error),
                },
            };
            let epoch = Epoch {
                source: &mut *self.source,
                factory: &*self.factory,
                settings: &self.settings,
                clock: &*self.clock,
                stats: &self.stats,
                shutdown: &shutdown,
                partitions: &partitions,
                at_begin,
                fresh: &mut fresh,
            };
            let begun = Instant::now();
            let (returned, end) = epoch.run(sinks).await;
            self.factory.ends(&self.settings.worker);
            self.stats.monitor.released();
            sinks = returned;
            if begun.elapsed() > QUIET {
                fenced = 0;
            }
            match end {
                Ok(EpochEnd::Finished) => break Ok(()),
                Ok(EpochEnd::Revoked) => fenced = 0,
                Ok(EpochEnd::Assigned(partitions)) => {
                    fenced = 0;
                    assigned = Some(partitions);
                }
                Err(error) if error.fault == Fault::Fenced && fenced < FENCED_AT_MOST => {
                    fenced += 1;
                    if fenced < FENCED_OFTEN {
                        info!(worker = self.settings.worker, "{error}: starting again from what is stored");
                    } else {
                        warn!(
                            worker = self.settings.worker,
                            times = fenced,
                            "{error}: does another pipeline of the name `{}` write to the same place?",
                            self.settings.pipeline
                        );
                    }
                    tokio::time::sleep(Duration::from_millis(u64::from(fenced) * 20)).await;
                    assigned = self.still(partitions).await;
                }
                Err(error) if error.fault == Fault::Unavailable && !shutdown.is_cancelled() => {
                    debug!(worker = self.settings.worker, "{error}: trying again");
                    self.stats.monitor.away(&error.message);
                    tokio::time::sleep(AGAIN).await;
                    // Partitions that are another's by now are not claimed: that would fence it off.
                    assigned = self.still(partitions).await;
                }
                // Told to stop while a service is away: what is left is replayed at the next start.
                Err(error) if error.fault == Fault::Unavailable => {
                    warn!(worker = self.settings.worker, "{error}");
                    break Ok(());
                }
                Err(error) if error.fault == Fault::Fenced => {
                    break Err(error.remedy(
                        "another process stores positions under the same names: a second pipeline of this name on the same \
                         cluster or database, or this one outside of its consumer group; stop it, or give it a name of its own",
                    ));
                }
                Err(error) => break Err(error),
            }
            if shutdown.is_cancelled() {
                break Ok(());
            }
        };
        self.stats.monitor.phase(Phase::Ended);
        for sink in &mut sinks {
            if let Err(error) = sink.inner.close().await {
                warn!(sink = sink.name, "{error}; nothing is lost, the next start recovers it");
            }
        }
        outcome
    }

    /// What the source has to say of the assignment: that of before, another one, or none; what it had for the sinks is
    /// read again after the next claim.
    async fn still(&mut self, before: Vec<crate::Partition>) -> Option<Vec<crate::Partition>> {
        let mut now = Some(before);
        if is_broken(BrokenStep::ClaimsWithoutAsking) {
            return now;
        }
        let glance = crate::Demand { rows: 1, bytes: 1, wait: Duration::ZERO };
        loop {
            match self.source.next(glance).await {
                Ok(Event::Assigned(partitions)) if partitions.is_empty() => now = None,
                Ok(Event::Assigned(partitions)) => now = Some(partitions),
                Ok(Event::Revoked) => now = None,
                Ok(Event::Records(_) | Event::Idle | Event::Ended) | Err(_) => return now,
            }
        }
    }

    /// Waits for partitions; `None` when told to stop or when the source has ended.
    async fn assignment(&mut self, shutdown: &CancellationToken) -> Result<Option<Vec<crate::Partition>>, StageError> {
        loop {
            self.stats.monitor.phase(Phase::Assigning);
            let demand = self.settings.limits.demand(Duration::from_secs(1));
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                event = self.source.next(demand) => event?,
            };
            match event {
                Event::Assigned(partitions) if !partitions.is_empty() => return Ok(Some(partitions)),
                Event::Ended => return Ok(None),
                Event::Assigned(_) if self.settings.trigger == Trigger::AvailableNow => return Ok(None),
                // Records of an assignment that is void by now: they are read again after the next claim.
                Event::Assigned(_) | Event::Revoked | Event::Idle | Event::Records(_) => {}
            }
        }
    }
}
