//! Sidecars and commit logs that no version wrote: they are refused, and nothing else happens.

use proptest::prelude::*;

use super::*;

/// What is stored of an appended file and of a folder of files, after two batches each.
async fn stored() -> (TestFolder, Vec<u8>, Vec<u8>) {
    let place = TestFolder::local();
    for case in [Case::CsvAppend, Case::CsvFiles] {
        let mut sink = open(case, &place, "0").await;
        sink.claim(&claims(&[0])).await.unwrap();
        sink.write(&batch(&[range(0, 0, 2)])).await.unwrap();
        sink.write(&batch(&[range(0, 2, 3)])).await.unwrap();
        sink.close().await.unwrap();
    }
    let sidecar = place.storage.read(&sidecar(&place)).await.unwrap().to_vec();
    let record = place.storage.read(&record(&place)).await.unwrap().to_vec();
    (place, sidecar, record)
}

fn sidecar(place: &TestFolder) -> String {
    format!("{}/_foretell/append/utime/{:020}.wal", place.root, 0)
}

fn record(place: &TestFolder) -> String {
    let log = format!("{}/out/_foretell/{}/{}/log", place.root, escape("mri / Köln"), escape("../out"));
    format!("{log}/{:012}/{:020}.json", 0, 2)
}

/// Claims and writes on what is stored now; `None` where it is refused.
async fn goes_on(case: Case, place: &TestFolder) -> Option<i64> {
    let path = format!("{}/{}", place.root, case.name());
    let mut sink = case.settings().open_in(&context("0"), place.storage.clone(), path).await.ok()?.boxed();
    let held = sink.claim(&claims(&[0])).await.ok()?;
    let next = next_of(&held, 0);
    sink.write(&batch(&[range(0, next, next.checked_add(1)?)])).await.ok()?;
    sink.close().await.ok()?;
    Some(next)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn damage_is_refused_or_was_never_committed(
        at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), log in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (place, sidecar_bytes, record_bytes) = stored().await;
            let (case, path, mut bytes) = match log {
                true => (Case::CsvFiles, record(&place), record_bytes),
                false => (Case::CsvAppend, sidecar(&place), sidecar_bytes),
            };
            let at = at.index(bytes.len());
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] = byte,
            }
            std::fs::write(&path, &bytes).unwrap();
            // Whatever is read of it, the next position is one that was stored.
            let next = goes_on(case, &place).await;
            assert!(next.is_none_or(|next| [0, 2, 3].contains(&next) || log), "{next:?}");
        });
    }

    #[test]
    fn any_bytes_are_refused_or_mean_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = TestFolder::local();
            std::fs::create_dir_all(format!("{}/_foretell/append/utime", place.root)).unwrap();
            std::fs::write(sidecar(&place), &bytes).unwrap();
            assert_eq!(goes_on(Case::CsvAppend, &place).await.unwrap_or_default(), 0);
        });
    }
}
