//! Rows to keys, values and headers. Column by column; a value is a piece of one buffer.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono_tz::Tz;
use foretell_flow::{SinkInput, StageError};
use rdkafka::message::{Header, OwnedHeaders};

use super::template::{self, Part};
use super::{Format, Settings, column};
use foretell_connect::kind::SinkContext;
use foretell_connect::schemas::Language;
use foretell_connect::text;
use foretell_decode::{AvroWriter, ProtobufWriter, json_schema_of};

/// How rows become records.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    timezone: Tz,
    key: Option<usize>,
    /// The column that says what is deleted.
    delete: Option<usize>,
    headers: Vec<(String, usize)>,
    value: Value,
    /// The columns that it was made for.
    schema: SchemaRef,
    /// For dead letters: the pipeline's name and the worker's.
    names: Arc<(String, String)>,
}

#[derive(Debug, Clone)]
enum Value {
    Template(Arc<[Piece]>),
    Csv(Vec<usize>),
    Json(Vec<usize>),
    /// With the schema's number, once it is known.
    Avro(Vec<usize>, Box<AvroWriter>, Option<u32>),
    /// The same, of JSON: the schema's name and text.
    JsonSchema(Vec<usize>, Arc<(String, String)>, Option<u32>),
    /// The same, of Protobuf.
    Protobuf(Vec<usize>, Box<ProtobufWriter>, Option<u32>),
    DeadLetter,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Column(usize),
}

/// The records of some rows.
#[derive(Debug)]
pub(super) struct Encoded {
    keys: Option<BinaryArray>,
    /// Whether a row has no value.
    deleted: Option<BooleanArray>,
    values: Values,
    headers: Vec<(String, BinaryArray)>,
    letters: Option<Letters>,
}

#[derive(Debug)]
enum Values {
    /// One buffer, and where each value ends.
    Buffer(Vec<u8>, Vec<usize>),
    Array(BinaryArray),
}

/// The columns of dead letters that become headers.
#[derive(Debug)]
struct Letters {
    topics: StringArray,
    partitions: Int32Array,
    offsets: Int64Array,
    stages: StringArray,
    reasons: StringArray,
    sizes: Int64Array,
    headers: ListArray,
    names: Arc<(String, String)>,
}

impl Encoder {
    /// Resolves columns.
    ///
    /// # Errors
    /// A column that is not there, settings that contradict each other.
    pub(super) fn new(settings: &Settings, context: &SinkContext) -> Result<Encoder, StageError> {
        let timezone = match &context.timezone {
            None => Tz::UTC,
            Some(name) => name
                .parse()
                .map_err(|_| StageError::settings(format!("`timezone`: `{name}` is not a time zone's name")))?,
        };
        let names = Arc::new((context.pipeline.clone(), context.worker.clone()));
        if context.input == SinkInput::DeadLetters {
            let given = [
                ("key", settings.key.is_some()),
                ("value", settings.value.is_some()),
                ("format", settings.format.is_some()),
                ("columns", settings.columns.is_some()),
                ("delete", settings.delete.is_some()),
                ("headers", !settings.headers.is_empty()),
            ];
            if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
                let error = StageError::settings(format!("`{name}` has no meaning for dead letters"));
                return Err(error.remedy("they keep their own key, value and headers: leave it out"));
            }
            let (schema, value) = (context.schema.clone(), Value::DeadLetter);
            return Ok(Encoder { timezone, key: None, delete: None, headers: Vec::new(), value, schema, names });
        }
        let key = settings.key.as_deref().map(|name| column(context, "key", name)).transpose()?;
        let headers = settings.headers.iter();
        let headers: Result<Vec<_>, StageError> =
            headers.map(|(name, source)| Ok((name.clone(), column(context, "headers", source)?))).collect();
        let delete = settings.delete.as_deref().map(|name| column(context, "delete", name)).transpose()?;
        if let Some(index) = delete {
            let field = context.schema.field(index);
            if *field.data_type() != DataType::Boolean {
                let (name, found) = (field.name(), field.data_type());
                let error = StageError::settings(format!("`delete`: column `{name}` is {found}, not a bool"));
                return Err(error.remedy("make it one in the query"));
            }
            if key.is_none() {
                let error = StageError::settings("`delete` means nothing without a `key`");
                return Err(error.remedy("name the column of the key whose value is deleted"));
            }
        }
        let columns = || match &settings.columns {
            Some(names) => names.iter().map(|name| column(context, "columns", name)).collect(),
            None => Ok((0..context.schema.fields().len()).filter(|index| Some(*index) != delete).collect::<Vec<_>>()),
        };
        let value = match (&settings.value, settings.format) {
            (Some(_), Some(_)) => {
                let error = StageError::settings("`value` and `format` exclude each other");
                return Err(error.remedy("leave one out"));
            }
            (Some(_), None) if settings.columns.is_some() => {
                let error = StageError::settings("`columns` has no meaning beside `value`");
                return Err(error.remedy("the text names its columns: leave `columns` out"));
            }
            (Some(text), None) => {
                let parts = template::parse(text).map_err(|why| StageError::settings(format!("`value`: {why}")))?;
                let pieces = parts.into_iter().map(|part| {
                    Ok(match part {
                        Part::Text(text) => Piece::Text(text),
                        Part::Column(name) => Piece::Column(column(context, "value", &name)?),
                    })
                });
                Value::Template(pieces.collect::<Result<_, StageError>>()?)
            }
            (None, Some(Format::Csv)) => Value::Csv(columns()?),
            (None, Some(Format::Avro)) => {
                let columns = columns()?;
                let schema = context.schema.project(&columns);
                let schema = schema.map_err(|_| StageError::defect("columns are lost"))?;
                let writer = match &settings.record {
                    Some(record) => AvroWriter::named(&schema, record),
                    None => AvroWriter::new(&schema, &settings.topic),
                };
                let writer = writer.map_err(|why| {
                    StageError::settings(format!("`format: avro`: {why}")).remedy("rename or cast it in the query")
                })?;
                Value::Avro(columns, Box::new(writer), None)
            }
            (None, Some(Format::Protobuf)) => {
                let columns = columns()?;
                let schema = context.schema.project(&columns);
                let schema = schema.map_err(|_| StageError::defect("columns are lost"))?;
                let writer = match &settings.record {
                    Some(record) => ProtobufWriter::named(&schema, record),
                    None => ProtobufWriter::new(&schema, &settings.topic),
                };
                let writer = writer.map_err(|why| {
                    StageError::settings(format!("`format: protobuf`: {why}")).remedy("rename or cast it in the query")
                })?;
                Value::Protobuf(columns, Box::new(writer), None)
            }
            (None, Some(Format::JsonSchema)) => {
                let columns = columns()?;
                let schema = context.schema.project(&columns);
                let schema = schema.map_err(|_| StageError::defect("columns are lost"))?;
                let name = settings.record.clone().unwrap_or_else(|| settings.topic.clone());
                let text = json_schema_of(&schema, &name);
                Value::JsonSchema(columns, Arc::new((name, text)), None)
            }
            (None, _) => Value::Json(columns()?),
        };
        Ok(Encoder { timezone, key, delete, headers: headers?, value, schema: context.schema.clone(), names })
    }

    /// The schema of values and its language, where a registry must have it.
    pub(super) fn registered(&self) -> Option<(Language, &str)> {
        match &self.value {
            Value::Avro(_, writer, _) => Some((Language::Avro, writer.text())),
            Value::JsonSchema(_, named, _) => Some((Language::Json, &named.1)),
            Value::Protobuf(_, writer, _) => Some((Language::Protobuf, writer.text())),
            _ => None,
        }
    }

    /// The name of the record that values are, where they have a schema.
    pub(super) fn record_name(&self) -> Option<&str> {
        match &self.value {
            Value::Avro(_, writer, _) => Some(writer.name()),
            Value::JsonSchema(_, named, _) => Some(&named.0),
            Value::Protobuf(_, writer, _) => Some(writer.name()),
            _ => None,
        }
    }

    /// Whether values cannot be written yet.
    pub(super) fn lacks_number(&self) -> bool {
        matches!(self.value, Value::Avro(_, _, None) | Value::JsonSchema(_, _, None) | Value::Protobuf(_, _, None))
    }

    /// The schema's number.
    pub(super) fn set_number(&mut self, id: u32) {
        if let Value::Avro(_, _, number) | Value::JsonSchema(_, _, number) | Value::Protobuf(_, _, number) =
            &mut self.value
        {
            *number = Some(id);
        }
    }

    /// Encodes rows.
    pub(super) fn encode(&self, rows: &RecordBatch) -> Result<Encoded, StageError> {
        if let Value::DeadLetter = self.value {
            return dead_letters(rows, self.names.clone());
        }
        let (given, own) = (rows.schema(), self.schema.fields().iter());
        if !given.fields().iter().map(|field| field.name()).eq(own.map(|field| field.name())) {
            return Err(StageError::defect("rows have other columns than the sink was opened with"));
        }
        self.results(rows).map_err(|error| StageError::settings(format!("rows do not become text: {error}")))
    }

    fn results(&self, rows: &RecordBatch) -> Result<Encoded, ArrowError> {
        let keys = self.key.map(|index| self.bytes(rows, index)).transpose()?;
        let headers = self.headers.iter();
        let headers: Result<Vec<_>, ArrowError> =
            headers.map(|(name, index)| Ok((name.clone(), self.bytes(rows, *index)?))).collect();
        let values = match &self.value {
            Value::Template(pieces) => {
                let mut slots: Vec<Result<&str, StringArray>> = Vec::with_capacity(pieces.len());
                for piece in pieces.iter() {
                    slots.push(match piece {
                        Piece::Text(text) => Ok(text),
                        Piece::Column(index) => Err(self.text(rows, *index)?),
                    });
                }
                fill(rows.num_rows(), |row, buffer| {
                    for slot in &slots {
                        match slot {
                            Ok(text) => buffer.extend_from_slice(text.as_bytes()),
                            Err(column) if column.is_valid(row) => {
                                buffer.extend_from_slice(column.value(row).as_bytes())
                            }
                            Err(_) => {}
                        }
                    }
                })
            }
            Value::Csv(indexes) => {
                let columns: Result<Vec<_>, _> = indexes.iter().map(|index| self.text(rows, *index)).collect();
                let columns = columns?;
                fill(rows.num_rows(), |row, buffer| {
                    for (number, column) in columns.iter().enumerate() {
                        if number > 0 {
                            buffer.push(b',');
                        }
                        if column.is_valid(row) {
                            csv_field(column.value(row).as_bytes(), buffer);
                        }
                    }
                })
            }
            Value::Json(indexes) => {
                let lines = text::json_lines(&text::plain(&rows.project(indexes)?, self.timezone)?)?;
                // Line ends within strings are escaped.
                let ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
                Values::Buffer(lines, ends)
            }
            Value::JsonSchema(indexes, _, number) => {
                let lines = text::json_lines(&text::plain(&rows.project(indexes)?, self.timezone)?)?;
                let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
                let number = number.unwrap_or_default().to_be_bytes();
                fill(rows.num_rows(), |row, buffer| {
                    buffer.push(0);
                    buffer.extend_from_slice(&number);
                    buffer.extend_from_slice(lines.get(row).copied().unwrap_or_default());
                })
            }
            Value::Avro(indexes, writer, number) => {
                let (buffer, ends) = writer
                    .encode(number.unwrap_or_default(), &rows.project(indexes)?)
                    .map_err(ArrowError::InvalidArgumentError)?;
                Values::Buffer(buffer, ends)
            }
            Value::Protobuf(indexes, writer, number) => {
                let (buffer, ends) = writer
                    .encode(number.unwrap_or_default(), &rows.project(indexes)?)
                    .map_err(ArrowError::InvalidArgumentError)?;
                Values::Buffer(buffer, ends)
            }
            Value::DeadLetter => Values::Buffer(Vec::new(), Vec::new()),
        };
        let deleted = self.delete.and_then(|index| rows.column(index).as_boolean_opt().cloned());
        Ok(Encoded { keys, deleted, values, headers: headers?, letters: None })
    }

    /// A column as text, as CSV would have it.
    fn text(&self, rows: &RecordBatch, index: usize) -> Result<StringArray, ArrowError> {
        let one = text::flat(&text::plain(&rows.project(&[index])?, self.timezone)?)?;
        // A value that has no text is an error, and never NULL.
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        Ok(cast_with_options(one.column(0), &DataType::Utf8, &strict)?.as_string::<i32>().clone())
    }

    /// A column as bytes: binary ones as they are, others as text.
    fn bytes(&self, rows: &RecordBatch, index: usize) -> Result<BinaryArray, ArrowError> {
        use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
        let column = rows.column(index);
        let column: ArrayRef = match column.data_type() {
            Binary | BinaryView | LargeBinary | FixedSizeBinary(_) => column.clone(),
            _ => Arc::new(self.text(rows, index)?),
        };
        Ok(cast(&column, &Binary)?.as_binary::<i32>().clone())
    }
}

/// Builds values row by row in one buffer. Each ends with a byte that does not belong to it, as lines of JSON do.
fn fill(rows: usize, mut write: impl FnMut(usize, &mut Vec<u8>)) -> Values {
    let (mut buffer, mut ends) = (Vec::with_capacity(rows.saturating_mul(32)), Vec::with_capacity(rows));
    for row in 0..rows {
        write(row, &mut buffer);
        ends.push(buffer.len());
        buffer.push(b'\n');
    }
    Values::Buffer(buffer, ends)
}

/// A CSV field, quoted where it must be.
fn csv_field(field: &[u8], buffer: &mut Vec<u8>) {
    if !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        buffer.extend_from_slice(field);
        return;
    }
    buffer.push(b'"');
    for byte in field {
        if *byte == b'"' {
            buffer.push(b'"');
        }
        buffer.push(*byte);
    }
    buffer.push(b'"');
}

fn dead_letters(rows: &RecordBatch, names: Arc<(String, String)>) -> Result<Encoded, StageError> {
    let missing = |name: &str| StageError::settings(format!("dead letters have no column `{name}`"));
    let find = |name: &str| rows.column_by_name(name).cloned().ok_or_else(|| missing(name));
    fn typed<A: Array + Clone + 'static>(
        find: &dyn Fn(&str) -> Result<ArrayRef, StageError>,
        name: &str,
    ) -> Result<A, StageError> {
        let column = find(name)?;
        let typed = column.as_any().downcast_ref::<A>().cloned();
        typed.ok_or_else(|| StageError::settings(format!("dead letters: column `{name}` has another type")))
    }
    let letters = Letters {
        topics: typed(&find, "topic")?,
        partitions: typed(&find, "partition")?,
        offsets: typed(&find, "offset")?,
        stages: typed(&find, "stage")?,
        reasons: typed(&find, "reason")?,
        sizes: typed(&find, "value_size")?,
        headers: typed(&find, "headers")?,
        names,
    };
    Ok(Encoded {
        keys: Some(typed(&find, "key")?),
        deleted: None,
        values: Values::Array(typed(&find, "value")?),
        headers: Vec::new(),
        letters: Some(letters),
    })
}

fn get(array: &BinaryArray, row: usize) -> Option<&[u8]> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

impl Encoded {
    /// A row's key.
    pub(super) fn key(&self, row: usize) -> Option<&[u8]> {
        self.keys.as_ref().and_then(|keys| get(keys, row))
    }

    /// A row's value.
    pub(super) fn value(&self, row: usize) -> Option<&[u8]> {
        if self.deleted.as_ref().is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row)) {
            return None;
        }
        match &self.values {
            Values::Array(array) => get(array, row),
            Values::Buffer(buffer, ends) => {
                let start = match row.checked_sub(1) {
                    None => 0,
                    Some(before) => ends.get(before)?.checked_add(1)?,
                };
                buffer.get(start..*ends.get(row)?)
            }
        }
    }

    /// Whether rows are keys and values alone.
    pub(super) fn is_plain(&self) -> bool {
        self.headers.is_empty() && self.letters.is_none()
    }

    /// A row's headers, if it has any.
    pub(super) fn headers(&self, row: usize) -> Option<OwnedHeaders> {
        if let Some(letters) = &self.letters {
            return Some(letters.headers(row, self.value(row)));
        }
        if self.headers.is_empty() {
            return None;
        }
        let start = OwnedHeaders::new_with_capacity(self.headers.len());
        let add = |headers: OwnedHeaders, (name, values): &(String, BinaryArray)| {
            headers.insert(Header { key: name, value: get(values, row) })
        };
        Some(self.headers.iter().fold(start, add))
    }
}

impl Letters {
    /// The record's own headers, then those that Kafka Connect gives its dead letters.
    fn headers(&self, row: usize, value: Option<&[u8]>) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(16);
        let own = self.headers.value(row);
        let own: Option<&StructArray> = own.as_any().downcast_ref();
        if let Some((keys, values)) = own.and_then(|own| {
            Some((own.column(0).as_string_opt::<i32>()?.clone(), own.column(1).as_binary_opt::<i32>()?.clone()))
        }) {
            for index in 0..keys.len() {
                headers = headers.insert(Header { key: keys.value(index), value: get(&values, index) });
            }
        }
        let stage = self.stages.value(row);
        let class = format!("foretell.{}", stage.split([' ', ':']).next().unwrap_or(stage));
        let (pipeline, worker) = &*self.names;
        let connect = [
            ("topic", self.topics.value(row)),
            ("partition", &self.partitions.value(row).to_string()),
            ("offset", &self.offsets.value(row).to_string()),
            ("connector.name", pipeline),
            ("task.id", worker),
            ("stage", stage),
            ("class.name", &class),
            ("exception.class.name", "foretell.Refused"),
            ("exception.message", self.reasons.value(row)),
        ];
        for (name, value) in connect {
            headers = headers.insert(Header { key: &format!("__connect.errors.{name}"), value: Some(value) });
        }
        if self.cut(row, value) {
            headers =
                headers.insert(Header { key: "foretell.value.size", value: Some(&self.sizes.value(row).to_string()) });
        }
        headers
    }

    /// Whether the value is only a beginning.
    fn cut(&self, row: usize, value: Option<&[u8]>) -> bool {
        self.sizes.is_valid(row) && value.is_some_and(|value| value.len() as i64 != self.sizes.value(row))
    }
}
