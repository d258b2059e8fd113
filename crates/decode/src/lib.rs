//! What do these bytes mean?
//!
//! A decoder turns the values of a batch of records into typed columns. A record that does not decode is refused with a
//! reason that names the field and never shows the value. Keys are decoded apart, by [`keys`]. Pure: this crate knows
//! no file, no network and no clock.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_connect::kind::{DecodeSettings, Kind};

mod avro;
mod cell;
mod column;
mod csv;
mod debezium;
mod decimal;
mod elements;
mod field;
pub mod fields;
mod flat;
mod guess;
mod headers;
mod json;
mod json_schema;
mod key;
mod line;
mod members;
mod missing;
mod open;
mod parquet;
mod protobuf;
mod registry_key;
mod rows;
mod scan;
mod settings;
mod sheet;
mod slot;
mod spelling;
mod time;
mod tombstones;
mod tree;
mod typed;
mod types;
mod values;
mod wrong;

pub use avro::{AvroFile, AvroRecords, AvroWriter, avro_text, check_avro_file, check_bare};
pub use column::{Column, Columns};
pub use csv::{Outline, outline};
pub use decimal::parse_decimal;
pub use elements::{Element, Elements};
pub use guess::{Guess, JsonGuess, JsonKind, is_record};
pub use json_schema::{json_columns, json_schema_of};
pub use members::Members;
pub use missing::{MISSING, Missing};
pub use open::open_decoder;
pub use parquet::check_file;
pub use protobuf::{ProtobufWriter, protobuf_columns};
pub use registry_key::keys;
pub use sheet::{Sheet, WhyWrong, WrongRecord};
pub use typed::{full_type_of, type_of};
pub use types::{MOST_DIGITS, Member, Type};

/// Every kind of decoder.
pub const DECODERS: &[Kind<dyn DecodeSettings>] =
    &[avro::KIND, csv::KIND, json::KIND, line::KIND, parquet::KIND, protobuf::KIND];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foretell_flow::{Decoded, Records, RecordsBuilder};

    use super::*;

    pub(super) fn records(values: &[Option<&[u8]>]) -> Records {
        let mut builder = RecordsBuilder::new(Arc::from("orders"));
        for (offset, value) in values.iter().enumerate() {
            builder.push(0, offset as i64, None, None, *value, Vec::new());
        }
        builder.finish()
    }

    pub(super) fn decode_records(
        kind: &Kind<dyn DecodeSettings>,
        settings: serde_json::Value,
        records: &Records,
    ) -> Decoded {
        let mut decoder = (kind.parse)(settings).unwrap().open().unwrap();
        let decoded = decoder.decode(records);
        assert_eq!(decoded.columns.schema(), decoder.schema());
        assert_eq!(decoded.columns.num_rows() + decoded.bad.len(), records.len(), "no record is lost or doubled");
        let again = decoder.decode(records);
        assert_eq!(
            (again.columns, &again.bad),
            (decoded.columns.clone(), &decoded.bad),
            "a batch leaves nothing behind"
        );
        decoded
    }

    pub(super) fn decode(kind: &Kind<dyn DecodeSettings>, settings: serde_json::Value, values: &[&str]) -> Decoded {
        let values: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
        decode_records(kind, settings, &records(&values))
    }

    pub(super) fn refusals(decoded: &Decoded) -> Vec<(usize, String)> {
        decoded.bad.iter().map(|refused| (refused.row, refused.reason.clone())).collect()
    }

    pub(super) fn settings_error(kind: &Kind<dyn DecodeSettings>, settings: serde_json::Value) -> String {
        let error = (kind.parse)(settings).err().unwrap();
        format!("{}: {}", error.path.join("."), error.message)
    }

    #[test]
    fn an_empty_batch_has_the_columns_and_no_rows() {
        // Without a registry that one does not open.
        for kind in DECODERS.iter().filter(|kind| !matches!(kind.name, "avro" | "protobuf")) {
            let settings = match kind.name {
                "line" => serde_json::json!({}),
                _ => serde_json::json!({ "columns": [{ "a": "timestamp" }] }),
            };
            let decoded = decode_records(kind, settings, &records(&[]));
            assert_eq!((decoded.columns.num_rows(), decoded.columns.num_columns()), (0, 1), "{}", kind.name);
        }
    }
}
