//! `foretell predict` from the outside: what Python answered comes out, and errors name file, line and column.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use foretell_decode::MISSING;
use foretell_fixtures::Case;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::program::{bad, foretell, good, good_of};

/// These rows of a fixture's input.
fn batch(case: &Case, rows: &[usize]) -> RecordBatch {
    let rows = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
    let taken = case.columns().iter().map(|(name, array)| (name, take(array, &rows, None).unwrap()));
    RecordBatch::try_from_iter(taken).unwrap()
}

fn cell(array: &ArrayRef, row: usize) -> Option<Value> {
    (!array.is_null(row)).then(|| match array.data_type() {
        DataType::Float64 => match array.as_primitive::<Float64Type>().value(row) {
            value if value.is_nan() => Value::Null,
            value if value.is_finite() => Value::from(value),
            value => Value::from(value.to_string()),
        },
        DataType::Int64 => Value::from(array.as_primitive::<Int64Type>().value(row)),
        DataType::Boolean => Value::from(array.as_boolean().value(row)),
        _ => Value::from(array.as_string::<i32>().value(row)),
    })
}

/// Whether all columns have a type that a text format has, too: float32 and narrow integers only Parquet keeps.
pub(crate) fn has_types_of_texts(case: &Case) -> bool {
    let of_texts = [DataType::Float64, DataType::Int64, DataType::Boolean, DataType::Utf8];
    case.columns().iter().all(|(_, array)| of_texts.contains(array.data_type()))
}

pub(crate) fn as_csv(case: &Case, rows: &[usize]) -> String {
    let names: Vec<&str> = case.columns().iter().map(|(name, _)| name.as_str()).collect();
    let mut text = names.join(",") + "\n";
    for row in rows {
        let cell = |(_, array): &(String, ArrayRef)| match cell(array, *row) {
            None => String::new(),
            Some(Value::String(text)) => format!("\"{}\"", text.replace('"', "\"\"")),
            Some(value) => value.to_string(),
        };
        text += &(case.columns().iter().map(cell).collect::<Vec<_>>().join(",") + "\n");
    }
    text
}

pub(crate) fn as_jsonl(case: &Case, rows: &[usize]) -> String {
    let mut text = String::new();
    for row in rows {
        let members = case.columns().iter().map(|(name, array)| (name.clone(), cell(array, *row).unwrap_or_default()));
        text += &(Value::Object(members.collect()).to_string() + "\n");
    }
    text
}

pub(crate) fn write_parquet(case: &Case, rows: &[usize], path: &Path) {
    let batch = batch(case, rows);
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A cell of the output as the type that the library answered in.
fn read(cell: &str, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Float64 => Arc::new(Float64Array::from(vec![cell.parse::<f64>().unwrap()])),
        DataType::Float32 => Arc::new(Float32Array::from(vec![cell.parse::<f32>().unwrap()])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![cell.parse::<i64>().unwrap()])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![match cell {
            "True" => true,
            "False" => false,
            other => panic!("{other} is not a bool of Python"),
        }])),
        _ => Arc::new(StringArray::from(vec![cell])),
    }
}

/// Of these rows, those whose values the format can hold: an empty text is a missing value of CSV, and JSON has no
/// infinity.
pub(crate) fn written(case: &Case, rows: &[usize], format: &str) -> Vec<usize> {
    let told = |array: &ArrayRef, row: usize| match (format, array.data_type()) {
        ("csv", DataType::Utf8) => array.is_null(row) || !MISSING.contains(&array.as_string::<i32>().value(row)),
        ("jsonl", DataType::Float64) => {
            array.is_null(row) || !array.as_primitive::<Float64Type>().value(row).is_infinite()
        }
        _ => true,
    };
    rows.iter().copied().filter(|row| case.columns().iter().all(|(_, array)| told(array, *row))).collect()
}

/// Compares the lines of a CSV with what the library answered for these rows.
pub(crate) fn check(case: &Case, rows: &[usize], output: &str, proba: bool) {
    let name = case.name();
    let mut lines = output.lines();
    let header = lines.next().unwrap();
    let predicted = case.answer("predict").unwrap();
    let shares = if proba { case.answer("proba") } else { None };
    let starts = if predicted.columns.len() > 1 { "prediction_0,prediction_1" } else { "prediction" };
    assert!(header.starts_with(starts), "{name}: {header}");
    assert_eq!(header.contains(",proba_"), proba, "{name}: {header}");
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), rows.len(), "{name}: one row a row");
    let answers = std::iter::once(&predicted).chain(&shares);
    let answers: Vec<_> = answers.flat_map(|answer| (0..answer.columns.len()).map(move |n| (answer, n))).collect();
    for (line, row) in lines.iter().zip(rows) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), answers.len(), "{name}: {line}");
        for (cell, (answer, column)) in cells.iter().zip(&answers) {
            let got = read(cell, answer.columns[*column].data_type());
            answer.distance(*column, *row, &got, 0).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

pub(crate) fn path_of(case: &Case) -> String {
    case.model().display().to_string()
}

pub(crate) fn accepted(case: &Case) -> Vec<usize> {
    case.answer("predict").unwrap().accepted()
}

#[test]
fn a_refused_row_stops_with_its_line_and_the_reason_and_leaves_no_file() {
    let case = Case::named("sklearn-1.9/pipeline-one-hot-error");
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("d.csv"), folder.path().join("out.csv"));
    let all: Vec<usize> = (0..case.rows()).collect();
    std::fs::write(&data, as_csv(&case, &all)).unwrap();
    std::fs::write(&out, "before").unwrap();
    let error = bad(&["predict", &path_of(&case), data.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let line = case.answer("predict").unwrap().refused[0] + 2;
    assert!(error.contains(&format!("d.csv:{line}: the model refuses this row: ")), "{error}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "before", "the old output stays");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no half of a file stays");
}

#[test]
fn outputs_in_every_format_and_standard_input() {
    let case = Case::named("xgboost-3.2/regressor");
    let folder = tempfile::tempdir().unwrap();
    let rows = accepted(&case);
    let csv = as_csv(&case, &rows);
    let output = good_of(&["predict", &path_of(&case), "-", "--keep", "AGE,ITEM_n"], &csv);
    assert!(output.starts_with("AGE,ITEM_n,prediction\n"), "{output}");
    assert_eq!(output.lines().count(), rows.len() + 1);

    let data = folder.path().join("d.csv");
    std::fs::write(&data, &csv).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run =
        |out: &str| good(&["predict", &path_of(&case), data.to_str().unwrap(), "--keep", "AGE,ITEM_n", "-o", out]);
    run(&path("o.jsonl"));
    let jsonl = std::fs::read_to_string(path("o.jsonl")).unwrap();
    let cells = |line: &str| line.split(',').map(str::to_string).collect::<Vec<_>>();
    for (line, expected) in jsonl.lines().zip(output.lines().skip(1)) {
        let object: Value = serde_json::from_str(line).unwrap();
        let values: Vec<String> = object.as_object().unwrap().values().map(Value::to_string).collect();
        assert_eq!(values[..2], cells(expected)[..2]);
        assert_eq!(values[2].parse::<f32>().unwrap(), cells(expected)[2].parse::<f32>().unwrap());
    }
    // A Parquet output is data again; `--keep` gave texts of a CSV.
    run(&path("o.parquet"));
    let model = path_of(&Case::named("xgboost-3.2/regressor"));
    let error = bad(&["predict", &model, &path("o.parquet")]);
    assert!(error.ends_with("column `ITEM_n`: has the type Utf8, but the model takes a number"), "{error}");
}

#[test]
fn wrong_data_and_wrong_models_are_named() {
    let case = Case::named("xgboost-3.2/regressor");
    let folder = tempfile::tempdir().unwrap();
    let model = path_of(&case);
    let names: Vec<&str> = case.columns().iter().map(|(name, _)| name.as_str()).collect();
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
    let with_ok = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        good(&["predict", &model, path.to_str().unwrap()])
    };
    let age = names.iter().position(|name| *name == "AGE").unwrap();
    let letter: Vec<&str> = (0..names.len()).map(|n| if n == age { "x" } else { "1" }).collect();
    let lines = format!("{header}\n{}{}\n{row}\n", format!("{row}\n").repeat(15), letter.join(","));
    assert_eq!(with("data.csv", &lines, &[]), "error: data.csv:17: column AGE: not a float64");
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
    let remedy = "its name does not tell what it is; give `--format csv`, `jsonl`, `parquet` or `avro`";
    assert_eq!(error, format!("error: data.txt: {remedy}"));
    assert!(with("data.parquet", &lines, &[]).starts_with("error: data.parquet: not a Parquet file"));
    let expected = format!("error: data.csv: the model takes {} columns, `--columns` names 2", names.len());
    assert_eq!(with("data.csv", &lines, &["--columns", "AGE,AGE"]), expected);
    assert!(with("data.csv", &lines, &["--keep", "PNO"]).starts_with("error: data.csv: column `PNO` is missing"));
    assert!(with("data.csv", &lines, &["--proba"]).ends_with("the model has no probabilities; leave `--proba` out"));
    let whole = names.iter().map(|name| format!("\"{name}\": 1")).collect::<Vec<_>>().join(", ");
    let error = with("data.jsonl", &format!("{{{whole}}}\n{{\"AGE\": 1,}}\n"), &[]);
    assert_eq!(error, "error: data.jsonl:2: byte 10: not JSON: trailing comma");
    let error = with("data.jsonl", "{\"AGGE\": 1}\n", &["--columns", &names.join(",").replace("AGE", "AGGE")]);
    assert!(error.contains("data.jsonl: column `"), "{error}");

    for (name, content, what) in [
        ("whole.jsonl", format!("[{{{whole}}},\n{{{whole}}}\n"), "cannot read `whole.jsonl`: its JSON list has no end"),
        ("whole.jsonl", "[1, 2]".into(), "not a JSON object"),
        ("whole.csv", lines.replace('\n', "\r"), "its lines end with CR alone, as on old Macs; `tr"),
        ("whole.csv", "PAR1\u{15}\0\u{15}".into(), "it is Parquet, not a text in UTF-8; end its name with `.parquet`"),
        ("whole.csv", lines.replace("", "\0"), "it is UTF-16, not a text in UTF-8; say `--encoding utf-16`"),
    ] {
        let error = with(name, &content, &[]);
        assert!(error.starts_with("error: ") && error.contains(name) && error.contains(what), "{error}");
    }
    // A list, or objects over several lines, is read as what it means.
    let one = with_ok("whole.json", &format!("{{{whole}}}\n{{{whole}}}\n"));
    for content in [
        format!("[{{{whole}}},\n{{{whole}}}]\n"),
        format!("{{\n{whole}\n}}\n{{\n{whole}\n}}"),
        format!("[{{{whole}}},{{{whole}}}]"),
    ] {
        assert_eq!(with_ok("whole.json", &content), one, "{content}");
    }
    let over = folder.path().join("over.csv").display().to_string();
    std::fs::write(&over, &lines).unwrap();
    let error = bad(&["predict", &model, &over, "-o", &over]);
    assert!(error.contains("is read, and cannot be written at the same time"), "{error}");
    assert_eq!(std::fs::read_to_string(&over).unwrap(), lines);
    let error = bad(&["predict", &model, &over, "-o", "no/such/o.csv"]);
    assert!(error.contains("there is no folder `no/such`"), "{error}");

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
        .filter(|case| case.name().starts_with("xgboost"))
        .find(|case| {
            let report = foretell(&["inspect", &path_of(case), "--json"]);
            let report: Value = serde_json::from_slice(&report.stdout).unwrap_or_default();
            report["model"]["inputs"][0]["name"].is_null() && case.answer("predict").is_some()
        })
        .expect("a fixture without names");
    let folder = tempfile::tempdir().unwrap();
    let rows = accepted(&case);
    let csv = as_csv(&case, &rows);
    let (header, body) = csv.split_once('\n').unwrap();
    let names: Vec<String> = (0..header.split(',').count()).map(|n| format!("c{n}")).collect();
    let renamed = folder.path().join("d.csv").display().to_string();
    std::fs::write(&renamed, format!("{}\n{body}", names.join(","))).unwrap();
    let model = path_of(&case);
    check(&case, &rows, &good(&["predict", &model, &renamed]), false);

    // With another column in the data, the inputs have to be named.
    let wide: String = body.lines().map(|line| format!("id,{line}\n")).collect();
    std::fs::write(&renamed, format!("id,{}\n{wide}", names.join(","))).unwrap();
    let error = bad(&["predict", &model, &renamed]);
    assert!(error.contains("and knows no names for them; the file has"), "{error}");
    let output = good(&["predict", &model, &renamed, "--columns", &names.join(",")]);
    check(&case, &rows, &output, false);
}

#[test]
fn many_chunks_keep_their_order_and_the_first_error_is_told() {
    let case = Case::named("sklearn-1.9/tree");
    let rows = accepted(&case);
    let csv = as_csv(&case, &rows);
    let (header, body) = csv.split_once('\n').unwrap();
    let line = body.lines().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d.csv").display().to_string();
    let count = 200_000;
    let mut text = format!("n,{header}\n");
    (0..count).for_each(|n| text += &format!("\"{n}\",{line}\n"));
    std::fs::write(&data, &text).unwrap();
    let output = good(&["predict", &path_of(&case), &data, "--keep", "n"]);
    let numbers = output.lines().skip(1).map(|line| line.split_once(',').unwrap().0.parse::<usize>().unwrap());
    assert!(numbers.eq(0..count), "in order, each once");

    let bad_line = |n: usize| format!("\"{n}\",{line}\n");
    let broken = text.replace(&bad_line(150_000), "1,2\n").replace(&bad_line(60_000), "1,2\n");
    std::fs::write(&data, broken).unwrap();
    assert!(bad(&["predict", &path_of(&case), &data, "-o", "/dev/null"]).contains("d.csv:60002: "), "the first of two");
}

#[test]
fn a_signal_leaves_no_half_of_a_file() {
    let model = path_of(&Case::named("xgboost-3.2/regressor"));
    for (signal, told) in [(15, "default"), (2, "default"), (1, "default"), (1, "ignore")] {
        let folder = tempfile::tempdir().unwrap();
        // Whoever runs the tests may have told their programs to ignore a hangup.
        let mut child = Command::new("env")
            .args([&format!("--{told}-signal=HUP"), env!("CARGO_BIN_EXE_foretell")])
            .args(["predict", &model, "-", "-o", "out.csv"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It waits for more of standard input, with the unfinished file open.
        let mut stdin = child.stdin.take().unwrap();
        let case = Case::named("xgboost-3.2/regressor");
        let csv = as_csv(&case, &accepted(&case));
        let (header, body) = csv.split_once('\n').unwrap();
        stdin.write_all(format!("{header}\n{}", body.repeat(400)).as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::fs::read_dir(folder.path()).unwrap().count() == 0 {
            assert!(Instant::now() < deadline, "no file was begun");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(kill(child.id(), signal), 0);
        if told == "ignore" {
            drop(stdin);
            assert_eq!(child.wait().unwrap().code(), Some(0), "nohup");
            assert!(folder.path().join("out.csv").exists());
            continue;
        }
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "signal {signal}");
    }
}

/// `kill`, as a shell has it.
fn kill(process: u32, signal: i32) -> i32 {
    let status = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status().unwrap();
    status.code().unwrap_or(-1)
}
