//! The source against a real broker.

use rdkafka::admin::AdminOptions;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use foretell_flow::testing::sources::{self, Log};

use crate::mock::Feed;
use crate::testing::{admin, brokers, create, delete, grow, topic, unique};
use foretell_connect::kind::settings_of;

use super::super::Settings;
use super::*;

mod several;

async fn refused(settings: serde_json::Value) -> StageError {
    match open(settings, "p", "0").await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

async fn member(topic: &str, pipeline: &str, worker: &str) -> Box<dyn Source> {
    open(json!({ "brokers": brokers(), "topic": topic }), pipeline, worker).await.unwrap()
}

pub(super) fn feed(topic: &str, partition: i32, values: impl IntoIterator<Item = String>) {
    let values: Vec<String> = values.into_iter().collect();
    let records = values.iter().map(|value| (None, value.as_bytes()));
    Feed::new(&brokers()).unwrap().produce(topic, Some(partition), records).unwrap();
}

fn numbers(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

/// A topic of which a worker reads all partitions.
struct Topic(String);

#[async_trait::async_trait]
impl Log for Topic {
    async fn open(&mut self) -> Box<dyn Source> {
        member(&self.0, &self.0, "0").await
    }

    fn records(&self) -> usize {
        3 * 40
    }

    fn ends(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_what_every_source_must() {
    let topic = topic("suite", 3).await;
    for partition in 0..3 {
        // Transactions leave markers between the records.
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers()).set("transactional.id", unique("suite"));
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(Duration::from_secs(60)).unwrap();
        for part in [0..15, 15..40] {
            producer.begin_transaction().unwrap();
            for number in part {
                let value = number.to_string();
                producer.send(BaseRecord::<(), str>::to(&topic).partition(partition).payload(&value)).unwrap();
            }
            producer.commit_transaction(Duration::from_secs(60)).unwrap();
        }
    }
    sources::run(&mut Topic(topic)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_in_order_once_from_where_seek_says() {
    let topic = topic("order", 3).await;
    for partition in 0..3 {
        feed(&topic, partition, numbers(0..500));
    }
    let mut source = member(&topic, &topic, "0").await;
    assert_eq!(assigned(&mut source).await, [0, 1, 2]);
    // Nothing is fetched before the positions are known.
    assert!(matches!(source.next(DEMAND).await.unwrap(), Event::Idle));

    source.seek(&[at(&topic, 0, 0), at(&topic, 1, 100), at(&topic, 2, 499)]).await.unwrap();
    let rows = read(&mut source, 500 + 400 + 1).await;
    for (partition, from) in [(0, 0), (1, 100), (2, 499)] {
        let of: Vec<_> = rows.iter().filter(|row| row.0 == partition).map(|row| (row.1, row.2.clone())).collect();
        let wanted: Vec<_> = (from..500).map(|offset| (offset, offset.to_string())).collect();
        assert_eq!(of, wanted, "partition {partition}");
    }

    // Back in one partition: what is named comes again, the others go on.
    source.seek(&[at(&topic, 1, 450)]).await.unwrap();
    feed(&topic, 0, ["new".into()]);
    let mut rows = read(&mut source, 51).await;
    rows.sort();
    assert_eq!(rows.len(), 51);
    assert_eq!(rows[0], (0, 500, "new".into()));
    assert_eq!(rows[1], (1, 450, "450".into()));
}

/// One that stays would keep its partitions from the others for as long as its session.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_for_good_leaves_its_partitions_to_the_others() {
    let topic = topic("leaves", 3).await;
    let mut first = ending(&topic, "0").await;
    assert_eq!(assigned(&mut first).await, [0, 1, 2]);
    let mut second = ending(&topic, "1").await;
    tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
    while assigned(&mut second).await != [0, 1, 2] {}
}

/// A member, with a long session, of a pipeline that ends when it has read all.
async fn ending(topic: &str, worker: &str) -> Box<dyn Source> {
    let context = SourceContext { ends: true, ..context(topic, worker) };
    let options = json!({ "session.timeout.ms": 300_000 });
    let settings = json!({ "brokers": brokers(), "topic": topic, "group": topic, "options": options });
    (KIND.parse)(settings).unwrap().open(&context, false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_takes_every_partition_and_disturbs_no_member() {
    let topic = topic("look", 3).await;
    for partition in 0..3 {
        feed(&topic, partition, numbers(0..50));
    }
    let mut member = member(&topic, &topic, "0").await;
    assert_eq!(assigned(&mut member).await, [0, 1, 2]);
    let settings = || json!({ "brokers": brokers(), "topic": topic });
    for _ in 0..2 {
        let context = SourceContext { observe: true, ..context(&topic, "0") };
        let mut look = (KIND.parse)(settings()).unwrap().open(&context, false).await.unwrap();
        assert_eq!(assigned(&mut look).await, [0, 1, 2]);
        look.seek(&[at(&topic, 0, 0), at(&topic, 1, 20), at(&topic, 2, 50)]).await.unwrap();
        assert_eq!(read(&mut look, 80).await.len(), 80);
    }
    assert!(matches!(member.next(DEMAND).await.unwrap(), Event::Idle), "the member keeps its partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn demand_bounds_a_chunk_and_one_large_record_still_comes() {
    let topic = topic("demand", 1).await;
    feed(&topic, 0, (0..10).map(|_| "x".repeat(1000)));
    let mut source = member(&topic, &topic, "0").await;
    assigned(&mut source).await;
    source.seek(&[at(&topic, 0, 0)]).await.unwrap();
    while source.next(Demand { rows: 0, ..DEMAND }).await.is_ok_and(|event| !matches!(event, Event::Idle)) {}
    let mut sizes = Vec::new();
    for bytes in [10, 2500, 1 << 20] {
        loop {
            match source.next(Demand { rows: 5, bytes, ..DEMAND }).await.unwrap() {
                Event::Records(chunk) => break sizes.push((chunk.records.len(), chunk.reached[0].next)),
                event => assert!(matches!(event, Event::Idle)),
            }
        }
    }
    assert_eq!(sizes, [(1, 1), (2, 3), (5, 8)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_go_past_markers_and_aborted_records() {
    let topic = topic("markers", 1).await;
    let transactional = || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers()).set("transactional.id", unique("markers"));
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(Duration::from_secs(20)).unwrap();
        producer
    };
    let producer = transactional();
    let send = |value: &str| {
        producer.send(BaseRecord::<(), str>::to(&topic).payload(value)).unwrap();
    };
    producer.begin_transaction().unwrap();
    send("kept");
    producer.commit_transaction(Duration::from_secs(20)).unwrap();
    producer.begin_transaction().unwrap();
    for _ in 0..20 {
        send("aborted");
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    producer.abort_transaction(Duration::from_secs(20)).unwrap();

    let mut source = member(&topic, &topic, "0").await;
    assigned(&mut source).await;
    source.seek(&[at(&topic, 0, 0)]).await.unwrap();
    let mut values = Vec::new();
    let mut reached = 0;
    // kept, its marker, 20 aborted, their marker.
    while reached < 23 {
        let chunk = chunk(&mut source).await;
        values.extend(chunk.records.values.iter().map(|value| value.unwrap().to_vec()));
        reached = chunk.reached[0].next;
    }
    assert_eq!((values, reached), (vec![b"kept".to_vec()], 23));
    assert_eq!(source.bounds(&[part(&topic, 0)]).await.unwrap()[0].end, 23);

    // From inside the hole on: nothing comes, and the position still moves.
    source.seek(&[at(&topic, 0, 5)]).await.unwrap();
    let chunk = chunk(&mut source).await;
    assert_eq!((chunk.records.len(), chunk.reached[0].next), (0, 23));
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_say_identity_ends_start_and_what_was_committed() {
    let topic = topic("bounds", 2).await;
    feed(&topic, 0, numbers(0..10));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let now = chrono::Utc::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    feed(&topic, 0, numbers(10..15));

    for (start, wanted) in [("earliest".to_owned(), 0), ("latest".into(), 15), (now.to_rfc3339(), 10)] {
        let settings = json!({ "brokers": brokers(), "topic": topic, "start": start, "group": topic });
        let source = (KIND.parse)(settings).unwrap().open(&context("p", "0"), true).await;
        let mut source = source.unwrap();
        let bounds = source.bounds(&[part(&topic, 0), part(&topic, 1)]).await.unwrap();
        let numbers: Vec<_> = bounds.iter().map(|b| (b.first, b.end, b.start, b.committed)).collect();
        assert_eq!(numbers, [(0, 15, wanted, None), (0, 0, 0, None)], "{start}");
        assert!(bounds[0].identity.contains('/'), "{}", bounds[0].identity);
        // Looking joins nothing.
        assert_eq!(source.next(DEMAND).await.unwrap_err().fault, Fault::Settings);
    }

    let mut source = member(&topic, &topic, "0").await;
    assigned(&mut source).await;
    source.seek(&[at(&topic, 0, 0), at(&topic, 1, 0)]).await.unwrap();
    source.housekeeping().commit(&[at(&topic, 0, 7)], "who").await.unwrap();
    // Lower than before: not sent.
    source.housekeeping().commit(&[at(&topic, 0, 3)], "who").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let committed = source.bounds(&[part(&topic, 0)]).await.unwrap()[0].committed;
        if committed.is_some() {
            assert_eq!(committed, Some(7));
            break;
        }
        assert!(Instant::now() < deadline);
    }
    let missing = source.bounds(&[part(&topic, 2)]).await.unwrap_err();
    assert_eq!(missing.fault, Fault::State);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_and_a_killed_one_returns_at_once() {
    let topic = topic("members", 4).await;
    let mut first = member(&topic, &topic, "0").await;
    assert_eq!(assigned(&mut first).await, [0, 1, 2, 3]);
    let mut second = member(&topic, &topic, "1").await;
    let (one, two) = tokio::join!(assigned(&mut first), assigned(&mut second));
    let mut all = [one.clone(), two.clone()].concat();
    all.sort_unstable();
    assert_eq!((one.len(), two.len(), all), (2, 2, vec![0, 1, 2, 3]));

    // The same worker again, while the group still believes in the old one: no waiting for its session to end, and the
    // old one, if it lives, learns that it is not wanted.
    let begin = Instant::now();
    let mut again = member(&topic, &topic, "1").await;
    assert_eq!(assigned(&mut again).await, two);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let ended = async {
        loop {
            match second.next(DEMAND).await {
                Ok(_) => assert!(begin.elapsed() < Duration::from_secs(60), "the old member was not told"),
                Err(error) => break error,
            }
        }
    };
    // The new one hears nothing of it.
    let quiet = async {
        loop {
            let event = again.next(DEMAND).await.unwrap();
            assert!(matches!(event, Event::Idle), "{event:?}");
        }
    };
    let error = tokio::select! {
        error = ended => error,
        () = quiet => unreachable!(),
    };
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.contains(&format!("`{topic}-1`")), "{error}");
}

/// So it is with what a coordinator remembers of an earlier life: a member that nobody is.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_id_and_does_not_live_is_outlived() {
    let topic = topic("outlived", 2).await;
    let settings = json!({ "brokers": brokers(), "topic": topic, "options": { "session.timeout.ms": 6000 } });
    let mut worker = open(settings.clone(), &topic, "0").await.unwrap();
    assert_eq!(assigned(&mut worker).await, [0, 1]);
    let ours = [part(&topic, 0), part(&topic, 1)];
    worker.bounds(&ours).await.unwrap();
    let mut other = open(settings, &topic, "0").await.unwrap();
    assert_eq!(assigned(&mut other).await, [0, 1]);
    drop(other);
    let mut events = Vec::new();
    let begin = Instant::now();
    while !matches!(events.last(), Some(Event::Assigned(_))) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{events:?}");
        events.push(worker.next(DEMAND).await.unwrap());
    }
    assert!(events.iter().any(|event| matches!(event, Event::Revoked)), "{events:?}");
    // It is a member as before, reads, and commits.
    worker.bounds(&ours).await.unwrap();
    worker.seek(&[at(&topic, 0, 0), at(&topic, 1, 0)]).await.unwrap();
    feed(&topic, 1, numbers(0..5));
    assert_eq!(read(&mut worker, 5).await.len(), 5);
    worker.housekeeping().commit(&[at(&topic, 1, 5)], "note").await.unwrap();
}

/// The session would end in five minutes: nothing waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_replaced_by_a_process_that_works_ends() {
    let topic = topic("works", 2).await;
    let settings = json!({ "brokers": brokers(), "topic": topic, "options": { "session.timeout.ms": 300_000 } });
    let mut old = open(settings.clone(), &topic, "0").await.unwrap();
    assert_eq!(assigned(&mut old).await, [0, 1]);
    old.housekeeping().commit(&[at(&topic, 0, 0), at(&topic, 1, 0)], "").await.unwrap();
    let mut new = open(settings, &topic, "0").await.unwrap();
    assert_eq!(assigned(&mut new).await, [0, 1]);
    new.housekeeping().commit(&[at(&topic, 0, 0), at(&topic, 1, 0)], "").await.unwrap();
    let begin = Instant::now();
    let error = loop {
        match old.next(DEMAND).await {
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(120), "the old one was not told"),
            Err(error) => break error,
        }
    };
    assert!(error.message.contains(&format!("another process joined the group as `{topic}-0`")), "{error}");
    assert!(matches!(new.next(DEMAND).await.unwrap(), Event::Idle));
}

/// Each claims what it believes to be its own, and would fence the other off.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_replaced_learns_it_before_it_claims() {
    let topic = topic("replaced", 2).await;
    // It hears of the group every 15 s.
    let settings = json!({ "brokers": brokers(), "topic": topic, "options": { "heartbeat.interval.ms": 15_000 } });
    let mut old = open(settings, &topic, "0").await.unwrap();
    assert_eq!(assigned(&mut old).await, [0, 1]);
    let ours = [part(&topic, 0), part(&topic, 1)];
    assert_eq!(old.bounds(&ours).await.unwrap().len(), 2);
    let mut new = member(&topic, &topic, "0").await;
    assert_eq!(assigned(&mut new).await, [0, 1]);
    let error = old.bounds(&ours).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unavailable, "{error}");
    assert!(error.message.contains("not in its group"), "{error}");
    assert_eq!(new.bounds(&ours).await.unwrap().len(), 2);
}

/// The group gives who comes back within its session what it had before.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_to_a_topic_that_has_grown_gets_the_new_partitions_too() {
    let topic = topic("grown", 2).await;
    let mut before = member(&topic, &topic, "0").await;
    assert_eq!(assigned(&mut before).await, [0, 1]);
    before.housekeeping().commit(&[at(&topic, 0, 0), at(&topic, 1, 0)], "who").await.unwrap();
    drop(before);
    grow(&topic, 4).await;
    let mut again = member(&topic, &topic, "0").await;
    let mut had = assigned(&mut again).await;
    while had.len() < 4 {
        had = assigned(&mut again).await;
    }
    assert_eq!(had, [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_has_another_identity() {
    let name = unique("recreated");
    create(&name, 1, &[]).await;
    let settings = json!({ "brokers": brokers(), "topic": name });
    let mut source = (KIND.parse)(settings).unwrap().open(&context("p", "0"), true).await.unwrap();
    let before = source.bounds(&[part(&name, 0)]).await.unwrap()[0].identity.clone();
    assert_eq!(source.bounds(&[part(&name, 0)]).await.unwrap()[0].identity, before);
    delete(&name).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while source.bounds(&[part(&name, 0)]).await.is_ok() {
        assert!(Instant::now() < deadline);
    }
    create(&name, 1, &[]).await;
    let after = loop {
        match source.bounds(&[part(&name, 0)]).await {
            Ok(bounds) => break bounds[0].identity.clone(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_ne!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_log_does_not_have_stops_loudly() {
    let topic = topic("range", 1).await;
    feed(&topic, 0, numbers(0..20));
    let mut below = TopicPartitionList::new();
    below.add_partition_offset(&topic, 0, Offset::Offset(10)).unwrap();
    admin().delete_records(&below, &AdminOptions::new()).await.unwrap();

    let mut source = member(&topic, &topic, "0").await;
    assigned(&mut source).await;
    for (position, text) in [
        (4, "position 4 is below the log's start, 10: 6 offsets are gone"),
        (25, "position 25 is beyond the log's end, 20: was the topic recreated?"),
    ] {
        source.seek(&[at(&topic, 0, position)]).await.unwrap();
        let begin = Instant::now();
        let error = loop {
            match source.next(DEMAND).await {
                Ok(Event::Idle) => assert!(begin.elapsed() < Duration::from_secs(20)),
                Ok(event) => panic!("{event:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.fault, Fault::State);
        assert!(error.message.contains(text), "{error}");
        assert!(error.remedy.contains("`foretell positions show`"), "{error}");
    }
    // What is there can still be read.
    source.seek(&[at(&topic, 0, 10)]).await.unwrap();
    assert_eq!(read(&mut source, 10).await[0], (0, 10, "10".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_stops_fetching_and_loses_nothing() {
    let topic = topic("full", 2).await;
    let value = "x".repeat(1000);
    for partition in 0..2 {
        feed(&topic, partition, (0..4000).map(|_| value.clone()));
    }
    let settings = json!({ "brokers": brokers(), "topic": topic, "buffer": "1 MiB" });
    let mut source = open(settings, &topic, "0").await.unwrap();
    assigned(&mut source).await;
    source.seek(&[at(&topic, 0, 0), at(&topic, 1, 0)]).await.unwrap();
    // Longer than the patience with a full buffer, more than once.
    let mut next = [0, 0];
    let mut pauses = 0;
    while next != [4000, 4000] {
        if pauses < 3 && next[0] + next[1] > pauses * 2000 {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            pauses += 1;
        }
        let chunk = chunk(&mut source).await;
        for row in 0..chunk.records.len() {
            let partition = usize::try_from(chunk.records.partitions.value(row)).unwrap();
            assert_eq!(chunk.records.offsets.value(row), next[partition]);
            next[partition] += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_anything_moves() {
    let name = topic("Pdata", 1).await;
    let begin = Instant::now();
    let error = refused(json!({ "brokers": "127.0.0.1:1", "topic": "t" })).await;
    assert_eq!(error.fault, Fault::Unavailable);
    assert!(error.message.starts_with("brokers `127.0.0.1:1` cannot be reached: "), "{error}");
    assert!(error.message.contains("Connection refused"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10));

    let error = refused(json!({ "brokers": brokers(), "topic": format!("{name}x") })).await;
    assert_eq!(error.fault, Fault::Settings);
    assert_eq!(error.remedy, format!("did you mean `{name}`?"));

    // A listener without login.
    let begin = Instant::now();
    let sasl = json!({ "sasl": { "mechanism": "PLAIN", "username": "u", "password": "hidden" } });
    let error = refused(json!({ "brokers": brokers(), "topic": name, "security": sasl })).await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(!error.to_string().contains("hidden"), "{error}");

    let error = settings_of::<Settings>(json!({ "brokers": "b", "topic": "t", "start": "first" })).unwrap_err();
    assert_eq!(error.path, ["start"]);
    let error = refused(json!({ "brokers": brokers(), "topic": name, "options": { "group.id": "g" } })).await;
    assert_eq!(error.to_string(), "`options` cannot set `group.id`; use `group`");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_keys_and_times_come_along() {
    let topic = topic("headers", 1).await;
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "a", value: Some("1") })
        .insert(rdkafka::message::Header { key: "b", value: None::<&str> });
    producer.send(BaseRecord::to(&topic).key("k").payload("v").timestamp(1234).headers(headers)).unwrap();
    producer.send(BaseRecord::<[u8], [u8]>::to(&topic)).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();

    let mut source = member(&topic, &topic, "0").await;
    assigned(&mut source).await;
    source.seek(&[at(&topic, 0, 0)]).await.unwrap();
    let records = chunk(&mut source).await.records;
    assert_eq!(records.len(), 2);
    assert_eq!((records.keys.value(0), records.values.value(0)), (&b"k"[..], &b"v"[..]));
    assert_eq!(records.timestamps.value(0), 1234);
    let found: Vec<_> = records.headers_of(0).iter().map(|h| (h.key.as_str(), h.value.as_deref())).collect();
    assert_eq!(found, [("a", Some(&b"1"[..])), ("b", None)]);
    use arrow::array::Array;
    assert!(records.keys.is_null(1) && records.values.is_null(1) && records.headers_of(1).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_go_while_the_buffer_is_full_are_told_and_end_the_reading() {
    let topic = topic("overtaken", 2).await;
    let value = "x".repeat(1000);
    for partition in 0..2 {
        feed(&topic, partition, (0..6000).map(|_| value.clone()));
    }
    let settings = json!({ "brokers": brokers(), "topic": topic, "buffer": "1 MiB" });
    let mut source = open(settings, &topic, "0").await.unwrap();
    assigned(&mut source).await;
    source.seek(&[at(&topic, 0, 0), at(&topic, 1, 0)]).await.unwrap();
    let first = chunk(&mut source).await;
    // Nobody takes more: the buffer fills, and what is behind it goes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut below = TopicPartitionList::new();
    below.add_partition_offset(&topic, 1, Offset::Offset(6000)).unwrap();
    admin().delete_records(&below, &AdminOptions::new()).await.unwrap();
    // Longer than a failure needs to be seen twice: the partition that is whole must not be read to its end first.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let (rows, error) = until_failure(&mut source).await;
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("is below the log's start, 6000: "), "{error}");
    assert!(rows.len() + first.records.len() < 6000, "{} records came before it was said", rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_recreated_while_it_is_read_ends_the_reading() {
    let name = topic("anew", 1).await;
    feed(&name, 0, numbers(0..10));
    let mut source = member(&name, &name, "0").await;
    assigned(&mut source).await;
    source.bounds(&[part(&name, 0)]).await.unwrap();
    source.seek(&[at(&name, 0, 0)]).await.unwrap();
    assert_eq!(read(&mut source, 10).await.len(), 10);
    delete(&name).await;
    create(&name, 1, &[]).await;
    // More of them: the old position is one of the new topic's, too.
    feed(&name, 0, numbers(0..30));
    let (_, error) = until_failure(&mut source).await;
    assert_eq!(error.fault, Fault::State, "{error}");
    assert!(error.to_string().contains("foretell positions"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_appears_a_moment_later_is_waited_for() {
    let name = unique("later");
    let (opened, ()) = tokio::join!(open(json!({ "brokers": brokers(), "topic": name }), &name, "0"), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        create(&name, 1, &[]).await;
    });
    assert!(opened.is_ok(), "{:?}", opened.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_read() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(codec, 1).await;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers()).set("compression.codec", codec);
        let producer: BaseProducer = config.create().unwrap();
        for _ in 0..20 {
            producer.send(BaseRecord::<(), str>::to(&topic).payload(&codec.repeat(50))).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
        let mut source = member(&topic, &topic, "0").await;
        assigned(&mut source).await;
        source.seek(&[at(&topic, 0, 0)]).await.unwrap();
        let rows = read(&mut source, 20).await;
        assert!(rows.iter().all(|row| row.2 == codec.repeat(50)), "{codec}");
    }
}
