//! Avro in the wire format of a schema registry, in and out, and records of several topics side by side.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::sandbox::Sandbox;
use crate::harness::{hdfs, kafka, service};

/// Registers a schema; its number.
fn register(subject: &str, schema: &str) -> u32 {
    let url = service("FORETELL_REGISTRY");
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = json!({ "schema": schema }).to_string();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /{path}/subjects/{subject}/versions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let id = answer.rsplit_once("\"id\":").unwrap_or_else(|| panic!("{answer}")).1;
    id.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

fn framed(id: u32, hex: &str) -> Option<Vec<u8>> {
    let body = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    Some([0].into_iter().chain(id.to_be_bytes()).chain(body).collect())
}

/// The rows of a local file of JSON Lines, sorted.
fn rows(sandbox: &Sandbox, file: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    for (_, content) in hdfs::local(&sandbox.dir.path().join(file)) {
        rows.extend(std::str::from_utf8(&content).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    rows.sort_by_key(Value::to_string);
    rows
}

const V1: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"amt","type":"double"}]}"#;
const V2: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"amount","aliases":["amt"],"type":"double"},{"name":"note","type":["null","string"],"default":null},{"name":"kind","type":"string","default":"plain"}]}"#;
const V3: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"amount","type":"double"}]}"#;

#[test]
fn avro_is_followed_through_its_schemas_and_written_again() {
    let text = "
pipeline: ${id}
source:
  kafka: { brokers: \"${kafka}\", topic: in_${id}, registry: { url: { env: FORETELL_REGISTRY } } }
decode: { avro: { tombstones: delete } }
query: SELECT _key AS k, id, amount * 2 AS twice, note, kind, _deleted FROM records
sinks:
  file: { file: { path: out.jsonl } }
  avro: { kafka: { topic: out_${id}, key: k, delete: _deleted, format: avro } } # the registry is the source's
  js: { kafka: { topic: js_${id}, columns: [id, twice], format: json_schema, record: Twice, subject_strategy: topic_record } }
dead_letters: { file: { path: bad.jsonl, columns: [reason, offset] } }
trigger: available_now
";
    let sandbox = Sandbox::new("avro");
    sandbox.pipeline(text);
    sandbox.topics(text);
    let input = sandbox.name("in");
    let subject = format!("{input}-value");
    let bytes = |key: &'static str, value: Option<Vec<u8>>| (Some(0), Some(key), value);
    let before = sandbox.run(&["check"]);
    assert!(before.err.contains(&format!("has no subject `{subject}`")), "{}", before.err);
    let one = register(&subject, V1);
    let three = register(&format!("{subject}-else"), V3);
    let two = register(&subject, V2);
    kafka::produce(
        &input,
        [
            bytes("a", framed(one, "0e000000000000f83f")),
            bytes("b", framed(two, "80808080804000000000000002c002026e026b")),
            bytes("c", framed(three, "0278000000000000f03f")),
            bytes("a", None),
        ],
    );
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let row = |key: &str, id: Value, twice: Value, note: Value, kind: Value, deleted: bool| json!({ "k": key, "id": id, "twice": twice, "note": note, "kind": kind, "_deleted": deleted });
    let mut expected = vec![
        row("a", json!(7), json!(3.0), Value::Null, json!("plain"), false),
        row("a", Value::Null, Value::Null, Value::Null, Value::Null, true),
        row("b", json!(1_099_511_627_776_i64), json!(-4.5), json!("n"), json!("k"), false),
    ];
    expected.sort_by_key(Value::to_string);
    assert_eq!(rows(&sandbox, "out.jsonl"), expected);
    let bad = rows(&sandbox, "bad.jsonl");
    assert_eq!(bad.len(), 1);
    let reason = bad[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("schema {three}: ")) && bad[0]["offset"] == 2, "{bad:?}");

    // What was written is Avro that another pipeline reads, with the deletion as a tombstone.
    let again = "
pipeline: again_${id}
source:
  kafka: { brokers: \"${kafka}\", topic: out_${id}, registry: { url: { env: FORETELL_REGISTRY } } }
decode: { avro: { tombstones: skip } }
query: SELECT _key, id, twice FROM records
sinks: { file: { file: { path: again.jsonl } } }
trigger: available_now
";
    sandbox.pipeline(again);
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let expected = [
        json!({ "_key": "a", "id": 7, "twice": 3.0 }),
        json!({ "_key": "b", "id": 1_099_511_627_776_i64, "twice": -4.5 }),
    ];
    assert_eq!(rows(&sandbox, "again.jsonl"), expected);

    let objects = "
pipeline: objects_${id}
source:
  kafka:
    brokers: \"${kafka}\"
    topic: js_${id}
    subject: js_${id}-Twice
    registry: { url: { env: FORETELL_REGISTRY } }
decode: { json: {} }
query: SELECT id, twice FROM records WHERE id IS NOT NULL
sinks: { file: { file: { path: objects.jsonl } } }
trigger: available_now
";
    sandbox.pipeline(objects);
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let objects = rows(&sandbox, "objects.jsonl");
    for expected in [json!({ "id": 7, "twice": 3.0 }), json!({ "id": 1_099_511_627_776_i64, "twice": -4.5 })] {
        assert!(objects.contains(&expected), "{objects:?}");
    }
}

#[test]
fn keys_of_the_registry_are_read_and_protobuf_is_written() {
    let text = "
pipeline: ${id}
source:
  kafka: { brokers: \"${kafka}\", topic: in_${id}, registry: { url: { env: FORETELL_REGISTRY } } }
decode:
  json:
    key: { registry: \"STRUCT<id BIGINT, zone VARCHAR?>\" }
    columns:
      - at: timestamp
      - place: \"struct<city: utf8?, parts: list<float64>>?\"
query: SELECT _key['id'] AS id, _key['zone'] AS zone, at, place, place['parts'] AS parts FROM records
sinks:
  file: { file: { path: out.jsonl } }
  proto: { kafka: { topic: out_${id}, columns: [id, zone, at, place], format: protobuf, record: shop.Reading } }
dead_letters: { file: { path: bad.jsonl, columns: [reason, offset] } }
trigger: available_now
";
    let sandbox = Sandbox::new("keys");
    sandbox.pipeline(text);
    sandbox.topics(text);
    let input = sandbox.name("in");
    let key = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"long"},{"name":"zone","type":["null","string"]}]}"#;
    let number = register(&format!("{input}-key"), key);
    let at = |place: &str| Some(format!(r#"{{"at": "2024-02-29T12:00:00Z", "place": {place}}}"#).into_bytes());
    // The helper's keys are texts: all of these bytes are.
    let framed = |hex: &str| String::from_utf8(framed(number, hex).unwrap()).unwrap();
    let (first, second) = (framed("0e020261"), framed("1000"));
    kafka::produce(
        &input,
        [
            (Some(0), Some(first.as_str()), at(r#"{"city": "Köln", "parts": [1.5, -2]}"#)),
            (Some(0), Some(second.as_str()), at(r#"{"parts": []}"#)),
            (Some(0), Some("7"), at("null")),
            (Some(0), Some(first.as_str()), at(r#"{"parts": [1, "x"]}"#)),
        ],
    );
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let time = "2024-02-29T12:00:00Z";
    let row = |id: i64, zone: Value, place: Value, parts: Value| json!({ "id": id, "zone": zone, "at": time, "place": place, "parts": parts });
    let (whole, empty) = (json!({ "city": "Köln", "parts": [1.5, -2.0] }), json!({ "city": null, "parts": [] }));
    let expected = [row(7, json!("a"), whole.clone(), json!([1.5, -2.0])), row(8, Value::Null, empty, json!([]))];
    assert_eq!(rows(&sandbox, "out.jsonl"), expected);
    let bad = rows(&sandbox, "bad.jsonl");
    let reasons: Vec<&str> = bad.iter().filter_map(|letter| letter["reason"].as_str()).collect();
    assert_eq!(reasons.len(), 2, "{bad:?}");
    assert!(reasons.iter().any(|reason| reason.contains("the key: no schema registry framing")), "{reasons:?}");
    let part = "field place: at `parts[1]`: a text where a float64 is expected";
    assert!(reasons.contains(&part), "{reasons:?}");

    // What was written is Protobuf that another pipeline reads by its schema.
    sandbox.pipeline(
        "
pipeline: again_${id}
source:
  kafka: { brokers: \"${kafka}\", topic: out_${id}, registry: { url: { env: FORETELL_REGISTRY } } }
decode: { protobuf: { columns: [id: int64, zone: \"utf8?\", at: timestamp, place: \"struct<city: utf8?, parts: list<float64>>?\"] } }
query: SELECT id, zone, at, place FROM records
sinks: { file: { file: { path: again.jsonl } } }
trigger: available_now
",
    );
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let again = rows(&sandbox, "again.jsonl");
    assert_eq!(again[0], json!({ "id": 7, "zone": "a", "at": time, "place": whole }));
    assert_eq!((again.len(), &again[1]["zone"], &again[1]["place"]["parts"]), (2, &Value::Null, &json!([])));
}

#[test]
fn several_topics_land_once_each_with_its_own_name() {
    let text = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topics: [in_${id}, too_${id}] } }
decode: { json: { columns: [n: int64] } }
query: SELECT _topic, _partition, n FROM records
sinks:
  db: { sql: { url: \"sqlite://rows.db\", table: result, create: true } }
  file: { file: { path: out.jsonl } }
  out: { kafka: { topic: out_${id} } }
dead_letters: { file: { path: bad.jsonl, columns: [topic, partition, offset] } }
trigger: available_now
";
    let sandbox = Sandbox::new("several");
    sandbox.pipeline(text);
    for topic in ["in", "too", "out"] {
        kafka::create(&sandbox.name(topic), 2);
    }
    let mut expected = Vec::new();
    for round in 0..2 {
        for (topic, base) in [("in", 0), ("too", 1000)] {
            let numbers = || (0..50).map(move |n| base + round * 50 + n);
            let values = numbers().map(|n| (Some(n % 2), None::<&str>, Some(format!("{{\"n\": {n}}}").into_bytes())));
            let bad = (Some(1), None, Some(b"{".to_vec()));
            kafka::produce(&sandbox.name(topic), values.chain((round == 1).then_some(bad)));
            let name = sandbox.name(topic);
            expected.extend(numbers().map(|n| json!({ "_topic": name, "_partition": n % 2, "n": n })));
        }
        // The second run goes on where the first ended, in every partition of both.
        let ended = sandbox.run(&["run"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
    expected.sort_by_key(Value::to_string);
    assert_eq!(rows(&sandbox, "out.jsonl"), expected);
    let mut landed: Vec<Value> =
        kafka::read(&sandbox.name("out")).iter().map(|record| serde_json::from_str(&record.value()).unwrap()).collect();
    landed.sort_by_key(Value::to_string);
    assert_eq!(landed, expected);
    let bad = rows(&sandbox, "bad.jsonl");
    let letter = |topic: &str| json!({ "topic": sandbox.name(topic), "partition": 1, "offset": 50 });
    assert_eq!(bad, [letter("in"), letter("too")]);
    let shown = sandbox.run(&["positions", "show"]);
    assert!(shown.out.contains(&sandbox.name("too")) && shown.out.contains(&sandbox.name("in")), "{}", shown.out);
}
