//! What `quick` counts instructions of: `records CASE TIMES` decodes or writes the same made-up records this many times;
//! without arguments it lists the cases.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use foretell_connect::kind::SinkContext;
use foretell_connect::schemas::{Language, Schema, Schemas};
use foretell_decode::DECODERS;
use foretell_flow::{StageError, Claim, Partition, Plan, Range, Records, RecordsBuilder, SinkInput, Topics, Write};
use serde_json::json;

const ROWS: usize = 8192;

/// `ids`: seven short numbers, as tables of encoded ids have them. `mixed`: a text, a fraction, a long number, a gap.
const CASES: &[&str] = &[
    "decode-csv-ids",
    "decode-csv-mixed",
    "decode-json-ids",
    "decode-json-mixed",
    "decode-avro-ids",
    "decode-avro-mixed",
    "decode-protobuf-ids",
    "decode-protobuf-mixed",
    "decode-debezium-ids",
    "decode-debezium-mixed",
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
        if let "avro" | "protobuf" = format {
            builder.push(0, offset, None, None, Some(&framed(format, ids, &values)), Vec::new());
            continue;
        }
        let mut line = String::new();
        match format {
            "csv" => line = values.join(","),
            _ => {
                for (column, value) in values.iter().enumerate() {
                    let quote = if column == 0 && !ids { "\"" } else { "" };
                    let value = if value.is_empty() { "null" } else { value };
                    let _ = write!(line, "{}\"c{column}\":{quote}{value}{quote}", if column == 0 { "{" } else { "," });
                }
                line.push('}');
            }
        }
        if format == "debezium" {
            let source = r#"{"version":"2.7","connector":"mysql","name":"shop","ts_ms":1700000000000,"db":"shop","table":"orders","pos":4711}"#;
            line = format!(r#"{{"before":null,"after":{line},"source":{source},"op":"c","ts_ms":1700000000123,"transaction":null}}"#);
        }
        builder.push(0, offset, None, None, Some(line.as_bytes()), Vec::new());
    }
    builder.finish()
}

/// The same values in a registry's wire format.
fn framed(format: &str, ids: bool, values: &[String]) -> Vec<u8> {
    let mut value = vec![0, 0, 0, 0, 1];
    let avro = format == "avro";
    if !avro {
        // The first message of its schema.
        value.push(0);
    }
    let number = |number: u64, value: &mut Vec<u8>| {
        let mut rest = if avro { number << 1 } else { number };
        while rest >= 0x80 {
            value.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        value.push(rest as u8);
    };
    for (column, text) in values.iter().enumerate() {
        let tag = |wire: u64| ((column as u64 + 1) << 3 | wire) as u8;
        match column {
            0 if !ids => {
                if !avro {
                    value.push(tag(2));
                }
                number(text.len() as u64, &mut value);
                value.extend(text.as_bytes());
            }
            1 if !ids => {
                if !avro {
                    value.push(tag(1));
                }
                value.extend(text.parse::<f64>().expect("a float").to_le_bytes());
            }
            3 if !ids && avro => {
                number(u64::from(!text.is_empty()), &mut value);
                if let Ok(parsed) = text.parse() {
                    number(parsed, &mut value);
                }
            }
            _ => {
                let Ok(parsed) = text.parse() else { continue };
                if !avro {
                    value.push(tag(0));
                }
                number(parsed, &mut value);
            }
        }
    }
    value
}

/// The schema of these values.
struct Registry(Arc<Schema>);

impl Registry {
    fn new(format: &str, ids: bool) -> Registry {
        let names = (0..7).map(|column| format!("c{column}"));
        let (language, text) = match (format, ids) {
            ("avro", true) => {
                let fields: Vec<_> = names.map(|name| json!({ "name": name, "type": "long" })).collect();
                (Language::Avro, json!({ "type": "record", "name": "Row", "fields": fields }).to_string())
            }
            ("avro", false) => {
                let fields = json!([
                    { "name": "c0", "type": "string" }, { "name": "c1", "type": "double" }, { "name": "c2", "type": "long" },
                    { "name": "c3", "type": ["null", "long"] },
                ]);
                (Language::Avro, json!({ "type": "record", "name": "Row", "fields": fields }).to_string())
            }
            (_, true) => {
                let fields: String = names.enumerate().map(|(at, name)| format!("int64 {name} = {};", at + 1)).collect();
                (Language::Protobuf, format!("syntax = \"proto3\"; message Row {{ {fields} }}"))
            }
            (_, false) => {
                let fields = "string c0 = 1; double c1 = 2; int64 c2 = 3; optional int64 c3 = 4;";
                (Language::Protobuf, format!("syntax = \"proto3\"; message Row {{ {fields} }}"))
            }
        };
        Registry(Arc::new(Schema { id: 1, language, text, references: Vec::new() }))
    }
}

impl Schemas for Registry {
    fn schema(&self, _: u32) -> Result<Option<Arc<Schema>>, StageError> {
        Ok(Some(self.0.clone()))
    }
}

fn decode(format: &str, ids: bool, times: usize) {
    let columns = match ids {
        true => (0..7).map(|column| json!({ format!("c{column}"): "int64" })).collect(),
        false => vec![json!({ "c0": "utf8" }), json!({ "c1": "float64" }), json!({ "c2": "int64" }), json!({ "c3": "int64?" })],
    };
    let name = if format == "debezium" { "json" } else { format };
    let kind = DECODERS.iter().find(|kind| kind.name == name).expect("a decoder");
    let mut settings = json!({ "columns": columns });
    if format == "debezium" {
        settings["unwrap"] = json!("debezium");
    }
    let settings = (kind.parse)(settings).map_err(|error| error.message).expect("settings");
    let mut decoder = match format {
        "avro" | "protobuf" => settings.open_with(Some(Arc::new(Registry::new(format, ids)))).expect("a decoder"),
        _ => settings.open().expect("a decoder"),
    };
    let records = records(format, ids);
    decoder.prepare(&records).expect("schemas");
    let begun = std::time::Instant::now();
    for _ in 0..times {
        let decoded = black_box(decoder.decode(&records));
        assert_eq!(decoded.columns.num_rows(), ROWS);
    }
    // For people; what counts instructions asks for few.
    if times >= 100 {
        println!("{:.0} records/s", (ROWS * times) as f64 / begun.elapsed().as_secs_f64());
    }
}

fn encode(format: &str, ids: bool, times: usize) {
    let mut numbers = numbers();
    let mut ints = |below: u64| Int64Array::from_iter_values((0..ROWS).map(|_| (numbers.next().unwrap_or_default() % below) as i64));
    let columns: Vec<(String, ArrayRef)> = match ids {
        true => (0..7).map(|column| (format!("c{column}"), Arc::new(ints(1000)) as ArrayRef)).collect(),
        false => {
            let texts = StringArray::from_iter_values(ints(9999).values().iter().map(|number| format!("patient {number}")));
            let fractions = Float64Array::from_iter_values(ints(1 << 30).values().iter().map(|number| *number as f64 / 1024.0));
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
            let write = Write { plan, ranges, rows: rows.clone(), provenance: None, topics: Topics::default(), retention: None };
            sink.write(&write).await.expect("a write");
        }
    });
}
