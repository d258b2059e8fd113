//! SIGTERM drains; a second one leaves at once; both lose nothing.

use std::time::Duration;

use sqlx::{Connection, Executor, MySqlConnection};

use crate::harness::database::Database;
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, exactly, expected, landed};
use crate::harness::{until, wait};

#[test]
fn sigterm_finishes_what_is_under_way_within_ten_seconds() {
    let sandbox = Sandbox::ready("sigterm", SHARED);
    sandbox.orders(0..20_000);
    let run = sandbox.start(&["run"]);
    until("the first rows", || landed(&sandbox) > 0);
    run.terminate();
    let ended = run.ended(Duration::from_secs(10)).well();
    assert!(ended.err.contains("ended"), "it says what was done: {}", ended.err);
    assert!(landed(&sandbox) < 20_000, "stopped in the middle");
    // Drained: what the leader has, the topic has.
    exactly_alike(&sandbox);

    let run = sandbox.start(&["run"]);
    until("the rest", || landed(&sandbox) == 20_000);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    exactly(&sandbox, expected(0..20_000));
}

#[track_caller]
fn exactly_alike(sandbox: &Sandbox) {
    exactly(sandbox, crate::harness::streams::table(sandbox));
}

/// Whether someone's statement on a table waits for a lock.
fn waits(table: &str) -> bool {
    const WAITING: &str = "SELECT COUNT(*) FROM information_schema.processlist \
                           WHERE state LIKE 'Waiting for table%' AND info LIKE CONCAT('%', ?, '%')";
    let mut database = wait(MySqlConnection::connect(&Database::MariaDb.url())).unwrap();
    let waiting: i64 = wait(sqlx::query_scalar(WAITING).bind(table).fetch_one(&mut database)).unwrap();
    waiting > 0
}

#[test]
fn a_second_signal_leaves_at_once_and_loses_nothing() {
    let sandbox = Sandbox::ready("twice", SHARED);
    sandbox.orders(0..2_000);
    // A lock on the table holds the batch up.
    let table = sandbox.name("result");
    let mut blocker = wait(MySqlConnection::connect(&Database::MariaDb.url())).unwrap();
    wait(blocker.execute(sqlx::AssertSqlSafe(format!("LOCK TABLES {table} WRITE")))).unwrap();
    let mut run = sandbox.start(&["run"]);
    until("its write waits for the lock", || waits(&table));
    run.terminate();
    until("it drains", || run.log().contains("stopping"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(run.alive(), "the batch is still under way: {}", run.log());
    run.terminate();
    let ended = run.ended(Duration::from_secs(1));
    assert!(ended.err.contains("leaving at once"), "{}", ended.err);
    wait(blocker.execute("UNLOCK TABLES")).unwrap();
    wait(blocker.close()).unwrap();

    let run = sandbox.start(&["run"]);
    until("everything", || landed(&sandbox) == 2_000);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    exactly(&sandbox, expected(0..2_000));
}
