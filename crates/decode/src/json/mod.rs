//! JSON: each value is one object, such as `{"AGE": 64, "NAME": "Ann"}`.

mod walk;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use foretell_flow::{Decode, Decoded, Records, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::cell::Cell;
use super::column::Columns;
use super::debezium::{self, Change, Meaning, Meanings, Unwrap};
use super::flat::Flat;
use super::rows::Rows;
use super::scan::Unfit;
use super::settings::{max_bytes, refuse_missing, set_timezone, unusable};
use super::slot::Slot;
use super::time::epoch;
use super::tree::Tree;
use super::types::Type;
use super::wrong::Wrong;
use foretell_connect::human::HumanSize;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, SettingsError, Tombstones, schema_of, settings_of};
use foretell_connect::schemas::{Schemas, framed};
use walk::{as_written, object};

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
    /// How the records' keys are read: one of these, or `{ registry: int64 }` (any type) by the schemas of the source's `registry`.
    /// Default: `utf8`.
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
    let tree = Tree::new(&settings.columns).map_err(|(number, message)| SettingsError {
        path: vec!["columns".to_string(), number.to_string()],
        message,
    })?;
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
        let flat = Flat::new(&self.tree, self.decimals);
        Ok(Box::new(Decoder { schema, settings, meanings: Meanings::default(), flat }))
    }

    fn key(&self) -> KeyType {
        self.key.clone()
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
                && let Ok(op) = self.short(flat, data, start..end, &mut rows)
            {
                ops.push(op);
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
                        let why = Wrong::Missing.describe(&column.data_type);
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

impl Decoder {
    /// Adds the record or change event at this place, the short way; the kind of its change.
    fn short(&self, flat: &Flat, data: &[u8], place: Range<usize>, rows: &mut Rows<'_>) -> Result<&'static str, Unfit> {
        if !self.settings.unwrap {
            return rows
                .try_push(|columns, values| flat.record(data, place.start, place.end, columns, values))
                .map(|()| "");
        }
        let (row, op) = debezium::plain_change(data, place.start, place.end)?;
        rows.try_push(|optional, values| {
            // What a deleted row lacks is NULL.
            let columns = if op == debezium::DELETE { optional } else { &self.settings.columns };
            flat.record(data, row.start, row.end, columns, values)
        })?;
        Ok(op)
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
        let known = match (meaning, &*slot, &column.data_type) {
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
