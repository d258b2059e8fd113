//! Every format and mode, on a temporary folder and (in modules called `services`) on a real HDFS.

/// Makes two tests of each function that takes a [`TestFolder`]: one on this machine, one on HDFS.
macro_rules! on_each_storage {
    ($($name:ident),+ $(,)?) => {
        mod on_this_machine {
            use super::TestFolder;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(TestFolder::local()).await;
                }
            )+
        }

        mod on_hdfs {
            mod services {
                use super::super::TestFolder;
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $name() {
                        let place = TestFolder::hdfs();
                        let (storage, root) = (place.storage.clone(), place.root.clone());
                        super::super::$name(place).await;
                        storage.delete(&root).await.unwrap();
                    }
                )+
            }
        }
    };
}

mod conformance;
mod crash;
mod exact;
mod hostile;
mod mortal;
mod services;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Date32Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, StructBuilder, TimestampMicrosecondArray,
    TimestampSecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, SchemaRef};
use bytes::Bytes;
use foretell_flow::{Checkpoint, Claim, Partition, Plan, Position, Range, Sink, SinkInput, StageError, Write};
use serde_json::json;

use super::*;
use foretell_connect::storage::Storage;

/// A row of every type that formats treat differently, one of other values, one of NULLs.
pub(super) fn sample() -> RecordBatch {
    let fields =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let item = StructBuilder::new(fields, vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
    let mut items = ListBuilder::new(item);
    items.values().field_builder::<StringBuilder>(0).unwrap().append_value("k");
    items.values().field_builder::<BinaryBuilder>(1).unwrap().append_value(b"v");
    items.values().append(true);
    items.append(true);
    items.append(true);
    items.append(false);
    let at = [Some(1_568_160_000_123_456), Some(1_568_160_001_000_000), None];
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(2), None])) as ArrayRef, true),
        ("text", Arc::new(StringArray::from(vec![Some("a,\"b\"\nc"), None, Some("")])), true),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::MIN), None])), true),
        ("f64", Arc::new(Float64Array::from(vec![0.1 + 0.2, 1e-300, f64::NAN])), true),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), true),
        ("at", Arc::new(TimestampMicrosecondArray::from(at.to_vec()).with_timezone("UTC")), true),
        ("local", Arc::new(TimestampSecondArray::from(vec![Some(1_568_160_000), Some(1_568_160_001), None])), true),
        ("day", Arc::new(Date32Array::from(vec![Some(18150), Some(0), None])), true),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"plain"[..]), Some(&b"\xff\x00"[..]), None])), true),
        ("items", Arc::new(items.finish()), true),
    ])
    .unwrap()
}

/// A Parquet file's rows.
pub(super) fn read_parquet(bytes: impl Into<Bytes>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.into()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn variable(name: &str) -> String {
    let hint = "start the services with `dev/services up` and use what it prints";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {hint}"))
}

/// Where a test writes: its own folder.
pub(super) struct TestFolder {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) root: String,
    _temporary: Option<tempfile::TempDir>,
}

impl TestFolder {
    pub(super) fn local() -> Self {
        let folder = crate::testing::folder();
        let (storage, root) = foretell_storage::open(
            folder.path().to_str().unwrap(),
            Path::new("/"),
            &foretell_storage::StorageSettings::default(),
        )
        .unwrap();
        TestFolder { storage, root, _temporary: Some(folder) }
    }

    /// A folder in it.
    pub(super) fn within(&self, name: &str) -> TestFolder {
        TestFolder { storage: self.storage.clone(), root: format!("{}/{name}", self.root), _temporary: None }
    }

    /// A new folder on S3. A missing service fails the test.
    pub(super) fn s3() -> Self {
        let s3 = json!({
            "endpoint": variable("FORETELL_S3"),
            "access_key_id": variable("FORETELL_S3_KEY"),
            "secret_access_key": variable("FORETELL_S3_SECRET"),
        });
        let settings = foretell_storage::StorageSettings { s3: settings_of(s3).unwrap() };
        let url = format!("s3://foretell/test-{}", uuid::Uuid::new_v4().simple());
        let (storage, root) = foretell_storage::open(&url, Path::new("/"), &settings).unwrap();
        TestFolder { storage, root, _temporary: None }
    }

    /// A new folder on the real service. A missing service fails the test.
    pub(super) fn hdfs() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = variable("FORETELL_HDFS");
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let url = format!("{}/test-{}-{count}", url.trim_end_matches('/'), uuid::Uuid::new_v4().simple());
        let (storage, root) =
            foretell_storage::open(&url, Path::new("/"), &foretell_storage::StorageSettings::default()).unwrap();
        TestFolder { storage, root, _temporary: None }
    }
}

/// The settings of one run of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    CsvFiles,
    JsonlFiles,
    ParquetFiles,
    CsvAppend,
    JsonlAppend,
}

pub(super) const CASES: [Case; 5] =
    [Case::CsvFiles, Case::JsonlFiles, Case::ParquetFiles, Case::CsvAppend, Case::JsonlAppend];

impl Case {
    pub(super) fn append(self) -> bool {
        matches!(self, Case::CsvAppend | Case::JsonlAppend)
    }

    fn format(self) -> Format {
        match self {
            Case::CsvFiles | Case::CsvAppend => Format::Csv,
            Case::JsonlFiles | Case::JsonlAppend => Format::Jsonl,
            Case::ParquetFiles => Format::Parquet,
        }
    }

    fn name(self) -> &'static str {
        if self.append() { "utime" } else { "out" }
    }

    pub(super) fn settings(self) -> Settings {
        let mode = if self.append() { "append" } else { "files" };
        settings_of(json!({ "path": "unused", "format": self.format().name(), "mode": mode })).unwrap()
    }
}

/// A sink's context; the columns are those of [`rows`].
pub(super) fn context(worker: &str) -> SinkContext {
    SinkContext {
        pipeline: "mri / Köln".into(),
        sink: "../out".into(),
        worker: worker.into(),
        schema: rows(&[]).schema(),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: "/".into(),
    }
}

pub(super) async fn open_with(
    case: Case,
    storage: Arc<dyn Storage>,
    root: &str,
    worker: &str,
) -> Result<Box<dyn Sink>, StageError> {
    let path = format!("{root}/{}", case.name());
    Ok(case.settings().open_in(&context(worker), storage, path).await?.boxed())
}

pub(super) async fn open(case: Case, place: &TestFolder, worker: &str) -> Box<dyn Sink> {
    open_with(case, place.storage.clone(), &place.root, worker).await.unwrap()
}

pub(super) fn partition(index: i32) -> Partition {
    Partition { topic: "Pdata".into(), index }
}

pub(super) fn range(index: i32, from: i64, to: i64) -> Range {
    Range { partition: partition(index), from, to }
}

pub(super) fn claims(indexes: &[i32]) -> Vec<Claim> {
    let claim = |index: &i32| Claim { partition: partition(*index), identity: "cluster/topic".into(), start: 0 };
    indexes.iter().map(claim).collect()
}

/// One row for each offset.
pub(super) fn rows(ranges: &[Range]) -> RecordBatch {
    let all: Vec<(i32, i64)> = ranges.iter().flat_map(|r| (r.from..r.to).map(|at| (r.partition.index, at))).collect();
    let text = all.iter().map(|(p, o)| if o % 7 == 3 { None } else { Some(format!("row, \"{p}\"/{o}")) });
    RecordBatch::try_from_iter_with_nullable([
        ("part", Arc::new(Int32Array::from_iter_values(all.iter().map(|r| r.0))) as ArrayRef, false),
        ("off", Arc::new(Int64Array::from_iter_values(all.iter().map(|r| r.1))), false),
        ("text", Arc::new(text.collect::<StringArray>()), true),
    ])
    .unwrap()
}

pub(super) fn batch(ranges: &[Range]) -> Write {
    let plan = Plan { id: uuid::Uuid::new_v4().to_string(), time: 1, recipe: Arc::default(), ranges: ranges.to_vec() };
    Write {
        plan: Arc::new(plan),
        ranges: ranges.to_vec(),
        rows: rows(ranges),
        provenance: None,
        topics: foretell_flow::Topics::default(),
        retention: None,
    }
}

/// Writes a batch, a slice for each range where the sink takes slices.
pub(super) async fn write_sliced(case: Case, sink: &mut Box<dyn Sink>, ranges: &[Range]) -> Result<(), StageError> {
    let mut write = batch(ranges);
    if case.settings().traits().slices {
        for range in ranges {
            sink.slice(&rows(std::slice::from_ref(range))).await?;
        }
        write.rows = rows(&[]);
    }
    sink.write(&write).await.map(|_| ())
}

pub(super) fn next_of(checkpoints: &[Checkpoint], index: i32) -> i64 {
    checkpoints.iter().find(|h| h.partition == partition(index)).unwrap().next
}

/// The names in view, as a reader that passes over `_…` and `.…` sees them.
pub(super) async fn in_view(case: Case, place: &TestFolder) -> Vec<String> {
    let folder = if case.append() { place.root.clone() } else { format!("{}/{}", place.root, case.name()) };
    let entries = place.storage.list(&folder).await.unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    names.filter(|name| !name.starts_with(['_', '.'])).collect()
}

/// The bytes of each file in view, by name.
pub(super) async fn contents(case: Case, place: &TestFolder) -> Vec<Bytes> {
    let folder = if case.append() { place.root.clone() } else { format!("{}/{}", place.root, case.name()) };
    if place.storage.stat(&folder).await.unwrap().is_none() {
        return Vec::new();
    }
    let mut contents = Vec::new();
    for name in in_view(case, place).await {
        contents.push(place.storage.read(&format!("{folder}/{name}")).await.unwrap());
    }
    contents
}

/// Every row in view, and how often.
pub(super) async fn landed(case: Case, place: &TestFolder) -> BTreeMap<(i32, i64), u32> {
    let mut found = BTreeMap::new();
    for bytes in contents(case, place).await {
        let batch = decode(case, bytes, &rows(&[]).schema());
        let (parts, offsets) =
            (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int64Type>());
        for (row, text) in batch.column(2).as_string::<i32>().iter().enumerate() {
            let (part, offset) = (parts.value(row), offsets.value(row));
            let expected = if offset % 7 == 3 { None } else { Some(format!("row, \"{part}\"/{offset}")) };
            assert_eq!(text, expected.as_deref(), "{case:?} {part}/{offset}");
            *found.entry((part, offset)).or_default() += 1;
        }
    }
    found
}

/// A file's rows.
pub(super) fn decode(case: Case, bytes: Bytes, schema: &SchemaRef) -> RecordBatch {
    let batches: Vec<RecordBatch> = match case.format() {
        Format::Parquet => return read_parquet(bytes),
        Format::Csv => {
            let header = !case.append();
            let reader = arrow::csv::ReaderBuilder::new(schema.clone()).with_header(header).build(&bytes[..]).unwrap();
            reader.map(Result::unwrap).collect()
        }
        Format::Jsonl => {
            let reader = arrow::json::ReaderBuilder::new(schema.clone()).build(&bytes[..]).unwrap();
            reader.map(Result::unwrap).collect()
        }
    };
    arrow::compute::concat_batches(schema, &batches).unwrap()
}

/// Each offset of each range once.
pub(super) fn once(ranges: &[Range]) -> BTreeMap<(i32, i64), u32> {
    ranges.iter().flat_map(|r| (r.from..r.to).map(|at| ((r.partition.index, at), 1))).collect()
}
