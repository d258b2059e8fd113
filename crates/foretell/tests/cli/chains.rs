//! Models in several files, in archives and in folders, from the outside.

use std::path::Path;

use crate::program::{bad, fixture, foretell, good, text};

/// What the library itself answered.
fn expected(name: &str) -> Vec<f64> {
    let answers = std::fs::read(fixture("archives/answers.json")).unwrap();
    serde_json::from_value(serde_json::from_slice::<serde_json::Value>(&answers).unwrap()[name].clone()).unwrap()
}

fn predicted(model: &str, more: &[&str]) -> Vec<f64> {
    let data = fixture("archives/data.csv");
    let printed = good(&[&["predict", model, &data], more].concat());
    printed.lines().skip(1).map(|line| line.parse().unwrap()).collect()
}

#[test]
fn files_with_a_plus_between_them_are_a_chain() {
    let archives = |name: &str| fixture(&format!("archives/{name}"));
    let chain = format!("{}+{}", archives("scaler.joblib"), archives("model.joblib"));
    assert_eq!(predicted(&chain, &[]), expected("chain"));
    assert_eq!(predicted(&archives("bundle.joblib"), &["--at", "scaler+model"]), expected("chain"));
    let shown = good(&["inspect", &chain]);
    assert!(shown.contains("\n  chain\n") && shown.contains("StandardScaler"), "{shown}");
    // A file whose own name has a plus is that file.
    let folder = tempfile::tempdir().unwrap();
    let plus = folder.path().join("a+b.joblib");
    std::fs::copy(archives("whole.joblib"), &plus).unwrap();
    assert_eq!(predicted(plus.to_str().unwrap(), &[]), expected("whole"));
    let missing = bad(&["predict", &format!("{}+none.pkl", archives("scaler.joblib")), &archives("data.csv")]);
    assert!(missing.starts_with("error: cannot read `none.pkl`"), "{missing}");
}

#[test]
fn what_is_beside_the_model_is_told() {
    let (bundle, data) = (fixture("archives/bundle.joblib"), fixture("archives/data.csv"));
    let told = |args: &[&str]| {
        let output = foretell(args);
        assert!(output.status.success());
        text(&output.stderr)
    };
    let alone = told(&["predict", &bundle, &data, "--at", "model"]);
    assert!(
        alone.starts_with("note: ") && alone.contains("which is not applied: `scaler+model` chains them"),
        "{alone}"
    );
    let both = told(&["predict", &bundle, &data]);
    assert!(both.contains("scored as the chain `scaler+model`"), "{both}");
    assert_eq!(told(&["predict", &bundle, &data, "--at", "scaler+model"]), "");
    assert!(good(&["inspect", &bundle]).contains("\nnote       the file holds a transformer beside the model"));
}

#[test]
fn archives_and_folders_are_read_and_told() {
    assert_eq!(predicted(&fixture("archives/sagemaker.tar.gz"), &[]), expected("whole"));
    for model in ["archives/mlflow", "archives/mlflow/MLmodel", "archives/mlflow.tar.gz"] {
        assert_eq!(predicted(&fixture(model), &[]), expected("mlflow"), "{model}");
    }
    let folder = bad(&["predict", &fixture("archives"), &fixture("archives/data.csv")]);
    assert!(folder.contains("is a folder, and has no `MLmodel`") && folder.contains("`model.joblib`"), "{folder}");
}

#[test]
fn a_pipeline_runs_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = folder.path().join("p.yaml");
    let chain = format!("{}+{}", fixture("archives/scaler.joblib"), fixture("archives/model.joblib"));
    let (path, data) = (pipeline.to_str().unwrap(), fixture("archives/data.csv"));
    good(&["init", &chain, "--data", &data, "-o", path]);
    let written = std::fs::read_to_string(&pipeline).unwrap();
    assert!(written.contains("{ files: ["), "{written}");
    let checked = good(&["check", path, "--offline"]);
    assert!(checked.contains("2 features: age, income"), "{checked}");
    let printed = good(&["run", path]);
    let rows =
        printed.lines().filter(|line| line.contains('|') || line.starts_with(|c: char| c.is_ascii_digit())).count();
    assert!(rows >= expected("chain").len(), "{printed}");
    // What is kept for later is one thing, whatever the number of files.
    let kept = std::fs::read_dir(folder.path().join(".foretell/models")).unwrap().count();
    assert_eq!(kept, 1);
    let wrong = written.replace("files: [", "file: x, files: [");
    std::fs::write(&pipeline, wrong).unwrap();
    assert!(bad(&["check", path]).contains("either `file` or `files` is needed"));
    assert!(Path::new(path).exists());
}
