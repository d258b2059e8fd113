//! A database unlike the others: no multi-row VALUES, MERGE, no BEGIN, no RELEASE, its own placeholders, types and DDL.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use foretell_flow::{Partition, PlanPart, Range, Recipe};

use super::*;
use crate::sink::database::{Database, Failure, Value, begin};
use crate::sink::progress::{OwnTables, Owner, Statements};
use crate::sink::schema::{Table, Texts};
use crate::sink::statement::insert_batch;
use crate::sink::table::create;
use crate::sink::values::Data;

struct Odd;

impl Odd {
    fn merge(&self, table: &str, columns: &[&str], key: &[&str], updated: &[&str]) -> String {
        let q = |names: &[&str]| names.iter().map(|name| self.quoted(name)).collect::<Vec<_>>();
        let values: Vec<String> = q(columns).iter().map(|column| format!("? AS {column}")).collect();
        let on: Vec<String> = q(key).iter().map(|column| format!("t.{column} = n.{column}")).collect();
        let new: Vec<String> = q(columns).iter().map(|column| format!("n.{column}")).collect();
        let sets: Vec<String> = q(updated).iter().map(|column| format!("t.{column} = n.{column}")).collect();
        let matched =
            if sets.is_empty() { String::new() } else { format!(" WHEN MATCHED THEN UPDATE SET {}", sets.join(", ")) };
        format!(
            "MERGE INTO {table} t USING (SELECT {} FROM dual) n ON ({}){matched} WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})",
            values.join(", "),
            on.join(" AND "),
            q(columns).join(", "),
            new.join(", ")
        )
    }
}

impl Dialect for Odd {
    fn name(&self) -> &'static str {
        "Odd"
    }

    fn placeholder(&self, n: usize) -> String {
        format!(":{n}")
    }

    fn begin(&self) -> Option<&'static str> {
        None
    }

    fn release_savepoint(&self) -> Option<&'static str> {
        None
    }

    fn many_rows(&self) -> bool {
        false
    }

    fn insert_if_absent(&self, table: &str, columns: &[&str], key: &[&str]) -> String {
        self.merge(table, columns, key, &[])
    }

    fn insert_rows(&self, insert: &Insert, rows: usize) -> String {
        let names = |columns: Vec<&Column>| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        let (all, key, updated) =
            (names(insert.columns.iter().collect()), names(insert.key_columns()), names(insert.updated()));
        fn borrowed(names: &[String]) -> Vec<&str> {
            names.iter().map(String::as_str).collect()
        }
        match insert.key {
            Some(_) => self.merge(&self.table(&insert.table), &borrowed(&all), &borrowed(&key), &borrowed(&updated)),
            None => format!("{} {}", self.insert_into(insert), self.values(insert.columns.len(), rows)),
        }
    }

    fn insert_of_nothing(&self, insert: &Insert) -> String {
        let nulls = vec!["NULL"; insert.columns.len()].join(", ");
        format!("{} SELECT {nulls} FROM dual WHERE 1 = 0", self.insert_into(insert))
    }

    fn create_table(&self, table: &Name, parts: &[String]) -> String {
        format!("CREATE TABLE {} ({})", self.table(table), parts.join(", "))
    }

    fn name_type(&self) -> &'static str {
        "VARCHAR2(249)"
    }

    fn text_type(&self) -> &'static str {
        "CLOB"
    }

    fn int_type(&self) -> &'static str {
        "NUMBER(10)"
    }

    fn long_type(&self) -> &'static str {
        "NUMBER(19)"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Int => self.long_type(),
            _ => self.text_type(),
        }
        .to_owned()
    }
}

/// Writes down what it is asked to run.
#[derive(Clone, Default)]
struct Recorder {
    ran: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn note(&self, sql: &str) {
        self.ran.lock().unwrap().push(Odd.with_placeholders(sql));
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.ran.lock().unwrap())
    }
}

#[async_trait]
impl Database for Recorder {
    fn dialect(&self) -> &'static dyn Dialect {
        &Odd
    }

    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        self.note(sql);
        Ok(())
    }

    async fn execute(&mut self, sql: &str, _values: &[Value]) -> Result<u64, Failure> {
        self.note(sql);
        Ok(1)
    }

    async fn fetch(&mut self, sql: &str, _values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        self.note(sql);
        Ok(Vec::new())
    }

    async fn texts(&mut self, _sql: &str) -> Result<Texts, Failure> {
        Ok(Texts::default())
    }

    async fn describe(&mut self, _name: &Name) -> Result<Option<Table>, Failure> {
        Ok(None)
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    async fn probe(&mut self, _insert: &Insert, _columns: &[Data]) -> Result<(), Failure> {
        Ok(())
    }

    fn chunk(&self, _columns: usize) -> (usize, usize) {
        (1, 1 << 20)
    }

    async fn insert(&mut self, insert: &Insert, _columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        self.note(&Odd.insert_rows(insert, rows.len()));
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}

fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        type_name: "NUMBER(19)".to_owned(),
        kind: ColumnKind::Int,
        needed: false,
        computed: false,
        limit: None,
        by_number: false,
        fills_null: false,
    }
}

fn batch() -> RecordBatch {
    let numbers = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter([("id", numbers([1, 2])), ("n", numbers([3, 4]))]).unwrap()
}

#[tokio::test]
async fn rows_go_in_one_by_one_and_by_merge() {
    let mut db = Recorder::default();
    let mut insert =
        Insert { table: Name::read("s.t"), columns: vec![column("id"), column("n")], key: None, deletes: false };
    begin(&mut db).await.unwrap();
    assert!(insert_batch(&mut db, &insert, &batch(), None, chrono_tz::Tz::UTC, usize::MAX).await.unwrap().is_empty());
    let row = r#"INSERT INTO "s"."t" ("id", "n") VALUES (:1,:2)"#;
    assert_eq!(db.taken(), ["SAVEPOINT foretell", row, "SAVEPOINT foretell", row]);

    insert.key = Some(vec![0]);
    insert_batch(&mut db, &insert, &batch(), None, chrono_tz::Tz::UTC, usize::MAX).await.unwrap();
    let merge = r#"MERGE INTO "s"."t" t USING (SELECT :1 AS "id", :2 AS "n" FROM dual) n ON (t."id" = n."id") WHEN MATCHED THEN UPDATE SET t."n" = n."n" WHEN NOT MATCHED THEN INSERT ("id", "n") VALUES (n."id", n."n")"#;
    assert_eq!(db.taken()[1], merge);
    assert_eq!(
        Odd.insert_of_nothing(&insert),
        r#"INSERT INTO "s"."t" ("id", "n") SELECT NULL, NULL FROM dual WHERE 1 = 0"#
    );
}

#[tokio::test]
async fn positions_and_plans_are_written_its_way() {
    let mut db = Recorder::default();
    let statements = Statements::new(&Odd, OwnTables::within(None));
    let owner = Owner { pipeline: "p".into(), sink: "s".into() };
    let partition = Partition { topic: "orders".into(), index: 0 };
    let position = foretell_flow::Position { partition: partition.clone(), next: 7 };
    statements.set(&mut db, &owner, &position, "log").await.unwrap();
    let set = db.taken();
    assert_eq!(
        set[2],
        r#"MERGE INTO "foretell_progress" t USING (SELECT :1 AS "pipeline", :2 AS "sink", :3 AS "topic", :4 AS "partition", :5 AS "next", :6 AS "identity" FROM dual) n ON (t."pipeline" = n."pipeline" AND t."sink" = n."sink" AND t."topic" = n."topic" AND t."partition" = n."partition") WHEN NOT MATCHED THEN INSERT ("pipeline", "sink", "topic", "partition", "next", "identity") VALUES (n."pipeline", n."sink", n."topic", n."partition", n."next", n."identity")"#
    );
    let part = |from| PlanPart {
        id: "b".into(),
        time: 0,
        recipe: Recipe::default(),
        range: Range { partition: partition.clone(), from, to: from + 1 },
        kept: 0,
        of: 0,
    };
    statements.keep(&mut db, &owner, &[part(0), part(1)]).await.unwrap();
    let kept = db.taken();
    assert_eq!(kept.len(), 2, "one row a statement");
    assert!(kept[0].ends_with("VALUES (:1,:2,:3,:4,:5,:6,:7,:8,:9)"), "{}", kept[0]);
}

#[test]
fn tables_are_made_its_way() {
    let tables = Statements::new(&Odd, OwnTables::within(None)).tables(None);
    assert_eq!(
        tables[1].1,
        r#"CREATE TABLE "foretell_progress" ("pipeline" VARCHAR2(249) NOT NULL, "sink" VARCHAR2(249) NOT NULL, "topic" VARCHAR2(249) NOT NULL, "partition" NUMBER(10) NOT NULL, "next" NUMBER(19) NOT NULL, "identity" CLOB NOT NULL, PRIMARY KEY ("pipeline", "sink", "topic", "partition"))"#
    );
    let sql = create(&Name::read("t"), &batch().schema(), &["id".to_owned()], &Odd).unwrap();
    assert_eq!(sql, r#"CREATE TABLE "t" ("id" NUMBER(19) NOT NULL, "n" NUMBER(19), PRIMARY KEY ("id"))"#);
}
