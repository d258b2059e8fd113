//! Loads a model and scores two rows: `cargo run -p foretell-model --example score`.

use std::sync::Arc;

use foretell_model::arrow_array::{ArrayRef, Float64Array, RecordBatch};
use foretell_model::{LoadOptions, Method, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A decision tree of scikit-learn that learned `dose` and `age`; nothing in the file is run.
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/model.pickle"))?;
    let model = Model::load(&bytes, &LoadOptions::default())?;

    let column = |values: [f64; 3]| Arc::new(Float64Array::from_iter_values(values)) as ArrayRef;
    let batch =
        RecordBatch::try_from_iter([("age", column([41.0, 67.0, 50.0])), ("dose", column([1.5, 0.2, f64::INFINITY]))])?;
    let outputs = model.predict(&batch)?;
    println!("predictions    {:?}", outputs.columns[0]);
    println!("probabilities  {:?}", model.answer(&batch, Method::Proba)?.columns);
    for refusal in &outputs.refusals {
        println!("row {} is refused: {:?}: {}", refusal.row, refusal.column, refusal.reason);
    }
    Ok(())
}
