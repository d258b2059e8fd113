//! Change events as Debezium writes them: the row as it is now, or was before it was deleted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foretell_connect::kind::{SettingsError, Tombstones};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::decimal;
use super::flat::places;
use super::members::Members;
use super::scan::Unfit;
use super::tombstones::DELETED;

/// What stands around the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unwrap {
    /// Debezium's change events: `before`, `after`, `op`.
    Debezium,
}

/// The column that has the kind of change: `c` created, `u` updated, `d` deleted, `r` read in a snapshot.
pub(super) const OP: &str = "_op";

/// The kind of a change that deletes a row.
pub(super) const DELETE: &str = "d";

/// The columns that come beside those of the row.
pub(super) const OWN: &[&str] = &[OP, DELETED];

/// What a record without a value is: Debezium writes one behind each deletion, which says it already.
///
/// # Errors
/// Two settings for deletions.
pub(super) fn tombstones(given: Option<Tombstones>, unwrap: Option<Unwrap>) -> Result<Tombstones, SettingsError> {
    match (given, unwrap) {
        (Some(Tombstones::Delete), Some(_)) => Err(SettingsError {
            path: vec!["tombstones".to_string()],
            message: "`delete` has no meaning beside `unwrap`, whose events say what is deleted: leave it out"
                .to_string(),
        }),
        (Some(given), _) => Ok(given),
        (None, Some(_)) => Ok(Tombstones::Skip),
        (None, None) => Ok(Tombstones::Bad),
    }
}

/// The row's columns, all of which may be NULL, and those beside them.
pub(super) fn schema(row: &SchemaRef) -> SchemaRef {
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    let mut fields: Vec<Arc<Field>> = row.fields().iter().map(nullable).collect();
    fields.push(Arc::new(Field::new(OP, DataType::Utf8, false)));
    fields.push(Arc::new(Field::new(DELETED, DataType::Boolean, false)));
    Arc::new(Schema::new(fields))
}

/// Rows with the kinds of their changes.
pub(super) fn with_ops(schema: &SchemaRef, rows: &RecordBatch, ops: &[&str]) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(StringArray::from_iter_values(ops)));
    columns.push(Arc::new(ops.iter().map(|op| Some(*op == DELETE)).collect::<BooleanArray>()));
    RecordBatch::try_new(schema.clone(), columns).expect("one kind a row")
}

/// A change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    /// The row: after the change, or before it where it is deleted.
    pub(super) row: &'a str,
    pub(super) op: &'static str,
    /// What the event says of its own types.
    pub(super) schema: Option<&'a str>,
}

impl Change<'_> {
    pub(super) fn deletes(&self) -> bool {
        self.op == DELETE
    }
}

/// A kind of change.
///
/// # Errors
/// Why it is no change of a row.
pub(super) fn kind(op: Option<&str>) -> Result<&'static str, String> {
    match op {
        Some("c") => Ok("c"),
        Some("r") => Ok("r"),
        Some("u") => Ok("u"),
        Some("d") => Ok("d"),
        Some("t") => Err("the table was truncated (`op` is `t`), which no row stands for".to_string()),
        Some("m") => Err("a message of the database (`op` is `m`), which no row stands for".to_string()),
        Some(_) => Err("a change event with an `op` that is not known".to_string()),
        None => Err("not a change event: it has no `op`".to_string()),
    }
}

/// Takes an event apart; the text must have been parsed before.
///
/// # Errors
/// Why it is no change of a row.
pub(super) fn change(event: &str) -> Result<Change<'_>, String> {
    let mut members: BTreeMap<Cow<'_, str>, &str> = Members::of(event).collect();
    let schema = match (members.get("schema"), members.get("payload")) {
        (schema, Some(payload)) if !members.contains_key("op") => {
            let (schema, payload) = (schema.copied(), *payload);
            members = Members::of(payload).collect();
            schema.filter(|schema| schema.starts_with('{'))
        }
        _ => None,
    };
    // A kind has no characters that are escaped.
    let op = members.get("op").map(|op| op.strip_prefix('"').and_then(|op| op.strip_suffix('"')).unwrap_or_default());
    let op = kind(op)?;
    let side = if op == DELETE { "before" } else { "after" };
    match members.get(side).copied().filter(|row| row.starts_with('{')) {
        Some(row) => Ok(Change { row, op, schema }),
        None => Err(format!("a change event whose `{side}` is empty")),
    }
}

/// Where the row of an event without a schema stands, in a text that need not have been parsed, and the kind of its change.
///
/// # Errors
/// The event is not as usual; [`change`] says what it is.
pub(super) fn plain_change(data: &[u8], start: usize, end: usize) -> Result<(Range<usize>, &'static str), Unfit> {
    let [op, before, after] = places(data, start, end, &[b"\"op\"", b"\"before\"", b"\"after\""])?;
    let op = op.and_then(|op| data.get(op)).and_then(|op| std::str::from_utf8(op).ok());
    let op = kind(op.and_then(|op| op.strip_prefix('"')?.strip_suffix('"'))).map_err(|_| Unfit)?;
    let row = if op == DELETE { before } else { after };
    let row = row.filter(|row| data.get(row.start) == Some(&b'{'));
    row.map(|row| (row, op)).ok_or(Unfit)
}

/// What a number or a text of a row means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A time; so many of these are a second.
    Epoch(i64),
    /// A decimal in base64, with so many digits behind the point.
    Decimal(i8),
}

/// What fields mean, by their names, of the event's own schema. Kept from one event to the next, as long as that is the
/// same.
#[derive(Debug, Default)]
pub(super) struct Meanings {
    schema: String,
    fields: BTreeMap<String, Meaning>,
}

impl Meanings {
    /// Those of this schema.
    pub(super) fn of(&mut self, schema: &str) -> &BTreeMap<String, Meaning> {
        if self.schema != schema {
            self.schema = schema.to_string();
            self.fields = fields(schema).unwrap_or_default();
        }
        &self.fields
    }
}

fn fields(schema: &str) -> Option<BTreeMap<String, Meaning>> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    let sides = schema.get("fields")?.as_array()?;
    let row = sides.iter().find(|side| side.get("field").and_then(Value::as_str) == Some("after"))?;
    let mut found = BTreeMap::new();
    for field in row.get("fields")?.as_array()? {
        let name = field.get("field").and_then(Value::as_str);
        let meaning = match field.get("name").and_then(Value::as_str) {
            Some("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => Meaning::Epoch(1000),
            Some("io.debezium.time.MicroTimestamp") => Meaning::Epoch(1_000_000),
            Some("io.debezium.time.NanoTimestamp") => Meaning::Epoch(1_000_000_000),
            Some("org.apache.kafka.connect.data.Decimal") => {
                let scale = field.get("parameters").and_then(|all| all.get("scale")).and_then(Value::as_str);
                match scale.and_then(|scale| scale.parse().ok()) {
                    Some(scale) => Meaning::Decimal(scale),
                    None => continue,
                }
            }
            _ => continue,
        };
        if let Some(name) = name {
            found.insert(name.to_string(), meaning);
        }
    }
    Some(found)
}

/// A decimal from the base64 of its digits as a number of two's complement, the highest byte first.
pub(super) fn decimal_text(base64: &str, scale: i8) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok()?;
    if bytes.is_empty() || bytes.len() > 16 {
        return None;
    }
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 16];
    let start = whole.len().checked_sub(bytes.len())?;
    whole.get_mut(start..)?.copy_from_slice(&bytes);
    let number = i128::from_be_bytes(whole);
    (number != i128::MIN).then(|| decimal::show(number, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart() {
        let update = r#"{"before": null, "after": {"id": 1}, "op": "u", "source": {"op": "x"}}"#;
        assert_eq!(change(update), Ok(Change { row: r#"{"id": 1}"#, op: "u", schema: None }));
        let delete = r#"{"schema": {"fields": []}, "payload": {"op": "d", "before": {"id": 1}, "after": null}}"#;
        let expected = Change { row: r#"{"id": 1}"#, op: "d", schema: Some(r#"{"fields": []}"#) };
        assert_eq!(change(delete), Ok(expected));
        for (event, why) in [
            (r#"{"id": 1}"#, "no `op`"),
            (r#"{"op": "t"}"#, "truncated"),
            (r#"{"op": "d", "before": null}"#, "`before` is empty"),
            (r#"{"op": "c"}"#, "`after` is empty"),
            (r#"{"payload": null, "schema": null}"#, "no `op`"),
            (r#"{"op": 5}"#, "not known"),
        ] {
            assert!(change(event).unwrap_err().contains(why), "{event}");
        }
    }

    #[test]
    fn decimals_are_read_from_their_bytes() {
        // 1234, -1234, 0, 2^63 as java.math.BigInteger writes them.
        for (base64, text) in
            [("BNI=", "12.34"), ("+y4=", "-12.34"), ("AA==", "0.00"), ("AIAAAAAAAAAA", "92233720368547758.08")]
        {
            assert_eq!(decimal_text(base64, 2).as_deref(), Some(text));
        }
        assert_eq!(decimal_text("", 2), None);
        assert_eq!(decimal_text("12.5", 2), None);
        assert_eq!(decimal_text(&"A".repeat(40), 2), None);
    }
}
