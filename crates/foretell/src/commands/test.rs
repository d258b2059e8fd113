//! `foretell test`: records in, the rows that are expected of them out, with no service.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::json::ArrayWriter;
use chrono::{DateTime, Utc};
use clap::Args;
use foretell_connect::kind::settings_of;
use foretell_flow::{Header, Records, RecordsBuilder};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pipeline::PipelineArgs;
use crate::pipeline::Pipeline;
use crate::pipeline_file::{plain_words, read_yaml};
use crate::terminal::println;

/// Test a pipeline: records in, the rows that you expect out, with no service
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell test pipeline.yaml
  foretell test pipeline.yaml more-tests.yaml

By default the tests are in the file beside it that ends in .tests.yaml (pipeline.tests.yaml):

  - name: a patient of the ICU
    time: 2026-11-29T10:00:00Z              # what now() is
    records:
      - { key: P1, value: \"64,ICU\" }        # or the value alone
      - { key: P2, value: \"seventy,ICU\" }
    rows:                                   # columns that are not named here are not compared
      - { PNO: P1, minutes: 12.5 }
    bad: [\"decode: \"]                       # how what is said of each bad record begins

The rows are those of the query; `sinks: { NAME: [ROW..] }` are those of a sink's own. The exit code is 1 where a test \
fails.")]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// The tests
    tests: Option<PathBuf>,
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    #[serde(default)]
    time: Option<DateTime<Utc>>,
    records: Vec<Record>,
    rows: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    sinks: Map<String, Value>,
    #[serde(default)]
    bad: Vec<String>,
}

/// A record: its value, or all of it.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a map with `value`")]
enum Record {
    Value(String),
    Whole(WholeRecord),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeRecord {
    #[serde(default)]
    key: Option<String>,
    /// Text as it is; anything else as JSON; a tombstone where it is missing.
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    partition: i32,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    time: Option<DateTime<Utc>>,
    #[serde(default)]
    headers: Map<String, Value>,
}

/// Where the records of a test are said to come from.
const TOPIC: &str = "test";

/// Runs the command.
pub(crate) async fn run(args: TestArgs) -> Result<()> {
    let path = args.tests.clone().unwrap_or_else(|| args.pipeline.pipeline.with_extension("tests.yaml"));
    let tests = tests(&path)?;
    let chosen = |test: &&Test| args.only.as_ref().is_none_or(|only| test.name.contains(only.as_str()));
    let chosen: Vec<&Test> = tests.iter().filter(chosen).collect();
    if tests.is_empty() {
        bail!("{}: there is no test in it (`foretell test --help` shows what to write)", path.display());
    }
    if chosen.is_empty() {
        let only = args.only.as_deref().unwrap_or_default();
        bail!("{}: no test of the {} has `{only}` in its name", path.display(), tests.len());
    }
    let pipeline = args.pipeline.prepare().await?;
    let mut failed = 0;
    for test in &chosen {
        let wrong = differences(&pipeline, test)?;
        println!("{}  {}", if wrong.is_empty() { "ok    " } else { "FAILED" }, test.name);
        wrong.iter().for_each(|line| println!("        {line}"));
        failed += usize::from(!wrong.is_empty());
    }
    if failed > 0 {
        bail!("{}: {failed} of {} tests failed", path.display(), chosen.len());
    }
    Ok(())
}

fn tests(path: &Path) -> Result<Vec<Test>> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("the tests cannot be read: {} (`foretell test --help` shows what to write)", path.display())
    })?;
    let tree = read_yaml(path, &text)?;
    settings_of(tree).map_err(|error| {
        let number = |first: &String| first.parse::<usize>().ok().map(|at| format!("test {}", at + 1));
        let mut place: Vec<String> = error.path.clone();
        if let Some(named) = place.first().and_then(number) {
            place[0] = named;
        }
        let place = if place.is_empty() { String::new() } else { format!(" {}:", place.join(".")) };
        anyhow::anyhow!("{}:{place} {}", path.display(), plain_words(&error.message))
    })
}

/// What is other than expected, in lines.
fn differences(pipeline: &Pipeline, test: &Test) -> Result<Vec<String>> {
    let records = records(&test.records);
    let time = test.time.unwrap_or_default().timestamp_micros();
    let mut stages = pipeline.stages()?;
    let rows = stages.rows(&records, time)?;
    let mut wrong = Vec::new();
    if let Some(expected) = &test.rows {
        let expected: Vec<Value> = expected.iter().cloned().map(Value::Object).collect();
        compare("rows", &expected, &as_json(&rows.result)?, &columns(&rows.result), &mut wrong);
    }
    let sinks = pipeline.sinks();
    for (name, expected) in &test.sinks {
        let Some(at) = sinks.iter().position(|sink| sink.name == name) else {
            let names: Vec<&str> = sinks.iter().map(|sink| sink.name).collect();
            wrong.push(format!("there is no sink `{name}`: there are {}", names.join(", ")));
            continue;
        };
        let expected = expected.as_array().cloned().unwrap_or_default();
        let found = rows.sinks.get(at).map(as_json).transpose()?.unwrap_or_default();
        let names = rows.sinks.get(at).map(columns).unwrap_or_default();
        compare(&format!("sink {name}"), &expected, &found, &names, &mut wrong);
    }
    let bad: Vec<String> = rows.bad.iter().map(|bad| format!("{}: {}", bad.stage, bad.reason)).collect();
    for at in 0..bad.len().max(test.bad.len()) {
        match (test.bad.get(at), bad.get(at)) {
            (Some(expected), Some(found)) if found.starts_with(expected.as_str()) => {}
            (Some(expected), Some(found)) => {
                wrong.push(format!("bad record {}: `{expected}` is expected, and `{found}` is said", at + 1));
            }
            (Some(expected), None) => wrong.push(format!("no record is bad where `{expected}` is expected")),
            (None, found) => wrong.push(format!("a bad record: {}", found.map_or("", String::as_str))),
        }
    }
    Ok(wrong)
}

fn records(records: &[Record]) -> Records {
    let mut builder = RecordsBuilder::new(TOPIC.into());
    for (at, record) in records.iter().enumerate() {
        let next = at as i64;
        match record {
            Record::Value(value) => builder.push(0, next, None, None, Some(value.as_bytes()), Vec::new()),
            Record::Whole(record) => {
                let value = record.value.as_ref().filter(|value| !value.is_null());
                let value = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_string));
                let headers = record.headers.iter().map(|(key, value)| {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                    Header { key: key.clone(), value: Some(value.into_bytes()) }
                });
                builder.push(
                    record.partition,
                    record.offset.unwrap_or(next),
                    record.time.map(|time| time.timestamp_millis()),
                    record.key.as_ref().map(String::as_bytes),
                    value.as_ref().map(String::as_bytes),
                    headers.collect(),
                );
            }
        }
    }
    builder.finish()
}

fn as_json(rows: &RecordBatch) -> Result<Vec<Value>> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(serde_json::from_slice(&writer.into_inner()).unwrap_or_default())
}

/// The names of a result's columns.
fn columns(rows: &RecordBatch) -> Vec<String> {
    rows.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn compare(what: &str, expected: &[Value], found: &[Value], columns: &[String], wrong: &mut Vec<String>) {
    let named = expected.iter().filter_map(Value::as_object).flat_map(|row| row.keys());
    let unknown: BTreeSet<&String> = named.filter(|name| !columns.contains(name)).collect();
    for name in &unknown {
        let near = foretell_suggest::nearest(name, columns.iter().map(String::as_str));
        let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        wrong.push(format!("{what}: the result has no column `{name}`{near}: it has {}", columns.join(", ")));
    }
    if expected.len() != found.len() {
        wrong.push(format!("{what}: {} are expected, and there are {}", expected.len(), found.len()));
    }
    for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
        let mut line = String::new();
        for (column, value) in expected.as_object().into_iter().flatten() {
            // A column that is NULL is left out of the JSON.
            let got = found.get(column).unwrap_or(&Value::Null);
            if !unknown.contains(column) && !same(value, got) {
                let _ = write!(line, "{}{column} is {got} and not {value}", if line.is_empty() { "" } else { ", " });
            }
        }
        if !line.is_empty() {
            wrong.push(format!("{what}, row {}: {line}", at + 1));
        }
    }
    found.iter().skip(expected.len()).for_each(|row| wrong.push(format!("{what}, not expected: {row}")));
}

/// Numbers are compared as such: 12 is 12.0, and digits beyond a float's are not asked for.
fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) if a != b => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => false,
        },
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| same(value, b.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}
