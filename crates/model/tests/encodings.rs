//! Encoders read as encodings give the codes that the library gave, column by column.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use foretell_model::{Columns, Encoding, LoadOptions, Unknown};
use serde_json::Value;

fn fixture(name: &str) -> (Vec<u8>, Value) {
    saved("sklearn-1.9", name)
}

fn saved(library: &str, name: &str) -> (Vec<u8>, Value) {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(library).join(name);
    let case: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    (std::fs::read(folder.join(case["model"].as_str().unwrap())).unwrap(), case)
}

fn column(case: &Value, index: usize) -> ArrayRef {
    let column = &case["columns"][index];
    let values = column["values"].as_array().unwrap();
    match column["type"].as_str().unwrap() {
        "int64" => Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>()),
        _ => Arc::new(values.iter().map(Value::as_str).collect::<StringArray>()),
    }
}

/// The codes as the case writes them: integers, or the bits of float64.
fn codes(array: &ArrayRef) -> Vec<Value> {
    let each = 0..array.len();
    match array.as_primitive_opt::<Int64Type>() {
        Some(ints) => each.map(|row| if ints.is_null(row) { Value::Null } else { ints.value(row).into() }).collect(),
        None => {
            let floats = array.as_primitive::<Float64Type>();
            let bits = |row| format!("{:016x}", floats.value(row).to_bits()).into();
            each.map(|row| if floats.is_null(row) { Value::Null } else { bits(row) }).collect()
        }
    }
}

fn load(bytes: &[u8], column: Option<&str>, unknown: Option<Unknown>) -> Encoding {
    Encoding::load(bytes, &LoadOptions::default(), column, unknown).unwrap()
}

#[test]
fn codes_are_the_librarys() {
    for library in ["sklearn-1.9", "skops-0.16"] {
        for (name, column_name, index) in [
            ("encoder-labels", None, 0),
            ("encoder-labels-numbers", None, 0),
            ("encoder-ordinal-unknown", Some("DEPT"), 0),
            ("encoder-ordinal-unknown", Some("ITEM"), 1),
        ] {
            let (bytes, case) = saved(library, name);
            let outputs = load(&bytes, column_name, None).score(&Columns::new(&[column(&case, index)], 8));
            let answer = &case["answers"]["transform"];
            let expected = answer["columns"][index]["values"].as_array().unwrap();
            assert_eq!(&codes(&outputs.columns[0]), expected, "{library} {name}");
            let refused: Vec<Value> = outputs.refusals.iter().map(|refusal| refusal.row.into()).collect();
            assert_eq!(&refused, answer["refused"].as_array().unwrap(), "{library} {name}");
        }
    }
}

#[test]
fn one_column_refuses_its_own_labels_only_and_says_why() {
    let (bytes, case) = fixture("encoder-ordinal");
    let outputs = load(&bytes, Some("DEPT"), None).score(&Columns::new(&[column(&case, 0)], 8));
    let reasons: Vec<_> = outputs.refusals.iter().map(|refusal| (refusal.row, refusal.reason.as_str())).collect();
    assert_eq!(reasons, [(2, "missing value"), (3, "unseen label"), (6, "unseen label")]);
    let kinder = load(&bytes, Some("DEPT"), Some(Unknown::Null)).score(&Columns::new(&[column(&case, 0)], 8));
    assert!(kinder.refusals.is_empty());
    assert_eq!(codes(&kinder.columns[0]), codes(&outputs.columns[0]));
}

#[test]
fn codes_lead_back_to_the_labels() {
    let (bytes, case) = fixture("encoder-labels-numbers");
    let encoding = load(&bytes, None, Some(Unknown::Null));
    let there = encoding.score(&Columns::new(&[column(&case, 0)], 8)).columns;
    let back = encoding.reverse().unwrap().score(&Columns::new(&there, 8)).columns;
    let labels: Vec<_> = back[0].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(labels, [Some(30), Some(7), None, Some(-1), Some(30), Some(7), None, Some(1 << 40)]);
}

#[test]
fn what_is_no_encoding_says_what_would_be() {
    let error = |name: &str, column: Option<&str>| {
        Encoding::load(&fixture(name).0, &LoadOptions::default(), column, None).unwrap_err().to_string()
    };
    let several = "the encoder has several columns; give one as `column`: `DEPT`, `ITEM`";
    assert_eq!(error("encoder-ordinal", None), several);
    assert_eq!(error("encoder-ordinal", Some("SEX")), "there is no column `SEX`: the encoder has `DEPT`, `ITEM`");
    assert_eq!(
        error("encoder-labels", Some("DEPT")),
        "there is no column `DEPT`: a LabelEncoder has one, without a name"
    );
    let other = error("scaler-min-max", None);
    assert!(other.ends_with("is not supported; supported: LabelEncoder, OrdinalEncoder"), "{other}");
}
