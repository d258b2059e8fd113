//! What Avro's records become: the columns that the pipeline file names, or all fields with their own types.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringBuilder, new_null_array,
};
use arrow::compute::cast;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::super::column::{Column, Columns, RESERVED, shown};
use super::super::debezium;
use super::super::parquet::{batch, path, reach};
use super::super::typed::{convert, takes};
use super::super::wrong::Wrong;
use super::reader::Reader;

/// The columns that are wanted.
pub(super) struct Wanted {
    /// Those of the pipeline file; all fields where it names none.
    named: Option<Columns>,
    /// The columns of a row.
    row: SchemaRef,
    /// The same with what comes beside them.
    schema: SchemaRef,
    /// Whether rows stand in change events.
    unwrap: bool,
}

/// The number that a schema is tried with before any record is there.
const TRIED: u32 = 0;

impl Wanted {
    /// # Errors
    /// A schema that does not read, or that lacks what the columns need.
    pub(super) fn new(columns: Option<&Columns>, schema: Option<&str>, unwrap: bool) -> Result<Wanted, String> {
        let reader = schema.map(|schema| Reader::new(TRIED, schema, Some(schema))).transpose()?;
        let row = match (columns, &reader) {
            (Some(columns), _) => columns.schema(),
            (None, None) => return Err("there is no schema".to_string()),
            (None, Some(reader)) => {
                let whole = reader.schema();
                let fields = if unwrap { sides(&whole)? } else { whole.fields() };
                Arc::new(Schema::new(fields.iter().map(natural_field).collect::<Fields>()))
            }
        };
        let own = |field: &&Arc<Field>| {
            let beside = columns.is_none() && RESERVED.contains(&field.name().as_str());
            beside || (unwrap && debezium::OWN.contains(&field.name().as_str()))
        };
        if let Some(field) = row.fields().iter().find(own) {
            return Err(format!(
                "field `{}` has the name of a column that every record has: name the `columns`, with another name and its \
                 `path`",
                field.name()
            ));
        }
        let schema = if unwrap { debezium::schema(&row) } else { row.clone() };
        let wanted = Wanted { named: columns.cloned(), row, schema, unwrap };
        if let Some(reader) = &reader {
            wanted.check(reader)?;
        }
        Ok(wanted)
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether values of a schema can have these columns at all.
    pub(super) fn check(&self, reader: &Reader) -> Result<(), String> {
        let mut none = RecordBatch::new_empty(reader.schema());
        if self.unwrap {
            none = RecordBatch::new_empty(Arc::new(Schema::new(sides(&reader.schema())?.clone())));
        }
        for column in self.named.iter().flat_map(Columns::iter) {
            match find(&none, column, reader) {
                Some(found) if !takes(found.data_type(), column) => {
                    let (found, wanted) = (found.data_type(), &column.data_type);
                    return Err(format!("field `{}` is {found}, which is never a {wanted}", shown(path(column))));
                }
                None if !column.optional => {
                    return Err(format!(
                        "it has no field `{}` (`{}?` would take it as NULL)",
                        shown(path(column)),
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
        if !self.unwrap {
            let (arrays, wrongs) = self.arrays(read, reader, &[]);
            return (batch(&self.row, arrays, rows, kept(rows, &wrongs).as_ref()), wrongs);
        }
        let (images, ops) = match images(read) {
            Ok(images) => images,
            Err(why) => {
                let all = (0..rows).map(|row| (row, why.clone())).collect();
                return (RecordBatch::new_empty(self.schema()), all);
            }
        };
        let kinds: Vec<&str> = ops.iter().map(|op| op.as_ref().map_or("", |op| *op)).collect();
        let (arrays, mut wrongs) = self.arrays(&images, reader, &kinds);
        let unread = ops.into_iter().enumerate().filter_map(|(row, op)| Some((row, op.err()?)));
        wrongs.extend(unread);
        let row = Arc::new(Schema::new(
            self.row.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
        ));
        let good = batch(&row, arrays, rows, kept(rows, &wrongs).as_ref());
        let kinds: Vec<&str> =
            kinds.iter().enumerate().filter(|(row, _)| !wrongs.contains_key(row)).map(|(_, op)| *op).collect();
        (debezium::with_ops(&self.schema, &good, &kinds), wrongs)
    }

    /// The columns of rows, and which rows do not fit. What a deleted row lacks is NULL.
    fn arrays(&self, read: &RecordBatch, reader: &Reader, ops: &[&str]) -> (Vec<ArrayRef>, BTreeMap<usize, String>) {
        let rows = read.num_rows();
        let mut wrongs: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        let Some(columns) = &self.named else {
            return (natural_columns(&self.row, read), wrongs);
        };
        for column in columns.iter() {
            let Some(found) = find(read, column, reader) else {
                // Those that must have it were refused with their schema.
                arrays.push(new_null_array(&column.data_type.arrow(), rows));
                continue;
            };
            let (array, unfit) = convert(&found, column);
            for (row, wrong) in unfit {
                if wrong == Wrong::Missing && ops.get(row) == Some(&"d") {
                    continue;
                }
                let reason = || format!("field {}: {}", column.name, wrong.describe(&column.data_type));
                wrongs.entry(row).or_insert_with(reason);
            }
            arrays.push(array);
        }
        (arrays, wrongs)
    }
}

/// Which rows are kept; `None` where all are.
fn kept(rows: usize, wrongs: &BTreeMap<usize, String>) -> Option<BooleanArray> {
    (!wrongs.is_empty()).then(|| (0..rows).map(|row| Some(!wrongs.contains_key(&row))).collect())
}

/// The fields of the rows in a change event.
fn sides(event: &Schema) -> Result<&Fields, String> {
    let side = |name: &str| match event.field_with_name(name).map(Field::data_type) {
        Ok(DataType::Struct(fields)) => Some(fields),
        _ => None,
    };
    let is_text = event.field_with_name("op").is_ok_and(|field| *field.data_type() == DataType::Utf8);
    match (side("before"), side("after")) {
        (Some(_), Some(after)) if is_text => Ok(after),
        _ => Err("it is not that of a change event: `before` and `after` are records, `op` is a text".to_string()),
    }
}

/// The rows of change events, each after its change or before its deletion, and the kinds of the changes.
#[expect(clippy::type_complexity, reason = "one kind a row, or why it is none")]
fn images(events: &RecordBatch) -> Result<(RecordBatch, Vec<Result<&'static str, String>>), String> {
    let schema = events.schema();
    sides(&schema)?;
    let lost = || "the change event has another form than its schema".to_string();
    let side = |name: &str| events.column_by_name(name).and_then(|side| side.as_struct_opt()).ok_or_else(lost);
    let (before, after) = (side("before")?, side("after")?);
    let op = events.column_by_name("op").and_then(|op| op.as_string_opt::<i32>()).ok_or_else(lost)?;
    let deleted: BooleanArray = op.iter().map(|op| Some(op == Some("d"))).collect();
    let before = cast(&(Arc::new(before.clone()) as ArrayRef), after.data_type()).map_err(|_| lost())?;
    let merged = zip(&deleted, &before, after).map_err(|_| lost())?;
    let rows = merged.as_struct_opt().ok_or_else(lost)?;
    let kinds = op.iter().enumerate().map(|(row, op)| {
        let op = debezium::kind(op)?;
        let side = if op == "d" { "before" } else { "after" };
        if rows.is_valid(row) { Ok(op) } else { Err(format!("a change event whose `{side}` is empty")) }
    });
    let kinds = kinds.collect();
    let fields: Vec<Field> = rows.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), rows.columns().to_vec(), &options);
    Ok((rows.map_err(|_| lost())?, kinds))
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

/// All columns, each with its natural type.
pub(super) fn natural_columns(natural: &Schema, read: &RecordBatch) -> Vec<ArrayRef> {
    let given = read.schema();
    let plain = |(field, array): (&Arc<Field>, &ArrayRef)| {
        let uuid = given.fields().find(field.name()).is_some_and(|(_, field)| is_uuid(field));
        let array = if uuid { uuids(array) } else { cast(array, field.data_type()).ok() };
        array.unwrap_or_else(|| new_null_array(field.data_type(), read.num_rows()))
    };
    natural.fields().iter().zip(read.columns()).map(plain).collect()
}

/// A field without what only Avro knows of it.
pub(super) fn natural_field(field: &Arc<Field>) -> Arc<Field> {
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
