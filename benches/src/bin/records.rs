//! What `quick` counts instructions of: `records CASE TIMES` decodes or writes the same made-up records this many times;
//! without arguments it lists the cases.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use foretell_connect::kind::SinkContext;
use foretell_connect::schemas::{Language, Schema, Schemas};
use foretell_decode::DECODERS;
use foretell_flow::{Claim, Partition, Plan, Range, Records, RecordsBuilder, SinkInput, StageError, Topics, Write};
use serde_json::{Value, json};

const ROWS: usize = 8192;

/// `ids`: seven short numbers, as tables of encoded ids have them. `mixed`: a text, a fraction, a long number, a gap. `nested` is JSON
/// in which the last two stand in an object of their own; Debezium's change events are JSON without a schema.
const CASES: &[&str] = &[
    "decode-csv-ids",
    "decode-csv-mixed",
    "decode-json-ids",
    "decode-json-mixed",
    "decode-nested-mixed",
    "decode-debezium-mixed",
    "decode-avro-mixed",
    "decode-protobuf-mixed",
    "encode-csv-ids",
    "encode-csv-mixed",
    "encode-jsonl-mixed",
];

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(case), Some(times)) = (args.next(), args.next()) else {
        CASES.iter().for_each(|case| println!("{case}"));
        return;
    };
    let times: usize = times.parse().expect("how many times");
    let mut parts = case.split('-');
    let (Some(act), Some(format), Some(rows)) = (parts.next(), parts.next(), parts.next()) else { panic!("a case") };
    match act {
        "decode" => decode(format, rows == "ids", times),
        _ => encode(format, rows == "ids", times),
    }
}

/// Numbers that look random.
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 7u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    })
}

fn records(format: &str, ids: bool) -> Records {
    let mut numbers = numbers();
    let mut builder = RecordsBuilder::new("orders".into());
    for offset in 0..ROWS as i64 {
        let mut number = |below: u64| numbers.next().unwrap_or_default() % below;
        let values: Vec<String> = match ids {
            true => (0..7).map(|_| number(1000).to_string()).collect(),
            false => {
                let gap = if number(10) == 0 { String::new() } else { number(100).to_string() };
                let fraction = format!("{}.{}", number(1000), number(10_000));
                vec![format!("patient {}", number(9999)), fraction, (number(1 << 30) << 12).to_string(), gap]
            }
        };
        let value = match format {
            "csv" => values.join(",").into_bytes(),
            "avro" => avro(&values),
            "protobuf" => protobuf(&values),
            "nested" => {
                format!("{},\"c\":{}}}", object(&values, 0..2, ids).trim_end_matches('}'), object(&values, 2..4, ids))
                    .into_bytes()
            }
            "debezium" => debezium(&object(&values, 0..4, ids), offset).into_bytes(),
            _ => object(&values, 0..values.len(), ids).into_bytes(),
        };
        builder.push(0, offset, None, None, Some(&value), Vec::new());
    }
    builder.finish()
}

fn object(values: &[String], columns: std::ops::Range<usize>, ids: bool) -> String {
    let first = columns.start;
    let mut line = String::new();
    for column in columns {
        let quote = if column == 0 && !ids { "\"" } else { "" };
        let value = if values[column].is_empty() { "null" } else { &values[column] };
        let _ = write!(line, "{}\"c{column}\":{quote}{value}{quote}", if column == first { "{" } else { "," });
    }
    line + "}"
}

fn debezium(row: &str, offset: i64) -> String {
    format!(
        "{{\"before\":null,\"after\":{row},\"source\":{{\"version\":\"3.0\",\"connector\":\"mysql\",\"name\":\"shop\",\"ts_ms\":1700000000000,\
         \"snapshot\":\"false\",\"db\":\"shop\",\"table\":\"orders\",\"file\":\"mysql-bin.000003\",\"pos\":{offset},\"row\":0}},\"op\":\"c\",\
         \"ts_ms\":1700000000123,\"transaction\":null}}"
    )
}

/// What schemas have in common: a zero byte and the schema's number stand before the value.
const FRAME: [u8; 5] = [0, 0, 0, 0, 1];

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn avro(values: &[String]) -> Vec<u8> {
    let mut out = FRAME.to_vec();
    let zigzag = |text: &str| text.parse::<u64>().expect("a number") << 1;
    varint((values[0].len() as u64) << 1, &mut out);
    out.extend_from_slice(values[0].as_bytes());
    out.extend_from_slice(&values[1].parse::<f64>().expect("a number").to_le_bytes());
    varint(zigzag(&values[2]), &mut out);
    match values[3].as_str() {
        "" => out.push(0),
        number => {
            out.push(2);
            varint(zigzag(number), &mut out);
        }
    }
    out
}

/// The schema's first message.
fn protobuf(values: &[String]) -> Vec<u8> {
    let mut out = [&FRAME[..], &[0, 1 << 3 | 2]].concat();
    varint(values[0].len() as u64, &mut out);
    out.extend_from_slice(values[0].as_bytes());
    out.push(2 << 3 | 1);
    out.extend_from_slice(&values[1].parse::<f64>().expect("a number").to_le_bytes());
    out.push(3 << 3);
    varint(values[2].parse().expect("a number"), &mut out);
    if !values[3].is_empty() {
        out.push(4 << 3);
        varint(values[3].parse().expect("a number"), &mut out);
    }
    out
}

/// A registry with one schema.
struct Registry(Arc<Schema>);

impl Schemas for Registry {
    fn schema(&self, _: u32) -> Result<Option<Arc<Schema>>, StageError> {
        Ok(Some(self.0.clone()))
    }
}

fn registry(format: &str) -> Option<Arc<dyn Schemas>> {
    let (language, text) = match format {
        "avro" => (
            Language::Avro,
            r#"{"type":"record","name":"r","fields":[{"name":"c0","type":"string"},{"name":"c1","type":"double"},{"name":"c2","type":"long"},{"name":"c3","type":["null","long"]}]}"#,
        ),
        "protobuf" => (
            Language::Protobuf,
            "syntax = \"proto3\"; message R { string c0 = 1; double c1 = 2; int64 c2 = 3; optional int64 c3 = 4; }",
        ),
        _ => return None,
    };
    Some(Arc::new(Registry(Arc::new(Schema { id: 1, language, text: text.into(), references: Vec::new() }))))
}

fn decode(format: &str, ids: bool, times: usize) {
    let mut columns: Vec<Value> = match ids {
        true => (0..7).map(|column| json!({ format!("c{column}"): "int64" })).collect(),
        false => vec![
            json!({ "c0": "utf8" }),
            json!({ "c1": "float64" }),
            json!({ "c2": "int64" }),
            json!({ "c3": "int64?" }),
        ],
    };
    if format == "nested" {
        columns.truncate(2);
        columns.extend([
            json!({ "c2": { "type": "int64", "path": "c.c2" } }),
            json!({ "c3": { "type": "int64?", "path": "c.c3" } }),
        ]);
    }
    let name = if matches!(format, "nested" | "debezium") { "json" } else { format };
    let kind = DECODERS.iter().find(|kind| kind.name == name).expect("a decoder");
    let mut settings = json!({ "columns": columns });
    if format == "debezium" {
        settings["unwrap"] = "debezium".into();
    }
    let settings = (kind.parse)(settings).map_err(|error| error.message).expect("settings");
    let mut decoder = settings.open_with(registry(format)).expect("a decoder");
    let records = records(format, ids);
    for _ in 0..times {
        decoder.prepare(&records).expect("schemas");
        let decoded = black_box(decoder.decode(&records));
        assert_eq!(decoded.columns.num_rows(), ROWS);
    }
}

fn encode(format: &str, ids: bool, times: usize) {
    let mut numbers = numbers();
    let mut ints = |below: u64| {
        Int64Array::from_iter_values((0..ROWS).map(|_| (numbers.next().unwrap_or_default() % below) as i64))
    };
    let columns: Vec<(String, ArrayRef)> = match ids {
        true => (0..7).map(|column| (format!("c{column}"), Arc::new(ints(1000)) as ArrayRef)).collect(),
        false => {
            let texts =
                StringArray::from_iter_values(ints(9999).values().iter().map(|number| format!("patient {number}")));
            let fractions =
                Float64Array::from_iter_values(ints(1 << 30).values().iter().map(|number| *number as f64 / 1024.0));
            let long = Int64Array::from_iter_values(ints(1 << 30).values().iter().map(|number| number << 12));
            vec![("c0".into(), Arc::new(texts)), ("c1".into(), Arc::new(fractions)), ("c2".into(), Arc::new(long))]
        }
    };
    let rows = RecordBatch::try_from_iter(columns).expect("rows");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({ "path": format!("out.{format}"), "mode": "append" });
    let settings = (foretell_files::SINK.parse)(settings).map_err(|error| error.message).expect("settings");
    let context = SinkContext {
        pipeline: "bench".into(),
        sink: "out".into(),
        worker: "0".into(),
        schema: rows.schema(),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: folder.path().into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let mut sink = settings.open(&context).await.expect("a sink");
        let partition = Partition { topic: "orders".into(), index: 0 };
        sink.claim(&[Claim { partition: partition.clone(), identity: "log".into(), start: 0 }]).await.expect("a claim");
        for time in 0..times as i64 {
            let ranges = vec![Range { partition: partition.clone(), from: time, to: time + 1 }];
            let plan = Arc::new(Plan { id: "p".into(), time: 0, recipe: Arc::default(), ranges: ranges.clone() });
            let write = Write {
                plan,
                ranges,
                rows: rows.clone(),
                provenance: None,
                topics: Topics::default(),
                retention: None,
            };
            sink.write(&write).await.expect("a write");
        }
    });
}
