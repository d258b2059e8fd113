//! What trees gained by each feature equals what their library says, from `fixtures/make/evaluate.py`.

use std::path::Path;

use foretell_model::{LoadOptions, Model};
use serde_json::Value;

#[test]
fn gains_are_the_libraries_own() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let cases: Value =
        serde_json::from_slice(&std::fs::read(fixtures.join("evaluate/importance.json")).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let path = case["model"].as_str().unwrap();
        let model = Model::load(&std::fs::read(fixtures.join(path)).unwrap(), &LoadOptions::default()).unwrap();
        let features = &model.describe().root.trees.as_ref().unwrap().features;
        let total: f64 = features.iter().map(|feature| feature.gain).sum();
        let used: Vec<_> = features.iter().filter(|feature| feature.gain > 0.0).collect();
        let expected = case["shares"].as_object().unwrap();
        assert_eq!(used.len(), expected.len(), "{path}");
        for feature in used {
            let (share, expected) = (feature.gain / total, expected[&feature.name].as_f64().unwrap());
            // XGBoost and LightGBM write gains as float32 or in six digits.
            let within = if model.describe().library == "scikit-learn" { 1e-12 } else { 1e-5 };
            assert!((share - expected).abs() <= within, "{path}: {}: {share} is not {expected}", feature.name);
            assert!(feature.splits > 0, "{path}: {}", feature.name);
        }
    }
}
