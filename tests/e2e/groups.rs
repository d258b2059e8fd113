//! Groups over batches: each batch's groups land once, the same in every sink, whatever dies in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::case::same;
use crate::harness::database::Database;
use crate::harness::orders::{Order, order};
use crate::harness::sandbox::Sandbox;
use crate::harness::until;

const ORDERS: usize = 20_000;
const KILLS: usize = 5;

/// Two databases, of which the first leads, and a table whose names change all the time.
const GROUPS: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id}, options: { session.timeout.ms: 6000 } } }
decode: { csv: { columns: [ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
tables: { depts: { file: depts.csv, key: id, refresh: 100ms } }
query: |
  SELECT CAST(now() AS BIGINT) AS at, DEPT_n AS dept, max(depts.name) AS name, count(*) AS n, sum(AGE) AS years,
    min(_offset) AS lowest, max(_offset) AS highest, max(_partition) AS part
  FROM records LEFT JOIN depts ON DEPT_n = depts.id GROUP BY DEPT_n
sinks:
  db: { sql: { url: { env: MARIADB_URL }, table: groups_${id} } }
  copy: { sql: { url: { env: POSTGRES_URL }, table: groups_${id} } }
trigger: { mode: available_now, max_rows: 300 }
";

const COLUMNS: [&str; 8] = ["at", "dept", "name", "n", "years", "lowest", "highest", "part"];

fn ready(name: &str, text: &str) -> Sandbox {
    let sandbox = Sandbox::new(name);
    sandbox.pipeline(text);
    sandbox.topics(text);
    let table = sandbox.name("groups");
    let numbers = "dept BIGINT, name VARCHAR(40), n BIGINT, years BIGINT, lowest BIGINT, highest BIGINT, part BIGINT";
    for database in [Database::MariaDb, Database::Postgres] {
        database.execute(&format!("CREATE TABLE {table} (at BIGINT, {numbers})"));
    }
    name_depts(&sandbox, 0);
    sandbox
}

/// Writes the table anew.
fn name_depts(sandbox: &Sandbox, version: usize) {
    let lines: String = (0..30).map(|id| format!("{id},Dept {id} v{version}\n")).collect();
    std::fs::write(sandbox.dir.path().join("new"), format!("id,name\n{lines}")).unwrap();
    std::fs::rename(sandbox.dir.path().join("new"), sandbox.dir.path().join("depts.csv")).unwrap();
}

fn groups(sandbox: &Sandbox, database: Database) -> Vec<String> {
    let rows = database.select(&COLUMNS, &sandbox.name("groups"));
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap).collect::<Vec<_>>().join(" ")).collect()
}

fn landed(sandbox: &Sandbox) -> usize {
    Database::MariaDb.count(&sandbox.name("groups"))
}

/// Both tables hold the same groups, no batch twice, and every record was counted once.
#[track_caller]
fn each_record_once(sandbox: &Sandbox, orders: usize, by: &str) {
    let table = sandbox.name("groups");
    same("groups of both sinks", groups(sandbox, Database::MariaDb), groups(sandbox, Database::Postgres));
    let twice = format!("(SELECT at, {by} FROM {table} GROUP BY at, {by} HAVING count(*) > 1) AS twice");
    assert_eq!(Database::MariaDb.count(&twice), 0, "a batch's group is there twice");
    let sums = format!("(SELECT dept, sum(n) AS n, sum(years) AS years FROM {table} GROUP BY dept) AS sums");
    let sums = Database::MariaDb.select(&["dept", "n", "years"], &sums).into_iter();
    let sums = sums.map(|row| row.into_iter().map(Option::unwrap).collect::<Vec<_>>().join(" ")).collect();
    let field = |order: &Order, at: usize| order.features.split(',').nth(at).unwrap().parse::<i64>().unwrap();
    let mut expected = std::collections::BTreeMap::new();
    for at in 0..orders {
        let (n, years) = expected.entry(field(order(at), 2)).or_insert((0, 0));
        *n += 1;
        *years += field(order(at), 4);
    }
    let expected = expected.into_iter().map(|(dept, (n, years))| format!("{dept} {n} {years}"));
    same("sums over all batches", expected.collect(), sums);
}

/// Says stop when it goes, also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn kill_9_in_mid_run_leaves_each_group_once_and_alike_in_both_sinks() {
    // It goes on until it is killed, however fast it is.
    let sandbox = ready("groups-crash", &GROUPS.replace("mode: available_now", "mode: continuous"));
    let stop = AtomicBool::new(false);
    let share = ORDERS / (KILLS + 1);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            for version in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                name_depts(&sandbox, version);
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        let mut before = 0;
        for kill in 0..KILLS {
            sandbox.orders(kill * share..(kill + 1) * share);
            let run = sandbox.start(&["run"]);
            // At a different place in a batch each time.
            until("groups of this run", || landed(&sandbox) > before + 150);
            std::thread::sleep(Duration::from_millis(7 * kill as u64));
            run.kill();
            before = landed(&sandbox);
        }
        sandbox.orders(KILLS * share..ORDERS);
        sandbox.pipeline(GROUPS);
        sandbox.run(&["run"]).well();
    });
    each_record_once(&sandbox, ORDERS, "dept");
    let names = format!("(SELECT DISTINCT name FROM {} WHERE dept = 0) AS names", sandbox.name("groups"));
    assert!(Database::MariaDb.count(&names) > 3, "the table changed while the batches ran");
    // A second worker would take a part of each batch.
    sandbox.run(&["run", "--workers", "2"]).says(&["batch-wise, because of GROUP BY", "`--workers 1`"]);
}

#[test]
fn groups_by_partition_are_shared_by_workers() {
    let text = GROUPS
        .replace("GROUP BY DEPT_n", "GROUP BY _partition, DEPT_n")
        .replace("max(_partition) AS part", "_partition AS part")
        .replace("mode: available_now", "mode: continuous");
    let sandbox = ready("groups-shared", &text);
    sandbox.orders(0..ORDERS / 2);
    assert!(
        sandbox.run(&["check"]).well().out.contains("query     per partition, because of GROUP BY by `_partition`")
    );
    let first = sandbox.start(&["run", "--workers", "2"]);
    until("groups of two workers", || landed(&sandbox) > 150);
    let second = sandbox.start(&["run", "--worker-id", "b"]);
    until("the second process runs", || second.log().contains("claimed"));
    sandbox.orders(ORDERS / 2..ORDERS);
    let total = format!("(SELECT 1 FROM {} HAVING sum(n) = {ORDERS}) AS done", sandbox.name("groups"));
    std::thread::sleep(Duration::from_millis(300));
    second.kill();
    until("every record", || Database::MariaDb.count(&total) == 1 && Database::Postgres.count(&total) == 1);
    first.terminate();
    first.ended(Duration::from_secs(10)).well();
    each_record_once(&sandbox, ORDERS, "part, dept");
}
