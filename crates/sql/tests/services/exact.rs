//! A value is stored as it is, or its row is refused: each type into each common kind of column.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    StringArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use serde_json::json;

use crate::target::{Server, Target, batch, claim, write};

/// What a column becomes: the text of each value, or nothing where the row is refused.
type Stored<'a> = &'a [Option<&'a str>];

/// Writes one column into a table of one column and looks.
async fn check(target: &mut Target, column: &str, values: ArrayRef, expected: Stored<'_>) {
    let context = format!("{:?}: {} into {column}", target.server, values.data_type());
    target.run("DROP TABLE IF EXISTS result").await;
    target.run(&format!("CREATE TABLE result (n INT, v {column})")).await;
    let numbers = Int32Array::from_iter_values((0..).take(values.len()));
    let rows = batch(vec![("n", Arc::new(numbers) as ArrayRef), ("v", values)]);
    let mut sink = target.open(&rows.schema(), json!({})).await.unwrap_or_else(|error| panic!("{context}: {error}"));
    let from = sink.claim(&[claim(0, 0)]).await.unwrap()[0].next;
    let to = from + rows.num_rows() as i64;
    let written = sink.write(&write(0, from, to, rows)).await.unwrap_or_else(|error| panic!("{context}: {error}"));
    let stored: Vec<String> =
        expected.iter().enumerate().filter_map(|(row, value)| value.map(|value| format!("{row}|{value}"))).collect();
    assert_eq!(target.rows(&["n", "v"], "result ORDER BY n").await, stored, "{context}");
    assert_eq!(written.rejected as usize, expected.len() - stored.len(), "{context}");
    let kept = target.count(&format!("foretell_rejected WHERE {}", offsets(target, from, to))).await;
    assert_eq!(kept, written.rejected as usize, "{context}");
}

fn offsets(target: &Target, from: i64, to: i64) -> String {
    let q = if target.server == Server::MariaDb { '`' } else { '"' };
    format!("{q}offset{q} >= {from} AND {q}offset{q} < {to}")
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn unsigned(values: &[u64]) -> ArrayRef {
    Arc::new(UInt64Array::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn decimals(precision: u8, scale: i8, values: &[i128]) -> ArrayRef {
    Arc::new(Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap())
}

/// By server: MariaDB, PostgreSQL, SQLite.
fn by<T>(target: &Target, mariadb: T, postgres: T, sqlite: T) -> T {
    match target.server {
        Server::MariaDb => mariadb,
        Server::Postgres => postgres,
        Server::Sqlite => sqlite,
    }
}

pub async fn whole_numbers(target: &mut Target) {
    let most = i64::MAX.to_string();
    let beyond = u64::MAX.to_string();
    check(target, "BIGINT", ints(&[i64::MAX, 0, -1]), &[Some(&most), Some("0"), Some("-1")]).await;
    check(target, "BIGINT", unsigned(&[u64::MAX, 5]), &[None, Some("5")]).await;
    check(
        target,
        "BIGINT",
        texts(&["12", "12.0", "1e3", "", "x", "9223372036854775808"]),
        &[Some("12"), None, None, None, None, None],
    )
    .await;
    check(target, "BIGINT", decimals(38, 0, &[7, i128::from(i64::MAX) + 1]), &[Some("7"), None]).await;
    check(target, "INT", Arc::new(BooleanArray::from(vec![true, false])), &[Some("1"), Some("0")]).await;
    // As text there is no limit.
    check(target, "VARCHAR(40)", unsigned(&[u64::MAX]), &[Some(&beyond)]).await;
    if target.server != Server::Sqlite {
        check(target, "INT", ints(&[2_147_483_647, 2_147_483_648]), &[Some("2147483647"), None]).await;
        check(target, "NUMERIC(20,0)", unsigned(&[u64::MAX]), &[Some(&beyond)]).await;
    }
    if target.server == Server::MariaDb {
        check(target, "BIGINT UNSIGNED", ints(&[-1, 1]), &[None, Some("1")]).await;
        check(target, "BIGINT UNSIGNED", unsigned(&[u64::MAX]), &[Some(&beyond)]).await;
        check(target, "BIT(4)", ints(&[16]), &[None]).await;
        check(target, "YEAR", ints(&[2026, 26, 99, 0, 1900]), &[Some("2026"), None, None, Some("0000"), None]).await;
    }
}

pub async fn numbers_in_columns_of_floats(target: &mut Target) {
    let double = by(target, "DOUBLE", "DOUBLE PRECISION", "REAL");
    let whole = by(target, "9.007199254740992e15", "9.007199254740992e+15", "9.00719925474099e+15");
    check(target, double, ints(&[1 << 53, (1 << 53) + 1]), &[Some(whole), None]).await;
    check(target, double, unsigned(&[u64::MAX]), &[None]).await;
    let wide = decimals(20, 2, &[10, 12_345_678_901_234_567_812]);
    check(target, double, wide, &[Some("0.1"), None]).await;
    let text = texts(&["0.1", " 2.5 ", "9007199254740993", "1e400", "1e-400", "half", ""]);
    check(target, double, text, &[Some("0.1"), Some("2.5"), None, None, None, None, None]).await;
    if target.server != Server::Sqlite {
        let single = by(target, "FLOAT", "REAL", "");
        check(
            target,
            single,
            ints(&[1 << 20, (1 << 24) + 1]),
            &[Some(by(target, "1048580", "1.048576e+06", "")), None],
        )
        .await;
        check(target, single, decimals(10, 2, &[25, 1_677_721_701]), &[Some("0.25"), None]).await;
        // A float is kept as finely as its column keeps one, and must not leave its range.
        check(target, single, floats(&[0.1, 1e300]), &[Some("0.1"), None]).await;
    }
}

pub async fn numbers_in_columns_of_decimals(target: &mut Target) {
    if target.server == Server::Sqlite {
        // It keeps whole numbers of 64 bits and doubles.
        let most = i64::MAX.to_string();
        check(target, "NUMERIC", unsigned(&[u64::MAX, i64::MAX as u64]), &[None, Some(&most)]).await;
        let digits = decimals(38, 3, &[1_250, 12_345_678_901_234_567_890_123]);
        check(target, "DECIMAL(30,3)", digits, &[Some("1.25"), None]).await;
        let text = texts(&["1.10", "18446744073709551615", "0.1234567890123456789", "x"]);
        check(target, "NUMERIC", text, &[Some("1.1"), None, None, None]).await;
        check(target, "NUMERIC", floats(&[0.5, f64::INFINITY]), &[Some("0.5"), Some("Inf")]).await;
        return;
    }
    // What has exact digits keeps them all; a float is rounded to the column's, as the database does it.
    let column = "NUMERIC(10,2)";
    check(target, column, decimals(10, 3, &[1_250, 1_255, -1_000]), &[Some("1.25"), None, Some("-1.00")]).await;
    check(
        target,
        column,
        texts(&["1.2", "1.255", "1e-1", "1.50000", "x"]),
        &[Some("1.20"), None, Some("0.10"), Some("1.50"), None],
    )
    .await;
    check(target, column, floats(&[1.005, 0.1 + 0.2, 1e9, -0.001]), &[Some("1.01"), Some("0.30"), None, Some("0.00")])
        .await;
    check(target, column, Arc::new(Float32Array::from(vec![19.99, 2.675])), &[Some("19.99"), Some("2.68")]).await;
    check(target, column, ints(&[7, 1_000_000_000]), &[Some("7.00"), None]).await;
    let wide = decimals(38, 10, &[12_345_678_901_234_567_890_123_456_789_012_345_678]);
    check(target, "NUMERIC(38,10)", wide.clone(), &[Some("1234567890123456789012345678.9012345678")]).await;
    check(target, "VARCHAR(50)", wide, &[Some("1234567890123456789012345678.9012345678")]).await;
    if target.server == Server::MariaDb {
        check(target, "DOUBLE(10,2)", decimals(10, 3, &[1_250, 1_255]), &[Some("1.25"), None]).await;
        check(target, "DOUBLE(10,2)", floats(&[1.256]), &[Some("1.26")]).await;
    }
    if target.server == Server::Postgres {
        check(target, "NUMERIC", decimals(38, 3, &[1_255]), &[Some("1.255")]).await;
        target.run("CREATE DOMAIN price AS NUMERIC(5,1)").await;
        check(target, "price", decimals(10, 2, &[120, 125]), &[Some("1.2"), None]).await;
        target.run("CREATE DOMAIN fee AS price CHECK (VALUE > 0)").await;
        check(target, "fee", decimals(10, 2, &[120, 125, -100]), &[Some("1.2"), None, None]).await;
        check(target, "NUMERIC(3,-2)", ints(&[12_300, 12_345]), &[Some("12300"), None]).await;
    }
}

pub async fn texts_keep_their_spaces(target: &mut Target) {
    let expected: Stored = if target.server == Server::Sqlite {
        &[Some("abc"), Some("ab "), Some("ab    "), Some("abcd"), Some("")]
    } else {
        &[Some("abc"), Some("ab "), None, None, Some("")]
    };
    check(target, "VARCHAR(3)", texts(&["abc", "ab ", "ab    ", "abcd", ""]), expected).await;
    match target.server {
        Server::MariaDb => {
            // The number of a value is not one of its texts.
            let kinds = texts(&["CT", "1", "US", "2"]);
            check(target, "ENUM('CT','MR','2')", kinds, &[Some("CT"), None, None, Some("2")]).await;
            check(target, "SET('a','b')", texts(&["a,b", "3"]), &[Some("a,b"), None]).await;
            check(target, "BINARY(2)", texts(&["ab", "a", "abc"]), &[Some("ab"), None, None]).await;
        }
        Server::Postgres => {
            let long = "x".repeat(64);
            check(target, "NAME", texts(&[&long[1..], &long]), &[Some(&long[1..]), None]).await;
            target.run("CREATE DOMAIN code AS VARCHAR(3); CREATE DOMAIN short AS code").await;
            check(target, "short", texts(&["abc", "abcd", "ab  "]), &[Some("abc"), None, None]).await;
            check(target, "\"char\"", texts(&["a", "ab"]), &[Some("a"), None]).await;
        }
        Server::Sqlite => {
            // A text that is a number would become one.
            check(target, "DATE", texts(&["2026-11-24", "20261124", "1e5"]), &[Some("2026-11-24"), None, None]).await;
            check(target, "UUID", texts(&["a-1", "0012"]), &[Some("a-1"), None]).await;
            check(target, "STRING", texts(&["a", "007", "1e3"]), &[Some("a"), None, None]).await;
            check(target, "STRING", ints(&[7]), &[Some("7")]).await;
            check(target, "", texts(&["007"]), &[Some("007")]).await;
            let json = texts(&["[1.10]", "12", "18446744073709551615"]);
            check(target, "JSON", json, &[Some("[1.10]"), Some("12"), None]).await;
        }
    }
}

pub async fn dates_and_times(target: &mut Target) {
    let days = Arc::new(Date32Array::from(vec![Some(0), Some(20_781), Some(i32::MAX), Some(i32::MIN)]));
    check(target, "DATE", days, &[Some("1970-01-01"), Some("2026-11-24"), None, None]).await;
    // 9999-12-31T23:59:59.999999, 0001-01-01, the ends of what can be written.
    let ends = vec![253_402_300_799_999_999, -62_135_596_800_000_000, i64::MAX, i64::MIN];
    let local = by(target, "DATETIME(6)", "TIMESTAMP", "TIMESTAMP");
    let first = by(target, "0001-01-01 00:00:00.000000", "0001-01-01 00:00:00", "0001-01-01 00:00:00");
    let expected = [Some("9999-12-31 23:59:59.999999"), Some(first), None, None];
    check(target, local, Arc::new(TimestampMicrosecondArray::from(ends)), &expected).await;
    // Before 1970, too, what is finer is cut and not rounded.
    let fine = Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999_999_999]));
    let cut = [Some("1969-12-31 23:59:59.999999"), Some("1970-01-01 00:00:01.999999")];
    check(target, local, fine.clone(), &cut).await;
    let all = [Some("1969-12-31 23:59:59.999999999"), Some("1970-01-01 00:00:01.999999999")];
    check(target, "VARCHAR(40)", fine.clone(), &all).await;
    if target.server == Server::Sqlite {
        return;
    }
    let seconds = by(target, "DATETIME", "TIMESTAMP(0)", "");
    check(target, seconds, fine, &[Some("1969-12-31 23:59:59"), Some("1970-01-01 00:00:01")]).await;
    let text = [
        "2026-11-24 01:02:03.7",
        "2026-11-24T01:02:03Z",
        "2026-11-24 01:02:03+08",
        "2026-11-24",
        "2026-11-24 01:02:03 CET",
        "soon",
    ];
    let expected = [
        Some("2026-11-24 01:02:03"),
        Some("2026-11-24 01:02:03"),
        Some("2026-11-23 17:02:03"),
        Some("2026-11-24 00:00:00"),
        None,
        None,
    ];
    check(target, seconds, texts(&text), &expected).await;
    let days =
        texts(&["2026-11-24", "2026-11-24 00:00:00", "2026-11-24 13:00:00", "2026-11-24T00:00:00Z", "2026-02-30"]);
    check(target, "DATE", days, &[Some("2026-11-24"), Some("2026-11-24"), None, None, None]).await;
    let clock = Arc::new(Time64NanosecondArray::from(vec![46_799_999_999_999, 0]));
    let column = by(target, "TIME", "TIME(0)", "");
    check(target, column, clock, &[Some("12:59:59"), Some("00:00:00")]).await;
    check(target, column, texts(&["12:59:59.7", "noon"]), &[Some("12:59:59"), None]).await;
    if target.server == Server::MariaDb {
        // The server would put its own clock's time.
        let times = Arc::new(TimestampMicrosecondArray::from(vec![Some(1_000_000), None]));
        let column = "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP";
        check(target, column, times, &[Some("1970-01-01 00:00:01"), None]).await;
    }
}

pub async fn null_is_null_in_every_type(target: &mut Target) {
    let null: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>, None]));
    let types: &[&str] = by(
        target,
        &[
            "UUID",
            "INET4",
            "INET6",
            "POINT",
            "GEOMETRY",
            "BIT(3)",
            "YEAR",
            "TIME",
            "DATE",
            "DATETIME",
            "TIMESTAMP NULL",
            "ENUM('a')",
            "SET('a')",
            "JSON",
            "BLOB",
            "VARBINARY(3)",
            "TEXT",
            "DECIMAL(5,2)",
            "DOUBLE",
            "BOOLEAN",
        ],
        &[
            "UUID", "INET", "INTERVAL", "JSONB", "INT[]", "POINT", "MONEY", "XML", "BIT(3)", "BYTEA", "TIMETZ",
            "BOOLEAN",
        ],
        &["UUID", "JSON", "BLOB", "DATE", "TIME", "BOOLEAN", "NUMERIC", "REAL", "INT", ""],
    );
    for column in types {
        target.run("DROP TABLE IF EXISTS result").await;
        target.run(&format!("CREATE TABLE result (n INT, v {column})")).await;
        let rows = batch(vec![("n", ints(&[0, 1])), ("v", null.clone())]);
        let mut sink = target.open(&rows.schema(), json!({})).await.unwrap_or_else(|error| panic!("{column}: {error}"));
        let from = sink.claim(&[claim(0, 0)]).await.unwrap()[0].next;
        let written = sink.write(&write(0, from, from + 2, rows)).await;
        assert_eq!(written.unwrap_or_else(|error| panic!("{column}: {error}")).rejected, 0, "{column}");
        assert_eq!(target.count("result WHERE v IS NULL").await, 2, "{column}");
    }
    if target.server == Server::MariaDb {
        let uuid = "00000000-0000-0000-0000-000000000001";
        let mixed = Arc::new(StringArray::from(vec![None, Some(uuid), None]));
        check(target, "UUID", mixed, &[Some("NULL"), Some(uuid), Some("NULL")]).await;
    }
}

/// The database numbers rows only where no number is given.
pub async fn ids_are_stored_as_given(target: &mut Target) {
    let column = by(
        target,
        "INT AUTO_INCREMENT PRIMARY KEY",
        "INT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "INTEGER PRIMARY KEY",
    );
    let ids = Arc::new(Int64Array::from(vec![Some(0), Some(7), None, Some(-3)]));
    check(target, column, ids, &[Some("0"), Some("7"), None, Some("-3")]).await;
}

/// `create: true` makes columns that hold what they are given.
pub async fn created_columns_hold_every_digit(target: &mut Target) {
    let rows = batch(vec![
        ("d", decimals(38, 18, &[12_345_678_901_234_567_890_123_456_789_012_345_678])),
        ("small", decimals(5, 2, &[12_345])),
        ("u", unsigned(&[u64::MAX])),
    ]);
    let mut sink = target.open(&rows.schema(), json!({ "create": true })).await.unwrap();
    sink.claim(&[claim(0, 0)]).await.unwrap();
    let written = sink.write(&write(0, 0, 1, rows)).await.unwrap();
    if target.server == Server::Sqlite {
        // It has no type of this many digits, and says so.
        assert_eq!(written.rejected, 1);
        let kept = &target.rows(&["row"], "foretell_rejected").await[0];
        let row = r#"{"d":12345678901234567890.123456789012345678,"small":123.45,"u":18446744073709551615}"#;
        assert_eq!(kept, row, "no digit is lost there either");
        return;
    }
    let got = target.rows(&["d", "small", "u"], "result").await;
    assert_eq!(got, ["12345678901234567890.123456789012345678|123.45|18446744073709551615"]);
}
