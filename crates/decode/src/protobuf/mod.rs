//! Protobuf: each value is one message, in the registry's wire format.
//!
//! Messages are written as JSON, by Protobuf's own rules, and read by the decoder for that.

mod writer;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::Array;
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
use super::settings::{max_bytes, unusable};

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
    #[expect(dead_code, reason = "the decoder for JSON reads it")]
    columns: Columns,
    /// How the records' keys are read: one of these, or `{ registry: int64 }` (any type) by the schemas of the source's `registry`.
    /// Default: `utf8`.
    #[serde(default)]
    key: KeyType,
    /// The zone of times that are written as texts without one, e.g. `Asia/Shanghai`. Default: UTC.
    #[expect(dead_code, reason = "the decoder for JSON reads it")]
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
    /// Those of the decoder for JSON.
    json: Box<dyn DecodeSettings>,
}

/// A message may be this many times longer as JSON: fields that are not sent have their default there.
const EXPANDS: usize = 32;

fn parse(value: Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    let settings: Settings = settings_of(value.clone())?;
    let mut inner = Map::new();
    for key in ["columns", "timezone"] {
        if let Some(given) = value.get(key) {
            inner.insert(key.to_string(), given.clone());
        }
    }
    inner.insert("max_bytes".to_string(), json!(settings.max_bytes.0.saturating_mul(EXPANDS)));
    let json = (super::json::KIND.parse)(Value::Object(inner))?;
    Ok(Box::new(Checked { settings, json }))
}

impl DecodeSettings for Checked {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        let error = StageError::settings("Protobuf values cannot be read without their schemas");
        Err(error.remedy("give the source a `registry`"))
    }

    fn open_with(&self, schemas: Option<Arc<dyn Schemas>>) -> Result<Box<dyn Decode>, StageError> {
        let Some(schemas) = schemas else { return self.open() };
        let max_bytes = self.settings.max_bytes.0;
        Ok(Box::new(Decoder { inner: self.json.open()?, schemas, files: HashMap::new(), max_bytes }))
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
    schemas: Arc<dyn Schemas>,
    /// By number; or why values of that schema cannot be read.
    files: HashMap<u32, Result<FileDescriptor, String>>,
    max_bytes: usize,
}

impl Decoder {
    /// A value as JSON.
    fn json(&self, value: &[u8], null: bool) -> Result<Vec<u8>, String> {
        if null || value.len() > self.max_bytes {
            return Err(unusable(null, value, self.max_bytes).unwrap_or_else(|| "empty value".to_string()));
        }
        let Some((id, body)) = framed(value) else {
            return Err("no schema registry framing (a zero byte and a schema's number) at the beginning".to_string());
        };
        let file = match self.files.get(&id) {
            Some(Ok(file)) => file,
            Some(Err(why)) => return Err(why.clone()),
            None => return Err(format!("the registry has no schema {id}")),
        };
        json_of(file, id, body, self.max_bytes.saturating_mul(EXPANDS))
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
            let Some((id, _)) = framed(value).filter(|(id, _)| !self.files.contains_key(id)) else { continue };
            let Some(schema) = self.schemas.schema(id)? else { continue };
            let file = match schema.language {
                Language::Protobuf => compile(&schema).map_err(|why| format!("schema {id}: {why}")),
                other => Err(format!("schema {id} is {}, not Protobuf", other.name())),
            };
            self.files.insert(id, file);
        }
        Ok(())
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let stage = || "decode protobuf".to_string();
        let mut bad: Vec<Refused> = Vec::new();
        let mut rows: Vec<usize> = Vec::with_capacity(records.len());
        let mut texts = RecordsBuilder::of_topics(records.topics.clone());
        for row in 0..records.len() {
            match self.json(records.values.value(row), records.values.is_null(row)) {
                Ok(text) => {
                    let (ordinal, offset) = (records.partitions.value(row), records.offsets.value(row));
                    texts.push(ordinal, offset, None, None, Some(&text), Vec::new());
                    rows.push(row);
                }
                Err(reason) => bad.push(Refused { row, stage: stage(), reason }),
            }
        }
        let decoded = self.inner.decode(&texts.finish());
        let of = |refused: Refused| Refused {
            row: rows.get(refused.row).copied().unwrap_or_default(),
            stage: stage(),
            reason: refused.reason,
        };
        bad.extend(decoded.bad.into_iter().map(of));
        bad.sort_by_key(|refused| refused.row);
        Decoded { columns: decoded.columns, bad }
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::super::tests::{records, refusals};
    use super::*;

    const ORDER: &str = r#"
syntax = "proto3";
package shop;
import "item.proto";
import "google/protobuf/timestamp.proto";
enum Kind { PLAIN = 0; RUSH = 1; }
message Order {
  int64 id = 1;
  double amount = 2;
  optional string note = 3;
  Kind kind = 4;
  repeated shop.Item items = 5;
  google.protobuf.Timestamp at = 6;
  bytes raw = 7;
  message Inner { int32 n = 1; }
}
message Other { string name = 1; }
"#;
    const ITEM: &str = "syntax = \"proto3\";\npackage shop;\nmessage Item { string sku = 1; uint32 q = 2; }\n";

    struct Fake(Schema);

    impl Schemas for Fake {
        fn schema(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError> {
            Ok((id == self.0.id).then(|| Arc::new(self.0.clone())))
        }
    }

    fn order() -> Schema {
        let references = vec![("item.proto".to_string(), ITEM.to_string())];
        Schema { id: 7, language: Language::Protobuf, text: ORDER.to_string(), references }
    }

    fn decode(settings: Value, values: &[Option<&[u8]>]) -> Decoded {
        let mut decoder = (KIND.parse)(settings).unwrap().open_with(Some(Arc::new(Fake(order())))).unwrap();
        let records = records(values);
        decoder.prepare(&records).unwrap();
        let decoded = decoder.decode(&records);
        assert_eq!(decoded.columns.schema(), decoder.schema());
        assert_eq!(decoded.columns.num_rows() + decoded.bad.len(), values.len());
        decoded
    }

    fn shown(decoded: &Decoded) -> Vec<String> {
        let row = |row| -> String {
            let cells = decoded.columns.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            cells.collect::<Vec<_>>().join("|")
        };
        (0..decoded.columns.num_rows()).map(row).collect()
    }

    /// In the wire format; the message's index as it is given.
    fn value(index: &[u8], body: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, 7][..], index, body].concat()
    }

    #[test]
    fn messages_are_read_by_their_own_schema() {
        let columns = protobuf_columns(&order()).unwrap();
        let expected = json!([
            { "id": "int64" }, { "amount": "float64" }, { "note": "utf8?" }, { "kind": "utf8" }, { "items": "utf8?" },
            { "at": "timestamp?" }, { "raw": "utf8" }
        ]);
        assert_eq!(columns, expected);
        // As protobuf 7.36 for Python writes it: id 2^53 + 1, amount 1.5, note "n", kind RUSH, an item (sku "a", q 2), at 2019-09-11T10:20:30Z, raw 00 ff.
        let body = b"\x08\x81\x80\x80\x80\x80\x80\x80\x10\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\x1a\x01n\x20\x01\x2a\x05\x0a\x01a\x10\x02\x32\x06\x08\xee\x94\xe3\xeb\x05\x3a\x02\x00\xff";
        let full = value(&[0], body);
        let empty = value(&[0], b"");
        let decoded = decode(json!({ "columns": columns }), &[Some(&full), Some(&empty)]);
        assert_eq!(
            shown(&decoded),
            [r#"9007199254740993|1.5|n|RUSH|[{"sku":"a","q":2}]|2019-09-11T10:20:30Z|AP8="#, "0|0.0||PLAIN|[]||",]
        );
        let path = json!([{ "q": { "type": "uint32?", "path": "items[0].q" } }]);
        assert_eq!(shown(&decode(json!({ "columns": path }), &[Some(&full), Some(&empty)])), ["2", ""]);
        // The second message, and one within the first.
        let names = json!([{ "name": "utf8?" }, { "n": "int32?" }]);
        let (second, inner) = (value(&[2, 2], b"\x0a\x01x"), value(&[4, 0, 0], b"\x08\x05"));
        let decoded = decode(json!({ "columns": names }), &[Some(&second), Some(&inner)]);
        assert_eq!(shown(&decoded), ["x|", "|5"]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (cut, none) = (value(&[0], b"\x11\x00"), value(&[2, 20], b""));
        let values: [Option<&[u8]>; 6] = [
            Some(&cut),
            Some(&none),
            Some(b"\0\0\0\0\x09\0"),
            Some(b"\x08\x01"),
            None,
            Some(b"\0\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ];
        let decoded = decode(json!({ "columns": [{ "id": "int64" }] }), &values);
        let reasons: Vec<_> = refusals(&decoded).into_iter().map(|(_, reason)| reason).collect();
        for (reason, says) in reasons.iter().zip([
            "not a message of schema 7",
            "no such message",
            "no schema 9",
            "framing",
            "no value",
            "no such message",
        ]) {
            assert!(reason.contains(says), "{reason}");
        }
        assert_eq!(reasons.len(), 6);
        let wrong = Schema { text: "message".into(), ..order() };
        assert!(protobuf_columns(&wrong).unwrap_err().starts_with("not a Protobuf schema"));
        assert!((KIND.parse)(json!({ "columns": [{ "id": "int64" }] })).unwrap().open().is_err());
    }
}
