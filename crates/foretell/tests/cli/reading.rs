//! One reader: what a value of a file means is the same to `predict`, `evaluate` and `run`.

use std::path::Path;

use foretell_decode::MISSING;
use serde_json::{Value, json};

use crate::program::{bad, fixture, foretell, good, text};

/// Numbers and texts; it fills in what is missing, and refuses what it does not know.
const MIXED: &str = "sklearn-1.9/pipeline-mixed/model.joblib";

/// The model's inputs: name, and whether it is text.
fn inputs(model: &str) -> Vec<(String, bool)> {
    let report: Value = serde_json::from_str(&good(&["inspect", model, "--json"])).unwrap();
    let inputs = report["model"]["inputs"].as_array().unwrap();
    inputs.iter().map(|input| (input["name"].as_str().unwrap().to_string(), input["kind"] == "text")).collect()
}

/// A file's rows, one a text, which stands in each column of text; the numbers are 1.
fn rows(inputs: &[(String, bool)], texts: &[Value]) -> Vec<Vec<Value>> {
    let row = |word: &Value| inputs.iter().map(|(_, text)| if *text { word.clone() } else { json!(1) }).collect();
    texts.iter().map(row).collect()
}

fn write_csv(path: &Path, inputs: &[(String, bool)], rows: &[Vec<Value>]) {
    let mut lines = vec![inputs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(",")];
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| format!("\"{text}\""));
    lines.extend(rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(",")));
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn write_jsonl(path: &Path, inputs: &[(String, bool)], rows: &[Vec<Value>]) {
    let object = |row: &Vec<Value>| {
        let members = inputs.iter().map(|(name, _)| name.clone()).zip(row.iter().cloned());
        Value::Object(members.collect()).to_string() + "\n"
    };
    std::fs::write(path, rows.iter().map(object).collect::<String>()).unwrap();
}

fn predicted(output: &str) -> Vec<String> {
    output.lines().skip(1).map(str::to_string).collect()
}

/// What `run` gives for each record of a file, in its order.
fn run(folder: &Path, model: &str, data: &str) -> Vec<String> {
    let pipeline = folder.join(format!("{data}.yaml"));
    let name = data.replace('.', "_");
    let yaml = format!(
        "pipeline: {name}\nsource: {{ file: {{ path: {data} }} }}\nmodels: {{ m: {{ file: \"{model}\" }} }}\n\
         query: SELECT _offset AS n, m(*) AS p FROM records\n\
         sinks: {{ out: {{ file: {{ path: \"{name}/\", format: jsonl }} }} }}\ntrigger: available_now\n"
    );
    std::fs::write(&pipeline, yaml).unwrap();
    good(&["run", pipeline.to_str().unwrap(), "--workers", "1"]);
    let mut found: Vec<(i64, String)> = Vec::new();
    for entry in std::fs::read_dir(folder.join(&name)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                let answer = row["p"].as_str().map_or_else(|| row["p"].to_string(), str::to_string);
                found.push((row["n"].as_i64().unwrap(), answer));
            }
        }
    }
    found.sort();
    found.into_iter().map(|(_, answer)| answer).collect()
}

#[test]
fn a_word_is_missing_in_csv_and_a_value_in_json_whoever_reads() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture(MIXED);
    let inputs = inputs(&model);
    let path = |name: &str| folder.path().join(name);
    let predict = |name: &str| {
        let data = path(name).display().to_string();
        predicted(&good(&["predict", &model, &data]))
    };
    let refuses = |name: &str, more: &[&str]| {
        let data = path(name).display().to_string();
        let error = bad(&[&["predict", &model, &data], more].concat());
        assert!(error.ends_with("the model refuses this row: OneHotEncoder: column ITEM: unseen category"), "{error}");
    };
    // The model fills in what is missing, and refuses what it does not know.
    let words: Vec<Value> = MISSING.iter().map(|word| json!(word)).collect();
    write_csv(&path("words.csv"), &inputs, &rows(&inputs, &words));
    let missing = predict("words.csv");
    assert_eq!(
        missing,
        vec![missing[0].clone(); words.len()],
        "as an empty field, which pandas takes for missing, too"
    );
    assert_eq!(run(folder.path(), &model, "words.csv"), missing);
    for word in &words {
        write_jsonl(&path("word.jsonl"), &inputs, &rows(&inputs, std::slice::from_ref(word)));
        refuses("word.jsonl", &[]);
        if *word != "" {
            write_csv(&path("word.csv"), &inputs, &rows(&inputs, std::slice::from_ref(word)));
            refuses("word.csv", &["--missing", ""]);
        }
    }
    write_jsonl(&path("words.jsonl"), &inputs, &rows(&inputs, &[&[Value::Null], &words[..]].concat()));
    assert_eq!(run(folder.path(), &model, "words.jsonl"), missing[..1], "a text of JSON is a value there, too");
}

#[test]
fn a_text_of_json_is_not_a_number_and_a_number_is_not_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture(MIXED);
    let inputs = inputs(&model);
    let data = folder.path().join("d.jsonl");
    let with = |change: &dyn Fn(&(String, bool)) -> Value| {
        write_jsonl(&data, &inputs, &[inputs.iter().map(change).collect()]);
        bad(&["predict", &model, data.to_str().unwrap()])
    };
    let error = with(&|(name, text)| if *text || name == "AGE" { json!("64") } else { json!(1) });
    assert!(error.ends_with("d.jsonl:1: field AGE: a text where a float64 is expected"), "{error}");
    let error = with(&|(name, text)| if *text && name != "ITEM" { json!("x") } else { json!(1) });
    assert!(error.ends_with("column `ITEM`: has the type Int64, but the model takes text"), "{error}");
    let error = bad(&["predict", &model, data.to_str().unwrap(), "--missing", "NA"]);
    assert!(error.contains("`--missing` is for CSV"), "{error}");

    // A column that is in no row is missing, and not full of missing values.
    std::fs::write(&data, "{\"age\":1}\n").unwrap();
    let error = bad(&["predict", &model, data.to_str().unwrap()]);
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn other_delimiters_are_read_and_hinted_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let csv = std::fs::read_to_string(fixture("evaluate/orders.csv")).unwrap();
    let model = fixture("../examples/mri/models/mri_rf.joblib");
    let expected = good(&["predict", &model, &fixture("evaluate/orders.csv")]);
    std::fs::write(path("o.csv"), csv.replace(',', ";")).unwrap();
    std::fs::write(path("o.tsv"), csv.replace(',', "\t")).unwrap();
    let error = bad(&["predict", &model, &path("o.csv")]);
    assert!(error.ends_with("o.csv: the first line is one field: give `--delimiter ';'`"), "{error}");
    assert_eq!(good(&["predict", &model, &path("o.csv"), "--delimiter", ";"]), expected);
    assert_eq!(good(&["predict", &model, &path("o.tsv")]), expected);
    let figures = |data: &str, more: &[&str]| {
        good(&[&["evaluate", &model, data, "--target", "seconds", "--json"], more].concat())
    };
    let found: Value = serde_json::from_str(&figures(&path("o.csv"), &["--delimiter", ";"])).unwrap();
    assert_eq!(found["compared"], 288);
}

#[test]
fn a_file_without_a_header_is_told_and_no_value_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv");
    let data = path.to_str().unwrap();
    std::fs::write(&path, "4711,2,3,4,5,6,7\n4712,2,3,4,5,6,7\n").unwrap();
    let named = fixture("../examples/mri/models/mri_rf.joblib");
    let error = bad(&["predict", &named, data]);
    assert!(error.contains("orders.csv: the first line holds values, not the names of columns"), "{error}");
    std::fs::write(&path, "Miller,Bern\nMeier,Chur\n").unwrap();
    let told = bad(&["predict", &named, data]);
    assert!(told.contains("none of the model's columns is in the first line, which has 2 fields"), "{told}");
    assert!(!told.contains("Miller") && !error.contains("4711"), "{told} {error}");

    std::fs::write(&path, "4711,2\n4712,3\n").unwrap();
    let pipeline = folder.path().join("p.yaml");
    let yaml = "pipeline: p\nsource: { file: { path: orders.csv } }\nquery: SELECT * FROM records\n\
                sinks: { out: { file: { path: out.jsonl } } }\ntrigger: available_now\n";
    std::fs::write(&pipeline, yaml).unwrap();
    for command in ["check", "run"] {
        let error = bad(&[command, pipeline.to_str().unwrap()]);
        assert!(
            error.contains("the first line looks like a record, not like a header")
                && error.contains("`header: false`"),
            "{error}"
        );
        assert!(!error.contains("4711"), "{error}");
    }
    std::fs::write(&pipeline, yaml.replace("orders.csv", "orders.csv, header: false")).unwrap();
    let checked = foretell(&["check", pipeline.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

/// `cc` is a country, `NA` (Namibia) among them, and `x` a number; what it does not know it lets pass.
const COUNTRIES: &str = "containers/countries.pickle";

#[test]
fn a_word_that_is_a_level_of_the_model_is_a_value_whoever_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture(COUNTRIES);
    std::fs::write(path("cc.jsonl"), "{\"cc\":\"NA\",\"x\":1}\n{\"cc\":null,\"x\":1}\n").unwrap();
    let json = good(&["predict", &model, &path("cc.jsonl")]);
    let value = |line: usize| {
        let row: Value = serde_json::from_str(json.lines().nth(line).unwrap()).unwrap();
        row["prediction"].to_string()
    };
    let (namibia, missing) = (value(0), value(1));
    assert_ne!(namibia, missing);
    // `NA` is a country and `None` is not; in a column of numbers both are missing, which this model refuses.
    std::fs::write(path("cc.csv"), "cc,x\nNA,1\nNone,1\n,1\n").unwrap();
    let expected = [namibia.clone(), missing.clone(), missing.clone()];
    assert_eq!(predicted(&good(&["predict", &model, &path("cc.csv")])), expected);
    assert_eq!(run(folder.path(), &model, "cc.csv"), expected);
    // What somebody says counts.
    assert_eq!(predicted(&good(&["predict", &model, &path("cc.csv"), "--missing", ",NA,None"]))[0], missing);
}

#[test]
fn values_that_are_not_levels_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture(COUNTRIES);
    std::fs::write(path("cc.csv"), "cc,x,y\nDE,1,1\nAtlantis,1,2\nFR,1,3\nEl Dorado,1,4\n").unwrap();
    let told = "column cc: 2 of 4 values are not among the levels of training";
    for args in [
        &["predict", &model, &path("cc.csv"), "--keep", "y"][..],
        &["evaluate", &model, &path("cc.csv"), "--target", "y"],
    ] {
        let output = foretell(args);
        assert!(output.status.success());
        assert_eq!(text(&output.stderr), format!("warning: {told}\n"));
    }
    std::fs::write(
        path("p.yaml"),
        format!(
            "pipeline: p\nsource: {{ file: {{ path: cc.csv }} }}\nmodels: {{ m: {{ file: \"{model}\" }} }}\n\
             query: SELECT m(cc, x) AS p FROM records\nsinks: {{ out: {{ file: {{ path: out.jsonl }} }} }}\n\
             trigger: available_now\n"
        ),
    )
    .unwrap();
    let log = text(&foretell(&["run", &path("p.yaml"), "--workers", "1"]).stderr);
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains(&format!("WARN model m: {told}")) && !log.contains("Atlantis"), "{log}");
}
