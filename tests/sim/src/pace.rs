//! When batches begin that are due at an interval, and which of them count as late.

use std::time::Duration;

use foretell_flow::{Snapshot, Trigger};
use tokio_util::sync::CancellationToken;

use crate::behind::{Stores, at_pace, on_a_virtual_clock};

const EVERY: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What is told after a minute of records that never leave a quiet moment.
async fn after_a_minute(takes: Duration) -> (Snapshot, i64) {
    let stores = Stores::default();
    let worker = at_pace(&stores, 0, None, Trigger::Every(EVERY), takes);
    let (stats, shutdown) = (worker.stats.clone(), CancellationToken::new());
    let run = tokio::spawn(worker.run(shutdown.clone()));
    tokio::time::sleep(MINUTE).await;
    let told = stats.snapshot();
    shutdown.cancel();
    run.await.unwrap().unwrap();
    let rows = stores[0].lock().unwrap().rows;
    (told, rows)
}

#[test]
fn a_batch_that_collects_for_half_its_interval_is_not_late() {
    on_a_virtual_clock(async {
        let (told, rows) = after_a_minute(Duration::from_millis(2)).await;
        assert_eq!(told.late, 0, "{told:?}");
        assert!((58..=60).contains(&told.batches) && rows > 5_700, "one a second: {told:?}, {rows} rows");
    });
}

#[test]
fn batches_that_wait_for_one_that_takes_longer_than_the_interval_are_late() {
    on_a_virtual_clock(async {
        let (told, rows) = after_a_minute(EVERY * 5 / 2).await;
        assert!(told.late > 15 && told.late <= told.batches + 2, "{told:?}");
        assert!(told.batches < 30 && rows > 5_000, "none piles up: {told:?}, {rows} rows");
    });
}
