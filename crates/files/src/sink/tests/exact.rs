//! What holds of files without faults, beside what every sink promises.

use foretell_flow::Fault;

use super::*;

pub(super) async fn opening_leaves_no_trace_and_rows_one_file_a_batch(place: TestFolder) {
    for case in CASES {
        let here = place.within(&format!("{case:?}"));
        let root = here.root.clone();
        let mut sink = open_with(case, place.storage.clone(), &root, "0").await.unwrap();
        assert!(place.storage.stat(&root).await.unwrap().is_none(), "{case:?}: opening leaves no trace");
        sink.claim(&claims(&[0])).await.unwrap();
        sink.write(&batch(&[range(0, 0, 10)])).await.unwrap();
        sink.write(&batch(&[range(0, 10, 12)])).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(in_view(case, &here).await.len(), if case.append() { 1 } else { 2 }, "{case:?}");
        assert_eq!(landed(case, &here).await, once(&[range(0, 0, 12)]), "{case:?}");
    }
}

pub(super) async fn a_batch_in_slices_is_one_file_and_nothing_of_it_lasts_without_its_write(place: TestFolder) {
    for case in [Case::CsvFiles, Case::JsonlFiles] {
        let here = place.within(&format!("{case:?}"));
        let mut sink = open(case, &here, "0").await;
        assert_eq!(sink.slice(&rows(&[range(0, 0, 2)])).await.unwrap_err().fault, Fault::Fenced);
        sink.claim(&claims(&[0, 1])).await.unwrap();
        sink.slice(&rows(&[range(0, 0, 3)])).await.unwrap();
        sink.slice(&rows(&[range(1, 0, 4)])).await.unwrap();
        assert!(in_view(case, &here).await.is_empty());
        // The write has rows of its own, too.
        let mut write = batch(&[range(0, 0, 7), range(1, 0, 4)]);
        write.rows = rows(&[range(0, 3, 7)]);
        sink.write(&write).await.unwrap();
        // A slice that a claim, or the end, made void.
        sink.slice(&rows(&[range(0, 7, 9)])).await.unwrap();
        let held = sink.claim(&claims(&[0, 1])).await.unwrap();
        assert_eq!((next_of(&held, 0), next_of(&held, 1)), (7, 4));
        sink.write(&batch(&[range(0, 7, 8)])).await.unwrap();
        sink.slice(&rows(&[range(0, 8, 9)])).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(landed(case, &here).await, once(&[range(0, 0, 8), range(1, 0, 4)]), "{case:?}");
        assert_eq!(in_view(case, &here).await.len(), 2);
    }
}

pub(super) async fn other_columns_stop_loudly(place: TestFolder) {
    for case in CASES {
        let here = place.within(&format!("{case:?}"));
        let mut sink = open(case, &here, "0").await;
        sink.claim(&claims(&[0])).await.unwrap();
        sink.close().await.unwrap();
        let mut other = context("0");
        other.schema = sample().schema();
        let path = format!("{}/{}", here.root, case.name());
        let error = case.settings().open_in(&other, place.storage.clone(), path).await.err().unwrap();
        assert_eq!(error.fault, Fault::State);
        assert!(error.message.contains("`part Int32, off Int64, text Utf8`"), "{error}");
        assert!(error.remedy.contains("_foretell"), "{error}");
    }
}

pub(super) async fn the_bytes_are_those_expected(place: TestFolder) {
    let mut sink = open(Case::CsvFiles, &place, "0").await;
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 2, 4)])).await.unwrap_err();
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 0, 1)])).await.unwrap();
    sink.close().await.unwrap();
    let [name] = &in_view(Case::CsvFiles, &place).await[..] else { panic!("one file") };
    assert!(name.starts_with("part-0000000002-") && name.ends_with(".csv"), "{name}");
    let text = place.storage.read(&format!("{}/out/{name}", place.root)).await.unwrap();
    assert_eq!(text, "part,off,text\n0,0,\"row, \"\"0\"\"/0\"\n");

    let mut sink = open(Case::CsvAppend, &place, "0").await;
    sink.claim(&claims(&[0])).await.unwrap();
    sink.write(&batch(&[range(0, 0, 1)])).await.unwrap();
    sink.write(&batch(&[range(0, 1, 2)])).await.unwrap();
    sink.close().await.unwrap();
    let text = place.storage.read(&format!("{}/utime", place.root)).await.unwrap();
    assert_eq!(text, "0,0,\"row, \"\"0\"\"/0\"\n0,1,\"row, \"\"0\"\"/1\"\n");
}

#[tokio::test]
async fn a_long_log_is_trimmed_and_a_sleeper_finds_its_number_gone() {
    let place = TestFolder::local();
    let mut sleeper = open(Case::CsvFiles, &place, "1").await;
    sleeper.claim(&claims(&[1])).await.unwrap();
    sleeper.write(&batch(&[range(1, 0, 2)])).await.unwrap();

    let mut sink = open(Case::CsvFiles, &place, "0").await;
    sink.claim(&claims(&[0, 1])).await.unwrap();
    for at in 0..300 {
        sink.write(&batch(&[range(0, at, at + 1)])).await.unwrap();
    }
    let log = format!("{}/out/_foretell/{}/{}/log", place.root, escape("mri / Köln"), escape("../out"));
    let segments: Vec<String> = place.storage.list(&log).await.unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(segments, ["000000000003", "000000000004"]);

    assert_eq!(sleeper.write(&batch(&[range(1, 2, 4)])).await.unwrap_err().fault, Fault::Fenced);
    assert_eq!(place.storage.list(&log).await.unwrap().len(), 2);

    let mut other = open(Case::CsvFiles, &place, "2").await;
    let held = other.claim(&claims(&[0, 1])).await.unwrap();
    assert_eq!((next_of(&held, 0), next_of(&held, 1)), (300, 2));
    assert_eq!(landed(Case::CsvFiles, &place).await, once(&[range(0, 0, 300), range(1, 0, 2)]));
}

pub(super) async fn an_appended_file_with_a_header_has_one(place: TestFolder) {
    let settings: Settings =
        settings_of(json!({ "path": "x", "format": "csv", "mode": "append", "header": true, "delimiter": ";" }))
            .unwrap();
    let path = format!("{}/utime.csv", place.root);
    for at in 0..3 {
        let opened = settings.open_in(&context("0"), place.storage.clone(), path.clone()).await;
        let mut sink = opened.unwrap().boxed();
        sink.claim(&claims(&[0])).await.unwrap();
        sink.write(&batch(&[range(0, at, at + 1)])).await.unwrap();
        sink.close().await.unwrap();
    }
    let text = place.storage.read(&path).await.unwrap();
    let expected = "part;off;text\n0;0;\"row, \"\"0\"\"/0\"\n0;1;\"row, \"\"0\"\"/1\"\n0;2;\"row, \"\"0\"\"/2\"\n";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn compressed_files_unpack_to_the_same_rows() {
    use std::io::Read;
    let place = TestFolder::local();
    for (compression, extension) in [("gzip", "csv.gz"), ("zstd", "csv.zst")] {
        let settings: Settings =
            settings_of(json!({ "path": "x", "format": "csv", "compression": compression })).unwrap();
        let folder = format!("{}/{compression}", place.root);
        let opened = settings.open_in(&context("0"), place.storage.clone(), folder.clone()).await;
        let mut sink = opened.unwrap().boxed();
        sink.claim(&claims(&[0])).await.unwrap();
        sink.write(&batch(&[range(0, 0, 1)])).await.unwrap();
        let entries = place.storage.list(&folder).await.unwrap();
        let name = entries.iter().map(|e| &e.name).find(|name| name.ends_with(extension)).unwrap();
        let bytes = place.storage.read(&format!("{folder}/{name}")).await.unwrap();
        let mut text = String::new();
        match compression {
            "gzip" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            _ => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        };
        assert_eq!(text, "part,off,text\n0,0,\"row, \"\"0\"\"/0\"\n");
    }
}

#[tokio::test]
async fn dead_letters_are_rows_like_others() {
    use foretell_flow::{BadRecord, Header, RecordsBuilder, dead_letters};
    let mut records = RecordsBuilder::new("Pdata".into());
    let header = Header { key: "trace".into(), value: Some(b"1".to_vec()) };
    records.push(0, 7, Some(1_568_160_000_000), None, Some(b"12,x"), vec![header]);
    let bad = [BadRecord { row: 0, stage: "decode csv".into(), reason: "field 2: not an int64".into() }];
    let (rows, _) = dead_letters(&records.finish(), &bad);

    let place = TestFolder::local();
    let mut dead = context("0");
    dead.schema = rows.schema();
    dead.input = SinkInput::DeadLetters;
    let expected = [
        (
            Case::CsvFiles,
            "topic,partition,offset,timestamp,stage,reason,key,value,value_size,headers\n\
             Pdata,0,7,2019-09-11T00:00:00Z,decode csv,field 2: not an int64,,\"12,x\",4,\
             \"[{\"\"key\"\":\"\"trace\"\",\"\"value\"\":\"\"1\"\"}]\"\n",
        ),
        (
            Case::JsonlFiles,
            "{\"topic\":\"Pdata\",\"partition\":0,\"offset\":7,\"timestamp\":\"2019-09-11T00:00:00Z\",\
             \"stage\":\"decode csv\",\"reason\":\"field 2: not an int64\",\"key\":null,\"value\":\"12,x\",\
             \"value_size\":4,\"headers\":[{\"key\":\"trace\",\"value\":\"1\"}]}\n",
        ),
    ];
    for (case, text) in expected {
        let folder = format!("{}/{case:?}", place.root);
        let opened = case.settings().open_in(&dead, place.storage.clone(), folder.clone()).await;
        let mut sink = opened.unwrap().boxed();
        sink.claim(&claims(&[0])).await.unwrap();
        let mut write = batch(&[range(0, 0, 8)]);
        write.rows = rows.clone();
        sink.write(&write).await.unwrap();
        let entries = place.storage.list(&folder).await.unwrap();
        let name = entries.iter().map(|e| &e.name).find(|name| name.starts_with("part-")).unwrap();
        assert_eq!(place.storage.read(&format!("{folder}/{name}")).await.unwrap(), text);
    }
}

on_each_storage!(
    opening_leaves_no_trace_and_rows_one_file_a_batch,
    a_batch_in_slices_is_one_file_and_nothing_of_it_lasts_without_its_write,
    other_columns_stop_loudly,
    the_bytes_are_those_expected,
    an_appended_file_with_a_header_has_one,
);
