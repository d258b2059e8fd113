//! The sink against a real broker.

mod alone;
mod oauth;
mod rows;
mod suite;

use std::path::Path;

use arrow::array::StringArray;
use foretell_flow::{Reset, dead_letter_schema};
use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::settings::{Connection, Options, Security};
use crate::sink::topics::is_free;
use crate::testing::{admin, brokers, create, delete, grow, proxy, topic};

use self::rows::{one_without_key, patients};
use super::*;

fn values(topic: &str) -> Vec<String> {
    consume(&brokers(), topic, "read_committed").into_iter().filter_map(|seen| seen.2).collect()
}

async fn refused(settings: Value, context: &SinkContext) -> StageError {
    match try_open(settings, context).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// A sink of `id` rows with a progress topic that no other test reads.
struct Bench {
    topic: String,
    progress: String,
    context: SinkContext,
}

impl Bench {
    async fn new(name: &str) -> Bench {
        let topic = topic(name, 1).await;
        Bench { progress: unique("progress"), context: context(rows(&[]).schema(), name), topic }
    }

    fn settings(&self) -> Value {
        json!({ "brokers": brokers(), "topic": self.topic, "value": "{id}", "progress_topic": self.progress })
    }

    async fn open(&self) -> Box<dyn Sink> {
        try_open(self.settings(), &self.context).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_within_a_partition_is_kept() {
    let bench = Bench::new("order").await;
    let mut sink = bench.open().await;
    sink.claim(&claims(0..1)).await.unwrap();
    let all: Vec<(i32, i64)> = (100..3100).map(|offset| (0, offset)).collect();
    for (step, chunk) in all.chunks(1000).enumerate() {
        let from = 100 + 1000 * step as i64;
        sink.write(&write(&[range(0, from, from + 1000)], chunk)).await.unwrap();
    }
    let wanted: Vec<String> = (100..3100).map(|offset| offset.to_string()).collect();
    assert_eq!(values(&bench.topic), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_lost_its_partition_writes_nothing() {
    let bench = Bench::new("zombie").await;
    let mut zombie = bench.open().await;
    zombie.claim(&claims(0..2)).await.unwrap();
    zombie.write(&write(&[range(0, 100, 101)], &[(0, 100)])).await.unwrap();
    let mut owner = bench.open().await;
    assert_eq!(next(&owner.claim(&claims(0..1)).await.unwrap()), [(0, 101)]);

    let error = zombie.write(&write(&[range(0, 101, 102)], &[(0, 666)])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced, "{error}");
    // The other partition is still the zombie's.
    zombie.write(&write(&[range(1, 100, 101)], &[(1, 200)])).await.unwrap();
    owner.write(&write(&[range(0, 101, 102)], &[(0, 101)])).await.unwrap();

    // A start that is not what is stored.
    let error = owner.write(&write(&[range(0, 101, 103)], &[(0, 667)])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced);
    // A partition that was not claimed.
    let error = owner.write(&write(&[range(1, 101, 103)], &[(1, 668)])).await.unwrap_err();
    assert_eq!(error.fault, Fault::Fenced);
    let mut seen = values(&bench.topic);
    seen.sort();
    assert_eq!(seen, ["100", "101", "200"]);
    assert_eq!(next(&owner.positions().await.unwrap()), [(0, 102), (1, 101)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_produce_and_commit_leaves_nothing() {
    let bench = Bench::new("crash").await;
    let mut sink = bench.open().await;
    sink.claim(&claims(0..1)).await.unwrap();
    // What a killed process leaves: a transaction of our id with rows and a position, never ended.
    let id = format!("foretell/{}/out/Pdata/0", bench.context.pipeline);
    let config = {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers()).set("transactional.id", &id);
        config
    };
    let crashed: BaseProducer = config.create().unwrap();
    crashed.init_transactions(Duration::from_secs(20)).unwrap();
    crashed.begin_transaction().unwrap();
    crashed.send(BaseRecord::<str, str>::to(&bench.topic).payload("never")).unwrap();
    let key = format!("[\"{}\",\"out\",\"Pdata\",0]", bench.context.pipeline);
    let value = "{\"next\":150,\"identity\":\"cluster/topic\"}";
    crashed.send(BaseRecord::to(&bench.progress).key(key.as_str()).payload(value)).unwrap();
    crashed.flush(Duration::from_secs(10)).unwrap();

    let begin = Instant::now();
    let mut again = bench.open().await;
    assert_eq!(next(&again.claim(&claims(0..1)).await.unwrap()), [(0, 100)]);
    assert!(begin.elapsed() < Duration::from_secs(10), "the open transaction was waited for: {:?}", begin.elapsed());
    again.write(&write(&[range(0, 100, 101)], &[(0, 100)])).await.unwrap();
    assert_eq!(values(&bench.topic), ["100"]);
    let all: Vec<_> = consume(&brokers(), &bench.topic, "read_uncommitted").into_iter().filter_map(|s| s.2).collect();
    assert_eq!(all, ["never", "100"]);
    assert!(crashed.commit_transaction(Duration::from_secs(10)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_cannot_be_cut_is_one_transaction() {
    let mut bench = Bench::new("whole").await;
    bench.context.by_partition = false;
    let mut sink = bench.open().await;
    sink.claim(&claims(0..3)).await.unwrap();
    let mut whole = write(&[range(0, 100, 110), range(2, 100, 130)], &[(0, 1), (2, 2)]);
    whole.provenance = None;
    sink.write(&whole).await.unwrap();
    assert_eq!(next(&sink.positions().await.unwrap()), [(0, 110), (1, 100), (2, 130)]);
    assert_eq!(values(&bench.topic), ["1", "2"]);

    // The query changed to a row-wise one: the old process is fenced all the same.
    bench.context.by_partition = true;
    let mut other = bench.open().await;
    assert_eq!(next(&other.claim(&claims(0..3)).await.unwrap()), [(0, 110), (1, 100), (2, 130)]);
    let mut late = write(&[range(0, 110, 120)], &[(0, 3)]);
    late.provenance = None;
    assert_eq!(sink.write(&late).await.unwrap_err().fault, Fault::Fenced);
    assert_eq!(values(&bench.topic), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_writes_without_transactions() {
    let bench = Bench::new("least").await;
    let mut settings = bench.settings();
    settings["delivery"] = json!("at_least_once");
    let parsed = (KIND.parse)(settings.clone()).unwrap();
    assert!(!parsed.traits().keeps_positions);
    let mut sink = parsed.open(&bench.context).await.unwrap();
    sink.write(&write(&[range(0, 0, 2)], &[(0, 0), (0, 1)])).await.unwrap();
    sink.write(&write(&[range(0, 0, 2)], &[(0, 0)])).await.unwrap();
    assert_eq!(values(&bench.topic), ["0", "1", "0"]);
    assert!(sink.positions().await.unwrap().is_empty());
    assert_eq!(sink.reset(&Reset::Forget(None)).await.unwrap_err().fault, Fault::Settings);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_kept_in_one_partition_or_not_at_all() {
    let bench = Bench::new("parts").await;
    let mut sink = bench.open().await;
    sink.claim(&claims(0..8)).await.unwrap();
    // The topic is made larger while the sink is at work: what it writes then is still found.
    grow(&bench.progress, 3).await;
    let mut sinks = vec![sink];
    for sink in &mut sinks {
        let ranges: Vec<Range> = (0..8).map(|index| range(index, 100, 110)).collect();
        sink.write(&write(&ranges, &[])).await.unwrap();
    }
    let found = consume_with_keys(&bench.progress);
    assert!(found.iter().all(|(partition, _)| *partition == 0), "{found:?}");

    // From then on nothing may go on: what is in other partitions is not seen.
    let parted = |error: StageError| {
        assert_eq!(error.fault, Fault::Settings);
        assert!(error.message.contains("keeps the positions, and has 3 partitions"), "{error}");
        assert!(error.remedy.contains("`progress_topic`"), "{error}");
    };
    parted(sinks[0].claim(&claims(0..1)).await.unwrap_err());
    parted(sinks[0].positions().await.unwrap_err());
    parted(refused(bench.settings(), &bench.context).await);
}

/// Partition and key of each record.
fn consume_with_keys(topic: &str) -> Vec<(i32, Option<String>)> {
    consume(&brokers(), topic, "read_uncommitted").into_iter().map(|seen| (seen.0, seen.1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_that_is_created_for_positions_is_fit_for_them() {
    let bench = Bench::new("made").await;
    let brokers = serde_json::from_value(json!(brokers())).unwrap();
    let connection = Connection::new(&brokers, &Security::default(), &Options::default(), Path::new(""));
    assert!(is_free(&connection, &bench.progress));
    bench.open().await.claim(&claims(0..1)).await.unwrap();
    assert!(!is_free(&connection, &bench.progress));
    let answer = admin().describe_configs([&ResourceSpecifier::Topic(&bench.progress)], &AdminOptions::new()).await;
    let config = answer.unwrap().remove(0).unwrap();
    let value = |name: &str| config.get(name).unwrap().value.clone().unwrap();
    assert_eq!(value("cleanup.policy"), "compact");
    assert_eq!(value("delete.retention.ms"), "900000");
    // One broker, one replica: two in sync would let nobody write.
    assert_eq!(value("min.insync.replicas"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_fit_is_refused_at_open() {
    let compacted = unique("compacted");
    create(&compacted, 1, &[("cleanup.policy", "compact,delete")]).await;
    let plain = topic("plain", 1).await;
    let schema = one_without_key().rows.schema();
    let open = |topic: &str, more: Value| {
        let mut settings = json!({ "brokers": brokers(), "topic": topic, "progress_topic": unique("progress") });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    let error = refused(open(&compacted, json!({})), &context(schema.clone(), "fit")).await;
    assert!(error.message.contains("takes no record without a key, and there is no `key`"), "{error}");
    assert_eq!(error.fault, Fault::Settings);
    let error = refused(open(&plain, json!({ "rejects": compacted })), &context(schema.clone(), "fit")).await;
    assert!(error.message.contains(&format!("topic `{compacted}` is compacted")), "{error}");
    let mut letters = context(dead_letter_schema(false), "fit");
    letters.input = SinkInput::DeadLetters;
    let error = refused(open(&compacted, json!({})), &letters).await;
    assert!(error.message.contains("dead letters have their records' keys, or none"), "{error}");
    assert!(try_open(open(&compacted, json!({ "key": "key" })), &context(schema, "fit")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_stops_the_sink() {
    let bench = Bench::new("deleted").await;
    let mut sink = bench.open().await;
    sink.claim(&claims(0..1)).await.unwrap();
    sink.write(&write(&[range(0, 100, 101)], &[(0, 100)])).await.unwrap();
    delete(&bench.topic).await;
    let error = sink.write(&write(&[range(0, 101, 102)], &[(0, 101)])).await.unwrap_err();
    assert!(matches!(error.fault, Fault::Settings | Fault::State), "{error}");
    assert!(error.to_string().contains(&bench.topic), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_appears_a_moment_later_is_waited_for() {
    let (name, progress) = (unique("later"), unique("progress"));
    let settings = json!({ "brokers": brokers(), "topic": name, "value": "{id}", "progress_topic": progress });
    let context = context(rows(&[]).schema(), "later");
    let (opened, ()) = tokio::join!(try_open(settings, &context), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        create(&name, 1, &[]).await;
    });
    assert!(opened.is_ok(), "{:?}", opened.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_written() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let bench = Bench::new(codec).await;
        let mut settings = bench.settings();
        settings["options"] = json!({ "compression.codec": codec });
        let mut sink = try_open(settings, &bench.context).await.unwrap();
        sink.claim(&claims(0..1)).await.unwrap();
        sink.write(&write(&[range(0, 100, 101)], &[(0, 100)])).await.unwrap();
        assert_eq!(values(&bench.topic), ["100"], "{codec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_end_in_its_time_gets_more() {
    let bench = Bench::new("slow").await;
    let proxy = proxy::Proxy::new(&brokers()).await;
    let mut settings = bench.settings();
    settings["brokers"] = json!(proxy.broker);
    settings["format"] = json!("json");
    settings.as_object_mut().unwrap().remove("value");
    settings["options"] = json!({ "transaction.timeout.ms": 2000, "batch.size": 16_384, "compression.codec": "none" });
    let mut all = write(&[range(0, 100, 400)], &(100..400).map(|offset| (0, offset)).collect::<Vec<_>>());
    let texts = (0..300).map(|number| format!("{number} {}", "x".repeat(1000)));
    all.rows =
        RecordBatch::try_from_iter([("text", Arc::new(StringArray::from_iter_values(texts)) as ArrayRef)]).unwrap();
    let context = context(all.rows.schema(), "slow");
    let mut sink = try_open(settings, &context).await.unwrap();
    // 300 KiB take 6 s.
    proxy.slow_down(Duration::from_millis(20));
    let mut late = Vec::new();
    loop {
        assert!(late.len() < 6, "{late:?}");
        sink.claim(&claims(0..1)).await.unwrap();
        match sink.write(&all).await {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.fault, Fault::Unavailable, "{error}");
                late.push(error.message);
            }
        }
    }
    assert!(late[0].contains("the transaction was not over within 2 s"), "{late:?}");
    assert!(late[0].ends_with("the next may be open 4 s"), "{late:?}");
    assert_eq!(values(&bench.topic).len(), 300);
}

/// `fixtures/state/N/kafka` is what a leader stored in format N until its pipeline was killed, as keys and values in their
/// order (`fixtures/make/state_services.py`).
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_stored_is_taken_up() {
    let mut bench = Bench::new("frozen").await;
    (bench.context.pipeline, bench.context.sink) = ("frozen".into(), "first".into());
    create(&bench.progress, 1, &[("cleanup.policy", "compact")]).await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let stored = std::fs::read_to_string(root.join("fixtures/state/1/kafka/progress.jsonl")).unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    for line in stored.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let mut record = BaseRecord::<str, str>::to(&bench.progress).key(line["key"].as_str().unwrap());
        record.payload = line["value"].as_str();
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();

    const ENTRY: i64 = 1_000_000_000_000;
    let partition = |index| Partition { topic: "files".into(), index };
    let claims: Vec<Claim> =
        (0..16).map(|index| Claim { partition: partition(index), identity: "another".into(), start: 0 }).collect();
    let mut sink = bench.open().await;
    let held = sink.claim(&claims).await.unwrap();
    assert_eq!(held.len(), 16);
    for (index, held) in (0..).zip(&held) {
        let identity = "0611d204b1ba4315bab7353b962739be";
        assert_eq!((&held.partition, held.next, held.identity.as_str()), (&partition(index), 2 * ENTRY, identity));
        let query = "00ca8d01c52fc66abe8fe2733902c2e0cb041c7000e68dce04ba637c6324ebfd".to_owned();
        let plan = foretell_flow::PlanPart {
            id: "0-1795946018170955".into(),
            time: 1_795_946_018_170_955,
            recipe: Recipe { query, ..Recipe::default() },
            range: Range { partition: partition(index), from: ENTRY, to: 2 * ENTRY },
            kept: 0,
            of: 0,
        };
        assert_eq!(held.plans, [plan]);
    }
    // It goes on where that version was.
    let mut more = write(&[range(3, 2 * ENTRY, 3 * ENTRY)], &[(3, 2 * ENTRY)]);
    more.ranges[0].partition = partition(3);
    sink.write(&more).await.unwrap();
    assert_eq!(values(&bench.topic).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_at_open() {
    let topic = topic("utime", 1).await;
    let context = context(patients().schema(), "wrong");
    let with = |more: Value| {
        let mut settings = json!({ "brokers": brokers(), "topic": topic });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    for (more, text) in [
        (json!({ "key": "pno" }), "`key`: there is no column `pno`; did you mean `PNO`?"),
        (json!({ "value": "{PRETIM}" }), "`value`: there is no column `PRETIM`; did you mean `PRETIME`?"),
        (json!({ "value": "{PNO" }), "`value`: character 1: `{` has no `}`; write `{{` for a brace"),
        (json!({ "value": "x", "format": "csv" }), "`value` and `format` exclude each other; leave one out"),
        (json!({ "options": { "transactional.id": "x" } }), "`options` cannot set `transactional.id`"),
        (json!({ "options": { "linger": 1 } }), "`options`: there is no property `linger`"),
        (json!({ "topic": "foretell_progress" }), "`topic` is `foretell_progress`, the topic that keeps the positions"),
        (json!({ "rejects": "foretell_progress" }), "`rejects` is `foretell_progress`, the topic that keeps"),
    ] {
        let error = refused(with(more), &context).await;
        assert_eq!(error.fault, Fault::Settings);
        assert!(error.to_string().starts_with(text), "{error}");
    }
    let error = refused(json!({ "brokers": brokers(), "topic": format!("{topic}s") }), &context).await;
    assert_eq!(error.remedy, format!("did you mean `{topic}`?"));
    let begin = Instant::now();
    let error = refused(json!({ "brokers": "127.0.0.1:1", "topic": topic }), &context).await;
    assert_eq!(error.fault, Fault::Unavailable);
    assert!(begin.elapsed() < Duration::from_secs(10));
    // Positions must not be deleted with age.
    let progress = unique("progress");
    create(&progress, 1, &[]).await;
    let error = refused(with(json!({ "progress_topic": progress })), &context).await;
    assert!(error.message.ends_with("its cleanup.policy is `delete`"), "{error}");
}
