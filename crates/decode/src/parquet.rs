//! Records that come as columns: those of Parquet files, which bring their own types.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, StructArray, UInt64Array, new_null_array,
};
use arrow::compute::{filter_record_batch, is_null, nullif, take};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use foretell_flow::{Decode, Decoded, Records, Refused, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::column::{Column, Columns, index_of, shown};
use super::settings::refuse_missing;
use super::typed::{convert, is_nested, takes};
use super::types::Type;
use foretell_connect::key_type::KeyType;
use foretell_connect::kind::{DecodeSettings, Kind, SettingsError, schema_of, settings_of};

/// The kind `parquet`.
pub(super) const KIND: Kind<dyn DecodeSettings> =
    Kind { name: "parquet", inherits: &[], schema: schema_of::<Settings>, parse };

/// Columns of Parquet files, found by name; `path` reaches into structs, and a column of lists, structs or maps is JSON as
/// `utf8`. A file brings its own types; here they are pinned. Values of others are
/// converted where nothing is lost, and make bad records where something would be; a file whose column is missing or of a
/// type that never fits stops the pipeline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The columns to read, in order: `[AGE: int64, NAME: utf8?]`. Left out: all that the first file has,
    /// with types that hold what several files have.
    columns: Columns,
}

fn parse(value: serde_json::Value) -> Result<Box<dyn DecodeSettings>, SettingsError> {
    let settings: Settings = settings_of(value)?;
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

/// Why a file with these columns cannot be read as `settings` say: what is true of all its rows.
///
/// # Errors
/// For people, with what would help.
pub fn check_file(settings: &serde_json::Value, found: &Schema) -> Result<(), (String, String)> {
    let settings: Settings = settings_of(settings.clone()).map_err(|error| (error.message, String::new()))?;
    check_columns(&settings.columns, found)
}

/// The same for these columns.
pub(super) fn check_columns(columns: &Columns, found: &Schema) -> Result<(), (String, String)> {
    for column in columns.iter() {
        let none = Fields::empty();
        let mut fields = found.fields();
        let mut data_type = &DataType::Null;
        for (depth, name) in path(column).iter().enumerate() {
            if let (Some(_), DataType::List(item)) = (index_of(name), data_type) {
                data_type = item.data_type();
                fields = match data_type {
                    DataType::Struct(fields) => fields,
                    _ => &none,
                };
                continue;
            }
            let Some((_, field)) = fields.find(name) else {
                let place = shown(path(column).get(..=depth).unwrap_or_default());
                let near = fields.iter().find(|field| field.name().eq_ignore_ascii_case(name));
                return Err(match near {
                    Some(near) => (
                        format!("the file has no column `{place}`, but one `{}`", near.name()),
                        "case matters: write the name as the file does".to_string(),
                    ),
                    None => (
                        format!("the file has no column `{place}`"),
                        "correct `decode`'s columns, or leave the file out".to_string(),
                    ),
                });
            };
            data_type = field.data_type();
            fields = match data_type {
                DataType::Struct(fields) => fields,
                _ => &none,
            };
        }
        if !takes(data_type, column) {
            let is_number = data_type.is_integer() && column.data_type == Type::Timestamp;
            let remedy = match is_number {
                true => format!(
                    "say what the numbers count: `{}: {{ type: timestamp, format: epoch_us }}`, or `epoch_ms`, `epoch_s`",
                    column.name
                ),
                false if is_nested(data_type) => {
                    "its values are JSON as `utf8`, or a `struct<…>` or `list<…>` of members that it has; `path` reaches into it: \
                     `CITY: { type: utf8, path: address.city }`"
                        .to_string()
                }
                false => "give it another type, or leave the column out".to_string(),
            };
            return Err((
                format!("column `{}` is {}, which is never a {}", column.name, data_type, column.data_type),
                remedy,
            ));
        }
    }
    Ok(())
}

/// Where a column is: the names from the file's own column down.
pub(super) fn path(column: &Column) -> &[String] {
    if column.path.is_empty() { std::slice::from_ref(&column.name) } else { &column.path }
}

/// The values at a path; NULL where a struct on the way is.
pub(super) fn reach(columns: &RecordBatch, path: &[String]) -> Option<ArrayRef> {
    let (first, rest) = path.split_first()?;
    let mut found = columns.column_by_name(first)?.clone();
    for name in rest {
        if let Some(index) = index_of(name) {
            found = elements(found.as_any().downcast_ref::<ListArray>()?, index)?;
            continue;
        }
        let outer = found.as_any().downcast_ref::<StructArray>()?;
        let inner = outer.column_by_name(name)?;
        found = match outer.nulls() {
            Some(_) => nullif(inner, &is_null(outer).ok()?).ok()?,
            None => inner.clone(),
        };
    }
    Some(found)
}

/// Of each list its element of this index; NULL where there is none.
fn elements(lists: &ListArray, index: usize) -> Option<ArrayRef> {
    let offsets = lists.value_offsets();
    let place = |row: usize| {
        let (from, to) = (*offsets.get(row)?, *offsets.get(row.checked_add(1)?)?);
        let place = usize::try_from(from).ok()?.checked_add(index)?;
        (lists.is_valid(row) && place < usize::try_from(to).ok()?).then_some(place as u64)
    };
    let places: UInt64Array = (0..lists.len()).map(place).collect();
    take(lists.values(), &places, None).ok()
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
        decode_columns("decode parquet", &self.schema, &self.columns, records)
    }
}

/// The columns of records that come as such.
pub(super) fn decode_columns(stage: &'static str, schema: &SchemaRef, columns: &Columns, records: &Records) -> Decoded {
    let rows = records.len();
    let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        let found = records.columns.as_ref().and_then(|columns| reach(columns, path(column)));
        let Some(found) = found.as_ref().filter(|found| takes(found.data_type(), column)) else {
            // The source stops at such a file.
            let reason = match found {
                Some(found) => format!("column `{}` is {}", column.name, found.data_type()),
                None => format!("the file has no column `{}`", column.name),
            };
            for row in 0..rows {
                reasons.entry(row).or_insert_with(|| reason.clone());
            }
            arrays.push(new_null_array(field.data_type(), rows));
            continue;
        };
        let (array, wrongs) = convert(found, column);
        for (row, wrong) in wrongs {
            reasons
                .entry(row)
                .or_insert_with(|| format!("column `{}`: {}", column.name, wrong.describe(&column.data_type)));
        }
        arrays.push(array);
    }
    let refused = |(row, reason)| Refused { row, stage: stage.to_string(), reason };
    let keep: Option<BooleanArray> =
        (!reasons.is_empty()).then(|| (0..rows).map(|row| Some(!reasons.contains_key(&row))).collect());
    Decoded { columns: batch(schema, arrays, rows, keep.as_ref()), bad: reasons.into_iter().map(refused).collect() }
}

/// The rows that are kept. Before that, a refused row leaves a NULL also in columns that have none.
pub(super) fn batch(
    schema: &SchemaRef,
    arrays: Vec<ArrayRef>,
    rows: usize,
    keep: Option<&BooleanArray>,
) -> RecordBatch {
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
    use super::super::tests::{decode_records, records, refusals};
    use super::*;
    use arrow::array::{AsArray, Float64Array, Int32Array, ListArray, StringArray};
    use arrow::datatypes::{Field, Int8Type, Int32Type, Int64Type};
    use arrow::util::display::array_value_to_string;
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
            (1, "column `a`: out of the range of an int8".to_string()),
            (2, "column `a`: missing (`int8?` would take it as NULL)".to_string()),
        ];
        assert_eq!(refusals(&decoded), reasons);

        let decoded = decode_records(&KIND, json!({ "columns": [{ "c": "utf8?" }] }), &given);
        assert_eq!(decoded.columns.num_rows(), 0);
        assert_eq!(decoded.bad[0].reason, "the file has no column `c`");
        let schema = given.columns.as_ref().unwrap().schema();
        for (columns, says) in [
            (json!([{ "c": "utf8?" }]), "the file has no column `c`"),
            (json!([{ "A": "int8" }]), "the file has no column `A`, but one `a`"),
            (json!([{ "a": "timestamp" }]), "column `a` is Int32, which is never a timestamp"),
            (json!([{ "b": "date" }]), "column `b` is Float64, which is never a date"),
        ] {
            let (error, remedy) = check_file(&json!({ "columns": columns }), &schema).unwrap_err();
            assert_eq!(error, says);
            assert!(!remedy.is_empty());
        }
        let columns = json!([{ "a": { "type": "timestamp", "format": "epoch_s" } }, { "text": "float64" }]);
        assert_eq!(check_file(&json!({ "columns": columns }), &schema), Ok(()));
    }

    #[test]
    fn columns_with_parts_are_json_or_reached_into() {
        let cities = Arc::new(StringArray::from(vec![Some("Köln"), Some("lost"), None])) as ArrayRef;
        let zips = Arc::new(Int32Array::from(vec![50667, 1, 2])) as ArrayRef;
        let fields =
            Fields::from(vec![Field::new("city", DataType::Utf8, true), Field::new("zip", DataType::Int32, false)]);
        let address = StructArray::new(fields, vec![cities, zips], Some(vec![true, false, true].into()));
        let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let mut given = records(&[None, None, None]);
        given.columns = Some(
            RecordBatch::try_from_iter_with_nullable([
                ("address", Arc::new(address) as ArrayRef, true),
                ("tags", Arc::new(tags) as ArrayRef, true),
            ])
            .unwrap(),
        );
        let columns = json!([
            { "address": "utf8?" },
            { "tags": "utf8?" },
            { "CITY": { "type": "utf8?", "path": "address.city" } },
            { "ZIP": { "type": "int64?", "path": ["address", "zip"] } },
        ]);
        let schema = given.columns.as_ref().unwrap().schema();
        assert_eq!(check_file(&json!({ "columns": columns }), &schema), Ok(()));
        let decoded = decode_records(&KIND, json!({ "columns": columns }), &given);
        let texts = |at: usize| -> Vec<Option<String>> {
            let column = decoded.columns.column(at);
            (0..3).map(|row| column.is_valid(row).then(|| array_value_to_string(column, row).unwrap())).collect()
        };
        let text = |text: &str| Some(text.to_string());
        assert_eq!(texts(0), [text("{\"city\":\"Köln\",\"zip\":50667}"), None, text("{\"city\":null,\"zip\":2}")]);
        assert_eq!(texts(1), [text("[1,null]"), None, text("[]")]);
        assert_eq!(texts(2), [text("Köln"), None, None], "what is in a struct that is NULL is NULL");
        assert_eq!(texts(3), [text("50667"), None, text("2")]);
        let parts = json!([
            { "address": "struct<zip: int64, city: utf8?, town: utf8?>?" },
            { "tags": "list<int64>?" },
        ]);
        assert_eq!(check_file(&json!({ "columns": parts }), &schema), Ok(()));
        let decoded = decode_records(&KIND, json!({ "columns": parts }), &given);
        let none = "missing (`int64?` would take it as NULL)";
        assert_eq!(refusals(&decoded), [(0, format!("column `tags`: at `[1]`: {none}"))]);
        let shown = |at: usize, row: usize| array_value_to_string(decoded.columns.column(at), row).unwrap();
        assert_eq!([shown(0, 0), shown(1, 0)], [String::new(), String::new()]);
        assert_eq!([shown(0, 1), shown(1, 1)], ["{zip: 2, city: , town: }".to_string(), "[]".to_string()]);
        for (columns, says) in [
            (json!([{ "address": "struct<zip: date>" }]), "which is never a struct<zip: date>"),
            (json!([{ "address": "struct<town: utf8>" }]), "which is never a struct"),
            (json!([{ "tags": "struct<zip: date>" }]), "which is never a struct"),
            (json!([{ "address": "int64" }]), "which is never a int64"),
            (json!([{ "a": { "type": "utf8", "path": "address.town" } }]), "the file has no column `address.town`"),
            (json!([{ "a": { "type": "utf8", "path": "tags.x" } }]), "the file has no column `tags.x`"),
        ] {
            let (error, _) = check_file(&json!({ "columns": columns }), &schema).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
