//! The first third of the batch loop: records become the content of a batch.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::collected::Collected;
use super::dispatcher::TURNS;
use super::planner::Planner;
use super::reader::{EpochEnd, Reader};
use super::sink_task::Shared;
use super::trigger::{Ticks, Trigger};
use crate::monitor::Phase;
use crate::{Event, StageError};

/// How much longer a batch collects for each batch that waits behind a sink that is away, and at most: however small
/// they are, an hour of it is fewer than 20,000.
const STRETCH: (Duration, Duration) = (Duration::from_micros(20), Duration::from_secs(1));

/// So many batches under way are not worth a wait.
const FEW: u32 = 100;

/// Why collecting stopped.
pub(super) enum CollectEnd {
    /// A batch is due.
    Batch,
    /// The epoch ends.
    Epoch(EpochEnd),
    /// A sink failed: its task says why.
    Failed,
}

/// Alone decides when a batch is due, and how much is asked of the source for it.
pub(super) struct Collector<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) settings: &'a Settings,
    pub(super) shutdown: &'a CancellationToken,
    /// The dispatcher's: asking as late as possible gives the largest batch.
    pub(super) turns: Arc<Semaphore>,
    /// Whether the batch before was so large that more was waiting.
    pub(super) full: bool,
    pub(super) shared: Arc<Shared>,
}

impl Collector<'_> {
    /// Collects records until a batch is due.
    pub(super) async fn collect(
        &mut self,
        planner: &Planner<'_>,
        collected: &mut Collected,
        ticks: &mut Option<Ticks>,
    ) -> Result<CollectEnd, StageError> {
        let limits = self.settings.limits;
        if self.settings.trigger == Trigger::AvailableNow && planner.taken(&collected.reached) {
            return Ok(CollectEnd::Epoch(EpochEnd::Finished));
        }
        let stop = self.shared.stop.clone();
        if let Some(ticks) = ticks {
            self.shared.stats.monitor.phase(Phase::Sleeping);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(CollectEnd::Epoch(EpochEnd::Finished)),
                () = stop.cancelled() => return Ok(CollectEnd::Failed),
                () = tokio::time::sleep_until(ticks.due()) => {}
            }
        }
        let monitor = &self.shared.stats.monitor;
        monitor.phase(Phase::Waiting);
        // The largest batch comes from asking as late as possible. Where more waits than a batch holds, the next one is made
        // while the leader writes; else one that was made by then would wait for it, and what came since for both.
        let turns = if self.full { 1 } else { TURNS };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Ok(CollectEnd::Epoch(EpochEnd::Finished)),
            () = stop.cancelled() => return Ok(CollectEnd::Failed),
            turns = self.turns.acquire_many(turns) => drop(turns),
        }
        let under_way = u32::try_from(self.shared.under_way.load(Relaxed)).unwrap_or(u32::MAX);
        if self.settings.trigger == Trigger::Continuous && under_way > FEW {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(CollectEnd::Epoch(EpochEnd::Finished)),
                () = stop.cancelled() => return Ok(CollectEnd::Failed),
                () = tokio::time::sleep(STRETCH.0.saturating_mul(under_way).min(STRETCH.1)) => {}
            }
        }
        let patience = if ticks.is_some() { Duration::from_millis(20) } else { Duration::from_secs(1) };
        let begun = Instant::now();
        loop {
            monitor.phase(Phase::Collecting);
            // What is at hand already makes one batch, however many pieces it is in; nothing more is waited for.
            let waits = ticks.is_some() || collected.rows == 0;
            let mut demand = limits.demand(if waits { patience } else { Duration::ZERO });
            demand.rows -= collected.rows.min(demand.rows - 1);
            demand.bytes -= collected.bytes.min(demand.bytes - 1);
            let event = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(CollectEnd::Epoch(EpochEnd::Finished)),
                () = stop.cancelled() => return Ok(CollectEnd::Failed),
                event = self.reader.next(demand) => event?,
            };
            match event {
                Event::Records(chunk) => {
                    let quiet = chunk.records.is_empty();
                    collected.add(chunk);
                    let full = collected.rows >= limits.rows || collected.bytes >= limits.bytes;
                    // A source hands out what it has, which need not be as much as a batch may hold.
                    self.full = collected.rows >= limits.rows / 8 || collected.bytes >= limits.bytes / 8;
                    let due = match ticks {
                        // Records that keep coming never leave a quiet moment.
                        Some(ticks) if full || begun.elapsed() > ticks.every() / 2 => {
                            if ticks.begin(begun, full) {
                                self.shared.stats.late();
                            }
                            true
                        }
                        Some(_) => false,
                        // Positions that move without records wait for records, or for a quiet moment.
                        None => {
                            full || !quiet && !self.reader.has_more()
                                || self.settings.trigger == Trigger::AvailableNow && planner.taken(&collected.reached)
                        }
                    };
                    if due {
                        return Ok(CollectEnd::Batch);
                    }
                }
                Event::Idle => {
                    if let Some(ticks) = ticks
                        && ticks.begin(begun, false)
                        && collected.rows > 0
                    {
                        self.shared.stats.late();
                    }
                    return Ok(CollectEnd::Batch);
                }
                Event::Ended => return Ok(CollectEnd::Epoch(EpochEnd::Finished)),
                Event::Revoked => return Ok(CollectEnd::Epoch(EpochEnd::Revoked)),
                Event::Assigned(partitions) => return Ok(CollectEnd::Epoch(EpochEnd::Assigned(partitions))),
            }
        }
    }
}
