//! The records of a run: written all the time, and read again as the truth that sinks are compared with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// In every value, good or bad; a log that has it has told a value.
pub(crate) const HUSH: &str = "hush4711";

/// One record in this many is bad.
const POISON: u64 = 50;

pub(crate) fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("socket.timeout.ms", "10000").set("reconnect.backoff.max.ms", "1000");
    config
}

fn admin(brokers: &str) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    (config(brokers).create().unwrap(), options)
}

pub(crate) fn create(brokers: &str, topic: &str, partitions: i32) {
    let (admin, options) = admin(brokers);
    // A copy on each of them.
    let copies = brokers.split(',').count() as i32;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(copies));
    again(&format!("topic {topic} is created"), || {
        // After the start of a cluster not every broker is there at once.
        match super::wait(admin.create_topics([&new], &options)).map(|mut made| made.remove(0)) {
            Ok(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Ok(Err((_, code))) => Err(code.to_string()),
            Err(error) => Err(error.to_string()),
        }
    });
}

/// Until it is done, however busy the machine is.
fn again(what: &str, mut act: impl FnMut() -> Result<(), String>) {
    let mut last = String::new();
    for _ in 0..60 {
        match act() {
            Ok(()) => return,
            Err(error) => last = error,
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("{what}: {last}");
}

pub(crate) fn grow(brokers: &str, topic: &str, partitions: usize) {
    let (admin, options) = admin(brokers);
    again("partitions are added", || {
        match super::wait(admin.create_partitions([&NewPartitions::new(topic, partitions)], &options)) {
            // A first try may have done it: there are as many already.
            Ok(made)
                if made.iter().all(|made| matches!(made, Ok(_) | Err((_, RDKafkaErrorCode::InvalidPartitions)))) =>
            {
                Ok(())
            }
            Ok(_) => Err("refused".into()),
            Err(error) => Err(error.to_string()),
        }
    });
}

/// As retention does: what is below these offsets goes.
pub(crate) fn delete_below(brokers: &str, topic: &str, ends: &BTreeMap<i32, i64>) {
    let (admin, options) = admin(brokers);
    let mut below = TopicPartitionList::new();
    for (part, end) in ends {
        below.add_partition_offset(topic, *part, Offset::Offset(*end)).unwrap();
    }
    again("records are deleted", || {
        super::wait(admin.delete_records(&below, &options)).map(drop).map_err(|error| error.to_string())
    });
}

pub(crate) fn recreate(brokers: &str, topic: &str, partitions: i32) {
    let (admin, options) = admin(brokers);
    again("the topic is deleted", || {
        match super::wait(admin.delete_topics(&[topic], &options)).map(|mut gone| gone.remove(0)) {
            Ok(Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition))) => Ok(()),
            Ok(Err((_, code))) => Err(code.to_string()),
            Err(error) => Err(error.to_string()),
        }
    });
    std::thread::sleep(Duration::from_secs(2));
    create(brokers, topic, partitions);
}

/// What is at an offset: the record's number, if it is a good one.
type Log = BTreeMap<i32, BTreeMap<i64, Option<i64>>>;

/// The topic that everything is read from.
pub(crate) struct Records {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    /// Records a second.
    pub(crate) rate: Arc<AtomicU32>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// The bytes of a bad record, of every kind in turn.
fn poison(number: u64) -> Option<Vec<u8>> {
    Some(match number / POISON % 9 {
        0 => return None,
        1 => Vec::new(),
        2 => format!("x{number},{HUSH}").into_bytes(),
        3 => format!("{number},{HUSH},1,2,3").into_bytes(),
        4 => [HUSH.as_bytes(), b",\xff\xfe"].concat(),
        5 => format!("99999999999999999999,{HUSH}").into_bytes(),
        6 => format!("\"{number},{HUSH}").into_bytes(),
        7 => [b"\0\0\0\0\0", HUSH.as_bytes()].concat(),
        _ => format!("{},{}", HUSH.repeat(60_000), number).into_bytes(),
    })
}

impl Records {
    pub(crate) fn begin(brokers: &str, topic: &str, partitions: i32, rate: u32) -> Records {
        create(brokers, topic, partitions);
        let log: Arc<Mutex<Log>> = Arc::default();
        let (stop, rate) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(rate)));
        let writes = {
            let (brokers, topic, stop, rate) = (brokers.to_string(), topic.to_string(), stop.clone(), rate.clone());
            std::thread::spawn(move || write(&brokers, &topic, &stop, &rate))
        };
        let reads = {
            let (brokers, topic, stop, log) = (brokers.to_string(), topic.to_string(), stop.clone(), log.clone());
            std::thread::spawn(move || read(&brokers, &topic, &stop, &log))
        };
        Records { log, stop, rate, threads: vec![writes, reads] }
    }

    /// Where the log ends, by partition, as far as it was read.
    pub(crate) fn ends(&self) -> BTreeMap<i32, i64> {
        let log = self.log.lock().unwrap();
        log.iter().filter_map(|(part, log)| Some((*part, log.last_key_value()?.0 + 1))).collect()
    }

    /// Good records below these ends.
    pub(crate) fn good(&self, ends: &BTreeMap<i32, i64>) -> usize {
        ends.iter().map(|(part, end)| self.good_below(*part, *end)).sum()
    }

    pub(crate) fn good_below(&self, part: i32, end: i64) -> usize {
        let log = self.log.lock().unwrap();
        log.get(&part).map_or(0, |log| log.range(..end).filter(|(_, number)| number.is_some()).count())
    }

    /// The sum of the numbers of good records below these ends.
    pub(crate) fn sum_below(&self, part: i32, end: i64) -> i64 {
        let log = self.log.lock().unwrap();
        log.get(&part).map_or(0, |log| log.range(..end).filter_map(|(_, number)| *number).sum())
    }

    /// Bad records below these ends.
    pub(crate) fn bad(&self, ends: &BTreeMap<i32, i64>) -> Vec<(i32, i64)> {
        let log = self.log.lock().unwrap();
        let below = |(part, log): (&i32, &BTreeMap<i64, Option<i64>>)| {
            let end = ends.get(part).copied().unwrap_or(0);
            log.range(..end).filter(|(_, number)| number.is_none()).map(|(at, _)| (*part, *at)).collect::<Vec<_>>()
        };
        log.iter().flat_map(below).collect()
    }

    /// What is there: `None` where nothing is known yet.
    pub(crate) fn at(&self, part: i32, offset: i64) -> Option<Option<i64>> {
        self.log.lock().unwrap().get(&part)?.get(&offset).copied()
    }

    pub(crate) fn total(&self) -> usize {
        self.log.lock().unwrap().values().map(BTreeMap::len).sum()
    }

    /// No further records are written.
    pub(crate) fn pause(&self) {
        self.rate.store(0, SeqCst);
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Each record once, however long brokers are away: the producer is idempotent and never gives up.
fn write(brokers: &str, topic: &str, stop: &AtomicBool, rate: &AtomicU32) {
    let mut config = config(brokers);
    config.set("enable.idempotence", "true").set("message.timeout.ms", "0").set("linger.ms", "20");
    config.set("topic.metadata.refresh.interval.ms", "2000");
    let producer: BaseProducer = config.create().unwrap();
    let mut number = 0_u64;
    while !stop.load(SeqCst) {
        let now = rate.load(SeqCst);
        for _ in 0..(now / 20).max(u32::from(now > 0)) {
            number += 1;
            let bad = number.is_multiple_of(POISON);
            let good = format!("{number},{HUSH}-{number}").into_bytes();
            let value = if bad { poison(number) } else { Some(good) };
            let key = format!("{HUSH}k{}", number % 1000);
            loop {
                let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(key.as_bytes());
                record.payload = value.as_deref();
                match producer.send(record) {
                    Ok(()) => break,
                    Err(_) if stop.load(SeqCst) => return,
                    Err(_) => {
                        producer.poll(Duration::from_millis(50));
                    }
                }
            }
        }
        producer.poll(Duration::from_millis(50));
    }
    let _ = producer.flush(Duration::from_secs(20));
}

fn read(brokers: &str, topic: &str, stop: &AtomicBool, log: &Mutex<Log>) {
    let mut config = config(brokers);
    config.set("group.id", "truth").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut known = 0;
    while !stop.load(SeqCst) {
        if known == 0 || fastrand::u32(0..50) == 0 {
            let found = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)).ok();
            let count = found.map_or(0, |found| found.topics()[0].partitions().len());
            if count > known {
                let mut list = TopicPartitionList::new();
                for part in 0..count {
                    let next =
                        log.lock().unwrap().get(&(part as i32)).and_then(|log| log.last_key_value().map(|l| l.0 + 1));
                    let from = next.map_or(Offset::Beginning, Offset::Offset);
                    list.add_partition_offset(topic, part as i32, from).unwrap();
                }
                consumer.assign(&list).unwrap();
                known = count;
            }
        }
        let until = std::time::Instant::now() + Duration::from_millis(200);
        while std::time::Instant::now() < until {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let number = message.payload().and_then(good);
            log.lock().unwrap().entry(message.partition()).or_default().insert(message.offset(), number);
        }
    }
}

/// The number of a good record.
fn good(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (number, word) = text.split_once(',')?;
    let number: i64 = number.parse().ok()?;
    (word == format!("{HUSH}-{number}")).then_some(number)
}
