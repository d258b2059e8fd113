//! Records that cannot go on, as rows of the dead-letter sink.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, ListArray, ListBuilder, RecordBatch,
    StringArray, StringBuilder, StructBuilder, TimestampMillisecondArray, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit};

use crate::Records;

/// A longer value is cut to this many bytes in a dead letter: brokers refuse larger messages (1 MB by default). Its full
/// size is kept beside it.
const VALUE_LIMIT: usize = 512 * 1024;

/// A record that does not decode, or that a model or the query refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Index in the batch's [`Records`].
    pub row: usize,
    /// Which stage refused it, and where in it.
    pub stage: String,
    /// Why, without the value.
    pub reason: String,
}

/// Where a person finds a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: Arc<str>,
    /// The line on which the record begins, from 1; `None` where the file has no lines.
    pub line: Option<i64>,
}

/// Where rows come from: one entry a row.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The ordinal: the partition's index, where there is one topic; see [`Topics`](crate::Topics).
    pub partitions: Int32Array,
    /// The offset.
    pub offsets: Int64Array,
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)])
}

/// The type of a column of headers: a list of (key, value).
pub(crate) fn headers_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(header_fields()), true)))
}

/// The headers of some records.
pub(crate) fn headers_array(records: &Records, rows: impl ExactSizeIterator<Item = usize>) -> ListArray {
    if records.headers.is_empty() {
        return no_headers(rows.len());
    }
    let header =
        StructBuilder::new(header_fields(), vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
    let mut headers = ListBuilder::new(header);
    for row in rows {
        let items = headers.values();
        for header in records.headers_of(row) {
            items.field_builder::<StringBuilder>(0).expect("a string").append_value(&header.key);
            items.field_builder::<BinaryBuilder>(1).expect("bytes").append_option(header.value.as_deref());
            items.append(true);
        }
        headers.append(true);
    }
    headers.finish()
}

/// The headers of this many records that have none.
pub(crate) fn no_headers(rows: usize) -> ListArray {
    let field = Arc::new(Field::new("item", DataType::Struct(header_fields()), true));
    let items = new_empty_array(&DataType::Struct(header_fields()));
    ListArray::new(field, OffsetBuffer::new_zeroed(rows), items, None)
}

/// The columns of dead letters: `topic`, `partition`, `offset`, `timestamp` (when the record was written), `stage`,
/// `reason`, `key`, `value` (cut where it is very long), `value_size` (bytes before the cut), `headers` (the record's
/// own); with `places`, of a source that [tells them](crate::Source::places), also `file` and `line`.
pub fn dead_letter_schema(places: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("stage", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("value_size", DataType::Int64, true),
        Field::new("headers", headers_type(), false),
    ];
    if places {
        fields.push(Field::new("file", DataType::Utf8, false));
        fields.push(Field::new("line", DataType::Int64, true));
    }
    Arc::new(Schema::new(fields))
}

/// Dead letters with the places of their records.
pub(crate) fn with_places(letters: &RecordBatch, places: &[Location]) -> RecordBatch {
    let mut columns = letters.columns().to_vec();
    columns.push(Arc::new(StringArray::from_iter_values(places.iter().map(|place| &*place.file))));
    columns.push(Arc::new(places.iter().map(|place| place.line).collect::<Int64Array>()));
    RecordBatch::try_new(dead_letter_schema(true), columns).expect("one place a letter")
}

/// Dead letters as rows, in the order given, with where each comes from.
pub fn dead_letters(records: &Records, bad: &[BadRecord]) -> (RecordBatch, Provenance) {
    let rows = || bad.iter().map(|b| b.row);
    let partitions: Int32Array = rows().map(|row| Some(records.partitions.value(row))).collect();
    let offsets: Int64Array = rows().map(|row| Some(records.offsets.value(row))).collect();
    let times = &records.timestamps;
    let timestamps: TimestampMillisecondArray =
        rows().map(|row| times.is_valid(row).then(|| times.value(row))).collect();
    let value = |row: usize| records.value(row);
    let size = |row: usize| {
        let cut = records.cut.binary_search_by_key(&row, |cut| cut.row).ok().map(|at| records.cut[at].size as i64);
        cut.or_else(|| value(row).map(|v| v.len() as i64))
    };
    let key = |row: usize| records.keys.is_valid(row).then(|| records.keys.value(row));

    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows().map(|row| records.topics.topic(records.partitions.value(row))))),
        Arc::new(partitions.unary::<_, Int32Type>(|ordinal| records.topics.index(ordinal))),
        Arc::new(offsets.clone()),
        Arc::new(timestamps.with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(bad.iter().map(|b| &b.stage))),
        Arc::new(StringArray::from_iter_values(bad.iter().map(|b| &b.reason))),
        Arc::new(rows().map(key).collect::<BinaryArray>()),
        Arc::new(rows().map(|row| value(row).map(|v| &v[..v.len().min(VALUE_LIMIT)])).collect::<BinaryArray>()),
        Arc::new(rows().map(size).collect::<Int64Array>()),
        Arc::new(headers_array(records, rows())),
    ];
    let batch = RecordBatch::try_new(dead_letter_schema(false), columns).expect("the columns fit the schema");
    (batch, Provenance { partitions, offsets })
}
