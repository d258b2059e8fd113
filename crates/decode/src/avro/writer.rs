//! Rows as Avro records in the registry's wire format.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_avro::schema::{FingerprintStrategy, SCHEMA_METADATA_KEY};
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroSoeFormat;
use serde_json::{Value, json};

/// Nested deeper than this no column is.
const DEPTH: usize = 32;

/// How rows of some columns are written.
#[derive(Debug, Clone)]
pub struct AvroWriter {
    name: String,
    text: String,
    schema: SchemaRef,
}

/// Records one behind the other, and where each ends; a byte that belongs to none stands between them.
pub type AvroRecords = (Vec<u8>, Vec<usize>);

impl AvroWriter {
    /// For these columns; `name` becomes the record's, with `_` for what it cannot have.
    ///
    /// # Errors
    /// A column that Avro has no name or no type for.
    pub fn new(columns: &Schema, name: &str) -> Result<AvroWriter, String> {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        AvroWriter::named(columns, &if is_name(&name) { name } else { format!("_{name}") })
    }

    /// For these columns; `name` is the record's, with its namespace if it has one.
    ///
    /// # Errors
    /// A name that is none; a column that Avro has no name or no type for.
    pub fn named(columns: &Schema, name: &str) -> Result<AvroWriter, String> {
        if !name.split('.').all(is_name) {
            return Err(format!(
                "`{name}` is not a record's name: letters, digits and `_`, no digit first, parts with `.`"
            ));
        }
        let mut fields = Vec::with_capacity(columns.fields().len());
        let mut plain = Vec::with_capacity(columns.fields().len());
        for field in columns.fields() {
            let name = field.name();
            if !is_name(name) {
                return Err(format!(
                    "column `{name}` has no name that Avro takes: letters, digits and `_`, no digit first"
                ));
            }
            let none = || format!("column `{name}` is {}, which Avro has no type for", field.data_type());
            let data_type = plain_type(field.data_type(), 0).ok_or_else(none)?;
            let plain_field = Field::new(name, data_type, field.is_nullable());
            fields.push(field_text(&plain_field, name).ok_or_else(none)?);
            plain.push(plain_field);
        }
        let text = json!({ "type": "record", "name": name, "fields": fields }).to_string();
        let metadata = [(SCHEMA_METADATA_KEY.to_string(), text.clone())].into();
        let writer =
            AvroWriter { name: name.to_owned(), text, schema: Arc::new(Schema::new_with_metadata(plain, metadata)) };
        // Whatever the library does not take is said now.
        writer.encode(0, &RecordBatch::new_empty(Arc::new(columns.clone())))?;
        Ok(writer)
    }

    /// The record's name, with its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema, as it is registered.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Rows as records of the schema with this number.
    ///
    /// # Errors
    /// A value that the type has no room for.
    pub fn encode(&self, id: u32, rows: &RecordBatch) -> Result<AvroRecords, String> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(rows.num_columns());
        for (array, field) in rows.columns().iter().zip(self.schema.fields()) {
            let plain = cast_with_options(array, field.data_type(), &strict);
            columns
                .push(plain.map_err(|_| format!("column `{}` has a value that does not fit into Avro", field.name()))?);
        }
        let wrong = |error: String| format!("rows do not become Avro: {error}");
        let rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(|error| wrong(error.to_string()))?;
        let writer = WriterBuilder::new(self.schema.as_ref().clone());
        let writer = writer.with_fingerprint_strategy(FingerprintStrategy::Id(id));
        let mut encoder = writer.build_encoder::<AvroSoeFormat>().map_err(|error| wrong(error.to_string()))?;
        encoder.encode(&rows).map_err(|error| wrong(error.to_string()))?;
        let encoded = encoder.flush();
        let mut buffer = Vec::with_capacity(encoded.bytes().len().saturating_add(rows.num_rows()));
        let mut ends = Vec::with_capacity(rows.num_rows());
        for record in encoded.iter() {
            buffer.extend_from_slice(&record);
            ends.push(buffer.len());
            buffer.push(b'\n');
        }
        Ok((buffer, ends))
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The type that holds all of its values and that Avro has, too.
fn plain_type(data_type: &DataType, depth: usize) -> Option<DataType> {
    if depth > DEPTH {
        return None;
    }
    let inner = |field: &Field| {
        let data_type = plain_type(field.data_type(), depth.saturating_add(1))?;
        Some(Field::new(field.name(), data_type, field.is_nullable()))
    };
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::Int64 | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Decimal128(digits, scale) if *scale >= 0 => DataType::Decimal128(*digits, *scale),
        DataType::Boolean => DataType::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Dictionary(_, values) => plain_type(values, depth.saturating_add(1))?,
        DataType::Struct(fields) => {
            let fields: Option<Vec<Field>> = fields.iter().map(|field| inner(field)).collect();
            DataType::Struct(fields?.into())
        }
        DataType::List(item) => DataType::List(Arc::new(inner(item)?)),
        _ => return None,
    })
}

/// A field of a schema; what may be NULL is so where nothing is said, so that readers of an older schema go on.
fn field_text(field: &Field, path: &str) -> Option<Value> {
    let text = type_text(field.data_type(), path)?;
    Some(match field.is_nullable() {
        true => json!({ "name": field.name(), "type": ["null", text], "default": null }),
        false => json!({ "name": field.name(), "type": text }),
    })
}

fn type_text(data_type: &DataType, path: &str) -> Option<Value> {
    Some(match data_type {
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Boolean => json!("boolean"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({ "type": "int", "logicalType": "date" }),
        DataType::Timestamp(_, Some(_)) => json!({ "type": "long", "logicalType": "timestamp-micros" }),
        DataType::Timestamp(_, None) => json!({ "type": "long", "logicalType": "local-timestamp-micros" }),
        DataType::Decimal128(digits, scale) => {
            json!({ "type": "bytes", "logicalType": "decimal", "precision": digits, "scale": scale })
        }
        DataType::List(item) => {
            let text = type_text(item.data_type(), path)?;
            json!({ "type": "array", "items": if item.is_nullable() { json!(["null", text]) } else { text } })
        }
        DataType::Struct(fields) => {
            let mut texts = Vec::with_capacity(fields.len());
            for field in fields {
                if !is_name(field.name()) {
                    return None;
                }
                texts.push(field_text(field, &format!("{path}_{}", field.name()))?);
            }
            json!({ "type": "record", "name": format!("{path}_record"), "fields": texts })
        }
        _ => return None,
    })
}
