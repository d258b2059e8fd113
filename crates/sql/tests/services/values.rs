//! What arrives in the tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt16Array, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use foretell_flow::{BadRecord, Header, RecordsBuilder, dead_letters};
use serde_json::json;

use crate::target::{Server, TIME, Target, batch, claim, context, parse, write};

/// By server: MariaDB, PostgreSQL, SQLite.
fn by<T>(target: &Target, mariadb: T, postgres: T, sqlite: T) -> T {
    match target.server {
        Server::MariaDb => mariadb,
        Server::Postgres => postgres,
        Server::Sqlite => sqlite,
    }
}

/// Writes one batch from a fresh start; how many rows were refused.
async fn put(target: &Target, rows: &RecordBatch, more: serde_json::Value) -> u64 {
    let mut sink = target.open(&rows.schema(), more).await.unwrap();
    let from = sink.claim(&[claim(0, 0)]).await.unwrap()[0].next;
    let to = from + rows.num_rows() as i64;
    sink.write(&write(0, from, to, rows.clone())).await.unwrap().rejected
}

pub async fn types_round_trip(target: &mut Target) {
    let ddl = by(
        target,
        "CREATE TABLE result (i8 TINYINT, u16 SMALLINT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED, f32 FLOAT, \
         f64 DOUBLE, f32wide DOUBLE, price DECIMAL(10,2), dec1 DECIMAL(20,4), t TEXT, v VARCHAR(40), lv TEXT, d TEXT, \
         b BOOLEAN, day DATE, bin BLOB, list JSON, obj TEXT, whole DECIMAL(20,0), flag BIT(1)) ENGINE=InnoDB",
        "CREATE TABLE result (i8 SMALLINT, u16 INTEGER, i64 BIGINT, u64 NUMERIC, f32 REAL, \
         f64 DOUBLE PRECISION, f32wide DOUBLE PRECISION, price NUMERIC(10,2), dec1 NUMERIC(20,4), t TEXT, \
         v VARCHAR(40), lv TEXT, d TEXT, b BOOLEAN, day DATE, bin BYTEA, list JSONB, obj TEXT, whole NUMERIC, \
         flag BOOLEAN)",
        "CREATE TABLE result (i8 INTEGER, u16 INTEGER, i64 BIGINT, u64 NUMERIC, f32 REAL, f64 REAL, f32wide REAL, \
         price DECIMAL(10,2), dec1 DECIMAL(20,4), t TEXT, v VARCHAR(40), lv TEXT, d TEXT, b BOOLEAN, day DATE, \
         bin BLOB, list JSON, obj TEXT, whole NUMERIC, flag BOOLEAN)",
    );
    target.run(ddl).await;
    let dictionary: DictionaryArray<Int32Type> = vec![Some("CT"), None].into_iter().collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(3)]), None]);
    let object = StructArray::from(vec![(
        Arc::new(Field::new("p", arrow::datatypes::DataType::Float64, true)),
        Arc::new(Float64Array::from(vec![Some(0.25), None])) as ArrayRef,
    )]);
    let rows = batch(vec![
        ("i8", Arc::new(Int8Array::from(vec![Some(-128), None]))),
        ("u16", Arc::new(UInt16Array::from(vec![Some(65_535), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
        (
            "u64",
            Arc::new(UInt64Array::from(vec![Some(if target.server == Server::Sqlite { 7 } else { u64::MAX }), None])),
        ),
        ("f32", Arc::new(Float32Array::from(vec![Some(1234.5678_f32), None]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), None]))),
        ("f32wide", Arc::new(Float32Array::from(vec![Some(0.1_f32), None]))),
        ("price", Arc::new(Float32Array::from(vec![Some(19.99_f32), None]))),
        (
            "dec1",
            Arc::new(Decimal128Array::from(vec![Some(-12_345_678), None]).with_precision_and_scale(20, 4).unwrap()),
        ),
        ("t", Arc::new(StringArray::from(vec![Some("naïve ☃ 'quoted' \\ \"x\""), None]))),
        ("v", Arc::new(StringViewArray::from(vec![Some("a view of more than twelve bytes"), None]))),
        ("lv", Arc::new(LargeStringArray::from(vec![Some(""), None]))),
        ("d", Arc::new(dictionary)),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_781), None]))),
        ("bin", Arc::new(BinaryArray::from(vec![Some(&b"AB"[..]), None]))),
        ("list", Arc::new(lists)),
        ("obj", Arc::new(object)),
        ("whole", Arc::new(Int64Array::from(vec![Some(-5), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(false), None]))),
    ]);
    assert_eq!(put(target, &rows, json!({})).await, 0);

    let plain = ["i8", "u16", "i64", "f64", "dec1", "t", "v", "lv", "d", "day", "obj", "whole", "price"];
    let dec1 = "-1234.5678";
    let expected = format!(
        "-128|65535|{}|0.30000000000000004|{dec1}|naïve ☃ 'quoted' \\ \"x\"|a view of more than twelve bytes||CT|\
         2026-11-24|{{\"p\":0.25}}|-5|19.99",
        i64::MIN
    );
    let got = target.rows(&plain, "result").await;
    // SQLite's own text of a double has 15 digits.
    let expected =
        if target.server == Server::Sqlite { expected.replace("0.30000000000000004", "0.3") } else { expected };
    assert_eq!(got[0], expected);
    assert_eq!(got[1], format!("{}|{{\"p\":null}}|NULL|NULL", ["NULL"; 10].join("|")));
    assert_eq!(target.rows(&["b"], "result").await[0], by(target, "1", "true", "1"));
    let u64 = target.rows(&["u64"], "result").await;
    assert_eq!(u64[0], by(target, "18446744073709551615", "18446744073709551615", "7"));
    assert_eq!(target.rows(&["list"], "result").await[0].replace(' ', ""), "[1,null,3]");
    // Bits, which a server's text does not show.
    for check in by(
        target,
        ["f32 = CAST(1234.5678 AS FLOAT)", "f32wide = 0.10000000149011612e0", "HEX(bin) = '4142'", "flag = 0"],
        ["f32 = 1234.5678::real", "f32wide = 0.1::real::float8", "bin = '\\x4142'", "NOT flag"],
        ["f32 = 1234.5677490234375", "f64 = 0.1 + 0.2", "hex(bin) = '4142'", "flag = 0"],
    ) {
        assert_eq!(target.count(&format!("result WHERE {check}")).await, 1, "{check}");
    }
    assert_eq!(target.count("foretell_rejected").await, 0);
}

pub async fn text_is_read_by_the_database(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (n INT, f DOUBLE, c DECIMAL(6,2), day DATE, at DATETIME, kind ENUM('CT','MR')) \
         ENGINE=InnoDB",
            "CREATE TYPE kind AS ENUM ('CT', 'MR'); CREATE TABLE result (n INT, f FLOAT8, c NUMERIC(6,2), day DATE, \
         at TIMESTAMP, kind kind)",
            "CREATE TABLE result (n INT, f REAL, c DECIMAL(6,2), day DATE, at TIMESTAMP, \
         kind TEXT CHECK (kind IN ('CT', 'MR')))",
        ))
        .await;
    let column = |values: [&str; 4]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let rows = batch(vec![
        ("n", column(["12", "twelve", "13", "14"])),
        ("f", column(["0.5", "1", "half", "2.5"])),
        ("c", column(["1.25", "1", "1", "3"])),
        ("day", column(["2026-11-24"; 4])),
        ("at", column(["2026-11-24 01:02:03"; 4])),
        ("kind", column(["CT", "MR", "MR", "US"])),
    ]);
    assert_eq!(put(target, &rows, json!({})).await, 3);
    let got = target.rows(&["n", "f", "c", "day", "at", "kind"], "result").await;
    assert_eq!(got, ["12|0.5|1.25|2026-11-24|2026-11-24 01:02:03|CT"]);
    let reasons = target.rows(&["reason"], "foretell_rejected ORDER BY 1").await.join("\n");
    for value in ["twelve", "half", "US"] {
        assert!(!reasons.contains(value), "{reasons}");
    }
    assert_eq!(target.rows(&["offset"], "foretell_rejected ORDER BY 1").await, ["1", "2", "3"]);
}

pub async fn times_are_local_where_a_type_has_no_zone(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (`Time` DATETIME, fine DATETIME(6), moment TIMESTAMP(3) NULL, words VARCHAR(40)) \
         ENGINE=InnoDB",
            "CREATE TABLE result (\"Time\" TIMESTAMP(0), fine TIMESTAMP, moment TIMESTAMPTZ(3), words TEXT)",
            "CREATE TABLE result (\"Time\" TEXT, fine TIMESTAMP, moment DATETIME, words VARCHAR(40))",
        ))
        .await;
    let nanos = Arc::new(TimestampNanosecondArray::from(vec![Some(TIME * 1000 + 999), None]).with_timezone("+00:00"));
    let millis = Arc::new(TimestampMillisecondArray::from(vec![Some(TIME / 1000), Some(1_719_792_000_000)]));
    let rows = batch(vec![
        ("Time", nanos.clone() as ArrayRef),
        ("fine", nanos.clone()),
        ("moment", millis.clone()),
        ("words", millis),
    ]);
    let mut context = context(&rows.schema());
    context.timezone = Some("Europe/Berlin".into());
    let mut sink = parse(target.settings(json!({}))).open(&context).await.unwrap();
    sink.claim(&[claim(0, 0)]).await.unwrap();
    sink.write(&write(0, 0, 2, rows.clone())).await.unwrap();
    if target.server != Server::Sqlite {
        target.run(by(target, "SET time_zone = '+00:00'", "SET TimeZone = 'UTC'", "")).await;
    }
    let got = target.rows(&["Time", "fine", "moment", "words"], "result").await;
    assert_eq!(
        got,
        by(
            target,
            [
                "2026-11-24 13:39:14|2026-11-24 13:39:14.123456|2026-11-24 12:39:14.123|2026-11-24 13:39:14.123",
                "NULL|NULL|2024-07-01 00:00:00.000|2024-07-01 02:00:00",
            ],
            [
                "2026-11-24 13:39:14|2026-11-24 13:39:14.123456|2026-11-24 12:39:14.123+00|2026-11-24 13:39:14.123",
                "NULL|NULL|2024-07-01 00:00:00+00|2024-07-01 02:00:00",
            ],
            [
                "2026-11-24 13:39:14.123456999|2026-11-24 13:39:14.123456|2026-11-24 13:39:14.123|\
                 2026-11-24 13:39:14.123",
                "NULL|NULL|2024-07-01 02:00:00|2024-07-01 02:00:00",
            ],
        )
    );
    context.timezone = Some("Europe/Bärlin".into());
    let error = parse(target.settings(json!({}))).open(&context).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "`timezone`: `Europe/Bärlin` is not known; write an IANA name such as `Asia/Shanghai`"
    );
}

pub async fn not_a_number(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (f DOUBLE) ENGINE=InnoDB",
            "CREATE TABLE result (f DOUBLE PRECISION)",
            "CREATE TABLE result (f REAL)",
        ))
        .await;
    let values = Float64Array::from(vec![1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2.5]);
    let rows = batch(vec![("f", Arc::new(values))]);
    assert_eq!(put(target, &rows, json!({})).await, by(target, 3, 0, 1));
    let expected: &[&str] =
        by(target, &["1.5", "2.5"], &["1.5", "NaN", "Infinity", "-Infinity", "2.5"], &["1.5", "Inf", "-Inf", "2.5"]);
    assert_eq!(target.rows(&["f"], "result").await, expected);
    if target.server != Server::Postgres {
        let reason = &target.rows(&["reason"], "foretell_rejected").await[0];
        assert_eq!(reason, "column `f`: NaN, which this database does not have");
    }
}

pub async fn upsert_replaces_and_the_last_row_wins(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (pno VARCHAR(20) PRIMARY KEY, n INT) ENGINE=InnoDB",
            "CREATE TABLE result (pno VARCHAR(20) PRIMARY KEY, n INT)",
            "CREATE TABLE result (pno VARCHAR(20) PRIMARY KEY, n INT)",
        ))
        .await;
    let rows = |keys: &[&str], numbers: &[i64]| {
        let keys = StringArray::from(keys.to_vec());
        batch(vec![("pno", Arc::new(keys)), ("n", Arc::new(Int64Array::from(numbers.to_vec())))])
    };
    let upsert = json!({ "mode": "upsert", "key": ["pno"] });
    assert_eq!(put(target, &rows(&["a", "b", "a", "c", "a"], &[1, 2, 3, 4, 5]), upsert.clone()).await, 0);
    assert_eq!(target.rows(&["pno", "n"], "result ORDER BY 1").await, ["a|5", "b|2", "c|4"]);
    assert_eq!(put(target, &rows(&["c", "d", "b"], &[40, 50, 20]), upsert).await, 0);
    assert_eq!(target.rows(&["pno", "n"], "result ORDER BY 1").await, ["a|5", "b|20", "c|40", "d|50"]);
    // Without it, a key that is there already is a refused row.
    assert_eq!(put(target, &rows(&["d", "e"], &[1, 1]), json!({})).await, 1);
    assert_eq!(target.rows(&["pno", "n"], "result ORDER BY 1").await, ["a|5", "b|20", "c|40", "d|50", "e|1"]);
}

pub async fn rows_are_deleted_by_their_key(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (a VARCHAR(20), b INT, n INT NOT NULL, PRIMARY KEY (a, b)) ENGINE=InnoDB",
            "CREATE TABLE result (a VARCHAR(20), b INT, n INT NOT NULL, PRIMARY KEY (a, b))",
            "CREATE TABLE result (a VARCHAR(20), b INT, n INT NOT NULL, PRIMARY KEY (a, b))",
        ))
        .await;
    type Row<'a> = (Option<&'a str>, i64, Option<i64>, Option<bool>);
    let rows = |rows: &[Row<'_>]| {
        batch(vec![
            ("a", Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>())),
            ("b", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>())),
            ("_deleted", Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>())),
            ("n", Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>())),
        ])
    };
    let settings = json!({ "mode": "upsert", "key": ["b", "a"], "delete": "_deleted" });
    let (put_it, delete) = (Some(false), Some(true));
    let first = rows(&[
        (Some("x"), 1, Some(1), put_it),
        (Some("y"), 1, Some(2), None),
        (Some("z"), 1, Some(3), put_it),
        (Some("z"), 1, None, delete),
    ]);
    assert_eq!(put(target, &first, settings.clone()).await, 0);
    assert_eq!(target.rows(&["a", "b", "n"], "result ORDER BY 1").await, ["x|1|1", "y|1|2"]);
    // What was deleted may come again, one that is not there is no matter, and a key of NULL finds nothing.
    let second = rows(&[
        (Some("x"), 1, None, delete),
        (Some("none"), 1, None, delete),
        (Some("y"), 1, None, delete),
        (Some("y"), 1, Some(20), put_it),
        (None, 1, None, delete),
    ]);
    assert_eq!(put(target, &second, settings.clone()).await, 1);
    assert_eq!(target.rows(&["a", "b", "n"], "result ORDER BY 1").await, ["y|1|20"]);
    let many: Vec<_> = (0..1000).map(|b| (Some("m"), b, Some(b), put_it)).collect();
    assert_eq!(put(target, &rows(&many), settings.clone()).await, 0);
    let many: Vec<_> = (0..1000).map(|b| (Some("m"), b, None, delete)).collect();
    assert_eq!(put(target, &rows(&many), settings.clone()).await, 0);
    assert_eq!(target.rows(&["a", "b", "n"], "result ORDER BY 1").await, ["y|1|20"]);
    for (wrong, says) in [
        (json!({ "delete": "_deleted" }), "`delete` means nothing without `mode: upsert`"),
        (json!({ "mode": "upsert", "key": ["a", "b"], "delete": "gone" }), "has no column `gone`"),
        (json!({ "mode": "upsert", "key": ["a", "b"], "delete": "n" }), "is Int64, not a bool"),
    ] {
        let error = target.open(&second.schema(), wrong).await.err().unwrap();
        assert!(error.message.contains(says), "{error}");
    }
}

pub async fn a_table_is_created(target: &mut Target) {
    let rows = batch(vec![
        ("PNO", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("PRETIME", Arc::new(Int64Array::from(vec![1, 2]))),
        ("score", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
        ("Time", Arc::new(TimestampNanosecondArray::from(vec![TIME * 1000; 2]).with_timezone("UTC"))),
        ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
        ("id", Arc::new(UInt64Array::from(vec![1, 2]))),
    ]);
    let mut settings = json!({ "create": true, "mode": "upsert", "key": ["PNO"] });
    if target.server == Server::Sqlite {
        settings["url"] = json!(format!("{}.new", target.url));
    }
    assert_eq!(put(target, &rows, settings.clone()).await, 0);
    assert_eq!(put(target, &rows, settings.clone()).await, 0);
    if target.server == Server::Sqlite {
        target.run(&format!("ATTACH '{}.new' AS fresh", target.url.trim_start_matches("sqlite://"))).await;
    }
    let table = by(target, "result", "result", "fresh.result");
    let got = target.rows(&["PNO", "PRETIME", "score", "Time"], &format!("{table} ORDER BY 1")).await;
    assert_eq!(got, ["a|1|0.5|2026-11-24 12:39:14.123456", "b|2|1.5|2026-11-24 12:39:14.123456"]);
}

pub async fn case_differs(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (pno INT, `Time` INT) ENGINE=InnoDB",
            "CREATE TABLE result (pno INT, \"Time\" INT, \"TIME\" INT)",
            "CREATE TABLE result (pno INT, \"Time\" INT)",
        ))
        .await;
    let rows = batch(vec![("PNO", Arc::new(Int64Array::from(vec![1]))), ("Time", Arc::new(Int64Array::from(vec![2])))]);
    assert_eq!(put(target, &rows, json!({})).await, 0);
    assert_eq!(target.rows(&["pno", "Time"], "result").await, ["1|2"]);
    if target.server == Server::Postgres {
        let rows = batch(vec![("time", Arc::new(Int64Array::from(vec![1])))]);
        let error = target.open(&rows.schema(), json!({})).await.err().unwrap();
        assert!(error.message.contains("could be `Time` or `TIME`"), "{error}");
    }
}

pub async fn large_batches(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (a BIGINT, b DOUBLE, c VARCHAR(20)) ENGINE=InnoDB",
            "CREATE TABLE result (a BIGINT, b DOUBLE PRECISION, c VARCHAR(20))",
            "CREATE TABLE result (a BIGINT, b REAL, c VARCHAR(20))",
        ))
        .await;
    let count = 33_333_i64;
    let rows = batch(vec![
        ("a", Arc::new(Int64Array::from_iter_values(0..count))),
        ("b", Arc::new(Float64Array::from_iter_values((0..count).map(|i| i as f64 / 4.0)))),
        ("c", Arc::new((0..count).map(|i| Some(format!("row {i}"))).collect::<StringArray>())),
    ]);
    assert_eq!(put(target, &rows, json!({})).await, 0);
    let check = "result WHERE b = a / 4.0 AND a BETWEEN 0 AND 33332";
    assert_eq!(target.count(check).await, count as usize);
    let distinct = target.rows(&["n"], "(SELECT COUNT(DISTINCT c) AS n FROM result) AS counted").await;
    assert_eq!(distinct, ["33333"]);
}

/// A server takes many rows another way than few.
pub async fn many_rows_are_what_few_are(target: &mut Target) {
    const ROWS: usize = 3000;
    for table in ["result", "few"] {
        let columns = by(
            target,
            "i BIGINT, f FLOAT, d DOUBLE, b BOOLEAN, t TEXT, v VARCHAR(40), bin BLOB, day DATE, at DATETIME(6), \
             z TIMESTAMP(6) NULL, short INT",
            "i BIGINT, f REAL, d DOUBLE PRECISION, b BOOLEAN, t TEXT, v VARCHAR(40), bin BYTEA, day DATE, \
             at TIMESTAMP(3), z TIMESTAMPTZ, short BIGINT",
            "i INTEGER, f REAL, d REAL, b BOOLEAN, t TEXT, v VARCHAR(40), bin BLOB, day DATE, at DATETIME, \
             z DATETIME, short INTEGER",
        );
        target.run(&format!("CREATE TABLE {table} ({columns})")).await;
    }
    if target.server == Server::Postgres {
        // Which way was taken: otherwise the same would be compared with itself.
        target.run("CREATE TABLE ways (way TEXT)").await;
        let note = "BEGIN INSERT INTO ways VALUES (TG_TABLE_NAME || ' ' || left(current_query(), 4)); RETURN NULL; END";
        target.run(&format!("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $${note}$$")).await;
        for table in ["result", "few"] {
            target.run(&format!("CREATE TRIGGER note AFTER INSERT ON {table} EXECUTE FUNCTION note()")).await;
        }
    }
    // Each column has gaps of its own.
    let some = |row: usize, every: usize| !row.is_multiple_of(every);
    let number = |row: usize| (row as i64).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let all = |every: usize| (0..ROWS).map(move |row| some(row, every).then_some(row));
    let texts = ["", "naïve ☃", "tab\tand\nline", "\\N", "NULL", "'quoted' \"x\"", "blank "];
    let text = |row: usize| texts.get(row % texts.len()).map(ToString::to_string);
    let zone = "+00:00";
    let rows = batch(vec![
        ("i", Arc::new(all(3).map(|row| row.map(number)).collect::<Int64Array>())),
        ("f", Arc::new(all(5).map(|row| row.map(|row| number(row) as f32 / 3.0)).collect::<Float32Array>())),
        ("d", Arc::new(all(7).map(|row| row.map(|row| number(row) as f64 / 3.0)).collect::<Float64Array>())),
        ("b", Arc::new(all(2).map(|row| row.map(|row| row % 3 == 0)).collect::<BooleanArray>())),
        ("t", Arc::new(all(11).map(|row| row.and_then(text)).collect::<StringArray>())),
        ("v", Arc::new(all(13).map(|row| row.map(|row| format!("row {row}"))).collect::<StringArray>())),
        ("bin", Arc::new(all(4).map(|row| row.map(|row| number(row).to_le_bytes())).collect::<BinaryArray>())),
        ("day", Arc::new(all(6).map(|row| row.map(|row| row as i32)).collect::<Date32Array>())),
        ("at", Arc::new(all(9).map(|row| row.map(|row| TIME + row as i64)).collect::<TimestampMicrosecondArray>())),
        (
            "z",
            Arc::new(
                all(8)
                    .map(|row| row.map(|row| TIME - row as i64))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone(zone),
            ),
        ),
        ("short", Arc::new(all(10).map(|row| row.map(|row| row as i64)).collect::<Int64Array>())),
    ]);
    assert_eq!(put(target, &rows, json!({})).await, 0);
    for from in (0..ROWS).step_by(100) {
        assert_eq!(put(target, &rows.slice(from, 100), json!({ "table": "few" })).await, 0);
    }
    assert_eq!(target.count("result").await, ROWS);
    assert_eq!(target.count("few").await, ROWS);
    for (one, other) in [("result", "few"), ("few", "result")] {
        let apart = format!("(SELECT * FROM {one} EXCEPT SELECT * FROM {other}) AS apart");
        assert_eq!(target.count(&apart).await, 0, "{one}");
    }
    assert_eq!(target.count("result WHERE i IS NULL").await, ROWS / 3);
    if target.server == Server::Postgres {
        let ways = target.rows(&["way"], "(SELECT DISTINCT way FROM ways) AS ways ORDER BY 1").await;
        assert_eq!(ways, ["few INSE", "result COPY"]);
    }
}

pub async fn long_rows(target: &mut Target) {
    target
        .run(by(
            target,
            "CREATE TABLE result (n INT, t LONGTEXT) ENGINE=InnoDB",
            "CREATE TABLE result (n INT, t TEXT)",
            "CREATE TABLE result (n INT, t TEXT)",
        ))
        .await;
    let text: StringArray = (0..40).map(|_| Some("x".repeat(1 << 20))).collect();
    let rows = batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..40))), ("t", Arc::new(text))]);
    assert_eq!(put(target, &rows, json!({})).await, 0);
    assert_eq!(target.count("result").await, 40);
    let schema = Schema::new(vec![Field::new("n", arrow::datatypes::DataType::Int64, true)]);
    assert_eq!(put(target, &RecordBatch::new_empty(Arc::new(schema)), json!({})).await, 0);
}

pub async fn dead_letters_have_a_table(target: &mut Target) {
    let mut builder = RecordsBuilder::new("Pdata".into());
    let header = Header { key: "trace".into(), value: Some(b"7".to_vec()) };
    builder.push(0, 41, Some(TIME / 1000), Some(b"key"), Some(b"\xffnot, text"), vec![header]);
    builder.push(0, 42, None, None, None, Vec::new());
    let bad: Vec<BadRecord> =
        (0..2).map(|row| BadRecord { row, stage: "decode csv".into(), reason: "field 2 (AGE)".into() }).collect();
    let (rows, _) = dead_letters(&builder.finish(), &bad);
    assert_eq!(put(target, &rows, json!({ "create": true })).await, 0);
    let got = target.rows(&["topic", "offset", "stage", "reason", "value_size"], "result ORDER BY 2").await;
    assert_eq!(got, ["Pdata|41|decode csv|field 2 (AGE)|10", "Pdata|42|decode csv|field 2 (AGE)|NULL"]);
    let hex = by(target, "HEX(`value`)", "upper(encode(value, 'hex'))", "hex(value)");
    assert_eq!(target.count(&format!("result WHERE {hex} = 'FF6E6F742C2074657874'")).await, 1);
}
