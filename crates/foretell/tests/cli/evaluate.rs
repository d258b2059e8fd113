//! `foretell evaluate` from the outside: scikit-learn's figures come out, and the report gives no row and no markup away.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use foretell_fixtures::Case;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::program::{bad, fixture, foretell, good, good_of, text};

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&good(&[args, &["--json"]].concat())).unwrap()
}

const FOREST: &str = "../examples/mri/models/mri_rf.joblib";
const CLASSES: &str = "sklearn-1.9/forest-classes/model.joblib";

/// The orders as CSV: a header and lines of cells.
fn orders() -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(fixture("evaluate/orders.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    (lines.next().unwrap(), lines.collect())
}

/// Writes the orders as JSON Lines and as Parquet.
fn convert(jsonl: &str, parquet: &str) {
    let (header, rows) = orders();
    let mut lines = String::new();
    for row in &rows {
        let value = |cell: &String| match cell.as_str() {
            "" => Value::Null,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            cell => serde_json::from_str(cell).unwrap_or_else(|_| Value::from(cell)),
        };
        let object = header.iter().cloned().zip(row.iter().map(value));
        lines += &(Value::Object(object.collect()).to_string() + "\n");
    }
    std::fs::write(jsonl, lines).unwrap();
    let columns = header.iter().enumerate().map(|(at, name)| {
        let cells = rows.iter().map(|row| Some(row[at].as_str()).filter(|cell| !cell.is_empty()));
        let array: ArrayRef = match name.as_str() {
            "kind" => Arc::new(cells.collect::<StringArray>()),
            "over" => Arc::new(cells.map(|cell| cell.map(|cell| cell == "True")).collect::<BooleanArray>()),
            "seconds" => Arc::new(cells.map(|cell| cell.map(|cell| cell.parse().unwrap())).collect::<Float64Array>()),
            _ => Arc::new(cells.map(|cell| cell.map(|cell| cell.parse().unwrap())).collect::<Int64Array>()),
        };
        (name.clone(), array)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(parquet).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn figures_are_those_of_scikit_learn_from_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (jsonl, parquet) = (path("orders.jsonl"), path("orders.parquet"));
    convert(&jsonl, &parquet);
    let cases: Value = serde_json::from_slice(&std::fs::read(fixture("evaluate/expected.json")).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let model = fixture(case["model"].as_str().unwrap());
        for data in [fixture("evaluate/orders.csv"), jsonl.clone(), parquet.clone()] {
            let mut args = vec!["evaluate", &model, &data, "--target", case["target"].as_str().unwrap()];
            args.extend(case["weight"].as_str().map(|weight| ["--weight", weight]).iter().flatten());
            let found = json(&args);
            assert_eq!(found["rows"], 300);
            assert_eq!(found["compared"], 288);
            assert_eq!(found["left_out"][0]["rows"], 12, "{found}");
            for (name, expected) in case["figures"].as_object().unwrap() {
                let (got, expected) = (found["figures"][name].as_f64().unwrap(), expected.as_f64().unwrap());
                let within = case["within"].as_f64().unwrap();
                assert!((got - expected).abs() <= within * expected.abs(), "{args:?}: {name}: {got} is not {expected}");
            }
        }
    }
}

#[test]
fn the_terminal_shows_a_short_table_and_what_was_left_out() {
    let data = fixture("evaluate/orders.csv");
    let shown = good(&["evaluate", &fixture(FOREST), &data, "--target", "seconds"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "model    mri_rf.joblib: RandomForestRegressor (scikit-learn 1.9.1)");
    assert_eq!(lines[1], "data     orders.csv: 300 rows");
    assert_eq!(lines[3], "note     12 rows left out: `seconds` is missing");
    assert!(lines[5].starts_with("MAPE            32.3 %  On average a prediction is off by 32.3 % "), "{shown}");
    assert_eq!(lines.len(), 12, "{shown}");

    let shown = good(&["evaluate", &fixture(CLASSES), &data, "--target", "kind"]);
    assert!(shown.contains("\nAccuracy           60.8 %  "), "{shown}");
}

#[test]
fn refused_rows_and_unknown_classes_are_counted_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("orders.csv").display().to_string();
    let csv = std::fs::read_to_string(fixture("evaluate/orders.csv")).unwrap();
    let mut lines: Vec<String> = csv.lines().map(str::to_string).collect();
    // The forest does not take infinity; nobody taught it the class `endless`.
    lines[4] = lines[4].replacen(|c: char| c.is_ascii_digit(), "inf", 1);
    lines[6] = lines[6].replacen(|c: char| c.is_ascii_digit(), "inf", 1);
    for line in &mut lines[10..20] {
        *line = line.replace("short", "endless").replace("middling", "endless").replace("long", "endless");
    }
    std::fs::write(&data, lines.join("\n")).unwrap();
    let found = json(&["evaluate", &fixture(CLASSES), &data, "--target", "kind"]);
    assert_eq!(found["compared"], 286);
    let refused = found["left_out"][1]["why"].as_str().unwrap();
    assert!(refused.starts_with("the model refuses the row: RandomForestClassifier: column ITEM_n: "), "{refused}");
    assert!(refused.ends_with("orders.csv:5)"), "{refused}");
    let unknown: f64 = found["confusion"]["unknown_classes"].as_array().unwrap().iter().flat_map(Value::as_f64).sum();
    assert_eq!(unknown, 10.0);
    let shown = good(&["evaluate", &fixture(CLASSES), &data, "--target", "kind"]);
    assert!(shown.contains("10 rows of classes that the model does not know: wrong in any case"), "{shown}");
}

#[test]
fn wrong_data_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = fixture("evaluate/orders.csv");
    let model = fixture(FOREST);
    let error = bad(&["evaluate", &model, &data, "--target", "second"]);
    assert!(error.contains("column `second` is missing; did you mean `seconds`? (there are "), "{error}");
    let error = bad(&["evaluate", &model, &data, "--target", "AGE"]);
    assert!(error.ends_with("column `AGE` is an input of the model: it cannot tell how good the model is"), "{error}");
    let error = bad(&["evaluate", &model, &data, "--target", "kind"]);
    assert!(error.ends_with("orders.csv:2: column kind: not a float64"), "{error}");
    let error = bad(&["evaluate", &model, &data, "--target", "seconds", "--weight", "wieght"]);
    assert!(error.contains("did you mean `weight`?"), "{error}");
    let error = bad(&["evaluate", &model, &data, "--target", "seconds", "-o", "/nowhere/report.html"]);
    assert!(error.starts_with("error: cannot write `/nowhere/report.html`"), "{error}");
    for name in ["report.csv", "report.pdf", "report.docx"] {
        let path = folder.path().join(name).display().to_string();
        let error = bad(&["evaluate", &model, &data, "--target", "seconds", "-o", &path]);
        assert!(error.contains(&format!("{name}`: the report is an HTML page: end its name with .html")), "{error}");
        assert!(!Path::new(&path).exists(), "{name}");
    }
    let report = folder.path().join("report.HTM").display().to_string();
    let output = foretell(&["evaluate", &model, &data, "--target", "seconds", "-o", &report]);
    assert!(output.status.success() && Path::new(&report).exists());
    assert_eq!(text(&output.stderr), format!("report: {report}\n"));
    let two = fixture("sklearn-1.9/forest-two-outputs/model.joblib");
    let error = bad(&["evaluate", &two, &data, "--target", "seconds"]);
    assert!(error.ends_with("the model predicts 2 targets; only models of one can be evaluated"), "{error}");

    let (jsonl, parquet) = (folder.path().join("o.jsonl"), folder.path().join("o.parquet"));
    let (jsonl, parquet) = (jsonl.display().to_string(), parquet.display().to_string());
    convert(&jsonl, &parquet);
    let error = bad(&["evaluate", &model, &jsonl, "--target", "secnds"]);
    assert!(
        error.contains("o.jsonl: column `secnds` is missing; did you mean `seconds`? (the first rows have "),
        "{error}"
    );
    let error = bad(&["evaluate", &model, &parquet, "--target", "kind"]);
    assert!(error.ends_with("column `kind`: has the type Utf8, and a number is needed"), "{error}");

    let (header, rows) = orders();
    let csv = |change: &dyn Fn(usize, &str) -> String| {
        let path = folder.path().join("changed.csv").display().to_string();
        let mut lines = header.join(",") + "\n";
        for row in &rows {
            let cells: Vec<String> = row.iter().enumerate().map(|(at, cell)| change(at, cell)).collect();
            lines += &(cells.join(",") + "\n");
        }
        std::fs::write(&path, lines).unwrap();
        path
    };
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (seconds, weight) = (at("seconds"), at("weight"));
    let empty = csv(&|at, cell| if at == seconds { String::new() } else { cell.to_string() });
    let error = bad(&["evaluate", &model, &empty, "--target", "seconds"]);
    assert!(error.ends_with("no row can be compared (300 rows: `seconds` is missing)"), "{error}");
    let negative = csv(&|at, cell| if at == weight { "-1".to_string() } else { cell.to_string() });
    let error = bad(&["evaluate", &model, &negative, "--target", "seconds", "--weight", "weight"]);
    assert!(error.ends_with("changed.csv:2: column weight: a weight is a number from 0 on"), "{error}");
    let zero = csv(&|at, cell| if at == weight { "0".to_string() } else { cell.to_string() });
    let error = bad(&["evaluate", &model, &zero, "--target", "seconds", "--weight", "weight"]);
    assert!(error.ends_with("every row has the weight 0"), "{error}");
}

#[test]
fn standard_input_and_a_model_without_names() {
    // The booster of a matrix without names takes all columns but the target and the weight, in order.
    let model = fixture("sklearn-1.9/forest-compressed/model.joblib");
    let (header, rows) = orders();
    let keep: Vec<usize> =
        (0..header.len()).filter(|at| !["kind", "over", "over_01"].contains(&&header[*at][..])).collect();
    let line = |cells: &[String]| keep.iter().map(|at| cells[*at].clone()).collect::<Vec<_>>().join(",") + "\n";
    let csv: String = [line(&header)].into_iter().chain(rows.iter().map(|row| line(row))).collect();
    let found = good_of(&["evaluate", &model, "-", "--target", "seconds", "--weight", "weight", "--json"], &csv);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["compared"], 288);
    assert!(found["figures"]["r2"].as_f64().unwrap() > 0.2, "{found}");
}

#[test]
fn a_model_without_trees_says_what_it_looks_at_by_shuffling() {
    // What the library predicted is the target here: without an error, whatever is shuffled makes one.
    let case = Case::named("sklearn-1.9/linear-ridge");
    let answer = case.answer("predict").unwrap().columns[0].clone();
    let columns = case.columns().iter().cloned().chain([("y".to_string(), answer)]);
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, report) = (path("d.parquet"), path("report.html"));
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&data).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let model = case.model().display().to_string();
    let found = json(&["evaluate", &model, &data, "--target", "y", "-o", &report]);
    assert!(found["figures"]["median_absolute_error"].as_f64().unwrap() < 1e-9, "{found}");
    assert_eq!(found["importance"]["measure"], "shuffled");
    let features = found["importance"]["features"].as_array().unwrap();
    assert_eq!(features.len(), case.columns().len());
    assert!(features[0]["value"].as_f64().unwrap() > 0.0, "{found}");
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("shuffled among"), "the page says how it was measured");
}

/// Every value of an attribute in the page.
fn attributes<'p>(page: &'p str, name: &'p str) -> impl Iterator<Item = &'p str> {
    page.split(name).skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn the_report_is_one_page_that_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let data = fixture("evaluate/orders.csv");
    for (model, target, sections) in [
        (FOREST, "seconds", &["errors", "features", "importance"][..]),
        (CLASSES, "kind", &["confusion", "ranking", "calibration", "features", "importance"]),
        ("xgboost-3.2/binary/model.pickle", "over_01", &["confusion", "ranking", "calibration"]),
    ] {
        good(&["evaluate", &fixture(model), &data, "--target", target, "-o", report.to_str().unwrap()]);
        let page = std::fs::read_to_string(&report).unwrap();
        for section in sections {
            assert!(page.contains(&format!("<section id=\"{section}\">")), "{model}: {section}");
        }
        assert!(page.contains("default-src 'none'"), "the page forbids itself to load anything");
        for nothing in ["http:", "https:", "<script", "<link", "<img", "@import", "url(h", "src="] {
            assert!(!page.contains(nothing), "{model}: {nothing}");
        }
        assert!(attributes(&page, "href=\"").all(|href| href.starts_with('#')));
        let drawings = page.matches("<svg ").count() - page.matches("aria-hidden").count();
        assert!(drawings >= 3, "{model}: {drawings} drawings");
        assert_eq!(page.matches("<svg role=\"img\"").count(), drawings, "each is called something");
        assert_eq!(page.matches("<desc>").count(), drawings, "each says what it shows");
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{model}: a place that is not a number");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no half of a page stays");
}

#[test]
fn hostile_names_and_labels_are_text_and_rows_stay_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html").display().to_string();
    let data = folder.path().join("<script>alert(1)").display().to_string();
    // A model without names takes the columns as they are called here; 4711471 is one row's value.
    let model = fixture("sklearn-1.9/forest-compressed/model.joblib");
    let target = "<img src=x onerror=alert(2)>";
    let mut csv = format!("\"\"\"><script>alert(3)</script>\",b,c,d,e,f,g,{target}\n");
    for row in 0..400 {
        let first = if row == 123 { 4_711_471 } else { row % 50 };
        csv += &format!("{first},{},{},0,{},3,1,{}\n", row % 9, row % 30, row % 90, 1_000 + row);
    }
    std::fs::write(&data, csv).unwrap();
    good(&["evaluate", &model, &data, "--format", "csv", "--target", target, "-o", &report]);
    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.contains("&lt;script&gt;alert(3)"), "the feature is shown");
    assert!(page.contains("&lt;img src=x"), "the target is shown");
    assert!(!page.contains("<script") && !page.contains("<img"), "neither is markup");
    assert!(!page.contains("4,711,471") && !page.contains("4711471"), "no row's value is shown");
}
