//! One table of files and what they mean or why they are refused.

use std::env::VarError;

use async_trait::async_trait;
use foretell_connect::kind::{Kind, SinkContext, SourceContext, schema_of};
use foretell_connect::secret::{Secret, SecretUrl};
use foretell_decode::DECODERS;
use foretell_flow::{Sharing, Sink, SinkTraits, Source, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::components::TABLES;

/// A source with one setting of each sort.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Queue {
    topic: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    extra: std::collections::BTreeMap<String, String>,
}

/// A sink that is called like the reference `{ file: PATH }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    #[serde(default)]
    url: Option<SecretUrl>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Csv,
    Json,
}

#[async_trait]
impl SourceSettings for Queue {
    fn describe(&self) -> String {
        let secret = self.password.as_ref().map_or("none", |secret| secret.reveal());
        format!("{} {:?} {secret} {:?}", self.topic, self.port, self.extra)
    }

    async fn open(&self, _: &SourceContext, _: bool) -> Result<Box<dyn Source>, StageError> {
        Err(StageError::settings("this source is never opened"))
    }
}

#[async_trait]
impl SinkSettings for File {
    fn traits(&self) -> SinkTraits {
        SinkTraits { keeps_positions: true, sharing: Sharing::Shared, atomic: true, slices: false }
    }

    fn describe(&self) -> String {
        format!("{} {:?} {}", self.path, self.format, self.url.as_ref().map_or("none", |url| url.reveal()))
    }

    async fn open(&self, _: &SinkContext) -> Result<Box<dyn Sink>, StageError> {
        Err(StageError::settings("this sink is never opened"))
    }
}

const KINDS: Registry = Registry {
    sources: &[Kind {
        name: "queue",
        inherits: &[],
        schema: schema_of::<Queue>,
        parse: |value| Ok(Box::new(settings_of::<Queue>(value)?)),
    }],
    decoders: DECODERS,
    sinks: &[Kind {
        name: "file",
        inherits: &[],
        schema: schema_of::<File>,
        parse: |value| Ok(Box::new(settings_of::<File>(value)?)),
    }],
    tables: TABLES,
};

const GOOD: &str = "\
pipeline: mri
source:
  queue: { topic: { env: TOPIC }, port: { env: PORT }, password: { env: PASSWORD }, extra: { env: x, file: y } }
decode:
  csv: { columns: [ITEM_n: int64, AGE: int64?] }
models:
  mri: { file: models/mri.joblib, categories: { DEPT: [b, a] }, iterations: [0, 100] }
  other: { file: other.pickle }
query: |
  SELECT mri(*) AS minutes
  FROM records
sinks:
  z: { file: { path: out.csv, url: { env: URL } }, query: \"SELECT 1 FROM rows\" }
  a:
    file:
      path: { env: TOPIC }
dead_letters: { file: { path: bad } }
on_bad_record: stop
trigger: { every: 3s, max_rows: 10 }
timezone: Asia/Shanghai
window: 1MiB
progress: 1m
";

fn env(name: &str) -> Result<String, VarError> {
    match name {
        "TOPIC" => Ok("Pdata".to_string()),
        "PORT" => Ok("9092".to_string()),
        "PASSWORD" => Ok("hunter2hunter2".to_string()),
        "URL" => Ok("mysql://u:hunter2hunter2@h/db".to_string()),
        _ => Err(VarError::NotPresent),
    }
}

fn parse(text: &str) -> Result<PipelineFile, FileErrors> {
    PipelineFile::parse(Path::new("dir/pipeline.yaml"), text, &[], KINDS, &env)
}

#[test]
fn a_whole_file() {
    let file = parse(GOOD).map_err(|error| error.to_string()).unwrap();
    assert_eq!((file.name.as_str(), file.base.as_path()), ("mri", Path::new("dir")));
    assert_eq!(file.source.kind, "queue");
    let source = "Pdata Some(9092) hunter2hunter2 {\"env\": \"x\", \"file\": \"y\"}";
    assert_eq!(file.source.settings.describe(), source);
    assert_eq!((file.decode.as_ref().unwrap().settings["columns"].as_array().unwrap().len(), file.infer), (2, false));
    let models: Vec<_> = file.models.iter().map(|m| (m.name.as_str(), m.files[0].as_path())).collect();
    assert_eq!(models, [("mri", Path::new("dir/models/mri.joblib")), ("other", Path::new("dir/other.pickle"))]);
    assert_eq!(file.models[0].settings.iterations.unwrap().range(), (0, 100));
    assert_eq!(file.query.value, "SELECT mri(*) AS minutes\nFROM records\n");
    assert_eq!(file.query.line, 10, "the text begins behind the `|`");
    let sinks: Vec<_> = file.sinks.iter().map(|s| (s.name.as_str(), s.component.settings.describe())).collect();
    let url = "out.csv Csv mysql://u:hunter2hunter2@h/db".to_string();
    assert_eq!(sinks, [("z", url), ("a", "Pdata Csv none".to_string())], "the order is the file's");
    assert_eq!(file.sinks[0].query.as_ref().unwrap().value, "SELECT 1 FROM rows");
    assert_eq!(file.dead_letters.as_ref().unwrap().settings.describe(), "bad Csv none");
    assert_eq!(file.on_bad_record, OnBadRecord::Stop);
    let trigger =
        Trigger { mode: TriggerMode::Every(Duration::from_secs(3)), max_rows: Some(10), ..Trigger::default() };
    assert_eq!(file.trigger, trigger);
    assert_eq!((file.window, file.progress), (1 << 20, Duration::from_secs(60)));
    assert_eq!(file.state, ".foretell");
    let error = file.error(&["sinks", "a", "file", "path"], "no such folder", "make it");
    assert_eq!(error.to_string(), "dir/pipeline.yaml:16: sinks.a.file.path: no such folder; make it");
}

#[test]
fn defaults() {
    let text = "pipeline: p\nsource: { queue: { topic: t } }\ndecode: { json: { columns: [a: utf8] } }\n\
        sinks: { out: { file: { path: x } } }\n";
    let file = parse(text).map_err(|error| error.to_string()).unwrap();
    assert_eq!(file.query.value, "SELECT * FROM records");
    assert_eq!(file.trigger, Trigger::default());
    assert_eq!(file.on_bad_record, OnBadRecord::Continue);
    assert!(file.dead_letters.is_none() && file.models.is_empty() && file.timezone.is_none());
    assert_eq!((file.window, file.progress), (64 << 20, Duration::from_secs(10)));
}

/// Each case: what is replaced in the good file, by what, and the error that follows.
const BAD: &[(&str, &str, &str)] = &[
    (
        "pipeline: mri",
        "pipelin: mri",
        "1: unknown key `pipelin`; did you mean `pipeline`? (known here: `dead_letters`, ",
    ),
    ("pipeline: mri\n", "", ": `pipeline` is missing; write `pipeline: NAME`"),
    ("pipeline: mri", "pipeline: a b", "1: pipeline: not a name; 1 to 100 letters, digits"),
    ("pipeline: mri", "pipeline: 5", "1: pipeline: wrong type: integer `5`, expected a string; put it in quotes"),
    ("pipeline: mri", "pipeline: mri\npipeline: x", "2: `pipeline` is there twice in one map, first on line 1"),
    ("queue:", "queu:", "3: source: unknown key `queu`; did you mean `queue`? (known here: `queue`)"),
    ("topic: { env: TOPIC }, ", "", "3: source.queue: missing key `topic`"),
    (
        "topic: { env: TOPIC }",
        "topik: x",
        "3: source.queue: unknown key `topik`; did you mean `topic`? (known here: \
        `extra`, `password`, `port`, `topic`)",
    ),
    (
        "topic: { env: TOPIC }",
        "topic: { env: NOPE }",
        "3: source.queue.topic: the environment variable `NOPE` is not \
        set; set it before foretell starts: `export NOPE=…`",
    ),
    (
        "topic: { env: TOPIC }",
        "topic: { env: A, file: B }",
        "3: source.queue.topic: a reference is `{ env: NAME }` or \
        `{ file: PATH }`, and nothing else beside it",
    ),
    (
        "topic: { env: TOPIC }",
        "topic: { file: none.txt }",
        "3: source.queue.topic: the file `dir/none.txt` does not \
        exist; the path is relative to the pipeline file",
    ),
    (
        "port: { env: PORT }",
        "port: { env: PASSWORD }",
        "3: source.queue.port: the value of `{ env: PASSWORD }` does \
        not fit: expected u16",
    ),
    ("port: { env: PORT }", "port: 99999", "3: source.queue.port: invalid value: integer `99999`, expected u16"),
    (
        "password: { env: PASSWORD }",
        "password: hunter2",
        "3: source.queue.password: a secret stands in the pipeline \
        file; write `{ env: NAME }` or `{ file: PATH }`, so that the file can be shared",
    ),
    (
        "url: { env: URL }",
        "url: \"mysql://u:pw@h/db\"",
        "13: sinks.z.file.url: the URL holds a password, and stands \
        in the pipeline file; write",
    ),
    ("[ITEM_n: int64, AGE: int64?]", "{ ITEM_n: int64 }", "5: decode.csv.columns: a list is needed, since the order"),
    ("AGE: int64?", "AGE: number", "5: decode.csv.columns.1: column `AGE`: unknown type; known are `int8`"),
    ("mri: {", "1mri: {", "7: models.1mri: not a name for a model"),
    ("[0, 100]", "[5, 5]", "7: models.mri.iterations: no iteration is in this range"),
    ("[0, 100]", "many", "7: models.mri.iterations: expected a number of iterations, or `[from, to]`"),
    ("iterations: [0, 100]", "sha256: abc", "7: models.mri.sha256: not a SHA-256; 64 hexadecimal digits"),
    ("file: other.pickle", "fil: other.pickle", "8: models.other: unknown key `fil`; did you mean `file`?"),
    (
        "{ file: other.pickle }",
        "other.pickle",
        "8: models.other: wrong type: string \"other.pickle\", expected a map \
        of settings",
    ),
    (
        "      path: { env: TOPIC }",
        "      path: { env: TOPIC }\n      format: xml",
        "17: sinks.a.file.format: unknown \
        value `xml`, expected `csv` or `json`",
    ),
    (
        "      path: { env: TOPIC }",
        "      path: a\n      format: { env: PASSWORD }",
        "17: sinks.a.file.format: the \
        value of `{ env: PASSWORD }` does not fit: expected `csv` or `json`",
    ),
    ("file: { path: bad }", "file: { path: bad }, query: x", "17: dead_letters: unknown key `query`"),
    (
        "dead_letters: { file: { path: bad } }",
        "dead_letters: {}",
        "17: dead_letters: no kind of sink is named; known: \
        `file`",
    ),
    (
        "dead_letters: { file: { path: bad } }",
        "dead_letters: { file: bad.txt }",
        "17: dead_letters.file: wrong type: \
        string \"bad.txt\", expected a map of settings",
    ),
    (
        "on_bad_record: stop",
        "on_bad_record: halt",
        "18: on_bad_record: invalid value: string \"halt\", expected \
        `continue`, `stop` or `{ stop_above: 5% }`",
    ),
    ("on_bad_record: stop", "on_bad_record: { stop_above: 5 }", "18: on_bad_record.stop_above: "),
    (
        "on_bad_record: stop",
        "on_bad_record: { stop_above: 100% }",
        "18: on_bad_record.stop_above: not a share, expected percent from `0%` to below `100%`, such as `5%`",
    ),
    (
        "{ every: 3s, max_rows: 10 }",
        "often",
        "19: trigger: invalid value: string \"often\", expected `continuous`, \
        `available_now` or `{ every: 3s }`",
    ),
    ("max_rows: 10", "max_rows: 0", "19: trigger: a batch must be allowed at least one row and one byte"),
    ("max_rows: 10", "max_bytes: 2GiB", "19: trigger: `max_bytes` is at most 1 GiB"),
    ("every: 3s", "every: 3", "19: trigger.every: wrong type: integer `3`, expected a duration such as `3s`"),
    ("every: 3s", "evry: 3s", "19: trigger: unknown key `evry`; did you mean `every`?"),
    ("Asia/Shanghai", "Asia/Shanghia", "20: timezone: not a known time zone; did you mean `Asia/Shanghai`?"),
    ("window: 1MiB", "window: big", "21: window: invalid value: string \"big\", expected a size such as `1MiB`"),
    ("pipeline: mri", "pipeline: [", " not YAML: "),
];

#[test]
fn every_error_names_its_line_its_place_and_a_remedy() {
    for (good, bad, expected) in BAD {
        assert!(GOOD.contains(good), "{good}");
        let error =
            parse(&GOOD.replacen(good, bad, 1)).err().unwrap_or_else(|| panic!("{bad} is accepted")).to_string();
        let starts = format!("dir/pipeline.yaml:{expected}");
        assert!(error.starts_with(&starts) || error.contains(expected), "{bad}:\n {error}\nnot\n {starts}");
        assert!(!error.contains("hunter2hunter2"), "a secret in: {error}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = GOOD
        .replace("topic: { env: TOPIC }, ", "")
        .replace("AGE: int64?", "AGE: number")
        .replace("1MiB", "big")
        .replace("on_bad_record: stop", "on_bad_recrd: stop")
        .replace("url: { env: URL }", "url: { env: NOPE }");
    let errors = parse(&text).err().unwrap();
    let places: Vec<_> = errors.0.iter().map(|error| (error.line.unwrap(), error.path.as_str())).collect();
    let expected =
        [(3, "source.queue"), (5, "decode.csv.columns.1"), (13, "sinks.z.file.url"), (18, ""), (21, "window")];
    assert_eq!(places, expected, "{errors}");
    assert_eq!(errors.to_string().lines().count(), 5);
}

#[test]
fn variables_are_filled_in_within_a_value_and_secrets_are_not() {
    let topic = |value: &str| {
        let text = GOOD.replacen("topic: { env: TOPIC }", &format!("topic: \"{value}\""), 1);
        parse(&text).map(|file| file.source.settings.describe()).map_err(|error| error.to_string())
    };
    assert!(topic("a-${TOPIC}-${TOPIC}.b").unwrap().starts_with("a-Pdata-Pdata.b "));
    assert!(topic("${NOPE:-orders}").unwrap().starts_with("orders "));
    assert!(topic("$${TOPIC} $5 {x}").unwrap().starts_with("${TOPIC} $5 {x} "));
    for (value, told) in [
        ("${NOPE}", "3: source.queue.topic: the environment variable `NOPE` is not set"),
        ("${TOPIC", "3: source.queue.topic: `${` without its `}`"),
        ("${a b}", "3: source.queue.topic: `${…}` holds no name"),
    ] {
        let error = topic(value).unwrap_err();
        assert!(error.contains(told), "{value}: {error}");
    }
    let port = parse(&GOOD.replacen("port: { env: PORT }", "port: \"${PORT}\"", 1)).map_err(|e| e.to_string()).unwrap();
    assert!(port.source.settings.describe().contains("Some(9092)"), "where a number fits it is one");
    for (good, bad, told) in [
        ("password: { env: PASSWORD }", "password: \"${PASSWORD}\"", "a secret is not filled in within a text"),
        ("url: { env: URL }", "url: \"${URL}\"", "the URL holds a password"),
        ("url: { env: URL }", "url: \"mysql://u:${PASSWORD}@h/db\"", "the URL holds a password"),
    ] {
        let error = parse(&GOOD.replacen(good, bad, 1)).err().unwrap().to_string();
        assert!(error.contains(told) && !error.contains("hunter2"), "{bad}: {error}");
    }
}

#[test]
fn settings_of_the_command_line_stand_in_the_place_of_the_files() {
    let set = |text: &str| text.parse::<Setting>().unwrap();
    let parse = |settings: &[Setting]| {
        PipelineFile::parse(Path::new("dir/pipeline.yaml"), GOOD, settings, KINDS, &env).map_err(|e| e.to_string())
    };
    let file = parse(&[set("source.queue.topic=other"), set("window=2MiB"), set("sinks.a.new=true")]).unwrap();
    assert!(file.source.settings.describe().starts_with("other "));
    assert_eq!((file.window, file.sinks[1].new), (2 << 20, true));
    let error = parse(&[set("source.queue.password=hunter2hunter2")]).err().unwrap();
    assert!(error.contains("3: source.queue.password: a secret stands in the pipeline file"), "{error}");
    assert_eq!(parse(&[set("pipeline.x=1")]).err().unwrap(), "--set: `pipeline` is a value, and has no keys");
}

#[test]
fn a_place_in_a_query_is_one_in_the_file() {
    let file = parse(GOOD).map_err(|error| error.to_string()).unwrap();
    assert_eq!(file.place(&file.query, (2, 6)), Some((11, 8)), "behind the block's indentation");
    let own = file.sinks[0].query.as_ref().unwrap();
    assert_eq!(file.place(own, (1, 8)), Some((13, GOOD.lines().nth(12).unwrap().find("1 FROM rows").unwrap() + 1)));
    assert_eq!(file.place(&file.query, (9, 1)), None);
}

#[test]
fn sinks_are_needed() {
    let (before, rest) = GOOD.split_once("sinks:\n").unwrap();
    let (_, after) = rest.split_once("dead_letters").unwrap();
    let error = |sinks: &str| parse(&format!("{before}{sinks}dead_letters{after}")).err().unwrap().to_string();
    assert!(error("").contains("`sinks` is missing; where should the rows land?"));
    assert!(error("sinks: {}\n").contains("sinks: at least one sink is needed"));
    assert!(
        error("sinks: [a]\n")
            .contains("sinks: a map is needed here, and not a list; write `NAME: …` without a `-` before it")
    );
    assert!(error("sinks: { a: {} }\n").contains("sinks.a: no kind of sink is named; known: `file`"));
}

#[test]
fn a_file_by_reference_loses_one_line_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("topic"), "orders\r\n\n").unwrap();
    let text = GOOD.replacen("topic: { env: TOPIC }", "topic: { file: topic }", 1);
    let path = folder.path().join("pipeline.yaml");
    let file = PipelineFile::parse(&path, &text, &[], KINDS, &env).map_err(|error| error.to_string()).unwrap();
    assert!(file.source.settings.describe().starts_with("orders\r\n "));
}

// ---------------------------------------------------------------- the schema for editors

/// Enough of JSON Schema for the keywords that the schema uses.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let all = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(&name[1..]).unwrap_or_else(|| panic!("{name} leads nowhere"));
        if !fits(root, target, value) {
            return false;
        }
    }
    for key in ["anyOf", "oneOf"] {
        if schema.get(key).is_some() && !all(key).any(|schema| fits(root, schema, value)) {
            return false;
        }
    }
    if schema.get("enum").is_some() && !all("enum").any(|allowed| allowed == value) {
        return false;
    }
    if schema.get("const").is_some_and(|allowed| allowed != value) {
        return false;
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let pattern = regex::Regex::new(pattern).unwrap();
        if !value.as_str().is_some_and(|text| pattern.is_match(text)) {
            return false;
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) if !is(name) => return false,
        Some(Value::Array(names)) if !names.iter().any(|name| is(name.as_str().unwrap())) => return false,
        _ => {}
    }
    if let Some(list) = value.as_array() {
        return schema.get("items").is_none_or(|items| list.iter().all(|value| fits(root, items, value)));
    }
    let Some(members) = value.as_object() else { return true };
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    bound("minProperties").is_none_or(|least| members.len() as u64 >= least)
        && bound("maxProperties").is_none_or(|most| members.len() as u64 <= most)
        && all("required").all(|key| members.contains_key(key.as_str().unwrap()))
        && members.iter().all(|(key, value)| match schema.get("properties").and_then(|p| p.get(key)) {
            Some(schema) => fits(root, schema, value),
            None => match schema.get("additionalProperties") {
                Some(Value::Bool(allowed)) => *allowed,
                Some(schema) => fits(root, schema, value),
                None => true,
            },
        })
}

#[test]
fn the_editor_schema_takes_what_the_reader_takes() {
    let schema = editor_schema(KINDS);
    let good = Node::parse(GOOD).unwrap().to_json();
    assert!(fits(&schema, &schema, &good), "{schema:#}");
    for known in ["decimal(10,2)?", "BIGINT", "struct<x: float64, tags: list<utf8?>>?"] {
        let text = GOOD.replacen("AGE: int64?", &format!("AGE: \"{known}\""), 1);
        assert!(fits(&schema, &schema, &Node::parse(&text).unwrap().to_json()), "{known}");
    }
    // What shows in an editor at once: misspelt keys, secrets, wrong types, missing keys.
    for (good, bad) in [
        ("pipeline: mri", "pipelin: mri"),
        ("password: { env: PASSWORD }", "password: hunter2"),
        ("topic: { env: TOPIC }", "topik: x"),
        ("topic: { env: TOPIC }", "topic: { env: A, file: B }"),
        ("port: { env: PORT }", "port: [1]"),
        ("on_bad_record: stop", "on_bad_record: halt"),
        ("AGE: int64?", "AGE: number"),
        ("AGE: int64?", "AGE: \"struct(x int64)\""),
        ("[ITEM_n: int64, AGE: int64?]", "{ ITEM_n: int64 }"),
        ("dead_letters: { file: { path: bad } }", "dead_letters: {}"),
    ] {
        let value = Node::parse(&GOOD.replacen(good, bad, 1)).unwrap().to_json();
        assert!(!fits(&schema, &schema, &value), "{bad}");
    }
}

#[test]
fn the_schema_of_all_kinds_is_closed_and_described() {
    let schema = editor_schema(REGISTRY);
    for kind in REGISTRY.decoders {
        assert!(schema["properties"]["decode"]["properties"].get(kind.name).is_some(), "{}", kind.name);
    }
    let mut open = vec![(String::new(), &schema)];
    while let Some((path, schema)) = open.pop() {
        match schema {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(editor_schema(REGISTRY).pointer(pointer).is_some(), "{path}: {reference}");
                }
                if let Some(Value::Object(properties)) = members.get("properties") {
                    for (name, property) in properties {
                        let reference = property.get("$ref").is_some();
                        assert!(property.get("description").is_some() || reference, "{path}: `{name}` has no words");
                    }
                    assert_eq!(members.get("additionalProperties"), Some(&json!(false)), "{path} is open");
                }
                open.extend(members.iter().map(|(key, value)| (format!("{path}/{key}"), value)));
            }
            Value::Array(list) => {
                open.extend(list.iter().enumerate().map(|(n, value)| (format!("{path}/{n}"), value)));
            }
            _ => {}
        }
    }
}

#[test]
fn a_kafka_sink_reaches_the_sources_cluster_unless_it_names_its_own() {
    let of = |sink: &str| {
        let text = format!(
            "pipeline: p\nsource: {{ kafka: {{ brokers: \"here:9092\", topic: in, security: {{ tls: {{}} }} }} }}\n\
             decode: {{ csv: {{ columns: [a: int64] }} }}\nsinks: {{ out: {{ kafka: {sink} }} }}\n"
        );
        let file = PipelineFile::parse(Path::new("p.yaml"), &text, &[], REGISTRY, &env);
        file.map_err(|error| error.to_string()).unwrap().sinks[0].component.settings.describe()
    };
    assert_eq!(of("{ topic: out }"), "topic out at here:9092");
    assert_eq!(of("{ topic: out, brokers: \"there:9092\" }"), "topic out at there:9092");
}

#[test]
fn the_files_that_we_show_are_read_and_fit_the_editor_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("src/commands/demo/pipeline.yaml")];
    for example in std::fs::read_dir(root.join("../../examples")).unwrap() {
        let files = std::fs::read_dir(example.unwrap().path()).unwrap().map(|file| file.unwrap().path());
        paths.extend(files.filter(|path| path.extension().is_some_and(|end| end == "yaml")));
    }
    assert!(paths.len() > 1, "examples are found");
    let schema = editor_schema(REGISTRY);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let value = Node::parse(&text).unwrap().to_json();
        assert!(fits(&schema, &schema, &value), "{}", path.display());
        let env = |_: &str| Ok("mysql://reader:secret@localhost/db".to_string());
        let read = PipelineFile::parse(&path, &text, &[], REGISTRY, &env);
        assert!(read.is_ok(), "{}", read.err().unwrap());
    }
}
