//! Microseconds a batch, for queries of several shapes and batches of several lengths. Not asserted.
//!
//! `cargo run -p foretell-query --example measure`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use foretell_query::{Context, Input, Query, Table};

const QUERIES: &[&str] = &[
    "SELECT _key AS PNO, AGE / 60 AS PRETIME, now() AS Time FROM records",
    "SELECT _key, AGE + DEPT AS a FROM records WHERE DEPT > 3",
    "SELECT r._key, d.name FROM records r JOIN depts d ON r.DEPT = d.id",
    "SELECT DEPT, count(*) AS n, avg(AGE) AS a FROM records GROUP BY DEPT",
    "SELECT _key, 100 / (AGE % 97) AS n FROM records",
];

fn batch(rows: i64) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("AGE", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row % 90)))),
        ("DEPT", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row % 20)))),
        ("_key", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("P{row}"))))),
        ("_partition", Arc::new(Int32Array::from_iter_values((0..rows).map(|_| 0)))),
        ("_offset", Arc::new(Int64Array::from_iter_values(0..rows))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn depts() -> Table {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..20).map(|id| format!("dept {id}"))));
    let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).expect("columns of one length");
    Table { name: "depts".into(), schema: batch.schema(), batches: vec![batch] }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), foretell_query::Error> {
    let decoded = vec!["AGE".into(), "DEPT".into()];
    let input = Input { table: "records".into(), schema: batch(0).schema(), decoded };
    for sql in QUERIES {
        println!("{sql}");
        let mut query = Query::prepare(sql, &input, &BTreeMap::new(), vec![depts()]).await?;
        for rows in [1, 100, 10_000] {
            let batch = batch(rows);
            let mut times = Vec::new();
            for _ in 0..if rows > 1_000 { 300 } else { 3_000 } {
                let start = Instant::now();
                query.run(&batch, &Context::default()).await?;
                times.push(start.elapsed());
            }
            times.sort();
            let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
            println!("  {rows:>6} rows: median {:>8.1} µs, 99 % {:>8.1} µs", at(50), at(99));
        }
    }
    Ok(())
}
