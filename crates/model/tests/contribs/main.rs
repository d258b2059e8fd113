//! Why a model says what it says, as XGBoost, LightGBM, CatBoost and shap say it: `make.py` beside this file made the cases.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use foretell_model::arrow_array;
use foretell_model::{LoadOptions, Method, Model};

const NAMES: [&str; 5] = ["age", "dept", "dose", "sex", "weight"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contribs")
}

fn load(name: &str) -> Model {
    let bytes = std::fs::read(folder().join(format!("{name}.model"))).unwrap();
    Model::load(&bytes, &LoadOptions { explain: true, ..LoadOptions::default() }).unwrap()
}

/// The rows of a case, and what each column adds.
fn case(name: &str) -> (Vec<Vec<Option<f64>>>, Vec<Vec<f64>>) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let list = |line: &str, key: &str| -> Vec<Option<f64>> {
        let (_, rest) = line.split_once(&format!("\"{key}\": [")).unwrap();
        rest.split_once(']').unwrap().0.split(", ").map(|number| number.parse().ok()).collect()
    };
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    let contribs = lines.iter().map(|line| list(line, "contribs").into_iter().map(Option::unwrap).collect());
    (lines.iter().map(|line| list(line, "row")).collect(), contribs.collect())
}

fn batch(rows: &[Vec<Option<f64>>]) -> RecordBatch {
    let column = |at: usize| Arc::new(rows.iter().map(|row| row[at]).collect::<Float64Array>()) as ArrayRef;
    RecordBatch::try_from_iter(NAMES.iter().enumerate().map(|(at, name)| (*name, column(at)))).unwrap()
}

fn floats(array: &ArrayRef) -> Vec<f64> {
    array.as_any().downcast_ref::<Float64Array>().unwrap().values().to_vec()
}

#[test]
fn contributions_are_those_of_the_libraries() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_string()))
        .collect();
    names.sort();
    assert!(names.len() >= 27, "{names:?}");
    for name in names {
        let model = load(&name);
        let (rows, expected) = case(&name);
        let outputs = model.answer(&batch(&rows), Method::Contribs).unwrap();
        assert!(outputs.refusals.is_empty(), "{name}");
        let found: Vec<Vec<f64>> = outputs.columns.iter().map(floats).collect();
        assert_eq!(found.len(), model.signature().contribs.len(), "{name}");
        assert_eq!(found.len(), expected[0].len(), "{name}");
        // XGBoost computes in float32; the others' numbers stand here with nine digits.
        let within = if name.starts_with("xgboost") { 5e-6 } else { 1e-7 };
        let mut worst: f64 = 0.0;
        for (row, expected) in expected.iter().enumerate() {
            let size = expected.iter().map(|value| value.abs()).fold(1.0, f64::max);
            for (column, expected) in expected.iter().enumerate() {
                worst = worst.max((found[column][row] - expected).abs() / size);
            }
        }
        assert!(worst <= within, "{name}: {worst:e}");
        println!("{name}: {worst:e}");
    }
}

#[test]
fn leaves_are_numbered_as_the_libraries_do() {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".leaves")?.to_string()))
        .collect();
    names.sort();
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let model = load(&name);
        let (rows, _) = case(&name);
        let outputs = model.answer(&batch(&rows), Method::Leaves).unwrap();
        assert!(outputs.refusals.is_empty(), "{name}");
        let ints = |array: &ArrayRef| array.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
        let found: Vec<Vec<i64>> = outputs.columns.iter().map(ints).collect();
        assert_eq!(found.len(), model.signature().leaves.len(), "{name}");
        let text = std::fs::read_to_string(folder().join(format!("{name}.leaves"))).unwrap();
        for (row, line) in text.lines().enumerate() {
            let expected: Vec<i64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let found: Vec<i64> = found.iter().map(|column| column[row]).collect();
            assert_eq!(found, expected, "{name}: row {row}");
        }
        assert_eq!(text.lines().count(), rows.len(), "{name}");
    }
    assert!(load("sklearn-histogram").signature().leaves.is_empty(), "the library does not number them");
}

#[test]
fn columns_and_reasons_are_named() {
    let model = load("xgboost-three");
    let names: Vec<&str> = model.signature().contribs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names[..6], ["age_0", "dept_0", "dose_0", "sex_0", "weight_0", "bias_0"]);
    assert_eq!((names.len(), model.signature().reasons.len()), (18, 0), "reasons are for one answer");
    let model = load("xgboost-regression");
    let (rows, contribs) = case("xgboost-regression");
    let told = model.answer(&batch(&rows), Method::Reasons).unwrap();
    let told = told.columns[0].as_any().downcast_ref::<StringArray>().unwrap();
    let mut first: Vec<(f64, &str)> = contribs[0].iter().copied().zip(NAMES).collect();
    first.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    let order: Vec<&str> = told.value(0).split(", ").map(|reason| reason.split_once(' ').unwrap().0).collect();
    assert_eq!(order, first.iter().take(3).map(|(_, name)| *name).collect::<Vec<_>>(), "{}", told.value(0));
    assert_eq!(told.value(0).contains('-'), first.iter().take(3).any(|(value, _)| *value < 0.0));
    assert_eq!(model.answer(&batch(&[]), Method::Contribs).unwrap().columns.len(), 6, "no rows");
}

#[test]
fn a_model_that_is_not_asked_to_keeps_no_trees_for_it() {
    let free = load("catboost-lossguide");
    assert!(
        free.signature().contribs.is_empty() && free.signature().leaves.is_empty(),
        "only where levels share a split"
    );
    let bytes = std::fs::read(folder().join("sklearn-tree.model")).unwrap();
    let model = Model::load(&bytes, &LoadOptions::default()).unwrap();
    assert!(model.signature().contribs.is_empty() && model.signature().reasons.is_empty());
}
