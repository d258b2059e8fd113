//! No record value and no secret in any line that foretell writes.

use crate::harness::database::Database;
use crate::harness::kafka;
use crate::harness::sandbox::Sandbox;

const PASSWORD: &str = "hunter2-hunter2";
const NAME: &str = "Quetzalcoatl";

/// Everything that can be wrong with a record, with a name in it; and a login with a password.
const PIPELINE: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [name: utf8, number: utf8, divisor: int64] } }
query: SELECT name AS name, CAST(number AS BIGINT) / divisor AS n FROM records
sinks: { db: { sql: { url: { env: SECRET_URL }, table: result_${id} } } }
dead_letters: { kafka: { brokers: \"${kafka}\", topic: bad_${id} } }
trigger: available_now
";

#[test]
fn logs_hold_no_record_value_and_no_secret() {
    let mut sandbox = Sandbox::new("privacy");
    sandbox.pipeline(PIPELINE);
    sandbox.topics(PIPELINE);
    let (table, user) = (sandbox.name("result"), format!("u{}", &sandbox.id[sandbox.id.len() - 10..]));
    let database = Database::MariaDb;
    database.execute(&format!("CREATE TABLE {table} (name VARCHAR(20) NOT NULL, n TINYINT NOT NULL)"));
    database.execute(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'"));
    database.execute(&format!("GRANT ALL ON *.* TO '{user}'@'%'"));
    let (_, rest) = database.url().split_once('@').map(|(user, rest)| (user.to_string(), rest.to_string())).unwrap();
    sandbox.env.push(("SECRET_URL".into(), format!("mysql://{user}:{PASSWORD}@{rest}")));

    let values = [
        format!("{NAME},7,1"),
        format!("{NAME},7"),
        format!("{NAME},7,{NAME}"),
        format!("{NAME},{NAME},1"),
        format!("{NAME},7,0"),
        // The database refuses these two: out of range, too long.
        format!("{NAME},700,1"),
        format!("{NAME}{NAME}{NAME},7,1"),
    ];
    let key = |at: usize| Some(format!("{NAME}-{at}"));
    kafka::produce(&sandbox.name("in"), values.iter().enumerate().map(|(at, value)| (None, key(at), Some(value))));
    sandbox.env.push(("RUST_LOG".into(), "debug".into()));
    let mut runs = vec![sandbox.run(&["run"]).well(), sandbox.run(&["--log-format", "json", "run"]).well()];
    assert_eq!(database.count(&table), 1);
    assert_eq!(kafka::read(&sandbox.name("bad")).len(), 4);
    runs.extend([sandbox.run(&["check"]).well(), sandbox.run(&["positions", "show"]).well()]);
    // A login that fails.
    database.execute(&format!("ALTER USER '{user}'@'%' IDENTIFIED BY 'another'"));
    let failed = sandbox.run(&["run"]);
    failed.says(&["sinks.db.sql"]);
    runs.push(failed);
    database.execute(&format!("DROP USER '{user}'@'%'"));

    for run in runs {
        for secret in [PASSWORD, NAME] {
            assert!(!run.out.contains(secret), "{secret} is in: {}", run.out);
            let line = run.err.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in: {}", line.unwrap_or_default());
        }
    }
}
