//! What `quick` counts instructions of: `instructions CASE TIMES` does one thing so often; without arguments it lists the
//! cases. Models are those of the fixtures and examples; rows are made up, the same at each run.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use foretell_model::{Columns, LoadOptions, Method, Model};

/// A name, and the model file, from the root of the repository.
const MODELS: &[(&str, &str)] = &[
    ("xgboost", "examples/mri/models/mri_xgb.joblib"),
    ("lightgbm", "fixtures/lightgbm-4.7/booster-text/model.txt"),
    ("forest", "examples/mri/models/mri_rf.joblib"),
    ("boosting", "fixtures/sklearn-1.9/boosting/model.joblib"),
    ("histogram", "fixtures/sklearn-1.9/histogram/model.joblib"),
    ("categories", "fixtures/lightgbm-4.7/category-codes/model.joblib"),
    ("logistic", "fixtures/sklearn-1.9/linear-logistic/model.joblib"),
    ("scaler", "fixtures/sklearn-1.9/scaler-standard/model.joblib"),
];

const ROWS: usize = 1024;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(case), Some(times)) = (args.next(), args.next()) else {
        for (name, _) in MODELS {
            println!("load-{name}\n{name}-{ROWS}-rows\n{name}-1-row");
        }
        return;
    };
    let times: usize = times.parse().expect("how many times");
    let of_case = |(name, _): &&(&str, &str)| case.contains(name);
    let (_, path) = MODELS.iter().find(of_case).expect("a case");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let bytes = std::fs::read(root.join(path)).expect("the model");
    let load = || Model::load(&bytes, &LoadOptions::default()).expect("a model that loads");
    if case.starts_with("load-") {
        (0..times).for_each(|_| drop(black_box(load())));
        return;
    }
    let model = load();
    let signature = model.signature();
    let want = [Method::Predict, Method::Transform].into_iter().find(|want| !signature.outputs(*want).is_empty());
    let rows = if case.ends_with("-1-row") { 1 } else { ROWS };
    let mut state = 7u64;
    let columns: Vec<ArrayRef> = (0..signature.inputs.len()).map(|_| column(rows, &mut state)).collect();
    let columns = Columns::new(&columns, rows);
    for _ in 0..times {
        let outputs = black_box(model.score(&columns, want.expect("something to ask for")));
        assert!(outputs.refusals.is_empty(), "{case}: {:?}", outputs.refusals.first());
    }
}

/// Numbers that look random.
fn column(rows: usize, state: &mut u64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..rows).map(|_| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f64 % 60.0
    })))
}
