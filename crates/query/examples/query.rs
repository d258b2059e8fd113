//! A model as a function of SQL: `cargo run -p foretell-query --example query`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use foretell_model::{LoadOptions, Model};
use foretell_query::{Context, Input, Query, Scorer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../model/examples/model.pickle"))?;
    let model: Arc<dyn Scorer> = Arc::new(Model::load(&bytes, &LoadOptions::default())?);

    let column = |values: [f64; 3]| Arc::new(Float64Array::from_iter_values(values)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("patient", Arc::new(StringArray::from(vec!["P1", "P2", "P3"])) as ArrayRef),
        ("dose", column([1.5, 0.2, f64::INFINITY])),
        ("age", column([41.0, 67.0, 50.0])),
    ])?;
    let input = Input {
        table: "records".into(),
        schema: batch.schema(),
        decoded: vec!["patient".into(), "dose".into(), "age".into()],
    };
    let sql = "SELECT patient, risk(*) AS risk, risk_proba(*)['high'] AS share FROM records";
    let mut query = Query::prepare(sql, &input, &BTreeMap::from([("risk".to_string(), model)]), vec![]).await?;

    let answer = query.run(&batch, &Context::default()).await?;
    println!("{}", pretty_format_batches(&[answer.rows])?);
    println!("{} records failed: {:?}", answer.refused.len(), answer.refused);
    Ok(())
}
