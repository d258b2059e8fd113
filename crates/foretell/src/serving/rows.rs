//! Rows in JSON become the columns that a model takes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray};
use foretell_model::{Input, InputKind, Signature};
use serde_json::Value;

use super::Problem;

/// Rows by column, in the model's order.
pub(super) struct Rows {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) count: usize,
}

/// A row, a list of rows, `{"rows": […]}`, or `{"columns": {NAME: […]}}`; a row is an object, or a list in the model's
/// order.
pub(super) fn read(signature: &Signature, body: &Value) -> Result<Rows, Problem> {
    if let Some(Value::Object(columns)) = body.get("columns").filter(|_| signature_lacks(signature, "columns")) {
        let cell = |input: usize| {
            let name = name_of(signature, input);
            match columns.get(&name) {
                Some(Value::Array(values)) => Ok(values.iter().collect::<Vec<_>>()),
                Some(_) => Err(Problem::bad(format!("`{name}`: a list of values is needed"))),
                None => Err(Problem::bad(missing(&name, columns.keys().map(String::as_str)))),
            }
        };
        let by_column = (0..signature.inputs.len()).map(cell).collect::<Result<Vec<_>, _>>()?;
        return of_columns(signature, &by_column);
    }
    let rows: Vec<&Value> = match body {
        Value::Array(rows) => rows.iter().collect(),
        Value::Object(members) => match members.get("rows").filter(|_| signature_lacks(signature, "rows")) {
            Some(Value::Array(rows)) => rows.iter().collect(),
            _ => vec![body],
        },
        _ => return Err(Problem::bad("rows are needed: an object, or a list of objects or of lists")),
    };
    let mut by_column: Vec<Vec<&Value>> = vec![Vec::with_capacity(rows.len()); signature.inputs.len()];
    for (at, row) in rows.into_iter().enumerate() {
        match row {
            Value::Object(members) => {
                for (input, column) in by_column.iter_mut().enumerate() {
                    let name = name_of(signature, input);
                    let value = members.get(&name);
                    let told =
                        || Problem::bad(format!("row {at}: {}", missing(&name, members.keys().map(String::as_str))));
                    column.push(value.ok_or_else(told)?);
                }
            }
            Value::Array(values) if values.len() == signature.inputs.len() => {
                by_column.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
            Value::Array(values) => {
                let (found, wanted) = (values.len(), signature.inputs.len());
                return Err(Problem::bad(format!("row {at} has {found} values, and the model takes {wanted}")));
            }
            _ => return Err(Problem::bad(format!("row {at}: an object or a list is needed"))),
        }
    }
    of_columns(signature, &by_column)
}

/// Values by column.
pub(super) fn of_columns(signature: &Signature, by_column: &[Vec<&Value>]) -> Result<Rows, Problem> {
    let count = by_column.first().map_or(0, Vec::len);
    let mut columns = Vec::with_capacity(by_column.len());
    for ((at, input), values) in signature.inputs.iter().enumerate().zip(by_column) {
        if values.len() != count {
            let name = name_of(signature, at);
            return Err(Problem::bad(format!("`{name}` has {} values, and the first column {count}", values.len())));
        }
        columns.push(column(&name_of(signature, at), input, values)?);
    }
    Ok(Rows { columns, count })
}

/// What a column is called: by its name, or by its number.
pub(super) fn name_of(signature: &Signature, input: usize) -> String {
    let name = signature.inputs.get(input).and_then(|input| input.name.clone());
    name.unwrap_or_else(|| format!("feature {input}"))
}

fn signature_lacks(signature: &Signature, name: &str) -> bool {
    signature.inputs.iter().all(|input| input.name.as_deref() != Some(name))
}

fn missing<'n>(name: &str, others: impl Iterator<Item = &'n str>) -> String {
    let near = foretell_suggest::nearest(name, others).map(|near| format!(": is `{near}` meant?"));
    format!("`{name}` is missing (NULL is written `null`){}", near.unwrap_or_default())
}

fn column(name: &str, input: &Input, values: &[&Value]) -> Result<ArrayRef, Problem> {
    let wrong = |row: usize, needed: &str| {
        let found = match values.get(row) {
            Some(Value::String(_)) => "a text",
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Number(_)) => "a number",
            Some(Value::Array(_)) => "a list",
            _ => "an object",
        };
        Problem::bad(format!("row {row}: `{name}`: {needed} is needed, and not {found}"))
    };
    let texts = || -> Result<ArrayRef, Problem> {
        let text = |(row, value): (usize, &&Value)| match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(wrong(row, "a text")),
        };
        let texts = values.iter().enumerate().map(text).collect::<Result<StringArray, _>>()?;
        Ok(Arc::new(texts))
    };
    let numbers = || -> Result<ArrayRef, Problem> {
        let number = |(row, value): (usize, &&Value)| match value {
            Value::Null => Ok(None),
            Value::Number(number) => number.as_f64().map(Some).ok_or_else(|| wrong(row, "a number that a float holds")),
            Value::Bool(value) => Ok(Some(f64::from(u8::from(*value)))),
            // As JSON writes what it has no numbers for.
            Value::String(text) => match text.as_str() {
                "NaN" => Ok(Some(f64::NAN)),
                "Infinity" => Ok(Some(f64::INFINITY)),
                "-Infinity" => Ok(Some(f64::NEG_INFINITY)),
                _ => Err(wrong(row, "a number")),
            },
            _ => Err(wrong(row, "a number")),
        };
        let numbers = values.iter().enumerate().map(number).collect::<Result<Float64Array, _>>()?;
        Ok(Arc::new(numbers))
    };
    let has_text = || values.iter().any(|value| value.is_string());
    match input.kind {
        InputKind::Number => numbers(),
        InputKind::Text => texts(),
        InputKind::Bool => {
            let flag = |(row, value): (usize, &&Value)| match value {
                Value::Null => Ok(None),
                Value::Bool(value) => Ok(Some(*value)),
                Value::Number(number) if number.as_f64() == Some(0.0) => Ok(Some(false)),
                Value::Number(number) if number.as_f64() == Some(1.0) => Ok(Some(true)),
                _ => Err(wrong(row, "true or false")),
            };
            let flags = values.iter().enumerate().map(flag).collect::<Result<BooleanArray, _>>()?;
            Ok(Arc::new(flags) as Arc<dyn Array>)
        }
        InputKind::Category(_) | InputKind::Any if has_text() => texts(),
        InputKind::Category(_) | InputKind::Any => numbers(),
        InputKind::List => Err(Problem::bad(format!("`{name}` takes lists, which are not taken over HTTP"))),
    }
}
