//! What holds when the writer dies at any point, and when several write.

use foretell_flow::Fault;
use tokio::task::JoinSet;

use super::mortal::{Death, Mortal};
use super::*;

/// Three batches; where each partition ends.
const ENDS: [(i32, i64); 2] = [(0, 25), (1, 10)];

async fn life_of(case: Case, sink: &mut Box<dyn Sink>) -> Result<(), StageError> {
    sink.claim(&claims(&[0, 1])).await?;
    sink.write(&batch(&[range(0, 0, 10), range(1, 0, 5)])).await?;
    sink.write(&batch(&[range(0, 10, 20)])).await?;
    write_sliced(case, sink, &[range(1, 5, 10), range(0, 20, 25)]).await?;
    sink.close().await
}

/// A first life that ends at the n-th change, a second one that goes on with other batches. False where the first life
/// came to its end.
async fn two_lives(case: Case, place: TestFolder, changes: u64, death: Death) -> bool {
    let mortal = Mortal::new(place.storage.clone(), changes, death);
    let mut sink = open_with(case, mortal, &place.root, "0").await.unwrap();
    let died = life_of(case, &mut sink).await.is_err();
    drop(sink);

    // Another worker, or the same one again.
    let mut sink = open(case, &place, if changes.is_multiple_of(2) { "0" } else { "1" }).await;
    let held = sink.claim(&claims(&[0, 1])).await.unwrap();
    for (index, end) in ENDS {
        let mut at = next_of(&held, index);
        while at < end {
            let to = (at + 7).min(end);
            sink.write(&batch(&[range(index, at, to)])).await.unwrap();
            at = to;
        }
    }
    sink.close().await.unwrap();
    let expected = once(&[range(0, 0, 25), range(1, 0, 10)]);
    assert_eq!(landed(case, &place).await, expected, "{case:?}, {death:?} change {changes}");

    // A third life finds nothing left to clear up.
    let mut sink = open(case, &place, "2").await;
    sink.claim(&claims(&[0, 1])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(landed(case, &place).await, expected, "{case:?}, {death:?} change {changes}, third life");
    let hidden = match case.append() {
        true => format!("{}/_foretell/append/utime", place.root),
        false => format!("{}/out/_foretell/{}/{}/staging", place.root, escape("mri / Köln"), escape("../out")),
    };
    let left = place.storage.list(&hidden).await.unwrap_or_default();
    let left: Vec<&str> = left.iter().map(|entry| entry.name.as_str()).filter(|name| *name != "lock").collect();
    assert_eq!(left.len(), usize::from(case.append()), "{case:?}, {death:?} change {changes}: {left:?}");
    // A file that a death left open reserves a whole block on HDFS: hundreds of them fill a disk.
    sink.close().await.unwrap();
    place.storage.delete(&place.root).await.unwrap();
    died
}

/// Dies at every change there is.
pub(super) async fn all_deaths(case: Case, place: fn() -> TestFolder, at_once: usize) {
    for death in [Death::Before, Death::Halfway, Death::After] {
        let (mut next, mut running, mut ended) = (1, JoinSet::new(), false);
        while !ended || !running.is_empty() {
            while !ended && running.len() < at_once {
                running.spawn(two_lives(case, place(), next, death));
                next += 1;
            }
            if let Some(died) = running.join_next().await {
                ended |= !died.unwrap();
            }
        }
        // The suite would prove nothing if it died nowhere.
        assert!(next > 12, "{case:?}: {next} changes");
    }
}

#[tokio::test]
async fn a_death_at_any_point_loses_and_doubles_nothing() {
    for case in CASES {
        all_deaths(case, TestFolder::local, 4).await;
    }
}

pub(super) async fn a_zombie_is_fenced_by_the_next_claim(place: TestFolder) {
    let case = Case::CsvFiles;
    let mut zombie = open(case, &place, "0").await;
    zombie.claim(&claims(&[0, 1])).await.unwrap();
    zombie.write(&batch(&[range(0, 0, 5), range(1, 0, 5)])).await.unwrap();
    let mut owner = open(case, &place, "1").await;
    let held = owner.claim(&claims(&[0])).await.unwrap();
    assert_eq!(next_of(&held, 0), 5);
    // It still has partition 1, but not 0, and not both at once.
    zombie.write(&batch(&[range(1, 5, 7)])).await.unwrap();
    let error = zombie.write(&batch(&[range(0, 5, 15), range(1, 7, 9)])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced);
    owner.write(&batch(&[range(0, 5, 9)])).await.unwrap();
    zombie.close().await.unwrap();
    owner.close().await.unwrap();
    assert_eq!(landed(case, &place).await, once(&[range(0, 0, 9), range(1, 0, 7)]));
}

pub(super) async fn many_writers_that_fight_for_one_partition_double_nothing(place: TestFolder) {
    async fn fight(case: Case, storage: Arc<dyn Storage>, root: String, worker: u64, end: i64) {
        let mut sink = open_with(case, storage, &root, &worker.to_string()).await.unwrap();
        let mut lost = 0;
        'claim: loop {
            // Who claims at once again takes from the others before they have written.
            lost += 1;
            tokio::time::sleep(std::time::Duration::from_millis((lost * (7 + worker * 3)) % 300)).await;
            let held = sink.claim(&claims(&[0])).await.unwrap();
            let mut at = next_of(&held, 0);
            while at < end {
                match sink.write(&batch(&[range(0, at, at + 1)])).await {
                    Ok(_) => at += 1,
                    Err(error) if error.fault == Fault::Fenced => continue 'claim,
                    Err(error) => panic!("{error}"),
                }
            }
            break;
        }
        sink.close().await.unwrap();
    }
    let end = 40;
    let mut fighters = JoinSet::new();
    for worker in 0..4 {
        let (storage, root) = (place.storage.clone(), place.root.clone());
        fighters.spawn(fight(Case::CsvFiles, storage, root, worker, end));
    }
    while let Some(done) = fighters.join_next().await {
        done.unwrap();
    }
    assert_eq!(landed(Case::CsvFiles, &place).await, once(&[range(0, 0, end)]));
}

pub(super) async fn workers_with_their_own_partitions_write_side_by_side(place: TestFolder) {
    let end = 30;
    let mut workers = JoinSet::new();
    for index in 0..3 {
        let mut sink = open(Case::ParquetFiles, &place, &index.to_string()).await;
        workers.spawn(async move {
            sink.claim(&claims(&[index])).await.unwrap();
            for at in 0..end {
                sink.write(&batch(&[range(index, at, at + 1)])).await.unwrap();
            }
            sink.close().await.unwrap();
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    let expected = once(&[range(0, 0, end), range(1, 0, end), range(2, 0, end)]);
    assert_eq!(landed(Case::ParquetFiles, &place).await, expected);
}

#[tokio::test]
async fn a_second_local_writer_of_an_appended_file_is_refused() {
    let place = TestFolder::local();
    let mut first = open(Case::CsvAppend, &place, "0").await;
    first.claim(&claims(&[0])).await.unwrap();
    first.write(&batch(&[range(0, 0, 2)])).await.unwrap();
    let mut second = open(Case::CsvAppend, &place, "1").await;
    let error = second.claim(&claims(&[0])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.contains("has a writer already"), "{error}");
    first.write(&batch(&[range(0, 2, 4)])).await.unwrap();
    first.close().await.unwrap();
    // Then it may.
    assert_eq!(next_of(&second.claim(&claims(&[0])).await.unwrap(), 0), 4);
    assert_eq!(landed(Case::CsvAppend, &place).await, once(&[range(0, 0, 4)]));
}

pub(super) async fn a_file_that_someone_else_changed_stops_loudly_until_it_is_accepted(place: TestFolder) {
    let case = Case::CsvAppend;
    let path = format!("{}/utime", place.root);
    let mut sink = open(case, &place, "0").await;
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 0, 2)])).await.unwrap();
    sink.close().await.unwrap();
    let mut other = place.storage.append(&path).await.unwrap();
    other.write("foreign\n".into()).await.unwrap();
    other.sync().await.unwrap();
    other.close().await.unwrap();

    let error = sink.claim(&claims(&[0])).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("someone else writes to it"), "{error}");
    let position = Position { partition: partition(0), next: 2 };
    sink.reset(&foretell_flow::Reset::Set { position, identity: "cluster/topic".into() }).await.unwrap();
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 2, 3)])).await.unwrap();
    sink.close().await.unwrap();
    let text = place.storage.read(&path).await.unwrap();
    assert!(text.ends_with(b"foreign\n0,2,\"row, \"\"0\"\"/2\"\n"));

    place.storage.delete(&path).await.unwrap();
    let error = sink.claim(&claims(&[0])).await.unwrap_err();
    assert_eq!((error.fault, error.message.contains("is gone")), (Fault::State, true), "{error}");
}

pub(super) async fn a_long_sidecar_is_followed_by_a_new_one(place: TestFolder) {
    let case = Case::JsonlAppend;
    let mut sink = open(case, &place, "0").await;
    sink.claim(&claims(&[0])).await.unwrap();
    // Some 6 MB each.
    let (step, end) = (100_000, 500_000);
    for at in (0..end).step_by(step as usize) {
        sink.write(&batch(&[range(0, at, at + step)])).await.unwrap();
    }
    let sidecars = place.storage.list(&format!("{}/_foretell/append/utime", place.root)).await.unwrap();
    let wals: Vec<_> = sidecars.iter().filter(|entry| entry.name.ends_with(".wal")).collect();
    assert_eq!(wals.len(), 1);
    assert!(wals[0].name.starts_with("00000000000000000001"), "{}", wals[0].name);
    drop(sink);
    let mut sink = open(case, &place, "0").await;
    assert_eq!(next_of(&sink.claim(&claims(&[0])).await.unwrap(), 0), end);
    sink.close().await.unwrap();
    assert_eq!(landed(case, &place).await.len(), end as usize);
}

on_each_storage!(
    a_zombie_is_fenced_by_the_next_claim,
    many_writers_that_fight_for_one_partition_double_nothing,
    workers_with_their_own_partitions_write_side_by_side,
    a_file_that_someone_else_changed_stops_loudly_until_it_is_accepted,
    a_long_sidecar_is_followed_by_a_new_one,
);

mod services {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_death_at_any_point_loses_and_doubles_nothing_on_hdfs() {
        for case in [Case::CsvFiles, Case::CsvAppend] {
            all_deaths(case, TestFolder::hdfs, 12).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_death_at_any_point_loses_and_doubles_nothing_on_s3() {
        all_deaths(Case::CsvFiles, TestFolder::s3, 8).await;
    }

    /// On S3 a record can be put into a part of the log that is gone; then it must not count.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_slept_on_s3_until_its_part_of_the_log_was_gone_stores_nothing_twice() {
        let (place, case) = (TestFolder::s3(), Case::CsvFiles);
        let mut sleeper = open(case, &place, "1").await;
        sleeper.claim(&claims(&[0, 1])).await.unwrap();
        sleeper.write(&batch(&[range(1, 0, 2)])).await.unwrap();
        let mut sink = open(case, &place, "0").await;
        sink.claim(&claims(&[0, 1])).await.unwrap();
        for at in 0..200 {
            sink.write(&batch(&[range(0, at, at + 1)])).await.unwrap();
        }
        // What it knows says that it owns both.
        let error = sleeper.write(&batch(&[range(0, 0, 4), range(1, 2, 4)])).await.unwrap_err();
        assert_eq!(error.fault, Fault::Unavailable, "{error}");
        sink.write(&batch(&[range(1, 2, 3)])).await.unwrap();
        sink.close().await.unwrap();
        let held = sleeper.claim(&claims(&[0, 1])).await.unwrap();
        assert_eq!((next_of(&held, 0), next_of(&held, 1)), (200, 3));
        sleeper.write(&batch(&[range(1, 3, 4)])).await.unwrap();
        sleeper.close().await.unwrap();
        assert_eq!(landed(case, &place).await, once(&[range(0, 0, 200), range(1, 0, 4)]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn writers_of_one_folder_on_s3_double_nothing() {
        a_zombie_is_fenced_by_the_next_claim(TestFolder::s3()).await;
        many_writers_that_fight_for_one_partition_double_nothing(TestFolder::s3()).await;
        workers_with_their_own_partitions_write_side_by_side(TestFolder::s3()).await;
    }
}
