//! Dead letters in a table, as the source of a replay: each partition of the pipeline's own source is one here, with the offsets
//! that its records had there, so that a place stays what it is whatever else comes into the table.
//!
//! A record is a letter in JSON, with key and value in hexadecimal; who replays makes of it what it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use foretell_connect::kind::{Kind, SourceContext, SourceSettings, schema_of, settings_of};
use foretell_connect::secret::SecretUrl;
use foretell_flow::{
    Bounds, Chunk, Demand, Event, Housekeeping, Partition, Position, RecordsBuilder, Sharing, Source, StageError,
    Topics,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::databases;
use super::read::{self, What};
use super::schema::{Column, ColumnKind, Name};

/// The source of a replay, which no pipeline file names.
pub const KIND: Kind<dyn SourceSettings> = Kind {
    name: "sql",
    inherits: &[],
    schema: schema_of::<Settings>,
    parse: |value| Ok(Box::new(settings_of::<Settings>(value)?)),
};

/// Letters that are read at once: a value may have half a MiB.
const PAGE: usize = 200;

/// Where the letters are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The database.
    url: SecretUrl,
    /// The table.
    table: String,
    /// The pipeline's time zone: times of day in the table are of it.
    #[serde(default)]
    timezone: Option<String>,
}

#[async_trait]
impl SourceSettings for Settings {
    fn describe(&self) -> String {
        format!("dead letters in table {} ({})", self.table, databases::scheme(&self.url))
    }

    fn sharing(&self) -> Sharing {
        Sharing::Single
    }

    async fn open(&self, context: &SourceContext, _probe: bool) -> Result<Box<dyn Source>, StageError> {
        let zone = self.timezone.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC);
        Ok(Box::new(Letters {
            table: Table::find(&self.url, &context.base, &self.table).await?,
            zone,
            topics: Topics::default(),
            at: BTreeMap::new(),
            assigned: false,
        }))
    }
}

/// A table of letters.
struct Table {
    url: SecretUrl,
    base: PathBuf,
    name: String,
    /// What follows FROM.
    from: String,
    /// By letter's column, how it is selected; `None` where the table has no such column.
    columns: Vec<(&'static str, Option<String>)>,
    /// Whether times are instants.
    instant: bool,
}

/// The columns of letters; those of the first are needed.
const NEEDED: [&str; 4] = ["topic", "partition", "offset", "value"];
const OTHERS: [&str; 6] = ["timestamp", "stage", "reason", "key", "value_size", "headers"];

impl Table {
    async fn find(url: &SecretUrl, base: &Path, table: &str) -> Result<Table, StageError> {
        let address = databases::address(url, base)?;
        let place = address.place();
        if address.absent() {
            let error = StageError::settings(format!("{place}: the file does not exist"));
            return Err(error.remedy("there are no dead letters yet"));
        }
        let mut database = address.connect(false).await.map_err(|failure| failure.at(&place))?;
        let dialect = database.dialect();
        let name = Name::read(table);
        let found = database.describe(&name).await;
        database.close().await;
        let Some(found) = found.map_err(|failure| failure.at(&place))? else {
            let error = StageError::settings(format!("{place}: there is no table `{name}`"));
            return Err(error.remedy("there are no dead letters yet, or the name is another"));
        };
        let of = |name: &str| {
            let same = |column: &&Column| column.name == name;
            let like = |column: &&Column| column.name.eq_ignore_ascii_case(name);
            found.columns.iter().find(same).or_else(|| found.columns.iter().find(like))
        };
        if let Some(lacks) = NEEDED.into_iter().find(|column| of(column).is_none()) {
            let error = StageError::settings(format!("{place}: table `{name}` has no column `{lacks}`"));
            return Err(error.remedy("letters that are to come back need topic, partition, offset and value"));
        }
        let selected = |name: &'static str| {
            let column = of(name)?;
            let quoted = dialect.quoted(&column.name);
            Some(match name {
                "topic" | "key" | "value" => dialect.hex(&quoted, &column.kind),
                _ => quoted,
            })
        };
        let instant = of("timestamp").is_some_and(|one| matches!(one.kind, ColumnKind::Time { instant: true, .. }));
        Ok(Table {
            url: url.clone(),
            base: base.to_path_buf(),
            name: table.to_string(),
            from: dialect.table(&name),
            columns: NEEDED.into_iter().chain(OTHERS).map(|name| (name, selected(name))).collect(),
            instant,
        })
    }

    fn column(&self, name: &str) -> &str {
        let found = self.columns.iter().find(|(column, _)| *column == name);
        found.and_then(|(_, selected)| selected.as_deref()).unwrap_or("NULL")
    }

    async fn rows(&self, sql: String) -> Result<Vec<Vec<Option<String>>>, StageError> {
        Ok(read::read(&self.url, &self.base, &What::Query(sql)).await?.rows)
    }

    /// The partitions that letters are of, each with the offset behind its last letter.
    async fn partitions(&self) -> Result<Vec<(String, i32, i64)>, StageError> {
        let (topic, partition, offset) = (self.column("topic"), self.column("partition"), self.column("offset"));
        let sql =
            format!("SELECT {topic}, {partition}, MAX({offset}) FROM {} GROUP BY {topic}, {partition}", self.from);
        let read = |row: &Vec<Option<String>>| {
            let [Some(topic), Some(partition), Some(last)] = row.as_slice() else { return None };
            let topic = String::from_utf8(unhex(topic)?).ok()?;
            Some((topic, partition.parse().ok()?, last.parse::<i64>().ok()?.saturating_add(1)))
        };
        let rows = self.rows(sql).await?;
        let found: Option<Vec<(String, i32, i64)>> = rows.iter().map(read).collect();
        let mut found = found.ok_or_else(|| self.no_places())?;
        found.sort();
        Ok(found)
    }

    fn no_places(&self) -> StageError {
        let message = format!("table `{}`: a letter does not say where it was read", self.name);
        StageError::settings(message).remedy("give its row topic, partition and offset, or delete it")
    }

    /// Letters of a partition from an offset on.
    async fn page(&self, topic: &str, partition: i32, from: i64, rows: usize) -> Result<Vec<Letter>, StageError> {
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| self.column(name)).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = '{}' AND {} = {partition} AND {} >= {from} ORDER BY {} LIMIT {rows}",
            columns.join(", "),
            self.from,
            self.column("topic"),
            hex(topic.as_bytes()),
            self.column("partition"),
            self.column("offset"),
            self.column("offset"),
        );
        let rows = self.rows(sql).await?;
        let letter = |row: Vec<Option<String>>| {
            let values = self.columns.iter().map(|(name, _)| *name).zip(row);
            let values: BTreeMap<&str, String> = values.filter_map(|(name, value)| Some((name, value?))).collect();
            let offset = values.get("offset").and_then(|offset| offset.parse().ok());
            Ok(Letter { offset: offset.ok_or_else(|| self.no_places())?, values })
        };
        rows.into_iter().map(letter).collect()
    }
}

/// A row of the table.
struct Letter {
    offset: i64,
    values: BTreeMap<&'static str, String>,
}

impl Letter {
    /// As JSON; the place is the one that it had, not the one under which it is read now.
    fn json(&self, (topic, partition): (&str, i32), zone: Tz, instant: bool) -> Vec<u8> {
        let text = |name: &str| self.values.get(name).map(String::as_str);
        let mut letter = Map::new();
        letter.insert("topic".to_string(), json!(topic));
        letter.insert("partition".to_string(), json!(partition));
        letter.insert("offset".to_string(), json!(self.offset));
        for name in ["stage", "reason"] {
            letter.insert(name.to_string(), json!(text(name)));
        }
        letter.insert("key_hex".to_string(), json!(text("key")));
        letter.insert("value_hex".to_string(), json!(text("value")));
        let size = text("value_size").and_then(|size| size.parse::<u64>().ok());
        let whole = text("value").map(|value| value.len() / 2);
        letter.insert("value_size".to_string(), size.map_or(json!(whole), Value::from));
        let time = text("timestamp").and_then(|text| time(text, zone, instant));
        letter.insert("timestamp".to_string(), json!(time));
        let headers = text("headers").and_then(|text| serde_json::from_str::<Value>(text).ok());
        letter.insert("headers".to_string(), headers.unwrap_or(Value::Null));
        Value::Object(letter).to_string().into_bytes()
    }
}

/// A time of the table, in UTC.
fn time(text: &str, zone: Tz, instant: bool) -> Option<String> {
    let text = text.trim_end_matches("+00").trim_end_matches('Z').replace('T', " ");
    let local = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    let utc = match instant {
        true => local.and_utc(),
        false => zone.from_local_datetime(&local).earliest()?.with_timezone(&Utc),
    };
    Some(utc.to_rfc3339())
}

/// The name under which letters of a topic are read: what is bad once more is a letter of that one.
fn again(topic: &str) -> String {
    let count = topic.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (dead letters"));
    match count {
        Some((first, "")) => format!("{first} (dead letters 2)"),
        Some((first, count)) => match count.trim_start().parse::<u32>() {
            Ok(count) => format!("{first} (dead letters {})", count.saturating_add(1)),
            Err(_) => format!("{topic} (dead letters)"),
        },
        None => format!("{topic} (dead letters)"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Where it is in a partition, and what that is in the table.
struct At {
    next: i64,
    end: i64,
    topic: String,
}

struct Letters {
    table: Table,
    zone: Tz,
    topics: Topics,
    at: BTreeMap<Partition, At>,
    assigned: bool,
}

impl Letters {
    async fn look(&mut self) -> Result<(), StageError> {
        for (topic, index, end) in self.table.partitions().await? {
            let name = again(&topic);
            self.topics = match self.topics.names() {
                [] => Topics::one(name.as_str().into()),
                _ => self.topics.with(&name),
            };
            let partition = Partition { topic: name.into(), index };
            let at = self.at.entry(partition).or_insert(At { next: 0, end, topic });
            at.end = end.max(at.end);
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Letters {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !self.assigned {
            self.look().await?;
            self.assigned = true;
            let partitions: Vec<Partition> = self.at.keys().cloned().collect();
            return Ok(if partitions.is_empty() { Event::Ended } else { Event::Assigned(partitions) });
        }
        // Letters before those that were bad once more, whose topics have longer names: the latest come last.
        let left = self.at.iter_mut().filter(|(_, at)| at.next < at.end);
        let Some((partition, at)) = left.min_by_key(|(_, at)| at.topic.len()) else {
            return Ok(Event::Ended);
        };
        let letters = self.table.page(&at.topic, partition.index, at.next, demand.rows.clamp(1, PAGE)).await?;
        let mut records = RecordsBuilder::of_topics(self.topics.clone());
        let Some(ordinal) = self.topics.ordinal(partition) else {
            return Err(StageError::settings("the letters are of too many topics"));
        };
        for letter in letters.iter().filter(|letter| letter.offset < at.end) {
            let json = letter.json((&at.topic, partition.index), self.zone, self.table.instant);
            records.push(ordinal, letter.offset, None, None, Some(&json), Vec::new());
        }
        // Letters that were deleted leave gaps.
        at.next = letters.last().map_or(at.end, |last| last.offset.saturating_add(1)).min(at.end);
        let reached = vec![Position { partition: partition.clone(), next: at.next }];
        Ok(Event::Records(Chunk { records: records.finish(), reached }))
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(self.at.len())
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let identity = format!("dead letters in {}", self.table.name);
        let bounds = |partition: &Partition| Bounds {
            partition: partition.clone(),
            identity: identity.clone(),
            first: 0,
            end: self.at.get(partition).map_or(0, |at| at.end),
            start: 0,
            committed: None,
        };
        Ok(partitions.iter().map(bounds).collect())
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        for position in positions {
            if let Some(at) = self.at.get_mut(&position.partition) {
                at.next = position.next;
            }
        }
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(Ends(self.at.iter().map(|(partition, at)| (partition.clone(), at.end)).collect()))
    }
}

/// Where each partition ended when it was looked at.
struct Ends(BTreeMap<Partition, i64>);

#[async_trait]
impl Housekeeping for Ends {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        let behind = |position: &Position| {
            let end = self.0.get(&position.partition).copied().unwrap_or(position.next);
            end.saturating_sub(position.next).max(0)
        };
        Ok(positions.iter().map(behind).collect())
    }

    async fn commit(&self, _positions: &[Position], _note: &str) -> Result<(), StageError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bad_again_is_of_another_topic() {
        assert_eq!(again("in"), "in (dead letters)");
        assert_eq!(again("in (dead letters)"), "in (dead letters 2)");
        assert_eq!(again("in (dead letters 9)"), "in (dead letters 10)");
        assert_eq!(again("in (dead letters x)"), "in (dead letters x) (dead letters)");
    }

    #[test]
    fn bytes_and_times_are_those_of_the_table() {
        assert_eq!(unhex(&hex(b"\x00\xff a")), Some(b"\x00\xff a".to_vec()));
        assert_eq!((unhex("0"), unhex("0g")), (None, None));
        let shanghai: Tz = "Asia/Shanghai".parse().unwrap();
        assert_eq!(time("2026-01-02 03:04:05.678", Tz::UTC, false).unwrap(), "2026-01-02T03:04:05.678+00:00");
        assert_eq!(time("2026-01-02 11:04:05", shanghai, false).unwrap(), "2026-01-02T03:04:05+00:00");
        assert_eq!(time("2026-01-02 03:04:05.5+00", shanghai, true).unwrap(), "2026-01-02T03:04:05.500+00:00");
        assert_eq!(time("noon", Tz::UTC, true), None);
    }
}
