//! Dead letters come back: listed by reason, and stored exactly once after the pipeline was mended.

use crate::harness::case::same;
use crate::harness::database::Database;
use crate::harness::kafka;
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, expected, landed, table};

#[test]
fn letters_are_listed_and_read_once_more() {
    // A model that does not take old people, as it were; the query is mended later.
    let mended = SHARED.replace("mode: continuous", "mode: available_now");
    let broken = mended.replace("mri(*) AS BIGINT) / 60", "mri(*) AS BIGINT) / (60 * CAST(_key <> 'p7' AS BIGINT))");
    let sandbox = Sandbox::ready("letters", &broken);
    sandbox.orders(0..20);
    kafka::produce(&sandbox.name("in"), [(None, Some("p20".to_string()), Some("not,an,order".to_string()))]);
    sandbox.run(&["run"]).well();
    assert_eq!((landed(&sandbox), kafka::read(&sandbox.name("bad")).len()), (19, 2));

    let listed = sandbox.run(&["dead-letters", "list"]).well().out;
    assert!(listed.starts_with("2 dead letters\n"), "{listed}");
    let of = |what: &str| listed.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {listed}"));
    assert!(of("decode csv").contains(&format!("; the latest {}[", sandbox.name("in"))), "{listed}");
    of("query");

    sandbox.pipeline(&mended);
    let shown = sandbox.run(&["dead-letters", "replay", "--console"]).well().out;
    assert!(shown.contains("| p7 "), "{shown}");
    assert_eq!(landed(&sandbox), 19, "a dry run stores nothing");
    sandbox.run(&["dead-letters", "replay"]).well();
    same("table", expected(0..20), table(&sandbox));
    // What is bad again waits for the next replay, which has nothing else.
    assert_eq!(kafka::read(&sandbox.name("bad")).len(), 3);
    let again = sandbox.run(&["dead-letters", "replay"]);
    assert!(again.code == Some(3) && again.err.contains("the only record was bad"), "{}", again.err);
    same("table", expected(0..20), table(&sandbox));
    assert_eq!(kafka::read(&sandbox.name("bad")).len(), 4);
    // The pipeline itself stands where it stood.
    sandbox.orders(20..25);
    sandbox.run(&["run"]).well();
    same("table", expected(0..25), table(&sandbox));
}

#[test]
fn letters_in_tables_come_back_from_both_databases() {
    for (database, url) in [(Database::MariaDb, "MARIADB_URL"), (Database::Postgres, "POSTGRES_URL")] {
        let mended = SHARED.replace("mode: continuous", "mode: available_now");
        let begin = mended.find("dead_letters:").unwrap();
        let line = mended[begin..].split('\n').next().unwrap();
        let letters =
            format!("dead_letters: {{ sql: {{ url: {{ env: {url} }}, table: \"bad_${{id}}\", create: true }} }}");
        let mended = mended.replace(line, &letters);
        let broken =
            mended.replace("mri(*) AS BIGINT) / 60", "mri(*) AS BIGINT) / (60 * CAST(_key <> 'p7' AS BIGINT))");
        let sandbox = Sandbox::ready("letters-table", &broken);
        sandbox.orders(0..20);
        let wrong = (None, Some("p20".to_string()), Some("not,an,order, é\u{0}".to_string()));
        kafka::produce(&sandbox.name("in"), [wrong]);
        sandbox.run(&["run"]).well();
        assert_eq!(landed(&sandbox), 19, "{database:?}");
        let listed = sandbox.run(&["dead-letters", "list"]).well().out;
        assert!(listed.starts_with("2 dead letters\n"), "{listed}");

        sandbox.pipeline(&mended);
        sandbox.run(&["dead-letters", "replay"]).well();
        same("table", expected(0..20), table(&sandbox));
        let again = sandbox.run(&["dead-letters", "replay"]);
        assert!(again.code == Some(3) && again.err.contains("the only record was bad"), "{}", again.err);
        same("table", expected(0..20), table(&sandbox));
        let listed = sandbox.run(&["dead-letters", "list"]).well().out;
        assert!(listed.starts_with("4 dead letters\n"), "{listed}");
        // The pipeline itself stands where it stood.
        sandbox.orders(20..25);
        sandbox.run(&["run"]).well();
        same("table", expected(0..25), table(&sandbox));
    }
}
