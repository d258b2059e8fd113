//! What is true of a whole file stops the pipeline, and says what it is; what is inferred changes no value.

use super::*;

/// The error of reading one file, whatever part of it comes first.
async fn stops(fixture: &Fixture, decode: &DecodeSpec, given: Value) -> StageError {
    let error = read(fixture, &*settings(given), decode, 1).await.unwrap_err();
    assert!(!error.remedy.is_empty(), "{error}");
    error
}

async fn infer(fixture: &Fixture, given: Value) -> Result<Value, StageError> {
    let inferred = settings(given).infer(fixture.folder.path(), None).await?;
    Ok(inferred.decode.settings["columns"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_text_stops_by_its_name() {
    let utf16: Vec<u8> = "\u{feff}id,name\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"id,name\n1,a\n").unwrap();
    let cases: [(&str, Vec<u8>, &str, &str); 6] = [
        ("a.csv", utf16, "it is UTF-16", "iconv"),
        ("a.csv", gzip.finish().unwrap(), "it is gzip data", "compression: gzip"),
        ("a.csv.gz", b"id,name\n1,a\n".to_vec(), "it is not gzip data", "compression: none"),
        ("a.csv.zst", b"id,name\n1,a\n".to_vec(), "it is not Zstandard data", "compression: none"),
        ("a.csv", b"id,name\r1,a\r2,b\r".to_vec(), "its lines end with CR alone", "tr '\\r' '\\n'"),
        ("a.csv", b"PK\x03\x04\x14\0\x06\0[Content_Types].xml".to_vec(), "it is a zip archive", "CSV"),
    ];
    for (name, content, what, remedy) in cases {
        let fixture = Fixture::new();
        fixture.write(name, content);
        let error = stops(&fixture, &csv(&["id", "name"]), json!({})).await;
        assert_eq!(error.fault, Fault::State);
        assert!(error.message.contains(&format!("{name}: {what}")), "{error}");
        assert!(error.remedy.contains(remedy), "{error}");
        let error = infer(&fixture, json!({})).await.unwrap_err();
        assert!(error.message.contains(&format!("{name}: {what}")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_has_not_an_object_a_line_stops() {
    let decode = || DecodeSpec { kind: "json".into(), settings: json!({ "columns": [{ "id": "int64" }] }) };
    for (content, what) in [
        ("[{\"id\":1},\n {\"id\":2}\n]\n", "one JSON list"),
        ("[\n{\"id\":1},\n{\"id\":2}\n]\n", "one JSON list"),
        ("[{\"id\":1},{\"id\":2}]", "one JSON list"),
        ("\n  [{\"id\":1},{\"id\":2}]\n\n", "one JSON list"),
        ("{\n  \"id\": 1\n}\n", "stand on several lines each"),
        ("{ \"id\":\n 1 }\n{ \"id\":\n 1 }\n", "stand on several lines each"),
    ] {
        let fixture = Fixture::new();
        fixture.write("a.json", content);
        let error = stops(&fixture, &decode(), json!({})).await;
        assert!(error.message.contains(what) && error.message.contains("a.json"), "{content}: {error}");
        assert!(error.remedy.contains("jq -c"), "{error}");
        let error = infer(&fixture, json!({})).await.unwrap_err();
        assert!(error.message.contains(what), "{content}: {error}");
    }
    // Bad records are those of the decoder.
    for content in ["{\"id\":1\n{\"id\":2}\n", "[1]\n{\"id\":2}\n", "{\"id\":1}\n[\n", "x\n[1]\n"] {
        let fixture = Fixture::new();
        fixture.write("a.json", content);
        let seen = read(&fixture, &*settings(json!({})), &decode(), 1).await.unwrap();
        assert_eq!(seen.len(), 2, "{content}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_part_of_a_file_is_read_before_its_header_is_right() {
    let fixture = Fixture::new();
    let rows: String = (0..5000).map(|row| format!("{row},{row}\n")).collect();
    fixture.write("a.csv", format!("b,a\n{rows}"));
    let source = settings(json!({ "split": 2000, "partitions": 4 }));
    let decode = csv(&["a", "b"]);
    // A worker that has only parts from the middle.
    let mut open = source.open(&fixture.context(&decode, (1, 4), true), false).await.unwrap();
    let error = drain(&mut *open, &BTreeMap::new()).await.unwrap_err();
    assert!(error.message.contains("its 2 fields have other names, or another order"), "{error}");
}

fn parquet(columns: Vec<(&str, arrow::array::ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, a)| (name, a, true))).unwrap();
    let mut file = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    file.write(&batch).unwrap();
    file.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parquet_file_without_a_column_stops_as_csv_does() {
    let fixture = Fixture::new();
    fixture.write("a.parquet", parquet(vec![("ID", Arc::new(Int64Array::from(vec![1, 2])))]));
    let decode = |column: &str, data_type: &str| DecodeSpec {
        kind: "parquet".into(),
        settings: json!({ "columns": [{ column: data_type }] }),
    };
    let error = stops(&fixture, &decode("id", "int64"), json!({})).await;
    assert!(error.message.contains("a.parquet: the file has no column `id`, but one `ID`"), "{error}");
    let fixture = Fixture::new();
    fixture.write("a.parquet", parquet(vec![("ID", Arc::new(Int64Array::from(vec![1, 2])))]));
    let error = stops(&fixture, &decode("ID", "timestamp"), json!({})).await;
    assert!(error.message.contains("column `ID` is Int64, which is never a timestamp"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_told_by_several_files() {
    let fixture = Fixture::new();
    fixture.write("a.csv", "id,zip,x,big\n");
    fixture.write("b.csv", "id,zip,x,big\n1,01220,1,1\n");
    fixture.write("c.csv", "id,zip,x,big\n2,17,2.5,12345678901234567891\n");
    let found = infer(&fixture, json!({})).await.unwrap();
    assert_eq!(found, json!([{ "id": "int64?" }, { "zip": "utf8?" }, { "x": "float64?" }, { "big": "utf8?" }]));

    let fixture = Fixture::new();
    fixture.write("a.jsonl", "{\"id\": 12345678901234567891, \"x\": 1}\n");
    fixture.write("b.jsonl", "{\"id\": 1, \"x\": 2.5, \"s\": \"x\"}\n");
    let found = infer(&fixture, json!({})).await.unwrap();
    assert_eq!(found, json!([{ "id": "uint64?" }, { "x": "float64?" }, { "s": "utf8?" }]));

    let fixture = Fixture::new();
    fixture.write("a.parquet", parquet(vec![("n", Arc::new(Int64Array::from(vec![1])))]));
    fixture.write("b.parquet", parquet(vec![("n", Arc::new(arrow::array::Float64Array::from(vec![2.5])))]));
    assert_eq!(infer(&fixture, json!({})).await.unwrap(), json!([{ "n": "float64?" }]));
    fixture.write("c.parquet", parquet(vec![("n", Arc::new(StringArray::from(vec!["x"])))]));
    let error = infer(&fixture, json!({})).await.unwrap_err();
    assert!(error.message.contains("column `n` is utf8 here and float64 in files before"), "{error}");

    // pandas writes a column of nothing but None so.
    let fixture = Fixture::new();
    let untyped = || ("n", Arc::new(arrow::array::NullArray::new(1)) as arrow::array::ArrayRef);
    fixture.write("a.parquet", parquet(vec![untyped()]));
    assert_eq!(infer(&fixture, json!({})).await.unwrap(), json!([{ "n": "utf8?" }]));
    fixture.write("b.parquet", parquet(vec![("n", Arc::new(Int64Array::from(vec![1])))]));
    fixture.write("c.parquet", parquet(vec![untyped()]));
    assert_eq!(infer(&fixture, json!({})).await.unwrap(), json!([{ "n": "int64?" }]));

    let fixture = Fixture::new();
    fixture.write("a.csv", "id,name\n1,x\n");
    fixture.write("b.csv", "name,id\nx,1\n");
    let error = infer(&fixture, json!({})).await.unwrap_err();
    assert!(error.message.contains("b.csv: its header is not that of the files before"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inferred_names_that_cannot_be_are_named() {
    for (name, content, what) in [
        ("a.csv", "id,name,name\n1,a,b\n", "a.csv: column `name` is there twice"),
        ("a.csv", "id,_key\n1,a\n", "a.csv: `_key` is the name of a column that every record has"),
        ("a.jsonl", "{\"_offset\": 1}\n", "a.jsonl: `_offset` is the name of a column that every record has"),
    ] {
        let fixture = Fixture::new();
        fixture.write(name, content);
        let error = infer(&fixture, json!({})).await.unwrap_err();
        assert!(error.message.contains(what) && !error.remedy.is_empty(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_record_is_not_taken_for_a_header_nor_shown() {
    for content in
        ["37753240,Ann,64\n37753241,Bob,65\n", "Ann,2019-09-11\nBob,2020-01-01\n", "Ann,F\nBob,M\nCid,F\n", "9,8\n"]
    {
        let fixture = Fixture::new();
        fixture.write("a.csv", content);
        let error = infer(&fixture, json!({})).await.unwrap_err();
        assert!(error.message.contains("the first line looks like a record"), "{error}");
        assert!(error.remedy.contains("`header: false`"), "{error}");
        let shown = format!("{} {}", error.message, error.remedy);
        let first = content.lines().next().unwrap();
        assert!(first.split(',').all(|field| !shown.contains(&format!("`{field}`"))), "{shown}");
        assert!(!shown.contains("37753240") && !shown.contains("Ann"), "{shown}");
        let found = infer(&fixture, json!({ "header": false })).await.unwrap();
        assert!(found[0].get("column_1").is_some(), "{found}");
    }
    let fixture = Fixture::new();
    fixture.write("a.csv", "2019,2020\n1.5,2.5\n");
    let found = infer(&fixture, json!({ "header": true })).await.unwrap();
    assert_eq!(found, json!([{ "2019": "float64?" }, { "2020": "float64?" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_once_however_its_path_is_spelt() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "1\n");
    std::fs::create_dir(fixture.folder.path().join("other")).unwrap();
    std::os::unix::fs::symlink(fixture.folder.path().join("in"), fixture.folder.path().join("other/link")).unwrap();
    let root = fixture.folder.path().display().to_string();
    let paths = [
        "in/*.txt".to_string(),
        "in/../in/a.txt".into(),
        "./in//a.txt".into(),
        "other/../in".into(),
        // `..` behind a link leads to the folder of what is linked.
        "other/link/../in/a.txt".into(),
        format!("{root}/other/./../in/a.txt"),
        format!("file://{root}/in/../in/a.txt"),
    ];
    let seen = read(&fixture, &*settings(json!({ "path": paths })), &lines(), 1).await.unwrap();
    assert_eq!(values(&seen), [(1, "1")]);

    // A list that was written before knows the file by its other spelling.
    let list = std::fs::read_dir(fixture.folder.path().join("state/files/p")).unwrap();
    let list = list.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    for record in list {
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace("/in/a.txt", "/in/../in/a.txt")).unwrap();
    }
    let seen = read(&fixture, &*settings(json!({})), &lines(), 1).await.unwrap();
    assert_eq!(seen.len(), 1, "read from its begin, and not as a second file");
}
