//! Plain lines: the whole value as text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretell_flow::{Decode, Decoded, Records, Refused, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::settings::max_bytes;
use foretell_connect::human::HumanSize;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, schema_of, settings_of};

/// The kind `line`.
pub(super) const KIND: Kind<dyn DecodeSettings> = Kind {
    name: "line",
    inherits: &[],
    schema: schema_of::<Settings>,
    parse: |value| Ok(Box::new(settings_of::<Settings>(value)?)),
};

/// Values are text, which becomes the column `line`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How the records' keys are read: one of these, or `{ registry: int64 }` (any type) by the schemas of the source's `registry`.
    /// Default: `utf8`.
    #[serde(default)]
    key: KeyType,
    /// Longer values are bad records. Default: 1 MiB.
    #[serde(default = "max_bytes")]
    max_bytes: HumanSize,
}

impl DecodeSettings for Settings {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)]));
        Ok(Box::new(Decoder { schema, max_bytes: self.max_bytes.0 }))
    }

    fn key(&self) -> KeyType {
        self.key.clone()
    }
}

struct Decoder {
    schema: SchemaRef,
    max_bytes: usize,
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let mut lines = StringBuilder::with_capacity(records.len(), records.bytes());
        let mut bad = Vec::new();
        for row in 0..records.len() {
            let mut refuse = |reason: String| bad.push(Refused { row, stage: "decode line".to_string(), reason });
            match records.value(row) {
                None => refuse("the record has no value".to_string()),
                Some(value) if value.len() > self.max_bytes => {
                    refuse(format!("{} bytes, which is more than `max_bytes` ({})", value.len(), self.max_bytes));
                }
                Some(value) => match std::str::from_utf8(value) {
                    Ok(text) => lines.append_value(text),
                    Err(_) => refuse("not UTF-8".to_string()),
                },
            }
        }
        let lines: ArrayRef = Arc::new(lines.finish());
        debug_assert_eq!(lines.len().saturating_add(bad.len()), records.len());
        let columns = RecordBatch::try_new(self.schema.clone(), vec![lines]).expect("one text column without NULLs");
        Decoded { columns, bad }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode_records, records, refusals};
    use super::*;
    use arrow::array::AsArray;
    use serde_json::json;

    #[test]
    fn a_line_is_its_text() {
        let values: &[Option<&[u8]>] = &[Some(b"a,b"), Some(b""), None, Some(b"\xff"), Some(b"longer than it may be")];
        let decoded = decode_records(&KIND, json!({ "max_bytes": 10 }), &records(values));
        let lines: Vec<_> = decoded.columns.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(lines, ["a,b", ""]);
        let reasons = ["the record has no value", "not UTF-8", "21 bytes, which is more than `max_bytes` (10)"];
        assert_eq!(refusals(&decoded), [2, 3, 4].into_iter().zip(reasons.map(String::from)).collect::<Vec<_>>());
    }
}
