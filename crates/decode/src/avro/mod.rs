//! Avro: each value is one record, in the registry's wire format, or bare where the pipeline file has the schema.

mod columns;
mod container;
#[cfg(test)]
mod container_tests;
mod reader;
mod skip;
#[cfg(test)]
mod tests;
mod writer;

pub use container::AvroFile;
pub(super) use reader::{Reader, inlined};
pub use writer::{AvroRecords, AvroWriter};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use foretell_connect::human::HumanSize;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, SettingsError, Tombstones, schema_of, settings_of};
use foretell_connect::schemas::{Language, Schema, Schemas, framed};
use foretell_flow::{Decode, Decoded, Records, Refused, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::column::Columns;
use super::debezium::{self, Unwrap};
use super::parquet::{check_columns, decode_columns};
use super::settings::{max_bytes, refuse_missing, set_timezone, unusable};
use columns::Wanted;

/// The kind `avro`.
pub(super) const KIND: Kind<dyn DecodeSettings> =
    Kind { name: "avro", inherits: &[], schema: schema_of::<Settings>, parse };

/// Values are Avro records, or the rows of Avro object files (`.avro`), which bring their own schema: there `columns` are found by
/// name, as in Parquet. With the source's `registry` each names the schema that it was written with, and is read as the
/// schema that was the latest when the pipeline started: by Avro's rules, so that fields may be added, dropped, renamed with
/// an alias, and widened in mid-stream. A record whose schema does not fit is a bad record that names the schema's number.
/// Nested records and arrays are STRUCT and LIST in SQL.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The columns, in order: `[AGE: int64, CITY: { type: utf8?, path: address.city }]`. Left out: all fields of `schema`, with
    /// their own types. A field that some schema lacks is NULL where the column's type ends with `?`.
    #[serde(default)]
    columns: Option<Columns>,
    /// The schema to read values as, as JSON. Default: the latest of the subject in the source's `registry`. Without a
    /// registry values are bare records of this schema.
    #[serde(default)]
    schema: Option<String>,
    /// How the records' keys are read: one of these, or `{ registry: int64 }` (any type) by the schemas of the source's `registry`.
    /// Default: `utf8`.
    #[serde(default)]
    key: KeyType,
    /// The zone of times that are written as texts without one, e.g. `Asia/Shanghai`. Default: UTC.
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
    /// without a value are passed over.
    #[serde(default)]
    unwrap: Option<Unwrap>,
}

/// A schema's text with those that it refers to within.
///
/// # Errors
/// It does not read.
pub fn avro_text(schema: &Schema) -> Result<String, String> {
    let text = reader::inlined(schema)?;
    Reader::new(BARE, &text, Some(&text)).map(|_| text)
}

/// Where values are bare they are read as those of this number.
const BARE: u32 = 0;

fn parse(value: serde_json::Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    let mut settings: Settings = settings_of(value)?;
    if let Some(columns) = &mut settings.columns {
        set_timezone(columns, settings.timezone.as_deref())?;
        refuse_missing(columns)?;
    }
    if settings.columns.is_none() && settings.schema.is_none() {
        let message = "name the `columns`, or give the source a `registry`, whose latest schema tells them";
        return Err(SettingsError { path: Vec::new(), message: message.to_string() });
    }
    debezium::tombstones(settings.tombstones, settings.unwrap)?;
    if let Some(schema) = &settings.schema {
        let wrong = |message| SettingsError { path: vec!["schema".to_string()], message };
        Wanted::new(settings.columns.as_ref(), Some(schema), settings.unwrap.is_some()).map_err(wrong)?;
    }
    Ok(Box::new(settings))
}

impl DecodeSettings for Settings {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        self.open_with(None)
    }

    fn open_with(&self, schemas: Option<Arc<dyn Schemas>>) -> Result<Box<dyn Decode>, StageError> {
        if let (None, None, Some(columns)) = (&schemas, &self.schema, &self.columns) {
            // Those of files; a source without them refuses to begin.
            return Ok(Box::new(Typed { schema: columns.schema(), columns: columns.clone() }));
        }
        let wanted = Wanted::new(self.columns.as_ref(), self.schema.as_deref(), self.unwrap.is_some())
            .map_err(StageError::settings)?;
        let mut readers = HashMap::new();
        if let (None, Some(schema)) = (&schemas, &self.schema) {
            readers.insert(BARE, Reader::new(BARE, schema, self.schema.as_deref()).map_err(StageError::settings));
        }
        let readers = readers.into_iter().map(|(id, reader)| reader.map(|reader| (id, Ok(reader))));
        let readers = readers.collect::<Result<_, StageError>>()?;
        let max_bytes = self.max_bytes.0;
        Ok(Box::new(Decoder { wanted, schema: self.schema.clone(), schemas, readers, max_bytes }))
    }

    fn key(&self) -> KeyType {
        self.key.clone()
    }

    fn headers(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.headers)
    }

    fn tombstones(&self) -> Tombstones {
        // The settings were checked when they were read.
        debezium::tombstones(self.tombstones, self.unwrap).unwrap_or_default()
    }
}

/// Rows of files, which come as columns.
struct Typed {
    schema: SchemaRef,
    columns: Columns,
}

impl Decode for Typed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        decode_columns("decode avro", &self.schema, &self.columns, records)
    }
}

/// Why records that come as bytes cannot be decoded like this: values without a registry are of a `schema`.
///
/// # Errors
/// There is none.
pub fn check_bare(kind: &str, settings: &serde_json::Value) -> Result<(), StageError> {
    if kind != "avro" || settings.get("schema").is_some() {
        return Ok(());
    }
    let error = StageError::settings("Avro values cannot be read without a schema");
    Err(error.remedy("give the source a `registry`, or write `schema`"))
}

/// Why an Avro file with these columns cannot be read as `settings` say.
///
/// # Errors
/// For people, with what would help.
pub fn check_avro_file(settings: &serde_json::Value, found: &arrow::datatypes::Schema) -> Result<(), (String, String)> {
    for key in ["schema", "unwrap", "tombstones", "headers", "key"] {
        if settings.get(key).is_some() {
            let what = format!("`{key}` of `decode: avro` has no meaning for a file, which brings its own schema");
            return Err((what, "leave it out".to_string()));
        }
    }
    let settings: Settings = settings_of(settings.clone()).map_err(|error| (error.message, String::new()))?;
    settings.columns.map_or(Ok(()), |columns| check_columns(&columns, found))
}

struct Decoder {
    wanted: Wanted,
    /// What values are read as.
    schema: Option<String>,
    schemas: Option<Arc<dyn Schemas>>,
    /// By the number of the schema that values were written with; or why those cannot be read.
    readers: HashMap<u32, Result<Reader, String>>,
    max_bytes: usize,
}

impl Decoder {
    /// The number of a value's schema, and the value in the wire format.
    fn framed<'v>(&self, value: &'v [u8], null: bool) -> Result<(u32, &'v [u8]), String> {
        // What ends like a line may be the end of a record here.
        if null || value.len() > self.max_bytes {
            return Err(unusable(null, value, self.max_bytes).unwrap_or_else(|| "empty value".to_string()));
        }
        if self.schemas.is_none() {
            return Ok((BARE, value));
        }
        match framed(value) {
            Some((id, body)) => Ok((id, body)),
            None => Err("no schema registry framing (a zero byte and a schema's number) at the beginning".to_string()),
        }
    }
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.wanted.schema()
    }

    fn prepare(&mut self, records: &Records) -> Result<(), StageError> {
        let Some(schemas) = self.schemas.clone() else { return Ok(()) };
        for value in records.values.iter().flatten() {
            let Some((id, _)) = framed(value).filter(|(id, _)| !self.readers.contains_key(id)) else { continue };
            // What is not there may come: it is not remembered here.
            let Some(schema) = schemas.schema(id)? else { continue };
            let reader = match schema.language {
                Language::Avro => reader::inlined(&schema)
                    .and_then(|text| Reader::new(id, &text, self.schema.as_deref()))
                    .and_then(|reader| self.wanted.check(&reader).map(|()| reader))
                    .map_err(|why| format!("schema {id}: {why}")),
                other => Err(format!("schema {id} is {}, not Avro", other.name())),
            };
            self.readers.insert(id, reader);
        }
        Ok(())
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let mut bad: Vec<Refused> = Vec::new();
        let mut refuse =
            |row: usize, reason: String| bad.push(Refused { row, stage: "decode avro".to_string(), reason });
        // By schema, its rows and their bodies.
        type Group<'a> = (u32, Vec<usize>, Vec<&'a [u8]>);
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in 0..records.len() {
            let null = records.values.is_null(row);
            match self.framed(records.values.value(row), null) {
                Err(reason) => refuse(row, reason),
                Ok((id, body)) => match groups.iter_mut().find(|(known, ..)| *known == id) {
                    Some((_, rows, bodies)) => {
                        rows.push(row);
                        bodies.push(body);
                    }
                    None => groups.push((id, vec![row], vec![body])),
                },
            }
        }
        let mut batches: Vec<RecordBatch> = Vec::with_capacity(groups.len());
        // By row, in which batch it is and where.
        let mut places: Vec<(usize, (usize, usize))> = Vec::with_capacity(records.len());
        for (id, rows, bodies) in groups {
            let reader = match self.readers.get_mut(&id) {
                Some(Ok(reader)) => reader,
                Some(Err(reason)) => {
                    rows.iter().for_each(|row| refuse(*row, reason.clone()));
                    continue;
                }
                None => {
                    rows.iter().for_each(|row| refuse(*row, format!("the registry has no schema {id}")));
                    continue;
                }
            };
            let (read, unfit) = reader.read(&bodies);
            let of = |index: &usize| rows.get(*index).copied().unwrap_or_default();
            unfit.iter().for_each(|index| refuse(of(index), format!("the bytes are not a record of schema {id}")));
            let good: Vec<usize> =
                (0..rows.len()).filter(|index| unfit.binary_search(index).is_err()).map(|index| of(&index)).collect();
            let (batch, wrongs) = self.wanted.columns(&read, reader);
            let mut kept = 0_usize;
            for (index, row) in good.iter().enumerate() {
                match wrongs.get(&index) {
                    Some(reason) => refuse(*row, format!("{reason} (schema {id})")),
                    None => {
                        places.push((*row, (batches.len(), kept)));
                        kept = kept.saturating_add(1);
                    }
                }
            }
            batches.push(batch);
        }
        bad.sort_by_key(|refused| refused.row);
        places.sort_unstable();
        let order: Vec<(usize, usize)> = places.into_iter().map(|(_, place)| place).collect();
        let columns = match batches.as_slice() {
            [] => RecordBatch::new_empty(self.schema()),
            [one] => one.clone(),
            several => {
                let all: Vec<&RecordBatch> = several.iter().collect();
                interleave_record_batch(&all, &order).expect("the batches have one schema")
            }
        };
        Decoded { columns, bad }
    }
}
