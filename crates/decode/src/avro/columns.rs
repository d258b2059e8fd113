//! What Avro's records become: the columns that the pipeline file names, or all fields with their own types.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::super::column::{Column, Columns, RESERVED};
use super::super::parquet::{batch, path, reach};
use super::super::typed::{convert, takes};
use super::reader::Reader;

/// The columns that are wanted.
pub(super) enum Wanted {
    /// Those of the pipeline file.
    Named(Columns, SchemaRef),
    /// All fields.
    All(SchemaRef),
}

/// The number that a schema is tried with before any record is there.
const TRIED: u32 = 0;

impl Wanted {
    /// # Errors
    /// A schema that does not read, or that lacks what the columns need.
    pub(super) fn new(columns: Option<&Columns>, schema: Option<&str>) -> Result<Wanted, String> {
        let reader = schema.map(|schema| Reader::new(TRIED, schema, Some(schema))).transpose()?;
        if let Some(columns) = columns {
            let wanted = Wanted::Named(columns.clone(), columns.schema());
            if let Some(reader) = &reader {
                wanted.check(reader)?;
            }
            return Ok(wanted);
        }
        let Some(reader) = reader else { return Err("there is no schema".to_string()) };
        let schema = reader.schema();
        if let Some(field) = schema.fields().iter().find(|field| RESERVED.contains(&field.name().as_str())) {
            return Err(format!(
                "field `{}` has the name of a column that every record has: name the `columns`, with another name and its \
                 `path`",
                field.name()
            ));
        }
        Ok(Wanted::All(Arc::new(Schema::new(schema.fields().iter().map(natural_field).collect::<Fields>()))))
    }

    pub(super) fn schema(&self) -> SchemaRef {
        match self {
            Wanted::Named(_, schema) | Wanted::All(schema) => schema.clone(),
        }
    }

    /// Whether values of a schema can have these columns at all.
    pub(super) fn check(&self, reader: &Reader) -> Result<(), String> {
        let Wanted::Named(columns, _) = self else { return Ok(()) };
        let none = RecordBatch::new_empty(reader.schema());
        for column in columns.iter() {
            match find(&none, column, reader) {
                Some(found) if !takes(found.data_type(), column) => {
                    let (found, wanted) = (found.data_type(), column.data_type);
                    return Err(format!("field `{}` is {found}, which is never a {wanted}", path(column).join(".")));
                }
                None if !column.optional => {
                    return Err(format!(
                        "it has no field `{}` (`{}?` would take it as NULL)",
                        path(column).join("."),
                        column.data_type
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The columns of these records, without those of which a value does not fit; and of those why, by their index.
    pub(super) fn columns(&self, read: &RecordBatch, reader: &Reader) -> (RecordBatch, BTreeMap<usize, String>) {
        let rows = read.num_rows();
        let mut wrongs: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        let schema = self.schema();
        match self {
            Wanted::Named(columns, _) => {
                for column in columns.iter() {
                    let Some(found) = find(read, column, reader) else {
                        // Those that must have it were refused with their schema.
                        arrays.push(new_null_array(&column.data_type.arrow(), rows));
                        continue;
                    };
                    let (array, unfit) = convert(&found, column);
                    for (row, wrong) in unfit {
                        let reason = || format!("field {}: {}", column.name, wrong.describe(column.data_type));
                        wrongs.entry(row).or_insert_with(reason);
                    }
                    arrays.push(array);
                }
            }
            Wanted::All(_) => {
                for (field, array) in schema.fields().iter().zip(read.columns()) {
                    let given = read.schema();
                    let uuid = given.fields().find(field.name()).is_some_and(|(_, field)| is_uuid(field));
                    let array = if uuid { uuids(array) } else { cast(array, field.data_type()).ok() };
                    arrays.push(array.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
                }
            }
        }
        let keep = (!wrongs.is_empty()).then(|| (0..rows).map(|row| Some(!wrongs.contains_key(&row))).collect());
        (batch(&schema, arrays, rows, keep.as_ref()), wrongs)
    }
}

/// A column's values, by the name of its field or by one of the field's others.
fn find(read: &RecordBatch, column: &Column, reader: &Reader) -> Option<ArrayRef> {
    let names = path(column);
    let found = reach(read, names).or_else(|| {
        let (first, rest) = names.split_first()?;
        let mut other = vec![reader.alias(first)?.to_string()];
        other.extend(rest.iter().cloned());
        reach(read, &other)
    })?;
    let uuid = match names {
        [name] => read.schema().fields().find(name).is_some_and(|(_, field)| is_uuid(field)),
        _ => false,
    };
    if uuid { uuids(&found) } else { Some(found) }
}

fn is_uuid(field: &Field) -> bool {
    field.metadata().get("logicalType").is_some_and(|kind| kind == "uuid")
}

fn uuids(array: &ArrayRef) -> Option<ArrayRef> {
    let bytes = array.as_fixed_size_binary_opt()?;
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.len().saturating_mul(36));
    let mut text = String::new();
    for value in bytes {
        text.clear();
        for (at, byte) in value.unwrap_or_default().iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            write!(text, "{byte:02x}").ok()?;
        }
        texts.append_option(value.map(|_| text.as_str()));
    }
    Some(Arc::new(texts.finish()))
}

/// A field without what only Avro knows of it.
fn natural_field(field: &Arc<Field>) -> Arc<Field> {
    let data_type = if is_uuid(field) { DataType::Utf8 } else { natural(field.data_type()) };
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

/// The type as the other decoders have it: enums are texts, times are in UTC.
fn natural(data_type: &DataType) -> DataType {
    let inner =
        |field: &Arc<Field>| Arc::new(Field::new(field.name(), natural(field.data_type()), field.is_nullable()));
    match data_type {
        DataType::Dictionary(_, values) => natural(values),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::List(item) => DataType::List(inner(item)),
        other => other.clone(),
    }
}
