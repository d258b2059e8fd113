//! Pipeline files that change between lives: sinks that come, go, change their order, are restored from a backup; queries
//! whose columns change.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use foretell_flow::*;
use tokio_util::sync::CancellationToken;

use super::memory::*;

const SWAPPED: [&str; 4] = ["time", "recipe", "offset", "partition"];

fn edition(name: &'static str, columns: &'static [&'static str], sinks: &[(&'static str, bool)]) -> Edition {
    Edition { name, columns, scope: Scope::Record, sinks: sinks.to_vec() }
}

fn way(seed: u64) -> Way {
    Way { seed, trigger: Trigger::AvailableNow, faults: true, sliced: false }
}

/// A life that ends somewhere, with all its tasks: another edition of the file may follow another leader.
async fn live(world: &mut World, today: &Edition, before: &[Edition], seed: u64, random: &mut Rng) {
    kill(worker_of(world, today, before, way(seed)), Duration::from_millis(random.u64(..25))).await;
}

/// Runs for so long; what a crash leaves is what the stores hold.
async fn kill(worker: Worker, after: Duration) {
    let life = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _ = runtime.block_on(async { tokio::time::timeout(after, worker.run(CancellationToken::new())).await });
    };
    tokio::task::spawn_blocking(life).await.unwrap();
}

async fn to_the_end(world: &mut World, today: &Edition, before: &[Edition], seed: u64) {
    let run = worker_of(world, today, before, way(seed)).run(CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("ends").unwrap();
}

fn rows(world: &World, sink: &str, index: i32) -> Vec<(i64, String)> {
    let store = world[sink].lock().unwrap();
    store.rows.iter().filter(|((p, _), _)| *p == index).map(|((_, o), text)| (*o, text.clone())).collect()
}

/// Every good record from where the sink began, once, in order, each value under its own name.
fn exactly(world: &World, sink: &str, own: bool, seed: u64) {
    for index in 0..PARTITIONS {
        let begin = world[sink].lock().unwrap().begin.get(&partition(index)).copied().unwrap_or(0);
        let good: Vec<i64> = (begin..RECORDS).filter(|o| !is_bad(index, *o) && (!own || in_thirds(*o))).collect();
        let found = rows(world, sink, index);
        let offsets: Vec<i64> = found.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, good, "seed {seed}: {sink}, partition {index}");
        for (offset, text) in found {
            let named = format!("offset={offset},partition={index},recipe=");
            assert!(text.starts_with(&named) && text.contains(",time="), "seed {seed}: {sink}: {text}");
        }
    }
}

fn same(world: &World, one: &str, other: &str, seed: u64) {
    for index in 0..PARTITIONS {
        let (a, b) = (rows(world, one, index), rows(world, other, index));
        let other_row = a.iter().zip(&b).find(|(a, b)| a != b);
        assert!(a.len() == b.len() && other_row.is_none(), "seed {seed}: {one} and {other}: {other_row:?}");
    }
}

fn shuffled<T: Clone>(items: &[T], random: &mut Rng) -> Vec<T> {
    let mut items = items.to_vec();
    for at in (1..items.len()).rev() {
        items.swap(at, random.u64(..at as u64 + 1) as usize);
    }
    items
}

/// Side by side: most of the time each waits before it tries something again.
async fn many(test: impl AsyncFn(u64)) {
    futures::future::join_all((1..=8).map(|seed| test(seed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_in_another_order_and_columns_in_another_order_change_no_row() {
    many(async |seed| {
        let (mut world, mut random) = (World::new(), Rng::with_seed(seed * 1013 + 7));
        let all = [("a", false), ("b", false), ("c", false)];
        let editions = [edition("straight", &COLUMNS, &all), edition("swapped", &SWAPPED, &all)];
        for life in 0..6 {
            let today = Edition { sinks: shuffled(&all, &mut random), ..editions[random.u64(..2) as usize].clone() };
            live(&mut world, &today, &editions, seed * 100 + life, &mut random).await;
        }
        let today = Edition { sinks: shuffled(&all, &mut random), ..editions[0].clone() };
        to_the_end(&mut world, &today, &editions, seed * 100 + 99).await;
        all.iter().for_each(|(sink, _)| exactly(&world, sink, false, seed));
        same(&world, "a", "b", seed);
        same(&world, "a", "c", seed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_come_go_and_come_again_get_what_is_theirs() {
    many(async |seed| {
        let (mut world, mut random) = (World::new(), Rng::with_seed(seed * 4099 + 3));
        let (kept, moving) = ([("a", false), ("b", false)], [("c", false), ("own", true)]);
        let mut editions = Vec::new();
        for (life, name) in ["0", "1", "2", "3", "4", "5"].into_iter().enumerate() {
            let come = moving.into_iter().filter(|_| random.u64(..2) == 0);
            let sinks: Vec<_> = kept.into_iter().chain(come).collect();
            let columns: &[&str] = if random.u64(..2) == 0 { &COLUMNS } else { &SWAPPED };
            let today = edition(name, columns, &shuffled(&sinks, &mut random));
            live(&mut world, &today, &editions, seed * 100 + life as u64, &mut random).await;
            editions.push(today);
        }
        let sinks: Vec<_> = kept.into_iter().chain(moving).collect();
        to_the_end(&mut world, &edition("last", &COLUMNS, &sinks), &editions, seed * 100 + 99).await;
        sinks.iter().for_each(|(sink, own)| exactly(&world, sink, *own, seed));
        same(&world, "a", "b", seed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_restored_from_a_backup_get_what_they_lost_and_the_others_keep_to_their_plans() {
    many(async |seed| {
        let (mut world, mut random) = (World::new(), Rng::with_seed(seed * 257 + 11));
        let all = [("a", false), ("b", false), ("c", false), ("d", false)];
        let edition = edition("only", &COLUMNS, &all);
        let mut backup = None;
        for life in 0..7 {
            // A leader's backup would lack plans, too, that the others need.
            let sinks = [shuffled(&all[..2], &mut random), shuffled(&all[2..], &mut random)].concat();
            let today = Edition { sinks, ..edition.clone() };
            live(&mut world, &today, &[], seed * 100 + life, &mut random).await;
            if life == 2 {
                backup = Some(world.get("c").map(|store| store.lock().unwrap().clone()).unwrap_or_default());
            }
            // One, or both from one backup: then they must be alike.
            if let (4, Some(backup)) = (life, &backup) {
                for sink in ["c", "d"] {
                    *world.entry(sink).or_default().lock().unwrap() = backup.clone();
                }
            }
        }
        to_the_end(&mut world, &edition, &[], seed * 100 + 99).await;
        all.iter().for_each(|(sink, _)| exactly(&world, sink, false, seed));
        same(&world, "a", "b", seed);
        same(&world, "c", "d", seed);
    })
    .await;
}

/// Batches that are taken as a whole: a sink that lost what it had, and one that is to have all from the beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_batches_fill_what_a_sink_lacks_and_stop_where_the_others_are() {
    many(async |seed| {
        let (mut world, mut random) = (World::new(), Rng::with_seed(seed * 521 + 5));
        let whole =
            |sinks: &[(&'static str, bool)]| Edition { scope: Scope::Batch, ..edition("whole", &COLUMNS, sinks) };
        let two = whole(&[("a", false), ("b", false)]);
        let mut backup = Store::default();
        for life in 0..4 {
            live(&mut world, &two, &[], seed * 100 + life, &mut random).await;
            if life == 1 {
                backup = world["b"].lock().unwrap().clone();
            }
        }
        if backup.positions.len() == PARTITIONS as usize {
            *world["b"].lock().unwrap() = backup;
        }
        let three = whole(&[("a", false), ("b", false), ("added", false)]);
        let mut last = worker_of(&mut world, &three, &[], way(seed * 100 + 99));
        last.sinks[2].backfill = true;
        tokio::time::timeout(Duration::from_secs(60), last.run(CancellationToken::new())).await.expect("ends").unwrap();
        three.sinks.iter().for_each(|(sink, _)| exactly(&world, sink, false, seed));
        assert!(world["added"].lock().unwrap().begin.values().all(|begin| *begin == 0), "from the beginning");
    })
    .await;
}

/// Sink `a` has all of a few batches that the others lack, and keeps their plans.
async fn lagging(world: &mut World, today: &Edition) {
    let mut first = worker_of(world, today, &[], Way { faults: false, ..way(3) });
    for sink in first.sinks.iter_mut().skip(1) {
        sink.inner = Box::new(Away(world[sink.name.as_str()].clone()));
    }
    let leader = world["a"].clone();
    let run = first.run(CancellationToken::new());
    let run = tokio::spawn(async move {
        tokio::select! {
            _ = run => panic!("it waits for a sink that is away"),
            () = async {
                while leader.lock().unwrap().plans.len() < 2 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            } => {}
        }
    });
    run.await.unwrap();
}

/// A sink that claims and then is away.
struct Away(Arc<Mutex<Store>>);

#[async_trait]
impl Sink for Away {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(Vec::new())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let mut store = self.0.lock().unwrap();
        // Its task outlives the worker that is dropped here: it resets nothing.
        for claim in claims {
            store.positions.entry(claim.partition.clone()).or_insert(claim.start);
        }
        let checkpoint = |claim: &Claim| Checkpoint {
            partition: claim.partition.clone(),
            identity: claim.identity.clone(),
            next: claim.start,
            plans: Vec::new(),
        };
        Ok(claims.iter().map(checkpoint).collect())
    }

    async fn write(&mut self, _: &Write) -> Result<Written, StageError> {
        Err(StageError::unavailable("away"))
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leftover_batch_without_a_column_that_the_sink_has_now_stops_loudly() {
    let sinks = [("a", false), ("b", false)];
    let without: &[&str] = &["partition", "offset", "time"];
    for (then, now, says) in [
        (without, &COLUMNS[..], "has no column `recipe`, which the sink takes now"),
        (&COLUMNS[..], without, "has a column `recipe`, which the sink does not take any more"),
    ] {
        let mut world = World::new();
        let then = edition("then", then, &sinks);
        lagging(&mut world, &then).await;
        let now = worker_of(
            &mut world,
            &edition("now", now, &sinks),
            std::slice::from_ref(&then),
            Way { faults: false, ..way(4) },
        );
        let error = now.run(CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.fault, Fault::State);
        assert!(error.message.contains("sink `b` lacks a batch") && error.message.contains(says), "{error}");
        assert!(error.remedy.contains("as it was before"), "{error}");
        assert!(world["b"].lock().unwrap().rows.is_empty(), "nothing wrong is stored");
        // And that is a way out.
        to_the_end(&mut world, &then, &[], 5).await;
        same(&world, "a", "b", 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_chooses_its_columns_gets_these_of_any_result() {
    let sinks = [("a", false), ("b", false)];
    let mut world = World::new();
    let then = edition("then", &SWAPPED, &sinks);
    lagging(&mut world, &then).await;
    let today = edition("now", &["partition", "offset", "time"], &sinks);
    let mut now = worker_of(&mut world, &today, &[then], Way { faults: false, ..way(4) });
    now.sinks[1].chosen = true;
    now.run(CancellationToken::new()).await.unwrap();
    let offsets = |sink| rows(&world, sink, 0).into_iter().map(|(offset, _)| offset).collect::<Vec<_>>();
    assert_eq!(offsets("a"), offsets("b"));
}

/// What a panic anywhere in a sink's task comes to.
struct Panics;

#[async_trait]
impl Sink for Panics {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Ok(Vec::new())
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        Away(Arc::default()).claim(claims).await
    }

    async fn write(&mut self, _: &Write) -> Result<Written, StageError> {
        panic!("a defect")
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_batch_of_which_a_sink_has_some_partitions_is_taken_as_new() {
    let mut world = World::new();
    let sinks = [("a", false), ("b", false), ("c", false)];
    let whole = Edition { scope: Scope::Batch, ..edition("whole", &COLUMNS, &sinks) };
    let part = |index| PlanPart {
        id: "w".into(),
        time: 1,
        recipe: (*recipe("whole")).clone(),
        range: Range { partition: partition(index), from: 0, to: 10 },
        kept: 1,
        of: PARTITIONS as usize,
    };
    // `a` keeps the batch. A person has moved `b` to its end in one partition, and `c` has nothing of it.
    for (sink, positions) in [("a", [10, 10, 10]), ("b", [10, 0, 0]), ("c", [0, 0, 0])] {
        let mut store = world.entry(sink).or_default().lock().unwrap();
        store.positions = (0..PARTITIONS).map(partition).zip(positions).collect();
        store.begin = store.positions.clone();
        store.plans = (0..PARTITIONS).map(part).filter(|_| sink == "a").collect();
    }
    let today = edition("today", &COLUMNS, &sinks);
    let run = worker_of(&mut world, &today, &[whole], Way { faults: false, ..way(1) }).run(CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").unwrap();
    sinks.iter().for_each(|(sink, _)| exactly(&world, sink, false, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_sinks_task_ends_the_run() {
    let mut world = World::new();
    let today = edition("only", &COLUMNS, &[("a", false), ("b", false)]);
    let continuous = Way { faults: false, trigger: Trigger::Continuous, ..way(1) };
    let mut worker = worker_of(&mut world, &today, &[], continuous);
    worker.sinks[1].inner = Box::new(Panics);
    let run = worker.run(CancellationToken::new());
    let error = tokio::time::timeout(Duration::from_secs(20), run).await.expect("it ends").unwrap_err();
    assert_eq!(error.fault, Fault::Defect);
    assert!(error.message.contains("sink `b` ended by a defect of this program"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_come_later_are_read_from_their_beginning() {
    let mut world = World::new();
    let today = edition("only", &COLUMNS, &[("a", false)]);
    let mut worker = worker_of(&mut world, &today, &[], Way { faults: false, ..way(1) });
    worker.source = Box::new(MemorySource { later: vec![2], ..MemorySource::quiet() });
    worker.run(CancellationToken::new()).await.unwrap();
    let begin: Vec<i64> = world["a"].lock().unwrap().begin.values().copied().collect();
    assert_eq!(begin, [RECORDS, RECORDS, 0], "`latest` is for what was there");
    assert!(rows(&world, "a", 0).is_empty());
    assert_eq!(rows(&world, "a", 2).len(), (0..RECORDS).filter(|offset| !is_bad(2, *offset)).count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_came_while_it_was_stopped_are_read_from_their_beginning() {
    let mut world = World::new();
    let today = edition("only", &COLUMNS, &[("a", false)]);
    let mut worker = worker_of(&mut world, &today, &[], Way { faults: false, ..way(1) });
    // It ran with sinks that keep no positions.
    let notes = vec![r#"{"sinks":{}}"#.to_string()];
    worker.source = Box::new(MemorySource { notes, committed: [(0, 3), (1, 5)].into(), ..MemorySource::quiet() });
    worker.run(CancellationToken::new()).await.unwrap();
    let begin: Vec<i64> = world["a"].lock().unwrap().begin.values().copied().collect();
    assert_eq!(begin, [3, 5, 0]);
}

/// Runs one sink that holds nothing, where these notes are found.
async fn with_notes(notes: &[&str], home: &str, new: bool) -> Result<(), StageError> {
    let mut world = World::new();
    let today = edition("only", &COLUMNS, &[("a", false)]);
    let mut worker = worker_of(&mut world, &today, &[], Way { faults: false, ..way(1) });
    worker.sinks.iter_mut().for_each(|sink| sink.new = new);
    worker.sinks[0].home = home.into();
    worker.source =
        Box::new(MemorySource { notes: notes.iter().map(|note| note.to_string()).collect(), ..MemorySource::quiet() });
    let ended = worker.run(CancellationToken::new()).await;
    let stored: Vec<Arc<Mutex<Store>>> = world.values().cloned().collect();
    let moved = stored.iter().any(|store| !store.lock().unwrap().positions.is_empty());
    assert_eq!(moved, ended.is_ok(), "an error comes before anything is claimed");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_lost_its_positions_is_asked_for() {
    with_notes(&[], "", false).await.unwrap();
    with_notes(&["", "what another tool noted"], "", false).await.unwrap();
    let error = with_notes(&[r#"{"sinks":{"a":""}}"#], "", false).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("sink `a` of this pipeline had positions, and has none here"), "{error}");
    assert!(error.remedy.contains("`new: true`"), "{error}");
    let error = with_notes(&[r#"{"sinks":{"before":""}}"#], "", false).await.unwrap_err();
    assert!(error.remedy.contains("`foretell positions adopt PIPELINE OLD a`"), "{error}");
    with_notes(&[r#"{"sinks":{"a":""}}"#], "", true).await.unwrap();
    // It ran with sinks that keep no positions: this one is beside them.
    with_notes(&[r#"{"sinks":{}}"#], "", false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_of_one_machine_is_not_written_on_another() {
    let there = [r#"{"sinks":{"a":"12ab host-a:/out"}}"#];
    let error = with_notes(&there, "34cd host-b:/out", false).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("writes it at `host-a:/out`, and here it is `host-b:/out`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lag_is_that_of_the_slowest_sink() {
    let mut world = World::new();
    let today = edition("only", &COLUMNS, &[("a", false), ("b", false)]);
    let mut worker = worker_of(&mut world, &today, &[], Way { faults: false, trigger: Trigger::Continuous, ..way(1) });
    worker.settings.limits.window = 1 << 20;
    worker.sinks[1].inner = Box::new(Away(world["b"].clone()));
    let asked = Arc::new(std::sync::atomic::AtomicU64::new(0));
    worker.source = Box::new(MemorySource { asked: asked.clone(), ..MemorySource::quiet() });
    let stats = worker.stats.clone();
    assert_eq!(stats.snapshot().lag, None, "nobody has looked yet");
    let running = tokio::spawn(worker.run(CancellationToken::new()));
    let all = |world: &World| {
        let store = world["a"].lock().unwrap();
        store.positions.len() == PARTITIONS as usize && store.positions.values().all(|next| *next == RECORDS)
    };
    let times = || asked.load(std::sync::atomic::Ordering::Relaxed);
    while !all(&world) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = times();
    while times() < before + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stats.snapshot().lag, Some(i64::from(PARTITIONS) * RECORDS), "the follower has nothing");
    running.abort();
}

/// While many small batches are made again, records of other partitions come with each of them.
#[tokio::test]
async fn what_a_replay_read_too_far_is_not_stored_in_pieces_as_small() {
    let today = edition("today", &COLUMNS, &[("a", false), ("b", false)]);
    let mut world = World::new();
    let part = |at: i64| PlanPart {
        id: format!("small-{at}"),
        time: at + 1,
        recipe: (*recipe("today")).clone(),
        range: Range { partition: partition(0), from: at, to: at + 1 },
        kept: 1,
        of: 1,
    };
    for name in ["a", "b", DEAD_LETTERS] {
        let mut store = Store::default();
        store.positions.extend((0..PARTITIONS).map(|index| (partition(index), 0)));
        if name == "a" {
            store.positions.insert(partition(0), 100);
            store.plans = (0..100).map(part).collect();
        }
        world.insert(name, Arc::new(Mutex::new(store)));
    }
    let way = Way { faults: false, ..way(3) };
    let run = worker_of(&mut world, &today, &[], way).run(CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("ends").unwrap();
    let time = |text: &String| text.rsplit_once("time=").unwrap().1.to_string();
    let mut batches: Vec<String> = rows(&world, "a", 1).iter().map(|(_, text)| time(text)).collect();
    batches.dedup();
    // 142 if each piece is a batch; the source hands out few records at a time.
    assert!(batches.len() < 90, "400 records of a partition came in {} batches", batches.len());
    assert_eq!(rows(&world, "b", 0).len(), (0..RECORDS).filter(|offset| !is_bad(0, *offset)).count());
}
