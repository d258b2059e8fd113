//! Sources and sinks that fail, lie dead, lose their assignment and are killed at any moment.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use foretell_flow::*;
use tokio_util::sync::CancellationToken;

use super::memory::*;

type Stores = [Arc<Mutex<Store>>; 3];

fn worker(seed: u64, stores: &Stores, trigger: Trigger, faults: bool, edition_name: &'static str) -> Worker {
    batching(seed, stores, trigger, faults, edition_name, false)
}

/// A worker whose sinks take batches as a whole, or slice by slice.
fn batching(
    seed: u64,
    stores: &Stores,
    trigger: Trigger,
    faults: bool,
    edition_name: &'static str,
    sliced: bool,
) -> Worker {
    let edition = |name| Edition {
        name,
        columns: &COLUMNS,
        scope: Scope::Record,
        sinks: vec![("sink0", false), ("sink1", false)],
    };
    let names = ["sink0", "sink1", DEAD_LETTERS];
    let mut world: World = names.into_iter().zip(stores.iter().cloned()).collect();
    worker_of(&mut world, &edition(edition_name), &[edition("a"), edition("b")], Way { seed, trigger, faults, sliced })
}

/// Every good record in both result sinks, every bad one in the dead letters; once, in order, with the same stamp.
fn verify(stores: &Stores, seed: u64) {
    let rows = |store: usize, index: i32| -> Vec<(i64, String)> {
        let store = stores[store].lock().unwrap();
        store.rows.iter().filter(|((p, _), _)| *p == index).map(|((_, o), text)| (*o, text.clone())).collect()
    };
    for index in 0..PARTITIONS {
        let (bad, good): (Vec<i64>, Vec<i64>) = (0..RECORDS).partition(|offset| is_bad(index, *offset));
        let offsets = |store| rows(store, index).into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
        assert_eq!(offsets(0), good, "seed {seed}: leader, partition {index}");
        assert_eq!(offsets(1), good, "seed {seed}: follower, partition {index}");
        assert_eq!(offsets(2), bad, "seed {seed}: dead letters, partition {index}");
        assert_eq!(rows(0, index), rows(1, index), "seed {seed}: both sinks hold the same rows");
    }
    for store in stores {
        let store = store.lock().unwrap();
        assert!(store.positions.values().all(|next| *next == RECORDS), "seed {seed}: {:?}", store.positions);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_run_stores_everything_once() {
    let stores = Stores::default();
    worker(1, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    verify(&stores, 1);
    // Of some 200 parts, those of the batches that the window holds.
    assert!(stores[0].lock().unwrap().plans.len() < 60, "plans that every sink has are trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_run_in_slices_stores_everything_once() {
    let stores = Stores::default();
    batching(1, &stores, Trigger::AvailableNow, false, "a", true).run(CancellationToken::new()).await.unwrap();
    verify(&stores, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_rebalances_and_kills_lose_and_double_nothing() {
    let lives = (1..=60).map(|seed| tokio::spawn(killed_again_and_again(seed)));
    for life in futures::future::join_all(lives).await {
        life.unwrap();
    }
}

/// Killed some times at any await: what a crash leaves is what the stores hold. The query changes in between, and whether
/// batches are sliced.
async fn killed_again_and_again(seed: u64) {
    let stores = Stores::default();
    let mut random = Rng::with_seed(seed * 1013 + 7);
    for life in 0..6 {
        let edition_name = if life < 3 { "a" } else { "b" };
        let sliced = !(seed + life).is_multiple_of(3);
        let run = batching(seed * 100 + life, &stores, Trigger::AvailableNow, true, edition_name, sliced);
        let run = run.run(CancellationToken::new());
        let _ = tokio::time::timeout(Duration::from_millis(random.u64(..25)), run).await;
    }
    let last = batching(seed * 100 + 99, &stores, Trigger::AvailableNow, true, "b", seed.is_multiple_of(2));
    let last = last.run(CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), last).await.expect("ends").unwrap();
    verify(&stores, seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_drains_and_the_next_run_goes_on() {
    let stores = Stores::default();
    let shutdown = CancellationToken::new();
    let run = tokio::spawn(worker(9, &stores, Trigger::Continuous, false, "a").run(shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(8)).await;
    shutdown.cancel();
    run.await.unwrap().unwrap();
    let positions: Vec<_> = stores.iter().map(|s| s.lock().unwrap().positions.clone()).collect();
    assert_eq!(positions[0], positions[1], "a drain leaves every sink at one position");
    assert_eq!(positions[0], positions[2]);
    worker(10, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    verify(&stores, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_beyond_the_log_stops_loudly() {
    let stores = Stores::default();
    stores[1].lock().unwrap().positions.insert(partition(1), RECORDS + 5);
    let error = worker(3, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert_eq!(error.message, "sink `sink1`: orders[1] is read up to 405, but the log ends at 400");
    assert!(error.remedy.contains("foretell positions"), "{}", error.remedy);
    assert!(stores[0].lock().unwrap().rows.is_empty(), "nothing moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_grew_while_it_was_claimed_stops_nobody() {
    let stores = Stores::default();
    for store in &stores {
        store.lock().unwrap().positions.extend((0..PARTITIONS).map(|index| (partition(index), 350)));
    }
    let mut worker = worker(3, &stores, Trigger::AvailableNow, false, "a");
    worker.source = Box::new(MemorySource { ends: vec![300], ..MemorySource::quiet() });
    worker.run(CancellationToken::new()).await.unwrap();
    assert!(stores[0].lock().unwrap().positions.values().all(|next| *next == RECORDS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_over_whole_batches_wants_all_partitions() {
    let stores = Stores::default();
    let mut shared = worker(8, &stores, Trigger::AvailableNow, false, "a");
    shared.settings.exclusive = true;
    shared.source = Box::new(MemorySource { elsewhere: 2, ..MemorySource::quiet() });
    let error = shared.run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.contains("3 of 5 partitions"), "{error}");
    assert!(stores[0].lock().unwrap().positions.is_empty(), "nothing is claimed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_grew_while_it_was_assigned_is_no_second_worker() {
    let stores = Stores::default();
    let mut alone = worker(8, &stores, Trigger::AvailableNow, false, "a");
    alone.settings.exclusive = true;
    // There were three, and four when it asks again; what comes with the next assignment is all.
    let counts = vec![4, 3];
    alone.source = Box::new(MemorySource { counts, rebalances: true, ..MemorySource::quiet() });
    alone.run(CancellationToken::new()).await.unwrap();
    verify(&stores, 8);
}

/// A sink that another one of its name takes over, again and again.
struct TakenOver;

#[async_trait::async_trait]
impl Sink for TakenOver {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(Vec::new())
    }

    async fn claim(&mut self, _: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        Err(StageError::fenced("another producer"))
    }

    async fn write(&mut self, _: &Write) -> Result<Written, StageError> {
        unreachable!("it never has a partition")
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        unreachable!("the run loop resets nothing")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_fenced_again_and_again_says_what_may_be_the_reason() {
    let mut worker = worker(8, &Stores::default(), Trigger::AvailableNow, false, "a");
    worker.sinks[0].inner = Box::new(TakenOver);
    let error = worker.run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced);
    assert!(error.remedy.contains("a name of its own"), "{}", error.remedy);
}

/// A sink whose claims take their time, and go on behind the back of whoever gives them up.
struct Slow {
    under_way: Arc<Mutex<(usize, usize)>>,
}

#[async_trait::async_trait]
impl Sink for Slow {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(Vec::new())
    }

    async fn claim(&mut self, _: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let under_way = self.under_way.clone();
        {
            let mut now = under_way.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
        }
        let work = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            under_way.lock().unwrap().0 -= 1;
        });
        work.await.unwrap();
        Err(StageError::unavailable("a broker is away"))
    }

    async fn write(&mut self, _: &Write) -> Result<Written, StageError> {
        unreachable!("it never has a partition")
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        unreachable!("the run loop resets nothing")
    }
}

/// A sink that is away, and ends the third try.
struct Away {
    times: usize,
}

#[async_trait::async_trait]
impl Sink for Away {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(Vec::new())
    }

    async fn claim(&mut self, _: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        self.times += 1;
        match self.times {
            3 => Err(StageError::state("seen enough")),
            _ => Err(StageError::unavailable("away")),
        }
    }

    async fn write(&mut self, _: &Write) -> Result<Written, StageError> {
        unreachable!("it never has a partition")
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        unreachable!("the run loop resets nothing")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_do_not_pile_up_while_another_sink_is_away() {
    let under_way = Arc::default();
    let mut worker = worker(9, &Stores::default(), Trigger::AvailableNow, false, "a");
    worker.sinks[0].inner = Box::new(Away { times: 0 });
    worker.sinks[1].inner = Box::new(Slow { under_way: Arc::clone(&under_way) });
    let error = worker.run(CancellationToken::new()).await.unwrap_err();
    assert!(error.message.contains("seen enough"), "{error}");
    assert_eq!(*under_way.lock().unwrap(), (0, 1), "claims under way at the end, and at most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_sink_starts_where_the_others_are() {
    let stores = Stores::default();
    worker(4, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    *stores[1].lock().unwrap() = Store::default();
    worker(5, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    let added = stores[1].lock().unwrap();
    assert!(added.rows.is_empty());
    assert!(added.positions.values().all(|next| *next == RECORDS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_with_backfill_gets_what_came_before() {
    let stores = Stores::default();
    worker(6, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    *stores[1].lock().unwrap() = Store::default();
    let mut again = worker(7, &stores, Trigger::AvailableNow, false, "a");
    again.sinks[1].backfill = true;
    again.run(CancellationToken::new()).await.unwrap();
    let added = stores[1].lock().unwrap();
    let good = (0..PARTITIONS).flat_map(|index| (0..RECORDS).filter(move |o| !is_bad(index, *o))).count();
    assert_eq!(added.rows.len(), good);
}

#[tokio::test]
async fn a_runtime_of_one_thread_will_do() {
    let stores = Stores::default();
    worker(3, &stores, Trigger::AvailableNow, false, "a").run(CancellationToken::new()).await.unwrap();
    verify(&stores, 3);
}
