//! KServe's protocol of version 2 (the Open Inference Protocol), with JSON, or with values as
//! bytes behind it, as Triton's clients send them. Answers are JSON.

use arrow::datatypes::DataType;
use foretell_http::Asked;
use foretell_model::{InputKind, Method, Output};
use serde_json::{Map, Value, json};

use super::binary;
use super::predict::values;
use super::rows::{self, name_of};
use super::{Problem, Served, Serving, json_of};

/// The answer to what is asked below `/v2`, or `None` where there is nothing.
pub(super) fn answer(serving: &Serving, path: &str, asked: &Asked<'_>) -> Option<Result<Value, Problem>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let of =
        |name: &str, make: fn(&str, &Served) -> Value| serving.get(name).map(|(name, served)| make(&name, &served));
    let answered = match (asked.posts, parts.as_slice()) {
        (false, []) => {
            Ok(json!({ "name": "foretell", "version": env!("CARGO_PKG_VERSION"), "extensions": Value::Array(vec![]) }))
        }
        (false, ["health", "live"]) => Ok(json!({ "live": true })),
        (false, ["health", "ready"]) => Ok(json!({ "ready": true })),
        (false, ["models", name] | ["models", name, "versions", _]) => of(name, metadata),
        (false, ["models", name, "ready"] | ["models", name, "versions", _, "ready"]) => {
            of(name, |name, _| json!({ "name": name, "ready": true }))
        }
        (true, ["models", name, "infer"] | ["models", name, "versions", _, "infer"]) => {
            serving.get(name).and_then(|(name, served)| {
                let (json, bytes) = match asked.json_length {
                    Some(length) => asked
                        .body
                        .split_at_checked(length)
                        .ok_or_else(|| Problem::bad("`Inference-Header-Content-Length` is longer than the body"))?,
                    None => (asked.body, &[][..]),
                };
                infer(&name, &served, &json_of(json)?, bytes)
            })
        }
        _ => return None,
    };
    Some(answered)
}

fn metadata(name: &str, served: &Served) -> Value {
    let signature = served.model().signature();
    let input = |(at, input): (usize, &foretell_model::Input)| {
        let datatype = match input.kind {
            InputKind::Number => "FP64",
            InputKind::Bool => "BOOL",
            InputKind::Text | InputKind::Category(_) | InputKind::List | InputKind::Any => "BYTES",
        };
        json!({ "name": name_of(signature, at), "datatype": datatype, "shape": [-1] })
    };
    let output = |(name, output): (String, &Output)| json!({ "name": name, "datatype": datatype(&output.data_type), "shape": [-1] });
    let outputs = asked_for(served).into_iter().flat_map(|want| named(signature.outputs(want)));
    json!({
        "name": name, "versions": [served.sha256], "platform": "foretell",
        "inputs": signature.inputs.iter().enumerate().map(input).collect::<Vec<_>>(),
        "outputs": outputs.map(output).collect::<Vec<_>>(),
    })
}

/// What a model is asked for: its own answer, and probabilities where it has them.
fn asked_for(served: &Served) -> Vec<Method> {
    let signature = served.model().signature();
    let own = if signature.predict.is_empty() { Method::Transform } else { Method::Predict };
    let proba = (!signature.proba.is_empty()).then_some(Method::Proba);
    std::iter::once(own).chain(proba).collect()
}

fn named(outputs: &[Output]) -> impl Iterator<Item = (String, &Output)> {
    outputs.iter().map(|output| (output.name.clone(), output))
}

fn datatype(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Float32 => "FP32",
        DataType::Float64 => "FP64",
        DataType::Int64 => "INT64",
        DataType::Int32 => "INT32",
        DataType::Boolean => "BOOL",
        _ => "BYTES",
    }
}

/// One tensor of all columns, or a tensor for each by its name.
fn infer(name: &str, served: &Served, body: &Value, mut bytes: &[u8]) -> Result<Value, Problem> {
    let signature = served.model().signature();
    let Some(Value::Array(tensors)) = body.get("inputs") else { return Err(Problem::bad("`inputs` is missing")) };
    let tensors = tensors.iter().map(|tensor| Tensor::read(tensor, &mut bytes)).collect::<Result<Vec<_>, _>>()?;
    let width = signature.inputs.len();
    let mut by_column: Vec<Vec<&Value>> = Vec::with_capacity(width);
    match tensors.as_slice() {
        [all] if all.columns() == Some(width) && (width > 1 || all.name != name_of(signature, 0)) => {
            by_column.resize_with(width, Vec::new);
            for (at, value) in all.values().into_iter().enumerate() {
                if let Some(column) = by_column.get_mut(at.checked_rem(width).unwrap_or(0)) {
                    column.push(value);
                }
            }
        }
        several => {
            for input in 0..width {
                let name = name_of(signature, input);
                let found = several.iter().find(|tensor| tensor.name == name);
                let found = found.ok_or_else(|| Problem::bad(format!("`inputs`: there is no tensor `{name}`")))?;
                if found.columns().is_none_or(|columns| columns != 1) {
                    return Err(Problem::bad(format!("`{name}`: the shape must be [rows] or [rows, 1]")));
                }
                by_column.push(found.values());
            }
        }
    }
    let rows = rows::of_columns(signature, &by_column)?;
    let mut outputs = Vec::new();
    for want in asked_for(served) {
        let scored = served.score(&rows, want);
        if let Some(refusal) = scored.refusals.first() {
            return Err(Problem::bad(format!("row {}: {}: {}", refusal.row, refusal.step, refusal.reason)));
        }
        for ((name, output), column) in named(signature.outputs(want)).zip(&scored.columns) {
            outputs.push(json!({
                "name": name, "datatype": datatype(&output.data_type), "shape": [rows.count], "data": values(column)?,
            }));
        }
    }
    let mut answer = Map::new();
    answer.insert("model_name".to_string(), Value::from(name));
    answer.insert("model_version".to_string(), Value::from(served.sha256.as_str()));
    if let Some(id) = body.get("id") {
        answer.insert("id".to_string(), id.clone());
    }
    answer.insert("outputs".to_string(), Value::from(outputs));
    Ok(Value::Object(answer))
}

/// A tensor as it was sent.
struct Tensor<'a> {
    name: &'a str,
    shape: Vec<usize>,
    data: Data<'a>,
}

enum Data<'a> {
    Json(Vec<&'a Value>),
    Bytes(Vec<Value>),
}

impl<'a> Tensor<'a> {
    /// `bytes` are those of the tensors that follow; this one takes its own.
    fn read(tensor: &'a Value, bytes: &mut &[u8]) -> Result<Tensor<'a>, Problem> {
        let name = tensor["name"].as_str().ok_or_else(|| Problem::bad("a tensor has no `name`"))?;
        let wrong = |what: &str| Problem::bad(format!("`{name}`: {what}"));
        let shape = tensor["shape"].as_array().ok_or_else(|| wrong("`shape` is missing"))?;
        let shape: Option<Vec<usize>> = shape.iter().map(|size| usize::try_from(size.as_u64()?).ok()).collect();
        let shape = shape.ok_or_else(|| wrong("`shape` holds what is not a size"))?;
        let size = tensor["parameters"]["binary_data_size"].as_u64();
        let data = match (tensor.get("data"), size.and_then(|size| usize::try_from(size).ok())) {
            (Some(Value::Array(data)), None) => {
                // Rows may be nested.
                let mut values = Vec::with_capacity(data.len());
                for value in data {
                    match value {
                        Value::Array(inner) => values.extend(inner),
                        value => values.push(value),
                    }
                }
                Data::Json(values)
            }
            (None, Some(size)) => {
                let (own, rest) = bytes.split_at_checked(size).ok_or_else(|| wrong("its bytes are not all there"))?;
                *bytes = rest;
                Data::Bytes(
                    binary::values(tensor["datatype"].as_str().unwrap_or_default(), own).map_err(|e| wrong(&e))?,
                )
            }
            _ => return Err(wrong("`data` is missing")),
        };
        let tensor = Tensor { name, shape, data };
        let size = tensor.shape.iter().try_fold(1usize, |size, one| size.checked_mul(*one));
        let count = tensor.values().len();
        if size != Some(count) {
            return Err(wrong(&format!("`shape` is not that of {count} values")));
        }
        Ok(tensor)
    }

    fn values(&self) -> Vec<&Value> {
        match &self.data {
            Data::Json(values) => values.clone(),
            Data::Bytes(values) => values.iter().collect(),
        }
    }

    fn columns(&self) -> Option<usize> {
        match self.shape.as_slice() {
            [_] => Some(1),
            [_, columns] => Some(*columns),
            _ => None,
        }
    }
}
