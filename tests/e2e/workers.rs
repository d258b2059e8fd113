//! Several workers share a topic: in one process and in two, joining and leaving.

use std::time::Duration;

use crate::harness::database::Database;
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, exactly, expected, landed, three_sinks};
use crate::harness::{foretell, kafka, until};

#[test]
fn workers_join_and_leave_and_every_row_lands_once() {
    let sandbox = Sandbox::ready("workers", SHARED);
    sandbox.orders(0..4_000);
    let first = sandbox.start(&["run", "--workers", "2"]);
    until("rows of two workers", || landed(&sandbox) > 1_000);
    let second = sandbox.start(&["run", "--worker-id", "b"]);
    until("the second process runs", || second.log().contains("running"));
    sandbox.orders(4_000..9_000);
    until("rows of three workers", || landed(&sandbox) >= 7_000);
    second.terminate();
    second.ended(Duration::from_secs(10)).well();
    sandbox.orders(9_000..12_000);
    until("rows of those who stay", || landed(&sandbox) == 12_000);
    first.terminate();
    first.ended(Duration::from_secs(10)).well();
    exactly(&sandbox, expected(0..12_000));
}

/// A session that would end in five minutes only: what the group remembers of a member that is gone is not waited for.
#[test]
fn two_processes_under_one_worker_id_settle_and_every_row_lands_once() {
    let sandbox = Sandbox::ready("twice", &SHARED.replace("session.timeout.ms: 6000", "session.timeout.ms: 300000"));
    sandbox.orders(0..1_000);
    let first = sandbox.start(&["run"]);
    until("the first one works", || landed(&sandbox) == 1_000);
    let second = sandbox.start(&["run"]);
    sandbox.orders(1_000..3_000);
    let ended = first.ended(Duration::from_secs(60));
    ended.says(&["another process joined the group as `", "each worker needs an id of its own: `--worker-id`"]);
    until("the second one goes on", || landed(&sandbox) == 3_000);
    second.terminate();
    second.ended(Duration::from_secs(10)).well();
    exactly(&sandbox, expected(0..3_000));
}

#[test]
fn a_sink_with_one_writer_refuses_two_workers() {
    let sandbox = Sandbox::ready("single", &three_sinks());
    let ended = sandbox.run(&["run", "--workers", "2"]);
    ended.says(&["pipeline.yaml:10: sinks.hdfs.file", "takes one writer", "`--workers 1`"]);
    assert_eq!(landed(&sandbox), 0);
}

/// Two folders with a `state:` of their own each, as two machines have, under a table that may change.
#[test]
fn a_state_of_its_own_is_refused_on_a_second_machine_until_the_first_is_gone() {
    const TEXT: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id}, options: { session.timeout.ms: 6000 } } }
decode: { csv: { columns: [dept: int64] } }
tables: { depts: { file: depts.csv, key: id, refresh: 1h } }
query: SELECT _key AS pno, depts.name FROM records LEFT JOIN depts ON dept = depts.id
sinks: { db: { sql: { url: { env: MARIADB_URL }, table: t_${id} } } }
trigger: continuous
";
    let (sandbox, elsewhere) = (Sandbox::new("apart"), tempfile::tempdir().unwrap());
    sandbox.pipeline(TEXT);
    sandbox.topics(TEXT);
    Database::MariaDb.execute(&format!("CREATE TABLE {} (pno VARCHAR(40), name VARCHAR(40))", sandbox.name("t")));
    for folder in [sandbox.dir.path(), elsewhere.path()] {
        std::fs::write(folder.join("depts.csv"), "id,name\n1,MRI\n").unwrap();
    }
    let other = elsewhere.path().join("pipeline.yaml").display().to_string();
    std::fs::write(&other, sandbox.text(TEXT)).unwrap();
    let there = || foretell::start(&["run", &other, "--worker-id", "b"], &sandbox.env);
    let send = |numbers: std::ops::Range<usize>| {
        let record = |at: usize| (Some((at % 3) as i32), Some(format!("p{at}")), Some("1".to_string()));
        kafka::produce(&sandbox.name("in"), numbers.map(record));
    };
    let rows = || Database::MariaDb.count(&sandbox.name("t"));

    let first = sandbox.start(&["run"]);
    send(0..30);
    until("the first one works", || rows() == 30 && kafka::notes(&sandbox.id, &sandbox.name("in")).len() == 3);
    there()
        .ended(Duration::from_secs(60))
        .says(&["another worker keeps its own elsewhere at `", "name a `state:` that all machines share"]);
    send(30..60);
    until("the first one goes on", || rows() == 60);
    first.kill();
    // The group takes it for living for a session yet.
    let second = there();
    send(60..90);
    until("the second one has its place", || rows() == 90);
    assert!(second.log().contains("workers of this pipeline kept theirs at `"), "{}", second.log());
    second.terminate();
    second.ended(Duration::from_secs(10)).well();
}
