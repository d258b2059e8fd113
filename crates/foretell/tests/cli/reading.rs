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

/// Rows whose numbers tell them apart, and whose texts are missing.
fn numbered(inputs: &[(String, bool)], numbers: std::ops::Range<i32>) -> Vec<Vec<Value>> {
    let row = |number| inputs.iter().map(|(_, text)| if *text { json!("") } else { json!(number * 25) }).collect();
    numbers.map(row).collect()
}

#[test]
fn several_files_are_one_table_packed_or_not_and_in_any_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture(MIXED);
    let inputs = inputs(&model);
    let (one, two) = (numbered(&inputs, 0..2), numbered(&inputs, 2..5));
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for (name, rows) in [("in/1.csv", &one), ("in/2.csv", &two)] {
        write_csv(Path::new(&path(name)), &inputs, rows);
    }
    write_jsonl(Path::new(&path("1.jsonl")), &inputs, &one);
    let predict = |data: &[&str]| {
        let mut args = vec!["predict", &model];
        args.extend(data);
        good(&args)
    };
    let (first, second) = (predict(&[&path("in/1.csv")]), predict(&[&path("in/2.csv")]));
    let expected = [predicted(&first), predicted(&second)].concat();
    assert!(expected.len() == 5 && expected[0] != expected[4], "{expected:?}");
    // Packed as their names say, among them one that is not in UTF-8.
    let bytes = std::fs::read(path("in/2.csv")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &bytes).unwrap();
    std::fs::write(path("2.csv.gz"), gzip.finish().unwrap()).unwrap();
    std::fs::write(path("2.CSV.zst"), zstd::encode_all(&bytes[..], 0).unwrap()).unwrap();
    let (one_csv, pattern) = (path("in/1.csv"), path("in/*.csv"));
    for data in [
        vec![one_csv.clone(), path("in/2.csv")],
        vec![path("in")],
        vec![pattern],
        vec![one_csv.clone(), path("2.csv.gz")],
        vec![one_csv.clone(), path("2.CSV.zst")],
    ] {
        let data: Vec<&str> = data.iter().map(String::as_str).collect();
        assert_eq!(predicted(&predict(&data)), expected, "{data:?}");
    }
    let wide: Vec<u8> = String::from_utf8(bytes.clone()).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(path("wide.csv"), &wide).unwrap();
    assert_eq!(predict(&[&path("wide.csv"), "--encoding", "utf-16"]), second);
    let told = bad(&["predict", &model, &path("wide.csv")]);
    assert!(told.contains("it is UTF-16, not a text in UTF-8; say `--encoding utf-16`"), "{told}");
    let told = bad(&["predict", &model, &path("wide.csv"), "--encoding", "utf-8"]);
    assert!(told.contains("it is UTF-16"), "{told}");

    // Errors name the file that is read, and its own line.
    let (header, rest) = std::str::from_utf8(&bytes).unwrap().split_once('\n').unwrap();
    std::fs::write(path("short.csv"), format!("{header}\n{rest}1,2\n")).unwrap();
    let told = bad(&["predict", &model, &one_csv, &path("short.csv")]);
    assert!(told.contains(&format!("{}:5: ", path("short.csv"))) && told.contains("2 found"), "{told}");
    std::fs::write(path("other.csv"), format!("{header}x\n{rest}")).unwrap();
    let told = bad(&["predict", &model, &one_csv, &path("other.csv")]);
    assert!(told.contains("other.csv: its columns are not those of "), "{told}");
    let told = bad(&["predict", &model, &one_csv, &path("1.jsonl")]);
    assert!(told.contains("1.jsonl: its format is another than that of "), "{told}");
    std::fs::write(path("plain.csv.gz"), &bytes).unwrap();
    let told = bad(&["predict", &model, &path("plain.csv.gz")]);
    assert!(told.contains("plain.csv.gz: ") && told.contains("gzip"), "{told}");
    std::fs::write(path("packed.csv"), std::fs::read(path("2.csv.gz")).unwrap()).unwrap();
    let told = bad(&["predict", &model, &path("packed.csv")]);
    assert!(told.contains("it is gzip data, not a text in UTF-8; end its name with `.gz`"), "{told}");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert!(bad(&["predict", &model, &path("empty")]).contains("there are no files"));
    let told = bad(&["predict", &model, &path("no*.csv")]);
    assert!(told.contains("there are no files"), "{told}");
}

#[test]
fn parquet_files_with_the_same_columns_are_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture(MIXED);
    let inputs = inputs(&model);
    write_csv(Path::new(&path("data.csv")), &inputs, &numbered(&inputs, 0..2));
    let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
    // Written by the program itself: texts and numbers as they are in the rows.
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let pipeline = format!(
        "pipeline: p\nsource: {{ file: {{ path: data.csv }} }}\nquery: SELECT {} FROM records\n\
         sinks: {{ out: {{ file: {{ path: in.parquet }} }} }}\ntrigger: available_now\n",
        names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    );
    std::fs::write(path("p.yaml"), pipeline).unwrap();
    good(&["run", &path("p.yaml"), "--workers", "1"]);
    let entries = std::fs::read_dir(path("in.parquet")).unwrap().map(|entry| entry.unwrap().path());
    let file = entries.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "parquet")).unwrap();
    std::fs::copy(&file, path("in/a.parquet")).unwrap();
    std::fs::copy(&file, path("in/b.parquet")).unwrap();
    let once = predicted(&good(&["predict", &model, &path("in/a.parquet")]));
    assert_eq!(once.len(), 2);
    assert_eq!(predicted(&good(&["predict", &model, &path("in")])), [once.clone(), once].concat());
    let told = bad(&["predict", &model, &path("in"), "--encoding", "latin1"]);
    assert!(told.contains("`--encoding` is for texts"), "{told}");
}
