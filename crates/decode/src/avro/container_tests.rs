//! Avro files that fastavro 1.12 wrote, and what hostile ones do.

use arrow::util::display::array_value_to_string;

use super::container::AvroFile;

/// By their codecs; all have the same thirty records.
const FILES: &[(&str, &[u8])] = &[
    ("null", include_bytes!("files/null.avro")),
    ("deflate", include_bytes!("files/deflate.avro")),
    ("snappy", include_bytes!("files/snappy.avro")),
    ("zstandard", include_bytes!("files/zstandard.avro")),
    ("bzip2", include_bytes!("files/bzip2.avro")),
    ("xz", include_bytes!("files/xz.avro")),
];

fn rows(bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut file = AvroFile::open(bytes).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    while let Some(batch) = file.next_rows().map_err(|error| error.to_string())? {
        assert_eq!(batch.schema(), file.schema());
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    Ok(rows)
}

#[test]
fn files_of_every_codec_are_read() {
    let expected = [
        "9007199254740993||PLAIN|-0.07|2024-02-29T12:00:00Z|1969-12-31|[]||00000000-0000-0000-0000-000000000000",
        "9007199254740994|0.25|RUSH|-0.02|2024-02-29T12:00:00.001Z|1970-01-01|[t0]|{city: Köln 1, zip: }|00000000-0000-0000-0000-000000000001",
        "9007199254740995|0.5|PLAIN|0.03|2024-02-29T12:00:00.002Z|1970-01-02|[t0, t1]|{city: Köln 2, zip: 2}|00000000-0000-0000-0000-000000000002",
    ];
    for (codec, bytes) in FILES {
        let rows = rows(bytes).unwrap_or_else(|error| panic!("{codec}: {error}"));
        assert_eq!((rows.len(), &rows[..3]), (30, &expected.map(str::to_string)[..]), "{codec}");
        assert!(rows[29].starts_with("9007199254741022|7.25|RUSH|1.38|"), "{codec}: {}", rows[29]);
    }
}

#[test]
fn files_that_are_cut_or_changed_are_told_and_never_give_other_rows() {
    for (codec, bytes) in FILES {
        let whole = rows(bytes).unwrap();
        // Each opens the file anew.
        for cut in (0..bytes.len()).step_by(29) {
            // Where a block ends, so may a file.
            if let Ok(rows) = rows(&bytes[..cut]) {
                assert_eq!(rows[..], whole[..rows.len()], "{codec}: {cut}");
            }
        }
        for at in (0..bytes.len()).step_by(31) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 0x55;
            // Of blocks that are not packed a value may be another one.
            let _ = rows(&changed);
        }
    }
    let says = |bytes: &[u8], what: &str| {
        let error = rows(bytes).unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    says(b"", "the file is cut off");
    says(b"id,name\n1,a\n", "begins with other bytes");
    says(b"Obj\x01\x02\x16avro.schema\xfe\xff\xff\xff\x0f", "larger than what it stands in");
    says(b"Obj\x01\x00aaaaaaaaaaaaaaaa", "no schema");
}

#[test]
fn blocks_that_claim_what_is_not_there_are_told() {
    let file = |schema: &str, block: &[u8]| {
        let mut bytes = b"Obj\x01\x02\x16avro.schema".to_vec();
        let length = schema.len() * 2;
        bytes.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
        bytes.extend(schema.as_bytes());
        bytes.extend(b"\x00................");
        bytes.extend(block);
        bytes.extend(b"................");
        rows(&bytes)
    };
    let long = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"},{"name":"some_longer_name","type":"long"}]}"#;
    assert_eq!(file(long, b"\x02\x04\x02\x04").unwrap(), ["1|2"]);
    for (block, says) in [
        (&b"\x04\x04\x02\x04"[..], "row 2 does not end within its block"),
        (b"\x02\x06\x02\x04\x06", "a block has more bytes than its records"),
        (b"\x00\x04\x02\x04", "a block has more bytes than its records"),
        (b"\x02\x00", "records without a byte"),
        (b"\x02\x01", "a block has no size"),
        (b"\x01\x02\x02", "a block has no size"),
        (b"\x02\xfe\xff\xff\xff\xff\x01", "the most that are read"),
        (b"\x02\x08\x02\x04", "cut off"),
    ] {
        let error = file(long, block).unwrap_err();
        assert!(error.contains(says), "{block:?}: {error}");
    }
    let nulls = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"null"},{"name":"some_longer_name_of_it","type":"null"}]}"#;
    assert!(file(nulls, b"\xfe\xff\xff\xff\xff\x3f\x00").is_err());
    let text = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"},{"name":"some_longer_name","type":"long"}]}"#;
    assert!(file(text, b"\x02\x06\x02\xff\x02").unwrap_err().contains("row 1"));
}
