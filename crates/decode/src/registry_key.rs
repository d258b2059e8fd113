//! Keys in a registry's wire format as a typed column.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BinaryArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use foretell_connect::key_type::KeyType;
use foretell_connect::schemas::{Language, Schema, Schemas, framed};
use foretell_flow::{Decode, Decoded, Keys, Records, Refused, StageError};
use prost_reflect::FileDescriptor;
use serde_json::{Value, json};

use super::avro::{Reader, inlined};
use super::cell::json_text;
use super::column::Column;
use super::key::decode_key;
use super::protobuf::{compile, json_of};
use super::slot::Slot;
use super::spelling::parse;
use super::time::TimeFormat;
use super::typed::{convert, takes};
use super::types::Type;
use super::values::Values;

/// A key as JSON is no longer.
const LONGEST: usize = 1 << 20;

/// How keys are decoded.
///
/// # Errors
/// A type that does not read; no registry where one is needed.
pub fn keys(key: &KeyType, schemas: Option<&Arc<dyn Schemas>>) -> Result<Keys, StageError> {
    let KeyType::Registry(name) = key else {
        let key = key.clone();
        let data_type = key.arrow();
        return Ok(Keys { data_type, decode: Box::new(move |keys| decode_key(&key, keys)) });
    };
    let (data_type, _) = parse(name).map_err(|why| {
        StageError::settings(format!("`key`: {why}")).remedy("write it as `key: { registry: int64 }`")
    })?;
    let Some(schemas) = schemas else {
        let error = StageError::settings("`key: { registry: … }` needs the schemas of keys");
        return Err(error.remedy("give the source its `registry`"));
    };
    let arrow = data_type.arrow();
    let (optional, format, path, missing) = (true, TimeFormat::iso(), Vec::new(), None);
    let column = Column { name: "_key".to_string(), data_type, optional, format, path, missing };
    let decoder = Mutex::new(RegistryKeys { column, schemas: schemas.clone(), readers: HashMap::new() });
    let decode = move |keys: &BinaryArray| decoder.lock().unwrap_or_else(PoisonError::into_inner).decode(keys);
    Ok(Keys { data_type: arrow, decode: Box::new(decode) })
}

/// A decoder that fetches the schemas of keys, too, before they are decoded.
pub(super) struct Fetching {
    pub(super) inner: Box<dyn Decode>,
    pub(super) schemas: Arc<dyn Schemas>,
}

impl Decode for Fetching {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn skips_tombstones(&self) -> bool {
        self.inner.skips_tombstones()
    }

    fn prepare(&mut self, records: &Records) -> Result<(), StageError> {
        let mut last = None;
        for (id, _) in records.keys.iter().flatten().filter_map(framed) {
            if last.replace(id) != Some(id) {
                self.schemas.schema(id)?;
            }
        }
        self.inner.prepare(records)
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        self.inner.decode(records)
    }
}

struct RegistryKeys {
    column: Column,
    schemas: Arc<dyn Schemas>,
    /// By the schema's number; or why its keys cannot be read.
    readers: HashMap<u32, Result<KeyReader, String>>,
}

enum KeyReader {
    /// Of records with the key as their only field.
    Avro(Box<Reader>),
    Json,
    Protobuf(FileDescriptor),
}

/// Keys of one schema: their rows, and their bodies.
type Group<'a> = (u32, Vec<usize>, Vec<&'a [u8]>);

impl RegistryKeys {
    fn decode(&mut self, keys: &BinaryArray) -> (ArrayRef, Vec<Refused>) {
        let mut bad: Vec<(usize, String)> = Vec::new();
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            let Some(key) = key else { continue };
            match framed(key) {
                None => bad.push((row, "no schema registry framing (a zero byte and a schema's number)".to_string())),
                Some((id, body)) => match groups.iter_mut().find(|(known, ..)| *known == id) {
                    Some((_, rows, bodies)) => {
                        rows.push(row);
                        bodies.push(body);
                    }
                    None => groups.push((id, vec![row], vec![body])),
                },
            }
        }
        let nulls = new_null_array(&self.column.data_type.arrow(), 1);
        let mut arrays: Vec<ArrayRef> = vec![nulls];
        // Where each row's value is: in which array, and where there.
        let mut places: Vec<(usize, usize)> = vec![(0, 0); keys.len()];
        for (id, rows, bodies) in groups {
            let (array, kept, wrong) = match self.group(id, &bodies) {
                Ok(read) => read,
                Err(why) => {
                    bad.extend(rows.iter().map(|row| (*row, why.clone())));
                    continue;
                }
            };
            let of = |index: usize| rows.get(index).copied().unwrap_or_default();
            bad.extend(wrong.into_iter().map(|(index, why)| (of(index), format!("{why} (schema {id})"))));
            for (place, index) in kept.into_iter().enumerate() {
                if let Some(found) = places.get_mut(of(index)) {
                    *found = (arrays.len(), place);
                }
            }
            arrays.push(array);
        }
        let all: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let array = interleave(&all, &places).expect("the arrays have one type, and the places are theirs");
        bad.sort_by_key(|(row, _)| *row);
        let refused = |(row, reason): (usize, String)| Refused {
            row,
            stage: "decode key".to_string(),
            reason: format!("the key: {reason}"),
        };
        (array, bad.into_iter().map(refused).collect())
    }

    /// The values of keys of one schema, which of them they are, and why others are none.
    #[expect(clippy::type_complexity, reason = "told above")]
    fn group(&mut self, id: u32, bodies: &[&[u8]]) -> Result<(ArrayRef, Vec<usize>, Vec<(usize, String)>), String> {
        let column = &self.column;
        let reader = match self.readers.get_mut(&id) {
            Some(reader) => reader,
            None => {
                // It was fetched before, and is known; what is not there may come.
                let Ok(Some(schema)) = self.schemas.schema(id) else {
                    return Err(format!("the registry has no schema {id}"));
                };
                let made = KeyReader::new(&schema, column).map_err(|why| format!("schema {id}: {why}"));
                self.readers.entry(id).or_insert(made)
            }
        };
        let reader = reader.as_mut().map_err(|why| why.clone())?;
        let name = &column.data_type;
        if let KeyReader::Avro(reader) = reader {
            let (read, unfit) = reader.read(bodies);
            let kept: Vec<usize> = (0..bodies.len()).filter(|index| unfit.binary_search(index).is_err()).collect();
            let no = "the bytes are not of its schema".to_string();
            let mut wrong: Vec<(usize, String)> = unfit.into_iter().map(|index| (index, no.clone())).collect();
            let Some(found) = read.columns().first().filter(|found| takes(found.data_type(), column)) else {
                return Err(format!("schema {id} has no such key"));
            };
            let (array, unfit) = convert(found, column);
            let of = |index: usize| kept.get(index).copied().unwrap_or_default();
            wrong.extend(unfit.into_iter().map(|(index, unfit)| (of(index), unfit.describe(name))));
            return Ok((array, kept, wrong));
        }
        let (mut values, mut wrong) = (Values::new(name, bodies.len()), Vec::new());
        for (index, body) in bodies.iter().enumerate() {
            let text = match reader {
                KeyReader::Protobuf(file) => json_of(file, id, body, LONGEST),
                _ => Ok(body.to_vec()),
            };
            let pushed = text.and_then(|text| {
                let text = String::from_utf8(text).map_err(|_| "not UTF-8".to_string())?;
                let describe = |wrong: super::wrong::Wrong| wrong.describe(name);
                let text = json_text(&text).map_err(describe)?;
                let slot = match Slot::written(text).map_err(describe)? {
                    // Whatever it is has a text.
                    slot @ (Slot::Text(_) | Slot::Null) => slot,
                    _ if *name == Type::Utf8 => Slot::Nested(text),
                    slot => slot,
                };
                values.push(column, &&slot).map_err(describe)
            });
            if let Err(why) = pushed {
                values.truncate(index);
                values.push_null();
                wrong.push((index, why));
            }
        }
        Ok((values.finish(), (0..bodies.len()).collect(), wrong))
    }
}

impl KeyReader {
    fn new(schema: &Schema, column: &Column) -> Result<KeyReader, String> {
        match schema.language {
            Language::Json => Ok(KeyReader::Json),
            Language::Protobuf => compile(schema).map(KeyReader::Protobuf),
            Language::Avro => {
                let text = inlined(schema)?;
                let key: Value = serde_json::from_str(&text).map_err(|_| "not an Avro schema: not JSON".to_string())?;
                // A field alone in its record has the bytes that it has without one.
                let field = json!({ "name": "key", "type": key });
                let record = json!({ "type": "record", "name": "foretell_key", "fields": [field] });
                let reader = Reader::new(schema.id, &record.to_string(), None)?;
                match reader.schema().fields().first() {
                    Some(field) if takes(field.data_type(), column) => Ok(KeyReader::Avro(Box::new(reader))),
                    Some(field) => {
                        Err(format!("keys are {}, which is never a {}", field.data_type(), column.data_type.short()))
                    }
                    None => Err("it has no value".to_string()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    struct Fake;

    impl Schemas for Fake {
        fn schema(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError> {
            const RECORD: &str = r#"{"type":"record","name":"Key","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"zone","type":["null","string"]}]}"#;
            const PROTO: &str = "syntax = \"proto3\";\nmessage Key { int64 id = 1; optional string zone = 2; }\n";
            let (language, text) = match id {
                1 => (Language::Avro, RECORD),
                2 => (Language::Avro, "\"string\""),
                3 => (Language::Avro, "{\"type\":\"long\"}"),
                4 => (Language::Json, "{}"),
                5 => (Language::Protobuf, PROTO),
                _ => return Ok(None),
            };
            Ok(Some(Arc::new(Schema { id, language, text: text.to_string(), references: Vec::new() })))
        }
    }

    fn read(data_type: &str, given: &[Option<&[u8]>]) -> (Vec<String>, Vec<(usize, String)>) {
        let schemas: Arc<dyn Schemas> = Arc::new(Fake);
        let keys = keys(&KeyType::Registry(data_type.to_string()), Some(&schemas)).unwrap();
        let (array, bad) = (keys.decode)(&BinaryArray::from_opt_vec(given.to_vec()));
        assert_eq!((array.data_type(), array.len()), (&keys.data_type, given.len()));
        let shown = (0..array.len()).map(|row| array_value_to_string(&array, row).unwrap()).collect();
        (shown, bad.into_iter().map(|refused| (refused.row, refused.reason)).collect())
    }

    #[test]
    fn keys_are_read_by_their_own_schemas() {
        let (record, text, number) = (b"\0\0\0\0\x01\x0e\x02\x02a", b"\0\0\0\0\x02\x06abc", b"\0\0\0\0\x03\x0e");
        let (object, message) = (b"\0\0\0\0\x04{\"id\": 9}", b"\0\0\0\0\x05\0\x08\x07\x12\x01b");
        let none = b"\0\0\0\0\x09\x00";
        let all: [Option<&[u8]>; 7] =
            [Some(record), Some(text), None, Some(number), Some(object), Some(message), Some(none)];
        let (texts, bad) = read("utf8", &all);
        let message = r#"{"id":7,"zone":"b"}"#;
        assert_eq!(texts, [r#"{"id":7,"zone":"a"}"#, "abc", "", "7", r#"{"id": 9}"#, message, ""]);
        assert_eq!(bad, [(6, "the key: the registry has no schema 9".to_string())]);
        let (parts, bad) = read("STRUCT<id BIGINT, zone VARCHAR?>", &all);
        assert_eq!(parts[0], "{id: 7, zone: a}");
        assert_eq!((parts[4].as_str(), parts[5].as_str()), ("{id: 9, zone: }", "{id: 7, zone: b}"));
        let reasons: Vec<&str> = bad.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(bad.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3, 6]);
        assert!(reasons[1].contains("schema 3: keys are Int64, which is never a struct"), "{reasons:?}");
        let (numbers, bad) = read("int64", &[Some(number), Some(b"7"), Some(b"\0\0\0\0\x03")]);
        assert_eq!(numbers, ["7", "", ""]);
        assert!(bad[0].1.contains("framing") && bad[1].1.contains("not of its schema"), "{bad:?}");
    }

    #[test]
    fn settings_that_cannot_be_are_said() {
        let schemas: Arc<dyn Schemas> = Arc::new(Fake);
        let wrong = |name: &str, schemas| keys(&KeyType::Registry(name.to_string()), schemas).err().unwrap().message;
        assert!(wrong("whole", Some(&schemas)).starts_with("`key`: unknown type"));
        assert!(wrong("int64", None).contains("needs the schemas of keys"));
    }
}
