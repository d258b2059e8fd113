//! What only an HDFS cluster does: leases, killed clients, a second machine's writer.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::Instant;

use foretell_flow::Fault;

use super::*;
use foretell_connect::storage::Reading;

#[tokio::test]
async fn the_next_writer_of_an_appended_file_stops_the_one_before() {
    let (place, case) = (TestFolder::hdfs(), Case::CsvAppend);
    let mut first = open(case, &place, "0").await;
    first.claim(&claims(&[0])).await.unwrap();
    first.write(&batch(&[range(0, 0, 2)])).await.unwrap();
    let mut second = open(case, &place, "1").await;
    assert_eq!(next_of(&second.claim(&claims(&[0])).await.unwrap(), 0), 2);
    // Its stream is gone; and it does not take the file back.
    assert_eq!(first.write(&batch(&[range(0, 2, 4)])).await.unwrap_err().fault, Fault::Unavailable);
    let error = first.claim(&claims(&[0])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.contains("another writer has taken"), "{error}");
    second.write(&batch(&[range(0, 2, 3)])).await.unwrap();
    second.close().await.unwrap();
    assert_eq!(landed(case, &place).await, once(&[range(0, 0, 3)]));
}

#[tokio::test]
async fn positions_are_told_of_a_file_that_is_being_written() {
    let (place, case) = (TestFolder::hdfs(), Case::CsvAppend);
    let mut sink = open(case, &place, "0").await;
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 0, 2)])).await.unwrap();
    let mut other = open(case, &place, "1").await;
    assert_eq!(next_of(&other.positions().await.unwrap(), 0), 2);
    // The writer loses its stream by that, but not its place.
    let mut at = 2;
    if sink.write(&batch(&[range(0, 2, 3)])).await.is_err() {
        at = next_of(&sink.claim(&claims(&[0])).await.unwrap(), 0);
    } else {
        at += 1;
    }
    sink.write(&batch(&[range(0, at, 5)])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(landed(case, &place).await, once(&[range(0, 0, 5)]));
}

/// Set in the process that is to be killed: the folder, and `files` or `append`.
const VICTIM: &str = "FORETELL_TEST_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_is_followed_at_once() {
    if let Ok(spec) = std::env::var(VICTIM) {
        let (mode, url) = spec.split_once(' ').unwrap();
        let case = if mode == "append" { Case::CsvAppend } else { Case::CsvFiles };
        let (storage, root) =
            foretell_storage::open(url, Path::new("/"), &foretell_storage::StorageSettings::default()).unwrap();
        let mut sink = open_with(case, storage, &root, "0").await.unwrap();
        let held = sink.claim(&claims(&[0])).await.unwrap();
        for at in next_of(&held, 0) / 100.. {
            sink.write(&batch(&[range(0, at * 100, at * 100 + 100)])).await.unwrap();
            println!("committed {}", at * 100 + 100);
        }
    }

    for case in [Case::CsvFiles, Case::CsvAppend] {
        let place = TestFolder::hdfs();
        let mode = if case.append() { "append" } else { "files" };
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "sink::tests::services::a_killed_client_is_followed_at_once"])
            .env(VICTIM, format!("{mode} {}", place.storage.url(&place.root)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut committed = 0;
        for line in std::io::BufReader::new(victim.stdout.take().unwrap()).lines() {
            // The test runner prints before it on the same line.
            if let Some((_, number)) = line.unwrap().split_once("committed ") {
                committed = number.parse().unwrap();
            }
            if committed == 1000 {
                victim.kill().unwrap();
            }
        }
        victim.wait().unwrap();
        assert!(committed >= 1000, "the victim committed {committed}");

        let started = Instant::now();
        let mut sink = open(case, &place, "0").await;
        let held = sink.claim(&claims(&[0])).await.unwrap();
        let took = started.elapsed();
        println!("{mode}: claimed {took:?} after a kill");
        assert!(took.as_secs() < 20, "{took:?}");
        let at = next_of(&held, 0);
        assert!(at >= committed, "{at} is stored, {committed} were committed");
        sink.write(&batch(&[range(0, at, at + 50)])).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(landed(case, &place).await, once(&[range(0, 0, at + 50)]));
    }
}

#[tokio::test]
async fn how_long_a_commit_takes() {
    for case in [Case::CsvFiles, Case::CsvAppend] {
        for place in [TestFolder::local(), TestFolder::hdfs()] {
            let mut sink = open(case, &place, "0").await;
            let started = Instant::now();
            sink.claim(&claims(&[0])).await.unwrap();
            let claimed = started.elapsed();
            let mut took = Vec::new();
            for at in 0..100 {
                let write = batch(&[range(0, at * 100, at * 100 + 100)]);
                let started = Instant::now();
                sink.write(&write).await.unwrap();
                took.push(started.elapsed().as_secs_f64() * 1e3);
            }
            let started = Instant::now();
            sink.close().await.unwrap();
            let closed = started.elapsed();
            took.sort_by(f64::total_cmp);
            println!(
                "{case:?} {}: claim {claimed:?}, commit p50 {:.2} ms, p99 {:.2} ms, close {closed:?}",
                place.storage.url("").split(':').next().unwrap(),
                took[50],
                took[98],
            );
            // Far above what is seen; a close in the way would be over it.
            assert!(took[50] < 200.0, "{} ms", took[50]);
        }
    }
}

#[tokio::test]
async fn a_name_service_is_found_through_its_configuration() {
    let url =
        std::env::var("FORETELL_HDFS").expect("FORETELL_HDFS is not set: start the services with `dev/services up`");
    let address = url.trim_start_matches("hdfs://").trim_end_matches('/');
    let folder = tempfile::tempdir().unwrap();
    let property = |name: &str, value: &str| format!("<property><name>{name}</name><value>{value}</value></property>");
    let site = format!(
        "<configuration>{}{}{}{}</configuration>",
        property("dfs.nameservices", "ours"),
        property("dfs.ha.namenodes.ours", "dead,live"),
        // Nobody listens on the first one: the second must be tried.
        property("dfs.namenode.rpc-address.ours.dead", "127.0.0.1:9"),
        property("dfs.namenode.rpc-address.ours.live", address),
    );
    std::fs::write(folder.path().join("hdfs-site.xml"), site).unwrap();
    let config = Some(folder.path().to_path_buf());
    let storage = foretell_storage::Hdfs::connect_with("ours", config.clone()).unwrap();
    storage.mkdirs("/test-name-service").await.unwrap();
    assert!(storage.stat("/test-name-service").await.unwrap().unwrap().folder);

    let error = foretell_storage::Hdfs::connect_with("theirs", config).unwrap_err();
    assert!(error.what.contains("dfs.ha.namenodes.theirs"), "{error}");
}

#[tokio::test]
async fn a_namenode_that_is_not_there_is_said_soon() {
    let started = Instant::now();
    let settings: Settings = settings_of(json!({ "path": "hdfs://127.0.0.1:9/out", "format": "csv" })).unwrap();
    let error = SinkSettings::open(&settings, &context("0")).await.err().unwrap();
    assert!(error.message.contains("hdfs://127.0.0.1:9: the NameNode cannot be reached"), "{error}");
    assert!(started.elapsed().as_secs() < 10);
}
