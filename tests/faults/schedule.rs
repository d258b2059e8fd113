//! The faults: each with a name, how it begins, how long it lasts and how it ends.

use std::time::Duration;

use super::checker::execute;
use super::pipelines::World;
use super::proxy::{Mode, Trigger, When};
use super::records;

/// A fault.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// How long it lasts, in seconds.
    pub(crate) seconds: u64,
    /// Whether the representative run has it.
    pub(crate) short: bool,
    /// Whether only the whole run has what it needs.
    pub(crate) whole: bool,
    /// Whether workers may end with an error meanwhile.
    pub(crate) may_end: bool,
    pub(crate) begin: fn(&mut World),
    /// Once a second meanwhile.
    pub(crate) step: fn(&mut World, u64),
    pub(crate) end: fn(&mut World),
}

const NONE: Fault = Fault {
    name: "",
    seconds: 8,
    short: false,
    whole: false,
    may_end: false,
    begin: |_| (),
    step: |_, _| (),
    end: |_| (),
};

const END_TXN: i16 = 26;
const SYNC_GROUP: i16 = 14;

/// A macro, since a function has no place for a name of a service in a `fn` pointer.
macro_rules! service {
    ($name:literal killed $service:literal $seconds:literal $short:literal) => {
        Fault {
            name: $name,
            seconds: $seconds,
            short: $short,
            begin: |world| world.services.kill($service),
            end: |world| world.services.start($service),
            ..NONE
        }
    };
    ($name:literal frozen $service:literal $seconds:literal $short:literal) => {
        Fault {
            name: $name,
            seconds: $seconds,
            short: $short,
            begin: |world| world.services.freeze($service),
            end: |world| world.services.thaw($service),
            ..NONE
        }
    };
    ($name:literal proxy $service:literal $mode:expr, $seconds:literal $short:literal) => {
        Fault {
            name: $name,
            seconds: $seconds,
            short: $short,
            begin: |world| world.proxy($service).set($mode),
            end: |world| world.proxy($service).mend(),
            ..NONE
        }
    };
    ($name:literal cut $service:literal $trigger:expr, $when:expr, $short:literal) => {
        Fault {
            name: $name,
            seconds: 6,
            short: $short,
            begin: |world| world.proxy($service).cut_at($trigger, $when, 3),
            end: |world| world.proxy($service).mend(),
            ..NONE
        }
    };
}

/// All brokers of the proxied workers.
fn all_brokers(world: &World, mode: Mode) {
    for name in ["broker1", "broker2", "broker3"] {
        world.proxy(name).set(mode);
    }
}

fn cut_kafka(world: &World, request: i16, when: When) {
    for name in ["broker1", "broker2", "broker3"] {
        world.proxy(name).cut_at(Trigger::Kafka(request), when, 2);
    }
}

fn mend(world: &mut World) {
    world.proxies.iter().for_each(super::proxy::Proxy::mend);
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault { name: "nothing but kills", seconds: 10, short: true, ..NONE },
    Fault {
        name: "a worker stopped for longer than its session",
        seconds: 10,
        short: true,
        begin: |world| {
            world.worker("sql-a").freeze();
            world.worker("files-a").freeze();
        },
        end: |world| {
            world.worker("sql-a").thaw();
            world.worker("files-a").thaw();
        },
        ..NONE
    },
    Fault {
        name: "a worker that joins and leaves every 2 s",
        seconds: 12,
        short: true,
        step: |world, second| {
            if second % 4 == 0 {
                world.worker("sql-c").start();
            } else if second % 4 == 2 {
                world.worker("sql-c").stop();
            }
        },
        end: |world| {
            world.worker("sql-c").stop();
        },
        ..NONE
    },
    service!("broker 1 killed" killed "broker1" 8 true),
    service!("broker 2 killed" killed "broker2" 8 false),
    service!("broker 3 killed" killed "broker3" 8 false),
    service!("broker 1 frozen" frozen "broker1" 10 false),
    service!("broker 2 frozen" frozen "broker2" 10 true),
    service!("broker 3 frozen" frozen "broker3" 10 false),
    Fault {
        name: "all brokers killed",
        seconds: 8,
        begin: |world| ["broker1", "broker2", "broker3"].iter().for_each(|name| world.services.kill(name)),
        end: |world| ["broker1", "broker2", "broker3"].iter().for_each(|name| world.services.start(name)),
        ..NONE
    },
    Fault {
        name: "a worker cut off from Kafka only",
        seconds: 12,
        begin: |world| all_brokers(world, Mode::Cut),
        end: mend,
        ..NONE
    },
    Fault {
        name: "half-open connections to Kafka",
        seconds: 12,
        begin: |world| all_brokers(world, Mode::HalfOpen),
        end: mend,
        ..NONE
    },
    Fault {
        name: "Kafka's answers held back",
        seconds: 12,
        begin: |world| all_brokers(world, Mode::HoldAnswers),
        end: mend,
        ..NONE
    },
    Fault {
        name: "Kafka at 1 KB/s",
        seconds: 15,
        begin: |world| all_brokers(world, Mode::Slow(1024)),
        end: mend,
        ..NONE
    },
    Fault {
        name: "EndTxn cut before it arrives",
        seconds: 8,
        begin: |world| cut_kafka(world, END_TXN, When::Before),
        end: mend,
        ..NONE
    },
    Fault {
        name: "EndTxn done and its answer lost",
        seconds: 8,
        short: true,
        begin: |world| cut_kafka(world, END_TXN, When::After),
        end: mend,
        ..NONE
    },
    Fault {
        name: "SyncGroup's answer lost",
        seconds: 8,
        begin: |world| {
            cut_kafka(world, SYNC_GROUP, When::After);
            world.worker("sql-c").start();
        },
        end: |world| {
            world.worker("sql-c").stop();
            mend(world);
        },
        ..NONE
    },
    service!("PostgreSQL killed in mid-transaction" killed "postgres" 6 true),
    service!("MariaDB killed in mid-transaction" killed "mariadb" 6 true),
    service!("PostgreSQL frozen" frozen "postgres" 10 false),
    service!("MariaDB frozen" frozen "mariadb" 10 false),
    Fault {
        name: "MariaDB down for 5 minutes",
        seconds: 300,
        whole: true,
        begin: |world| world.services.kill("mariadb"),
        end: |world| world.services.start("mariadb"),
        ..NONE
    },
    service!("a worker cut off from PostgreSQL only" proxy "postgres" Mode::Cut, 8 true),
    service!("a worker cut off from MariaDB only" proxy "mariadb" Mode::Cut, 8 false),
    service!("half-open connections to PostgreSQL" proxy "postgres" Mode::HalfOpen, 12 false),
    service!("half-open connections to MariaDB" proxy "mariadb" Mode::HalfOpen, 12 false),
    service!("MariaDB's answers held back" proxy "mariadb" Mode::HoldAnswers, 12 false),
    service!("PostgreSQL at 1 KB/s" proxy "postgres" Mode::Slow(1024), 15 false),
    service!("MariaDB at 1 KB/s" proxy "mariadb" Mode::Slow(1024), 15 false),
    service!("PostgreSQL's COMMIT cut before it arrives" cut "postgres" Trigger::Text(b"COMMIT"), When::Before, false),
    service!("PostgreSQL's COMMIT done and its answer lost" cut "postgres" Trigger::Text(b"COMMIT"), When::After, true),
    service!("MariaDB's COMMIT cut before it arrives" cut "mariadb" Trigger::Text(b"COMMIT"), When::Before, false),
    service!("MariaDB's COMMIT done and its answer lost" cut "mariadb" Trigger::Text(b"COMMIT"), When::After, true),
    Fault {
        name: "deadlocks with another client",
        seconds: 10,
        step: |world, _| {
            let (postgres, mariadb) =
                (world.services.at("FORETELL_POSTGRES_URL"), world.services.at("FORETELL_MARIADB_URL"));
            for (url, quote, sleep) in [(postgres, "\"", "SELECT pg_sleep(0.3)"), (mariadb, "`", "SELECT sleep(0.3)")] {
                // Against the order in which foretell takes its rows.
                let row = |part: i32| {
                    format!(
                        "UPDATE foretell_progress SET next = next WHERE pipeline = 'sql' AND {quote}partition{quote} = {part}"
                    )
                };
                let _ = execute(&url, &["BEGIN", &row(5), sleep, &row(3), sleep, &row(0), "COMMIT"]);
            }
        },
        ..NONE
    },
    Fault {
        name: "a table altered in mid-run",
        seconds: 8,
        step: |world, second| {
            let urls = [world.services.at("FORETELL_POSTGRES_URL"), world.services.at("FORETELL_MARIADB_URL")];
            for url in urls {
                let add = format!("ALTER TABLE rows_sql ADD COLUMN more{}_{second} INT", fastrand::u32(..));
                let _ = execute(&url, &[&add]);
            }
        },
        ..NONE
    },
    Fault {
        name: "MariaDB restored from an older backup",
        seconds: 8,
        begin: |world| {
            let url = world.services.at("FORETELL_MARIADB_URL");
            let tables = ["rows_sql", "foretell_progress", "foretell_plans"];
            let mut all = vec![format!("LOCK TABLES {}", tables.map(|table| format!("{table} READ")).join(", "))];
            all.clear();
            for table in tables {
                all.push(format!("DROP TABLE IF EXISTS old_{table}"));
                all.push(format!("CREATE TABLE old_{table} LIKE {table}"));
            }
            all.push("START TRANSACTION WITH CONSISTENT SNAPSHOT".into());
            all.extend(tables.map(|table| format!("INSERT INTO old_{table} SELECT * FROM {table}")));
            all.push("COMMIT".into());
            execute(&url, &all.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        },
        end: |world| {
            for worker in world.workers.iter_mut().filter(|worker| worker.pipeline == "sql") {
                worker.kill();
                worker.wanted = false;
            }
            let url = world.services.at("FORETELL_MARIADB_URL");
            let mut all = vec!["START TRANSACTION".to_string()];
            for table in ["rows_sql", "foretell_progress", "foretell_plans"] {
                all.push(format!("DELETE FROM {table}"));
                all.push(format!("INSERT INTO {table} SELECT * FROM old_{table}"));
            }
            all.push("COMMIT".into());
            execute(&url, &all.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            world.sinks.iter_mut().filter(|sink| sink.name == "sql/my").for_each(super::checker::SinkCheck::restored);
            world.worker("sql-a").start();
            world.worker("sql-b").start();
        },
        ..NONE
    },
    Fault {
        name: "PgBouncer killed",
        seconds: 6,
        whole: true,
        begin: |world| world.services.kill("pgbouncer"),
        end: |world| world.services.start("pgbouncer"),
        ..NONE
    },
    Fault {
        name: "a Galera node killed",
        seconds: 10,
        whole: true,
        begin: |world| world.services.kill("galera2"),
        end: |world| world.services.start("galera2"),
        ..NONE
    },
    Fault {
        name: "a Galera node frozen",
        seconds: 12,
        whole: true,
        begin: |world| world.services.freeze("galera3"),
        end: |world| world.services.thaw("galera3"),
        ..NONE
    },
    service!("HDFS: the NameNode restarted" killed "namenode" 5 true),
    service!("HDFS: the NameNode frozen" frozen "namenode" 10 false),
    service!("HDFS: a DataNode killed in mid-block" killed "datanode2" 12 false),
    service!("HDFS: a DataNode frozen" frozen "datanode" 12 false),
    Fault {
        name: "HDFS: safe mode",
        seconds: 8,
        begin: |world| world.services.safe_mode("enter"),
        end: |world| world.services.safe_mode("leave"),
        ..NONE
    },
    service!("a worker cut off from the NameNode only" proxy "namenode" Mode::Cut, 8 false),
    service!("half-open connections to the NameNode" proxy "namenode" Mode::HalfOpen, 12 false),
    service!("HDFS: a rename done and its answer lost" cut "namenode" Trigger::Text(b"rename"), When::After, true),
    service!("HDFS: a rename cut before it arrives" cut "namenode" Trigger::Text(b"rename"), When::Before, false),
    Fault {
        name: "a full disk",
        seconds: 8,
        short: true,
        begin: |world| {
            if world.small {
                // As much as goes in.
                let full = std::process::Command::new("dd")
                    .args(["if=/dev/zero", "bs=64k", &format!("of={}/ballast", world.disk.display())])
                    .output();
                drop(full);
            }
        },
        end: |world| drop(std::fs::remove_file(world.disk.join("ballast"))),
        ..NONE
    },
    Fault {
        name: "a disk that can only be read",
        seconds: 8,
        may_end: true,
        begin: |world| {
            let worker = world.worker("single-a");
            worker.kill();
            worker.wanted = false;
            remount(world, "ro");
            world.worker("single-a").start();
        },
        end: |world| {
            remount(world, "rw");
            world.worker("single-a").start();
        },
        ..NONE
    },
    Fault {
        name: "a clock that jumps by a day",
        seconds: 12,
        begin: |world| {
            std::fs::write(world.dir.join("clock"), "+0").unwrap();
            clocks(world, true);
        },
        step: |world, second| {
            let jump = ["+0", "+86400", "-86400"][(second / 4) as usize % 3];
            std::fs::write(world.dir.join("clock"), jump).unwrap();
        },
        end: |world| clocks(world, false),
        ..NONE
    },
    Fault {
        name: "descriptors exhausted",
        seconds: 8,
        may_end: true,
        begin: |world| {
            let worker = world.worker("files-a");
            worker.kill();
            worker.limit(Some(20 + fastrand::u64(0..40)));
            worker.start();
        },
        end: |world| {
            let worker = world.worker("files-a");
            worker.kill();
            worker.limit(None);
            worker.start();
        },
        ..NONE
    },
    Fault {
        name: "partitions added",
        seconds: 8,
        begin: |world| {
            world.partitions += 1;
            records::grow(&world.brokers, "in", world.partitions);
        },
        ..NONE
    },
];

fn remount(world: &World, how: &str) {
    if world.small {
        let options = format!("remount,{how}");
        let _ = std::process::Command::new("mount").args(["-o", &options]).arg(&world.disk).status();
    }
}

/// The second worker of each pipeline gets a clock of its own, or the machine's again.
fn clocks(world: &mut World, own: bool) {
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    let clock = world.dir.join("clock").display().to_string();
    for worker in world.workers.iter_mut().filter(|worker| worker.name.ends_with("-b")) {
        let settings = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &clock),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        for (name, value) in settings {
            if own && std::path::Path::new(LIBRARY).exists() {
                worker.set(name, value);
            } else {
                worker.unset(name);
            }
        }
        worker.kill();
        worker.start();
    }
}

/// How long all sinks may take to have everything, after a fault is over.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(90);
