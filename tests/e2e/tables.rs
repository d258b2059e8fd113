//! Encoded ids in, names out, and the other way round: encodings, reference tables, and groups over batches.

use std::time::Duration;

use serde_json::Value;

use crate::harness::case::{check, same};
use crate::harness::database::Database;
use crate::harness::orders::{ORDERS, Order, order};
use crate::harness::sandbox::Sandbox;
use crate::harness::{hdfs, kafka, until};

#[test]
fn raw_labels_become_codes_and_unseen_ones_are_refused() {
    check("encodings");
}

fn feature(order: &Order, at: usize) -> i64 {
    order.features.split(',').nth(at).unwrap().parse().unwrap()
}

/// The lines of a local file of JSON Lines, each as its values.
fn lines(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let mut lines = Vec::new();
    for (_, content) in hdfs::local(&sandbox.dir.path().join(file)) {
        for line in std::str::from_utf8(&content).unwrap().lines() {
            let row: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            lines.push(row.values().map(text).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

/// The notebook's encoding step is not rewritten: names come in, and the model gets the codes that it knows.
#[test]
fn encoded_names_give_the_models_own_answers() {
    let text = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [ITEM: utf8, ORDERDR_n: int64, DEPT: utf8, SEX: utf8, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"${root}/examples/mri/models/mri_xgb.joblib\" } }
encodings:
  dept: { file: depts.csv }
  item: { lookup: { plain: 0, contrast: 1, angiography: 2, spectroscopy: 3, breast: 4 } }
  sex: { lookup: { F: 0, M: 1 } }
query: |
  SELECT PNO, CAST(mri(*) AS BIGINT) / 60 AS PRETIME, dept_label(DEPT_n) AS dept
  FROM (SELECT *, _key AS PNO, item(ITEM) AS ITEM_n, dept(DEPT) AS DEPT_n, sex(SEX) AS SEX_n FROM records)
sinks: { out: { file: { path: out.jsonl } } }
trigger: available_now
";
    let sandbox = Sandbox::new("encoded");
    let depts: String = (0..30).map(|id| format!("\"Dept {id}, floor {}\",{id}\n", id % 7)).collect();
    std::fs::write(sandbox.dir.path().join("depts.csv"), format!("dept,id\n{depts}")).unwrap();
    sandbox.pipeline(text);
    sandbox.topics(text);
    let dept = |order: &Order| format!("Dept {}, floor {}", feature(order, 2), feature(order, 2) % 7);
    let raw = |order: &Order| {
        let mut fields: Vec<String> = order.features.split(',').map(str::to_string).collect();
        fields[0] = ["plain", "contrast", "angiography", "spectroscopy", "breast"][feature(order, 0) as usize].into();
        fields[2] = format!("\"{}\"", dept(order));
        fields[3] = ["F", "M"][feature(order, 3) as usize].into();
        fields.join(",")
    };
    kafka::produce(&sandbox.name("in"), ORDERS.iter().map(|order| (None, Some(order.pno.clone()), Some(raw(order)))));
    let checked = sandbox.run(&["check"]).well().out;
    for line in ["encoding  dept: lookup, 30 labels", "encoding  sex: lookup, 2 labels (in this file)"] {
        assert!(checked.contains(line), "`{line}` is not in\n{checked}");
    }
    sandbox.run(&["run"]).well();
    let expected = ORDERS.iter().map(|order| format!("{} {} {}", order.pno, order.minutes, dept(order)));
    same("answers", expected.collect(), lines(&sandbox, "out.jsonl"));

    std::fs::write(sandbox.dir.path().join("depts.csv"), "dept,id\nENT,1\nSurgery\n").unwrap();
    sandbox.run(&["check"]).says(&["pipeline.yaml:7: encodings.dept:", "depts.csv: line 3: two fields are needed"]);
}

/// Ids become names by tables of every kind; what each sink's own query joins, too.
const JOINED: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"${root}/examples/mri/models/mri_xgb.joblib\" } }
tables:
  depts: { file: depts.csv, key: id }
  sexes: { file: sexes.jsonl, key: code }
  items: { sql: { url: { env: MARIADB_URL }, table: items_${id} }, key: id }
  doctors: { sql: { url: { env: POSTGRES_URL }, query: \"SELECT id, name FROM doctors_${id} WHERE active\" }, key: [id] }
query: |
  SELECT _key AS PNO, CAST(mri(records.*) AS BIGINT) / 60 AS PRETIME, depts.name AS dept, items.name AS item,
    doctors.name AS doctor, SEX_n
  FROM records LEFT JOIN depts ON DEPT_n = depts.id LEFT JOIN items ON ITEM_n = items.id
    LEFT JOIN doctors ON ORDERDR_n = doctors.id
sinks:
  out: { file: { path: out.jsonl, columns: [PNO, PRETIME, dept, item, doctor] } }
  sex: { file: { path: sex.jsonl }, query: \"SELECT PNO, sexes.name AS sex FROM result JOIN sexes ON SEX_n = code\" }
trigger: { mode: available_now, max_rows: 64 }
";

#[test]
fn ids_become_names_by_tables_in_files_and_databases() {
    let sandbox = Sandbox::new("joined");
    let write = |name: &str, text: String| std::fs::write(sandbox.dir.path().join(name), text).unwrap();
    // Department 3 is not known.
    let depts: String = (0..30).rev().filter(|id| *id != 3).map(|id| format!("{id},Dept {id}\n")).collect();
    write("depts.csv", format!("id,name\n{depts}"));
    write("sexes.jsonl", "{\"code\":0,\"name\":\"female\"}\n{\"code\":1,\"name\":\"male\"}\n".into());
    let values = |count: usize, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<Vec<_>>().join(", ");
    let items = sandbox.name("items");
    Database::MariaDb.execute(&format!(
        "CREATE TABLE {items} (id TINYINT PRIMARY KEY, name VARCHAR(20), price DECIMAL(8,2), since DATETIME); \
         INSERT INTO {items} VALUES {}",
        values(5, &|id| format!("({id}, 'item {id}', {id}.50, '2024-02-29 12:00:00')"))
    ));
    let doctors = sandbox.name("doctors");
    Database::Postgres.execute(&format!(
        "CREATE TABLE {doctors} (id SMALLINT, name TEXT, active BOOLEAN, since TIMESTAMPTZ); \
         INSERT INTO {doctors} VALUES {}",
        values(280, &|id| format!("({id}, 'Dr. {id}', {}, now())", id % 2 == 0))
    ));
    sandbox.pipeline(JOINED);
    sandbox.topics(JOINED);
    sandbox.orders(0..200);
    let checked = sandbox.run(&["check"]).well().out;
    for line in [
        "table     depts: 29 rows (",
        "2 columns: id Int64, name Utf8; key id",
        "table     items: 5 rows (",
        "4 columns: id Int64, name Utf8, price Decimal128(38, 2), since Timestamp(µs, \"UTC\"); key id",
        "table     doctors: 140 rows (",
        "query     row-wise: ",
    ] {
        assert!(checked.contains(line), "`{line}` is not in\n{checked}");
    }
    sandbox.run(&["run"]).well();
    let named = |known: bool, name: String| if known { name } else { "null".to_string() };
    let row = |at: usize| {
        let (item, doctor, dept) = (feature(order(at), 0), feature(order(at), 1), feature(order(at), 2));
        let (dept, doctor) =
            (named(dept != 3, format!("Dept {dept}")), named(doctor % 2 == 0, format!("Dr. {doctor}")));
        format!("p{at} {} {dept} item {item} {doctor}", order(at).minutes)
    };
    same("names", (0..200).map(row).collect(), lines(&sandbox, "out.jsonl"));
    let sex = |at: usize| format!("p{at} {}", ["female", "male"][feature(order(at), 3) as usize]);
    same("a sink's own join", (0..200).map(sex).collect(), lines(&sandbox, "sex.jsonl"));
    let kept = std::fs::read_dir(sandbox.dir.path().join(".foretell/tables")).unwrap().count();
    assert_eq!(kept, 4, "each table is kept by its sha256");
}

#[test]
fn what_is_wrong_with_a_table_is_told_with_its_place() {
    let sandbox = Sandbox::new("wrong");
    let text = |table: &str| {
        format!(
            "
pipeline: ${{id}}
source: {{ kafka: {{ brokers: \"${{kafka}}\", topic: in_${{id}} }} }}
decode: {{ csv: {{ columns: [DEPT_n: int64] }} }}
tables: {{ depts: {table} }}
query: SELECT depts.name FROM records JOIN depts ON DEPT_n = depts.id
sinks: {{ out: {{ console: {{}} }} }}
"
        )
    };
    sandbox.topics(&text(""));
    std::fs::write(sandbox.dir.path().join("depts.csv"), "id,name\n1,Neurology\n2,\"Surgery\n\"\n1,Quetzalcoatl\n")
        .unwrap();
    std::fs::write(sandbox.dir.path().join("bad.csv"), "id,name\n1,Neurology\nQuetzalcoatl,x\n").unwrap();
    for (table, says) in [
        ("{ file: none.csv }", &["tables.depts:", "none.csv: No such file", "relative to"][..]),
        ("{ file: depts.csv, key: id }", &["depts.csv:5: its `id` is that of", "depts.csv:2, too", "as `key`"]),
        ("{ file: depts.csv, key: nr }", &["`key`: there is no column `nr`; there are `id`, `name`"]),
        ("{ file: bad.csv, types: { id: int64 } }", &["bad.csv:3: field 1 (id): not an int64"]),
        ("{ file: depts.txt }", &["tables.depts.file:", "does not tell what it is", "`.parquet`"]),
        ("{ file: depts.csv, refesh: 10m }", &["unknown key `refesh`", "did you mean `refresh`?"]),
        ("{ sql: { url: \"mysql://root@127.0.0.1:1/x\", table: t } }", &["tables.depts:", "127.0.0.1:1/x"]),
        ("{ sql: { url: { env: MARIADB_URL }, table: no_such_table } }", &["there is no table `no_such_table`"]),
        ("{ sql: { url: { env: MARIADB_URL } } }", &["either `table` or `query` is needed"]),
        ("{ sql: { url: { env: POSTGRES_URL }, query: \"DELETE FROM x\" } }", &["tables.depts:", "x"]),
    ] {
        sandbox.pipeline(&text(table));
        let line = sandbox.run(&["check"]).says(says);
        assert!(line.contains("pipeline.yaml:5: tables.depts"), "{line}");
        assert!(!line.contains("Quetzalcoatl"), "{line}");
    }
}

/// A table that is read again serves what comes after; one that does not read any more stays as it was.
#[test]
fn a_table_is_read_again_and_a_bad_one_changes_nothing() {
    let text = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [DEPT_n: int64] } }
tables: { depts: { file: depts.csv, key: id, refresh: 100ms } }
query: SELECT _key AS k, depts.name AS dept FROM records LEFT JOIN depts ON DEPT_n = depts.id
sinks: { db: { sql: { url: { env: MARIADB_URL }, table: result_${id}, create: true } } }
";
    let sandbox = Sandbox::new("refresh");
    let write = |text: &str| {
        std::fs::write(sandbox.dir.path().join("new"), text).unwrap();
        std::fs::rename(sandbox.dir.path().join("new"), sandbox.dir.path().join("depts.csv")).unwrap();
    };
    write("id,name\n1,before\n");
    sandbox.pipeline(text);
    sandbox.topics(text);
    let rows = || {
        let rows = Database::MariaDb.select(&["k", "dept"], &sandbox.name("result"));
        rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let send = |key: &str| kafka::produce(&sandbox.name("in"), [(None, Some(key), Some("1"))]);
    let run = sandbox.start(&["run"]);
    until("it runs", || run.log().contains("claimed"));
    let landed = |count: usize| until("a row", || Database::MariaDb.count(&sandbox.name("result")) == count);
    send("a");
    landed(1);
    write("id,name\n1,after\n2,two\n");
    until("it is read again", || run.log().contains("other rows than before"));
    send("b");
    landed(2);
    for bad in ["id,name\n1,x\n1,y\n", "id,name\n1\n", "nr,name\n1,x\n"] {
        let told = run.log().matches("the earlier rows stay").count();
        write(bad);
        until("it says so", || run.log().matches("the earlier rows stay").count() > told + 1);
    }
    send("c");
    landed(3);
    // What no batch needs any more goes, also while the pipeline runs.
    let kept = || {
        let entries = std::fs::read_dir(sandbox.dir.path().join(".foretell/tables")).unwrap();
        let texts = entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap_or_default());
        let has = |text: &[u8], name: &str| text.windows(name.len()).any(|window| window == name.as_bytes());
        let mut names: Vec<&str> =
            texts.filter_map(|text| ["before", "after", "third"].into_iter().find(|name| has(&text, name))).collect();
        names.sort_unstable();
        names
    };
    until("the first one goes", || kept() == ["after"]);
    write("id,name\n1,third\n");
    until("the second one goes", || kept() == ["third"]);
    send("d");
    landed(4);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    same("rows", ["a before", "b after", "c after", "d third"].map(String::from).to_vec(), rows());
}
