//! What Python's own libraries packed: archives, folders and chains give what the model gives there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foretell_model::arrow_array::cast::AsArray;
use foretell_model::arrow_array::types::{Float32Type, Float64Type, Int64Type};
use foretell_model::arrow_array::{Array, ArrayRef, Float64Array, RecordBatch};
use foretell_model::{Limits, LoadOptions, Model, paths};
use foretell_package::{MlModel, inspect, join, load};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/archives")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn at(text: &str) -> LoadOptions {
    LoadOptions { at: paths(text), ..LoadOptions::default() }
}

fn batch() -> RecordBatch {
    let text = String::from_utf8(file("data.csv")).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows: Vec<Vec<f64>> = lines.map(|line| line.split(',').map(|field| field.parse().unwrap()).collect()).collect();
    let column = |at: usize| Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row[at]))) as ArrayRef;
    RecordBatch::try_from_iter(names.iter().enumerate().map(|(at, name)| (*name, column(at)))).unwrap()
}

fn answers(model: &Model) -> Vec<f64> {
    let outputs = model.predict(&batch()).unwrap();
    assert!(outputs.refusals.is_empty());
    let column = &outputs.columns[0];
    (0..column.len())
        .map(|row| match column.data_type().to_string().as_str() {
            "Float32" => column.as_primitive::<Float32Type>().value(row).into(),
            "Int64" => column.as_primitive::<Int64Type>().value(row) as f64,
            _ => column.as_primitive::<Float64Type>().value(row),
        })
        .collect()
}

fn expected() -> BTreeMap<String, Vec<f64>> {
    serde_json::from_slice(&file("answers.json")).unwrap()
}

fn refusal(bytes: &[u8], options: &LoadOptions) -> String {
    load(bytes, options).unwrap_err().to_string()
}

#[test]
fn archives_give_what_the_model_in_them_gives() {
    for (name, answer) in [
        ("whole.joblib", "whole"),
        ("sagemaker.tar.gz", "whole"),
        ("old.tar", "whole"),
        ("azure.zip", "whole"),
        ("boosted.tar.xz", "boosted"),
        ("mlflow.tar.gz", "mlflow"),
    ] {
        let model = load(&file(name), &LoadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(answers(&model), expected()[answer], "{name}");
    }
    // A description beside the model has the names that the model does not know.
    let model = load(&file("mlflow.tar.gz"), &LoadOptions::default()).unwrap();
    assert_eq!(model.signature().names().unwrap(), ["age", "income"]);
    let described = MlModel::read(&file("mlflow/MLmodel")).unwrap();
    assert_eq!((described.path.as_str(), described.columns.len()), ("model.pkl", 2));
    let report = inspect(&file("sagemaker.tar.gz"), &LoadOptions::default()).unwrap();
    assert_eq!(report.container, "zlib in `model.joblib` of a tar archive in gzip");
}

#[test]
fn an_archive_of_several_models_or_of_none_is_refused_by_their_names() {
    assert_eq!(
        refusal(&file("several.tar.gz"), &LoadOptions::default()),
        "several model files are in the archive; unpack it, and give one of them, or a chain: `model.joblib`, \
         `scaler.joblib`"
    );
    assert_eq!(
        refusal(&file("none.tar.gz"), &LoadOptions::default()),
        "no model file is in the archive; it holds `code/inference.py`"
    );
}

#[test]
fn a_chain_gives_what_its_parts_give_in_turn() {
    let chain = |files: &[&str]| join(files.iter().map(|name| file(name)).collect());
    for (files, answer) in [
        (["scaler.joblib", "model.joblib"], "chain"),
        (["scaler.joblib", "model.json"], "xgboost"),
        (["scaler.joblib", "model.txt"], "lightgbm"),
    ] {
        let model = load(&chain(&files), &LoadOptions::default()).unwrap();
        assert_eq!(answers(&model), expected()[answer], "{files:?}");
        // Its inputs are those of the first.
        assert_eq!(model.signature().names().unwrap(), ["age", "income"]);
    }
    for (name, places) in [("bundle.joblib", "scaler+model"), ("two.pickle", "[0]+[1]")] {
        let model = load(&file(name), &at(places)).unwrap();
        assert_eq!(answers(&model), expected()["chain"], "{name}");
        assert!(model.describe().notes.is_empty(), "{:?}", model.describe().notes);
    }
    let model = load(&chain(&["bundle.joblib", "bundle.joblib"]), &at("scaler+model")).unwrap();
    assert_eq!(answers(&model), expected()["chain"]);
    assert_eq!(
        refusal(&chain(&["model.joblib", "scaler.joblib"]), &LoadOptions::default()),
        "file 1 of 2: predicts, where a transformer is needed"
    );
    assert_eq!(
        refusal(&chain(&["scaler.joblib", "whole.joblib", "model.joblib"]), &LoadOptions::default()),
        "file 2 of 3: steps[1][1]: predicts, where a transformer is needed"
    );
    assert_eq!(
        refusal(&chain(&["scaler.joblib", "bundle.joblib"]), &at("scaler")),
        "2 files and 1 places: give one for each, empty where it is the whole"
    );
}

#[test]
fn a_transformer_beside_the_model_is_applied_or_told() {
    // The model knows no names: it was trained on what the transformer makes.
    let model = load(&file("bundle.joblib"), &LoadOptions::default()).unwrap();
    assert_eq!(answers(&model), expected()["chain"]);
    let [note] = &model.describe().notes[..] else { panic!("{:?}", model.describe().notes) };
    assert!(note.contains("scored as the chain `scaler+model`"), "{note}");
    let model = load(&file("bundle.joblib"), &at("model")).unwrap();
    let [note] = &model.describe().notes[..] else { panic!("{:?}", model.describe().notes) };
    assert_eq!(
        note,
        "the file holds `scaler` (StandardScaler) beside the model, which is not applied: `scaler+model` chains them"
    );
    // One that knows the names of the data may have been trained on it: nothing is guessed.
    let error = refusal(&file("apart.joblib"), &LoadOptions::default());
    assert!(error.starts_with("the file holds several objects; give one as `at`: `scaler` ("), "{error}");
    assert!(error.ends_with("; or a chain of them: `scaler+model`"), "{error}");
    // Nor is it of pickles that were written one after the other.
    let error = refusal(&file("two.pickle"), &LoadOptions::default());
    assert!(error.starts_with("the file holds 2 pickles, one after the other; give one as `at`: `[0]` ("), "{error}");
    assert!(error.ends_with("; or a chain of them: `[0]+[1]`"), "{error}");
    assert!(refusal(&file("two.pickle"), &at("[2]")).contains("`[0]` to `[1]`"));
}

#[test]
fn damage_is_an_error_or_the_model() {
    for name in ["sagemaker.tar.gz", "old.tar", "azure.zip", "several.tar.gz", "mlflow.tar.gz"] {
        let packed = file(name);
        // What is packed in gzip is damaged inside: nearly every change to it would end in the checksum.
        let whole = foretell_pickle::unpack(packed.clone(), &Limits::default()).unwrap_or(packed);
        let step = (whole.len() / 400).max(1);
        for place in (0..whole.len()).step_by(step) {
            let _ = load(&whole[..place], &LoadOptions::default());
            for change in [1u8 << (place % 8), 0xff] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                let _ = load(&changed, &LoadOptions::default());
                let _ = inspect(&changed, &LoadOptions::default());
            }
        }
    }
}

#[test]
fn an_archive_takes_no_more_than_the_limits_allow() {
    let tight = LoadOptions { limits: Limits { unpacked: 1000, ..Limits::default() }, ..LoadOptions::default() };
    for name in ["sagemaker.tar.gz", "old.tar", "azure.zip"] {
        let error = refusal(&file(name), &tight);
        assert!(error.contains("1000 bytes") || error.contains("more than 1000"), "{name}: {error}");
    }
    // A header that claims what is not there.
    let mut tar = file("old.tar");
    let place = tar.windows(6).position(|window| window == b"ustar ").unwrap() - 257 + 124;
    tar[place..place + 11].copy_from_slice(b"77777777777");
    let error = refusal(&tar, &LoadOptions::default());
    assert!(error.contains("tar archive is damaged"), "{error}");
}
