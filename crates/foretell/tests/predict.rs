//! `foretell predict` from the outside: what Python answered comes out, and errors name file, line and column.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;

fn foretell(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foretell")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a run that must succeed.
fn good(args: &[&str]) -> String {
    let output = foretell(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Standard error of a run that must end with exit code 1.
fn bad(args: &[&str]) -> String {
    let output = foretell(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "one line: {error}");
    error.trim_end().to_string()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A model with its data and what its library answered.
struct Case {
    folder: PathBuf,
    json: Value,
}

impl Case {
    fn load(folder: PathBuf) -> Case {
        let json = serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap();
        Case { folder, json }
    }

    fn named(name: &str) -> Case {
        Case::load(fixtures().join(name))
    }

    fn all() -> Vec<Case> {
        let mut cases = Vec::new();
        for group in std::fs::read_dir(fixtures()).unwrap() {
            let Ok(folders) = std::fs::read_dir(group.unwrap().path()) else { continue };
            let folders = folders.map(|folder| folder.unwrap().path());
            cases.extend(folders.filter(|folder| folder.join("case.json").exists()).map(Case::load));
        }
        cases
    }

    fn model(&self) -> String {
        self.folder.join(self.json["model"].as_str().unwrap()).display().to_string()
    }

    fn columns(&self) -> &[Value] {
        self.json["columns"].as_array().unwrap()
    }

    fn refused(&self) -> Vec<usize> {
        let refused = self.json["answers"]["predict"]["refused"].as_array().unwrap();
        refused.iter().map(|row| row.as_u64().unwrap() as usize).collect()
    }

    fn rows(&self) -> usize {
        self.columns()[0]["values"].as_array().unwrap().len()
    }

    fn accepted(&self) -> Vec<usize> {
        let refused = self.refused();
        (0..self.rows()).filter(|row| !refused.contains(row)).collect()
    }

    fn csv(&self, rows: &[usize]) -> String {
        let names: Vec<&str> = self.columns().iter().map(|column| column["name"].as_str().unwrap()).collect();
        let mut text = names.join(",") + "\n";
        for row in rows {
            let cell = |column: &Value| match (&column["values"][row], column["type"].as_str().unwrap()) {
                (Value::Null, _) => String::new(),
                (value, "float64") => format!("{:?}", float64(value)),
                (Value::String(text), _) => format!("\"{}\"", text.replace('"', "\"\"")),
                (value, _) => value.to_string(),
            };
            text += &(self.columns().iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
        }
        text
    }

    fn jsonl(&self, rows: &[usize]) -> String {
        let mut text = String::new();
        for row in rows {
            let cell = |column: &Value| {
                let value = match (&column["values"][row], column["type"].as_str().unwrap()) {
                    (Value::Null, _) => Value::Null,
                    (value, "float64") => match float64(value) {
                        value if value.is_finite() => Value::from(value),
                        value => Value::from(value.to_string()),
                    },
                    (value, _) => value.clone(),
                };
                (column["name"].as_str().unwrap().to_string(), value)
            };
            let object: serde_json::Map<String, Value> = self.columns().iter().map(cell).collect();
            text += &(Value::Object(object).to_string() + "\n");
        }
        text
    }

    fn parquet(&self, rows: &[usize], path: &Path) {
        let column = |column: &Value| {
            let values = rows.iter().map(|row| &column["values"][row]);
            let array: ArrayRef = match column["type"].as_str().unwrap() {
                "int64" => Arc::new(values.map(Value::as_i64).collect::<Int64Array>()),
                "bool" => Arc::new(values.map(Value::as_bool).collect::<BooleanArray>()),
                "text" => Arc::new(values.map(Value::as_str).collect::<StringArray>()),
                _ => Arc::new(values.map(|v| (!v.is_null()).then(|| float64(v))).collect::<Float64Array>()),
            };
            (column["name"].as_str().unwrap().to_string(), array)
        };
        let batch = RecordBatch::try_from_iter(self.columns().iter().map(column)).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Compares the lines of a CSV with what the library answered for these rows.
    fn check(&self, rows: &[usize], output: &str, proba: bool) {
        let name = self.folder.display();
        let mut lines = output.lines();
        let header = lines.next().unwrap();
        let mut answers: Vec<&Value> = self.json["answers"]["predict"]["columns"].as_array().unwrap().iter().collect();
        let many = answers.len() > 1;
        let starts = if many { "prediction_0,prediction_1" } else { "prediction" };
        assert!(header.starts_with(starts), "{name}: {header}");
        if proba {
            answers.extend(self.json["answers"]["proba"]["columns"].as_array().unwrap());
            assert!(header.contains(",proba_"), "{name}: {header}");
        }
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), rows.len(), "{name}: one row a row");
        for (line, row) in lines.iter().zip(rows) {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), answers.len(), "{name}: {line}");
            for (cell, answer) in cells.iter().zip(&answers) {
                let value = &answer["values"][row];
                let same = match answer["type"].as_str().unwrap() {
                    "float64" => cell.parse::<f64>().unwrap().to_bits().abs_diff(float64(value).to_bits()) <= 1,
                    "float32" => {
                        let bits = u32::from_str_radix(value.as_str().unwrap(), 16).unwrap();
                        let tolerance = u32::from(proba || self.behind_exp());
                        cell.parse::<f32>().unwrap().to_bits().abs_diff(bits) <= tolerance
                    }
                    "bool" => *cell == if value.as_bool().unwrap() { "True" } else { "False" },
                    "text" => *cell == value.as_str().unwrap(),
                    _ => cell.parse::<i64>().ok() == value.as_i64(),
                };
                assert!(same, "{name}: row {row}: {cell} is not {value}");
            }
        }
    }

    /// Where a prediction is behind `exp`, its last bit may differ.
    fn behind_exp(&self) -> bool {
        ["binary", "classes", "poisson", "booster", "booster-saved-raw"].iter().any(|name| self.folder.ends_with(name))
    }
}

fn float64(bits: &Value) -> f64 {
    f64::from_bits(u64::from_str_radix(bits.as_str().unwrap(), 16).unwrap())
}

#[test]
fn every_fixture_gives_what_its_library_gave_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for case in Case::all() {
        if case.json["answers"].get("predict").is_none() {
            continue;
        }
        checked += 1;
        let rows = case.accepted();
        let proba = case.json["answers"].get("proba").is_some();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (csv, jsonl, parquet, out) = (path("d.csv"), path("d.jsonl"), path("d.parquet"), path("out.csv"));
        std::fs::write(&csv, case.csv(&rows)).unwrap();
        std::fs::write(&jsonl, case.jsonl(&rows)).unwrap();
        case.parquet(&rows, Path::new(&parquet));
        for data in [csv, jsonl, parquet] {
            let model = case.model();
            let mut args = vec!["predict", &model, &data, "-o", &out];
            args.extend(proba.then_some("--proba"));
            assert_eq!(good(&args), "");
            case.check(&rows, &std::fs::read_to_string(&out).unwrap(), proba);
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn a_refused_row_stops_with_its_line_and_the_reason_and_leaves_no_file() {
    let case = Case::named("sklearn-1.9/pipeline-one-hot-error");
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("d.csv"), folder.path().join("out.csv"));
    let all: Vec<usize> = (0..case.rows()).collect();
    std::fs::write(&data, case.csv(&all)).unwrap();
    std::fs::write(&out, "before").unwrap();
    let error = bad(&["predict", &case.model(), data.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let line = case.refused()[0] + 2;
    assert!(error.contains(&format!("d.csv:{line}: the model refuses this row: ")), "{error}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "before", "the old output stays");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no half of a file stays");
}

#[test]
fn outputs_in_every_format_and_standard_input() {
    let case = Case::named("xgboost-3.2/regressor");
    let folder = tempfile::tempdir().unwrap();
    let rows = case.accepted();
    let csv = case.csv(&rows);
    let mut child = Command::new(env!("CARGO_BIN_EXE_foretell"))
        .args(["predict", &case.model(), "-", "--keep", "AGE,ITEM_n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(csv.as_bytes()).unwrap();
    let output = text(&child.wait_with_output().unwrap().stdout);
    assert!(output.starts_with("AGE,ITEM_n,prediction\n"), "{output}");
    assert_eq!(output.lines().count(), rows.len() + 1);

    let data = folder.path().join("d.csv");
    std::fs::write(&data, &csv).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = |out: &str| good(&["predict", &case.model(), data.to_str().unwrap(), "--keep", "AGE,ITEM_n", "-o", out]);
    run(&path("o.jsonl"));
    let jsonl = std::fs::read_to_string(path("o.jsonl")).unwrap();
    let cells = |line: &str| line.split(',').map(str::to_string).collect::<Vec<_>>();
    for (line, expected) in jsonl.lines().zip(output.lines().skip(1)) {
        let object: Value = serde_json::from_str(line).unwrap();
        let values: Vec<String> = object.as_object().unwrap().values().map(Value::to_string).collect();
        assert_eq!(values[..2], cells(expected)[..2]);
        assert_eq!(values[2].parse::<f32>().unwrap(), cells(expected)[2].parse::<f32>().unwrap());
    }
    // A Parquet output is data again.
    run(&path("o.parquet"));
    let model = Case::named("xgboost-3.2/regressor").model();
    let error = bad(&["predict", &model, &path("o.parquet")]);
    assert!(error.ends_with("column `ITEM_n`: has the type Utf8, but the model takes a number"), "{error}");
}

#[test]
fn wrong_data_and_wrong_models_are_named() {
    let case = Case::named("xgboost-3.2/regressor");
    let folder = tempfile::tempdir().unwrap();
    let model = case.model();
    let names: Vec<&str> = case.columns().iter().map(|column| column["name"].as_str().unwrap()).collect();
    let header = names.join(",");
    let row = names.iter().map(|_| "1").collect::<Vec<_>>().join(",");
    let with = |name: &str, content: &str, more: &[&str]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let path = path.display().to_string();
        let mut args = vec!["predict", model.as_str(), path.as_str()];
        args.extend(more);
        bad(&args).replace(&format!("{}/", folder.path().display()), "")
    };
    let age = names.iter().position(|name| *name == "AGE").unwrap();
    let letter: Vec<&str> = (0..names.len()).map(|n| if n == age { "x" } else { "1" }).collect();
    let lines = format!("{header}\n{}{}\n{row}\n", format!("{row}\n").repeat(15), letter.join(","));
    assert_eq!(with("data.csv", &lines, &[]), "error: data.csv:17: column AGE: \"x\" is not a number");
    let renamed = lines.replace("AGE", "AGGE");
    let error = with("data.csv", &renamed, &[]);
    assert!(error.starts_with("error: data.csv: column `AGE` is missing; did you mean `AGGE`? (there are "), "{error}");
    let twice = format!("{header},AGE\n{row},1\n");
    assert_eq!(with("data.csv", &twice, &[]), "error: data.csv: column `AGE` is there twice");
    let short = format!("{header}\n{row}\n1,1\n");
    let expected = format!("error: data.csv:3: {} fields expected, as in the header; 2 found", names.len());
    assert_eq!(with("data.csv", &short, &[]), expected);
    let error = with("data.csv", "", &[]);
    assert_eq!(error, "error: data.csv: the file is empty; a header line with the columns' names is needed");
    let error = with("data.txt", &lines, &[]);
    let remedy = "its name does not tell what it is; give `--format csv`, `jsonl` or `parquet`";
    assert_eq!(error, format!("error: data.txt: {remedy}"));
    assert!(with("data.parquet", &lines, &[]).starts_with("error: data.parquet: not a Parquet file"));
    let expected = format!("error: data.csv: the model takes {} columns, `--columns` names 2", names.len());
    assert_eq!(with("data.csv", &lines, &["--columns", "AGE,AGE"]), expected);
    assert!(with("data.csv", &lines, &["--keep", "PNO"]).starts_with("error: data.csv: column `PNO` is missing"));
    assert!(with("data.csv", &lines, &["--proba"]).ends_with("the model has no probabilities; leave `--proba` out"));
    let error = with("data.jsonl", "{\"AGE\": 1}\n{\"AGE\": 1,}\n", &[]);
    assert_eq!(error, "error: data.jsonl:2: not JSON: trailing comma (column 11)");

    let data = folder.path().join("data.csv").display().to_string();
    let no_model = folder.path().join("data.jsonl").display().to_string();
    std::fs::write(&no_model, "no model").unwrap();
    assert!(bad(&["predict", &no_model, &data]).contains("not a model file that is known"));
    assert!(bad(&["predict", "none.joblib", &data]).starts_with("error: cannot read `none.joblib`: No such file"));
    assert!(bad(&["predict", &model, "none.csv"]).starts_with("error: cannot read `none.csv`: No such file"));
    let error = bad(&["predict", &model, &data, "-o", "/nowhere/o.csv"]);
    assert!(error.starts_with("error: cannot write `/nowhere/o.csv`"), "{error}");
}

#[test]
fn a_model_without_names_takes_all_columns_in_order() {
    // The booster of a matrix without names calls its features `f0`, `f1`, …: it knows none.
    let case = Case::all()
        .into_iter()
        .find(|case| {
            let report = foretell(&["inspect", &case.model(), "--json"]);
            let report: Value = serde_json::from_slice(&report.stdout).unwrap_or_default();
            report["model"]["inputs"][0]["name"].is_null() && case.json["answers"].get("predict").is_some()
        })
        .expect("a fixture without names");
    let folder = tempfile::tempdir().unwrap();
    let rows = case.accepted();
    let csv = case.csv(&rows);
    let (header, body) = csv.split_once('\n').unwrap();
    let names: Vec<String> = (0..header.split(',').count()).map(|n| format!("c{n}")).collect();
    let renamed = folder.path().join("d.csv").display().to_string();
    std::fs::write(&renamed, format!("{}\n{body}", names.join(","))).unwrap();
    let model = case.model();
    case.check(&rows, &good(&["predict", &model, &renamed]), false);

    // With another column in the data, the inputs have to be named.
    let wide: String = body.lines().map(|line| format!("id,{line}\n")).collect();
    std::fs::write(&renamed, format!("id,{}\n{wide}", names.join(","))).unwrap();
    let error = bad(&["predict", &model, &renamed]);
    assert!(error.contains("and knows no names for them; the file has"), "{error}");
    let output = good(&["predict", &model, &renamed, "--columns", &names.join(",")]);
    case.check(&rows, &output, false);
}

#[test]
fn many_chunks_keep_their_order_and_the_first_error_is_told() {
    let case = Case::named("sklearn-1.9/tree");
    let rows = case.accepted();
    let csv = case.csv(&rows);
    let (header, body) = csv.split_once('\n').unwrap();
    let line = body.lines().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d.csv").display().to_string();
    let count = 200_000;
    let mut text = format!("n,{header}\n");
    (0..count).for_each(|n| text += &format!("\"{n}\",{line}\n"));
    std::fs::write(&data, &text).unwrap();
    let output = good(&["predict", &case.model(), &data, "--keep", "n"]);
    let numbers = output.lines().skip(1).map(|line| line.split_once(',').unwrap().0.parse::<usize>().unwrap());
    assert!(numbers.eq(0..count), "in order, each once");

    let bad_line = |n: usize| format!("\"{n}\",{line}\n");
    let broken = text.replace(&bad_line(150_000), "1,2\n").replace(&bad_line(60_000), "1,2\n");
    std::fs::write(&data, broken).unwrap();
    assert!(bad(&["predict", &case.model(), &data, "-o", "/dev/null"]).contains("d.csv:60002: "), "the first of two");
}
