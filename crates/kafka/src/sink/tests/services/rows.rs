//! What becomes of rows: values, keys, headers, dead letters, deletions, and rows that do not fit.

use arrow::array::{BinaryArray, Date32Array, Float32Array, TimestampMicrosecondArray};
use foretell_flow::{BadRecord, Header, RecordsBuilder, dead_letters};

use crate::testing::alter;

use super::*;

pub(super) fn patients() -> RecordBatch {
    // The last is 9999-12-31T23:59:59.
    let times = vec![1_568_160_000_123_456, 1_568_160_000_123_456, 253_402_300_799_000_000];
    let columns: [(&str, ArrayRef); 6] = [
        ("PNO", Arc::new(StringArray::from(vec![Some("a,\"b\""), None, Some("é\nx")]))),
        ("PRETIME", Arc::new(Float32Array::from(vec![0.1, 12.0, f32::NAN]))),
        ("n", Arc::new(Int64Array::from(vec![Some(-1), Some(2), None]))),
        ("Time", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
        ("day", Arc::new(Date32Array::from(vec![0, 0, 2_932_896]))),
        ("raw", Arc::new(BinaryArray::from_vec(vec![b"\xff", b"r", b""]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn encoded(settings: Value, timezone: Option<&str>) -> Vec<Seen> {
    let topic = topic("encode", 1).await;
    let mut full = json!({ "brokers": brokers(), "topic": topic, "delivery": "at_least_once" });
    full.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let mut context = context(patients().schema(), "encode");
    context.timezone = timezone.map(Into::into);
    let mut sink = try_open(full, &context).await.unwrap();
    let mut all = write(&[range(0, 0, 3)], &[(0, 0), (0, 1), (0, 2)]);
    all.rows = patients();
    sink.write(&all).await.unwrap();
    consume(&brokers(), &topic, "read_committed")
}

#[tokio::test(flavor = "multi_thread")]
async fn values_keys_and_headers_are_written_as_said() {
    let seen =
        encoded(json!({ "value": "No. {PNO} {{{n}}} {PRETIME} {Time}", "key": "n" }), Some("Asia/Shanghai")).await;
    let found: Vec<_> = seen.iter().map(|seen| (seen.1.as_deref(), seen.2.as_deref().unwrap())).collect();
    let time = "2019-09-11T08:00:00.123456+08:00";
    assert_eq!(found[0], (Some("-1"), &*format!("No. a,\"b\" {{-1}} 0.1 {time}")));
    assert_eq!(found[1], (Some("2"), &*format!("No.  {{2}} 12.0 {time}")));
    assert_eq!(found[2], (None, "No. é\nx {} NaN +10000-01-01T07:59:59+08:00"));

    let seen = encoded(
        json!({ "format": "csv", "columns": ["n", "PNO"], "headers": { "r": "raw", "p": "PNO", "t": "Time" } }),
        None,
    );
    let seen = seen.await;
    let found: Vec<_> = seen.iter().map(|seen| seen.2.as_deref().unwrap()).collect();
    assert_eq!(found, ["-1,\"a,\"\"b\"\"\"", "2,", ",\"é\nx\""]);
    let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let time = header("t", Some("2019-09-11T00:00:00.123456Z"));
    assert_eq!(seen[1].3, [header("p", None), header("r", Some("r")), time]);
    assert_eq!(seen[2].3[2], header("t", Some("9999-12-31T23:59:59Z")));

    let seen = encoded(json!({ "columns": ["PNO", "PRETIME", "Time", "day"] }), None).await;
    let found: Vec<Value> = seen.iter().map(|seen| serde_json::from_str(seen.2.as_deref().unwrap()).unwrap()).collect();
    let first = json!({ "PNO": "a,\"b\"", "PRETIME": 0.1, "Time": "2019-09-11T00:00:00.123456Z", "day": "1970-01-01" });
    assert_eq!(found[0], first);
    let last = json!({ "PNO": "é\nx", "PRETIME": "NaN", "Time": "9999-12-31T23:59:59Z", "day": "9999-12-31" });
    assert_eq!(found[2], last);
    assert_eq!(found[1]["PNO"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_choose_the_partition_as_java_does() {
    let topic = topic("murmur", 6).await;
    let settings = json!({ "brokers": brokers(), "topic": topic, "key": "key", "delivery": "at_least_once" });
    // murmur2 of org.apache.kafka.common.utils.Utils, from its own unit test: key → hash.
    let java: [(&str, i32); 5] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ];
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(java.iter().map(|(key, _)| *key)));
    let rows = RecordBatch::try_from_iter([("key", keys)]).unwrap();
    let mut sink = try_open(settings, &context(rows.schema(), "murmur")).await.unwrap();
    let mut all = write(&[range(0, 0, 5)], &[(0, 0); 5]);
    all.rows = rows;
    sink.write(&all).await.unwrap();
    let seen = consume(&brokers(), &topic, "read_committed");
    assert_eq!(seen.len(), java.len());
    for (key, hash) in java {
        let partition = seen.iter().find(|seen| seen.1.as_deref() == Some(key)).unwrap().0;
        assert_eq!(partition, (hash & 0x7fff_ffff) % 6, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_look_like_kafka_connects() {
    let topic = topic("dead", 1).await;
    let mut records = RecordsBuilder::new("Pdata".into());
    let own = vec![Header { key: "trace".into(), value: Some(b"7".to_vec()) }];
    records.push(2, 41, Some(5), Some(b"\xfe"), Some(b"\xff,x"), own);
    records.push(2, 42, None, None, None, Vec::new());
    let large = vec![b'x'; 600 * 1024];
    records.push(1, 7, None, Some(b"k"), Some(&large), Vec::new());
    let bad = |row| BadRecord { row, stage: "decode csv".into(), reason: format!("field {row}") };
    let (rows, provenance) = dead_letters(&records.finish(), &[bad(0), bad(1), bad(2)]);
    let mut context = context(dead_letter_schema(false), "dead");
    context.input = SinkInput::DeadLetters;
    let settings = json!({ "brokers": brokers(), "topic": topic, "progress_topic": unique("progress") });
    let mut sink = try_open(settings, &context).await.unwrap();
    sink.claim(&claims(1..3)).await.unwrap();
    let mut all = write(&[range(1, 100, 101), range(2, 100, 101)], &[]);
    (all.rows, all.provenance) = (rows, Some(provenance));
    sink.write(&all).await.unwrap();

    let seen = consume(&brokers(), &topic, "read_committed");
    let find = |message: &str| {
        let of = |seen: &&Seen| seen.3.iter().any(|(_, value)| value.as_deref() == Some(message));
        seen.iter().find(of).unwrap().clone()
    };
    let (_, key, value, headers) = find("field 0");
    assert_eq!((key.as_deref(), value.as_deref()), (Some("\u{fffd}"), Some("\u{fffd},x")));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap())).collect();
    assert_eq!(
        headers,
        [
            ("trace", "7"),
            ("__connect.errors.topic", "Pdata"),
            ("__connect.errors.partition", "2"),
            ("__connect.errors.offset", "41"),
            ("__connect.errors.connector.name", "dead"),
            ("__connect.errors.task.id", "0"),
            ("__connect.errors.stage", "decode csv"),
            ("__connect.errors.class.name", "foretell.decode"),
            ("__connect.errors.exception.class.name", "foretell.Refused"),
            ("__connect.errors.exception.message", "field 0"),
        ]
    );
    let (_, key, value, _) = find("field 1");
    assert_eq!((key, value), (None, None));
    let (_, _, value, headers) = find("field 2");
    assert_eq!(value.unwrap().len(), 512 * 1024);
    assert_eq!(headers.last().unwrap(), &("foretell.value.size".to_owned(), Some(large.len().to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_too_large_goes_to_the_rejects_or_stops() {
    let name = unique("small");
    create(&name, 1, &[("max.message.bytes", "2000")]).await;
    let rejects = topic("rejects", 1).await;
    let column: ArrayRef = Arc::new(StringArray::from(vec!["one".to_owned(), "x".repeat(5000), "two".to_owned()]));
    let rows = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let context = context(rows.schema(), "small");
    let mut settings =
        json!({ "brokers": brokers(), "topic": name, "value": "{text}", "progress_topic": unique("progress") });
    let mut all = write(&[range(0, 100, 103)], &[(0, 100), (0, 101), (0, 102)]);
    all.rows = rows;

    let mut sink = try_open(settings.clone(), &context).await.unwrap();
    sink.claim(&claims(0..1)).await.unwrap();
    let error = sink.write(&all).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.starts_with("partition 0, offset 101: a record of 5000 bytes is too large"), "{error}");

    settings["rejects"] = json!(rejects);
    let mut sink = try_open(settings, &context).await.unwrap();
    sink.claim(&claims(0..1)).await.unwrap();
    assert_eq!(sink.write(&all).await.unwrap().rejected, 1);
    assert_eq!(values(&name), ["one", "two"]);
    let seen = consume(&brokers(), &rejects, "read_committed");
    assert_eq!(seen.len(), 1);
    assert!(seen[0].3.contains(&("__connect.errors.offset".into(), Some("101".into()))), "{:?}", seen[0].3);
}

/// Rows of `key` and `text`.
fn keyed(rows: &[(Option<&str>, &str)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)));
    RecordBatch::try_from_iter([("key", keys), ("text", texts)]).unwrap()
}

/// Three rows, of which the second has no key.
pub(super) fn one_without_key() -> Write {
    let mut all = write(&[range(0, 100, 103)], &[(0, 100), (0, 101), (0, 102)]);
    all.rows = keyed(&[(Some("a"), "one"), (None, "two"), (Some("c"), "three")]);
    all
}

/// Claims and writes; after what passes, once more.
async fn write_as_the_run_loop(sink: &mut dyn Sink, write: &Write) -> Result<foretell_flow::Written, StageError> {
    sink.claim(&claims(0..1)).await?;
    match sink.write(write).await {
        Err(error) if error.fault == Fault::Unavailable => {
            sink.claim(&claims(0..1)).await?;
            sink.write(write).await
        }
        outcome => outcome,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_key_for_a_compacted_topic_goes_to_the_rejects_or_stops() {
    let context = context(one_without_key().rows.schema(), "compacted");
    for delivery in ["exactly_once", "at_least_once"] {
        for early in [true, false] {
            let name = unique("compacted");
            let policy: &[_] = &[("cleanup.policy", "compact")];
            create(&name, 1, if early { policy } else { &[] }).await;
            let rejects = topic("rejects", 1).await;
            let mut settings = json!({
                "brokers": brokers(), "topic": name, "value": "{text}", "key": "key", "delivery": delivery,
                "progress_topic": unique("progress"),
            });
            let mut stops = try_open(settings.clone(), &context).await.unwrap();
            settings["rejects"] = json!(rejects);
            let mut sets_aside = try_open(settings, &context).await.unwrap();
            if !early {
                // Nobody but the broker knows.
                alter(&name, policy).await;
            }
            let error = write_as_the_run_loop(&mut *stops, &one_without_key()).await.unwrap_err();
            assert_eq!(error.fault, Fault::Settings, "{delivery} {early}: {error}");
            assert!(error.message.starts_with("partition 0, offset 101: "), "{error}");
            assert!(error.message.contains("without a key"), "{error}");
            drop(stops);

            let rejected = write_as_the_run_loop(&mut *sets_aside, &one_without_key()).await.unwrap().rejected;
            assert_eq!(rejected, 1, "{delivery} {early}");
            let mut found = values(&name);
            found.dedup();
            match delivery {
                "exactly_once" => assert_eq!(found, ["one", "three"]),
                // What was written before the stop comes again.
                _ => assert!(found.ends_with(&["one".into(), "three".into()]) && !found.contains(&"two".into())),
            }
            let seen = consume(&brokers(), &rejects, "read_committed");
            assert_eq!(seen.iter().map(|seen| seen.2.as_deref()).collect::<Vec<_>>(), [Some("two")]);
            assert!(seen[0].3.contains(&("__connect.errors.offset".into(), Some("101".into()))), "{:?}", seen[0].3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_that_the_broker_refuses_are_all_set_aside() {
    let (name, rejects) = (topic("many", 4).await, topic("rejects", 1).await);
    let rows: Vec<(Option<String>, String)> =
        (0..5000).map(|number| ((number % 3 > 0).then(|| number.to_string()), number.to_string())).collect();
    let rows: Vec<(Option<&str>, &str)> = rows.iter().map(|row| (row.0.as_deref(), row.1.as_str())).collect();
    let mut all = write(&[range(0, 100, 5100)], &(100..5100).map(|offset| (0, offset)).collect::<Vec<_>>());
    all.rows = keyed(&rows);
    let settings = json!({
        "brokers": brokers(), "topic": name, "value": "{text}", "key": "key", "rejects": rejects,
        "progress_topic": unique("progress"),
    });
    let mut sink = try_open(settings, &context(all.rows.schema(), "many")).await.unwrap();
    alter(&name, &[("cleanup.policy", "compact")]).await;
    assert_eq!(write_as_the_run_loop(&mut *sink, &all).await.unwrap().rejected, 1667);
    let count = |topic: &str| consume(&brokers(), topic, "read_committed").len();
    assert_eq!((count(&name), count(&rejects)), (3333, 1667));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_a_deletion_is_a_key_without_a_value() {
    let topic = topic("deleted", 1).await;
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 1]));
    let deleted: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![Some(false), None, Some(true)]));
    let batch = RecordBatch::try_from_iter([("id", ids), ("_deleted", deleted)]).unwrap();
    let context = context(batch.schema(), "deletions");
    let settings = json!({
        "brokers": brokers(), "topic": topic, "key": "id", "delete": "_deleted", "progress_topic": unique("progress")
    });
    let mut sink = try_open(settings, &context).await.unwrap();
    sink.claim(&claims(0..1)).await.unwrap();
    let places = [(0, 100), (0, 101), (0, 102)];
    sink.write(&Write { rows: batch, ..write(&[range(0, 100, 103)], &places) }).await.unwrap();
    let seen: Vec<_> = consume(&brokers(), &topic, "read_committed").into_iter().map(|seen| (seen.1, seen.2)).collect();
    let record = |key: &str, value: Option<&str>| (Some(key.to_string()), value.map(str::to_string));
    assert_eq!(seen, [record("1", Some("{\"id\":1}")), record("2", Some("{\"id\":2}")), record("1", None)]);

    let wrong = json!({ "brokers": brokers(), "topic": topic, "delete": "_deleted" });
    assert!(refused(wrong, &context).await.message.contains("without a `key`"));
    let wrong = json!({ "brokers": brokers(), "topic": topic, "key": "id", "delete": "id" });
    assert!(refused(wrong, &context).await.message.contains("is Int64, not a bool"));
}
