//! Reads all sinks, during a run and after it, and says what is wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use object_store::aws::AmazonS3;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use super::read::{hdfs, objects, one, recover, snapshot, table};
use super::records::Records;

/// A row as sinks have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Landed {
    pub(crate) part: i32,
    pub(crate) off: i64,
    pub(crate) id: i64,
    pub(crate) twice: i64,
    pub(crate) at: i64,
}

/// Where rows land.
pub(crate) enum Place {
    /// A table with its progress beside it: address, pipeline, sink.
    Sql(String, String),
    /// A table with sums by partition.
    Sums(String, String),
    Topic(Box<BaseConsumer>),
    /// The topic of bad records.
    DeadLetters(Box<BaseConsumer>),
    /// A folder of JSON Lines on HDFS: the NameNode's address.
    Hdfs(String, BTreeSet<String>),
    /// The same in a bucket.
    S3(Box<AmazonS3>, BTreeSet<String>),
    /// A file that grows.
    Append(PathBuf),
    AppendHdfs(String),
}

pub(crate) struct SinkCheck {
    pub(crate) name: String,
    pub(crate) pipeline: String,
    pub(crate) sink: String,
    /// The table, topic or path.
    pub(crate) at: String,
    pub(crate) place: Place,
    /// What was seen, where it is read on and not anew each time.
    seen: HashMap<(i32, i64), Landed>,
    last: BTreeMap<i32, i64>,
    /// Whether nobody writes any more.
    pub(crate) closed: bool,
    /// Where it was by its own positions.
    next: BTreeMap<i32, i64>,
}

/// A topic that is read on and on, committed records only.
pub(crate) fn consumer(brokers: &str, topic: &str) -> Box<BaseConsumer> {
    let mut config = super::records::config(brokers);
    config.set("group.id", "checker").set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    Box::new(consumer)
}

type Found = Result<Vec<String>, String>;

impl SinkCheck {
    pub(crate) fn new(pipeline: &str, sink: &str, at: &str, place: Place) -> SinkCheck {
        SinkCheck {
            name: format!("{pipeline}/{sink}"),
            pipeline: pipeline.into(),
            sink: sink.into(),
            at: at.into(),
            place,
            seen: HashMap::new(),
            last: BTreeMap::new(),
            closed: false,
            next: BTreeMap::new(),
        }
    }

    /// A backup was put back: positions may be lower than before.
    pub(crate) fn restored(&mut self) {
        self.next.clear();
    }

    /// The service that is read.
    pub(crate) fn service(&self) -> Option<&str> {
        match &self.place {
            Place::Sql(url, _) | Place::Sums(url, _) => Some(url),
            Place::Hdfs(namenode, _) | Place::AppendHdfs(namenode) => Some(namenode),
            Place::S3(..) => Some("s3"),
            Place::Topic(_) | Place::DeadLetters(_) | Place::Append(_) => None,
        }
    }

    /// What is wrong now; an error where the sink cannot be read within a time.
    pub(crate) fn check(&mut self, records: &Records, within: Duration) -> Found {
        match &mut self.place {
            Place::Sql(..) => self.check_sql(records, within),
            Place::Sums(..) => self.check_sums(records, within),
            Place::Topic(_) => Ok(self.check_topic(records)),
            Place::DeadLetters(_) => Ok(self.check_dead(records)),
            Place::Hdfs(..) | Place::S3(..) => self.check_files(records, within),
            Place::Append(_) | Place::AppendHdfs(_) => self.check_append(records, within),
        }
    }

    /// Whether everything below these ends is there.
    pub(crate) fn complete(&mut self, records: &Records, ends: &BTreeMap<i32, i64>) -> bool {
        match &self.place {
            Place::Sql(..) | Place::Sums(..) => {
                ends.iter().all(|(part, end)| self.next.get(part).is_some_and(|next| next >= end))
            }
            Place::DeadLetters(_) => records.bad(ends).iter().all(|(part, off)| self.seen.contains_key(&(*part, *off))),
            // Its last block is hidden as long as it is open: it counts at the end.
            Place::AppendHdfs(_) if !self.closed => true,
            _ => {
                let below = |key: &&(i32, i64)| ends.get(&key.0).is_some_and(|end| key.1 < *end);
                self.seen.keys().filter(below).count() == records.good(ends)
            }
        }
    }

    /// How far it is, as a number that grows.
    pub(crate) fn progress(&self) -> i64 {
        self.next.values().sum::<i64>() + self.seen.len() as i64
    }

    /// All rows, at the end.
    pub(crate) fn rows(&self) -> HashMap<(i32, i64), Landed> {
        if let Place::Sql(url, _) = &self.place {
            let rows = super::wait(table(url, "part, off, id, twice, at", &self.at)).unwrap();
            let landed = |r: Vec<i64>| Landed { part: r[0] as i32, off: r[1], id: r[2], twice: r[3], at: r[4] };
            return rows.into_iter().map(landed).map(|row| ((row.part, row.off), row)).collect();
        }
        self.seen.clone()
    }

    /// One snapshot: nothing twice, nothing above the position, everything below it, every value right.
    fn check_sql(&mut self, records: &Records, within: Duration) -> Found {
        let Place::Sql(url, progress) = &self.place else { unreachable!() };
        let table = &self.at;
        let rows = format!(
            "SELECT part, count(*), count(DISTINCT off), max(off), sum(CASE WHEN twice = 2 * id THEN 0 ELSE 1 END), sum(id) \
             FROM {table} GROUP BY part"
        );
        let stored = format!(
            "SELECT {p}partition{p}, next FROM {progress} WHERE pipeline = '{}' AND sink = '{}'",
            self.pipeline,
            self.sink,
            p = if url.starts_with("mysql") { "`" } else { "\"" }
        );
        let [rows, stored] = super::wait(snapshot(url, [&rows, &stored], within))?;
        let mut wrong = Vec::new();
        let next: BTreeMap<i32, i64> = stored.iter().map(|row| (row[0] as i32, row[1])).collect();
        for (part, before) in &self.next {
            match next.get(part) {
                Some(next) if next >= before => {}
                next => wrong
                    .push(format!("{}: the position of partition {part} went from {before} to {next:?}", self.name)),
            }
        }
        for row in &rows {
            let [part, count, distinct, last, bad, sum] = row[..] else { unreachable!() };
            let end = next.get(&(part as i32)).copied().unwrap_or(0);
            if count != distinct {
                wrong.push(format!("{}: {} rows of partition {part} are there twice", self.name, count - distinct));
            }
            if last >= end {
                wrong.push(format!("{}: partition {part} has a row at {last}, and its position is {end}", self.name));
            }
            if bad != 0 {
                wrong.push(format!("{}: {bad} rows of partition {part} have another value", self.name));
            }
            if known(records, part as i32, end) {
                let good = records.good_below(part as i32, end);
                if good as i64 != count {
                    wrong.push(format!(
                        "{}: {count} rows of partition {part} below {end}, and {good} records",
                        self.name
                    ));
                } else if sum != records.sum_below(part as i32, end) {
                    wrong.push(format!("{}: rows of partition {part} below {end} are of other records", self.name));
                }
            }
        }
        self.next = next;
        Ok(wrong)
    }

    /// Each batch's sum by partition once, and all of them together those of the records.
    fn check_sums(&mut self, records: &Records, within: Duration) -> Found {
        let Place::Sums(url, progress) = &self.place else { unreachable!() };
        let quote = if url.starts_with("mysql") { "`" } else { "\"" };
        let rows = format!(
            "SELECT part, sum(n), sum(ids), count(*), count(DISTINCT lo), max(hi) FROM {} GROUP BY part",
            self.at
        );
        let stored = format!(
            "SELECT {quote}partition{quote}, next FROM {progress} WHERE pipeline = '{}' AND sink = '{}'",
            self.pipeline, self.sink
        );
        let [rows, stored] = super::wait(snapshot(url, [&rows, &stored], within))?;
        let next: BTreeMap<i32, i64> = stored.iter().map(|row| (row[0] as i32, row[1])).collect();
        let mut wrong = Vec::new();
        for row in &rows {
            let [part, n, ids, count, distinct, last] = row[..] else { unreachable!() };
            let end = next.get(&(part as i32)).copied().unwrap_or(0);
            if count != distinct || last >= end {
                wrong.push(format!("{}: a batch of partition {part} is there twice or above the position", self.name));
            }
            if known(records, part as i32, end) {
                let (good, sum) = (records.good_below(part as i32, end) as i64, records.sum_below(part as i32, end));
                if (n, ids) != (good, sum) {
                    wrong.push(format!(
                        "{}: partition {part} below {end}: {n} records, sum {ids}, instead of {good}, {sum}",
                        self.name
                    ));
                }
            }
        }
        self.next = next;
        Ok(wrong)
    }

    fn check_topic(&mut self, records: &Records) -> Vec<String> {
        let Place::Topic(consumer) = &self.place else { unreachable!() };
        let mut new = Vec::new();
        // They may come for ever.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until
            && let Some(message) = consumer.poll(Duration::from_millis(if new.is_empty() { 300 } else { 30 }))
        {
            let Ok(message) = message else { continue };
            new.extend(message.payload().map(|value| String::from_utf8_lossy(value).into_owned()));
        }
        self.take(new, records, true)
    }

    fn check_dead(&mut self, records: &Records) -> Vec<String> {
        let Place::DeadLetters(consumer) = &self.place else { unreachable!() };
        let mut wrong = Vec::new();
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until
            && let Some(message) = consumer.poll(Duration::from_millis(100))
        {
            let Ok(message) = message else { continue };
            let header = |name: &str| -> i64 {
                let headers = message.headers().unwrap();
                let found = headers.iter().find(|header| header.key == name).and_then(|header| header.value);
                std::str::from_utf8(found.unwrap_or_default()).unwrap().parse().unwrap_or(-1)
            };
            let (part, off) = (header("__connect.errors.partition") as i32, header("__connect.errors.offset"));
            if self.seen.insert((part, off), Landed { part, off, id: 0, twice: 0, at: 0 }).is_some() {
                wrong.push(format!("{}: the dead letter of {part}, {off} is there twice", self.name));
            }
            if records.at(part, off).is_some_and(|record| record.is_some()) {
                wrong.push(format!("{}: a dead letter of {part}, {off}, which is a good record", self.name));
            }
        }
        wrong
    }

    fn check_files(&mut self, records: &Records, within: Duration) -> Found {
        let new = match &mut self.place {
            Place::Hdfs(namenode, known) => super::wait(hdfs(namenode, &self.at, known, within))?,
            Place::S3(store, known) => super::wait(objects(store, &self.at, known, within))?,
            _ => unreachable!(),
        };
        let lines = new.iter().flat_map(|text| text.lines().map(str::to_string)).collect();
        Ok(self.take(lines, records, false))
    }

    fn check_append(&mut self, records: &Records, within: Duration) -> Found {
        let text = match &self.place {
            Place::Append(path) => match std::fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error.to_string()),
            },
            Place::AppendHdfs(namenode) => {
                if self.closed {
                    super::wait(recover(namenode, &self.at))?;
                }
                super::wait(one(namenode, &self.at, within))?
            }
            _ => unreachable!(),
        };
        // The last line may be half there.
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = String::from_utf8_lossy(&text[..end]).lines().map(str::to_string).collect();
        self.seen.clear();
        self.last.clear();
        Ok(self.take(lines, records, true))
    }

    /// Rows as JSON objects or as lines of `part,off,id,twice,at`.
    fn take(&mut self, lines: Vec<String>, records: &Records, ordered: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for line in lines {
            let Some(row) = landed(&line) else {
                wrong.push(format!("{}: a row that is none: {} bytes", self.name, line.len()));
                continue;
            };
            if self.seen.insert((row.part, row.off), row).is_some() {
                wrong.push(format!("{}: the row of {}, {} is there twice", self.name, row.part, row.off));
            }
            let last = self.last.insert(row.part, row.off).unwrap_or(-1);
            if ordered && last > row.off {
                wrong.push(format!("{}: partition {}: {} comes behind {last}", self.name, row.part, row.off));
            }
            let truth = records.at(row.part, row.off);
            if row.twice != 2 * row.id || truth.is_some_and(|id| id != Some(row.id)) {
                wrong.push(format!("{}: the row of {}, {} is of no such record", self.name, row.part, row.off));
            }
        }
        wrong
    }
}

/// Whether the truth is known up to there.
fn known(records: &Records, part: i32, end: i64) -> bool {
    for _ in 0..50 {
        if records.ends().get(&part).is_some_and(|known| *known >= end) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

fn landed(line: &str) -> Option<Landed> {
    if line.starts_with('{') {
        let row: Value = serde_json::from_str(line).ok()?;
        let number = |name: &str| row.get(name)?.as_i64();
        return Some(Landed {
            part: number("part")? as i32,
            off: number("off")?,
            id: number("id")?,
            twice: number("twice")?,
            at: number("at")?,
        });
    }
    let fields: Vec<i64> = line.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [part, off, id, twice, at] = fields[..] else { return None };
    Some(Landed { part: part as i32, off, id, twice, at })
}
