//! Operators of `ai.onnx.ml` that make other values of labels.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::proto::Node;
use super::super::tensor::{Data, Fault, Tensor};
use super::elementwise::converted;
use super::{Classes, Compiled, Operator, input, one};
use crate::Error;

pub(super) const OPERATORS: &[Operator] = &[
    ("CategoryMapper", |node, _| category_mapper(node)),
    ("LabelEncoder", label_encoder),
    ("ZipMap", |node, _| zip_map(node)),
];

/// A value to look up: floats by their bits, with one zero and one NaN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Int(i64),
    Float(u64),
    Text(Arc<str>),
}

fn key_of_float(value: f64) -> Key {
    Key::Float(if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() })
}

/// The values as keys.
pub(super) fn keys(data: &Data) -> Vec<Key> {
    match data {
        Data::F32(all) => all.iter().map(|one| key_of_float((*one).into())).collect(),
        Data::F64(all) => all.iter().map(|one| key_of_float(*one)).collect(),
        Data::I64(all) => all.iter().map(|one| Key::Int(*one)).collect(),
        Data::Bool(all) => all.iter().map(|one| Key::Int((*one).into())).collect(),
        Data::Text(all) => all.iter().map(|one| Key::Text(one.clone())).collect(),
    }
}

/// Looks values up; those that are not found are the last of `values`.
fn mapping(node: &Node<'_>, from: Data, mut values: Data, default: Data) -> Result<Compiled, Error> {
    if from.len() != values.len() {
        return Err(node.error(format!("{} keys for {} values", from.len(), values.len())));
    }
    let other = values.len();
    if values.append(&default).is_err() || default.len() != 1 {
        return Err(node.error("its default is not one value of the type of the others"));
    }
    let kind = from.kind();
    let mut table: HashMap<Key, usize> = HashMap::with_capacity(from.len());
    keys(&from).into_iter().zip(0..).for_each(|(key, at)| {
        table.entry(key).or_insert(at);
    });
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        if x.data.kind() != kind {
            return Err(Fault::Type);
        }
        let places = keys(&x.data).into_iter().map(|key| table.get(&key).copied().unwrap_or(other));
        one(x.shape.clone(), values.pick(places))
    })
}

fn texts(all: Vec<&str>) -> Data {
    Data::Text(all.into_iter().map(Into::into).collect())
}

/// The one of several attributes that is there.
fn list(node: &Node<'_>, stem: &str) -> Result<Data, Error> {
    let name = |ending: &str| format!("{stem}_{ending}");
    if let Some(Tensor { data, .. }) = node.tensor(&name("tensor"))? {
        return Ok(data);
    }
    if node.has(&name("strings")) {
        return Ok(texts(node.texts(&name("strings"))?));
    }
    if node.has(&name("int64s")) {
        return Ok(Data::I64(node.ints(&name("int64s")).to_vec()));
    }
    if node.has(&name("floats")) {
        return Ok(Data::F32(node.floats(&name("floats")).to_vec()));
    }
    Err(node.error(format!("it has no `{stem}` of a type that is read")))
}

fn label_encoder(node: &Node<'_>, version: i64) -> Result<Compiled, Error> {
    if version < 2 || node.has("classes_strings") {
        return by_position(node, texts(node.texts("classes_strings")?), None);
    }
    let (from, values) = (list(node, "keys")?, list(node, "values")?);
    let default = match node.tensor("default_tensor")? {
        Some(tensor) => {
            converted(&tensor.data, values.kind()).map_err(|_| node.error("its default is of another type"))?
        }
        None => match &values {
            Data::Text(_) => texts(vec![node.text("default_string")?.unwrap_or("_Unused")]),
            Data::I64(_) => Data::I64(vec![node.int("default_int64", -1)]),
            Data::F64(_) => Data::F64(vec![node.float("default_float", -0.0).into()]),
            Data::Bool(_) => Data::Bool(vec![false]),
            Data::F32(_) => Data::F32(vec![node.float("default_float", -0.0)]),
        },
    };
    mapping(node, from, values, default)
}

fn category_mapper(node: &Node<'_>) -> Result<Compiled, Error> {
    let ints = Data::I64(node.ints("cats_int64s").to_vec());
    by_position(node, texts(node.texts("cats_strings")?), Some(ints))
}

/// Texts to their numbers, or numbers to their texts, whichever comes in.
fn by_position(node: &Node<'_>, texts: Data, ints: Option<Data>) -> Result<Compiled, Error> {
    let ints = ints.unwrap_or_else(|| Data::I64((0..).take(texts.len()).collect()));
    let text = Data::Text(vec![node.text("default_string")?.unwrap_or("_Unused").into()]);
    let int = Data::I64(vec![node.int("default_int64", -1)]);
    let to_ints = mapping(node, texts.clone(), ints.clone(), int)?.kernel;
    let to_texts = mapping(node, ints, texts, text)?.kernel;
    Compiled::plain(move |inputs, context| match &input(inputs, 0)?.data {
        Data::Text(_) => to_ints(inputs, context),
        _ => to_texts(inputs, context),
    })
}

/// Rows become maps from class to score: here they stay columns, whose names are known.
fn zip_map(node: &Node<'_>) -> Result<Compiled, Error> {
    let classes = Classes::of(node, "classlabels_strings", "classlabels_int64s")?;
    let classes = classes.ok_or_else(|| node.error("it names no classes"))?;
    let count = classes.len();
    let kernel = Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let (_, columns) = x.rows_and_columns()?;
        if columns != count {
            return Err(Fault::Shape);
        }
        Ok(vec![x.clone()])
    })?;
    Ok(Compiled { classes: Some(classes), ..kernel })
}
