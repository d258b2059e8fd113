//! Protobuf: each value is one message, in the registry's wire format.
//!
//! What a message means is what the decoder for JSON makes of it, written as JSON by Protobuf's own rules. Messages of plain
//! values take a shorter way to the same columns (`walk`).

mod plan;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use foretell_connect::human::HumanSize;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, SettingsError, Tombstones, schema_of, settings_of};
use foretell_connect::schemas::{Language, Schema, Schemas, framed};
use foretell_flow::{Decode, Decoded, Records, RecordsBuilder, Refused, StageError};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, FileDescriptor, Kind as FieldKind, MessageDescriptor, SerializeOptions,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub use writer::ProtobufWriter;

use super::column::{Columns, RESERVED};
use super::rows::Rows;
use super::scan::Unfit;
use super::settings::{max_bytes, set_timezone, unusable};
use super::slot::Slot;
use super::tree::Tree;
use plan::Plan;
use walk::Around;

/// The kind `protobuf`.
pub(super) const KIND: Kind<dyn DecodeSettings> =
    Kind { name: "protobuf", inherits: &[], schema: schema_of::<Settings>, parse };

/// Values are Protobuf messages, each of which names its schema in the source's `registry`. They are read as JSON has them:
/// an enum is its name, bytes are base64, a `Timestamp` is a time, and what has parts is JSON as `utf8` or is reached by a
/// path. A field that a message's schema lacks is NULL where the column's type ends with `?`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The columns, in order: `[AGE: int64, CITY: { type: utf8?, path: address.city }]`, by the names of the `.proto` file.
    /// They may be left out: the first message of the subject's latest schema tells them.
    columns: Columns,
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
    tombstones: Tombstones,
    /// Headers as columns of text, after the others: column → header. NULL where a record has no such header.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The settings as they are used.
struct Checked {
    settings: Settings,
    /// Which fields feed which columns.
    tree: Tree,
    /// Those of the decoder for JSON.
    json: Box<dyn DecodeSettings>,
}

/// A message may be this many times longer as JSON: fields that are not sent have their default there.
const EXPANDS: usize = 32;

fn parse(value: Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    checked(value).map(|checked| Box::new(checked) as Box<dyn DecodeSettings>)
}

fn checked(value: Value) -> Result<Checked, SettingsError> {
    let mut settings: Settings = settings_of(value.clone())?;
    let mut inner = Map::new();
    for key in ["columns", "timezone"] {
        if let Some(given) = value.get(key) {
            inner.insert(key.to_string(), given.clone());
        }
    }
    inner.insert("max_bytes".to_string(), json!(settings.max_bytes.0.saturating_mul(EXPANDS)));
    let json = (super::json::KIND.parse)(Value::Object(inner))?;
    set_timezone(&mut settings.columns, settings.timezone.as_deref())?;
    let tree = Tree::new(&settings.columns).map_err(|(number, message)| SettingsError {
        path: vec!["columns".to_string(), number.to_string()],
        message,
    })?;
    Ok(Checked { settings, tree, json })
}

impl DecodeSettings for Checked {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        let error = StageError::settings("Protobuf values cannot be read without their schemas");
        Err(error.remedy("give the source a `registry`"))
    }

    fn open_with(&self, schemas: Option<Arc<dyn Schemas>>) -> Result<Box<dyn Decode>, StageError> {
        let Some(schemas) = schemas else { return self.open() };
        Ok(Box::new(self.decoder(schemas)?))
    }

    fn key(&self) -> KeyType {
        self.settings.key.clone()
    }

    fn headers(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.settings.headers)
    }

    fn tombstones(&self) -> Tombstones {
        self.settings.tombstones
    }
}

impl Checked {
    fn decoder(&self, schemas: Arc<dyn Schemas>) -> Result<Decoder, StageError> {
        let Settings { columns, max_bytes, .. } = &self.settings;
        let (inner, columns, tree) = (self.json.open()?, columns.clone(), self.tree.clone());
        Ok(Decoder { inner, columns, tree, schemas, files: HashMap::new(), max_bytes: max_bytes.0 })
    }
}

/// The columns of the first message of a schema, for the decoder's settings.
///
/// # Errors
/// It does not read, or has no message.
pub fn protobuf_columns(schema: &Schema) -> Result<Value, String> {
    let file = compile(schema)?;
    let message = file.messages().next().ok_or("it has no message")?;
    let mut columns = Vec::new();
    for field in message.fields() {
        let name = field.name();
        if RESERVED.contains(&name) {
            return Err(format!("field `{name}` has the name of a column that every record has"));
        }
        columns.push(json!({ name: type_of(&field) }));
    }
    if columns.is_empty() {
        return Err(format!("message `{}` has no field", message.name()));
    }
    Ok(Value::Array(columns))
}

fn type_of(field: &FieldDescriptor) -> String {
    if field.is_list() || field.is_map() {
        return "utf8?".to_string();
    }
    let (name, wrapped) = match field.kind() {
        FieldKind::Double => ("float64", false),
        FieldKind::Float => ("float32", false),
        FieldKind::Int32 | FieldKind::Sint32 | FieldKind::Sfixed32 => ("int32", false),
        FieldKind::Int64 | FieldKind::Sint64 | FieldKind::Sfixed64 => ("int64", false),
        FieldKind::Uint32 | FieldKind::Fixed32 => ("uint32", false),
        FieldKind::Uint64 | FieldKind::Fixed64 => ("uint64", false),
        FieldKind::Bool => ("bool", false),
        FieldKind::String | FieldKind::Bytes | FieldKind::Enum(_) => ("utf8", false),
        FieldKind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => ("timestamp", true),
            "google.protobuf.DoubleValue" => ("float64", true),
            "google.protobuf.FloatValue" => ("float32", true),
            "google.protobuf.Int32Value" => ("int32", true),
            "google.protobuf.Int64Value" => ("int64", true),
            "google.protobuf.UInt32Value" => ("uint32", true),
            "google.protobuf.UInt64Value" => ("uint64", true),
            "google.protobuf.BoolValue" => ("bool", true),
            _ => ("utf8", true),
        },
    };
    let mark = if wrapped || field.supports_presence() { "?" } else { "" };
    format!("{name}{mark}")
}

/// The name of the file that values are of; registries give it none.
const FILE: &str = "schema.proto";

/// The texts of a schema and of those that it imports.
struct Texts(BTreeMap<String, String>);

impl FileResolver for Texts {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_string)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

pub(super) fn compile(schema: &Schema) -> Result<FileDescriptor, String> {
    let mut texts: BTreeMap<String, String> = schema.references.iter().cloned().collect();
    texts.insert(FILE.to_string(), schema.text.clone());
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(texts));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.open_file(FILE).map_err(|error| format!("not a Protobuf schema: {error}"))?;
    compiler.descriptor_pool().get_file_by_name(FILE).ok_or_else(|| "not a Protobuf schema".to_string())
}

struct Decoder {
    inner: Box<dyn Decode>,
    columns: Columns,
    tree: Tree,
    schemas: Arc<dyn Schemas>,
    /// By number; or why values of that schema cannot be read.
    files: HashMap<u32, Result<Known, String>>,
    max_bytes: usize,
}

/// A schema, and its messages that came so far.
struct Known {
    file: FileDescriptor,
    /// By what stands before a message, how it is walked: `None` where JSON is the only way.
    plans: Vec<(Box<[u8]>, Option<Plan>)>,
}

/// A schema's messages, of which most topics have one; others go by way of JSON.
const MOST_PLANS: usize = 64;

impl Known {
    /// Learns how messages like this one are walked.
    fn learn(&mut self, body: &[u8], columns: &Columns, tree: &Tree) {
        if self.plans.len() == MOST_PLANS || self.plans.iter().any(|(before, _)| body.starts_with(before)) {
            return;
        }
        let Some((message, rest)) = message(&self.file, body) else { return };
        let before = body.len().checked_sub(rest.len()).and_then(|len| body.get(..len)).unwrap_or_default();
        self.plans.push((before.into(), Plan::new(&message, columns, tree)));
    }

    /// How a message is walked, and its own bytes.
    fn plan<'v>(&self, body: &'v [u8]) -> Option<(&Plan, &'v [u8])> {
        self.plans.iter().find_map(|(before, plan)| Some((plan.as_ref()?, body.strip_prefix(&**before)?)))
    }
}

impl Decoder {
    /// The schema of a value, its number, and what stands behind that.
    fn known<'v>(&self, value: &'v [u8], null: bool) -> Result<(&Known, u32, &'v [u8]), String> {
        if null || value.len() > self.max_bytes {
            return Err(unusable(null, value, self.max_bytes).unwrap_or_else(|| "empty value".to_string()));
        }
        let Some((id, body)) = framed(value) else {
            return Err("no schema registry framing (a zero byte and a schema's number) at the beginning".to_string());
        };
        match self.files.get(&id) {
            Some(Ok(known)) => Ok((known, id, body)),
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("the registry has no schema {id}")),
        }
    }
}

/// The message that a value is, as JSON.
pub(super) fn json_of(file: &FileDescriptor, id: u32, body: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let (message, body) = message(file, body).ok_or_else(|| format!("schema {id} has no such message"))?;
    let message =
        DynamicMessage::decode(message, body).map_err(|_| format!("the bytes are not a message of schema {id}"))?;
    let mut text = Bounded { bytes: Vec::new(), most };
    let options =
        SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true).skip_default_fields(false);
    let mut serializer = serde_json::Serializer::new(&mut text);
    message
        .serialize_with_options(&mut serializer, &options)
        .map_err(|_| format!("the message has no JSON (schema {id}): a value is out of range, or there is too much"))?;
    Ok(text.bytes)
}

/// Takes no more than this.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(part.len()) > self.most {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Messages are nested no deeper than this.
const DEPTH: i64 = 64;

/// The message that a value is of, by the path that stands before it, and the value without that.
fn message<'v>(file: &FileDescriptor, body: &'v [u8]) -> Option<(MessageDescriptor, &'v [u8])> {
    let (count, mut rest) = varint(body)?;
    if count == 0 {
        return Some((file.messages().next()?, rest));
    }
    if !(1..=DEPTH).contains(&count) {
        return None;
    }
    let mut found: Option<MessageDescriptor> = None;
    for _ in 0..count {
        let (index, behind) = varint(rest)?;
        let index = usize::try_from(index).ok()?;
        rest = behind;
        found = match found {
            None => file.messages().nth(index),
            Some(outer) => outer.child_messages().nth(index),
        };
        found.as_ref()?;
    }
    Some((found?, rest))
}

/// A number as Protobuf's `sint64`.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (mut value, mut shift) = (0_u64, 0_u32);
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            let number = (value >> 1) as i64 ^ (value as i64 & 1).checked_neg()?;
            return Some((number, bytes.get(at.checked_add(1)?..)?));
        }
        shift = shift.checked_add(7)?;
    }
    None
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn prepare(&mut self, records: &Records) -> Result<(), StageError> {
        for value in records.values.iter().flatten() {
            let Some((id, body)) = framed(value) else { continue };
            if !self.files.contains_key(&id) {
                let Some(schema) = self.schemas.schema(id)? else { continue };
                let file = match schema.language {
                    Language::Protobuf => compile(&schema).map_err(|why| format!("schema {id}: {why}")),
                    other => Err(format!("schema {id} is {}, not Protobuf", other.name())),
                };
                self.files.insert(id, file.map(|file| Known { file, plans: Vec::new() }));
            }
            if let Some(Ok(known)) = self.files.get_mut(&id) {
                known.learn(body, &self.columns, &self.tree);
            }
        }
        Ok(())
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let mut bad: Vec<Refused> = Vec::new();
        let (mut slots, mut around): (Vec<Slot<'_>>, Around) = (Vec::new(), Vec::new());
        let mut rows = Rows::new(STAGE, &self.columns, records.len());
        // Which are walked, and those that go by way of JSON.
        let (mut walked, mut left): (Vec<usize>, Vec<usize>) = (Vec::with_capacity(records.len()), Vec::new());
        let mut texts = RecordsBuilder::of_topics(records.topics.clone());
        for row in 0..records.len() {
            let read = self.known(records.values.value(row), records.values.is_null(row));
            let text = read.and_then(|(known, id, body)| {
                let walk = known.plan(body).ok_or(Unfit).and_then(|(plan, body)| {
                    plan.read(body, &mut slots, &mut around)?;
                    rows.try_push(|columns, values| {
                        let mut cells = columns.iter().zip(values).zip(&slots);
                        cells.try_for_each(|((column, values), slot)| values.push(column, &slot).map_err(|_| Unfit))
                    })
                });
                match walk {
                    Ok(()) => Ok(None),
                    Err(Unfit) => json_of(&known.file, id, body, self.max_bytes.saturating_mul(EXPANDS)).map(Some),
                }
            });
            match text {
                Ok(None) => walked.push(row),
                Ok(Some(text)) => {
                    let (ordinal, offset) = (records.partitions.value(row), records.offsets.value(row));
                    texts.push(ordinal, offset, None, None, Some(&text), Vec::new());
                    left.push(row);
                }
                Err(reason) => bad.push(refused(row, reason)),
            }
        }
        let columns = rows.finish(&self.inner.schema()).columns;
        if left.is_empty() {
            return Decoded { columns, bad };
        }
        let decoded = self.inner.decode(&texts.finish());
        let of = |row: usize| left.get(row).copied().unwrap_or_default();
        let unread: Vec<usize> = decoded.bad.iter().map(|refused| refused.row).collect();
        bad.extend(decoded.bad.into_iter().map(|bad| refused(of(bad.row), bad.reason)));
        bad.sort_by_key(|refused| refused.row);
        let left = (0..left.len()).filter(|row| unread.binary_search(row).is_err()).map(of);
        Decoded { columns: in_order(&columns, &walked, &decoded.columns, &left.collect::<Vec<_>>()), bad }
    }
}

const STAGE: &str = "decode protobuf";

fn refused(row: usize, reason: String) -> Refused {
    Refused { row, stage: STAGE.to_string(), reason }
}

/// The rows of two batches by the numbers that they have, each ascending.
fn in_order(one: &RecordBatch, ones: &[usize], other: &RecordBatch, others: &[usize]) -> RecordBatch {
    if ones.is_empty() {
        return other.clone();
    }
    let places = |batch: usize, rows: &[usize]| -> Vec<(usize, (usize, usize))> {
        rows.iter().enumerate().map(|(place, row)| (*row, (batch, place))).collect()
    };
    let mut places = [places(0, ones), places(1, others)].concat();
    places.sort_unstable();
    let places: Vec<(usize, usize)> = places.into_iter().map(|(_, place)| place).collect();
    interleave_record_batch(&[one, other], &places).expect("the batches have one schema")
}
