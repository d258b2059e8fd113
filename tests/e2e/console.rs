//! Rows on the screen: the example with the forest, and dry runs of pipelines whose sinks are elsewhere.

use std::time::Duration;

use crate::harness::case::same;
use crate::harness::kafka;
use crate::harness::orders::{ORDERS, order};
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, expected, landed, table};
use crate::harness::{root, until};

/// The cells of the rows that were printed for a sink, without the columns' names.
fn rows(printed: &str, sink: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in
        printed.split("Batch ").skip(1).filter(|batch| batch.lines().next().unwrap().contains(&format!("of {sink} ")))
    {
        let lines = batch.lines().filter(|line| line.starts_with('|')).skip(1);
        rows.extend(lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()));
    }
    rows
}

fn joined(rows: Vec<Vec<String>>) -> Vec<String> {
    rows.into_iter().map(|row| row.join(" ")).collect()
}

/// The example as it is committed, with other addresses, and every row printed.
#[test]
fn the_forest_prints_what_python_predicts() {
    let mut text = std::fs::read_to_string(root().join("examples/forest-console/pipeline.yaml")).unwrap();
    for (from, to) in [
        ("pipeline: forest-console", "pipeline: ${id}"),
        ("localhost:9092", "${kafka}"),
        ("topic: Pdata", "topic: in_${id}"),
        ("../mri/", "${root}/examples/mri/"),
        ("console: {}", "console: { rows: 1000 }"),
        ("{ every: 5s }", "available_now"),
    ] {
        assert!(text.contains(from), "the example has `{from}`");
        text = text.replace(from, to);
    }
    let sandbox = Sandbox::new("forest");
    sandbox.pipeline(&text);
    sandbox.topics(&text);
    let record = |at: usize| (None, Some(ORDERS[at].pno.clone()), Some(ORDERS[at].features.clone()));
    kafka::produce(&sandbox.name("in"), (0..ORDERS.len()).map(record));
    let printed = sandbox.run(&["run"]).well().out;
    let seconds = |order: &crate::harness::orders::Order| order.rf.parse::<f64>().unwrap();
    let line = |o: &crate::harness::orders::Order| format!("{} {} {}", o.pno, o.rf, seconds(o) as i64 / 60);
    same("rows on the screen", ORDERS.iter().map(line).collect(), joined(rows(&printed, "screen")));
}

/// No service of a sink is there.
const SINKS_DOWN: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"${root}/examples/mri/models/mri_xgb.joblib\" } }
query: SELECT _key AS PNO, CAST(mri(*) AS BIGINT) / 60 AS PRETIME, AGE FROM records
sinks:
  db: { sql: { url: \"mysql://root@127.0.0.1:1/none\", table: result } }
  hdfs: { file: { path: \"hdfs://127.0.0.1:1/out.csv\", columns: [PNO, PRETIME] } }
  old: { kafka: { topic: old_${id} }, query: \"SELECT PNO FROM result WHERE AGE >= 60\" }
dead_letters: { file: { path: \"hdfs://127.0.0.1:1/bad\", format: jsonl } }
trigger: { mode: available_now, max_rows: 70 }
state: state
";

#[test]
fn a_dry_run_prints_each_sink_and_leaves_no_trace() {
    let sandbox = Sandbox::new("dry");
    sandbox.pipeline(SINKS_DOWN);
    sandbox.topics(SINKS_DOWN);
    sandbox.orders(0..200);
    kafka::produce(&sandbox.name("in"), [(None, Some("bad"), Some("no order"))]);
    // Twice, since the first moves nothing.
    for _ in 0..2 {
        let printed = sandbox.run(&["run", "--console", "--rows", "70"]).well().out;
        let age = |at: usize| order(at).features.split(',').nth(4).unwrap();
        let all = (0..200).map(|at| format!("p{at} {} {}", order(at).minutes, age(at))).collect();
        same("db", all, joined(rows(&printed, "db")));
        same("hdfs", expected(0..200), joined(rows(&printed, "hdfs")));
        let old = (0..200).filter(|at| age(*at).parse::<i64>().unwrap() >= 60).map(|at| format!("p{at}"));
        same("old", old.collect(), joined(rows(&printed, "old")));
        let letters = rows(&printed, "dead_letters");
        assert_eq!(letters.len(), 1, "{printed}");
        for cell in ["decode csv", "7 fields expected, 1 found", "bad", "no order"] {
            assert!(letters[0].contains(&cell.to_string()), "`{cell}` is not in {letters:?}");
        }
    }
    assert!(!kafka::group_exists(&sandbox.id), "no group was joined");
    assert!(kafka::read(&sandbox.name("old")).is_empty());
    assert!(!sandbox.dir.path().join("state").exists());
}

#[test]
fn a_dry_run_begins_where_it_is_told_and_moves_no_position() {
    let text = SHARED.replace("mode: continuous", "mode: available_now");
    let sandbox = Sandbox::ready("from", &text);
    sandbox.orders(0..100);
    sandbox.run(&["run"]).well();
    sandbox.orders(100..150);
    for (from, numbers) in [("start", 0..150), ("earliest", 0..150), ("latest", 0..0), ("positions", 100..150)] {
        let printed = sandbox.run(&["run", "--console", "--rows", "500", "--from", from]).well().out;
        let rows = rows(&printed, "db").into_iter().map(|row| row[..2].join(" ")).collect();
        same(from, expected(numbers), rows);
    }
    assert_eq!(landed(&sandbox), 100);
    sandbox.run(&["run"]).well();
    same("table", expected(0..150), table(&sandbox));
    let usage = sandbox.run(&["run", "--from", "latest"]);
    assert_eq!(usage.code, Some(2), "{}", usage.err);
}

#[test]
fn ctrl_c_ends_a_dry_run_at_once() {
    for trigger in ["continuous", "{ every: 200ms }"] {
        let text = SHARED.replace("{ mode: continuous, max_rows: 500 }", trigger);
        let sandbox = Sandbox::ready("ctrl-c", &text);
        let mut run = sandbox.start(&["run", "--console"]);
        sandbox.orders(0..10);
        until("ten rows", || {
            assert!(run.alive(), "{}", run.log());
            rows(&run.printed(), "db").len() == 10
        });
        sandbox.orders(10..15);
        until("five more", || rows(&run.printed(), "utime").len() == 15);
        run.interrupt();
        run.ended(Duration::from_secs(1)).well();
        assert_eq!(landed(&sandbox), 0);
        assert!(!kafka::group_exists(&sandbox.id));
    }
}
