//! What every storage promises, on a temporary folder, on a real HDFS and on a real S3 service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foretell_connect::storage::{ErrorKind, Storage, parent};

use super::{S3Settings, StorageSettings, open};

fn variable(name: &str) -> String {
    let hint = "start the services with `dev/services up` and use what it prints";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {hint}"))
}

fn s3() -> (Arc<dyn Storage>, String) {
    let text = serde_json::json!({
        "endpoint": variable("FORETELL_S3"),
        "access_key_id": variable("FORETELL_S3_KEY"),
        "secret_access_key": variable("FORETELL_S3_SECRET"),
    });
    let s3: S3Settings = serde_json::from_value(text).unwrap();
    open(&format!("s3://foretell/storage-{}", uuid::Uuid::new_v4().simple()), Path::new("/"), &StorageSettings { s3 })
        .unwrap()
}

fn places() -> Vec<(Arc<dyn Storage>, String, Option<tempfile::TempDir>)> {
    let settings = StorageSettings::default();
    let folder = tempfile::tempdir().unwrap();
    let (local, root) = open(folder.path().to_str().unwrap(), Path::new("/"), &settings).unwrap();
    let url = variable("FORETELL_HDFS");
    let url = format!("{}/storage-{}", url.trim_end_matches('/'), uuid::Uuid::new_v4().simple());
    let (hdfs, hdfs_root) = open(&url, Path::new("/"), &settings).unwrap();
    let (s3, s3_root) = s3();
    vec![(local, root, Some(folder)), (hdfs, hdfs_root, None), (s3, s3_root, None)]
}

#[tokio::test]
async fn a_put_is_whole_and_never_replaces() {
    for (storage, root, _guard) in places() {
        let path = format!("{root}/a b/record.json");
        if storage.folders() {
            let error = storage.create_new(&path, "one".into()).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Missing, "a folder is never made on the way");
        }
        storage.prove_puts(&root).await.unwrap();
        storage.mkdirs(parent(&path)).await.unwrap();
        storage.mkdirs(parent(&path)).await.unwrap();
        storage.create_new(&path, "one".into()).await.unwrap();
        assert_eq!(storage.read(&path).await.unwrap(), "one");
        assert_eq!(storage.create_new(&path, "two".into()).await.unwrap_err().kind, ErrorKind::Exists);
        assert_eq!(storage.read(&path).await.unwrap(), "one");
        storage.settle().await;
        assert_eq!(storage.stat(&path).await.unwrap().unwrap().length, 3);
        assert_eq!(storage.stat(&format!("{path}x")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn of_many_puts_one_wins() {
    for (storage, root, _guard) in places() {
        storage.mkdirs(&root).await.unwrap();
        let path = format!("{root}/0.json");
        let puts = (0..8).map(|who: i32| storage.create_new(&path, who.to_string().into()));
        let results = futures::future::join_all(puts).await;
        let winners: Vec<usize> = (0..8).filter(|who| results[*who].is_ok()).collect();
        let [winner] = winners[..] else { panic!("{winners:?}") };
        assert!(results.iter().flat_map(|r| r.as_ref().err()).all(|error| error.kind == ErrorKind::Exists));
        assert_eq!(storage.read(&path).await.unwrap(), winner.to_string());
    }
}

#[tokio::test]
async fn a_rename_never_replaces() {
    for (storage, root, _guard) in places() {
        storage.mkdirs(&format!("{root}/view")).await.unwrap();
        for name in ["a", "b"] {
            storage.create_new(&format!("{root}/{name}"), name.into()).await.unwrap();
        }
        let to = format!("{root}/view/part");
        storage.rename_new(&format!("{root}/a"), &to).await.unwrap();
        let error = storage.rename_new(&format!("{root}/b"), &to).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists, "{error}");
        let error = storage.rename_new(&format!("{root}/a"), &format!("{root}/c")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Missing, "{error}");
        if storage.folders() {
            let error = storage.rename_new(&format!("{root}/b"), &format!("{root}/no/c")).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Missing, "{error}");
        }
        assert_eq!(storage.read(&to).await.unwrap(), "a");
        let names: Vec<String> = storage.list(&root).await.unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["b", "view"]);
    }
}

#[tokio::test]
async fn what_was_synced_is_read_though_nobody_closed() {
    for (storage, root, _guard) in places().into_iter().filter(|(storage, ..)| storage.folders()) {
        storage.mkdirs(&root).await.unwrap();
        let path = format!("{root}/open");
        let mut writer = storage.writer(&path).await.unwrap();
        writer.write("one\n".into()).await.unwrap();
        writer.sync().await.unwrap();
        assert_eq!(storage.stat(&path).await.unwrap().unwrap().length, 4);
        drop(writer);
        assert_eq!(storage.read(&path).await.unwrap(), "one\n");
        storage.recover(&path).await.unwrap();
        let mut writer = storage.append(&path).await.unwrap();
        writer.write("two\n".into()).await.unwrap();
        writer.sync().await.unwrap();
        writer.close().await.unwrap();
        assert_eq!(storage.read_range(&path, 2, 6).await.unwrap(), "e\ntw");
        assert_eq!(storage.writer(&path).await.err().unwrap().kind, ErrorKind::Exists);
        storage.delete(&root).await.unwrap();
        storage.delete(&root).await.unwrap();
        assert_eq!(storage.list(&root).await.unwrap_err().kind, ErrorKind::Missing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_many_blocks_grow_fast() {
    // The second part ends with a block of the tests' HDFS.
    const PARTS: [usize; 12] =
        [1 << 20, 3 << 20, 9, 700_001, 700_001, 700_001, 700_001, 700_001, 700_001, 700_001, 9 << 20, 1];
    let (storage, root, _) = places().remove(1);
    storage.mkdirs(&root).await.unwrap();
    let part = |number: usize| vec![number as u8; PARTS[number]];
    let write = |file: usize| {
        let (storage, path) = (storage.clone(), format!("{root}/{file}"));
        tokio::spawn(async move {
            let mut writer = storage.writer(&path).await.unwrap();
            for number in 0..PARTS.len() {
                writer.write(part(number).into()).await.unwrap();
            }
            writer.sync().await.unwrap();
            writer.close().await.unwrap();
            let bytes = storage.read(&path).await.unwrap();
            assert!(bytes.iter().eq((0..PARTS.len()).flat_map(part).collect::<Vec<_>>().iter()), "{path}");
        })
    };
    for written in (0..4).map(write).collect::<Vec<_>>() {
        written.await.unwrap();
    }
    storage.delete(&root).await.unwrap();
}

/// Closes at the ends of blocks are cut short and tried again: nothing may be on its way then.
#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_stalls_between_blocks_loses_nothing() {
    const PART: usize = 5 << 20;
    let (storage, root, _) = places().remove(1);
    storage.mkdirs(&root).await.unwrap();
    let path = format!("{root}/stalled");
    let stalls = tokio::spawn(async {
        loop {
            datanode("freeze");
            tokio::time::sleep(Duration::from_millis(400)).await;
            datanode("thaw");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
    let written = async {
        let mut writer = storage.writer(&path).await?;
        for number in 0..6 {
            writer.write(vec![number; PART].into()).await?;
        }
        writer.sync().await?;
        writer.close().await
    };
    let written: Result<(), _> = written.await;
    stalls.abort();
    let _ = stalls.await;
    datanode("thaw");
    written.unwrap();
    let bytes = storage.read(&path).await.unwrap();
    assert_eq!(bytes.len(), 6 * PART);
    assert!(bytes.chunks(PART).enumerate().all(|(number, part)| part.iter().all(|byte| *byte == number as u8)));
    storage.delete(&root).await.unwrap();
}

fn datanode(what: &str) {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/services");
    let done = std::process::Command::new(services).args([what, "datanode"]).status().unwrap();
    assert!(done.success(), "{what}");
}

#[tokio::test]
async fn a_lost_lease_ends_the_former_writer() {
    let (storage, root, _) = places().remove(1);
    storage.mkdirs(&root).await.unwrap();
    let path = format!("{root}/log");
    let mut zombie = storage.writer(&path).await.unwrap();
    zombie.write("one\n".into()).await.unwrap();
    zombie.sync().await.unwrap();
    storage.recover(&path).await.unwrap();
    let wrote = zombie.write("two\n".into()).await;
    assert!(wrote.is_err() || zombie.sync().await.is_err());
    assert_eq!(storage.read(&path).await.unwrap(), "one\n");
}

#[tokio::test]
async fn an_object_is_there_when_it_is_synced_and_not_before() {
    let (storage, root) = s3();
    let path = format!("{root}/a b/ü");
    let mut writer = storage.writer(&path).await.unwrap();
    // Larger than a part of an upload.
    let part = vec![7; 5 << 20];
    for _ in 0..3 {
        writer.write(part.clone().into()).await.unwrap();
    }
    assert_eq!(storage.stat(&path).await.unwrap(), None);
    writer.sync().await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(storage.read(&path).await.unwrap().len(), 15 << 20);
    assert_eq!(storage.append(&path).await.err().unwrap().kind, ErrorKind::Settings);
    storage.delete(&root).await.unwrap();
    storage.delete(&root).await.unwrap();
    assert_eq!(storage.list(&root).await.unwrap_err().kind, ErrorKind::Missing);
}

#[tokio::test]
async fn a_rename_on_s3_that_was_cut_is_finished_and_another_object_is_not_replaced() {
    let (storage, root) = s3();
    let (from, to) = (format!("{root}/staging/0"), format!("{root}/part"));
    // The second is more than the service copies by itself, in these tests.
    for size in [3, (3 << 20) + 1] {
        let bytes = bytes::Bytes::from(vec![7; size]);
        storage.create_new(&from, bytes.clone()).await.unwrap();
        storage.rename_new(&from, &to).await.unwrap();
        assert_eq!(storage.stat(&from).await.unwrap(), None);
        assert!(storage.read(&to).await.unwrap() == bytes);
        // The copy was made, the delete was not.
        storage.create_new(&from, bytes.clone()).await.unwrap();
        storage.rename_new(&from, &to).await.unwrap();
        assert_eq!(storage.stat(&from).await.unwrap(), None);
        // Of the same length, and another.
        let mut other = bytes.to_vec();
        other[size - 1] = 8;
        storage.create_new(&from, other.into()).await.unwrap();
        assert_eq!(storage.rename_new(&from, &to).await.unwrap_err().kind, ErrorKind::Exists);
        assert!(storage.read(&to).await.unwrap() == bytes);
        storage.delete(&root).await.unwrap();
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    let text = serde_json::json!({
        "endpoint": variable("FORETELL_S3"),
        "access_key_id": variable("FORETELL_S3_KEY"),
        "secret_access_key": variable("FORETELL_S3_SECRET"),
    });
    let s3: S3Settings = serde_json::from_value(text).unwrap();
    let (storage, path) = open("s3://no-such-bucket/out", Path::new("/"), &StorageSettings { s3 }).unwrap();
    let error = storage.check_folder(&path).await.unwrap_err();
    assert_eq!(
        (error.kind, error.what.as_str()),
        (ErrorKind::Settings, "no such bucket: create it, or correct the name")
    );
    let error = storage.prove_puts(&path).await.unwrap_err();
    assert_eq!(
        (error.kind, error.what.as_str()),
        (ErrorKind::Settings, "no such bucket: create it, or correct the name")
    );
}
