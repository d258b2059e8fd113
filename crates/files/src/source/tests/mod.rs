//! Files as the run loop reads them: whatever they are cut into, each record once, with its line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use foretell_flow::{Demand, Event, Fault, Partition, Position, Provenance, Source, StageError};
use serde_json::{Value, json};

mod conformance;
mod hostile;
mod whole;

use super::KIND;
use super::offset::pack;
use foretell_connect::kind::{DecodeSpec, SourceContext, SourceSettings};
use foretell_connect::storage::Local;

/// A folder with files, and the state beside them.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        Fixture { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    fn context(&self, decode: &DecodeSpec, share: (usize, usize), ends: bool) -> SourceContext {
        SourceContext {
            pipeline: "p".into(),
            worker: share.0.to_string(),
            index: share.0,
            workers: share.1,
            ends,
            decode: decode.clone(),
            state: (Arc::new(Local), self.folder.path().join("state").display().to_string()),
            home: String::new(),
            base: self.folder.path().into(),
            observe: false,
        }
    }
}

fn settings(mut settings: Value) -> Box<dyn SourceSettings> {
    if settings.get("path").is_none() {
        settings["path"] = json!("in");
    }
    (KIND.parse)(settings).map_err(|error| error.message).unwrap()
}

fn lines() -> DecodeSpec {
    DecodeSpec { kind: "line".into(), settings: json!({}) }
}

fn csv(columns: &[&str]) -> DecodeSpec {
    let columns: Vec<Value> = columns.iter().map(|name| json!({ *name: "int64" })).collect();
    DecodeSpec { kind: "csv".into(), settings: json!({ "columns": columns }) }
}

/// A record as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    partition: i32,
    offset: i64,
    file: String,
    line: i64,
    value: String,
}

const DEMAND: Demand = Demand { rows: 7, bytes: 1 << 20, wait: Duration::from_millis(500) };

/// Hands out everything there is from these positions on.
async fn drain(
    source: &mut dyn Source,
    from: &BTreeMap<i32, i64>,
) -> Result<(Vec<Seen>, BTreeMap<i32, i64>), StageError> {
    let Event::Assigned(partitions) = source.next(DEMAND).await? else { panic!("partitions come first") };
    let start = |partition: &Partition| from.get(&partition.index).copied().unwrap_or_default();
    let positions: Vec<Position> =
        partitions.iter().map(|partition| Position { partition: partition.clone(), next: start(partition) }).collect();
    let ends: BTreeMap<i32, i64> =
        source.bounds(&partitions).await?.into_iter().map(|bound| (bound.partition.index, bound.end)).collect();
    source.seek(&positions).await?;
    let mut at: BTreeMap<i32, i64> = positions.iter().map(|p| (p.partition.index, p.next)).collect();
    let mut seen = Vec::new();
    while at.iter().any(|(partition, at)| at < &ends[partition]) {
        let chunk = match source.next(DEMAND).await? {
            Event::Records(chunk) => chunk,
            // The service takes its time.
            Event::Idle => continue,
            other => panic!("{other:?} before the end"),
        };
        let records = &chunk.records;
        assert!(records.len() <= DEMAND.rows);
        let provenance = Provenance { partitions: records.partitions.clone(), offsets: records.offsets.clone() };
        let places = source.places(&provenance).await?.unwrap();
        for (row, place) in places.iter().enumerate() {
            let (partition, offset) = (records.partitions.value(row), records.offsets.value(row));
            assert!(offset >= at[&partition], "offsets grow");
            let value = match &records.columns {
                Some(columns) => arrow::util::display::array_value_to_string(columns.column(0), row).unwrap(),
                None => String::from_utf8(records.value(row).unwrap().to_vec()).unwrap(),
            };
            let file = place.file.rsplit('/').next().unwrap().to_string();
            at.insert(partition, offset + 1);
            seen.push(Seen { partition, offset, file, line: place.line.unwrap(), value });
        }
        for position in chunk.reached {
            assert!(position.next >= at[&position.partition.index]);
            at.insert(position.partition.index, position.next);
        }
    }
    Ok((seen, at))
}

async fn read(
    fixture: &Fixture,
    source: &dyn SourceSettings,
    decode: &DecodeSpec,
    workers: usize,
) -> Result<Vec<Seen>, StageError> {
    let mut seen = Vec::new();
    let mut open = Vec::new();
    for index in 0..workers {
        open.push(source.open(&fixture.context(decode, (index, workers), true), false).await?);
    }
    for source in &mut open {
        seen.extend(drain(&mut **source, &BTreeMap::new()).await?.0);
    }
    seen.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(seen)
}

fn values(seen: &[Seen]) -> Vec<(i64, &str)> {
    seen.iter().map(|seen| (seen.line, seen.value.as_str())).collect()
}

/// Some 300 kB of lines of very different lengths.
fn text() -> String {
    (0..4000).map(|number: usize| format!("{number},{}\n", "x".repeat(number * 7919 % 151))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_in_many_parts_gives_each_line_once_with_its_number() {
    for (split, partitions, workers) in [(1024, 3, 1), (5000, 8, 3), (100_000, 16, 2), (10_000_000, 1, 1)] {
        let fixture = Fixture::new();
        let text = text();
        fixture.write("a.txt", &text);
        // Without a line end at its end.
        fixture.write("b.txt", "one\r\n\nthree");
        let source = settings(json!({ "split": split, "partitions": partitions }));
        let seen = read(&fixture, &*source, &lines(), workers).await.unwrap();
        let expected: Vec<(i64, &str)> = (1..).zip(text.lines()).chain([(1, "one"), (2, ""), (3, "three")]).collect();
        assert_eq!(values(&seen), expected, "parts of {split}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_at_any_offset() {
    let fixture = Fixture::new();
    fixture.write("a.csv", format!("n,x\n{}\n\n7,y\n", text()));
    let source = settings(json!({ "split": 20_000, "partitions": 4 }));
    let decode = csv(&["n", "x"]);
    let all = read(&fixture, &*source, &decode, 1).await.unwrap();
    assert_eq!((all.len(), all[0].line, all.last().unwrap().line), (4001, 2, 4004), "header and blank lines are none");
    for cut in [0, 1, 500, 3999, 4000] {
        let mut from = BTreeMap::new();
        let mut partition = all.clone();
        partition.sort_by_key(|seen| (seen.partition, seen.offset));
        for seen in &partition[..cut] {
            from.insert(seen.partition, seen.offset + 1);
        }
        let mut open = source.open(&fixture.context(&decode, (0, 1), true), false).await.unwrap();
        let (mut rest, at) = drain(&mut *open, &from).await.unwrap();
        rest.sort_by_key(|seen| (seen.partition, seen.offset));
        assert_eq!(rest, partition[cut..], "cut at {cut}");
        let end = pack(text().len() as u64 / 20_000 + 1, 0);
        assert!(at.values().all(|at| *at == end), "all partitions stand at the end: {at:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_and_folders_and_lists_of_paths() {
    let fixture = Fixture::new();
    let text = text();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    fixture.write("a.txt.gz", gzip.finish().unwrap());
    fixture.write("deep/b.txt.zst", zstd::encode_all(text.as_bytes(), 0).unwrap());
    let mut two = zstd::encode_all(&b"1\n2"[..], 0).unwrap();
    two.extend(zstd::encode_all(&b"3\n"[..], 0).unwrap());
    fixture.write("deep/c.txt.zst", two);
    fixture.write("none.txt", "");
    let source = settings(json!({ "path": ["in/*.gz", "in/**/*.zst"], "split": 2000 }));
    let seen = read(&fixture, &*source, &lines(), 2).await.unwrap();
    let expected: Vec<(i64, &str)> = (1..).zip(text.lines()).collect();
    assert_eq!(values(&seen), [&expected[..], &expected[..], &[(1, "1"), (2, "23")]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_archives_stop_loudly() {
    let fixture = Fixture::new();
    let mut packed = zstd::encode_all(text().as_bytes(), 0).unwrap();
    packed.truncate(packed.len() / 2);
    fixture.write("a.txt.zst", packed);
    let source = settings(json!({}));
    let error = read(&fixture, &*source, &lines(), 1).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("a.txt.zst: the compressed data does not unpack"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quoted_line_ends_are_for_multiline_files() {
    let fixture = Fixture::new();
    fixture.write("a.csv", "n,t\n1,\"a\nb\"\n2,c\n\n3,\"\"\"\n\"\n");
    let decode = csv(&["n", "t"]);
    let plain = settings(json!({ "split": 1024 }));
    let seen = read(&fixture, &*plain, &decode, 1).await.unwrap();
    assert_eq!(values(&seen), [(2, "1,\"a"), (3, "b\""), (4, "2,c"), (6, "3,\"\"\""), (7, "\"")]);

    let fixture = Fixture::new();
    fixture.write("a.csv", "n,t\n1,\"a\nb\"\n2,c\n\n3,\"\"\"\n\"\n");
    let multiline = settings(json!({ "multiline": true }));
    let seen = read(&fixture, &*multiline, &decode, 1).await.unwrap();
    assert_eq!(values(&seen), [(2, "1,\"a\nb\""), (4, "2,c"), (6, "3,\"\"\"\n\"")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_by_row_groups_and_only_the_columns_that_are_wanted() {
    let fixture = Fixture::new();
    let rows = |from: i64| {
        let numbers = Int64Array::from_iter_values(from..from + 1000);
        let texts = StringArray::from_iter_values((from..from + 1000).map(|n| format!("text {n}")));
        RecordBatch::try_from_iter([("t", Arc::new(texts) as _), ("n", Arc::new(numbers) as _)]).unwrap()
    };
    let properties = parquet::file::properties::WriterProperties::builder();
    let properties = properties.set_max_row_group_row_count(Some(700)).build();
    let mut file = parquet::arrow::ArrowWriter::try_new(Vec::new(), rows(0).schema(), Some(properties)).unwrap();
    (0..5).for_each(|part| file.write(&rows(part * 1000)).unwrap());
    fixture.write("a.parquet", file.into_inner().unwrap());

    let source = settings(json!({ "split": 4096, "partitions": 4 }));
    let given = DecodeSpec { kind: "parquet".into(), settings: json!({ "columns": [{ "n": "int64" }] }) };
    let seen = read(&fixture, &*source, &given, 2).await.unwrap();
    let expected: Vec<(i64, String)> = (0..5000).map(|n| (n + 1, n.to_string())).collect();
    assert_eq!(seen.iter().map(|seen| (seen.line, seen.value.clone())).collect::<Vec<_>>(), expected);
    let inferred = source.infer(fixture.folder.path(), None).await.unwrap();
    assert_eq!(inferred.decode.settings, json!({ "columns": [{ "t": "utf8?" }, { "n": "int64?" }] }));

    let mut open = source.open(&fixture.context(&given, (0, 1), true), false).await.unwrap();
    let from: BTreeMap<i32, i64> =
        seen.iter().filter(|seen| seen.line <= 900).map(|s| (s.partition, s.offset + 1)).collect();
    let (rest, _) = drain(&mut *open, &from).await.unwrap();
    assert_eq!(rest.len(), 5000 - 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_found_out() {
    let fixture = Fixture::new();
    fixture.write("a.csv", "AGE;NAME;x;at\n64;Ann;1;2019-09-11\n;Bob;1.5;2020-01-01\nshort\n");
    fixture.write("b.jsonl", "{\"n\": 1, \"t\": \"x\", \"l\": [1]}\n{\"n\": 2.5, \"b\": true, \"t\": null}\n");
    fixture.write("c.txt", "a line\n");
    let infer = async |path: &str, given: Option<DecodeSpec>, header: bool| {
        let source = settings(json!({ "path": path, "header": header }));
        source.infer(fixture.folder.path(), given.as_ref()).await
    };
    let semicolon = || Some(DecodeSpec { kind: "csv".into(), settings: json!({ "delimiter": ";" }) });
    let found = infer("in/a.csv", semicolon(), true).await.unwrap();
    let expected = json!([{ "AGE": "int64?" }, { "NAME": "utf8?" }, { "x": "float64?" }, { "at": "date?" }]);
    assert_eq!(found.decode.settings, json!({ "delimiter": ";", "columns": expected }));
    assert!(found.from.starts_with("the header and a sample of"), "{}", found.from);
    let found = infer("in/a.csv", semicolon(), false).await.unwrap();
    assert_eq!(found.decode.settings["columns"][3], json!({ "column_4": "utf8?" }));
    fixture.write("d.tsv", "n\tt\n1\tx,y\n");
    let found = infer("in/d.tsv", None, true).await.unwrap();
    let columns = json!([{ "n": "int64?" }, { "t": "utf8?" }]);
    assert_eq!(found.decode.settings, json!({ "delimiter": "\t", "columns": columns }));
    let found = infer("in/b.jsonl", None, false).await.unwrap();
    let columns = json!([{ "n": "float64?" }, { "t": "utf8?" }, { "l": "utf8?" }, { "b": "bool?" }]);
    assert_eq!(found.decode.settings, json!({ "columns": columns }));
    let found = infer("in/c.txt", None, false).await.unwrap();
    assert_eq!((found.decode.kind.as_str(), found.decode.settings), ("line", json!({})));
    let error = infer("in/*.csv.gz", None, false).await.unwrap_err();
    assert!(error.message.contains("no file matches in/*.csv.gz"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_come_once_and_changed_ones_stop_loudly() {
    let fixture = Fixture::new();
    let source = settings(json!({ "poll": "50ms" }));
    let mut open = source.open(&fixture.context(&lines(), (0, 1), false), false).await.unwrap();
    let (nothing, mut at) = drain(&mut *open, &BTreeMap::new()).await.unwrap();
    assert!(nothing.is_empty());
    for (name, content) in [("b.txt", "1\n2\n"), ("a.txt", "3\n"), ("c.txt", "4")] {
        fixture.write(name, content);
        let mut values = Vec::new();
        while values.len() < content.lines().count() {
            let Event::Records(chunk) = open.next(DEMAND).await.unwrap() else { continue };
            values.extend((0..chunk.records.len()).map(|row| chunk.records.value(row).unwrap().to_vec()));
            at.extend(chunk.reached.into_iter().map(|p| (p.partition.index, p.next)));
        }
        assert_eq!(values, content.lines().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
    }
    drop(open);
    // What was read stays read, whatever else comes.
    fixture.write("d.txt", "5\n");
    let mut open = source.open(&fixture.context(&lines(), (0, 1), true), false).await.unwrap();
    let (rest, at) = drain(&mut *open, &at).await.unwrap();
    assert_eq!(rest.iter().map(|seen| seen.value.as_str()).collect::<Vec<_>>(), ["5"]);
    drop(open);

    fixture.write("a.txt", "3\n4\n");
    let error = source.open(&fixture.context(&lines(), (0, 1), true), false).await.err().unwrap();
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("a.txt: another file has its name now"), "{error}");
    assert!(error.remedy.contains("`foretell positions forget`"), "{error}");
    assert_eq!(at.len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_before_it_is_read_stops_loudly() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "1\n");
    let source = settings(json!({}));
    let mut open = source.open(&fixture.context(&lines(), (0, 1), true), false).await.unwrap();
    fixture.write("a.txt", "1\n2\n");
    let error = drain(&mut *open, &BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.fault, Fault::State);
    assert!(error.message.contains("a.txt: had 2 bytes and has 4 now"), "{error}");
    std::fs::remove_file(fixture.path("a.txt")).unwrap();
    let error = open.seek(&[]).await.and(drain_again(&mut *open).await).unwrap_err();
    assert!(error.message.contains("a.txt: is gone"), "{error}");
}

async fn drain_again(source: &mut dyn Source) -> Result<(), StageError> {
    source.next(DEMAND).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_by_name() {
    let fixture = Fixture::new();
    fixture.write("a.csv", "b,a\n1,2\n");
    let open = async |given: Value, decode: &DecodeSpec, ends: bool| {
        settings(given).open(&fixture.context(decode, (0, 1), ends), true).await.map(drop)
    };
    let cases = [
        (json!({ "path": "in/*.tsv" }), "no file matches in/*.tsv"),
        (json!({ "path": "nowhere" }), "/nowhere: no such file or folder"),
        (json!({ "path": "nowhere/*.csv" }), "/nowhere: no such folder"),
        (json!({ "path": "in/a.csv", "format": "parquet" }), "is read as parquet, which `decode: csv` does not take"),
        (json!({ "path": "s3://bucket/x", "s3": { "access_key_id": "a" } }), "`secret_access_key` is missing"),
        (json!({ "path": "ftp://host/x" }), "`ftp://` is not supported"),
    ];
    for (given, expected) in cases {
        let error = open(given, &csv(&["a", "b"]), true).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    }
    open(json!({ "path": "in/*.tsv" }), &csv(&["a"]), false).await.unwrap();

    // A header in another order would feed one column as another.
    let source = settings(json!({ "partitions": 2 }));
    let error = read(&fixture, &*source, &csv(&["a", "b"]), 1).await.unwrap_err();
    assert!(error.message.contains("the first line is not `a, b`"), "{error}");
    assert_eq!(read(&fixture, &*source, &csv(&["b", "a"]), 1).await.unwrap().len(), 1);

    let error =
        settings(json!({ "partitions": 3 })).open(&fixture.context(&csv(&["b", "a"]), (0, 1), true), false).await;
    let error = error.err().unwrap();
    assert!(error.message.contains("`partitions` is 3, but") && error.message.contains("was begun with 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_reads_everything_and_writes_no_list() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "1\n2\n3\n");
    let context = SourceContext { observe: true, ..fixture.context(&lines(), (0, 1), true) };
    let mut source = settings(json!({})).open(&context, false).await.unwrap();
    let (seen, _) = drain(&mut *source, &BTreeMap::new()).await.unwrap();
    assert_eq!(seen.iter().map(|seen| seen.value.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(!fixture.folder.path().join("state").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "1\n");
    let first = settings(json!({}));
    let mut workers = Vec::new();
    for index in 0..2 {
        workers.push(first.open(&fixture.context(&lines(), (index, 2), true), false).await.unwrap());
    }
    let second = settings(json!({}));
    let error = second.open(&fixture.context(&lines(), (0, 1), true), false).await.err().unwrap();
    assert!(error.message.contains("another process reads this pipeline's files"), "{error}");
    drop(workers);
    second.open(&fixture.context(&lines(), (0, 1), true), false).await.unwrap();
}

#[test]
fn settings_that_contradict_are_refused() {
    let cases = [
        (json!({ "path": "" }), "path: is empty"),
        (json!({ "path": "x", "partitions": 0 }), "partitions: 1 to 1024 are possible"),
        (json!({ "path": "x", "split": 10 }), "split: 1024 bytes at least"),
        (json!({ "path": "x", "format": "jsonl", "multiline": true }), "multiline: is for CSV"),
        (json!({ "path": "x", "format": "parquet", "header": true }), "header: is for CSV and lines"),
        (json!({ "path": "x", "format": "parquet", "compression": "gzip" }), "compression: a Parquet file says itself"),
    ];
    for (given, expected) in cases {
        let error = (KIND.parse)(given).err().unwrap();
        let text = format!("{}: {}", error.path.join("."), error.message);
        assert!(text.starts_with(expected), "{text}");
    }
}

/// What needs services.
mod services {
    use super::*;

    /// A storage without locks: whoever began first stops.
    #[tokio::test(flavor = "multi_thread")]
    async fn files_and_state_on_hdfs() {
        let url = std::env::var("FORETELL_HDFS")
            .expect("FORETELL_HDFS is not set: start the services with `dev/services up` and use what it prints");
        let root = format!("{}/file-source-{}", url.trim_end_matches('/'), uuid::Uuid::new_v4().simple());
        let (hdfs, folder) =
            foretell_storage::open(&root, Path::new("/"), &foretell_storage::StorageSettings::default()).unwrap();
        hdfs.mkdirs(&format!("{folder}/in")).await.unwrap();
        let text = text();
        let mut writer = hdfs.writer(&format!("{folder}/in/a.txt")).await.unwrap();
        writer.write(text.clone().into()).await.unwrap();
        writer.sync().await.unwrap();
        writer.close().await.unwrap();

        let fixture = Fixture::new();
        let path = json!({ "path": format!("{root}/in"), "split": 50_000, "partitions": 4 });
        let context = |share| {
            let state = (hdfs.clone(), format!("{folder}/state"));
            SourceContext { state, ..fixture.context(&lines(), share, true) }
        };
        let first = settings(path.clone());
        let mut open = first.open(&context((0, 1)), false).await.unwrap();
        let (mut seen, _) = drain(&mut *open, &BTreeMap::new()).await.unwrap();
        seen.sort_by_key(|seen| seen.line);
        let expected: Vec<(i64, &str)> = (1..).zip(text.lines()).collect();
        assert_eq!(values(&seen), expected);

        let second = settings(path);
        let _newer = second.open(&context((0, 1)), false).await.unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let error = loop {
            assert!(std::time::Instant::now() < deadline, "the older one stops");
            if let Err(error) = open.next(DEMAND).await {
                break error;
            }
        };
        assert_eq!(error.fault, Fault::Settings);
        assert!(error.message.contains("another process (host"), "{error}");
        hdfs.delete(&folder).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_on_s3() {
        use object_store::ObjectStoreExt;
        let service = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: start the services with `dev/services up` and use what it prints")
            })
        };
        let (endpoint, key, secret) =
            (service("FORETELL_S3"), service("FORETELL_S3_KEY"), service("FORETELL_S3_SECRET"));
        let builder = object_store::aws::AmazonS3Builder::new().with_endpoint(&endpoint).with_allow_http(true);
        let builder = builder.with_bucket_name("foretell").with_access_key_id(&key).with_secret_access_key(&secret);
        let store = builder.with_region("us-east-1").build().unwrap();
        let folder = format!("file-source-{}", uuid::Uuid::new_v4().simple());
        let put = async |name: &str, content: Vec<u8>| {
            let path = object_store::path::Path::from(format!("{folder}/{name}"));
            store.put(&path, content.into()).await.unwrap();
        };
        let text = text();
        put("a b.txt", text.clone().into()).await;
        put("deep/b.txt.zst", zstd::encode_all(text.as_bytes(), 0).unwrap()).await;
        put("_hidden.txt", b"no\n".to_vec()).await;

        let fixture = Fixture::new();
        let given = |path: &str, secret: &str| {
            json!({
                "path": path, "split": 100_000, "poll": "50ms",
                "s3": { "endpoint": endpoint, "region": "us-east-1", "access_key_id": key, "secret_access_key": secret }
            })
        };
        let source = settings(given(&format!("s3://foretell/{folder}/**"), &secret));
        let seen = read(&fixture, &*source, &lines(), 2).await.unwrap();
        let expected: Vec<(i64, &str)> = (1..).zip(text.lines()).collect();
        assert_eq!(values(&seen), [&expected[..], &expected[..]].concat());

        // One that is replaced between its listing and its reading.
        let fixture = Fixture::new();
        let source = settings(given(&format!("s3://foretell/{folder}"), &secret));
        let mut open = source.open(&fixture.context(&lines(), (0, 1), true), false).await.unwrap();
        put("a b.txt", text.replace('x', "y").into()).await;
        let error = drain(&mut *open, &BTreeMap::new()).await.unwrap_err();
        assert_eq!(error.fault, Fault::State);
        assert!(error.message.contains("a b.txt: was written again"), "{error}");

        let wrong: [(Value, &str); 3] = [
            (given(&format!("s3://foretell/{folder}/*.csv"), &secret), "no file matches"),
            (given(&format!("s3://foretell/nowhere-{folder}"), &secret), "no such file or folder"),
            (given(&format!("s3://foretell/{folder}"), "another"), "s3://foretell/"),
        ];
        for (given, expected) in wrong {
            let fixture = Fixture::new();
            let error = settings(given).open(&fixture.context(&lines(), (0, 1), true), true).await.err().unwrap();
            assert!(error.message.contains(expected) && error.fault == Fault::Settings, "{error}");
        }
    }
}
