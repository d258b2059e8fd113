//! `init` and `check --offline`: from a model file to a pipeline file that is accepted, without a service.

use std::path::Path;

use foretell_fixtures::Case;
use serde_json::Value;

use crate::predict::{accepted, as_csv};
use crate::program::{bad, fixture, foretell, good, text};

/// Fixtures of one version: names, texts, categories, bools, lists, models that only transform, and models without names.
const ENVIRONMENT: &str = "sklearn-1.9/";

#[test]
fn every_model_gives_a_pipeline_file_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.name().starts_with(ENVIRONMENT)).collect();
    let mut checked = 0;
    for (number, case) in cases.iter().enumerate().step_by(9) {
        let (model, told) = (case.model().display().to_string(), case.told().join(","));
        let pipeline = folder.path().join(format!("{number}.yaml")).display().to_string();
        let mut args = vec!["init", &model, "-o", &pipeline];
        args.extend([["--columns", told.as_str()]].iter().filter(|_| !told.is_empty()).flatten());
        good(&args);
        let checked_by: Value = serde_json::from_str(&good(&["check", "--offline", "--json", &pipeline])).unwrap();
        assert_eq!(checked_by["ok"], true, "{}: {checked_by}", case.name());
        assert_eq!(checked_by["models"].as_array().unwrap().len(), 1, "{}", case.name());
        checked += 1;
    }
    assert!(checked > 25, "{checked}");
}

#[test]
fn with_data_the_pipeline_runs_as_it_is_written() {
    let case = Case::named("sklearn-1.9/pipeline-mixed");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows = accepted(&case);
    std::fs::write(path("data.csv"), as_csv(&case, &rows)).unwrap();
    let (model, pipeline) = (case.model().display().to_string(), path("p.yaml"));
    good(&["init", &model, "--data", &path("data.csv"), "-o", &pipeline]);
    let printed = good(&["run", &pipeline]);
    assert!(printed.contains("| prediction"), "{printed}");
    let error = bad(&["init", &model, "-o", &pipeline]);
    assert!(error.ends_with("p.yaml` is there already: name another file, or remove it"), "{error}");
}

#[test]
fn a_file_whose_name_is_a_word_of_sql_or_none_at_all_is_still_called() {
    let folder = tempfile::tempdir().unwrap();
    let model = Case::named("xgboost-3.2/regressor").model();
    let ending = model.extension().unwrap().to_str().unwrap();
    for (name, called) in [("select", "model"), ("2026-best model", "model_2026_best_model"), ("Größe", "gr__e")] {
        let path = folder.path().join(format!("{name}.{ending}"));
        std::fs::copy(&model, &path).unwrap();
        let text = good(&["init", path.to_str().unwrap()]);
        assert!(text.starts_with(&format!("pipeline: {called}\n")), "{text}");
        assert!(text.contains(&format!("{called}(*)")), "{text}");
    }
}

#[test]
fn an_error_of_check_has_its_parts_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    let check = |yaml: &str, path: &Path| {
        std::fs::write(path, yaml).unwrap();
        let output = foretell(&["check", "--offline", "--json", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("error: "), "a person sees it, too");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let yaml = format!(
        "pipeline: p\nsource: {{ kafka: {{ brokers: \"localhost:9\", topic: t }} }}\ndecode: {{ csv: {{ columns: [{{ cc: \
         utf8 }}, {{ x: float64 }}] }} }}\nmodels: {{ m: {{ file: \"{}\" }} }}\nquery: SELECT m(*) FROM records\nsinks: \
         {{ out: {{ console: {{}} }} }}\n",
        fixture("containers/countries.pickle")
    );
    let found = check(&yaml.replace("sinks:", "sink:"), &path);
    assert_eq!((&found["ok"], &found["error"]["line"]), (&Value::from(false), &Value::from(6)), "{found}");
    assert!(found["error"]["message"].as_str().unwrap().contains("unknown key `sink`"), "{found}");
    let found = check(&yaml.replace("m(*)", "m(cc)"), &path);
    assert_eq!((&found["error"]["line"], &found["error"]["path"]), (&Value::from(5), &Value::from("query")), "{found}");
    let table = "tables: { t: { sql: { url: { env: PATH }, table: t } } }\n";
    let found = check(&format!("{yaml}{table}"), &path);
    assert!(found["error"]["message"].as_str().unwrap().contains("--offline"), "{found}");
}
