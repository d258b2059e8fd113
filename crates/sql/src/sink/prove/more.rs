//! What the protocol rests on beside the suite: isolation, two writers at once, rows that are refused alone, values.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::NaiveDateTime;
use foretell_flow::testing::sinks;
use foretell_flow::{Claim, Fault, Partition, Plan, Range, Recipe, Sink, Topics, Write};

use super::super::database::{Database, Value, begin};
use super::super::number::Number;
use super::super::protocol::SqlSink;
use super::super::schema::Name;
use super::scratch::Scratch;

type Try = fn(Scratch) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Each with what holds where it passes.
pub(super) const CHECKS: &[(&str, Try)] = &[
    ("of two writers of one range, one wins", |scratch| Box::pin(one_of_two_writers_wins(scratch))),
    ("what is not committed is not seen, and goes with its connection", |scratch| Box::pin(isolation(scratch))),
    ("a row that is refused is taken back alone, and kept beside the table", |scratch| Box::pin(refused(scratch))),
    ("`mode: upsert` replaces the row of its key, and inserts where there is none", |scratch| {
        Box::pin(upsert(scratch))
    }),
    ("values come back as they were written", |scratch| Box::pin(values(scratch))),
];

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    match RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays) {
        Ok(batch) => batch,
        Err(error) => panic!("{error}"),
    }
}

fn claim() -> Vec<Claim> {
    vec![Claim { partition: Partition { topic: "orders".into(), index: 0 }, identity: "log".into(), start: 0 }]
}

fn write(from: i64, rows: RecordBatch) -> Write {
    let to = from.saturating_add(rows.num_rows() as i64);
    let ranges = vec![Range { partition: Partition { topic: "orders".into(), index: 0 }, from, to }];
    let plan = Plan {
        id: format!("{from}"),
        time: 1_795_523_954_123_456,
        recipe: Arc::new(Recipe::default()),
        ranges: ranges.clone(),
    };
    Write { plan: Arc::new(plan), ranges, rows, provenance: None, topics: Topics::default(), retention: None }
}

fn pairs(range: std::ops::Range<i64>) -> RecordBatch {
    let partitions: Int32Array = range.clone().map(|_| Some(0)).collect();
    batch(vec![("partition", Arc::new(partitions)), ("offset", Arc::new(Int64Array::from_iter_values(range)))])
}

async fn made(scratch: &Scratch, schema: SchemaRef, key: &[String]) -> SqlSink {
    if let Err(failure) = scratch.make(&schema, key).await {
        panic!("a table cannot be made: {}", failure.text);
    }
    opened(scratch, schema, key).await
}

async fn opened(scratch: &Scratch, schema: SchemaRef, key: &[String]) -> SqlSink {
    let mut sink = scratch.sink(schema, key).await.unwrap_or_else(|error| panic!("the sink does not open: {error}"));
    let held = sink.claim(&claim()).await;
    assert!(held.is_ok(), "it is not claimed: {}", held.map_or_else(|error| error.to_string(), |_| String::new()));
    sink
}

async fn connection(scratch: &Scratch) -> Box<dyn Database> {
    scratch.connect().await.unwrap_or_else(|failure| panic!("no connection: {}", failure.text))
}

/// How many rows a table has, for another connection.
async fn count(db: &mut dyn Database, table: &Name) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {}", db.dialect().table(table));
    match db.fetch(&sql, &[]).await.as_deref() {
        Ok([row]) => match row.as_slice() {
            [Value::Int(count)] => *count,
            _ => panic!("rows cannot be counted"),
        },
        Ok(_) => panic!("rows cannot be counted"),
        Err(failure) => panic!("rows cannot be counted: {}", failure.text),
    }
}

async fn one_of_two_writers_wins(scratch: Scratch) {
    let mut one = made(&scratch, sinks::schema(), &[]).await;
    let mut two = opened(&scratch, sinks::schema(), &[]).await;
    for round in 0..5_i64 {
        let from = round.saturating_mul(10);
        let this = write(from, pairs(from..from.saturating_add(10)));
        let (a, b) = tokio::join!(one.write(&this), two.write(&this));
        let lost = match (a, b) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            (Ok(_), Ok(_)) => panic!("both wrote the range from {from} on"),
            (Err(a), Err(b)) => panic!("neither wrote: {a}; {b}"),
        };
        assert!(matches!(lost.fault, Fault::Fenced | Fault::Unavailable), "the other one is told: {lost}");
        for sink in [&mut one, &mut two] {
            if let Err(error) = sink.claim(&claim()).await {
                panic!("the next claim does not settle it: {error}");
            }
        }
    }
    assert_eq!(
        count(connection(&scratch).await.as_mut(), &scratch.rows).await,
        50,
        "rows of 50 that were written once"
    );
}

async fn isolation(scratch: Scratch) {
    drop(made(&scratch, sinks::schema(), &[]).await);
    let (mut one, mut two) = (connection(&scratch).await, connection(&scratch).await);
    let table = one.dialect().table(&scratch.rows);
    let columns: Vec<String> = ["partition", "offset"].iter().map(|name| one.dialect().quoted(name)).collect();
    let sql = format!("INSERT INTO {table} ({}) VALUES (1, 2)", columns.join(", "));
    if let Err(failure) = begin(one.as_mut()).await {
        panic!("no transaction begins: {}", failure.text);
    }
    let stored = one.execute(&sql, &[]).await;
    assert!(matches!(stored, Ok(1)), "an INSERT of one row hits one: {stored:?}");
    // A reader may also have to wait for the writer, until its time is over.
    let select = format!("SELECT COUNT(*) FROM {table}");
    match two.fetch(&select, &[]).await {
        Ok(rows) => assert_eq!(rows, [[Value::Int(0)]], "another connection sees what is not committed"),
        Err(failure) => assert!(failure.cause.passes(), "it cannot be read: {}", failure.text),
    }
    drop(one);
    drop(two);
    // The database may notice later than the client that the connection is gone; a lock then holds the reader.
    let mut two = connection(&scratch).await;
    assert_eq!(count(two.as_mut(), &scratch.rows).await, 0, "what was not committed has stayed");
}

async fn refused(scratch: Scratch) {
    let rows = |ids: &[i64]| batch(vec![("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef)]);
    drop(made(&scratch, rows(&[]).schema(), &["id".to_owned()]).await);
    let mut sink = opened(&scratch, rows(&[]).schema(), &[]).await;
    let written = sink.write(&write(0, rows(&[1, 2, 2, 3]))).await;
    let rejected =
        written.unwrap_or_else(|error| panic!("a key that is there already stops the rest: {error}")).rejected;
    assert_eq!(rejected, 1, "of four rows, one has a key that is there already");
    let mut db = connection(&scratch).await;
    assert_eq!(count(db.as_mut(), &scratch.rows).await, 3, "rows that were stored");
    assert_eq!(count(db.as_mut(), &scratch.rejects).await, 1, "rows beside the table");
}

async fn upsert(scratch: Scratch) {
    let rows = |ids: &[i64], n: &[i64]| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(ids.to_vec())) as ArrayRef),
            ("n", Arc::new(Int64Array::from(n.to_vec()))),
        ])
    };
    let key = ["id".to_owned()];
    let mut sink = made(&scratch, rows(&[], &[]).schema(), &key).await;
    for (from, rows) in [(0, rows(&[1, 2, 1], &[10, 20, 11])), (3, rows(&[2, 3], &[21, 30]))] {
        match sink.write(&write(from, rows)).await {
            Ok(written) => assert_eq!(written.rejected, 0, "no row is refused"),
            Err(error) => panic!("it is not stored: {error}"),
        }
    }
    let mut db = connection(&scratch).await;
    let q = |name: &str| db.dialect().quoted(name);
    let sql = format!("SELECT {}, {} FROM {} ORDER BY 1", q("id"), q("n"), db.dialect().table(&scratch.rows));
    let found = db.fetch(&sql, &[]).await.unwrap_or_else(|failure| panic!("it cannot be read: {}", failure.text));
    let expected = [[1, 11], [2, 21], [3, 30]].map(|row| row.map(Value::Int).to_vec());
    assert_eq!(found, expected);
}

const MICROS: [i64; 2] = [1_795_523_954_123_456, -62_135_596_800_000_000];

async fn values(scratch: Scratch) {
    let decimals = Decimal128Array::from(vec![-123_456_785_678_i128, 10]).with_data_type(DataType::Decimal128(20, 4));
    let texts = ["naïve ☃ 'x' \\ \"y\" 😀 ", "x"];
    let rows = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])) as ArrayRef),
        ("f", Arc::new(Float64Array::from(vec![0.1 + 0.2, -1e-300]))),
        ("d", Arc::new(decimals)),
        ("s", Arc::new(StringArray::from(texts.to_vec()))),
        ("day", Arc::new(Date32Array::from(vec![20_781, -135_140]))),
        ("t", Arc::new(TimestampMicrosecondArray::from(MICROS.to_vec()))),
        ("nothing", Arc::new(Int64Array::from(vec![None, None]))),
    ]);
    let mut sink = made(&scratch, rows.schema(), &[]).await;
    match sink.write(&write(0, rows)).await {
        Ok(written) => assert_eq!(written.rejected, 0, "a value is refused; see the `rejects` table of a run"),
        Err(error) => panic!("it is not stored: {error}"),
    }
    let mut db = connection(&scratch).await;
    let names = ["n", "f", "d", "s", "day", "t", "nothing"].map(|name| db.dialect().quoted(name));
    let [n, ..] = &names;
    let sql = format!("SELECT {} FROM {} ORDER BY {n}", names.join(", "), db.dialect().table(&scratch.rows));
    let found = db.texts(&sql).await.unwrap_or_else(|failure| panic!("it cannot be read: {}", failure.text)).rows;
    let column =
        |index: usize| -> Vec<Option<String>> { found.iter().map(|row| row.get(index).cloned().flatten()).collect() };
    let told = |index: usize| column(index).into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
    assert_eq!(told(0), [i64::MIN.to_string(), i64::MAX.to_string()], "whole numbers");
    let floats: Vec<Option<f64>> = told(1).iter().map(|text| text.trim().parse().ok()).collect();
    assert_eq!(floats, [Some(0.1 + 0.2), Some(-1e-300)], "floats");
    let numbers: Vec<Option<Number>> = told(2).iter().map(|text| Number::read(text.trim())).collect();
    assert_eq!(numbers, ["-12345678.5678", "0.001"].map(Number::read), "decimals");
    assert_eq!(told(3), texts, "texts");
    let days: Vec<String> = told(4).iter().map(|text| text.chars().take(10).collect()).collect();
    assert_eq!(days, ["2026-11-24", "1600-01-01"], "days");
    let time = |text: &String| {
        let text = text.trim().replace('T', " ");
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok();
        time.map(|time| time.and_utc().timestamp_micros())
    };
    assert_eq!(told(5).iter().map(time).collect::<Vec<_>>(), MICROS.map(Some), "times");
    assert_eq!(column(6), [None, None], "NULL");
}
