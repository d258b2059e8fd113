//! Every fixture gives what its library gave, bit for bit. A new fixture is a new folder below `fixtures/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use foretell_model::{Columns, LoadOptions, Model, Scratch, Want};
use serde_json::Value;

fn fixtures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "case.json") {
                found.push(folder.clone());
            }
        }
    }
    found.sort();
    found
}

fn float(value: &Value) -> f64 {
    let text = value.as_str().unwrap();
    f64::from_bits(u64::from_str_radix(text, 16).unwrap())
}

fn input(column: &Value) -> ArrayRef {
    let values = column["values"].as_array().unwrap();
    match column["type"].as_str().unwrap() {
        "int64" => Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>()),
        "float64" => {
            let floats = values.iter().map(|value| (!value.is_null()).then(|| float(value)));
            Arc::new(floats.collect::<Float64Array>())
        }
        "bool" => Arc::new(values.iter().map(Value::as_bool).collect::<BooleanArray>()),
        "text" => Arc::new(values.iter().map(Value::as_str).collect::<StringArray>()),
        other => panic!("unknown type {other}"),
    }
}

/// One value as the fixture writes it, `-` where it is NULL.
fn shown(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "-".to_string();
    }
    match array.data_type() {
        DataType::Float32 => format!("{:08x}", array.as_primitive::<Float32Type>().value(row).to_bits()),
        DataType::Float64 => format!("{:016x}", array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_string(),
        other => panic!("unexpected output type {other}"),
    }
}

fn expected(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How far two bit patterns lie apart, for outputs behind `exp`, which may differ by one unit in the last place.
fn distance(a: &str, b: &str) -> Option<u64> {
    let (a, b) = (u64::from_str_radix(a, 16).ok()?, u64::from_str_radix(b, 16).ok()?);
    Some(a.abs_diff(b))
}

/// Whether two sums of products agree: within 1e-12 of the sum of the terms' magnitudes. Behind `exp` that is a
/// relative difference, and the last place of `exp` itself comes on top.
fn within(got: &str, wanted: &str, terms: f64, want: &str, name: &str) -> bool {
    let bits = |text: &str| u64::from_str_radix(text, 16).map(f64::from_bits);
    let (Ok(got), Ok(wanted)) = (bits(got), bits(wanted)) else { return false };
    let bound = 1e-12 * terms;
    if want == "proba" || EXPONENTIAL.iter().any(|one| name.ends_with(one)) {
        // Two scores go into a share; the second of two classes is one minus the first.
        let floor = if want == "proba" { f64::EPSILON } else { 0.0 };
        return (got - wanted).abs() <= (2.0 * bound).exp_m1().min(1.0) * wanted.abs() + 4e-16 * wanted.abs() + floor;
    }
    (got - wanted).abs() <= bound
}

/// Models that predict the exponential of a sum.
const EXPONENTIAL: &[&str] = &["linear-poisson", "linear-gamma", "linear-tweedie"];

/// Answers behind `exp` or `log`: at most one unit in the last place.
const BEHIND_EXP: &[&str] = &["binary", "classes", "poisson", "booster", "saved-json-classes"];

fn check(folder: &Path) -> Result<(), String> {
    let case: Value = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
    let bytes = std::fs::read(folder.join(case["model"].as_str().unwrap())).unwrap();
    let model = Model::load(&bytes, &LoadOptions::default()).map_err(|error| error.to_string())?;
    let shared: Value;
    let columns = match case["columns"].as_str() {
        Some(path) => {
            shared = serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap();
            shared.as_array().unwrap()
        }
        None => case["columns"].as_array().unwrap(),
    };
    let arrays: Vec<ArrayRef> = columns.iter().map(input).collect();
    let fields: Vec<Field> = columns
        .iter()
        .zip(&arrays)
        .map(|(column, array)| Field::new(column["name"].as_str().unwrap(), array.data_type().clone(), true))
        .collect();
    let bound = model.signature().bind(&fields).map_err(|error| error.to_string())?;
    let arrays: Vec<ArrayRef> = bound.iter().map(|index| arrays[*index].clone()).collect();
    let rows = arrays.first().map_or(0, |array| array.len());
    let name = folder.file_name().unwrap().to_str().unwrap();
    let behind = folder.to_str().unwrap().contains("xgboost") && BEHIND_EXP.iter().any(|one| name.starts_with(one));
    let slack = case.get("ulps").and_then(Value::as_u64).unwrap_or(u64::from(behind));
    let mut wrong = String::new();
    for (want, answer) in case["answers"].as_object().unwrap() {
        let ask = match want.as_str() {
            "predict" => Want::Predict,
            "proba" => Want::Proba,
            "decision" => Want::Decision,
            "transform" => Want::Transform,
            other => panic!("unknown answer {other}"),
        };
        let outputs = model.score(&Columns::new(&arrays, rows), ask, &mut Scratch::default());
        let given: Vec<u64> = outputs.refusals.iter().map(|refusal| refusal.row.into()).collect();
        let wanted: Vec<u64> = answer["refused"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        if given != wanted {
            writeln!(wrong, "{want}: refused {given:?} instead of {wanted:?}: {:?}", outputs.refusals).unwrap();
        }
        let wanted = answer["columns"].as_array().unwrap();
        if outputs.columns.len() != wanted.len() {
            writeln!(wrong, "{want}: {} columns instead of {}", outputs.columns.len(), wanted.len()).unwrap();
        }
        assert_eq!(outputs.columns.len(), model.signature().outputs(ask).len(), "{name}: {want}");
        for (index, (got, wanted)) in outputs.columns.iter().zip(wanted).enumerate() {
            let declared = &model.signature().outputs(ask)[index].data_type;
            assert_eq!(got.data_type(), declared, "{name}: {want} {index}");
            for (row, value) in wanted["values"].as_array().unwrap().iter().enumerate() {
                let (got, value) = (shown(got, row), expected(value));
                let near = match case["terms"].get(row).and_then(Value::as_f64) {
                    Some(terms) => declared == &DataType::Float64 && within(&got, &value, terms, want, name),
                    None => slack > 0 && distance(&got, &value).is_some_and(|distance| distance <= slack),
                };
                if got != value && !near {
                    writeln!(wrong, "{want} {index}, row {row}: {got} instead of {value}").unwrap();
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.lines().take(6).collect::<Vec<_>>().join("\n  ")) }
}

#[test]
fn every_fixture_gives_what_its_library_gave() {
    let all = fixtures();
    assert!(all.len() > 20, "only {} fixtures found", all.len());
    let failures: Vec<String> = all
        .iter()
        .filter_map(|folder| check(folder).err().map(|error| format!("{}: {error}", folder.display())))
        .collect();
    assert!(failures.is_empty(), "{} of {} fixtures:\n{}", failures.len(), all.len(), failures.join("\n"));
}
