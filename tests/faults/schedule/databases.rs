//! PostgreSQL, MariaDB, a Galera cluster, PgBouncer.

use super::{Act, Fault, Mode, NONE, Trigger, When};
use crate::pipelines::World;
use crate::read::{execute, select};
use crate::replicas::take_over;

const COMMIT: Trigger = Trigger::Text(b"COMMIT");
const REPLICA: Fault = Fault { replicas: true, ..NONE };
/// Of the databases with a replica.
const POSTGRES: usize = 0;
const MARIADB: usize = 1;

pub(super) const FAULTS: &[Fault] = &[
    Fault::of("PostgreSQL killed in mid-transaction", Act::Kill(&["postgres"])).short(),
    Fault::of("MariaDB killed in mid-transaction", Act::Kill(&["mariadb"])),
    Fault::of("PostgreSQL frozen", Act::Freeze(&["postgres"])),
    Fault::of("MariaDB frozen", Act::Freeze(&["mariadb"])),
    Fault::of("MariaDB down for 5 minutes", Act::Kill(&["mariadb"])).lasting(300).whole(),
    Fault::of("a worker cut off from PostgreSQL only", Act::Proxy(&["postgres"], Mode::Cut)),
    Fault::of("a worker cut off from MariaDB only", Act::Proxy(&["mariadb"], Mode::Cut)).short(),
    Fault::of("half-open connections to PostgreSQL", Act::Proxy(&["postgres"], Mode::HalfOpen)),
    Fault::of("half-open connections to MariaDB", Act::Proxy(&["mariadb"], Mode::HalfOpen)),
    Fault::of("PostgreSQL's answers held back", Act::Proxy(&["postgres"], Mode::HoldAnswers)),
    Fault::of("MariaDB's answers held back", Act::Proxy(&["mariadb"], Mode::HoldAnswers)),
    Fault::of("PostgreSQL at 1 KB/s", Act::Proxy(&["postgres"], Mode::Slow(1024))).lasting(15),
    Fault::of("MariaDB at 1 KB/s", Act::Proxy(&["mariadb"], Mode::Slow(1024))).lasting(15),
    Fault::of("PostgreSQL's COMMIT cut before it arrives", Act::Cut(&["postgres"], COMMIT, When::Before)),
    Fault::of("PostgreSQL's COMMIT done and its answer lost", Act::Cut(&["postgres"], COMMIT, When::After)),
    Fault::of("MariaDB's COMMIT cut before it arrives", Act::Cut(&["mariadb"], COMMIT, When::Before)),
    Fault::of("MariaDB's COMMIT done and its answer lost", Act::Cut(&["mariadb"], COMMIT, When::After)).short(),
    Fault { name: "deadlocks with another client", seconds: 10, step: |world, _| deadlock(world), ..NONE },
    Fault {
        name: "a table altered in mid-run",
        step: |world, second| {
            for url in urls(world) {
                let add = format!("ALTER TABLE rows_sql ADD COLUMN more{}_{second} INT", fastrand::u32(..));
                let _ = execute(&url, &[&add]);
            }
        },
        ..NONE
    },
    Fault {
        name: "MariaDB restored from an older backup",
        begin: |world| back_up(&urls(world)[1]),
        end: |world| restore(world, 1, "sql/my"),
        ..NONE
    },
    Fault {
        name: "PostgreSQL restored from an older backup",
        begin: |world| back_up(&urls(world)[0]),
        end: |world| restore(world, 0, "sql/pg"),
        ..NONE
    },
    Fault {
        name: "PostgreSQL's replica takes over",
        begin: |world| world.pairs[POSTGRES].together(),
        end: |world| take_over(world, POSTGRES, false),
        ..REPLICA
    },
    Fault {
        name: "PostgreSQL's replica takes over without the last transactions",
        begin: |world| world.pairs[POSTGRES].apart(),
        until: |world| world.pairs[POSTGRES].lags(),
        end: |world| take_over(world, POSTGRES, true),
        ..REPLICA
    },
    Fault {
        name: "MariaDB's replica takes over",
        begin: |world| world.pairs[MARIADB].together(),
        end: |world| take_over(world, MARIADB, false),
        ..REPLICA
    },
    Fault {
        name: "MariaDB's replica takes over without the last transactions",
        begin: |world| world.pairs[MARIADB].apart(),
        until: |world| world.pairs[MARIADB].lags(),
        end: |world| take_over(world, MARIADB, true),
        ..REPLICA
    },
    Fault::of("PgBouncer killed", Act::Kill(&["pgbouncer"])).whole(),
    Fault::of("PgBouncer frozen", Act::Freeze(&["pgbouncer"])).whole(),
    Fault::of("a Galera node killed", Act::Kill(&["galera2"])).whole(),
    Fault::of("a Galera node frozen", Act::Freeze(&["galera3"])).whole(),
    Fault::of("Galera without a quorum", Act::Freeze(&["galera2", "galera3"])).whole(),
];

/// PostgreSQL and MariaDB.
fn urls(world: &World) -> [String; 2] {
    [world.postgres.clone(), world.mariadb.clone()]
}

/// Against the order in which foretell takes its rows.
fn deadlock(world: &World) {
    let [postgres, mariadb] = urls(world);
    for (url, quote, sleep) in [(postgres, "\"", "SELECT pg_sleep(0.3)"), (mariadb, "`", "SELECT sleep(0.3)")] {
        let row = |part: i32| {
            format!(
                "UPDATE foretell_progress SET next = next WHERE pipeline = 'sql' AND {quote}partition{quote} = {part}"
            )
        };
        let _ = execute(&url, &["BEGIN", &row(5), sleep, &row(3), sleep, &row(0), "COMMIT"]);
    }
}

/// What a backup of the pipeline `sql` has: its rows, and of the positions and plans those that are its own.
const TABLES: [(&str, &str); 3] =
    [("rows_sql", ""), ("foretell_progress", " WHERE pipeline = 'sql'"), ("foretell_plans", " WHERE pipeline = 'sql'")];

fn back_up(url: &str) {
    let mysql = url.starts_with("mysql");
    let mut all = Vec::new();
    for (table, _) in TABLES {
        all.push(format!("DROP TABLE IF EXISTS old_{table}"));
        let like = if mysql { format!("LIKE {table}") } else { format!("(LIKE {table})") };
        all.push(format!("CREATE TABLE old_{table} {like}"));
    }
    all.push(
        if mysql { "START TRANSACTION WITH CONSISTENT SNAPSHOT" } else { "BEGIN ISOLATION LEVEL REPEATABLE READ" }
            .into(),
    );
    all.extend(TABLES.map(|(table, only)| format!("INSERT INTO old_{table} SELECT * FROM {table}{only}")));
    all.push("COMMIT".into());
    execute(url, &all.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
}

/// While nobody of the pipeline runs, as one would. Batches from the backup on may be planned anew, with another time.
fn restore(world: &mut World, which: usize, sink: &str) {
    for worker in world.workers.iter_mut().filter(|worker| worker.pipeline == "sql") {
        worker.kill();
        worker.wanted = false;
    }
    let url = &urls(world)[which];
    let mut all = vec!["BEGIN".to_string()];
    for (table, only) in TABLES {
        all.push(format!("DELETE FROM {table}{only}"));
        all.push(format!("INSERT INTO {table} SELECT * FROM old_{table}"));
    }
    all.push("COMMIT".into());
    execute(url, &all.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let quote = if which == 1 { "`" } else { "\"" };
    let stored = format!("SELECT {quote}partition{quote}, min(next) FROM old_foretell_progress GROUP BY 1");
    for row in crate::wait(select(url, &stored)).unwrap() {
        world.replanned.push(("sql", row[0] as i32, row[1], i64::MAX));
    }
    world.sinks.iter_mut().filter(|other| other.name == sink).for_each(crate::checker::SinkCheck::restored);
    world.worker("sql-a").start();
    world.worker("sql-b").start();
}
