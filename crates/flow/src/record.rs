//! Records as they come from a source, column by column.

use std::sync::Arc;

use arrow::array::{
    Array, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int32Builder, Int64Array, Int64Builder, RecordBatch,
};
use arrow::compute::{filter, filter_record_batch};

use crate::Topics;

/// A record's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its key.
    pub key: String,
    /// Its value; `None` is Kafka's null.
    pub value: Option<Vec<u8>>,
}

/// A record that its source does not have whole: it is a bad record, whatever a decoder would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its index.
    pub row: usize,
    /// Bytes of the value before the cut.
    pub size: u64,
    /// Which source, e.g. `source socket`.
    pub stage: &'static str,
    /// Why, without the value.
    pub reason: String,
}

/// Records of a source, by column; all columns have one length.
#[derive(Debug, Clone)]
pub struct Records {
    /// The topics that they come from.
    pub topics: Topics,
    /// Keys; null where a record has none.
    pub keys: BinaryArray,
    /// Values; null where a record has none (a tombstone).
    pub values: BinaryArray,
    /// Whether values are lines of a text that still end as they do there, so that they lie in its bytes without a gap:
    /// the line end is not part of the value, and decoders pass over it.
    pub lines: bool,
    /// What came as columns (a Parquet file's); the values are null then.
    pub columns: Option<RecordBatch>,
    /// The ordinal of each record: its partition, where there is one topic; see [`Topics`].
    pub partitions: Int32Array,
    /// The offset of each record.
    pub offsets: Int64Array,
    /// Milliseconds since the epoch; null where the source has no time.
    pub timestamps: Int64Array,
    /// Headers by record; empty when no record of the batch has any.
    pub headers: Vec<Vec<Header>>,
    /// Records of whose value only the beginning is here, ascending by row.
    pub cut: Vec<Cut>,
}

impl Records {
    /// How many records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of keys and values, or of columns.
    pub fn bytes(&self) -> usize {
        let columns = self.columns.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        within(&self.keys) + within(&self.values) + columns
    }

    /// One record's value, without a line end that is not its own.
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        let value = self.values.is_valid(row).then(|| self.values.value(row))?;
        Some(if self.lines { line(value) } else { value })
    }

    /// All values, without line ends that are not their own.
    pub fn own_values(&self) -> BinaryArray {
        match self.lines {
            true => (0..self.len()).map(|row| self.value(row)).collect(),
            false => self.values.clone(),
        }
    }

    /// The headers of one record.
    pub fn headers_of(&self, row: usize) -> &[Header] {
        self.headers.get(row).map_or(&[], Vec::as_slice)
    }

    /// The records for which `mask` is true.
    #[must_use]
    pub fn filter(&self, mask: &BooleanArray) -> Records {
        fn keep<A: Array + Clone + 'static>(array: &A, mask: &BooleanArray) -> A {
            let kept = filter(array, mask).expect("mask and columns have one length");
            kept.as_any().downcast_ref::<A>().expect("filter keeps the type").clone()
        }
        let headers = self.headers.iter().zip(mask.values()).filter(|(_, keep)| *keep).map(|(h, _)| h.clone());
        let row = |row: usize| mask.values().slice(0, row).count_set_bits();
        let cut = self.cut.iter().filter(|cut| mask.value(cut.row)).map(|cut| Cut { row: row(cut.row), ..cut.clone() });
        Records {
            topics: self.topics.clone(),
            keys: keep(&self.keys, mask),
            values: keep(&self.values, mask),
            lines: self.lines,
            columns: self
                .columns
                .as_ref()
                .map(|columns| filter_record_batch(columns, mask).expect("mask and columns have one length")),
            partitions: keep(&self.partitions, mask),
            offsets: keep(&self.offsets, mask),
            timestamps: keep(&self.timestamps, mask),
            headers: headers.collect(),
            cut: cut.collect(),
        }
    }
}

/// The bytes that an array's values take; the array may be a slice of a larger one.
fn within(array: &BinaryArray) -> usize {
    let offsets = array.value_offsets();
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last - first) as usize,
        _ => 0,
    }
}

/// A line without its end.
fn line(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

/// Records, and their bytes, that a builder has room for at first: of many small batches, thousands may wait for a sink.
const FEW: (usize, usize) = (16, 256);

/// Builds [`Records`]: one copy of each byte, no allocation a record.
#[derive(Debug)]
pub struct RecordsBuilder {
    topics: Topics,
    keys: BinaryBuilder,
    values: BinaryBuilder,
    partitions: Int32Builder,
    offsets: Int64Builder,
    timestamps: Int64Builder,
    headers: Vec<Vec<Header>>,
    cut: Vec<Cut>,
    bytes: usize,
}

impl RecordsBuilder {
    /// For records of one topic.
    pub fn new(topic: Arc<str>) -> Self {
        RecordsBuilder::of_topics(Topics::one(topic))
    }

    /// For records of several topics; `partition` of [`push`](Self::push) is the record's ordinal.
    pub fn of_topics(topics: Topics) -> Self {
        RecordsBuilder {
            topics,
            keys: BinaryBuilder::with_capacity(FEW.0, FEW.1),
            values: BinaryBuilder::with_capacity(FEW.0, FEW.1),
            partitions: Int32Builder::with_capacity(FEW.0),
            offsets: Int64Builder::with_capacity(FEW.0),
            timestamps: Int64Builder::with_capacity(FEW.0),
            headers: Vec::new(),
            cut: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds one record.
    pub fn push(
        &mut self,
        partition: i32,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Vec<Header>,
    ) {
        if !headers.is_empty() {
            self.headers.resize(self.len(), Vec::new());
            self.headers.push(headers);
        }
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        self.keys.append_option(key);
        self.values.append_option(value);
        self.partitions.append_value(partition);
        self.offsets.append_value(offset);
        self.timestamps.append_option(timestamp);
    }

    /// Of the last record only the beginning is here.
    ///
    /// # Panics
    /// Where there is no record yet.
    pub fn cut_last(&mut self, size: u64, stage: &'static str, reason: String) {
        self.cut.push(Cut { row: self.len() - 1, size, stage, reason });
    }

    /// How many records so far.
    pub fn len(&self) -> usize {
        self.offsets.values_slice().len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of keys and values so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records; the builder is empty again.
    pub fn finish(&mut self) -> Records {
        let rows = self.len();
        let mut headers = std::mem::take(&mut self.headers);
        if !headers.is_empty() {
            headers.resize(rows, Vec::new());
        }
        self.bytes = 0;
        Records {
            topics: self.topics.clone(),
            keys: self.keys.finish(),
            values: self.values.finish(),
            lines: false,
            columns: None,
            partitions: self.partitions.finish(),
            offsets: self.offsets.finish(),
            timestamps: self.timestamps.finish(),
            headers,
            cut: std::mem::take(&mut self.cut),
        }
    }
}
