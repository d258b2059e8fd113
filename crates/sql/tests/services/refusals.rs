//! What a database refuses: a row, or everything.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use foretell_flow::{Fault, Sink, StageError, Written};
use serde_json::{Value, json};

use crate::target::{Server, Target, batch, claim, write};

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let texts: StringArray = ids.clone().map(|id| Some(format!("row {id}"))).collect();
    batch(vec![("id", Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef), ("t", Arc::new(texts))])
}

async fn open(target: &Target, more: Value) -> Box<dyn Sink> {
    target.open(&rows(0..0).schema(), more).await.unwrap()
}

async fn put(sink: &mut Box<dyn Sink>, ids: std::ops::Range<i64>) -> Result<Written, StageError> {
    let from = sink.claim(&[claim(0, 0)]).await?[0].next;
    let rows = rows(ids);
    let to = from + rows.num_rows() as i64;
    sink.write(&write(0, from, to, rows)).await
}

/// A trigger on `result` that runs something for the row with the id 3.
async fn trigger(target: &mut Target, mariadb: &str, postgres: &str, sqlite: &str) {
    let sql = match target.server {
        Server::MariaDb => {
            format!("CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW IF NEW.id = 3 THEN {mariadb}; END IF")
        }
        Server::Postgres => format!(
            "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.id = 3 THEN {postgres}; END IF; \
             RETURN NEW; END$$; CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW EXECUTE FUNCTION tr()"
        ),
        Server::Sqlite => {
            format!("CREATE TRIGGER tr BEFORE INSERT ON result WHEN NEW.id = 3 BEGIN {sqlite}; END")
        }
    };
    target.run(&sql).await;
}

async fn table(target: &mut Target, rest: &str) {
    target.run(&format!("CREATE TABLE result (id INT, t VARCHAR(200)){rest}")).await;
}

/// All of ids 0 to 9 but the third are there, and the third is beside the table.
async fn third_is_refused(target: &mut Target, reason: &str) {
    assert_eq!(target.count("result WHERE id <> 3").await, 9);
    assert_eq!(target.count("result").await, 9);
    let kept = target.rows(&["offset", "reason", "row"], "foretell_rejected").await;
    assert_eq!(kept, [format!(r#"3|{reason}|{{"id":3,"t":"row 3"}}"#)]);
}

pub async fn a_row_is_refused_for_whatever_reason(target: &mut Target) {
    // Errors that are in no list of what rows do.
    let (cases, none): (&[(&str, &str)], _) = match target.server {
        Server::MariaDb => (
            &[
                ("SET NEW.t = (SELECT 1 UNION SELECT 2)", "a trigger's subquery gives several rows (error 1242)"),
                ("SIGNAL SQLSTATE 'U1234' SET MESSAGE_TEXT = 'secret'", "refused by a trigger (error 1644)"),
                ("SET NEW.t = REPEAT('x', 300)", "too long (`t`, error 1406)"),
                ("SET NEW.t = UPDATEXML('<a/>', '/a[', 'x')", "the statement was refused (error 1105)"),
            ],
            "",
        ),
        Server::Postgres => (
            &[
                ("RAISE EXCEPTION 'secret' USING ERRCODE = 'U1234'", "refused by a trigger (SQLSTATE U1234)"),
                ("RAISE EXCEPTION 'secret' USING ERRCODE = '55000'", "refused by a trigger (SQLSTATE 55000)"),
                ("RAISE EXCEPTION 'secret' USING ERRCODE = '40001'", "refused by a trigger (SQLSTATE 40001)"),
                ("RAISE EXCEPTION 'secret'", "refused by a trigger (SQLSTATE P0001)"),
                ("PERFORM 1 / 0", "refused (SQLSTATE 22012)"),
                ("ASSERT false, 'secret'", "the statement was refused (SQLSTATE P0004)"),
                ("RAISE EXCEPTION 'secret' USING ERRCODE = '38001'", "refused by a trigger (SQLSTATE 38001)"),
            ],
            "",
        ),
        Server::Sqlite => (
            &[
                ("SELECT RAISE(ABORT, 'secret')", "refused by a trigger"),
                ("SELECT json('{')", "the statement was refused (code 1)"),
                ("SELECT abs(-9223372036854775808)", "the statement was refused (code 1)"),
            ],
            "SELECT 1",
        ),
    };
    for (action, reason) in cases {
        target.run("DROP TABLE IF EXISTS result").await;
        target.run("DROP TABLE IF EXISTS foretell_rejected").await;
        target.run("DROP TABLE IF EXISTS foretell_progress").await;
        if target.server == Server::Postgres {
            target.run("DROP FUNCTION IF EXISTS tr").await;
        }
        table(target, "").await;
        trigger(target, action, action, if target.server == Server::Sqlite { action } else { none }).await;
        let mut sink = open(target, json!({})).await;
        assert_eq!(put(&mut sink, 0..10).await.unwrap().rejected, 1, "{action}");
        third_is_refused(target, reason).await;
        // Alone in its batch there is no other row.
        assert_eq!(put(&mut sink, 3..4).await.unwrap().rejected, 1, "{action}");
        assert_eq!(put(&mut sink, 20..23).await.unwrap().rejected, 0, "{action}");
    }
    if target.server == Server::MariaDb {
        target.run("DROP TABLE result, foretell_rejected, foretell_progress").await;
        table(target, " PARTITION BY LIST (id) (PARTITION p VALUES IN (0, 1, 2, 4, 5, 6, 7, 8, 9))").await;
        let mut sink = open(target, json!({})).await;
        assert_eq!(put(&mut sink, 0..10).await.unwrap().rejected, 1);
        third_is_refused(target, "no partition for it (error 1526)").await;
    }
}

pub async fn a_single_row_is_refused_alone(target: &mut Target) {
    match target.server {
        Server::MariaDb => {
            table(target, " PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (3))").await;
            let mut sink = open(target, json!({})).await;
            assert_eq!(put(&mut sink, 3..4).await.unwrap().rejected, 1);
            // A row that no page of InnoDB holds.
            let wide: Vec<String> = (0..30).map(|i| format!("c{i} VARCHAR(500)")).collect();
            target.run("SET SESSION innodb_strict_mode = OFF").await;
            target.run(&format!("CREATE TABLE wide ({}) ENGINE=InnoDB ROW_FORMAT=COMPACT", wide.join(", "))).await;
            let text = "x".repeat(500);
            let column = |i: usize| (format!("c{i}"), Arc::new(StringArray::from(vec![text.as_str()])) as ArrayRef);
            let columns: Vec<(String, ArrayRef)> = (0..30).map(column).collect();
            let row = batch(columns.iter().map(|(name, array)| (name.as_str(), array.clone())).collect());
            let mut sink = target.open(&row.schema(), json!({ "table": "wide" })).await.unwrap();
            let from = sink.claim(&[claim(0, 0)]).await.unwrap()[0].next;
            assert_eq!(sink.write(&write(0, from, from + 1, row)).await.unwrap().rejected, 1);
            let reasons = target.rows(&["reason"], "foretell_rejected").await;
            let expected = ["no partition for it (error 1526)", "longer than a row of the table can be (error 1118)"];
            assert_eq!(reasons, expected);
        }
        Server::Postgres => {
            table(target, "").await;
            let user = target.url.rsplit('/').next().unwrap().to_owned();
            target
                .run(&format!(
                    "CREATE USER {user} PASSWORD 'hunter2'; GRANT ALL ON SCHEMA public TO {user}; \
                 GRANT INSERT, SELECT ON result TO {user}; ALTER TABLE result ENABLE ROW LEVEL SECURITY; \
                 CREATE POLICY p ON result FOR INSERT WITH CHECK (id <> 3); CREATE POLICY s ON result FOR SELECT \
                 USING (true)"
                ))
                .await;
            let url = target.url.replacen("://postgres@", &format!("://{user}:hunter2@"), 1);
            let mut sink = open(target, json!({ "url": url })).await;
            assert_eq!(put(&mut sink, 3..4).await.unwrap().rejected, 1);
            assert_eq!(put(&mut sink, 0..10).await.unwrap().rejected, 1);
            assert_eq!(target.count("result").await, 9);
            let reasons = target.rows(&["reason"], "foretell_rejected").await;
            assert_eq!(reasons, ["refused by the table's row security (SQLSTATE 42501)"; 2]);
            // A right that is gone is not the fault of a row.
            target.run(&format!("REVOKE INSERT ON result FROM {user}")).await;
            let error = put(&mut sink, 5..6).await.unwrap_err();
            assert_eq!(error.fault, Fault::Settings, "{error}");
            assert!(error.message.contains("permission denied for table result"), "{error}");
            drop(sink);
            target.run(&format!("DROP OWNED BY {user}; DROP USER {user}")).await;
        }
        Server::Sqlite => {
            table(target, "").await;
            target.run("CREATE UNIQUE INDEX u ON result (json_extract(t, '$.x'))").await;
            let mut sink = open(target, json!({})).await;
            assert_eq!(put(&mut sink, 3..4).await.unwrap().rejected, 1, "malformed JSON");
        }
    }
}

/// Rows that a server would take another way where there are many: those that are refused are found all the same.
pub async fn a_few_of_many_are_refused(target: &mut Target) {
    target.run("CREATE TABLE result (id BIGINT PRIMARY KEY, t VARCHAR(200), CHECK (id <> 1111))").await;
    target.run("INSERT INTO result (id) VALUES (2222)").await;
    let mut sink = open(target, json!({})).await;
    assert_eq!(put(&mut sink, 0..3000).await.unwrap().rejected, 2);
    assert_eq!(target.count("result").await, 2999);
    assert_eq!(target.rows(&["offset"], "foretell_rejected ORDER BY 1").await, ["1111", "2222"]);
    let reasons = target.rows(&["reason"], "foretell_rejected").await.join(" ").to_lowercase();
    assert!(!reasons.contains("copy"), "{reasons}");
    // The next ones go in.
    assert_eq!(put(&mut sink, 3000..6000).await.unwrap().rejected, 0);
    assert_eq!(target.count("result").await, 5999);
    if target.server == Server::Postgres {
        // Each way obeys what stands between a statement and its table.
        target.run("CREATE TABLE other (id BIGINT, t VARCHAR(200))").await;
        target
            .run("CREATE RULE other AS ON INSERT TO result DO INSTEAD INSERT INTO other VALUES (NEW.id, NEW.t)")
            .await;
        assert_eq!(put(&mut sink, 6000..9000).await.unwrap().rejected, 0);
        assert_eq!((target.count("result").await, target.count("other").await), (5999, 3000));
        target.run("DROP RULE other ON result").await;
        target.run("CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$").await;
        target
            .run("CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW WHEN (NEW.id = 9500) EXECUTE FUNCTION tr()")
            .await;
        assert_eq!(put(&mut sink, 9000..12_000).await.unwrap().rejected, 1);
        assert_eq!(target.count("result").await, 8998);
        let kept = target.rows(&["offset"], "foretell_rejected WHERE reason LIKE '%trigger%'").await;
        assert_eq!(kept, ["9500"]);
    }
}

pub async fn what_concerns_all_rows_stops(target: &mut Target) {
    table(target, "").await;
    let mut sink = open(target, json!({})).await;
    assert_eq!(put(&mut sink, 10..20).await.unwrap().rejected, 0);
    // A trigger that refuses everything, with a word of its own.
    let refuse = match target.server {
        Server::MariaDb => {
            "CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW SET NEW.t = UPDATEXML('<a/>', '/a[', '')"
        }
        Server::Postgres => {
            "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'closed' USING ERRCODE = \
             'U0001'; END$$; CREATE TRIGGER tr BEFORE INSERT ON result FOR EACH ROW EXECUTE FUNCTION tr()"
        }
        Server::Sqlite => "CREATE TRIGGER tr BEFORE INSERT ON result BEGIN SELECT json('{'); END",
    };
    target.run(refuse).await;
    let error = put(&mut sink, 20..40).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings, "{error}");
    let what = if target.server == Server::Postgres { "refused by a trigger" } else { "the statement was refused" };
    assert!(error.message.contains(&format!("each of the 20 rows was refused: {what} (")), "{error}");
    let drop_trigger = if target.server == Server::Postgres { "DROP TRIGGER tr ON result" } else { "DROP TRIGGER tr" };
    target.run(drop_trigger).await;
    // Nothing is lost: the same rows go in afterwards.
    assert_eq!(put(&mut sink, 20..40).await.unwrap().rejected, 0);
    assert_eq!(target.count("result").await, 30);
    // A column that is gone, and a table that is gone: whatever the number of rows.
    target.run("ALTER TABLE result DROP COLUMN t").await;
    let error = put(&mut sink, 40..41).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings, "{error}");
    target.run("DROP TABLE result").await;
    let error = put(&mut sink, 40..41).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings, "{error}");
    assert_eq!(target.count("foretell_rejected").await, 0);
}

pub async fn a_trigger_that_fails_for_some_rows_alone(target: &mut Target) {
    // An error that otherwise is one of settings: a table that is not there.
    let action = "INSERT INTO nowhere VALUES (1)";
    table(target, "").await;
    if target.server == Server::Sqlite {
        // There no row goes in: a trigger is read as a whole.
        trigger(target, "", "", action).await;
        let error = target.open(&rows(0..0).schema(), json!({})).await.err().expect("it names no table");
        assert!(error.message.contains("no such table"), "{error}");
        return;
    }
    if target.server == Server::MariaDb {
        target.run("CREATE PROCEDURE missing() BEGIN INSERT INTO nothing_here VALUES (1); END").await;
        trigger(target, "CALL missing()", "", "").await;
    } else {
        trigger(target, "", action, "").await;
    }
    let mut sink = open(target, json!({})).await;
    let written = put(&mut sink, 0..10).await;
    assert_eq!(written.unwrap().rejected, 1);
    assert_eq!(target.count("result").await, 9);
    // Where it is all there is, a person must look.
    let error = put(&mut sink, 3..4).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings, "{error}");
}

pub async fn a_trigger_that_skips_rows(target: &mut Target) {
    if target.server == Server::MariaDb {
        // Its triggers cannot.
        return;
    }
    target.run("CREATE TABLE result (id INT PRIMARY KEY, t VARCHAR(200))").await;
    trigger(target, "", "RETURN NULL", "SELECT RAISE(IGNORE)").await;
    let reason = match target.server {
        Server::Postgres => "skipped by a trigger or rule of the table, which gave no row to store",
        _ => "skipped by a trigger of the table",
    };
    let mut sink = open(target, json!({})).await;
    assert_eq!(put(&mut sink, 0..10).await.unwrap().rejected, 1);
    third_is_refused(target, reason).await;
    // Where rows are replaced, too.
    let mut sink = open(target, json!({ "mode": "upsert", "key": ["id"] })).await;
    assert_eq!(put(&mut sink, 0..10).await.unwrap().rejected, 1);
    assert_eq!(put(&mut sink, 3..4).await.unwrap().rejected, 1);
    assert_eq!(target.count("result").await, 9);
    // A table of nothing but its key.
    target.run("CREATE TABLE keys (id INT PRIMARY KEY)").await;
    let ids = rows(0..5).project(&[0]).unwrap();
    let more = json!({ "table": "keys", "mode": "upsert", "key": ["id"] });
    for _ in 0..2 {
        let mut sink = target.open(&ids.schema(), more.clone()).await.unwrap();
        let from = sink.claim(&[claim(0, 0)]).await.unwrap()[0].next;
        assert_eq!(sink.write(&write(0, from, from + 5, ids.clone())).await.unwrap().rejected, 0);
    }
    assert_eq!(target.count("keys").await, 5);
    if target.server == Server::Sqlite {
        // What a view's triggers store is not counted, and not missed.
        target.run("CREATE VIEW v AS SELECT id, t FROM result").await;
        target
            .run("CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO result VALUES (NEW.id, NEW.t); END")
            .await;
        let mut sink = open(target, json!({ "table": "v" })).await;
        assert_eq!(put(&mut sink, 20..25).await.unwrap().rejected, 0);
        assert_eq!(target.count("result").await, 14);
    }
}

pub async fn rejects_have_a_primary_key(target: &mut Target) {
    table(target, "").await;
    let mut sink = open(target, json!({})).await;
    sink.claim(&[claim(0, 0)]).await.unwrap();
    for name in ["foretell_progress", "foretell_plans", "foretell_rejected"] {
        // Some servers take no table without one.
        let key = match target.server {
            Server::Sqlite => format!("pragma_table_info('{name}') WHERE pk = 1"),
            Server::MariaDb => format!(
                "information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = '{name}' AND \
                 constraint_type = 'PRIMARY KEY'"
            ),
            Server::Postgres => format!(
                "information_schema.table_constraints WHERE table_name = '{name}' AND constraint_type = 'PRIMARY KEY'"
            ),
        };
        assert_eq!(target.count(&key).await, 1, "{name}");
    }
    // One that was made without it serves as well.
    target.run("ALTER TABLE foretell_rejected RENAME TO other").await;
    let types = match target.server {
        Server::MariaDb => ["LONGTEXT", "INTEGER", "BIGINT", "DATETIME(6)", "`"],
        Server::Postgres => ["TEXT", "INTEGER", "BIGINT", "TIMESTAMPTZ", "\""],
        Server::Sqlite => ["TEXT", "INTEGER", "BIGINT", "TIMESTAMP", "\""],
    };
    let [text, int, long, time, q] = types;
    target.run(&format!(
        "CREATE TABLE foretell_rejected ({q}pipeline{q} {text} NOT NULL, {q}sink{q} {text} NOT NULL, {q}topic{q} {text}, \
         {q}partition{q} {int}, {q}offset{q} {long}, {q}reason{q} {text} NOT NULL, {q}time{q} {time} NOT NULL, \
         {q}row{q} {text})"
    ))
    .await;
    target.run("CREATE UNIQUE INDEX u ON result (id)").await;
    let mut sink = open(target, json!({})).await;
    assert_eq!(put(&mut sink, 0..1).await.unwrap().rejected, 0);
    assert_eq!(put(&mut sink, 0..2).await.unwrap().rejected, 1);
    assert_eq!(target.count("foretell_rejected").await, 1);
}
