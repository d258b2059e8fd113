//! Where what is stored does not fit what is there: a loud stop, and `foretell positions` as the remedy.

use crate::harness::case::same;
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{exactly, expected, landed, table, three_sinks};
use crate::harness::{kafka, until};

#[test]
fn a_recreated_topic_stops_loudly_until_its_positions_are_forgotten() {
    let sandbox = Sandbox::ready("recreated", &three_sinks());
    sandbox.orders(0..300);
    sandbox.run(&["run"]).well();
    let shown = sandbox.run(&["positions", "show"]).well().out;
    for sink in ["db", "utime", "hdfs", "dead_letters"] {
        let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with(&format!("{sink} "))).collect();
        assert_eq!(lines.len(), 3, "three partitions of {sink}:\n{shown}");
    }

    let topic = sandbox.name("in");
    kafka::delete(&topic);
    until("the topic is gone", || !kafka::exists(&topic));
    kafka::create(&topic, 3);
    sandbox.orders(300..900);
    sandbox.run(&["run"]).says(&["was recreated", "`foretell positions show`", "forget"]);
    assert_eq!(landed(&sandbox), 300, "nothing moved");

    sandbox.run(&["positions", "forget", "--yes"]).well();
    assert!(sandbox.run(&["positions", "show"]).well().out.contains("no positions"));
    sandbox.run(&["run"]).well();
    exactly(&sandbox, expected(0..900));
}

#[test]
fn a_position_that_is_set_is_where_the_next_run_begins() {
    let sandbox = Sandbox::ready("set", &three_sinks());
    let topic = sandbox.name("in");
    let record =
        |at: usize| (Some(1), Some(format!("p{at}")), Some(crate::harness::orders::order(at).features.clone()));
    kafka::produce(&topic, (0..100).map(record));
    sandbox.run(&["run"]).well();

    let partition = format!("{topic}[1]");
    let pipeline = sandbox.dir.path().join("pipeline.yaml").display().to_string();
    let set = |offset: &str| {
        let args = ["positions", "set", &pipeline, "--partition", &partition, "--offset", offset];
        crate::harness::foretell::run(&args, &sandbox.env)
    };
    set("101").says(&["has offsets 0 to 100", "101 is outside"]);
    set("40").well();
    sandbox.run(&["run"]).well();
    same("table", expected((0..100).chain(40..100)), table(&sandbox));
}
