//! The folders in `cases/`: what lands where.

use crate::harness::case::{check, check_pipeline, same};
use crate::harness::database::Database;
use crate::harness::orders::ORDERS;
use crate::harness::root;
use crate::harness::sandbox::Sandbox;

/// The example as it is committed, with other addresses and names.
#[test]
fn the_main_job_mri() {
    let mut text = std::fs::read_to_string(root().join("examples/mri/pipeline.yaml")).unwrap();
    for (from, to) in [
        ("pipeline: mri ", "pipeline: ${id} "),
        ("localhost:9092", "${kafka}"),
        ("hdfs://localhost:9000/output", "${hdfs}"),
        ("topic: Pdata", "topic: in_${id}"),
        ("Pdata_for_model", "group_${id}"),
        ("topic: utime", "topic: utime_${id}"),
        ("table: result", "table: result_${id}"),
        ("DATABASE_URL", "MARIADB_URL"),
        ("models/", "${root}/examples/mri/models/"),
        ("{ every: 3s }", "available_now"),
    ] {
        assert!(text.contains(from), "the example has `{from}`");
        text = text.replace(from, to);
    }
    check_pipeline("mri", &text);
}

#[test]
fn postgres_and_whole_files_of_every_format() {
    check("postgres-and-files");
}

#[test]
fn json_in_and_two_outputs_as_a_struct() {
    check("two-outputs");
}

#[test]
fn labels_and_probabilities() {
    check("classes");
}

#[test]
fn records_that_do_not_decode_go_to_a_topic() {
    check("bad-records");
}

#[test]
fn records_that_do_not_decode_go_to_a_file() {
    check("bad-records-file");
}

#[test]
fn rows_that_the_model_or_the_query_refuses_are_dead_letters() {
    check("refused");
}

#[test]
fn sinks_with_queries_of_their_own() {
    check("own-query");
}

/// How many batches there are is not fixed, the sums over them are.
#[test]
fn groups_over_each_batch_add_up() {
    let text = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [a: int64, b: int64, c: int64, SEX_n: int64, AGE: int64, d: int64, e: int64] } }
query: SELECT SEX_n AS sex, count(*) AS n, sum(AGE) AS years FROM records GROUP BY SEX_n
sinks:
  db: { sql: { url: { env: POSTGRES_URL }, table: groups_${id}, create: true } }
trigger: { mode: available_now, max_rows: 70 }
";
    let sandbox = Sandbox::new("groups");
    sandbox.pipeline(text);
    sandbox.topics(text);
    sandbox.orders(0..400);
    sandbox.run(&["run"]).well();
    let table = sandbox.name("groups");
    assert!(Database::Postgres.count(&table) >= 12, "six batches or more, two groups in each");
    let sums = Database::Postgres.select(
        &["sex", "n", "years"],
        &format!("(SELECT sex, sum(n) AS n, sum(years) AS years FROM {table} GROUP BY sex) AS t"),
    );
    let field = |features: &str, at: usize| features.split(',').nth(at).unwrap().parse::<i64>().unwrap();
    let expected = [0, 1].map(|sex| {
        let of: Vec<i64> = (ORDERS.iter().filter(|order| field(&order.features, 3) == sex))
            .map(|order| field(&order.features, 4))
            .collect();
        format!("{sex} {} {}", 2 * of.len(), 2 * of.iter().sum::<i64>())
    });
    let rows = sums.into_iter().map(|row| row.into_iter().map(Option::unwrap).collect::<Vec<_>>().join(" "));
    same("sums over groups", expected.to_vec(), rows.collect());
}
