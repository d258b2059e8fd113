//! Databases as people keep them: types of their own, views, partitions, columns that they fill; and their own proof.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int32Type};
use arrow::util::display::array_value_to_string;
use foretell_flow::Fault;
use foretell_sql::TABLE;
use serde_json::json;

use crate::target::{Server, Target, batch, claim, context, parse, write};

fn texts(values: &[Option<&str>]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..values.len() as i64);
    batch(vec![("id", Arc::new(ids) as ArrayRef), ("v", Arc::new(StringArray::from(values.to_vec())))])
}

/// Writes one batch from a fresh start; how many rows were refused.
async fn put(target: &Target, rows: &RecordBatch) -> u64 {
    let mut sink = target.open(&rows.schema(), json!({})).await.unwrap();
    let from = sink.claim(&[claim(0, 0)]).await.unwrap()[0].next;
    let to = from + rows.num_rows() as i64;
    sink.write(&write(0, from, to, rows.clone())).await.unwrap().rejected
}

/// A kind: what makes the table `result` with `id` and `v`, the texts that come, and what of them is there then. What is
/// `None` there was refused.
type Kind = (&'static str, &'static [&'static str], &'static [(Option<&'static str>, Option<&'static str>)]);

const MARIADB: &[Kind] = &[
    (
        "uuid",
        &["CREATE TABLE result (id INT, v UUID)"],
        &[
            (Some("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            (None, Some("NULL")),
            (Some("a0eebc99"), None),
        ],
    ),
    (
        "inet",
        &["CREATE TABLE result (id INT, v INET6)"],
        &[(Some("2001:DB8::1"), Some("2001:db8::1")), (None, Some("NULL")), (Some("10.0.0"), None)],
    ),
    (
        "enum",
        &["CREATE TABLE result (id INT, v ENUM('a', 'b'))"],
        &[(Some("a"), Some("a")), (Some("c"), None), (Some("1"), None)],
    ),
    ("set", &["CREATE TABLE result (id INT, v SET('a', 'b'))"], &[(Some("b,a"), Some("a,b")), (Some("a,c"), None)]),
    ("json", &["CREATE TABLE result (id INT, v JSON)"], &[(Some("{\"a\": 1}"), Some("{\"a\": 1}")), (Some("{"), None)]),
    // A text is no geometry; a trigger or a generated column can make one of it.
    ("spatial", &["CREATE TABLE result (id INT, v POINT)"], &[(Some("POINT(1 2)"), None)]),
    (
        "a default",
        &["CREATE TABLE result (id INT, v VARCHAR(9) NOT NULL DEFAULT 'x')"],
        &[(Some("a"), Some("a")), (None, None)],
    ),
    (
        "partitions",
        &["CREATE TABLE result (id INT, v VARCHAR(9)) PARTITION BY LIST COLUMNS (v) (PARTITION p VALUES IN ('a'), \
           PARTITION q VALUES IN ('b', NULL))"],
        &[(Some("a"), Some("a")), (Some("c"), None), (None, Some("NULL"))],
    ),
    (
        "a view with a check",
        &[
            "CREATE TABLE under (id INT, v VARCHAR(9)) ENGINE=InnoDB",
            "CREATE VIEW result AS SELECT id, v FROM under WHERE v <> 'c' WITH CHECK OPTION",
        ],
        &[(Some("a"), Some("a")), (Some("c"), None)],
    ),
];

const POSTGRES: &[Kind] = &[
    (
        "uuid",
        &["CREATE TABLE result (id INT, v UUID)"],
        &[
            (Some("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            (None, Some("NULL")),
            (Some("a0eebc99"), None),
        ],
    ),
    (
        "inet",
        &["CREATE TABLE result (id INT, v INET)"],
        &[(Some("2001:DB8::1"), Some("2001:db8::1/128")), (None, Some("NULL")), (Some("10.0.0"), None)],
    ),
    (
        "enum",
        &["CREATE TYPE letter AS ENUM ('a', 'b')", "CREATE TABLE result (id INT, v letter)"],
        &[(Some("a"), Some("a")), (Some("c"), None)],
    ),
    (
        "jsonb",
        &["CREATE TABLE result (id INT, v JSONB)"],
        &[(Some("{\"b\":1,\"a\":2}"), Some("{\"a\": 2, \"b\": 1}")), (Some("{"), None), (None, Some("NULL"))],
    ),
    (
        "arrays as texts",
        &["CREATE TABLE result (id INT, v INT[])"],
        &[(Some("{1,NULL,3}"), Some("{1,NULL,3}")), (Some("1,2"), None), (None, Some("NULL"))],
    ),
    (
        "ranges",
        &["CREATE TABLE result (id INT, v INT4RANGE)"],
        &[(Some("[1,4]"), Some("[1,5)")), (Some("[5,1)"), None)],
    ),
    (
        "spatial",
        &["CREATE TABLE result (id INT, v POINT)"],
        &[(Some("(1,2)"), Some("(1,2)")), (Some("POINT(1 2)"), None)],
    ),
    (
        "intervals",
        &["CREATE TABLE result (id INT, v INTERVAL)"],
        &[(Some("1 day 02:00"), Some("1 day 02:00:00")), (Some("soon"), None)],
    ),
    (
        "a domain",
        &["CREATE DOMAIN small AS INT CHECK (VALUE < 10)", "CREATE TABLE result (id INT, v small)"],
        &[(Some("9"), Some("9")), (Some("10"), None)],
    ),
    (
        "a default",
        &["CREATE TABLE result (id INT, v VARCHAR(9) NOT NULL DEFAULT 'x')"],
        &[(Some("a"), Some("a")), (None, None)],
    ),
    (
        "an identity",
        &["CREATE TABLE result (id INT, v INT GENERATED BY DEFAULT AS IDENTITY)"],
        &[(Some("7"), Some("7")), (None, None)],
    ),
    (
        "partitions",
        &[
            "CREATE TABLE result (id INT, v VARCHAR(9)) PARTITION BY LIST (v)",
            "CREATE TABLE p PARTITION OF result FOR VALUES IN ('a')",
            "CREATE TABLE q PARTITION OF result FOR VALUES IN ('b', NULL)",
        ],
        &[(Some("a"), Some("a")), (Some("c"), None), (None, Some("NULL"))],
    ),
    (
        "a view with a check",
        &[
            "CREATE TABLE under (id INT, v VARCHAR(9))",
            "CREATE VIEW result AS SELECT id, v FROM under WHERE v <> 'c' WITH CHECK OPTION",
        ],
        &[(Some("a"), Some("a")), (Some("c"), None)],
    ),
    (
        "a view with a trigger",
        &[
            "CREATE TABLE under (id INT, v VARCHAR(9))",
            "CREATE VIEW result AS SELECT id, upper(v) AS v FROM under",
            "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO under VALUES (NEW.id, NEW.v); \
             RETURN NEW; END$$",
            "CREATE TRIGGER tr INSTEAD OF INSERT ON result FOR EACH ROW EXECUTE FUNCTION tr()",
        ],
        &[(Some("a"), Some("A"))],
    ),
    (
        "a rule",
        &[
            "CREATE TABLE result (id INT, v VARCHAR(9))",
            "CREATE RULE r AS ON INSERT TO result WHERE NEW.v = 'c' DO INSTEAD NOTHING",
        ],
        &[(Some("a"), Some("a")), (Some("c"), None)],
    ),
];

const SQLITE: &[Kind] = &[(
    "a default",
    &["CREATE TABLE result (id INT, v VARCHAR(9) NOT NULL DEFAULT 'x')"],
    &[(Some("a"), Some("a")), (None, None)],
)];

pub async fn types_of_their_own(target: &mut Target) {
    let (kinds, drops): (_, &[&str]) = match target.server {
        Server::MariaDb => (MARIADB, &["DROP TABLE IF EXISTS result"]),
        Server::Postgres => (POSTGRES, &["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"]),
        Server::Sqlite => (SQLITE, &["DROP TABLE IF EXISTS result"]),
    };
    for (kind, setup, cases) in kinds {
        for drop in drops {
            target.run(drop).await;
        }
        for sql in *setup {
            target.run(sql).await;
        }
        let values: Vec<Option<&str>> = cases.iter().map(|(value, _)| *value).collect();
        let refused = cases.iter().filter(|(_, there)| there.is_none()).count();
        assert_eq!(put(target, &texts(&values)).await, refused as u64, "{kind}");
        if cases.iter().all(|(_, there)| there.is_none()) {
            assert_eq!(target.count("result").await, 0, "{kind}");
            continue;
        }
        let there: Vec<String> = (0_i64..)
            .zip(cases.iter())
            .filter_map(|(id, (_, there))| there.map(|there| format!("{id}|{there}")))
            .collect();
        assert_eq!(target.rows(&["id", "v"], "result ORDER BY id").await, there, "{kind}");
    }
}

/// Lists go into arrays, and where there are none as JSON.
pub async fn lists(target: &mut Target) {
    let numbers = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let mut words = ListBuilder::new(StringBuilder::new());
    words.append_value([Some("a \"quoted\""), None, Some("")]);
    words.append_value([] as [Option<&str>; 0]);
    let rows = batch(vec![("n", Arc::new(numbers) as ArrayRef), ("w", Arc::new(words.finish()))]);
    match target.server {
        Server::Postgres => target.run("CREATE TABLE result (n INT[], w TEXT[])").await,
        _ => target.run("CREATE TABLE result (n JSON, w JSON)").await,
    }
    assert_eq!(put(target, &rows).await, 0);
    let got = target.rows(&["n", "w"], "result").await;
    match target.server {
        Server::Postgres => assert_eq!(got, [r#"{1,NULL}|{"a \"quoted\"",NULL,""}"#, "NULL|{}"]),
        _ => assert_eq!(got, [r#"[1,null]|["a \"quoted\"",null,""]"#, "NULL|[]"]),
    }
}

/// A column that the database computes is none to write to, and that is said at start.
pub async fn computed_columns(target: &mut Target) {
    let types: &[&str] = match target.server {
        Server::MariaDb => &["INT AS (id + 1) STORED", "INT AS (id + 1) VIRTUAL"],
        Server::Postgres => &["INT GENERATED ALWAYS AS (id + 1) STORED", "INT GENERATED ALWAYS AS IDENTITY"],
        Server::Sqlite => &["INT AS (id + 1) STORED"],
    };
    for type_name in types {
        target.run("DROP TABLE IF EXISTS result").await;
        target.run(&format!("CREATE TABLE result (id INT, v {type_name})")).await;
        let rows = texts(&[Some("1")]);
        let error = target.open(&rows.schema(), json!({})).await.err().expect("it is computed");
        assert_eq!(error.fault, Fault::Settings);
        assert!(error.message.contains("column `v` of table `result` is computed by the database"), "{error}");
        // Without it, the database fills it.
        let rows = rows.project(&[0]).unwrap();
        assert_eq!(put(target, &rows).await, 0);
        assert_eq!(target.rows(&["id", "v"], "result").await, ["0|1"]);
    }
}

/// A view of a view, and one that rows cannot go into.
pub async fn views(target: &mut Target) {
    if target.server == Server::Sqlite {
        // Its views need triggers: `refusals` has them.
        return;
    }
    let end = if target.server == Server::MariaDb { " ENGINE=InnoDB" } else { "" };
    target.run(&format!("CREATE TABLE under (id INT PRIMARY KEY, v VARCHAR(9)){end}")).await;
    target.run("CREATE VIEW between_them AS SELECT id, v FROM under").await;
    target.run("CREATE VIEW result AS SELECT id, v FROM between_them").await;
    assert_eq!(put(target, &texts(&[Some("a"), Some("b")])).await, 0);
    assert_eq!(target.rows(&["id", "v"], "under ORDER BY id").await, ["0|a", "1|b"]);
    let upsert = json!({ "mode": "upsert", "key": ["id"] });
    let error = target.open(&texts(&[]).schema(), upsert).await.err().expect("a view has no index");
    assert!(error.to_string().contains("name the table that the view is of"), "{error}");
    target.run("DROP VIEW result").await;
    target.run("CREATE VIEW result AS SELECT id, MAX(v) AS v FROM under GROUP BY id").await;
    let mut outcome = target.open(&texts(&[]).schema(), json!({})).await;
    if let Ok(sink) = &mut outcome {
        sink.claim(&[claim(0, 2)]).await.unwrap();
        let from = sink.claim(&[claim(0, 2)]).await.unwrap()[0].next;
        let error = sink.write(&write(0, from, from + 1, texts(&[Some("a")]))).await.expect_err("it takes no rows");
        assert_eq!(error.fault, Fault::Settings, "{error}");
    }
}

pub async fn views_without_transactions(target: &mut Target) {
    if target.server != Server::MariaDb {
        return;
    }
    target.run("CREATE TABLE old (id INT, v VARCHAR(9)) ENGINE=MyISAM").await;
    target.run("CREATE VIEW result AS SELECT id, v FROM old").await;
    let error = target.open(&texts(&[]).schema(), json!({})).await.err().expect("its table has no transactions");
    assert!(error.message.contains(".old`, whose engine is MyISAM, which has no transactions"), "{error}");
    // Who may not see the view's query is not taken at the word of nobody.
    let user = target.url.rsplit('/').next().unwrap().to_owned();
    target.run("DROP VIEW result").await;
    target.run("ALTER TABLE old ENGINE=InnoDB").await;
    target.run("CREATE VIEW result AS SELECT id, v FROM old").await;
    target.run(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'hunter2'")).await;
    target.run(&format!("GRANT SELECT, INSERT ON {user}.result TO {user}@'%'")).await;
    let url = target.url.replacen("://root@", &format!("://{user}:hunter2@"), 1);
    let error = target.open(&texts(&[]).schema(), json!({ "url": url })).await.err().expect("it cannot be seen");
    assert!(error.message.contains("SHOW VIEW"), "{error}");
    target.run(&format!("GRANT SHOW VIEW ON {user}.result TO {user}@'%'")).await;
    target.run(&format!("GRANT SELECT ON {user}.old TO {user}@'%'")).await;
    let opened = target.open(&texts(&[]).schema(), json!({ "url": url })).await;
    target.run(&format!("DROP USER {user}@'%'")).await;
    assert!(opened.is_ok(), "{}", opened.err().unwrap());
}

/// Types of their own come as texts, numbers and times as what they are.
pub async fn tables_for_reference(target: &mut Target) {
    let setup: &[&str] = match target.server {
        Server::MariaDb => &[
            "CREATE TABLE ref (id INT, d DECIMAL(9,3), f DOUBLE, at DATETIME(3), u UUID, j JSON)",
            "INSERT INTO ref VALUES (1, 2.5, 0.1, '2026-11-24 01:02:03.5', \
             'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}')",
        ],
        Server::Postgres => &[
            "CREATE TABLE ref (id INT, d NUMERIC(9,3), f FLOAT8, at TIMESTAMP, u UUID, j JSONB, a INT[])",
            "INSERT INTO ref VALUES (1, 2.5, 0.1, '2026-11-24 01:02:03.5', \
             'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}', '{1,2}')",
        ],
        Server::Sqlite => &[
            "CREATE TABLE ref (id INT, d DECIMAL(9,3), f DOUBLE, at DATETIME, u UUID, j JSON)",
            "INSERT INTO ref VALUES (1, 2.5, 0.1, '2026-11-24 01:02:03.5', \
             'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}')",
        ],
    };
    for sql in setup {
        target.run(sql).await;
    }
    let url = target.settings(json!({}))["url"].clone();
    let settings = (TABLE.parse)(json!({ "url": url, "table": "ref" })).unwrap();
    let rows = settings.read(&std::env::temp_dir(), &serde_json::Map::new()).await.unwrap().batch;
    let shown = |name: &str| {
        let column = rows.column_by_name(name).unwrap();
        (column.data_type().clone(), array_value_to_string(column, 0).unwrap())
    };
    assert_eq!(shown("id"), (DataType::Int64, "1".into()));
    assert_eq!(shown("f"), (DataType::Float64, "0.1".into()));
    // SQLite keeps a float.
    assert!(matches!(shown("d").0, DataType::Decimal128(..)) || target.server == Server::Sqlite, "{:?}", shown("d"));
    assert_eq!(shown("d").1.trim_end_matches('0'), "2.5");
    assert!(shown("at").1.replace('T', " ").starts_with("2026-11-24 01:02:03.5"), "{:?}", shown("at"));
    assert_eq!(shown("u"), (DataType::Utf8, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into()));
    assert_eq!(shown("j"), (DataType::Utf8, "{\"a\": 1}".into()));
    if target.server == Server::Postgres {
        assert_eq!(shown("a"), (DataType::Utf8, "{1,2}".into()));
    }
}

/// What `foretell check --prove` runs; it leaves nothing behind.
pub async fn a_proof_holds(target: &mut Target) {
    let rows = texts(&[]);
    let settings = parse(target.settings(json!({ "create": true })));
    let proofs = settings.prove(&context(&rows.schema())).await.unwrap();
    assert!(proofs.len() > 12);
    for proof in proofs {
        assert_eq!(proof.outcome, Ok(()), "{}", proof.what);
    }
    let tables = match target.server {
        Server::MariaDb => "information_schema.tables WHERE table_schema = DATABASE()",
        Server::Postgres => "pg_tables WHERE schemaname = 'public'",
        Server::Sqlite => "sqlite_master",
    };
    assert_eq!(target.count(tables).await, 0);
}
