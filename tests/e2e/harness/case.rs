//! A case is a folder: a pipeline, its input, and what must be in each sink afterwards.
//!
//! - `pipeline.yaml` with the places of [`Sandbox`]; every topic that it names is created.
//! - `mariadb.sql`, `postgres.sql`: statements to run before.
//! - `input.jsonl`: `{"key": …, "value": …}`, records for the topic `in_${id}`; `hex` instead of `value` for bytes,
//!   `repeat` to make a value long, `partition` for a place of its own. Without it the input is the example's orders.
//! - `expected/KIND.NAME…`: what is in the table or topic `NAME_${id}` (`mariadb`, `postgres`, `topic`), or in the file
//!   or folder NAME (`hdfs`, `local`). Order does not count. Of JSON Lines only the members count that the first line
//!   has. With `.each` at the end of the file's name every line that holds `{PNO}` stands for one line an order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::json::LineDelimitedWriter;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use super::database::Database;
use super::orders::ORDERS;
use super::sandbox::Sandbox;
use super::{hdfs, kafka, root};

/// Longer values are compared by length.
const LONG: usize = 2000;

/// Runs a case; the pipeline must be `available_now`.
pub(crate) fn check(name: &str) {
    let pipeline = std::fs::read_to_string(folder(name).join("pipeline.yaml")).unwrap();
    check_pipeline(name, &pipeline);
}

/// The same with a pipeline from elsewhere.
pub(crate) fn check_pipeline(name: &str, pipeline: &str) {
    let sandbox = Sandbox::new(name);
    sandbox.pipeline(pipeline);
    sandbox.topics(pipeline);
    for (file, database) in [("mariadb.sql", Database::MariaDb), ("postgres.sql", Database::Postgres)] {
        if let Ok(sql) = std::fs::read_to_string(folder(name).join(file)) {
            database.execute(&sandbox.text(&sql));
        }
    }
    input(name, &sandbox);
    sandbox.run(&["run"]).well();
    let mut compared = 0;
    for entry in std::fs::read_dir(folder(name).join("expected")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let expected = expected(&sandbox.text(&std::fs::read_to_string(&path).unwrap()), file.ends_with(".each"));
        compare(name, &sandbox, file.trim_end_matches(".each"), &expected);
        compared += 1;
    }
    assert!(compared > 0, "case {name} expects something");
}

fn folder(name: &str) -> PathBuf {
    root().join("tests/cases").join(name)
}

fn input(name: &str, sandbox: &Sandbox) {
    let topic = sandbox.name("in");
    let Ok(text) = std::fs::read_to_string(folder(name).join("input.jsonl")) else {
        let record = |order: &super::orders::Order| (None, Some(order.pno.clone()), Some(order.features.clone()));
        return kafka::produce(&topic, ORDERS.iter().map(record));
    };
    kafka::produce(
        &topic,
        text.lines().map(|line| {
            let record: Map<String, Value> = serde_json::from_str(line).unwrap();
            let partition = record.get("partition").map(|number| number.as_i64().unwrap() as i32);
            let key = record.get("key").and_then(Value::as_str).map(str::to_string);
            let value = match (record.get("value").and_then(Value::as_str), record.get("hex").and_then(Value::as_str)) {
                (Some(text), _) => Some(text.as_bytes().to_vec()),
                (None, Some(hex)) => Some(unhex(hex)),
                (None, None) => None,
            };
            let times = record.get("repeat").map_or(1, |times| times.as_u64().unwrap() as usize);
            (partition, key, value.map(|value| value.repeat(times)))
        }),
    );
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The lines that are expected.
fn expected(text: &str, each: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if !each || !line.contains("{PNO}") {
            lines.push(written(line));
            continue;
        }
        lines.extend(ORDERS.iter().map(|order| {
            let line = line.replace("{PNO}", &order.pno).replace("{PRETIME}", &order.minutes);
            written(&line.replace("{XGB}", &order.xgb).replace("{RF}", &order.rf))
        }));
    }
    lines
}

/// A line of JSON as it is written here, too; another line as it is.
fn written(line: &str) -> String {
    if line.starts_with('{') { Value::Object(parse(line)).to_string() } else { line.to_string() }
}

fn compare(case: &str, sandbox: &Sandbox, file: &str, expected: &[String]) {
    let (kind, rest) = file.split_once('.').unwrap();
    let name = rest.split('.').next().unwrap();
    let path = rest.trim_end_matches(".jsonl").to_string();
    let path = if path.contains('.') { path } else { rest.to_string() };
    let members = || first_members(case, file, expected);
    let actual: Vec<String> = match kind {
        "mariadb" | "postgres" => {
            let database = if kind == "mariadb" { Database::MariaDb } else { Database::Postgres };
            let columns = members();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let rows = database.select(&columns, &sandbox.name(name));
            rows.into_iter().map(|row| object(columns.iter().copied().zip(row.into_iter().map(text)))).collect()
        }
        "topic" => {
            let names = members();
            let headers = first_headers(expected);
            let record = |record: kafka::Record| {
                object(names.iter().map(|name| {
                    let value = match name.as_str() {
                        "key" => bytes(record.key.as_deref()),
                        "value" => bytes(record.value.as_deref()),
                        "partition" => record.partition.into(),
                        "headers" => headers.iter().map(|name| (name.clone(), header(&record.headers, name))).collect(),
                        other => panic!("case {case}: a record has no `{other}`"),
                    };
                    (name.as_str(), value)
                }))
            };
            kafka::read(&sandbox.name(name)).into_iter().map(record).collect()
        }
        "hdfs" => lines(hdfs::hdfs(&format!("{}/{path}", sandbox.hdfs())), expected, members),
        "local" => lines(hdfs::local(&sandbox.dir.path().join(&path)), expected, members),
        other => panic!("case {case}: unknown kind `{other}` of expectation"),
    };
    same(&format!("case {case}, {file}"), expected.to_vec(), actual);
}

/// Both have the same lines, each as often; the order does not count.
#[track_caller]
pub(crate) fn same(what: &str, mut expected: Vec<String>, mut actual: Vec<String>) {
    expected.sort();
    actual.sort();
    if expected == actual {
        return;
    }
    let count = |lines: &[String]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        lines.iter().for_each(|line| *counts.entry(line.clone()).or_default() += 1);
        counts
    };
    let (expected_counts, actual_counts) = (count(&expected), count(&actual));
    let more = |a: &BTreeMap<String, i64>, b: &BTreeMap<String, i64>| -> Vec<String> {
        let more = a.iter().filter(|(line, count)| b.get(*line).copied().unwrap_or(0) < **count);
        more.map(|(line, count)| format!("{count} × {line}")).take(5).collect()
    };
    panic!(
        "{what}: {} lines instead of {}\nmissing: {:#?}\ntoo many: {:#?}",
        actual.len(),
        expected.len(),
        more(&expected_counts, &actual_counts),
        more(&actual_counts, &expected_counts)
    );
}

fn parse(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn first_members(case: &str, file: &str, expected: &[String]) -> Vec<String> {
    let first = expected.first().unwrap_or_else(|| panic!("case {case}: {file} has no line"));
    parse(first).keys().cloned().collect()
}

fn first_headers(expected: &[String]) -> Vec<String> {
    let headers = expected.first().and_then(|line| parse(line).get("headers").cloned());
    headers.map(|headers| headers.as_object().unwrap().keys().cloned().collect()).unwrap_or_default()
}

fn header(headers: &BTreeMap<String, String>, name: &str) -> Value {
    headers.get(name).map_or(Value::Null, |value| value.clone().into())
}

fn text(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::from)
}

/// Bytes as a text.
fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes.len(), std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((length, _)) if length > LONG => format!("{length} bytes").into(),
        Some((_, Ok(text))) => text.into(),
        Some((_, Err(_))) => {
            bytes.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
    }
}

fn object<'a>(members: impl Iterator<Item = (&'a str, Value)>) -> String {
    Value::Object(members.map(|(name, value)| (name.to_string(), value)).collect()).to_string()
}

/// The rows of files: of CSV the header counts once, of JSON Lines and Parquet what was asked for.
fn lines(files: Vec<(String, Bytes)>, expected: &[String], members: impl Fn() -> Vec<String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (number, (name, content)) in files.into_iter().enumerate() {
        let text = match name.ends_with(".parquet") {
            true => rows(content),
            false => String::from_utf8(content.to_vec()).unwrap(),
        };
        if name.ends_with(".parquet") || name.ends_with(".jsonl") {
            let names = members();
            let pick = |line: Map<String, Value>| {
                object(names.iter().map(|name| (name.as_str(), line.get(name).cloned().unwrap_or(Value::Null))))
            };
            lines.extend(text.lines().map(|line| pick(parse(line))));
            continue;
        }
        let header = text.lines().next() == expected.first().map(String::as_str) && number > 0;
        lines.extend(text.lines().skip(usize::from(header)).map(str::to_string));
    }
    lines
}

/// A Parquet file as JSON Lines.
pub(crate) fn rows(content: Bytes) -> String {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    String::from_utf8(writer.into_inner()).unwrap()
}
