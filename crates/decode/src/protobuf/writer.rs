//! Rows as Protobuf messages in the registry's wire format.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
    UInt32Type, UInt64Type,
};
use foretell_connect::schemas::{Language, Schema as Registered};

use super::super::avro::AvroRecords;

/// Nested deeper than this no column is.
const DEPTH: usize = 32;

/// Behind the schema's number: the message is the first of its schema.
const FIRST: u8 = 0;

/// How rows of some columns are written.
#[derive(Debug, Clone)]
pub struct ProtobufWriter {
    name: String,
    text: String,
    /// The columns in types that Protobuf has, too; their fields have the numbers from 1.
    plain: Vec<Field>,
}

impl ProtobufWriter {
    /// For these columns; `name` becomes the message's, with `_` for what it cannot have.
    ///
    /// # Errors
    /// A column that Protobuf has no name or no type for.
    pub fn new(columns: &Schema, name: &str) -> Result<ProtobufWriter, String> {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        ProtobufWriter::named(columns, &if is_name(&name) { name } else { format!("_{name}") })
    }

    /// For these columns; `name` is the message's, with its package if it has one.
    ///
    /// # Errors
    /// A name that is none; a column that Protobuf has no name or no type for.
    pub fn named(columns: &Schema, name: &str) -> Result<ProtobufWriter, String> {
        if !name.split('.').all(is_name) {
            return Err(format!(
                "`{name}` is not a message's name: letters, digits and `_`, no digit first, parts with `.`"
            ));
        }
        let mut plain = Vec::with_capacity(columns.fields().len());
        for field in columns.fields() {
            if !is_name(field.name()) {
                return Err(format!(
                    "column `{}` has no name that Protobuf takes: letters, digits and `_`, no digit first",
                    field.name()
                ));
            }
            let data_type = plain_type(field.data_type(), 0).ok_or_else(|| {
                format!("column `{}` is {}, which Protobuf has no type for", field.name(), field.data_type())
            })?;
            plain.push(Field::new(field.name(), data_type, field.is_nullable()));
        }
        let (package, message) = match name.rsplit_once('.') {
            Some((package, message)) => (Some(package), message),
            None => (None, name),
        };
        let mut body = String::new();
        fields(&plain, "  ", &mut body);
        let mut text = "syntax = \"proto3\";\n".to_string();
        if let Some(package) = package {
            text.push_str(&format!("package {package};\n"));
        }
        if body.contains(TIMESTAMP) {
            text.push_str("import \"google/protobuf/timestamp.proto\";\n");
        }
        text.push_str(&format!("message {message} {{\n{body}}}\n"));
        // Names that are one in JSON, and words that name nothing, are said now.
        let schema = Registered { id: 0, language: Language::Protobuf, text: text.clone(), references: Vec::new() };
        super::compile(&schema).map_err(|why| format!("the columns are no message: {why}"))?;
        Ok(ProtobufWriter { name: name.to_owned(), text, plain })
    }

    /// The message's name, with its package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema, as it is registered.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Rows as messages of the schema with this number.
    ///
    /// # Errors
    /// A value that the type has no room for: it names the column.
    pub fn encode(&self, id: u32, rows: &RecordBatch) -> Result<AvroRecords, String> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let mut columns: Vec<(&Field, ArrayRef)> = Vec::with_capacity(rows.num_columns());
        for (array, field) in rows.columns().iter().zip(&self.plain) {
            let plain = cast_with_options(array, field.data_type(), &strict);
            let plain =
                plain.map_err(|_| format!("column `{}` has a value that does not fit into Protobuf", field.name()))?;
            columns.push((field, plain));
        }
        let (mut buffer, mut ends) = (Vec::new(), Vec::with_capacity(rows.num_rows()));
        for row in 0..rows.num_rows() {
            buffer.push(0);
            buffer.extend_from_slice(&id.to_be_bytes());
            buffer.push(FIRST);
            for (number, (field, array)) in (1_u64..).zip(&columns) {
                write_field(number, array, row, &mut buffer)
                    .map_err(|why| format!("column `{}`: {why}", field.name()))?;
            }
            ends.push(buffer.len());
            buffer.push(b'\n');
        }
        Ok((buffer, ends))
    }
}

const TIMESTAMP: &str = "google.protobuf.Timestamp";

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The type that holds all of its values and that Protobuf has, too; what it lacks is text.
fn plain_type(data_type: &DataType, depth: usize) -> Option<DataType> {
    if depth > DEPTH {
        return None;
    }
    let deeper = depth.saturating_add(1);
    let inner = |field: &Field| {
        let data_type = plain_type(field.data_type(), deeper)?;
        is_name(field.name()).then(|| Field::new(field.name(), data_type, field.is_nullable()))
    };
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => DataType::Int32,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::UInt32,
        DataType::Int64 => DataType::Int64,
        DataType::UInt64 => DataType::UInt64,
        DataType::Float16 | DataType::Float32 => DataType::Float32,
        DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            DataType::Utf8
        }
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(_, None) => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => plain_type(values, deeper)?,
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| inner(field)).collect::<Option<Vec<_>>>()?.into())
        }
        DataType::List(item) | DataType::LargeList(item) => {
            let data_type = plain_type(item.data_type(), deeper)?;
            // A field is repeated or not.
            let flat = !matches!(data_type, DataType::List(_));
            flat.then(|| DataType::new_list(data_type, item.is_nullable()))?
        }
        _ => return None,
    })
}

/// The fields of a message, numbered from 1, and the messages that some of them are.
fn fields(columns: &[Field], indent: &str, text: &mut String) {
    for (number, field) in (1_usize..).zip(columns) {
        let (label, data_type) = match field.data_type() {
            DataType::List(item) => ("repeated ", item.data_type()),
            _ if field.is_nullable() => ("optional ", field.data_type()),
            data_type => ("", data_type),
        };
        let name = match data_type {
            DataType::Int32 => "int32".to_string(),
            DataType::Int64 => "int64".to_string(),
            DataType::UInt32 => "uint32".to_string(),
            DataType::UInt64 => "uint64".to_string(),
            DataType::Float32 => "float".to_string(),
            DataType::Float64 => "double".to_string(),
            DataType::Boolean => "bool".to_string(),
            DataType::Binary => "bytes".to_string(),
            DataType::Timestamp(..) => TIMESTAMP.to_string(),
            DataType::Struct(inner) => {
                let inner: Vec<Field> = inner.iter().map(|field| field.as_ref().clone()).collect();
                let message = format!("Of_{}", field.name());
                let _ = writeln!(text, "{indent}message {message} {{");
                fields(&inner, &format!("{indent}  "), text);
                let _ = writeln!(text, "{indent}}}");
                message
            }
            _ => "string".to_string(),
        };
        let _ = writeln!(text, "{indent}{label}{name} {} = {number};", field.name());
    }
}

/// Adds a field; nothing where it is NULL.
fn write_field(number: u64, array: &ArrayRef, row: usize, buffer: &mut Vec<u8>) -> Result<(), String> {
    const NO_LIST: &str =
        "a list is NULL, or an element of it, which Protobuf does not have; `coalesce` it in the query";
    if let Some(lists) = array.as_list_opt::<i32>() {
        if lists.is_null(row) {
            return Err(NO_LIST.to_string());
        }
        let items = lists.value(row);
        for item in 0..items.len() {
            if items.is_null(item) {
                return Err(NO_LIST.to_string());
            }
            write_field(number, &items, item, buffer)?;
        }
        return Ok(());
    }
    if array.is_null(row) {
        return Ok(());
    }
    const VARINT: u64 = 0;
    const WIDE: u64 = 1;
    const LENGTH: u64 = 2;
    const NARROW: u64 = 5;
    let tag = |wire: u64, buffer: &mut Vec<u8>| varint((number << 3) | wire, buffer);
    match array.data_type() {
        DataType::Int32 => {
            tag(VARINT, buffer);
            varint(i64::from(array.as_primitive::<Int32Type>().value(row)) as u64, buffer);
        }
        DataType::Int64 => {
            tag(VARINT, buffer);
            varint(array.as_primitive::<Int64Type>().value(row) as u64, buffer);
        }
        DataType::UInt32 => {
            tag(VARINT, buffer);
            varint(array.as_primitive::<UInt32Type>().value(row).into(), buffer);
        }
        DataType::UInt64 => {
            tag(VARINT, buffer);
            varint(array.as_primitive::<UInt64Type>().value(row), buffer);
        }
        DataType::Boolean => {
            tag(VARINT, buffer);
            varint(array.as_boolean().value(row).into(), buffer);
        }
        DataType::Float32 => {
            tag(NARROW, buffer);
            buffer.extend_from_slice(&array.as_primitive::<Float32Type>().value(row).to_le_bytes());
        }
        DataType::Float64 => {
            tag(WIDE, buffer);
            buffer.extend_from_slice(&array.as_primitive::<Float64Type>().value(row).to_le_bytes());
        }
        DataType::Utf8 => {
            tag(LENGTH, buffer);
            sized(array.as_string::<i32>().value(row).as_bytes(), buffer);
        }
        DataType::Binary => {
            tag(LENGTH, buffer);
            sized(array.as_binary::<i32>().value(row), buffer);
        }
        DataType::Timestamp(..) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
            let mut inner = Vec::new();
            varint(1 << 3, &mut inner);
            varint(seconds as u64, &mut inner);
            varint(2 << 3, &mut inner);
            varint(rest.unsigned_abs().saturating_mul(1000), &mut inner);
            tag(LENGTH, buffer);
            sized(&inner, buffer);
        }
        DataType::Struct(_) => {
            let mut inner = Vec::new();
            for (number, member) in (1_u64..).zip(array.as_struct().columns()) {
                write_field(number, member, row, &mut inner)?;
            }
            tag(LENGTH, buffer);
            sized(&inner, buffer);
        }
        other => return Err(format!("{other} is not written")),
    }
    Ok(())
}

fn varint(mut value: u64, buffer: &mut Vec<u8>) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

fn sized(bytes: &[u8], buffer: &mut Vec<u8>) {
    varint(bytes.len() as u64, buffer);
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array};
    use arrow::datatypes::Int32Type;
    use prost_reflect::{DynamicMessage, SerializeOptions};

    use super::*;

    /// What Protobuf's own library makes of the messages, as JSON.
    fn read(writer: &ProtobufWriter, rows: &RecordBatch) -> Vec<String> {
        let text = writer.text().to_string();
        let schema = Registered { id: 7, language: Language::Protobuf, text, references: Vec::new() };
        let file = super::super::compile(&schema).unwrap();
        let (buffer, ends) = writer.encode(7, rows).unwrap();
        let mut start = 0;
        let mut texts = Vec::new();
        for end in ends {
            let value = &buffer[start..end];
            start = end + 1;
            assert_eq!(value[..6], [0, 0, 0, 0, 7, 0]);
            let message = DynamicMessage::decode(file.messages().next().unwrap(), &value[6..]).unwrap();
            let options = SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true);
            let mut text = serde_json::Serializer::new(Vec::new());
            message.serialize_with_options(&mut text, &options).unwrap();
            texts.push(String::from_utf8(text.into_inner()).unwrap());
        }
        texts
    }

    #[test]
    fn rows_are_messages_that_protobuf_reads() {
        let items = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(-1), Some(300)]), Some(vec![])]);
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"é"), None]));
        let place = StructArray::from(vec![(Arc::new(Field::new("city", DataType::Utf8, true)), inner)]);
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0])) as ArrayRef, false),
            ("small", Arc::new(Int32Array::from(vec![Some(i32::MIN), None])) as ArrayRef, true),
            ("items", Arc::new(items) as ArrayRef, true),
            ("place", Arc::new(place) as ArrayRef, true),
            (
                "at",
                Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("UTC")) as ArrayRef,
                true,
            ),
        ])
        .unwrap();
        let writer = ProtobufWriter::named(&rows.schema(), "com.example.Reading").unwrap();
        assert_eq!(writer.name(), "com.example.Reading");
        assert_eq!(
            read(&writer, &rows),
            [
                r#"{"big":18446744073709551615,"small":-2147483648,"items":[-1,300],"place":{"city":"a\"é"},"at":"1969-12-31T23:59:59.999999Z"}"#,
                r#"{"place":{}}"#,
            ]
        );
    }

    #[test]
    fn what_protobuf_lacks_is_said() {
        let field = |name: &str, data_type: DataType| Schema::new(vec![Field::new(name, data_type, true)]);
        let error = |schema: Schema| ProtobufWriter::new(&schema, "9-a").unwrap_err();
        assert!(error(field("a b", DataType::Int8)).contains("column `a b` has no name that Protobuf takes"));
        let nested = DataType::new_list(DataType::new_list(DataType::Int8, true), true);
        assert!(error(field("a", nested)).contains("which Protobuf has no type for"));
        let twice = Schema::new(vec![Field::new("a_b", DataType::Int8, true), Field::new("aB", DataType::Int8, true)]);
        assert!(error(twice).contains("no message"), "names that are one in JSON");
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([None::<Vec<Option<i32>>>]);
        let rows = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
        let writer = ProtobufWriter::new(&rows.schema(), "9-a").unwrap();
        assert_eq!(writer.name(), "_9_a");
        assert!(writer.encode(1, &rows).unwrap_err().starts_with("column `l`: a list is NULL"));
    }
}
