//! JSON: each value is one object, such as `{"AGE": 64, "NAME": "Ann"}`.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use foretell_flow::{Decode, Decoded, Records, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cell::Cell;
use super::column::{Columns, element};
use super::debezium::{self, Change, Meaning, Meanings, Unwrap};
use super::elements::{Element, Elements};
use super::flat::Flat;
use super::members::Members;
use super::rows::Rows;
use super::settings::{max_bytes, refuse_missing, set_timezone, unusable};
use super::slot::Slot;
use super::time::epoch;
use super::types::Type;
use super::wrong::Wrong;
use foretell_connect::human::HumanSize;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, SettingsError, Tombstones, schema_of, settings_of};
use foretell_connect::schemas::{Schemas, framed};

/// The kind `json`.
pub(super) const KIND: Kind<dyn DecodeSettings> =
    Kind { name: "json", inherits: &[], schema: schema_of::<Settings>, parse };

/// Values are JSON objects. Members that no column names are ignored; a member that is missing or null is NULL where
/// the column's type ends with `?`, and makes a bad record elsewhere. Types are not converted: `"5"` is not an int64; only a
/// decimal may come as a text, and an object or an array is a `utf8` that holds its JSON.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The columns, in order: `[AGE: int64, CITY: { type: utf8?, path: address.city }]`. Of files they may be left out:
    /// samples of several files tell them.
    columns: Columns,
    /// How the records' keys are read. Default: `utf8`.
    #[serde(default)]
    key: KeyType,
    /// The zone of times that are written without one, e.g. `Asia/Shanghai`. A time that its clocks show twice is the
    /// first of the two; one that they skip makes a bad record. Default: UTC.
    #[serde(default)]
    timezone: Option<String>,
    /// Longer values are bad records. Default: 1 MiB.
    #[serde(default = "max_bytes")]
    max_bytes: HumanSize,
    /// What a record without a value is: `bad` (default), `skip`, or `delete`: a row whose columns are NULL and whose column
    /// `_deleted` is true, for sinks with the setting `delete`.
    #[serde(default)]
    tombstones: Option<Tombstones>,
    /// Headers as columns of text, after the others: column → header, e.g. `{ type: ce_type, source: ce_source }` of CloudEvents.
    /// NULL where a record has no such header.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What stands around the rows: `debezium` reads its change events. The columns are those of `after`, of a deletion those of
    /// `before`; they may all be NULL there. The columns `_op` (`c`, `u`, `d`, `r`) and `_deleted` come beside them, and records
    /// without a value are passed over. Times and decimals are read as the event's own schema says, where it has one.
    #[serde(default)]
    unwrap: Option<Unwrap>,
}

fn parse(value: serde_json::Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    let mut settings: Settings = settings_of(value)?;
    set_timezone(&mut settings.columns, settings.timezone.as_deref())?;
    refuse_missing(&settings.columns)?;
    let mut tree = Tree::default();
    for (number, column) in settings.columns.iter().enumerate() {
        let path = if column.path.is_empty() { std::slice::from_ref(&column.name) } else { &column.path };
        tree.insert(path, number)
            .map_err(|message| SettingsError { path: vec!["columns".to_string(), number.to_string()], message })?;
    }
    let Settings { columns, key, max_bytes, tombstones, unwrap, headers, .. } = settings;
    let tombstones = debezium::tombstones(tombstones, unwrap)?;
    if let Some(column) = columns.iter().position(|column| unwrap.is_some() && debezium::OWN.contains(&&*column.name)) {
        let message = "`unwrap` gives a column of this name itself".to_string();
        return Err(SettingsError { path: vec!["columns".to_string(), column.to_string()], message });
    }
    let decimals = columns.iter().any(|column| matches!(column.data_type, Type::Decimal(..)));
    let epochs = columns.iter().enumerate().filter(|(_, column)| column.format.is_epoch()).map(|(at, _)| at).collect();
    let framed = false;
    Ok(Box::new(Checked {
        columns,
        tree,
        key,
        max_bytes: max_bytes.0,
        decimals,
        epochs,
        tombstones,
        framed,
        unwrap: unwrap.is_some(),
        headers,
    }))
}

/// Which member feeds which column: a tree, since a path may lead into objects.
#[derive(Debug, Clone, Default)]
struct Tree {
    members: Vec<(String, Member)>,
}

#[derive(Debug, Clone, Default)]
struct Member {
    /// The column that it feeds itself.
    column: Option<usize>,
    /// What feeds columns within it.
    inner: Tree,
}

impl Tree {
    fn insert(&mut self, path: &[String], column: usize) -> Result<(), String> {
        let Some((key, rest)) = path.split_first() else {
            return Err("the path is empty".to_string());
        };
        if self.find(key).is_none() {
            self.members.push((key.clone(), Member::default()));
        }
        let Some((_, member)) = self.members.iter_mut().find(|(name, _)| name == key) else { return Ok(()) };
        match rest {
            [] if member.column.is_some() => return Err(format!("another column already reads `{key}` there")),
            [] => member.column = Some(column),
            rest => member.inner.insert(rest, column)?,
        }
        Ok(())
    }

    fn find(&self, key: &str) -> Option<&Member> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, member)| member)
    }
}

/// The settings as they are used.
#[derive(Debug, Clone)]
struct Checked {
    columns: Columns,
    tree: Tree,
    key: KeyType,
    max_bytes: usize,
    /// Whether some column is a decimal.
    decimals: bool,
    /// The columns of times that are numbers.
    epochs: Vec<usize>,
    tombstones: Tombstones,
    /// Whether values may be in the wire format of schema registries.
    framed: bool,
    /// Whether they are change events.
    unwrap: bool,
    headers: BTreeMap<String, String>,
}

impl DecodeSettings for Checked {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        self.open_with(None)
    }

    fn open_with(&self, schemas: Option<Arc<dyn Schemas>>) -> Result<Box<dyn Decode>, StageError> {
        let settings = Checked { framed: schemas.is_some(), ..self.clone() };
        let schema = self.columns.schema();
        let schema = if self.unwrap { debezium::schema(&schema) } else { schema };
        let nested = self.unwrap || self.tree.members.iter().any(|(_, member)| !member.inner.members.is_empty());
        // As many as columns: each is read from a member of its own, in their order.
        let names = self.tree.members.iter().map(|(name, _)| name.as_str());
        let flat = if nested { None } else { Flat::new(names, self.decimals) };
        Ok(Box::new(Decoder { schema, settings, meanings: Meanings::default(), flat }))
    }

    fn key(&self) -> KeyType {
        self.key
    }

    fn headers(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.headers)
    }

    fn tombstones(&self) -> Tombstones {
        self.tombstones
    }
}

struct Decoder {
    settings: Checked,
    schema: SchemaRef,
    meanings: Meanings,
    /// The short way for objects of plain values, where no column needs more.
    flat: Option<Flat>,
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let values = &records.values;
        let data = values.value_data();
        let mut slots: Vec<Slot<'_>> = Vec::new();
        let mut ops: Vec<&'static str> = Vec::new();
        let optional = self.settings.unwrap.then(|| self.settings.columns.optional());
        let columns = optional.as_ref().unwrap_or(&self.settings.columns);
        let mut rows = Rows::new("decode json", columns, values.len());
        for row in 0..values.len() {
            let value = values.value(row);
            // The columns say what is wanted of a value: its schema need not be asked for.
            let value = framed(value).filter(|_| self.settings.framed).map_or(value, |(_, body)| body);
            let value = without_mark(value);
            if is_framed(value) {
                rows.refuse(row, FRAMED.to_string());
                continue;
            }
            if let Some(reason) = unusable(values.is_null(row), value, self.settings.max_bytes) {
                rows.refuse(row, reason);
                continue;
            }
            if let Some(flat) = &self.flat
                && let Some(end) = values.value_offsets().get(row.saturating_add(1)).map(|end| *end as usize)
                && let Some(start) = end.checked_sub(value.len())
                && rows.try_push(|columns, values| flat.record(data, start, end, columns, values)).is_ok()
            {
                continue;
            }
            let event = match self.settings.unwrap {
                true => object(&Tree::default(), value, &mut [])
                    .and_then(|()| debezium::change(std::str::from_utf8(value).unwrap_or_default())),
                false => Ok(Change { row: "", op: "", schema: None }),
            };
            let event = match event {
                Ok(event) => event,
                Err(reason) => {
                    rows.refuse(row, reason);
                    continue;
                }
            };
            let value = if self.settings.unwrap { event.row.as_bytes() } else { value };
            slots.clear();
            slots.resize(self.settings.columns.len(), Slot::Absent);
            match object(&self.settings.tree, value, &mut slots) {
                Ok(()) => {
                    let fraction = |at: &usize| matches!(slots.get(*at), Some(Slot::Float(_)));
                    let fractions = self.settings.epochs.iter().any(fraction);
                    if self.settings.decimals || fractions || slots.iter().any(Slot::lacks_text) {
                        as_written(&self.settings.tree, value, &mut slots);
                    }
                    if let Some(schema) = event.schema {
                        understand(&self.settings.columns, self.meanings.of(schema), &mut slots);
                    }
                    if self.settings.unwrap
                        && !event.deletes()
                        && let Some((column, _)) = (self.settings.columns.iter().zip(&slots))
                            .find(|(column, slot)| !column.optional && slot.missing(column))
                    {
                        let why = Wrong::Missing.describe(column.data_type);
                        rows.refuse(row, format!("field {}: {why}", column.name));
                        continue;
                    }
                    if rows.push(row, slots.iter(), |_, column| column.name.clone()) {
                        ops.push(event.op);
                    }
                }
                Err(reason) => rows.refuse(row, reason),
            }
        }
        if !self.settings.unwrap {
            return rows.finish(&self.schema);
        }
        let decoded = rows.finish(&columns.schema());
        Decoded { columns: debezium::with_ops(&self.schema, &decoded.columns, &ops), bad: decoded.bad }
    }
}

/// Reads numbers and texts as the event's own schema says, for columns that want it so.
fn understand(columns: &Columns, meanings: &BTreeMap<String, Meaning>, slots: &mut [Slot<'_>]) {
    for (column, slot) in columns.iter().zip(slots) {
        let name = match column.path.as_slice() {
            [] => &column.name,
            [name] => name,
            _ => continue,
        };
        let Some(meaning) = meanings.get(name) else { continue };
        let known = match (meaning, &*slot, column.data_type) {
            (Meaning::Epoch(per_second), _, Type::Timestamp) if !column.format.is_epoch() => {
                let number = Cell::signed(&&*slot).ok();
                number.and_then(|number| epoch(*per_second, number).ok()).map(Slot::Micros)
            }
            (Meaning::Decimal(scale), Slot::Text(text), Type::Float32 | Type::Float64) => {
                let number = debezium::decimal_text(text, *scale).and_then(|text| text.parse().ok());
                number.map(Slot::Float)
            }
            (Meaning::Decimal(scale), Slot::Text(text), _) => {
                debezium::decimal_text(text, *scale).map(|text| Slot::Text(Cow::Owned(text)))
            }
            _ => None,
        };
        if let Some(known) = known {
            *slot = known;
        }
    }
}

/// Some writers begin a text with this mark, as files do.
fn without_mark(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(value)
}

/// Whether a value begins as those do whose schema is in a registry: a zero byte and the schema's number. No JSON does.
fn is_framed(value: &[u8]) -> bool {
    value.len() >= 5 && value.first() == Some(&0)
}

const FRAMED: &str = "byte 0: not JSON: schema registry framing (a zero byte and a schema's number), which is not read \
                      without one; give the source its `registry`";

/// Reads one object's members into their slots.
fn object<'de>(tree: &Tree, value: &'de [u8], slots: &mut [Slot<'de>]) -> Result<(), String> {
    let text = std::str::from_utf8(value).map_err(|error| format!("byte {}: not UTF-8", error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Root { tree, slots }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| match error.classify() {
        // The only such error is our own: the value is not an object.
        serde_json::error::Category::Data => "not a JSON object".to_string(),
        _ => {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            format!("byte {}: not JSON: {message}", byte_of(text, error.line(), error.column()))
        }
    })
}

/// Gives the numbers of an object that was read all the digits that they are written with, and nested values their text.
fn as_written<'de>(tree: &Tree, value: &'de [u8], slots: &mut [Slot<'de>]) {
    let mut open = VecDeque::from([(tree, std::str::from_utf8(value).unwrap_or_default())]);
    while let Some((tree, object)) = open.pop_front() {
        for (key, text) in parts(object) {
            let Some(member) = tree.find(&key) else { continue };
            if !member.inner.members.is_empty() && text.starts_with(['{', '[']) {
                open.push_back((&member.inner, text));
            }
            if let Some(column) = member.column {
                match slots.get_mut(column) {
                    Some(slot @ (Slot::Signed(_) | Slot::Unsigned(_) | Slot::Float(_) | Slot::Digits(_)))
                        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') =>
                    {
                        *slot = Slot::Digits(text);
                    }
                    Some(slot @ (Slot::Object | Slot::Array)) if text.starts_with(['{', '[']) => {
                        *slot = Slot::Nested(text);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The members of an object, or the elements of an array by the names that paths have for them.
fn parts(text: &str) -> Box<dyn Iterator<Item = (Cow<'_, str>, &str)> + '_> {
    if !text.starts_with('[') {
        return Box::new(Members::of(text));
    }
    let (mut elements, mut at) = (Elements::default(), 0);
    Box::new((0_usize..).map_while(move |index| match elements.next(text.as_bytes(), at, true) {
        Element::Value(range) => {
            at = range.end;
            Some((Cow::Owned(element(index)), text.get(range)?))
        }
        Element::Unfinished(_) => None,
    }))
}

/// The index of a byte that is given by line and column (both from 1).
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    lines.map(str::len).sum::<usize>().saturating_add(column.saturating_sub(1))
}

// ---------------------------------------------------------------- visitors

/// Reads an object's members into slots; anything else is an error.
struct Root<'t, 's, 'de> {
    tree: &'t Tree,
    slots: &'s mut [Slot<'de>],
}

impl<'de> DeserializeSeed<'de> for Root<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(self.tree, self.slots, map)
    }
}

fn members<'de, A: MapAccess<'de>>(tree: &Tree, slots: &mut [Slot<'de>], mut map: A) -> Result<(), A::Error> {
    while let Some(member) = map.next_key_seed(Key(tree))? {
        match member {
            None => {
                map.next_value::<IgnoredAny>()?;
            }
            Some(member) => map.next_value_seed(Inner { member, slots: &mut *slots })?,
        }
    }
    Ok(())
}

/// Finds a key's member.
struct Key<'t>(&'t Tree);

impl<'de, 't> DeserializeSeed<'de> for Key<'t> {
    type Value = Option<&'t Member>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Key<'t> {
    type Value = Option<&'t Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(key))
    }
}

/// Implements the visits of everything that is not a container, each as a slot.
macro_rules! scalars {
    ($give:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Null))
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Bool(value)))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Signed(value)))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Unsigned(value)))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Float(value)))
        }

        fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Text(Cow::Borrowed(value))))
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Text(Cow::Owned(value.to_string()))))
        }
    };
}

/// A column's value.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Slot<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Slot<'de>;

    scalars!(|_, slot| slot);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Slot<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Slot::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Slot<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Slot::Object)
    }
}

/// A value that feeds a column, or has within it what does. Where it has no parts, the columns within are absent.
struct Inner<'t, 's, 'de> {
    member: &'t Member,
    slots: &'s mut [Slot<'de>],
}

impl<'de> Inner<'_, '_, 'de> {
    fn keep(&mut self, value: Slot<'de>) {
        if let Some(slot) = self.member.column.and_then(|column| self.slots.get_mut(column)) {
            *slot = value;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Inner<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut inner = self;
        match inner.member.inner.members.is_empty() {
            true => Value.deserialize(deserializer).map(|value| inner.keep(value)),
            false => deserializer.deserialize_any(inner),
        }
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_, 'de> {
    type Value = ();

    scalars!(|mut inner: Self, value| inner.keep(value));

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.keep(Slot::Array);
        let Inner { member, slots } = self;
        for index in 0_usize.. {
            // No deeper than the paths of the pipeline file.
            let found = match member.inner.find(&element(index)) {
                None => list.next_element::<IgnoredAny>()?.map(drop),
                Some(member) => list.next_element_seed(Inner { member, slots: &mut *slots })?,
            };
            if found.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.keep(Slot::Object);
        members(&self.member.inner, self.slots, map)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, decode_records, records, refusals, settings_error};
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn objects_become_columns_exactly() {
        let settings = json!({ "columns": [
            { "id": "int64" }, { "big": "uint64?" }, { "x": "float64?" }, { "f": "float32?" }, { "name": "utf8?" },
            { "ok": "bool?" }, { "city": { "type": "utf8?", "path": "address.city" } },
            { "at": { "type": "timestamp?", "format": "epoch_ms" } },
        ] });
        let values = [
            r#"{"id": 9007199254740993, "big": 18446744073709551615, "x": 0.1, "f": 0.1, "name": "A\u00e9\n", "ok": true,
                "address": {"zip": [1, {"a": 2}], "city": "Wuhan"}, "at": 1568197230000, "other": {"deep": [[]]}}"#,
            r#"{"id": -1, "x": 5, "address": null, "name": null}"#,
            r#"{"id": 1, "id": 2, "address": "none"}"#,
        ];
        let decoded = decode(&KIND, settings, &values);
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        let column = |n: usize| decoded.columns.column(n);
        assert_eq!(column(0).as_primitive::<Int64Type>().values().to_vec(), [9_007_199_254_740_993, -1, 2]);
        assert_eq!(column(1).as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert_eq!(column(2).as_primitive::<Float64Type>().values()[..2].to_vec(), [0.1, 5.0]);
        assert_eq!(column(3).as_primitive::<Float32Type>().value(0), 0.1);
        assert_eq!(column(4).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("Aé\n"), None, None]);
        assert!(column(5).as_boolean().value(0));
        assert_eq!(column(6).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("Wuhan"), None, None]);
        assert_eq!(column(7).as_primitive::<TimestampMicrosecondType>().value(0), 1_568_197_230_000_000);
    }

    proptest! {
        #[test]
        fn the_short_way_says_what_the_parser_says(
            members in prop::collection::vec((
                prop::sample::select(vec!["a", "b", "c", "d", "e", "t", "other", "\\u0061", "x y", "é"]),
                prop::sample::select(vec![
                    "0", "7", "007", "-0", "-7", "123456789012345", "1234567890123456", "-123456789012345678", "1.5", "-1.5e3",
                    "1e400", "0.1", "01.5", "1.", ".5", "1e", "300", "16777217", "9007199254740993", "null", "nul", "true",
                    "false", "\"\"", "\"x\"", "\"a longer text, and a comma\"", "\"\\n\"", "\"\u{7f}é\"", "\"\t\"", "[1]", "{}",
                    "\"2026-01-31\"", "\"5", "1e20", "18446744073709551616",
                ]),
                prop::sample::select(vec!["", " ", "\n\t"]),
            ), 0..9),
            cut in prop::option::weighted(0.1, 0_usize..200),
            decimals in any::<bool>(),
        ) {
            let members: Vec<String> = members.iter().map(|(name, value, space)| {
                format!("{space}\"{name}\"{space}:{space}{value}{space}")
            }).collect();
            let mut record = format!("{{{}}}", members.join(",")).into_bytes();
            record.truncate(cut.unwrap_or(usize::MAX));
            let mut columns = vec![
                json!({ "a": "int64?" }), json!({ "b": "float64?" }), json!({ "c": "utf8?" }), json!({ "d": "float32?" }),
                json!({ "e": "bool?" }), json!({ "t": "date?" }), json!({ "é": "uint8?" }), json!({ "a b": "timestamp?" }),
            ];
            if decimals {
                columns.push(json!({ "other": "decimal(20,2)?" }));
            }
            let settings = match settings_of::<Settings>(json!({ "columns": columns })) {
                Ok(settings) => settings.columns,
                Err(error) => panic!("{}", error.message),
            };
            let short = decoder(&settings, decimals, true).decode(&records(&[Some(&record)]));
            let parsed = decoder(&settings, decimals, false).decode(&records(&[Some(&record)]));
            prop_assert_eq!(short.bad, parsed.bad);
            prop_assert_eq!(short.columns, parsed.columns);
        }
    }

    /// A decoder with the short way or without it.
    fn decoder(columns: &Columns, decimals: bool, short: bool) -> Decoder {
        let mut tree = Tree::default();
        for (number, column) in columns.iter().enumerate() {
            tree.insert(std::slice::from_ref(&column.name), number).unwrap();
        }
        let settings = Checked {
            columns: columns.clone(),
            tree,
            key: KeyType::default(),
            max_bytes: 1 << 20,
            decimals,
            epochs: Vec::new(),
            tombstones: Tombstones::default(),
            framed: false,
            unwrap: false,
            headers: BTreeMap::new(),
        };
        let flat = Flat::new(columns.iter().map(|column| column.name.as_str()), decimals);
        assert!(flat.is_some());
        let flat = flat.filter(|_| short);
        Decoder { schema: columns.schema(), settings, meanings: Meanings::default(), flat }
    }

    #[test]
    fn the_short_way_is_taken_for_plain_objects_and_left_for_others() {
        let settings = settings_of::<Settings>(json!({ "columns": [{ "a": "int64" }, { "b": "utf8?" }] }));
        let Ok(Settings { columns, .. }) = settings else { panic!("settings") };
        let flat = Flat::new(columns.iter().map(|column| column.name.as_str()), false).unwrap();
        let taken = |record: &str| {
            let mut rows = Rows::new("decode json", &columns, 1);
            let data = format!("before{record}");
            rows.try_push(|columns, values| flat.record(data.as_bytes(), 6, data.len(), columns, values)).is_ok()
        };
        for record in [
            r#"{"a":5,"b":"x"}"#,
            r#"{ "b" : null , "a" : -5 }"#,
            r#"{"a":5}"#,
            r#"{"c":1.5,"a":0,"d":"é"}"#,
            "{\"a\":1}\n",
        ] {
            assert!(taken(record), "{record}");
        }
        for record in [
            r#"{"a":5,"a":5}"#,
            r#"{"b":"x"}"#,
            r#"{"a":05}"#,
            r#"{"a":5,"b":"\n"}"#,
            r#"{"a":5}}"#,
            r#"{"a":5,}"#,
            r#"{"a":5"#,
            r#"{"a":5,"b":[1]}"#,
            r#"{"a":-0}"#,
            r#"{"a":"5"}"#,
            r#"{"a":5 6}"#,
            "{}",
            "",
            "5",
            r#"{"\u0061":5}"#,
        ] {
            assert!(!taken(record), "{record}");
        }
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let settings = json!({ "columns": [
            { "d": "decimal(38,9)?" }, { "in": { "type": "decimal(5,2)?", "path": "a.b" } }, { "id": "int64?" },
            { "x": "float64?" }, { "t": { "type": "timestamp?", "format": "epoch_s" } },
        ] });
        let good = [
            r#"{"d": 12345678901234567890.123456789, "a": {"b": 1.10}, "id": 7, "x": 1e2, "t": 1}"#,
            r#"{"d": "0.5", "a": {"b": -1, "b": 1e1}, "d": -0.000000001}"#,
            r#"{"\u0064": 5, "x": 123456789012345680000, "a": {"b": 999.99}, "a": {"c": {}}}"#,
            r#"{"d": null, "a": [], "x": 9007199254740992}"#,
        ];
        let decoded = decode(&KIND, settings.clone(), &good);
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        let decimals = |n: usize| decoded.columns.column(n).as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>();
        let expected = [Some(12_345_678_901_234_567_890_123_456_789), Some(-1), Some(5_000_000_000), None];
        assert_eq!(decimals(0), expected);
        assert_eq!(decimals(1), [Some(110), Some(1000), Some(99_999), None]);
        let bad = [
            (r#"{"d": 1e-10}"#, "field d: more digits behind the point than a decimal(38,9) has"),
            (r#"{"d": 100000000000000000000000000000}"#, "field d: out of the range of a decimal(38,9)"),
            (r#"{"d": true}"#, "field d: a bool where a decimal(38,9) is expected"),
            (r#"{"d": "x"}"#, "field d: not a decimal(38,9)"),
            (r#"{"id": 12345678901234567891234}"#, "field id: out of the range of an int64"),
            (r#"{"id": 64.0}"#, "field id: a float where an int64 is expected"),
            (r#"{"x": 9007199254740993}"#, "field x: a whole number that a float64 does not hold exactly"),
            (r#"{"x": 12345678901234567891234}"#, "field x: a whole number that a float64 does not hold exactly"),
            (r#"{"t": 9223372036854775807}"#, "field t: out of the range of a timestamp"),
        ];
        let decoded = decode(&KIND, settings, &bad.map(|(record, _)| record));
        let expected: Vec<_> = bad.iter().enumerate().map(|(row, (_, reason))| (row, reason.to_string())).collect();
        assert_eq!(refusals(&decoded), expected);
    }

    #[test]
    fn every_bad_record_is_refused_with_its_reason_and_without_its_value() {
        let settings = json!({ "columns": [{ "AGE": "int8" }, { "name": "utf8?" }], "max_bytes": 40 });
        let bad: &[(&[u8], &str)] = &[
            (br#"{"AGE": "64"}"#, "field AGE: a text where an int8 is expected"),
            (br#"{"AGE": 64.0}"#, "field AGE: a float where an int8 is expected"),
            (br#"{"AGE": [1]}"#, "field AGE: an array where an int8 is expected"),
            (br#"{"AGE": {"x": 1}}"#, "field AGE: an object where an int8 is expected"),
            (br#"{"AGE": 640}"#, "field AGE: out of the range of an int8"),
            (br#"{"AGE": null}"#, "field AGE: missing (`int8?` would take it as NULL)"),
            (br#"{"age": 64}"#, "field AGE: missing (`int8?` would take it as NULL)"),
            (br#"{"AGE": 6, "name": 5}"#, "field name: an integer where a utf8 is expected"),
            (br#"{"AGE": 6,}"#, "byte 10: not JSON: trailing comma"),
            (b"{\"AGE\":\n x}", "byte 9: not JSON: expected value"),
            (br#"{"AGE": 6"#, "byte 8: not JSON: EOF while parsing an object"),
            (br#"{"AGE": 6} {}"#, "byte 11: not JSON: trailing characters"),
            (br"[1]", "not a JSON object"),
            (b"{\"AGE\": 6, \"name\": \"\xff\"}", "byte 20: not UTF-8"),
            (b"", "empty value"),
            (b"{\"AGE\": 6, \"x\": \"0123456789012345678901\"}", "41 bytes, which is more than `max_bytes` (40)"),
        ];
        let mut values: Vec<Option<&[u8]>> = bad.iter().map(|(value, _)| Some(*value)).collect();
        values.push(None);
        values.push(Some(br#"{"AGE": -128}"#));
        let decoded = decode_records(&KIND, settings, &records(&values));
        let mut expected: Vec<(usize, String)> =
            bad.iter().enumerate().map(|(row, (_, reason))| (row, reason.to_string())).collect();
        expected.push((bad.len(), "the record has no value".to_string()));
        assert_eq!(refusals(&decoded), expected);
        assert_eq!(decoded.columns.num_rows(), 1);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_and_a_registrys_framing_is_named() {
        let settings = json!({ "columns": [{ "AGE": "int8" }] });
        let values: [&[u8]; 3] = [b"\xef\xbb\xbf{\"AGE\": 6}", b"\0\0\0\0\x07{\"AGE\": 6}", b"\0"];
        let decoded = decode_records(&KIND, settings, &records(&values.map(Some)));
        assert_eq!(decoded.columns.num_rows(), 1);
        let reasons = refusals(&decoded);
        assert_eq!((reasons.len(), reasons[0].0, reasons[1].0), (2, 1, 2));
        assert!(reasons[0].1.contains("schema registry framing"), "{}", reasons[0].1);
        assert!(!reasons[1].1.contains("schema registry framing"), "{}", reasons[1].1);
    }

    #[test]
    fn deep_nesting_does_not_crash() {
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let ignored = decode(&KIND, json!({ "columns": [{ "b": "int8?" }] }), &[&deep]);
        assert_eq!(ignored.columns.num_rows(), 1);
        let taken = decode(&KIND, json!({ "columns": [{ "a": "int8?" }] }), &[&deep]);
        assert_eq!(taken.bad[0].reason, "field a: an array where an int8 is expected");
        let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        let through = decode(&KIND, json!({ "columns": [{ "b": { "type": "int8?", "path": "a.a.b" } }] }), &[&objects]);
        assert_eq!(through.columns.num_rows(), 1);
    }

    #[test]
    fn two_columns_of_one_member_are_refused() {
        let columns = json!([{ "a": "int8" }, { "b": { "type": "int8", "path": ["a", "c"] } }]);
        assert!((KIND.parse)(json!({ "columns": columns })).is_ok(), "one of it all, one of a part");
        let columns = json!([{ "a": "int8" }, { "b": { "type": "int8", "path": ["a"] } }]);
        let error = settings_error(&KIND, json!({ "columns": columns }));
        assert_eq!(error, "columns.1: another column already reads `a` there");
    }

    #[test]
    fn nested_values_are_texts_that_hold_their_json() {
        let columns = json!([
            { "l": "utf8?" },
            { "o": "utf8?" },
            { "n": { "type": "utf8?", "path": "in.l" } },
            { "d": "date?" },
        ]);
        let values = [
            r#"{"l": [1.50, "a\"]", {}], "o": { "x" : null }, "in": {"l": []}}"#,
            r#"{"l": "a", "o": null}"#,
            r#"{"d": ["2020-01-01"]}"#,
        ];
        let decoded = decode(&KIND, json!({ "columns": columns }), &values);
        assert_eq!(refusals(&decoded), [(2, "field d: an array where a date is expected".to_string())]);
        let texts = |at: usize| -> Vec<Option<String>> {
            let column = decoded.columns.column(at).as_string::<i32>();
            column.iter().map(|text| text.map(str::to_string)).collect()
        };
        let text = |text: &str| Some(text.to_string());
        assert_eq!(texts(0), [text(r#"[1.50, "a\"]", {}]"#), text("a")]);
        assert_eq!(texts(1), [text(r#"{ "x" : null }"#), None]);
        assert_eq!(texts(2), [text("[]"), None]);
    }

    #[test]
    fn elements_of_arrays_are_reached_by_their_number() {
        let columns = json!([
            { "q": { "type": "int64?", "path": "items[0].q" } },
            { "sku": { "type": "utf8?", "path": "items[1].sku" } },
            { "deep": { "type": "decimal(20,2)?", "path": "m[1][0]" } },
            { "raw": { "type": "utf8?", "path": "items[2]" } },
            { "all": { "type": "utf8?", "path": "items" } },
        ]);
        let values = [
            r#"{"items": [{"q": 7, "sku": "a"}, {"sku": "b"}, {"x": [1]}], "m": [[], [12345678901234567.25, 2]]}"#,
            r#"{"items": [{"q": 8}], "m": [1]}"#,
            r#"{"items": {"q": 9}}"#,
            r#"{"items": [{"q": "x"}]}"#,
        ];
        let decoded = decode(&KIND, json!({ "columns": columns }), &values);
        assert_eq!(refusals(&decoded), [(3, "field q: a text where an int64 is expected".to_string())]);
        let q: Vec<_> = decoded.columns.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(q, [Some(7), Some(8), None]);
        let sku: Vec<_> = decoded.columns.column(1).as_string::<i32>().iter().collect();
        assert_eq!(sku, [Some("b"), None, None]);
        let deep: Vec<_> = decoded.columns.column(2).as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(deep, [Some(1_234_567_890_123_456_725), None, None]);
        assert_eq!(decoded.columns.column(3).as_string::<i32>().value(0), r#"{"x": [1]}"#);
        let all: Vec<_> = decoded.columns.column(4).as_string::<i32>().iter().collect();
        let first = r#"[{"q": 7, "sku": "a"}, {"sku": "b"}, {"x": [1]}]"#;
        assert_eq!(all, [Some(first), Some(r#"[{"q": 8}]"#), Some(r#"{"q": 9}"#)]);
        let path =
            |path: &str| settings_error(&KIND, json!({ "columns": [{ "a": { "type": "int8", "path": path } }] }));
        assert!(path("a[x]").contains("not an element of an array"), "{}", path("a[x]"));
    }

    #[test]
    fn times_with_a_fraction_and_days_by_their_number_are_read() {
        let columns = json!([
            { "t": { "type": "timestamp?", "format": "epoch_s" } }, { "d": "date?" }, { "x": { "type": "date?", "format": "%Y%m%d" } }
        ]);
        let values = [
            r#"{"t": 1568197230.123456, "d": 18150}"#,
            r#"{"t": 1568197230, "d": -1}"#,
            r#"{"d": 20240131}"#,
            r#"{"x": 20240131}"#,
            r#"{"d": 1.5}"#,
        ];
        let decoded = decode(&KIND, json!({ "columns": columns }), &values);
        let t: Vec<_> = decoded.columns.column(0).as_primitive::<TimestampMicrosecondType>().iter().collect();
        assert_eq!(t, [Some(1_568_197_230_123_456), Some(1_568_197_230_000_000)]);
        let d: Vec<_> = decoded.columns.column(1).as_primitive::<arrow::datatypes::Date32Type>().iter().collect();
        assert_eq!(d, [Some(18150), Some(-1)]);
        assert_eq!(
            refusals(&decoded),
            [
                (2, "field d: out of the range of a date".to_string()),
                (3, "field x: an integer where a date is expected".to_string()),
                (4, "field d: a float where a date is expected".to_string()),
            ]
        );
    }

    #[test]
    fn with_a_registry_the_frame_is_passed_over() {
        struct None;
        impl Schemas for None {
            fn schema(&self, _: u32) -> Result<Option<Arc<foretell_connect::schemas::Schema>>, StageError> {
                Ok(Option::None)
            }
        }
        let settings = json!({ "columns": [{ "AGE": "int8" }] });
        let mut decoder = (KIND.parse)(settings).unwrap().open_with(Some(Arc::new(None))).unwrap();
        let decoded = decoder.decode(&records(&[Some(b"\0\0\0\0\x07{\"AGE\": 6}"), Some(b"{\"AGE\": 7}")]));
        assert_eq!((decoded.columns.num_rows(), decoded.bad.len()), (2, 0));
    }

    #[test]
    fn change_events_are_rows_with_the_kind_of_their_change() {
        let columns = json!([
            { "id": "int64" }, { "price": "decimal(10,2)" }, { "day": "date?" }, { "at": "timestamp?" }, { "ratio": "float64?" }
        ]);
        let schema = r#"{"type":"struct","fields":[{"field":"before"},{"field":"after","fields":[{"field":"price","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},{"field":"day","type":"int32","name":"io.debezium.time.Date"},{"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"},{"field":"ratio","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"}}]}]}"#;
        let full = format!(
            r#"{{"schema":{schema},"payload":{{"before":null,"after":{{"id":1,"price":"BNI=","day":18150,"at":1568197230000001,"ratio":"BQ=="}},"op":"c"}}}}"#
        );
        let values = [
            full.as_str(),
            r#"{"before":null,"after":{"id":2,"price":"0.50","at":"2019-09-11T10:20:30Z"},"op":"u","ts_ms":5}"#,
            r#"{"before":{"id":1},"after":null,"op":"d"}"#,
            r#"{"after":{"id":3},"op":"c"}"#,
            r#"{"after":{"id":4,"price":"1","at":5},"op":"r"}"#,
            r#"{"op":"t"}"#,
            r#"{"op":"c","after":{"id":4}"#,
        ];
        let settings = json!({ "columns": columns, "unwrap": "debezium" });
        let decoded = decode(&KIND, settings.clone(), &values);
        let reasons: Vec<_> = refusals(&decoded).into_iter().collect();
        assert_eq!(reasons[0], (3, "field price: missing (`decimal(10,2)?` would take it as NULL)".to_string()));
        assert_eq!(reasons[1], (4, "field at: not a timestamp".to_string()));
        assert!(reasons[2].1.contains("truncated") && reasons[3].1.contains("not JSON"), "{reasons:?}");
        let shown: Vec<String> = (0..decoded.columns.num_rows())
            .map(|row| {
                let cell =
                    |column: &arrow::array::ArrayRef| arrow::util::display::array_value_to_string(column, row).unwrap();
                decoded.columns.columns().iter().map(cell).collect::<Vec<_>>().join("|")
            })
            .collect();
        assert_eq!(
            shown,
            [
                "1|12.34|2019-09-11|2019-09-11T10:20:30.000001Z|0.5|c|false",
                "2|0.50||2019-09-11T10:20:30Z||u|false",
                "1|||||d|true",
            ]
        );
        let kind = (KIND.parse)(settings).unwrap();
        assert_eq!(kind.tombstones(), Tombstones::Skip);
        let both = json!({ "columns": [{ "a": "int8" }], "unwrap": "debezium", "tombstones": "delete" });
        assert!(settings_error(&KIND, both).starts_with("tombstones: `delete` has no meaning"));
        let own = json!({ "columns": [{ "_op": "utf8" }], "unwrap": "debezium" });
        assert!(settings_error(&KIND, own).contains("gives a column of this name"));
    }
}
