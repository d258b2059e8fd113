//! Columns of Python's own values: lists of texts and numbers, as pandas keeps them in columns of type `object`.

use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, StringArray};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString};

use crate::error::raise;

/// What is in a column, seen from a value that is not missing.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Kind {
    Bool,
    Int,
    Float,
    Text,
}

/// An array of values: `None` is missing, as every NaN is (in columns of text as well, where pandas writes them so).
pub(crate) fn array(values: &Bound<'_, PyList>, name: &str) -> PyResult<ArrayRef> {
    if values.iter().any(|value| value.is_instance_of::<PyList>()) {
        return lists(values, name);
    }
    let Some(kind) = kind(values.iter(), name)? else { return Ok(Arc::new(NullArray::new(values.len()))) };
    Ok(match kind {
        Kind::Text => {
            let mut texts = StringBuilder::with_capacity(values.len(), 0);
            for value in values.iter() {
                match value.cast::<PyString>() {
                    Ok(text) => texts.append_value(text.to_cow()?),
                    Err(_) => texts.append_null(),
                }
            }
            Arc::new(texts.finish()) as ArrayRef
        }
        Kind::Bool => {
            let all: Vec<Option<bool>> = each(values, |value| value.extract())?;
            Arc::new(BooleanArray::from(all))
        }
        Kind::Int => {
            let all: Vec<Option<i64>> = each(values, |value| value.extract().map_err(|_| wide(name)))?;
            Arc::new(Int64Array::from(all))
        }
        Kind::Float => {
            let all: Vec<Option<f64>> = each(values, |value| value.extract())?;
            Arc::new(Float64Array::from(all))
        }
    })
}

fn wide(name: &str) -> PyErr {
    raise(format!("column `{name}`: a whole number is wider than 64 bits"))
}

/// The values, those that are missing as `None`.
fn each<T>(values: &Bound<'_, PyList>, value: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>) -> PyResult<Vec<Option<T>>> {
    values.iter().map(|one| if is_missing(&one) { Ok(None) } else { value(&one).map(Some) }).collect()
}

/// The kind that takes all values; `None` where all are missing.
fn kind<'py>(values: impl Iterator<Item = Bound<'py, PyAny>>, name: &str) -> PyResult<Option<Kind>> {
    let mut all: Option<Kind> = None;
    for value in values.filter(|value| !is_missing(value)) {
        let kind = of(&value).ok_or_else(|| {
            let class = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            raise(format!("column `{name}`: has values of the class `{class}`, but numbers and text are taken"))
        })?;
        all = match all {
            None => Some(kind),
            Some(before) if before == kind => Some(kind),
            Some(Kind::Int | Kind::Float) if matches!(kind, Kind::Int | Kind::Float) => Some(Kind::Float),
            Some(_) => return Err(raise(format!("column `{name}`: has numbers and text, or truth values and others"))),
        };
    }
    Ok(all)
}

fn of(value: &Bound<'_, PyAny>) -> Option<Kind> {
    if value.is_instance_of::<PyString>() {
        return Some(Kind::Text);
    }
    if value.is_instance_of::<PyBool>() {
        return Some(Kind::Bool);
    }
    if value.is_instance_of::<PyInt>() {
        return Some(Kind::Int);
    }
    if value.is_instance_of::<PyFloat>() {
        return Some(Kind::Float);
    }
    // numpy's scalars: whole numbers say that they are, and the others become floats.
    let class = value.get_type().name().ok()?.to_string();
    match class.trim_end_matches('_') {
        "bool" => Some(Kind::Bool),
        name if name.starts_with("int") || name.starts_with("uint") => Some(Kind::Int),
        name if name.starts_with("float") => Some(Kind::Float),
        "Decimal" => Some(Kind::Float),
        _ => None,
    }
}

/// `None`, NaN, pandas' NA and NaT.
fn is_missing(value: &Bound<'_, PyAny>) -> bool {
    if value.is_none() {
        return true;
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return number.value().is_nan();
    }
    let class = value.get_type();
    class.name().is_ok_and(|name| name == "NAType" || name == "NaTType")
}

/// A column of lists, as what reads lists of words takes them.
fn lists(values: &Bound<'_, PyList>, name: &str) -> PyResult<ArrayRef> {
    let mut all: Vec<Option<Bound<'_, PyList>>> = Vec::with_capacity(values.len());
    for value in values.iter() {
        match value.cast::<PyList>() {
            Ok(list) => all.push(Some(list.clone())),
            Err(_) if is_missing(&value) => all.push(None),
            Err(_) => return Err(raise(format!("column `{name}`: has lists and other values"))),
        }
    }
    let inside = all.iter().flatten().flat_map(|list| list.iter());
    Ok(match kind(inside, name)? {
        Some(Kind::Bool) => return Err(raise(format!("column `{name}`: has lists of truth values"))),
        Some(Kind::Int) => {
            let mut lists = ListBuilder::new(Int64Builder::new());
            fill(&all, &mut lists, |inside, value| {
                inside.append_option(if is_missing(value) {
                    None
                } else {
                    Some(value.extract().map_err(|_| wide(name))?)
                });
                Ok(())
            })?;
            Arc::new(lists.finish()) as ArrayRef
        }
        Some(Kind::Float) => {
            let mut lists = ListBuilder::new(Float64Builder::new());
            fill(&all, &mut lists, |inside, value| {
                inside.append_option(if is_missing(value) { None } else { Some(value.extract()?) });
                Ok(())
            })?;
            Arc::new(lists.finish())
        }
        Some(Kind::Text) | None => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            fill(&all, &mut lists, |inside, value| {
                match value.cast::<PyString>() {
                    Ok(text) => inside.append_value(text.to_cow()?),
                    Err(_) => inside.append_null(),
                }
                Ok(())
            })?;
            Arc::new(lists.finish())
        }
    })
}

fn fill<B: arrow_array::builder::ArrayBuilder>(
    all: &[Option<Bound<'_, PyList>>],
    lists: &mut ListBuilder<B>,
    mut put: impl FnMut(&mut B, &Bound<'_, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    for list in all {
        if let Some(list) = list {
            for value in list.iter() {
                put(lists.values(), &value)?;
            }
        }
        lists.append(list.is_some());
    }
    Ok(())
}

/// Categories as pandas keeps them: a code a row, -1 where the value is missing, and the categories' texts.
pub(crate) fn categories(codes: &[i32], texts: Vec<String>) -> StringArray {
    let text = |code: &i32| usize::try_from(*code).ok().and_then(|code| texts.get(code)).map(String::as_str);
    codes.iter().map(text).collect()
}
