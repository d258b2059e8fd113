//! Records in, one output a sink: decoding, the query, the sinks' own queries, and what could not go on.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int32Array, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{concat, concat_batches, filter, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use tokio::time::Instant;

use super::output::Output;
use super::sink_task::{SinkInput, SinkStage};

use crate::dead_letter::{headers_array, headers_type, no_headers};
use crate::testing::{BrokenStep, is_broken};
use crate::{
    BadRecord, Cut, Decode, Provenance, Query, Recipe, Records, Refused, Scope, StageError, Topics, dead_letters,
};

/// Gives what rows are made with.
pub trait StageFactory: Send + Sync {
    /// What new batches are made with.
    fn recipe(&self) -> Arc<Recipe>;

    /// A decoder and queries of this recipe, today's or a leftover plan's; a fresh one each call.
    ///
    /// # Errors
    /// [`Fault::State`](crate::Fault::State) when a model or a query of an old plan is gone.
    fn stages(&self, recipe: &Recipe) -> Result<Stages, StageError>;

    /// A worker has claimed its sinks, and these are the recipes of all plans that any sink keeps, of any partition: those
    /// that its earlier batches and those of earlier runs may need. What else was kept for them is not needed any more.
    fn begins(&self, _worker: &str, _leftover: Vec<Recipe>) {}

    /// An epoch is over: until the worker has claimed its sinks again, it is not known which plans of it are left over.
    fn ends(&self, _worker: &str) {}
}

/// A decoder and the queries behind it.
pub struct Stages {
    /// Values to columns.
    pub decode: Box<dyn Decode>,
    /// Keys to `_key`.
    pub keys: Keys,
    /// `records` to `result`.
    pub query: Box<dyn Query>,
    /// By sink: its own query over the result.
    pub views: Vec<Option<Box<dyn Query>>>,
}

/// Keys to a typed column: the column (NULL where a record has no key, or a bad one), and the bad ones, ascending.
pub type DecodeKeys = dyn Fn(&BinaryArray) -> (ArrayRef, Vec<Refused>) + Send;

/// How keys become `_key`.
pub struct Keys {
    /// The type of `_key`.
    pub data_type: DataType,
    /// Decodes a batch's keys.
    pub decode: Box<DecodeKeys>,
}

/// The columns of `records`: those that the decoder gives, then `_key`, `_value`, `_headers`, `_topic`, `_partition`,
/// `_offset`, `_timestamp`.
pub fn records_schema(decoded: &Schema, key: &DataType) -> SchemaRef {
    let mut fields: Vec<_> = decoded.fields().iter().cloned().collect();
    let own = [
        Field::new("_key", key.clone(), true),
        Field::new("_value", DataType::Binary, true),
        Field::new("_headers", headers_type(), false),
        Field::new("_topic", DataType::Utf8, false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
    ];
    fields.extend(own.into_iter().map(Arc::new));
    Arc::new(Schema::new(fields))
}

/// What [`Stages::rows`] gives.
#[derive(Debug)]
pub struct Rows {
    /// What the pipeline's own query gives.
    pub result: RecordBatch,
    /// By sink: what its own query gives of that, or the same.
    pub sinks: Vec<RecordBatch>,
    /// The records that could not go on, ascending.
    pub bad: Vec<BadRecord>,
}

/// What a batch became.
pub(super) struct Computed {
    /// By sink.
    pub(super) outputs: Vec<Output>,
    /// Every record that could not go on, ascending.
    pub(super) bad: Vec<BadRecord>,
    /// What the pipeline's own query gives.
    result: Output,
    /// How long decoding took, and the queries.
    pub(super) took: (Duration, Duration),
}

impl Stages {
    /// The most that any row depends on, in the query or in a sink's own.
    pub(super) fn scope(&self) -> Scope {
        let views = self.views.iter().flatten().map(|view| view.scope());
        views.fold(self.query.scope(), Scope::max)
    }

    /// What was run last counts.
    pub(super) fn count(&mut self) {
        self.query.count();
        self.views.iter_mut().flatten().for_each(|view| view.count());
    }

    /// The columns that it makes for each sink.
    pub(super) fn made(&self, sinks: &[SinkShape]) -> Vec<SchemaRef> {
        let made = |(sink, view): (&SinkShape, &Option<Box<dyn Query>>)| match (sink.input, view) {
            (SinkInput::DeadLetters, _) => sink.schema.clone(),
            (SinkInput::Results, None) => self.query.schema(),
            (SinkInput::Results, Some(view)) => view.schema(),
        };
        sinks.iter().zip(&self.views).map(made).collect()
    }

    /// What becomes of some records, for a look before anything runs: those that cannot go on.
    ///
    /// # Errors
    /// The query fails as a whole.
    pub fn try_out(&mut self, records: &Records, time: i64) -> Result<Vec<BadRecord>, StageError> {
        Ok(self.run(records, time, &[])?.bad)
    }

    /// The rows that some records become, for a look before anything runs.
    ///
    /// # Errors
    /// The query fails as a whole.
    pub fn rows(&mut self, records: &Records, time: i64) -> Result<Rows, StageError> {
        let schema = self.query.schema();
        let shape = |_: &Option<Box<dyn Query>>| SinkShape {
            input: SinkInput::Results,
            schema: schema.clone(),
            chosen: false,
            name: String::new(),
        };
        let shapes: Vec<SinkShape> = self.views.iter().map(shape).collect();
        let computed = self.run(records, time, &shapes)?;
        let sinks = computed.outputs.into_iter().map(|output| output.rows).collect();
        Ok(Rows { result: computed.result.rows, sinks, bad: computed.bad })
    }

    /// Runs all stages over the records of one batch; `time` is the batch time in microseconds since the epoch. The
    /// outputs have the columns that the recipe makes.
    pub(super) fn run(&mut self, records: &Records, time: i64, sinks: &[SinkShape]) -> Result<Computed, StageError> {
        let mut bad = Vec::new();
        let begun = Instant::now();
        let whole = Good { records: records.clone(), keys: Arc::new(records.keys.clone()), rows: None };
        let cut = |cut: &Cut| Refused { row: cut.row, stage: cut.stage.to_string(), reason: cut.reason.clone() };
        let mut good = whole.without(records.cut.iter().map(cut).collect(), &mut bad);
        if self.decode.skips_tombstones() && good.records.values.null_count() > 0 {
            let valid = is_not_null(&good.records.values).expect("one entry a record");
            good = good.only(&valid);
        }
        self.decode.prepare(&good.records)?;
        // A key that the query does not look at need not be one that can be decoded.
        let (keys, bad_keys) = match self.query.reads("_key") {
            true => (self.keys.decode)(&good.records.keys),
            false => (new_null_array(&self.keys.data_type, good.records.len()), Vec::new()),
        };
        good.keys = keys;
        let good = good.without(bad_keys, &mut bad);
        let decoded = self.decode.decode(&good.records);
        let good = good.without(decoded.bad, &mut bad);
        let decoding = begun.elapsed();
        let batch = assemble(&good.records, decoded.columns, &good.keys, &*self.query)?;
        let (partitions, offsets) = (good.records.partitions.clone(), good.records.offsets.clone());
        let queried = self.query.run(&batch, Some(&Provenance { partitions, offsets }), time)?;
        bad.extend(queried.refused.into_iter().map(|refused| good.bad(refused)));
        let topics = records.topics.clone();
        let result = Output { rows: queried.rows, provenance: queried.provenance, topics };

        let mut outputs = Vec::with_capacity(sinks.len());
        for (shape, view) in sinks.iter().zip(&mut self.views) {
            outputs.push(match (shape.input, view) {
                (SinkInput::DeadLetters, _) => None,
                (SinkInput::Results, None) => Some(result.clone()),
                (SinkInput::Results, Some(view)) => {
                    let queried = view.run(&with_provenance(&result), result.provenance.as_ref(), time)?;
                    for refused in queried.refused {
                        let row = match self.query.scope() {
                            Scope::Record => origin(&result, records, refused.row)?,
                            Scope::Partition | Scope::Batch => return Err(no_record()),
                        };
                        bad.push(BadRecord { row, stage: refused.stage, reason: refused.reason });
                    }
                    let topics = records.topics.clone();
                    Some(Output { rows: queried.rows, provenance: queried.provenance, topics })
                }
            });
        }
        bad.sort_by_key(|b| b.row);
        let outputs = outputs.into_iter().map(|output| {
            output.unwrap_or_else(|| {
                let (rows, provenance) = dead_letters(records, &bad);
                Output { rows, provenance: Some(provenance), topics: records.topics.clone() }
            })
        });
        let outputs = outputs.collect();
        Ok(Computed { outputs, bad, result, took: (decoding, begun.elapsed().saturating_sub(decoding)) })
    }
}

/// What the computation must know of a sink.
#[derive(Debug, Clone)]
pub(super) struct SinkShape {
    input: SinkInput,
    schema: SchemaRef,
    chosen: bool,
    pub(super) name: String,
}

impl SinkShape {
    pub(super) fn of(sink: &SinkStage) -> Self {
        SinkShape { input: sink.input, schema: sink.schema.clone(), chosen: sink.chosen, name: sink.name.clone() }
    }

    pub(super) fn takes_dead_letters(&self) -> bool {
        self.input == SinkInput::DeadLetters
    }

    /// Where the sink's columns are among those that a recipe makes, by name.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(super) fn find(&self, made: &Schema) -> Result<Vec<usize>, String> {
        if is_broken(BrokenStep::ColumnsByPlace) && made.fields().len() == self.schema.fields().len() {
            return Ok((0..made.fields().len()).collect());
        }
        let mut indices = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let Ok(index) = made.index_of(field.name()) else {
                return Err(format!("has no column `{}`, which the sink takes now", field.name()));
            };
            let before = made.field(index).data_type();
            if before != field.data_type() {
                let (name, now) = (field.name(), field.data_type());
                return Err(format!("has column `{name}` as {before}, and the sink takes it as {now} now"));
            }
            indices.push(index);
        }
        let other = made.fields().iter().find(|field| self.schema.index_of(field.name()).is_err());
        match other.filter(|_| !self.chosen) {
            Some(field) => Err(format!("has a column `{}`, which the sink does not take any more", field.name())),
            None => Ok(indices),
        }
    }

    /// The sink's own columns, none of which holds a row.
    pub(super) fn empty(&self) -> Output {
        let rows = RecordBatch::new_empty(self.schema.clone());
        Output { rows, provenance: None, topics: Topics::default() }
    }
}

/// The records that are good so far, and which rows of the batch they are (all, where `rows` is `None`).
struct Good {
    records: Records,
    keys: ArrayRef,
    rows: Option<Vec<usize>>,
}

impl Good {
    /// What a stage says of one of these rows, said of the batch's row.
    fn bad(&self, refused: Refused) -> BadRecord {
        let row = self.rows.as_ref().map_or(refused.row, |rows| rows[refused.row]);
        BadRecord { row, stage: refused.stage, reason: refused.reason }
    }

    /// Those for which `mask` is true; the others are not bad.
    fn only(self, mask: &BooleanArray) -> Good {
        let rows = (0..mask.len()).filter(|row| mask.value(*row));
        let rows = rows.map(|row| self.rows.as_ref().map_or(row, |rows| rows[row])).collect();
        let keys = filter(&self.keys, mask).expect("one key a record");
        Good { records: self.records.filter(mask), keys, rows: Some(rows) }
    }

    /// Those that a stage did not refuse.
    fn without(self, refused: Vec<Refused>, bad: &mut Vec<BadRecord>) -> Good {
        if refused.is_empty() {
            return self;
        }
        let mut keep = vec![true; self.records.len()];
        for refused in refused {
            keep[refused.row] = false;
            bad.push(self.bad(refused));
        }
        let rows = (0..keep.len()).filter(|row| keep[*row]);
        let rows = rows.map(|row| self.rows.as_ref().map_or(row, |rows| rows[row])).collect();
        let mask = BooleanArray::from(keep);
        let keys = filter(&self.keys, &mask).expect("one key a record");
        Good { records: self.records.filter(&mask), keys, rows: Some(rows) }
    }
}

/// The table `records`. Columns that the query does not look at are there by type only.
fn assemble(
    records: &Records,
    decoded: RecordBatch,
    keys: &ArrayRef,
    query: &dyn Query,
) -> Result<RecordBatch, StageError> {
    let rows = records.len();
    let values: ArrayRef = match query.reads("_value") {
        true => Arc::new(records.own_values()),
        false => new_null_array(&DataType::Binary, rows),
    };
    let headers = if query.reads("_headers") { headers_array(records, 0..rows) } else { no_headers(rows) };
    let times = records.timestamps.reinterpret_cast::<TimestampMillisecondType>().with_timezone("UTC");
    let mut columns = decoded.columns().to_vec();
    columns.extend([
        keys.clone(),
        values,
        Arc::new(headers) as ArrayRef,
        Arc::new(topic_column(records, query.reads("_topic"))),
        Arc::new(indexes(&records.topics, &records.partitions)),
        Arc::new(records.offsets.clone()),
        Arc::new(times),
    ]);
    RecordBatch::try_new(records_schema(&decoded.schema(), keys.data_type()), columns)
        .map_err(|_| StageError::defect("the decoder gives other columns than it declares"))
}

/// The topic of each record; empty where nobody looks at it.
fn topic_column(records: &Records, read: bool) -> StringArray {
    let rows = records.len();
    match records.topics.names() {
        [first, _, ..] if read => {
            let mut last: (i32, Arc<str>) = (0, first.clone());
            let mut topics = StringBuilder::with_capacity(rows, rows * first.len());
            for ordinal in records.partitions.values() {
                if *ordinal != last.0 {
                    last = (*ordinal, records.topics.topic(*ordinal));
                }
                topics.append_value(&last.1);
            }
            topics.finish()
        }
        names => {
            let topic = names.first().filter(|_| read).map_or("", |topic| &**topic);
            let lengths = OffsetBuffer::from_repeated_length(topic.len(), rows);
            StringArray::new(lengths, Buffer::from(topic.repeat(rows).into_bytes()), None)
        }
    }
}

/// The partition of each row within its topic.
fn indexes(topics: &Topics, ordinals: &Int32Array) -> Int32Array {
    if topics.names().len() < 2 { ordinals.clone() } else { ordinals.unary(|ordinal| topics.index(ordinal)) }
}

/// The result as a sink's own query sees it: with `_partition` and `_offset` where rows have them.
fn with_provenance(result: &Output) -> RecordBatch {
    let Some(provenance) = &result.provenance else { return result.rows.clone() };
    let mut fields: Vec<_> = result.rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("_partition", DataType::Int32, false)));
    fields.push(Arc::new(Field::new("_offset", DataType::Int64, false)));
    let mut columns = result.rows.columns().to_vec();
    columns.push(Arc::new(indexes(&result.topics, &provenance.partitions)));
    columns.push(Arc::new(provenance.offsets.clone()));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("one entry a row")
}

fn no_record() -> StageError {
    StageError::settings("a sink's own query fails on a row of an aggregate: no single record is at fault")
}

/// Which record a result's row comes from.
fn origin(result: &Output, records: &Records, row: usize) -> Result<usize, StageError> {
    let provenance = result.provenance.as_ref().ok_or_else(no_record)?;
    let (partition, offset) = (provenance.partitions.value(row), provenance.offsets.value(row));
    (0..records.len())
        .find(|i| records.partitions.value(*i) == partition && records.offsets.value(*i) == offset)
        .ok_or_else(|| StageError::defect("a row names a record that its batch does not have"))
}

/// Several chunks as one batch.
pub(super) fn concat_records(mut chunks: Vec<Records>) -> Option<Records> {
    fn join<A: Array + Clone + 'static>(chunks: &[Records], column: impl Fn(&Records) -> &A) -> A {
        let arrays: Vec<&dyn Array> = chunks.iter().map(|chunk| column(chunk) as &dyn Array).collect();
        let joined = concat(&arrays).expect("chunks have one type and stay below the offset limit");
        joined.as_any().downcast_ref::<A>().expect("concat keeps the type").clone()
    }
    // One without records says nothing of what the others are.
    if chunks.iter().any(|chunk| !chunk.is_empty()) {
        chunks.retain(|chunk| !chunk.is_empty());
    }
    if chunks.len() < 2 {
        return chunks.into_iter().next();
    }
    let mut headers = Vec::new();
    if chunks.iter().any(|chunk| !chunk.headers.is_empty()) {
        headers = chunks.iter().flat_map(|c| (0..c.len()).map(|row| c.headers_of(row).to_vec())).collect();
    }
    let mut cut = Vec::new();
    let mut before = 0;
    for chunk in &chunks {
        cut.extend(chunk.cut.iter().map(|cut| Cut { row: before + cut.row, ..cut.clone() }));
        before += chunk.len();
    }
    Some(Records {
        topics: chunks.iter().fold(&chunks[0].topics, |topics, chunk| topics.or_longer(&chunk.topics)).clone(),
        keys: join(&chunks, |c| &c.keys),
        values: join(&chunks, |c| &c.values),
        lines: chunks[0].lines,
        columns: chunks[0].columns.as_ref().map(|first| {
            let columns = chunks.iter().filter_map(|chunk| chunk.columns.as_ref());
            concat_batches(first.schema_ref(), columns).expect("chunks have one schema")
        }),
        partitions: join(&chunks, |c| &c.partitions),
        offsets: join(&chunks, |c| &c.offsets),
        timestamps: join(&chunks, |c| &c.timestamps),
        headers,
        cut,
    })
}
