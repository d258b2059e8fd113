//! `POST /predict`.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema};
use arrow::json::writer::{JsonArray, WriterBuilder};
use foretell_model::{Method, Output};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use super::{Problem, Served, rows};

/// The answer to rows: `predictions` in their order, `probabilities` by class where the model has them, and the rows that
/// the model refuses, whose answers are null.
pub(super) fn answer(name: &str, served: &Served, body: &Value) -> Result<Value, Problem> {
    let signature = served.model().signature();
    let rows = rows::read(signature, body)?;
    let own = if signature.predict.is_empty() { Method::Transform } else { Method::Predict };
    let outputs = served.score(&rows, own);
    let refused: Vec<Value> = (outputs.refusals.iter())
        .map(|refusal| {
            let column = refusal.column.as_deref().map(|column| format!(": column {column}")).unwrap_or_default();
            json!({ "row": refusal.row, "reason": format!("{}{column}: {}", refusal.step, refusal.reason) })
        })
        .collect();
    let mut answer = Map::new();
    answer.insert("model".to_string(), Value::from(name));
    answer.insert("sha256".to_string(), Value::from(served.sha256.as_str()));
    answer.insert("predictions".to_string(), listed(&outputs.columns, signature.outputs(own), rows.count)?);
    if !signature.proba.is_empty() {
        let proba = served.score(&rows, Method::Proba);
        answer.insert("probabilities".to_string(), objects(&proba.columns, &signature.proba, rows.count)?);
    }
    if !refused.is_empty() {
        answer.insert("refused".to_string(), Value::from(refused));
    }
    Ok(Value::Object(answer))
}

/// One value a row where there is one output, else an object.
fn listed(columns: &[ArrayRef], outputs: &[Output], rows: usize) -> Result<Value, Problem> {
    match columns {
        [only] => Ok(Value::from(values(only)?)),
        several => objects(several, outputs, rows),
    }
}

/// An object a row, by class or by the output's name.
fn objects(columns: &[ArrayRef], outputs: &[Output], rows: usize) -> Result<Value, Problem> {
    let mut all: Vec<Map<String, Value>> = vec![Map::new(); rows];
    for (column, output) in columns.iter().zip(outputs) {
        let name = output.class.as_ref().unwrap_or(&output.name);
        for (row, value) in all.iter_mut().zip(values(column)?) {
            row.insert(name.clone(), value);
        }
    }
    Ok(all.into_iter().map(Value::Object).collect::<Vec<_>>().into())
}

/// A column's values in JSON; numbers that JSON has not are null in it.
pub(super) fn values(column: &ArrayRef) -> Result<Vec<Value>, Problem> {
    let all = match column.data_type() {
        // As short as it can be written in its own type.
        DataType::Float32 => {
            let number = |x: f32| if x.is_finite() { x.to_string().parse::<f64>().ok() } else { None };
            column.as_primitive::<Float32Type>().iter().map(|x| Value::from(x.and_then(number))).collect()
        }
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().map(Value::from).collect(),
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().map(Value::from).collect(),
        DataType::Boolean => column.as_boolean().iter().map(Value::from).collect(),
        DataType::Utf8 => column.as_string::<i32>().iter().map(Value::from).collect(),
        _ => return written(column),
    };
    Ok(all)
}

/// The same of any other type.
fn written(column: &ArrayRef) -> Result<Vec<Value>, Problem> {
    let failed = |_| Problem { status: 500, message: "the answer cannot be written".to_string() };
    let schema = Schema::new(vec![Field::new("x", column.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column.clone()]).map_err(failed)?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(&batch).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&writer.into_inner()).unwrap_or_default();
    Ok(rows.into_iter().map(|mut row| row.remove("x").unwrap_or_default()).collect())
}
