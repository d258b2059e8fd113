//! What is looked up and told beside the batch loop: how far behind the slowest sink is, and where the group is. A task
//! of its own, so that a service that does not answer stops neither.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::debug;

use super::sink_task::Shared;
use crate::testing::crash_point;
use crate::{Housekeeping, Partition, StageError};

/// How often.
const EVERY: Duration = Duration::from_secs(2);

/// An answer that takes longer is not waited for when the epoch ends.
const LAST: Duration = Duration::from_secs(1);

/// The task of an epoch.
pub(super) struct HousekeepingTask(JoinHandle<()>);

/// Begins at once: what is noted with the first commit is there for whoever comes next.
pub(super) fn start(housekeeping: Arc<dyn Housekeeping>, shared: Arc<Shared>, note: String) -> HousekeepingTask {
    HousekeepingTask(tokio::spawn(async move {
        // A panic here ends the epoch.
        let _stop = shared.stop.clone().drop_guard();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (behind, ()) = tokio::join!(lag(&*housekeeping, &shared), commit(&*housekeeping, &shared, &note));
            if let Some(behind) = behind {
                shared.stats.lag(behind.iter().map(|(_, records)| records).sum());
                shared.stats.monitor.lag(behind);
            }
        }
    }))
}

async fn lag(housekeeping: &dyn Housekeeping, shared: &Shared) -> Option<Vec<(Partition, i64)>> {
    let lowest = shared.positions.lowest(None);
    match housekeeping.behind(&lowest).await {
        Ok(behind) => Some(lowest.into_iter().map(|position| position.partition).zip(behind).collect()),
        Err(error) => {
            debug!("how far behind the sinks are is not known: {error}");
            None
        }
    }
}

/// Tells the group how far every sink is.
pub(super) async fn commit(housekeeping: &dyn Housekeeping, shared: &Shared, note: &str) {
    crash_point("telling-the-group");
    if let Err(error) = housekeeping.commit(&shared.positions.lowest(None), note).await {
        debug!("the group's offset is not committed, which only lag tools notice: {error}");
    }
    crash_point("told-the-group");
}

impl HousekeepingTask {
    /// Ends it.
    ///
    /// # Errors
    /// It had panicked.
    pub(super) async fn end(self) -> Result<(), StageError> {
        self.0.abort();
        match tokio::time::timeout(LAST, self.0).await {
            Ok(Err(error)) if error.is_panic() => Err(StageError::panicked("housekeeping")),
            _ => Ok(()),
        }
    }
}
