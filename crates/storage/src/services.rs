//! What every storage promises, on a temporary folder and on a real HDFS.

use std::path::Path;
use std::sync::Arc;

use foretell_connect::storage::{ErrorKind, Storage, parent};

use super::open;

fn places() -> Vec<(Arc<dyn Storage>, String, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let (local, root) = open(folder.path().to_str().unwrap(), Path::new("/")).unwrap();
    let url = std::env::var("FORETELL_HDFS")
        .expect("FORETELL_HDFS is not set: start the services with `dev/services up` and use what it prints");
    let url = format!("{}/storage-{}", url.trim_end_matches('/'), uuid::Uuid::new_v4().simple());
    let (hdfs, hdfs_root) = open(&url, Path::new("/")).unwrap();
    vec![(local, root, Some(folder)), (hdfs, hdfs_root, None)]
}

#[tokio::test]
async fn a_put_is_whole_and_never_replaces() {
    for (storage, root, _guard) in places() {
        let path = format!("{root}/a b/record.json");
        let error = storage.create_new(&path, "one".into()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Missing, "a folder is never made on the way");
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
        let error = storage.rename_new(&format!("{root}/b"), &format!("{root}/no/c")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Missing, "{error}");
        assert_eq!(storage.read(&to).await.unwrap(), "a");
        let names: Vec<String> = storage.list(&root).await.unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["b", "view"]);
    }
}

#[tokio::test]
async fn what_was_synced_is_read_though_nobody_closed() {
    for (storage, root, _guard) in places() {
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
