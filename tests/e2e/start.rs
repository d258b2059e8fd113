//! What is wrong is said at start, in one line with its place and its remedy, before any record moves.

use crate::harness::database::Database;
use crate::harness::foretell;
use crate::harness::kafka;
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, landed};

/// A change to the pipeline, and what the error must say.
const WRONG: &[(&str, &str, &[&str])] = &[
    // A model feature is missing.
    ("AGE: int64", "YEARS: int64", &["pipeline.yaml:6: query:", "`AGE`"]),
    // A wrong model file: none, not a model, one that is not there.
    ("models/mri_xgb.joblib", "orders.csv", &["pipeline.yaml:5: models.mri:", "orders.csv", "`foretell inspect "]),
    ("models/mri_xgb.joblib", "models/none.joblib", &["pipeline.yaml:5: models.mri:", "No such file", "relative to"]),
    // The broker, the topic.
    (
        "kafka: { brokers: \"${kafka}\", topic: in_${id}",
        "kafka: { brokers: \"127.0.0.1:1\", topic: in_${id}",
        &["pipeline.yaml:3: source.kafka", "127.0.0.1:1"],
    ),
    ("topic: in_${id}", "topic: inn_${id}", &["pipeline.yaml:3: source.kafka", "no topic `inn_", "did you mean `in_"]),
    // The table: none, other columns.
    ("table: result_", "table: resul_", &["pipeline.yaml:8: sinks.db.sql", "resul_"]),
    ("AS PRETIME", "AS MINUTES", &["pipeline.yaml:8: sinks.db.sql", "MINUTES"]),
    (
        "{ env: MARIADB_URL }",
        "\"mysql://root@127.0.0.1:1/foretell\"",
        &["pipeline.yaml:8: sinks.db.sql", "127.0.0.1:1"],
    ),
    // Misspelt settings.
    (
        "table: result_",
        "tabel: result_",
        &["pipeline.yaml:8: sinks.db.sql: unknown key `tabel`", "did you mean `table`?"],
    ),
    ("trigger:", "triger:", &["pipeline.yaml:11: unknown key `triger`", "did you mean `trigger`?"]),
    (
        "session.timeout.ms",
        "session.timeout.m",
        &["pipeline.yaml:3: source.kafka", "`session.timeout.m`", "did you mean `session.timeout.ms`?"],
    ),
    ("mri(*)", "mrj(*)", &["pipeline.yaml:6:33: query", "mrj"]),
    (
        "{ env: MARIADB_URL }",
        "{ env: NO_SUCH_URL }",
        &["pipeline.yaml:8: sinks.db.sql.url", "`NO_SUCH_URL` is not set"],
    ),
    ("{ env: MARIADB_URL }", "\"mysql://u:pw@h/db\"", &["pipeline.yaml:8: sinks.db.sql.url", "holds a password"]),
    // Kerberos has no password.
    (
        "options: {",
        "security: { sasl: { mechanism: GSSAPI, username: u, password: { env: HOME } } }, options: {",
        &["pipeline.yaml:3: source.kafka", "`GSSAPI` logs in with the ticket", "KRB5_CLIENT_KTNAME"],
    ),
    (
        "dead_letters: { kafka: { brokers: \"${kafka}\", topic: bad_${id} } }",
        "dead_letters: { file: { path: \"hdfs://nameservice/bad\", format: jsonl } }",
        &["pipeline.yaml:10: dead_letters.file", "nameservice", "HADOOP_CONF_DIR"],
    ),
];

#[test]
fn every_mistake_is_told_at_start_and_nothing_moves() {
    let sandbox = Sandbox::ready("start", SHARED);
    sandbox.orders(0..100);
    let mut wrong = Vec::new();
    for (from, to, texts) in WRONG {
        assert!(SHARED.contains(from), "the pipeline has `{from}`");
        sandbox.pipeline(&SHARED.replacen(from, to, 1));
        for command in ["check", "run"] {
            let ended = sandbox.run(&[command]);
            let error = ended.err.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>();
            // `check` also tells what follows from it elsewhere.
            let one = command == "check" || error.len() == 1;
            let told = one && error.iter().any(|error| texts.iter().all(|text| error.contains(text)));
            if ended.code != Some(1) || !told {
                wrong.push(format!("{command} after `{to}`: {:?}, {}\n  must say {texts:?}", ended.code, ended.err));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    assert_eq!(landed(&sandbox), 0);
    assert!(kafka::read(&sandbox.name("utime")).is_empty());
    assert!(kafka::read(&sandbox.name("bad")).is_empty());
    // No position was stored either: the right pipeline begins as a new one, and `check` of it moves nothing.
    sandbox.pipeline(SHARED);
    assert!(sandbox.run(&["check"]).well().out.contains("nothing moved"));
    assert!(sandbox.run(&["positions", "show"]).well().out.contains("no positions"));
    assert_eq!(Database::MariaDb.count(&sandbox.name("result")), 0);
}

#[test]
fn wrong_usage_ends_with_2_and_tells_how() {
    for args in [&["runn", "p.yaml"][..], &["run"], &["run", "p.yaml", "--workers", "0"], &[]] {
        let ended = foretell::run(args, &[]);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.err);
        assert!(ended.err.contains("--help") || ended.err.contains("Usage:"), "{args:?}: {}", ended.err);
    }
    foretell::run(&["run", "no-such-file.yaml"], &[]).says(&["no-such-file.yaml: the file does not exist"]);
}
