//! Columns that come as such: of Parquet files, which bring their own types.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use foretell_flow::{Decode, Decoded, Records, Refused, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::column::{Columns, Type};
use super::csv::refuse_missing;
use super::key::KeyType;
use crate::kind::{DecodeSettings, Kind, SettingsError, schema_of, settings_of};

/// The kind `parquet`.
pub(super) const KIND: Kind<dyn DecodeSettings> =
    Kind { name: "parquet", inherits: &[], schema: schema_of::<Settings>, parse };

/// Columns of Parquet files, found by name. A file brings its own types; here they are pinned, and others are converted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The columns to read, in order: `[AGE: int64, NAME: utf8?]`. Left out: all that the first file has.
    columns: Columns,
}

fn parse(value: serde_json::Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    let settings: Settings = settings_of(value)?;
    if let Some(at) = settings.columns.iter().position(|column| !column.path.is_empty()) {
        let path = vec!["columns".to_string(), at.to_string()];
        return Err(SettingsError { path, message: "`path` is for JSON".to_string() });
    }
    refuse_missing(&settings.columns)?;
    Ok(Box::new(settings))
}

impl DecodeSettings for Settings {
    fn open(&self) -> Result<Box<dyn Decode>, StageError> {
        Ok(Box::new(Decoder { schema: self.columns.schema(), columns: self.columns.clone() }))
    }

    fn key(&self) -> KeyType {
        KeyType::default()
    }
}

/// The type that a column of this type is read as; none where nothing fits.
pub(crate) fn type_of(found: &DataType) -> Option<Type> {
    Some(match found {
        DataType::Int8 => Type::Int8,
        DataType::Int16 => Type::Int16,
        DataType::Int32 => Type::Int32,
        DataType::Int64 => Type::Int64,
        DataType::UInt8 => Type::Uint8,
        DataType::UInt16 => Type::Uint16,
        DataType::UInt32 => Type::Uint32,
        DataType::UInt64 => Type::Uint64,
        DataType::Float16 | DataType::Float32 => Type::Float32,
        DataType::Float64 => Type::Float64,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => Type::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::Utf8,
        DataType::Boolean => Type::Bool,
        DataType::Date32 | DataType::Date64 => Type::Date,
        DataType::Timestamp(..) => Type::Timestamp,
        DataType::Dictionary(_, values) => return type_of(values),
        _ => return None,
    })
}

struct Decoder {
    schema: SchemaRef,
    columns: Columns,
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&mut self, records: &Records) -> Decoded {
        let rows = records.len();
        let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter().zip(self.schema.fields()) {
            let found = records.columns.as_ref().and_then(|columns| columns.column_by_name(&column.name));
            let Some(found) = found else {
                let reason = format!("the file has no column `{}`", column.name);
                for row in 0..rows {
                    reasons.entry(row).or_insert_with(|| reason.clone());
                }
                arrays.push(new_null_array(field.data_type(), rows));
                continue;
            };
            let type_name = column.data_type.name();
            let array = cast(found, field.data_type()).unwrap_or_else(|_| new_null_array(field.data_type(), rows));
            if array.null_count() > 0 {
                for row in (0..rows).filter(|row| array.is_null(*row)) {
                    let reason = match found.is_null(row) {
                        true if column.optional => continue,
                        true => format!("column `{}`: missing (`{type_name}?` would take it as NULL)", column.name),
                        false => format!("column `{}`: does not fit the type {type_name}", column.name),
                    };
                    reasons.entry(row).or_insert(reason);
                }
            }
            arrays.push(array);
        }
        let refused = |(row, reason)| Refused { row, stage: "decode parquet".to_string(), reason };
        let keep: Option<BooleanArray> =
            (!reasons.is_empty()).then(|| (0..rows).map(|row| Some(!reasons.contains_key(&row))).collect());
        Decoded {
            columns: batch(&self.schema, arrays, rows, keep.as_ref()),
            bad: reasons.into_iter().map(refused).collect(),
        }
    }
}

/// The rows that are kept. Before that, a refused row leaves a NULL also in columns that have none.
fn batch(schema: &SchemaRef, arrays: Vec<ArrayRef>, rows: usize, keep: Option<&BooleanArray>) -> RecordBatch {
    let build = |schema: &SchemaRef, arrays, rows| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema.clone(), arrays, &options).expect("the columns fit their schema")
    };
    let Some(keep) = keep else { return build(schema, arrays, rows) };
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let all = build(&Arc::new(Schema::new(nullable)), arrays, rows);
    let kept = filter_record_batch(&all, keep).expect("mask and columns have one length");
    build(schema, kept.columns().to_vec(), kept.num_rows())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode_records, records, refusals, settings_error};
    use super::*;
    use arrow::array::{AsArray, Float64Array, Int32Array, StringArray};
    use arrow::datatypes::{Int8Type, Int64Type};
    use serde_json::json;

    #[test]
    fn columns_are_found_by_name_and_converted() {
        let mut given = records(&[None, None, None, None]);
        given.columns = Some(
            RecordBatch::try_from_iter([
                ("text", Arc::new(StringArray::from(vec!["x", "y", "z", "w"])) as ArrayRef),
                ("a", Arc::new(Int32Array::from(vec![Some(1), Some(300), None, Some(4)])) as ArrayRef),
                ("b", Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), Some(3.0), None])) as ArrayRef),
            ])
            .unwrap(),
        );
        let settings = json!({ "columns": [{ "b": "int64?" }, { "a": "int8" }] });
        let decoded = decode_records(&KIND, settings, &given);
        assert_eq!(decoded.columns.column(1).as_primitive::<Int8Type>().values().to_vec(), [1, 4]);
        let b: Vec<_> = decoded.columns.column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(b, [Some(1), None]);
        let reasons = [
            (1, "column `a`: does not fit the type int8".to_string()),
            (2, "column `a`: missing (`int8?` would take it as NULL)".to_string()),
        ];
        assert_eq!(refusals(&decoded), reasons);

        let decoded = decode_records(&KIND, json!({ "columns": [{ "c": "utf8?" }] }), &given);
        assert_eq!(decoded.columns.num_rows(), 0);
        assert_eq!(decoded.bad[0].reason, "the file has no column `c`");
        let error = settings_error(&KIND, json!({ "columns": [{ "a": { "type": "int8", "path": "b" } }] }));
        assert_eq!(error, "columns.0: `path` is for JSON");
    }
}
