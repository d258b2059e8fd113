//! What passes at a server, or is mended there while the pipeline runs: nothing stops, and nothing is lost or doubled.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use foretell_flow::{Fault, Sink, StageError};
use serde_json::{Value, json};

use crate::target::{Server, Target, batch, claim, write};

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    batch(vec![("id", Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef)])
}

async fn open(target: &Target, more: Value) -> Box<dyn Sink> {
    target.open(&rows(0..0).schema(), more).await.unwrap()
}

/// One try, as the run loop makes it: ids are offsets.
async fn put(sink: &mut Box<dyn Sink>, count: i64) -> Result<(), StageError> {
    let from = sink.claim(&[claim(0, 0)]).await?[0].next;
    sink.write(&write(0, from, from + count, rows(from..from + count))).await.map(drop)
}

/// Tries until it is stored; how often it was not.
async fn put_patiently(sink: &mut Box<dyn Sink>, count: i64) -> usize {
    for failed in 0..20 {
        match put(sink, count).await {
            Ok(()) => return failed,
            Err(error) => assert_eq!(error.fault, Fault::Unavailable, "{error}"),
        }
    }
    panic!("not stored in 20 tries");
}

async fn holds(target: &mut Target, count: usize) {
    assert_eq!(target.count("result").await, count);
    assert_eq!(target.count("(SELECT DISTINCT id FROM result) AS ids").await, count);
}

pub async fn what_passes_is_tried_again(target: &mut Target) {
    target.run("CREATE TABLE result (id INT)").await;
    let mut sink = open(target, json!({})).await;
    put(&mut sink, 10).await.unwrap();
    match target.server {
        Server::MariaDb => {
            let errors = [
                (1047, "08S01", "WSREP has not yet prepared node for application use"),
                (1180, "HY000", "Got error 149 during COMMIT"),
                (1205, "HY000", "Lock wait timeout exceeded; try restarting transaction"),
                (1213, "40001", "Deadlock found when trying to get lock"),
                (1223, "HY000", "Can't execute the query because you have a conflicting read lock"),
                (1290, "HY000", "The server is running with the --read-only option"),
                (1412, "HY000", "Table definition has changed, please retry transaction"),
                (1836, "HY000", "Running in read-only mode"),
                (1021, "HY000", "Disk full (/var/lib/mysql); waiting for someone to free some space"),
                (1030, "HY000", "Got error 28 from storage engine"),
                (1114, "HY000", "The table is full"),
            ];
            for (number, state, text) in errors {
                let text_literal = text.replace('\'', "''");
                target
                    .run(&format!(
                        "CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW SIGNAL SQLSTATE '{state}' \
                     SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{text_literal}'"
                    ))
                    .await;
                let error = put(&mut sink, 10).await.unwrap_err();
                assert_eq!(error.fault, Fault::Unavailable, "{number}: {error}");
                assert!(error.message.contains(text), "{number}: {error}");
                target.run("DROP TRIGGER tr").await;
            }
        }
        Server::Postgres => {
            // As after a failover, before the standby leads.
            let name = target.url.rsplit_once('/').unwrap().1.to_owned();
            target.run(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
            let others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            target.run(&format!("SELECT pg_terminate_backend(pid) FROM {others}")).await;
            let mut texts = Vec::new();
            for _ in 0..2 {
                let error = put(&mut sink, 10).await.unwrap_err();
                assert_eq!(error.fault, Fault::Unavailable, "{error}");
                texts.push(error.message);
            }
            assert!(texts[1].contains("read-only transaction"), "{texts:?}");
            target.run("SET default_transaction_read_only = off").await;
            target.run(&format!("ALTER DATABASE {name} RESET default_transaction_read_only")).await;
        }
        // Another process's lock, which `a_connection_that_was_killed` has.
        Server::Sqlite => {}
    }
    put_patiently(&mut sink, 10).await;
    holds(target, 20).await;
}

pub async fn tables_are_altered_in_mid_run(target: &mut Target) {
    target.run("CREATE TABLE result (id INT)").await;
    let mut sink = open(target, json!({})).await;
    put(&mut sink, 10).await.unwrap();
    let changes: &[&str] = match target.server {
        Server::MariaDb => &[
            "ALTER TABLE result ADD COLUMN more INT",
            "ALTER TABLE result MODIFY id BIGINT",
            "ALTER TABLE foretell_progress MODIFY identity VARCHAR(500) NOT NULL",
            "ALTER TABLE foretell_plans MODIFY id VARCHAR(500) NOT NULL",
        ],
        Server::Postgres => &[
            "ALTER TABLE result ADD COLUMN more INT",
            "ALTER TABLE result ALTER COLUMN id TYPE BIGINT",
            "ALTER TABLE foretell_progress ALTER COLUMN identity TYPE VARCHAR(500)",
            "ALTER TABLE foretell_plans ALTER COLUMN id TYPE VARCHAR(500)",
        ],
        Server::Sqlite => {
            &["ALTER TABLE result ADD COLUMN more INT", "ALTER TABLE foretell_progress ADD COLUMN more INT"]
        }
    };
    for change in changes {
        target.run(change).await;
        put_patiently(&mut sink, 10).await;
    }
    holds(target, 10 + 10 * changes.len()).await;
}

/// Whoever is silent in the middle of a transaction holds its locks for a minute, not for hours.
pub async fn a_session_that_is_silent_in_a_transaction_ends(target: &mut Target) {
    let create = match target.server {
        Server::MariaDb => {
            "CREATE TABLE result (id INT, more INT); \
             CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW SET NEW.more = @@SESSION.wait_timeout"
        }
        Server::Postgres => {
            "CREATE TABLE result (id INT, more INT DEFAULT extract(epoch FROM \
             current_setting('idle_in_transaction_session_timeout')::interval))"
        }
        Server::Sqlite => return,
    };
    target.run(create).await;
    let mut sink = open(target, json!({})).await;
    put(&mut sink, 2).await.unwrap();
    assert_eq!(target.rows(&["more"], "result").await, ["60", "60"]);
}

/// What one statement cannot store within its time, several can.
pub async fn a_statement_that_takes_too_long_is_cut_smaller(target: &mut Target) {
    target.run("CREATE TABLE result (id INT)").await;
    let url = match target.server {
        Server::MariaDb => {
            target.run("CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW SET @slept = SLEEP(0.05)").await;
            let limited = target.url.rsplit_once('/').unwrap().1.to_owned();
            target
                .run(&format!(
                    "GRANT ALL ON {limited}.* TO '{limited}'@'%' IDENTIFIED BY 'x' WITH MAX_STATEMENT_TIME 1"
                ))
                .await;
            format!("mysql://{limited}:x@{}", target.url.split_once('@').unwrap().1)
        }
        Server::Postgres => {
            target.run(
                "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.05); RETURN NEW; \
                 END$$; CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW EXECUTE FUNCTION tr()",
            )
            .await;
            format!("{}?options=-cstatement_timeout%3D1000", target.url)
        }
        // It has no such limit.
        Server::Sqlite => return,
    };
    let mut sink = open(target, json!({ "url": url })).await;
    let failed = put_patiently(&mut sink, 100).await;
    assert!(failed > 0, "100 rows take 5 s, and a statement may take 1 s");
    put_patiently(&mut sink, 10).await;
    holds(target, 110).await;
    if target.server == Server::MariaDb {
        let limited = target.url.rsplit_once('/').unwrap().1.to_owned();
        target.run(&format!("DROP USER '{limited}'@'%'")).await;
    }
}
