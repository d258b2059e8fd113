//! What the settings say, and what is refused before anything is written.

use super::*;

fn refusal(value: serde_json::Value) -> (String, String) {
    let error = parse(value).err().unwrap();
    (error.path.join("."), error.message)
}

#[test]
fn defaults_follow_the_mode_and_the_ending() {
    let resolve = |value| settings_of::<Settings>(value).unwrap().resolve().unwrap();
    let files = resolve(json!({ "path": "out.csv" }));
    assert_eq!((files.format, files.header, files.delimiter), (Format::Csv, true, b','));
    let append = resolve(json!({ "path": "hdfs://h:1/utime.csv", "mode": "append" }));
    assert_eq!((append.format, append.header), (Format::Csv, false));
    let parquet = resolve(json!({ "path": "out/day.parquet/" }));
    assert_eq!((parquet.format, parquet.compression), (Format::Parquet, Compression::Snappy));
}

#[test]
fn who_may_write() {
    let sharing = |value| parse(value).unwrap().traits().sharing;
    assert_eq!(sharing(json!({ "path": "hdfs://h:1/o", "format": "csv" })), Sharing::Shared);
    assert_eq!(sharing(json!({ "path": "hdfs://h:1/o.csv", "mode": "append" })), Sharing::Single);
    assert_eq!(sharing(json!({ "path": "o.csv" })), Sharing::Machine);
}

#[test]
fn contradictions_are_refused_with_their_field() {
    let cases = [
        (json!({ "path": "out" }), "format", "ending does not tell"),
        (json!({ "path": "" }), "path", "is empty"),
        (json!({ "path": "o.parquet", "mode": "append" }), "mode", "cannot be appended"),
        (json!({ "path": "s3://b/o.csv", "mode": "append" }), "mode", "cannot be appended"),
        (json!({ "path": "o.csv", "mode": "append", "compression": "gzip" }), "compression", "not compressed"),
        (json!({ "path": "o.csv", "compression": "snappy" }), "compression", "for Parquet"),
        (json!({ "path": "o.jsonl", "header": true }), "header", "for CSV"),
        (json!({ "path": "o.csv", "delimiter": "é" }), "delimiter", "ASCII"),
        (json!({ "path": "o.csv", "delimiter": "\"" }), "delimiter", "ASCII"),
        (json!({ "path": "o.csv", "mode": "upsert" }), "mode", "unknown variant"),
        (json!({ "path": "o.csv", "file": "x" }), "file", "unknown field"),
    ];
    for (value, field, text) in cases {
        let (path, message) = refusal(value.clone());
        assert!(path == field || path.is_empty(), "{value}: {path}");
        assert!(message.contains(text), "{value}: {message}");
    }
}

#[tokio::test]
async fn a_file_in_the_way_is_told_and_nothing_is_written() {
    let place = TestFolder::local();
    std::fs::write(format!("{}/taken", place.root), "x").unwrap();
    let open = async |value: serde_json::Value| {
        let settings = parse(value).unwrap();
        settings.open(&context("0")).await.err().map(|error| error.to_string())
    };
    let root = &place.root;
    let error = open(json!({ "path": format!("{root}/taken"), "format": "csv" })).await.unwrap();
    assert!(error.contains("/taken` is a file"), "{error}");
    let error = open(json!({ "path": format!("{root}/taken/more/o.csv"), "mode": "append" })).await.unwrap();
    assert!(error.contains("is a file"), "{error}");
    let error = open(json!({ "path": root, "format": "csv", "mode": "append" })).await.unwrap();
    assert!(error.contains("is a folder"), "{error}");
    let error = open(json!({ "path": "ftp://host/o.csv" })).await.unwrap();
    assert!(error.contains("`ftp://` is not supported"), "{error}");
    assert_eq!(open(json!({ "path": format!("{root}/new/deep"), "format": "csv" })).await, None);
    assert_eq!(place.storage.list(root).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_ends_in_mid_line_is_not_appended_to() {
    let place = TestFolder::local();
    std::fs::write(format!("{}/utime", place.root), "1,2\n3").unwrap();
    let mut sink = open(Case::CsvAppend, &place, "0").await;
    let error = sink.claim(&claims(&[0])).await.unwrap_err();
    assert!(error.message.contains("whole line"), "{error}");
    std::fs::write(format!("{}/utime", place.root), "1,2\n").unwrap();
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 0, 1)])).await.unwrap();
    let text = std::fs::read_to_string(format!("{}/utime", place.root)).unwrap();
    assert_eq!(text, "1,2\n0,0,\"row, \"\"0\"\"/0\"\n");
}

#[tokio::test]
async fn one_file_has_one_owner() {
    let place = TestFolder::local();
    let mut sink = open(Case::CsvAppend, &place, "0").await;
    sink.claim(&claims(&[0])).await.unwrap();
    sink.close().await.unwrap();
    let mut other = context("0");
    other.pipeline = "another".into();
    let path = format!("{}/utime", place.root);
    let error = Case::CsvAppend.settings().open_in(&other, place.storage.clone(), path).await.err().unwrap();
    assert!(error.message.contains("belongs to sink `../out` of pipeline `mri / Köln`"), "{error}");
}
