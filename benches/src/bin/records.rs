//! What `quick` counts instructions of: `records CASE TIMES` decodes or writes the same made-up records this many times;
//! without arguments it lists the cases.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use foretell_connect::kind::SinkContext;
use foretell_decode::DECODERS;
use foretell_flow::{Claim, Partition, Plan, Range, Records, RecordsBuilder, SinkInput, Topics, Write};
use serde_json::json;

const ROWS: usize = 8192;

/// `ids`: seven short numbers, as tables of encoded ids have them. `mixed`: a text, a fraction, a long number, a gap.
const CASES: &[&str] = &[
    "decode-csv-ids",
    "decode-csv-mixed",
    "decode-json-ids",
    "decode-json-mixed",
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
        builder.push(0, offset, None, None, Some(line.as_bytes()), Vec::new());
    }
    builder.finish()
}

fn decode(format: &str, ids: bool, times: usize) {
    let columns = match ids {
        true => (0..7).map(|column| json!({ format!("c{column}"): "int64" })).collect(),
        false => vec![json!({ "c0": "utf8" }), json!({ "c1": "float64" }), json!({ "c2": "int64" }), json!({ "c3": "int64?" })],
    };
    let kind = DECODERS.iter().find(|kind| kind.name == format).expect("a decoder");
    let settings = (kind.parse)(json!({ "columns": columns })).map_err(|error| error.message).expect("settings");
    let mut decoder = settings.open().expect("a decoder");
    let records = records(format, ids);
    for _ in 0..times {
        let decoded = black_box(decoder.decode(&records));
        assert_eq!(decoded.columns.num_rows(), ROWS);
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
