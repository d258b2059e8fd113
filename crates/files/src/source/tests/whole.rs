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
async fn a_file_that_is_not_text_stops_by_its_name() {
    let utf16: Vec<u8> = "\u{feff}id,name\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"id,name\n1,a\n").unwrap();
    let cases: [(&str, Vec<u8>, &str, &str); 6] = [
        ("a.csv", utf16, "it is UTF-16", "encoding: utf-16"),
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

fn json_of(columns: Value) -> DecodeSpec {
    DecodeSpec { kind: "json".into(), settings: json!({ "columns": columns }) }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_objects_over_several_lines_are_read_whole() {
    let decode = json_of(json!([{ "id": "int64" }]));
    for content in [
        "[{\"id\":1},\n {\"id\":2}\n]\n",
        "[\n{\"id\":1},\n{\"id\":2}\n]\n",
        "[{\"id\":1},{\"id\":2}]",
        "\u{feff}\n  [{\"id\":1},{\"id\":2}]\n\n",
        "{\n\"id\":1\n}\n{\n\"id\":2}\n",
        "{ \"id\":\n 1 }\n{ \"id\":\n 2 }\n",
    ] {
        let fixture = Fixture::new();
        fixture.write("a.json", content);
        let seen = read(&fixture, &*settings(json!({})), &decode, 2).await.unwrap();
        let squeezed: Vec<(i64, String)> =
            seen.iter().map(|seen| (seen.line, seen.value.split_whitespace().collect())).collect();
        assert_eq!(squeezed, [(1, "{\"id\":1}".to_string()), (2, "{\"id\":2}".to_string())], "{content}");
        assert_eq!(infer(&fixture, json!({})).await.unwrap(), json!([{ "id": "int64?" }]), "{content}");
        // Who says that it is JSON Lines is told that it is not.
        let fixture = Fixture::new();
        fixture.write("a.json", content);
        let error = stops(&fixture, &decode, json!({ "format": "jsonl" })).await;
        assert!(error.message.contains("a.json: it") && error.remedy.contains("`format: json`"), "{error}");
    }
    let fixture = Fixture::new();
    fixture.write("a.json", "[{\"id\":1},\n{\"id\":2},\n{\"i");
    let error = stops(&fixture, &decode, json!({})).await;
    assert!(error.message.contains("a.json: its JSON list has no end: the file is cut off"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_once_though_it_was_cut_into_parts() {
    let fixture = Fixture::new();
    let values: Vec<String> = (0..20_000).map(|id| format!("  {{\n    \"id\": {id}, \"t\": \"],[\"\n  }}")).collect();
    fixture.write("a.json", format!("[\n{}\n]\n", values.join(",\n")));
    let decode = json_of(json!([{ "id": "int64" }]));
    let source = settings(json!({ "split": 20_000, "partitions": 4 }));
    let seen = read(&fixture, &*source, &decode, 3).await.unwrap();
    assert_eq!(seen.len(), 20_000);
    assert!(seen.iter().zip(0..).all(|(seen, id)| seen.line == id + 1 && seen.value.contains(&format!(" {id},"))));
    // From the middle on.
    let mut open = source.open(&fixture.context(&decode, (0, 1), true), false).await.unwrap();
    let from = BTreeMap::from([(seen[0].partition, seen[12_344].offset + 1)]);
    let (rest, _) = drain(&mut *open, &from).await.unwrap();
    assert_eq!(rest.iter().map(|seen| seen.line).collect::<Vec<_>>(), (12_346..=20_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_in_other_encodings() {
    let text: String = std::iter::once("id,städte\n".to_string())
        .chain((0..3000).map(|id| format!("{id},Köln {}\n", "é".repeat(id % 7))))
        .collect();
    let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big_endian: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let latin: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
    let expected: Vec<(i64, &str)> = (1..).zip(text.lines()).skip(1).collect();
    for (encoding, bytes) in [("utf-16", utf16), ("utf-16be", big_endian), ("latin1", latin)] {
        let fixture = Fixture::new();
        fixture.write("a.CSV", &bytes);
        fixture.write("b.csv.ZST", zstd::encode_all(&bytes[..], 0).unwrap());
        let source = settings(json!({ "encoding": encoding, "split": 5000, "partitions": 4 }));
        let found = source.infer(fixture.folder.path(), None).await.unwrap().decode;
        assert_eq!(found.settings["columns"], json!([{ "id": "int64?" }, { "städte": "utf8?" }]), "{encoding}");
        let seen = read(&fixture, &*source, &found, 2).await.unwrap();
        assert_eq!(values(&seen), [&expected[..], &expected[..]].concat(), "{encoding}");
    }
    // What is not in the encoding is left for the decoder to refuse.
    let fixture = Fixture::new();
    fixture.write("a.csv", b"id,n\n1,\xca\xfd\n2,\xff\n");
    let source = settings(json!({ "encoding": "gbk" }));
    let mut open = source.open(&fixture.context(&csv(&["id", "n"]), (0, 1), true), false).await.unwrap();
    let Event::Assigned(partitions) = open.next(DEMAND).await.unwrap() else { panic!("they come first") };
    open.seek(&partitions.iter().map(|p| Position { partition: p.clone(), next: 0 }).collect::<Vec<_>>())
        .await
        .unwrap();
    let mut found = Vec::new();
    while found.len() < 2 {
        let Event::Records(chunk) = open.next(DEMAND).await.unwrap() else { panic!("there are two records") };
        found.extend((0..chunk.records.len()).map(|row| chunk.records.value(row).unwrap().trim_ascii().to_vec()));
    }
    assert_eq!(found[0], "1,数".as_bytes());
    assert!(std::str::from_utf8(&found[1]).is_err(), "{:?}", found[1]);
    // And a header that cannot be read says what would help.
    let fixture = Fixture::new();
    fixture.write("a.csv", b"id,\xca\xfd\n1,2\n");
    let error = infer(&fixture, json!({})).await.unwrap_err();
    assert!(error.message.contains("it is not in UTF-8") && error.remedy.contains("`encoding`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_one_however_it_is_written() {
    let fixture = Fixture::new();
    fixture.write("a.csv", "id\n1\n");
    let source = settings(json!({ "path": ["in/*.csv", "in/../in/a.csv", "./in//a.csv", "in"] }));
    assert_eq!(read(&fixture, &*source, &csv(&["id"]), 1).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_json_are_bad_records() {
    let decode = || json_of(json!([{ "id": "int64" }]));
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
    assert_eq!(seen.len(), 1, "read from its beginning, and not as a second file");
}
