//! Pipeline files that change while a sink lags, and sinks that are renamed, moved or lost: what lands is right, or
//! nothing does and the error says why.

use std::time::Duration;

use crate::harness::case::same;
use crate::harness::database::{Database, Locked};
use crate::harness::foretell;
use crate::harness::hdfs::local;
use crate::harness::sandbox::Sandbox;
use crate::harness::{kafka, until};

/// Two databases, of which the first leads.
const TWO: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id}, options: { session.timeout.ms: 6000 } } }
decode: { csv: { columns: [a: int64, b: int64] } }
query: SELECT _key AS pno, a, b, CAST(now() AS BIGINT) AS at FROM records
sinks:
  lead: { sql: { url: { env: POSTGRES_URL }, table: lead_${id} } }
  follow: { sql: { url: { env: MARIADB_URL }, table: follow_${id} } }
trigger: { mode: available_now, max_rows: 20 }
";

const LEAD: &str = "  lead: { sql: { url: { env: POSTGRES_URL }, table: lead_${id} } }\n";
const FOLLOW: &str = "  follow: { sql: { url: { env: MARIADB_URL }, table: follow_${id} } }\n";

/// The pipeline has run until its leader had 100 records; its follower has none of them.
fn lagging(name: &str) -> Sandbox {
    let sandbox = Sandbox::new(name);
    sandbox.pipeline(&TWO.replace("available_now", "continuous"));
    sandbox.topics(TWO);
    let columns = "(pno VARCHAR(40), a BIGINT, b BIGINT, at BIGINT)";
    Database::Postgres.execute(&format!("CREATE TABLE {} {columns}", sandbox.name("lead")));
    Database::MariaDb.execute(&format!("CREATE TABLE {} {columns}", sandbox.name("follow")));
    let run = sandbox.start(&["run"]);
    until("it has claimed its partitions", || run.log().contains("claimed"));
    let locked = Locked::table(&sandbox.name("follow"));
    send(&sandbox, 0..100);
    until("the leader has all", || Database::Postgres.count(&sandbox.name("lead")) == 100);
    run.kill();
    drop(locked);
    until("the follower's statement is gone", || Database::MariaDb.count(&sandbox.name("follow")) == 0);
    sandbox
}

fn send(sandbox: &Sandbox, numbers: std::ops::Range<usize>) {
    let record = |at: usize| (Some((at % 3) as i32), Some(format!("p{at}")), Some(format!("{at},{}", 1000 + at)));
    kafka::produce(&sandbox.name("in"), numbers.map(record));
}

fn rows(database: Database, sandbox: &Sandbox, table: &str, columns: &[&str]) -> Vec<String> {
    let rows = database.select(columns, &sandbox.name(table)).into_iter();
    rows.map(|row| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")).collect()
}

/// Both tables have these records, with one time each.
#[track_caller]
fn alike(sandbox: &Sandbox, numbers: std::ops::Range<usize>) {
    let all = ["pno", "a", "b", "at"];
    let lead = rows(Database::Postgres, sandbox, "lead", &all);
    same("rows of both sinks", lead, rows(Database::MariaDb, sandbox, "follow", &all));
    let expected = numbers.map(|at| format!("p{at} {at} {}", 1000 + at)).collect();
    same("values under their names", expected, rows(Database::MariaDb, sandbox, "follow", &all[..3]));
}

#[test]
fn a_leftover_batch_is_written_under_the_names_that_it_was_planned_with() {
    let sandbox = lagging("edit-columns");
    send(&sandbox, 100..120);
    // A column less: what the follower lacks has one more.
    sandbox.pipeline(&TWO.replace("a, b, CAST", "a, CAST"));
    sandbox.run(&["run"]).says(&["sink `follow` lacks a batch", "has a column `b`", "as it was before"]);
    assert_eq!(Database::MariaDb.count(&sandbox.name("follow")), 0, "nothing is made up");

    // Columns and sinks in another order, and one more sink, with a query of its own.
    let own = "  own: { query: \"SELECT pno AS who, a + b AS total FROM result WHERE a % 2 = 0\", sql: { url: { env: MARIADB_URL }, table: own_${id}, create: true } }\n";
    let now = TWO.replace("pno, a, b, CAST(now() AS BIGINT) AS at", "CAST(now() AS BIGINT) AS at, b, _key AS pno, a");
    let now = now.replace("_key AS CAST", "CAST");
    sandbox.pipeline(&now.replace(&format!("{LEAD}{FOLLOW}"), &format!("{FOLLOW}{LEAD}{own}")));
    sandbox.run(&["run"]).well();
    alike(&sandbox, 0..120);
    let totals = (0..120).filter(|at| at % 2 == 0).map(|at| format!("p{at} {}", 1000 + 2 * at)).collect();
    same("what the added sink's own query makes", totals, rows(Database::MariaDb, &sandbox, "own", &["who", "total"]));
}

#[test]
fn a_lagging_sink_that_is_taken_out_and_comes_back_gets_everything() {
    let sandbox = lagging("edit-again");
    send(&sandbox, 100..150);
    sandbox.pipeline(&TWO.replace(FOLLOW, ""));
    sandbox.run(&["run"]).well();
    send(&sandbox, 150..160);
    sandbox.pipeline(TWO);
    sandbox.run(&["run"]).well();
    let plans = format!("foretell_plans WHERE pipeline = '{}'", sandbox.id);
    assert!(Database::Postgres.count(&plans) <= 3, "no plan is left but the last batch's, by partition");
    let expected: Vec<String> = (0..160).map(|at| format!("p{at} {at} {}", 1000 + at)).collect();
    same("leader", expected.clone(), rows(Database::Postgres, &sandbox, "lead", &["pno", "a", "b"]));
    same("follower", expected, rows(Database::MariaDb, &sandbox, "follow", &["pno", "a", "b"]));
}

#[test]
fn groups_over_whole_batches_reach_a_sink_that_is_added_with_backfill() {
    let text = TWO.replace(
        "SELECT _key AS pno, a, b, CAST(now() AS BIGINT) AS at FROM records",
        "SELECT count(*) AS n FROM records",
    );
    let more = |text: &str, sink: &str| {
        text.replace("trigger:", &format!("  {sink}: {{ backfill: true, sql: {{ url: {{ env: MARIADB_URL }}, table: {sink}_${{id}}, create: true }} }}\ntrigger:"))
    };
    let sandbox = Sandbox::new("edit-backfill");
    let text = text
        .replace("table: lead_${id}", "table: lead_${id}, create: true")
        .replace("table: follow_${id}", "table: follow_${id}, create: true");
    sandbox.pipeline(&text);
    sandbox.topics(&text);
    send(&sandbox, 0..90);
    sandbox.run(&["run"]).well();
    send(&sandbox, 90..100);
    sandbox.pipeline(&more(&text, "added"));
    sandbox.run(&["run"]).well();
    for table in ["lead", "follow", "added"] {
        let database = if table == "lead" { Database::Postgres } else { Database::MariaDb };
        let sum: usize = rows(database, &sandbox, table, &["n"]).iter().map(|n| n.parse::<usize>().unwrap()).sum();
        assert_eq!(sum, 100, "{table}");
    }
}

/// One sink of each kind that keeps positions.
const KINDS: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id}, group: group_${id} } }
decode: { csv: { columns: [a: int64, b: int64] } }
query: SELECT _key AS pno, a FROM records
sinks:
  db: { sql: { url: { env: MARIADB_URL }, table: t_${id}, create: true } }
  spread: { kafka: { brokers: \"${kafka}\", topic: out_${id}, value: \"{pno}\" } }
  files: { file: { path: files, format: csv } }
  grow: { file: { path: grow.csv, mode: append, columns: [pno] } }
trigger: available_now
";

#[track_caller]
fn once_each(sandbox: &Sandbox, numbers: std::ops::Range<usize>) {
    let expected: Vec<String> = numbers.map(|at| format!("p{at}")).collect();
    same("table", expected.clone(), rows(Database::MariaDb, sandbox, "t", &["pno"]));
    same("topic", expected.clone(), kafka::read(&sandbox.name("out")).iter().map(kafka::Record::value).collect());
    let lines = |files: Vec<(String, bytes::Bytes)>| -> Vec<String> {
        let text = |(_, bytes): (String, bytes::Bytes)| String::from_utf8(bytes.to_vec()).unwrap();
        let lines: Vec<String> =
            files.into_iter().flat_map(|f| text(f).lines().map(str::to_string).collect::<Vec<_>>()).collect();
        lines.iter().filter(|line| *line != "pno,a").map(|line| line.split(',').next().unwrap().to_string()).collect()
    };
    same("files", expected.clone(), lines(local(&sandbox.dir.path().join("files"))));
    same("appended file", expected, lines(local(&sandbox.dir.path().join("grow.csv"))));
}

fn adopt(sandbox: &Sandbox, old: &str, new: &str) {
    let file = sandbox.dir.path().join("pipeline.yaml").display().to_string();
    foretell::run(&["positions", "adopt", &file, old, new], &sandbox.env).well();
}

#[test]
fn renamed_sinks_are_asked_for_and_adopted() {
    let sandbox = Sandbox::new("renamed");
    sandbox.pipeline(KINDS);
    sandbox.topics(KINDS);
    send(&sandbox, 0..50);
    sandbox.run(&["run"]).well();
    send(&sandbox, 50..60);
    for (old, new) in [("db", "table"), ("spread", "utime"), ("files", "parts"), ("grow", "line")] {
        let text = KINDS.replace(&format!("\n  {old}: "), &format!("\n  {new}: "));
        sandbox.pipeline(&text);
        sandbox.run(&["run"]).says(&[&format!("positions adopt PIPELINE {old} {new}")]);
        sandbox.run(&["check"]).says(&[&format!("positions adopt PIPELINE {old} {new}")]);
        once_each(&sandbox, 0..50);
        adopt(&sandbox, old, new);
        adopt_back(&sandbox, old, new);
    }
    // All at once, and the pipeline, too.
    let renamed = KINDS.replace("pipeline: ${id}", "pipeline: new_${id}");
    sandbox.pipeline(&renamed);
    sandbox.run(&["run"]).says(&["positions adopt PIPELINE"]);
    once_each(&sandbox, 0..50);
    for sink in ["db", "spread", "files", "grow"] {
        adopt(&sandbox, &format!("{}/{sink}", sandbox.id), sink);
    }
    sandbox.run(&["run"]).well();
    once_each(&sandbox, 0..60);
}

/// Under its old name again.
fn adopt_back(sandbox: &Sandbox, old: &str, new: &str) {
    sandbox.pipeline(KINDS);
    adopt(sandbox, new, old);
}

#[test]
fn lost_positions_are_asked_for_until_a_person_says_that_the_sink_is_new() {
    let sandbox = Sandbox::new("lost");
    let text = KINDS.replace("  spread:", "  #spread:").replace("  grow:", "  #grow:");
    sandbox.pipeline(&text);
    sandbox.topics(KINDS);
    send(&sandbox, 0..30);
    sandbox.run(&["run"]).well();
    let folder = sandbox.dir.path().join("files");
    std::fs::remove_dir_all(folder.join("_foretell")).unwrap();
    sandbox.run(&["run"]).says(&["sink `files` has no positions, and there are", "`new: true`"]);
    std::fs::remove_dir_all(&folder).unwrap();
    sandbox.run(&["run"]).says(&["sink `files` of this pipeline had positions, and has none here", "`new: true`"]);
    // Its database, too: nobody knows any more where the pipeline is, but the group.
    let progress = format!("DELETE FROM foretell_progress WHERE pipeline = '{}'", sandbox.id);
    Database::MariaDb.execute(&progress);
    sandbox.run(&["run"]).says(&["sink `db` of this pipeline had positions"]);
    assert_eq!(Database::MariaDb.count(&sandbox.name("t")), 30, "nothing comes twice");
    sandbox.pipeline(&text.replace("{ sql:", "{ new: true, sql:").replace("{ file:", "{ new: true, file:"));
    sandbox.run(&["run"]).well();
    assert_eq!(Database::MariaDb.count(&sandbox.name("t")), 60, "that is what was asked for");
}

#[test]
fn a_local_sink_is_refused_on_a_second_machine_and_the_first_goes_on() {
    let text =
        KINDS.replace("available_now", "continuous").replace("  spread:", "  #spread:").replace("  grow:", "  #grow:");
    let text = text.replace("group: group_${id}", "options: { session.timeout.ms: 6000 }");
    let sandbox = Sandbox::new("elsewhere");
    sandbox.pipeline(&text);
    sandbox.topics(KINDS);
    let first = sandbox.start(&["run"]);
    send(&sandbox, 0..30);
    let noted = || kafka::notes(&sandbox.id, &sandbox.name("in")).len() == 3;
    until("the group knows where the files are", noted);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("pipeline.yaml").display().to_string();
    std::fs::write(&other, sandbox.text(&text)).unwrap();
    let second = foretell::start(&["run", &other, "--worker-id", "b"], &sandbox.env);
    second.ended(Duration::from_secs(60)).says(&["sink `files`: this pipeline writes it at", "and here it is"]);
    send(&sandbox, 30..60);
    until("all are in the first one's table", || Database::MariaDb.count(&sandbox.name("t")) == 60);
    first.terminate();
    first.ended(Duration::from_secs(10)).well();
    assert!(!elsewhere.path().join("files").exists(), "nothing is written there");
}

#[test]
fn a_renamed_pipeline_over_files_is_asked_for() {
    let sandbox = Sandbox::new("renamed_files");
    let text = "
pipeline: ${id}
source: { file: { path: in/*.csv } }
query: SELECT pno FROM records
sinks: { db: { sql: { url: { env: MARIADB_URL }, table: t_${id}, create: true } } }
trigger: available_now
";
    sandbox.pipeline(text);
    std::fs::create_dir(sandbox.dir.path().join("in")).unwrap();
    let lines: String = (0..20).map(|at| format!("p{at}\n")).collect();
    std::fs::write(sandbox.dir.path().join("in/a.csv"), format!("pno\n{lines}")).unwrap();
    sandbox.run(&["run"]).well();
    sandbox.pipeline(&text.replace("pipeline: ${id}", "pipeline: new_${id}"));
    sandbox.run(&["run"]).says(&["was the pipeline renamed?", &format!("call the pipeline `{}` again", sandbox.id)]);
    assert_eq!(Database::MariaDb.count(&sandbox.name("t")), 20, "nothing comes twice");
    // The list of files is there, and so are its notes, when the positions are gone.
    sandbox.pipeline(text);
    Database::MariaDb.execute(&format!("DELETE FROM foretell_progress WHERE pipeline = '{}'", sandbox.id));
    sandbox.run(&["run"]).says(&["sink `db` of this pipeline had positions, and has none here"]);
    assert_eq!(Database::MariaDb.count(&sandbox.name("t")), 20, "nothing comes twice");
}
