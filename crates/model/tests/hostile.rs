//! Damaged and hostile files: an error or a model that predicts, never a panic.

mod try_out;

use std::path::{Path, PathBuf};

use foretell_model::{LoadOptions, Model, inspect};
use try_out::try_out;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    let model: PathBuf = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_stem().is_some_and(|stem| stem == "model"))
        .unwrap();
    std::fs::read(model).unwrap()
}

/// Uncompressed fixtures: in a compressed one nearly every damage ends in the decompressor.
const FIXTURES: &[&str] = &[
    "sklearn-1.9/boosting-zero",
    "sklearn-1.9/histogram-classes",
    "lightgbm-2.3/classes",
    "lightgbm-3.3/linear",
    "lightgbm-4.7/categories-text",
    "sklearn-1.9/tree",
    "skops-0.16/tree",
    "sklearn-1.2/columns-only",
    "sklearn-1.9/pipeline-mixed",
    "sklearn-1.2/linear-ridge-classifier",
    "sklearn-1.2/linear-logistic-cv",
    "sklearn-1.2/linear-dummy-prior",
    "sklearn-1.9/compose-columns-remainder",
    "sklearn-1.9/compose-voting-soft-weights",
    "sklearn-1.9/compose-voting-regressor-weights",
    "sklearn-1.9/compose-stacking",
    "sklearn-1.9/compose-calibrated-sigmoid-three",
    "sklearn-1.9/compose-calibrated-isotonic",
    "sklearn-1.9/compose-isotonic-clip",
    "sklearn-1.9/compose-ada-boost",
    "sklearn-1.9/compose-bagging",
    "sklearn-1.9/compose-targets-classes",
    "sklearn-1.9/compose-chain-classes",
    "sklearn-1.9/compose-one-vs-rest",
    "sklearn-1.9/compose-target-scaler",
    "sklearn-1.2/compose-imbalanced",
    "sklearn-1.2/compose-mapper",
    "sklearn-1.2/compose-pmml-refuses",
    "sklearn-1.9/compose-union",
    "sklearn-1.9/compose-isolation",
    "sklearn-0.21/old-imputer",
    "sklearn-0.21/old-one-hot-mask",
    "category-encoders-2.6/binary",
    "category-encoders-2.6/count",
    "category-encoders-2.11/one-hot",
    "category-encoders-2.11/target",
    "sklearn-1.9/prepare-bins-dense",
    "sklearn-1.9/prepare-binarizer",
    "sklearn-1.9/prepare-indicator",
    "sklearn-1.9/prepare-labels-text",
    "sklearn-1.9/prepare-normalizer",
    "sklearn-1.9/prepare-polynomial",
    "sklearn-1.9/prepare-power",
    "sklearn-1.9/prepare-quantile-normal",
    "sklearn-1.9/prepare-spline-periodic",
    "sklearn-1.9/prepare-target",
    "sklearn-1.9/select-from-forest",
    "sklearn-1.9/select-k-best",
    "sklearn-1.9/select-pca",
    "sklearn-1.9/select-rfe",
    "sklearn-1.9/select-variance",
    "sklearn-1.2/select-sparse",
    "sklearn-1.9/text-count-letters",
    "sklearn-1.9/text-dict-pairs",
    "sklearn-1.9/text-hashing",
    "sklearn-1.2/text-tfidf",
    "xgboost-0.90/regressor-minus-one",
    "xgboost-0.90/classes-text",
    "xgboost-1.2/linear",
    "xgboost-2.1/two-outputs-one-tree",
    "xgboost-3.2/saved-json",
    "xgboost-3.2/saved-ubj",
    "xgboost-3.2/linear",
];

#[test]
fn truncated_files_are_refused() {
    for name in FIXTURES {
        let bytes = fixture(name);
        assert!(try_out(&bytes), "{name} does not load");
        let step = (bytes.len() / 300).max(1);
        for length in (0..bytes.len()).step_by(step) {
            // What is cut off the end of an XGBoost binary are attributes that nobody needs.
            try_out(&bytes[..length]);
        }
        assert!(!try_out(&bytes[..bytes.len() / 2]), "{name} loads from its first half");
    }
}

#[test]
fn flipped_bits_never_panic() {
    let (mut loaded, mut refused) = (0, 0);
    for name in FIXTURES {
        let mut bytes = fixture(name);
        let step = (bytes.len() / 300).max(1);
        for at in (0..bytes.len()).step_by(step) {
            for change in [1 << (at % 8), 0xff] {
                bytes[at] ^= change;
                if try_out(&bytes) {
                    loaded += 1
                } else {
                    refused += 1
                }
                bytes[at] ^= change;
            }
        }
    }
    // One change at a time reaches all of the readers: some of these files still say something, most do not.
    assert!(loaded > 5_000 && refused > 10_000, "{loaded} files loaded, {refused} were refused");
}

fn refusal(bytes: &[u8]) -> String {
    Model::load(bytes, &LoadOptions::default()).unwrap_err().to_string()
}

#[test]
fn what_is_not_a_model_is_said_so() {
    assert_eq!(
        refusal(b"AGE,DEPT_n\n64,22\n"),
        "not a model file that is known: it is neither a pickle, a joblib file, a skops file, an XGBoost model (JSON, \
         UBJSON, binary), a LightGBM model text, a CatBoost model (`.cbm`, JSON), ONNX nor PMML; it begins as a text, as data \
         does"
    );
    // Of what may be data not even the first bytes are told.
    for data in ["9001234567;Bern\n".as_bytes(), b"\xd5\xc5\xc8\xfd,64\n", "Émile;64\n".as_bytes()] {
        assert!(refusal(data).ends_with("it begins as a text, as data does"), "{}", refusal(data));
    }
    assert!(refusal(b"\x89ABC\r\n\x1a\n").ends_with("it starts with the bytes `89 41 42 43 0d 0a 1a 0a`"));
    assert_eq!(refusal(b"{\"learner\": 1}"), "XGBoost JSON: `learner_model_param` is missing");
}

#[test]
fn a_gadget_is_refused_and_listed() {
    let bytes = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
    assert_eq!(refusal(bytes), "byte 2 (GLOBAL): global `os.system` is not allowed");
    let report = inspect(bytes, &LoadOptions::default());
    assert_eq!((report.container.as_str(), report.protocol), ("pickle", Some(2)));
    assert_eq!(report.globals.len(), 1);
    assert_eq!((report.globals[0].module.as_str(), report.globals[0].byte), ("os", 2));
    assert!(!report.globals[0].allowed);
    assert!(report.model.is_err());
    assert_eq!((report.unpacked, report.stopped), (Some(23), None));
    // A scan that ends early says so: more names may follow.
    let cut = inspect(&bytes[..14], &LoadOptions::default());
    assert_eq!(cut.globals.len(), 1);
    assert_eq!(cut.stopped.unwrap(), "byte 13 (BINUNICODE): 4 bytes are needed and 0 are left in the file");
}

#[test]
fn trees_that_never_end_are_refused() {
    let json = String::from_utf8(fixture("xgboost-3.2/saved-json")).unwrap();
    let start = json.find("\"left_children\":[1,").unwrap();
    let mut cyclic = json.clone();
    cyclic.replace_range(start..start + 19, "\"left_children\":[0,");
    assert_eq!(refusal(cyclic.as_bytes()), "tree 0: node 0: has two parents");
    let mut far = json.clone();
    far.replace_range(start..start + 19, "\"left_children\":[9001,");
    let error = refusal(far.as_bytes());
    assert!(error.starts_with("tree 0: node 0: left child 9001 is out of range ("), "{error}");
}

#[test]
fn lightgbm_trees_that_never_end_are_refused() {
    let text = String::from_utf8(fixture("lightgbm-4.7/booster-text")).unwrap();
    let change = |key: &str, value: &str| {
        let start = text.find(&format!("\n{key}=")).unwrap() + key.len() + 2;
        let mut changed = text.clone();
        let end = start + changed[start..].find([' ', '\n']).unwrap();
        changed.replace_range(start..end, value);
        refusal(changed.as_bytes())
    };
    assert_eq!(change("left_child", "0"), "tree 0: node 0: has two parents");
    assert!(change("left_child", "99").starts_with("tree 0: node 0: left child -2 is out of range ("));
    assert!(change("right_child", "-77").starts_with("tree 0: node 0: right child 80 is out of range ("));
    assert!(change("split_feature", "7").ends_with("tree 0: node 0: feature 7 is out of range (7 features)"));
    assert!(change("num_leaves", "3").ends_with("tree 0: `leaf_value` holds 5 numbers instead of 3"));
    assert!(change("num_tree_per_iteration", "2").ends_with("9 trees for 2 outputs"));
}
