//! The last third of the batch loop: what was computed goes to the sinks.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::sink_task::{Batch, Item, Shared, Slice};
use crate::{Plan, Range};

/// Slices between the computation and the slowest sink.
const SLICES: usize = 1;

/// What a batch under way takes beside its records and rows: its plan, its ranges, the columns' own memory.
const BATCH: usize = 2048;

/// Batches under way to the leader: while it writes one, at most one other waits.
pub(super) const TURNS: u32 = 2;

/// Alone decides how much may be under way, and hands batches and slices to the sinks in turn.
pub(super) struct Dispatcher<'a> {
    shutdown: &'a CancellationToken,
    /// Bytes of batches under way.
    window: Arc<Semaphore>,
    /// How many bytes that are at most.
    size: usize,
    /// At most one batch waits for the leader while it writes another: the longer it takes, the larger the next.
    pub(super) turns: Arc<Semaphore>,
    /// Slices between here and the slowest sink.
    slices: Arc<Semaphore>,
    shared: Arc<Shared>,
    sinks: Vec<UnboundedSender<Item>>,
}

impl<'a> Dispatcher<'a> {
    /// `window`: bytes that may be under way. `sinks`: the leader, or, where nobody leads, all.
    pub(super) fn new(
        window: usize,
        sinks: Vec<UnboundedSender<Item>>,
        shared: Arc<Shared>,
        shutdown: &'a CancellationToken,
    ) -> Self {
        Dispatcher {
            shutdown,
            window: Arc::new(Semaphore::new(window)),
            size: window,
            turns: Arc::new(Semaphore::new(TURNS as usize)),
            slices: Arc::new(Semaphore::new(SLICES)),
            shared,
            sinks,
        }
    }

    /// Waits for room in the window for a batch of so many bytes of records; `None` where the epoch or the worker ends
    /// before that.
    pub(super) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => None,
            () = self.shutdown.cancelled() => None,
            permit = self.reserve(bytes + BATCH) => Some(permit),
        }
    }

    /// Takes more room for a batch, for its rows: as much as the window has beside what the batch has already. Those
    /// before it give theirs back without waiting for this one.
    pub(super) async fn more_room(&self, permit: &mut OwnedSemaphorePermit, bytes: usize) -> bool {
        let more = bytes.min(self.size.saturating_sub(permit.num_permits()));
        if more == 0 {
            return true;
        }
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => false,
            () = self.shutdown.cancelled() => false,
            more = self.reserve(more) => {
                permit.merge(more);
                true
            }
        }
    }

    /// Room in the window for a batch, however long that takes; one larger than the window takes all of it.
    pub(super) async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let permits = u32::try_from(bytes.clamp(1, self.size)).unwrap_or(u32::MAX);
        self.window.clone().acquire_many_owned(permits).await.expect("the window is never closed")
    }

    /// Waits until the leader can have another batch; `None` where the epoch or the worker ends before that.
    pub(super) async fn turn(&self) -> Option<Arc<OwnedSemaphorePermit>> {
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => None,
            () = self.shutdown.cancelled() => None,
            turn = self.turns.clone().acquire_owned() => turn.ok().map(Arc::new),
        }
    }

    /// Hands a slice on once there is room for it; false where a sink failed before that, whose task says why.
    pub(super) async fn slice(&self, outputs: Vec<Output>) -> bool {
        let room = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return false,
            room = self.slices.clone().acquire_owned() => room.expect("it is never closed"),
        };
        self.hand_on(&Item::Slice(Arc::new(Slice { outputs, _room: room })));
        true
    }

    /// A batch on its way. `work`: how many records, since when, and how long they took to compute.
    pub(super) fn batch(
        &self,
        plan: Plan,
        ranges: Vec<Vec<Range>>,
        outputs: Vec<Output>,
        (records, begun, computed): (usize, Instant, Duration),
        permit: OwnedSemaphorePermit,
    ) -> Arc<Batch> {
        for (waiting, _) in self.shared.waiting.iter().zip(&ranges).filter(|(_, ranges)| !ranges.is_empty()) {
            waiting.fetch_add(records as u64, Relaxed);
        }
        let (shared, bytes) = (self.shared.clone(), permit.num_permits());
        shared.under_way.fetch_add(1, Relaxed);
        shared.stats.monitor.sent(records, bytes, ranges.iter().map(|ranges| !ranges.is_empty()));
        let plan = Arc::new(plan);
        let outputs = outputs.into_iter().map(|output| Mutex::new(Some(output))).collect();
        Arc::new(Batch { plan, ranges, outputs, records, bytes, begun, computed, shared, _permit: permit })
    }

    /// Hands something to the leader, or, where nobody leads, to all sinks.
    pub(super) fn hand_on(&self, item: &Item) {
        for sender in &self.sinks {
            // A sink that is gone has failed; its task says why.
            let _ = sender.send(item.clone());
        }
    }
}
