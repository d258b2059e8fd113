//! Several workers share a topic: in one process and in two, joining and leaving.

use std::time::Duration;

use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, exactly, expected, landed, three_sinks};
use crate::harness::until;

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

#[test]
fn a_sink_with_one_writer_refuses_two_workers() {
    let sandbox = Sandbox::ready("single", &three_sinks());
    let ended = sandbox.run(&["run", "--workers", "2"]);
    ended.says(&["pipeline.yaml:10: sinks.hdfs.file", "takes one writer", "`--workers 1`"]);
    assert_eq!(landed(&sandbox), 0);
}
