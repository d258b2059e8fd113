//! What the benchmark of streams needs of Kafka beside foretell:
//!
//! - `kafka create BROKERS PARTITIONS TOPIC..`, `kafka delete BROKERS TOPIC..`
//! - `kafka fill BROKERS TOPIC RECORDS csv|json` writes made-up exam orders
//! - `kafka bare BROKERS TOPIC RECORDS OUT` reads them and writes a line for each with librdkafka alone, no transactions
//! - `kafka count BROKERS TOPIC` prints how many committed records there are
//! - `kafka latency BROKERS IN OUT RATE SECONDS` sends records at a steady rate and reads what comes of them. A record's
//!   time runs from when it was due, not from when it was sent, so that one that waits makes those behind it late, too.
//!   Prints a JSON line: `first` is when the first answer was there, by the machine's monotonic clock.
//! - `kafka transactions BROKERS OUT PROGRESS PRODUCERS SECONDS` commits one transaction after another with librdkafka
//!   alone, each with one record for each of the two topics, by several producers in step as a sink does it

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

type Outcome = Result<(), Box<dyn Error>>;

const WAIT: Duration = Duration::from_secs(60);

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["create", brokers, partitions, ref topics @ ..] => create(brokers, partitions.parse()?, topics),
        ["delete", brokers, ref topics @ ..] => delete(brokers, topics),
        ["fill", brokers, topic, records, format] => fill(brokers, topic, records.parse()?, format),
        ["bare", brokers, topic, records, out] => bare(brokers, topic, records.parse()?, out),
        ["count", brokers, topic] => count(brokers, topic),
        ["latency", brokers, topic, out, rate, seconds] => {
            latency(brokers, (topic, out), rate.parse()?, seconds.parse()?)
        }
        ["transactions", brokers, out, progress, producers, seconds] => {
            transactions(brokers, (out, progress), producers.parse()?, seconds.parse()?)
        }
        _ => Err("the head of this program's source says what it does".into()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    ClientConfig::new().set("bootstrap.servers", brokers).create()
}

fn create(brokers: &str, partitions: i32, topics: &[&str]) -> Outcome {
    let new: Vec<NewTopic<'_>> =
        topics.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))).collect();
    for outcome in runtime()?.block_on(admin(brokers)?.create_topics(&new, &AdminOptions::new()))? {
        outcome.map_err(|(topic, code)| format!("{topic}: {code}"))?;
    }
    Ok(())
}

fn delete(brokers: &str, topics: &[&str]) -> Outcome {
    runtime()?.block_on(admin(brokers)?.delete_topics(topics, &AdminOptions::new()))?;
    Ok(())
}

fn send(producer: &BaseProducer, topic: &str, key: &str, value: &str) -> Outcome {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    while let Err((error, back)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        producer.poll(Duration::from_millis(10));
        record = back;
    }
    Ok(())
}

fn fill(brokers: &str, topic: &str, records: u64, format: &str) -> Outcome {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .set("delivery.report.only.error", "true")
        .create()?;
    let mut state = 7u64;
    let mut value = String::new();
    for record in 0..records {
        let numbers = [60, 200, 40, 2, 100, 12, 3].map(|below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        });
        value.clear();
        let names = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"];
        for (place, (name, number)) in names.iter().zip(numbers).enumerate() {
            use std::fmt::Write as _;
            match format {
                "csv" => write!(value, "{}{number}", if place == 0 { "" } else { "," })?,
                _ => write!(value, "{}\"{name}\":{number}", if place == 0 { "{" } else { "," })?,
            }
        }
        if format != "csv" {
            value.push('}');
        }
        send(&producer, topic, &format!("P{record:08}"), &value)?;
    }
    producer.flush(WAIT)?;
    Ok(())
}

fn consumer(brokers: &str, topic: &str, settings: &[(&str, &str)]) -> Result<BaseConsumer, Box<dyn Error>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bench").set("enable.auto.commit", "false");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), WAIT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn bare(brokers: &str, topic: &str, records: u64, out: &str) -> Outcome {
    let begun = monotonic();
    let settings = [("queued.min.messages", "1000000"), ("fetch.message.max.bytes", "10000000")];
    let consumer = consumer(brokers, topic, &settings)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "2000000")
        .set("delivery.report.only.error", "true")
        .create()?;
    let (mut read, mut line) = (0, String::new());
    while read < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        use std::fmt::Write as _;
        line.clear();
        let key = std::str::from_utf8(message.key().unwrap_or_default())?;
        write!(line, "The Patient NO. is {key}, need 12 minutes to detect by MRI")?;
        send(&producer, out, key, &line)?;
        read += 1;
    }
    producer.flush(WAIT)?;
    println!("{}", serde_json::json!({ "records": read, "seconds": monotonic() - begun }));
    std::io::stdout().flush()?;
    // Nothing is left to be done, and ending the clients is not what is measured.
    std::process::exit(0)
}

fn count(brokers: &str, topic: &str) -> Outcome {
    let settings = [("isolation.level", "read_committed"), ("enable.partition.eof", "true")];
    let consumer = consumer(brokers, topic, &settings)?;
    let partitions = consumer.assignment()?.count();
    let (mut read, mut ended) = (0u64, 0);
    while ended < partitions {
        match consumer.poll(WAIT).ok_or("no answer")? {
            Ok(_) => read += 1,
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{read}");
    Ok(())
}

fn latency(brokers: &str, (topic, out): (&str, &str), rate: u64, seconds: u64) -> Outcome {
    let settings = [("isolation.level", "read_committed"), ("fetch.wait.max.ms", "1")];
    let consumer = consumer(brokers, out, &settings)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "0")
        .set("delivery.report.only.error", "true")
        .create()?;
    // The key is when the record was due, in nanoseconds, and comes back at the head of the value.
    let (heard, times) = std::sync::mpsc::channel::<(f64, u64)>();
    std::thread::spawn(move || {
        loop {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else { continue };
            let now = monotonic();
            let text = message.payload().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
            let due = text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
            if heard.send((now, due)).is_err() {
                return;
            }
        }
    });
    let value = "1,2,3,1,50,3,1";
    send(&producer, topic, "0", value)?;
    let (first, _) = times.recv_timeout(WAIT)?;
    std::thread::sleep(Duration::from_secs(3));
    let (begin, all) = (monotonic(), rate * seconds);
    for record in 0..all {
        let due = begin + record as f64 / rate as f64;
        let wait = due - monotonic();
        if wait > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(wait));
        }
        send(&producer, topic, &format!("{}", (due * 1e9) as u64), value)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(WAIT)?;
    let mut took = Vec::new();
    while took.len() < all as usize {
        let (now, due) = times.recv_timeout(WAIT)?;
        if due > 0 {
            took.push((now - due as f64 / 1e9) * 1e3);
        }
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
    let line = serde_json::json!({
        "first": first, "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0), "records": took.len(),
    });
    println!("{line}");
    std::io::stdout().flush()?;
    std::process::exit(0)
}

fn transactions(brokers: &str, (out, progress): (&str, &str), producers: usize, seconds: f64) -> Outcome {
    let producer = |id: usize| -> Result<BaseProducer, KafkaError> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("transactional.id", format!("bare/{out}/{id}"))
            .set("retry.backoff.ms", "1")
            .set("delivery.report.only.error", "true")
            .create()?;
        producer.client().fetch_metadata(None, WAIT)?;
        producer.init_transactions(WAIT)?;
        Ok(producer)
    };
    let producers = (0..producers).map(producer).collect::<Result<Vec<_>, _>>()?;
    let one = |producer: &BaseProducer| -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        for topic in [progress, out] {
            producer.send(BaseRecord::to(topic).key("key").payload("value")).map_err(|(error, _)| error)?;
        }
        // The wrapper's own flush looks again after 100 ms only.
        // SAFETY: the client is alive.
        unsafe { rdkafka::bindings::rd_kafka_flush(producer.client().native_ptr(), 10_000) };
        producer.commit_transaction(WAIT)
    };
    let (begun, mut took) = (monotonic(), Vec::new());
    while monotonic() - begun < seconds {
        let begun = monotonic();
        std::thread::scope(|scope| {
            let running: Vec<_> = producers.iter().map(|producer| scope.spawn(|| one(producer))).collect();
            running.into_iter().try_for_each(|one| one.join().map_err(|_| KafkaError::Canceled)?)
        })?;
        took.push((monotonic() - begun) * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
    println!("{}", serde_json::json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "count": took.len() }));
    std::io::stdout().flush()?;
    std::process::exit(0)
}

/// Seconds, by a clock that all processes of the machine share.
fn monotonic() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written to a place that is there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
