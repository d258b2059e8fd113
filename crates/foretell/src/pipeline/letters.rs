//! Dead letters in files and tables become the records that they were: each line or row is one in JSON, with its reason and its
//! place.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foretell_flow::{
    Bounds, Chunk, Demand, Event, Header, Housekeeping, Location, Partition, Position, Provenance, Records,
    RecordsBuilder, Source, StageError,
};
use serde_json::{Map, Value};

/// What a letter that cannot be read once more is refused by.
const STAGE: &str = "dead letter";

/// What of a letter is told by headers, as letters in a topic tell it: the header's name behind `__connect.errors.`, and the
/// member.
const TOLD: [(&str, &str); 5] = [
    ("topic", "topic"),
    ("partition", "partition"),
    ("offset", "offset"),
    ("stage", "stage"),
    ("exception.message", "reason"),
];

/// A source of lines, each of which is a letter.
pub(super) struct Letters(pub(super) Box<dyn Source>);

#[async_trait]
impl Source for Letters {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        Ok(match self.0.next(demand).await? {
            Event::Records(chunk) => Event::Records(Chunk { records: open(&chunk.records), reached: chunk.reached }),
            other => other,
        })
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        self.0.partitions().await
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        self.0.bounds(partitions).await
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        self.0.seek(positions).await
    }

    async fn elsewhere(&mut self) -> Result<usize, StageError> {
        self.0.elsewhere().await
    }

    async fn notes(&mut self) -> Result<Vec<String>, StageError> {
        self.0.notes().await
    }

    async fn aliases(&mut self) -> Result<Vec<String>, StageError> {
        self.0.aliases().await
    }

    fn grows(&self) -> bool {
        self.0.grows()
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        self.0.housekeeping()
    }

    async fn places(&mut self, records: &Provenance) -> Result<Option<Vec<Location>>, StageError> {
        self.0.places(records).await
    }
}

/// The records that some letters were.
fn open(letters: &Records) -> Records {
    let mut records = RecordsBuilder::of_topics(letters.topics.clone());
    for row in 0..letters.len() {
        let (partition, offset) = (letters.partitions.value(row), letters.offsets.value(row));
        let line = letters.value(row).unwrap_or_default();
        let letter: Result<Map<String, Value>, _> = serde_json::from_slice(line);
        let Ok(letter) = letter else {
            records.push(partition, offset, None, None, Some(line), Vec::new());
            records.cut_last(line.len() as u64, STAGE, "the line is no dead letter in JSON".to_string());
            continue;
        };
        let text = |name: &str| letter.get(name).and_then(Value::as_str);
        let size = letter.get("value_size").and_then(Value::as_u64);
        let value = match letter.contains_key("value_hex") {
            true => whole(unhex(text("value_hex")), size),
            false => bytes(text("value"), size),
        };
        let time = text("timestamp").and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok());
        let time = time.map(|time| time.timestamp_millis());
        let key = unhex(text("key_hex")).or_else(|| Some(text("key")?.as_bytes().to_vec()));
        records.push(
            partition,
            offset,
            time,
            key.as_deref(),
            value.as_ref().ok().and_then(|value| value.as_deref()),
            headers(&letter),
        );
        if text("stage").is_some_and(|stage| stage == "decode key") && !letter.contains_key("key_hex") {
            let reason = "its key was no text, and a file of JSON does not keep it as it was";
            records.cut_last(size.unwrap_or(0), STAGE, reason.to_string());
        } else if let Err(reason) = value {
            records.cut_last(size.unwrap_or(0), STAGE, reason.to_string());
        }
    }
    records.finish()
}

/// The bytes that are written in hexadecimal.
fn unhex(text: Option<&str>) -> Option<Vec<u8>> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    let (pairs, rest) = text?.as_bytes().as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// A value that is as long as it was.
fn whole(value: Option<Vec<u8>>, size: Option<u64>) -> Result<Option<Vec<u8>>, &'static str> {
    match (value, size) {
        (Some(value), Some(size)) if value.len() as u64 != size => Err("only the beginning of its value was kept"),
        (None, Some(_)) => Err("its value is not in the table"),
        (value, _) => Ok(value),
    }
}

/// A record's value: JSON has text as it is, and anything else as base64. Its size tells which.
fn bytes(text: Option<&str>, size: Option<u64>) -> Result<Option<Vec<u8>>, &'static str> {
    let Some(text) = text else {
        return match size {
            None => Ok(None),
            Some(_) => Err("its value is not in the file"),
        };
    };
    let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
        return Err("the size of its value is not in the file, so that it cannot be told whether it is whole");
    };
    if text.len() == size {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.len() == size => Ok(Some(bytes)),
        _ => Err("only the beginning of its value was kept"),
    }
}

/// The record's own headers, and what is told of the letter.
fn headers(letter: &Map<String, Value>) -> Vec<Header> {
    let own = letter.get("headers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let own = own.iter().filter_map(|header| {
        let value = header.get("value").and_then(Value::as_str).map(|value| value.as_bytes().to_vec());
        Some(Header { key: header.get("key")?.as_str()?.to_string(), value })
    });
    let told = TOLD.iter().filter_map(|(name, member)| {
        let value = match letter.get(*member)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some(Header { key: format!("__connect.errors.{name}"), value: Some(value.into_bytes()) })
    });
    own.chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(lines: &[&str]) -> Records {
        let mut letters = RecordsBuilder::new("bad".into());
        for (offset, line) in lines.iter().enumerate() {
            letters.push(0, offset as i64, None, None, Some(line.as_bytes()), Vec::new());
        }
        open(&letters.finish())
    }

    #[test]
    fn a_letter_becomes_the_record_that_it_was() {
        let records = opened(&[
            r#"{"topic":"in","partition":2,"offset":41,"timestamp":"2026-01-02T03:04:05Z","stage":"query","reason":"division by zero","key":"p1","value":"1,2","value_size":3,"headers":[{"key":"h","value":"x"}]}"#,
            r#"{"topic":"in","partition":0,"offset":7,"timestamp":null,"stage":"decode csv","reason":"not UTF-8","key":null,"value":"/wA=","value_size":2,"headers":[]}"#,
            r#"{"topic":"in","partition":0,"offset":8,"timestamp":null,"stage":"decode csv","reason":"no value","key":null,"value":null,"value_size":null,"headers":[]}"#,
        ]);
        assert_eq!((records.value(0), records.keys.value(0)), (Some(&b"1,2"[..]), &b"p1"[..]));
        assert_eq!(records.timestamps.value(0), 1_767_323_045_000);
        assert_eq!(records.value(1), Some(&b"\xff\0"[..]));
        assert_eq!(records.value(2), None);
        let headers = records.headers_of(0);
        let of = |name: &str| headers.iter().find(|h| h.key == name).and_then(|h| h.value.clone());
        assert_eq!(of("h"), Some(b"x".to_vec()));
        assert_eq!(of("__connect.errors.offset"), Some(b"41".to_vec()));
        assert_eq!(of("__connect.errors.exception.message"), Some(b"division by zero".to_vec()));
        assert!(records.cut.is_empty(), "{:?}", records.cut);
    }

    #[test]
    fn what_is_not_whole_is_bad_again() {
        let letter = |stage: &str, value: &str, size: &str| {
            format!(
                r#"{{"topic":"in","partition":0,"offset":1,"stage":"{stage}","reason":"r","key":"k","value":{value},"value_size":{size},"headers":[]}}"#
            )
        };
        let lines = [
            letter("decode csv", "\"abc\"", "900000"),
            letter("decode csv", "null", "5"),
            letter("decode csv", "\"abc\"", "null"),
            letter("decode key", "\"abc\"", "3"),
            "x,y".to_string(),
        ];
        let records = opened(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let reasons: Vec<&str> = records.cut.iter().map(|cut| cut.reason.as_str()).collect();
        assert_eq!(records.cut.iter().map(|cut| cut.row).collect::<Vec<_>>(), [0, 1, 2, 3, 4], "{reasons:?}");
        assert!(reasons[0].contains("only the beginning") && reasons[4].contains("no dead letter"), "{reasons:?}");
    }
}
