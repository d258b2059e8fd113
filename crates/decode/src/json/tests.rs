//! What the decoder makes of objects.

use super::*;
use crate::tests::{decode, decode_records, records, refusals, settings_error};
use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn objects_become_columns_exactly() {
    let settings = json!({ "columns": [
        { "id": "int64" }, { "big": "uint64?" }, { "x": "float64?" }, { "f": "float32?" }, { "name": "utf8?" },
        { "ok": "bool?" }, { "city": { "type": "utf8?", "path": "address.city" } },
        { "at": { "type": "timestamp?", "format": "epoch_ms" } },
    ] });
    let values = [
        r#"{"id": 9007199254740993, "big": 18446744073709551615, "x": 0.1, "f": 0.1, "name": "A\u00e9\n", "ok": true,
            "address": {"zip": [1, {"a": 2}], "city": "Wuhan"}, "at": 1568197230000, "other": {"deep": [[]]}}"#,
        r#"{"id": -1, "x": 5, "address": null, "name": null}"#,
        r#"{"id": 1, "id": 2, "address": "none"}"#,
    ];
    let decoded = decode(&KIND, settings, &values);
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    let column = |n: usize| decoded.columns.column(n);
    assert_eq!(column(0).as_primitive::<Int64Type>().values().to_vec(), [9_007_199_254_740_993, -1, 2]);
    assert_eq!(column(1).as_primitive::<UInt64Type>().value(0), u64::MAX);
    assert_eq!(column(2).as_primitive::<Float64Type>().values()[..2].to_vec(), [0.1, 5.0]);
    assert_eq!(column(3).as_primitive::<Float32Type>().value(0), 0.1);
    assert_eq!(column(4).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("Aé\n"), None, None]);
    assert!(column(5).as_boolean().value(0));
    assert_eq!(column(6).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("Wuhan"), None, None]);
    assert_eq!(column(7).as_primitive::<TimestampMicrosecondType>().value(0), 1_568_197_230_000_000);
}

proptest! {
    #[test]
    fn the_short_way_says_what_the_parser_says(
        members in prop::collection::vec((
            prop::sample::select(vec!["a", "b", "c", "d", "e", "t", "other", "\\u0061", "x y", "é"]),
            prop::sample::select(vec![
                "0", "7", "007", "-0", "-7", "123456789012345", "1234567890123456", "-123456789012345678", "1.5", "-1.5e3",
                "1e400", "0.1", "01.5", "1.", ".5", "1e", "300", "16777217", "9007199254740993", "null", "nul", "true",
                "false", "\"\"", "\"x\"", "\"a longer text, and a comma\"", "\"\\n\"", "\"\u{7f}é\"", "\"\t\"", "[1]", "{}",
                "\"2026-01-31\"", "\"5", "1e20", "18446744073709551616",
            ]),
            prop::sample::select(vec!["", " ", "\n\t"]),
        ), 0..9),
        cut in prop::option::weighted(0.1, 0_usize..200),
        decimals in any::<bool>(),
    ) {
        let members: Vec<String> = members.iter().map(|(name, value, space)| {
            format!("{space}\"{name}\"{space}:{space}{value}{space}")
        }).collect();
        let mut record = format!("{{{}}}", members.join(",")).into_bytes();
        record.truncate(cut.unwrap_or(usize::MAX));
        let mut columns = vec![
            json!({ "a": "int64?" }), json!({ "b": "float64?" }), json!({ "c": "utf8?" }), json!({ "d": "float32?" }),
            json!({ "e": "bool?" }), json!({ "t": "date?" }), json!({ "é": "uint8?" }), json!({ "a b": "timestamp?" }),
        ];
        if decimals {
            columns.push(json!({ "other": "decimal(20,2)?" }));
        }
        let settings = match settings_of::<Settings>(json!({ "columns": columns })) {
            Ok(settings) => settings.columns,
            Err(error) => panic!("{}", error.message),
        };
        let short = decoder(&settings, decimals, true).decode(&records(&[Some(&record)]));
        let parsed = decoder(&settings, decimals, false).decode(&records(&[Some(&record)]));
        prop_assert_eq!(short.bad, parsed.bad);
        prop_assert_eq!(short.columns, parsed.columns);
    }
}

/// Columns of a pipeline file.
fn columns_of(columns: serde_json::Value) -> Columns {
    match settings_of::<Settings>(json!({ "columns": columns })) {
        Ok(settings) => settings.columns,
        Err(error) => panic!("{}", error.message),
    }
}

/// JSON of a few kinds, of which some is none.
fn nested() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "0",
        "-7",
        "1.5",
        "null",
        "true",
        "\"x\"",
        "\"\\n\"",
        "\"\\u0061\"",
        "\"op\"",
        "\"c\"",
        "\"d\"",
        "01",
        "",
        "1e400",
        "nul",
    ]);
    let names = vec!["a", "b", "op", "before", "after", "payload", "schema", "x", "y"];
    plain.prop_map(str::to_string).prop_recursive(4, 24, 4, move |inner| {
        let member = (prop::sample::select(names.clone()), inner.clone());
        let space = || prop::sample::select(vec!["", " ", "\n"]);
        prop_oneof![
            1 => (prop::collection::vec(inner, 0..4), space()).prop_map(|(values, space)| format!("[{space}{}{space}]", values.join(","))),
            4 => (prop::collection::vec(member, 0..5), space(), 0_usize..12).prop_map(|(members, space, wrong)| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("{space}\"{name}\":{space}{value}")).collect();
                format!("{{{}{}{space}}}", members.join(","), if wrong == 0 { "," } else { "" })
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_nested_means_the_same_the_short_way(record in nested()) {
        let columns = columns_of(json!([
            { "a": "int64?" }, { "x": { "type": "utf8?", "path": "b.x" } }, { "y": { "type": "float64?", "path": "b.a.y" } },
            { "z": { "type": "bool?", "path": "after.a" } }
        ]));
        let records = records(&[Some(record.as_bytes())]);
        let short = decoder(&columns, false, true).decode(&records);
        let parsed = decoder(&columns, false, false).decode(&records);
        prop_assert_eq!((short.bad, short.columns), (parsed.bad, parsed.columns));
    }

    #[test]
    fn change_events_mean_the_same_the_short_way(
        op in prop::sample::select(vec!["\"c\"", "\"u\"", "\"d\"", "\"t\"", "\"x\"", "null"]),
        sides in (nested(), nested()),
        more in nested(),
        shape in 0_usize..6,
    ) {
        let (before, after) = sides;
        let event = match shape {
            0 => more,
            1 => format!("{{\"payload\":{{\"before\":{before},\"after\":{after},\"op\":{op}}},\"schema\":{more}}}"),
            2 => format!("{{\"op\":{op},\"before\":{before},\"after\":{after},\"after\":{more}}}"),
            _ => format!("{{\"before\":{before},\"after\":{after},\"source\":{more},\"op\":{op}}}"),
        };
        let columns = columns_of(json!([{ "a": "int64" }, { "b": "utf8?" }, { "x": { "type": "int64?", "path": "y.x" } }]));
        let records = records(&[Some(event.as_bytes())]);
        let unwrapping = |short: bool| {
            let mut decoder = decoder(&columns, false, short);
            decoder.settings.unwrap = true;
            decoder.schema = debezium::schema(&decoder.schema);
            decoder.decode(&records)
        };
        let (short, parsed) = (unwrapping(true), unwrapping(false));
        prop_assert_eq!((short.bad, short.columns), (parsed.bad, parsed.columns));
    }
}

/// A decoder with the short way or without it.
fn decoder(columns: &Columns, decimals: bool, short: bool) -> Decoder {
    let tree = Tree::new(columns).unwrap();
    let flat = Flat::new(&tree, decimals);
    let settings = Checked {
        columns: columns.clone(),
        tree,
        key: KeyType::default(),
        max_bytes: 1 << 20,
        decimals,
        epochs: Vec::new(),
        tombstones: Tombstones::default(),
        framed: false,
        unwrap: false,
        headers: BTreeMap::new(),
    };
    assert!(flat.is_some());
    let flat = flat.filter(|_| short);
    Decoder { schema: columns.schema(), settings, meanings: Meanings::default(), flat }
}

#[test]
fn the_short_way_is_taken_for_plain_objects_and_left_for_others() {
    let settings = settings_of::<Settings>(json!({ "columns": [{ "a": "int64" }, { "b": "utf8?" }] }));
    let Ok(Settings { columns, .. }) = settings else { panic!("settings") };
    let flat = Flat::new(&Tree::new(&columns).unwrap(), false).unwrap();
    let taken = |record: &str| {
        let mut rows = Rows::new("decode json", &columns, 1);
        let data = format!("before{record}");
        rows.try_push(|columns, values| flat.record(data.as_bytes(), 6, data.len(), columns, values)).is_ok()
    };
    for record in [
        r#"{"a":5,"b":"x"}"#,
        r#"{ "b" : null , "a" : -5 }"#,
        r#"{"a":5}"#,
        r#"{"c":1.5,"a":0,"d":"é"}"#,
        "{\"a\":1}\n",
        r#"{"c":[1,{"d":"\n"},[]],"a":1,"e":{ "f" : {} , "g":[ ] }}"#,
    ] {
        assert!(taken(record), "{record}");
    }
    for record in [
        r#"{"a":5,"a":5}"#,
        r#"{"b":"x"}"#,
        r#"{"a":05}"#,
        r#"{"a":5,"b":"\n"}"#,
        r#"{"a":5}}"#,
        r#"{"a":5,}"#,
        r#"{"a":5"#,
        r#"{"a":5,"b":[1]}"#,
        r#"{"a":-0}"#,
        r#"{"a":"5"}"#,
        r#"{"a":5 6}"#,
        "{}",
        "",
        "5",
        r#"{"\u0061":5}"#,
        r#"{"a":5,"c":[1,]}"#,
        r#"{"a":5,"c":[1}}"#,
        r#"{"a":5,"c":{"d":1,}}"#,
        r#"{"a":5,"c":{"d"}}"#,
        r#"{"a":5,"c":["\u0061"]}"#,
    ] {
        assert!(!taken(record), "{record}");
    }
}

#[test]
fn usual_change_events_take_the_short_way() {
    let columns = columns_of(json!([{ "a": "int64" }, { "b": { "type": "utf8?", "path": "c.b" } }]));
    let mut decoder = decoder(&columns, false, true);
    decoder.settings.unwrap = true;
    let optional = columns.optional();
    let taken = |event: &str| {
        let (flat, mut rows) = (decoder.flat.as_ref().unwrap(), Rows::new("decode json", &optional, 1));
        decoder.short(flat, event.as_bytes(), 0..event.len(), &mut rows)
    };
    let event =
        r#"{"before":null,"after":{"a":1,"c":{"b":"x"}},"source":{"db":"s","gtid":[1,"\n"]},"op":"u","ts_ms":5}"#;
    assert_eq!(taken(event).unwrap(), "u");
    assert_eq!(taken(r#"{"op":"d","before":{"c":null},"after":null}"#).unwrap(), "d");
    for event in [
        r#"{"before":null,"after":{"c":null},"op":"c"}"#,
        r#"{"after":{"a":1},"op":"d"}"#,
        r#"{"after":{"a":1},"op":"c","op":"u"}"#,
        r#"{"payload":{"after":{"a":1},"op":"c"}}"#,
        r#"{"after":{"a":1},"op":"t"}"#,
    ] {
        assert!(taken(event).is_err(), "{event}");
    }
}

#[test]
fn numbers_keep_all_their_digits() {
    let settings = json!({ "columns": [
        { "d": "decimal(38,9)?" }, { "in": { "type": "decimal(5,2)?", "path": "a.b" } }, { "id": "int64?" },
        { "x": "float64?" }, { "t": { "type": "timestamp?", "format": "epoch_s" } },
    ] });
    let good = [
        r#"{"d": 12345678901234567890.123456789, "a": {"b": 1.10}, "id": 7, "x": 1e2, "t": 1}"#,
        r#"{"d": "0.5", "a": {"b": -1, "b": 1e1}, "d": -0.000000001}"#,
        r#"{"\u0064": 5, "x": 123456789012345680000, "a": {"b": 999.99}, "a": {"c": {}}}"#,
        r#"{"d": null, "a": [], "x": 9007199254740992}"#,
    ];
    let decoded = decode(&KIND, settings.clone(), &good);
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    let decimals = |n: usize| decoded.columns.column(n).as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>();
    let expected = [Some(12_345_678_901_234_567_890_123_456_789), Some(-1), Some(5_000_000_000), None];
    assert_eq!(decimals(0), expected);
    assert_eq!(decimals(1), [Some(110), Some(1000), Some(99_999), None]);
    let bad = [
        (r#"{"d": 1e-10}"#, "field d: more digits behind the point than a decimal(38,9) has"),
        (r#"{"d": 100000000000000000000000000000}"#, "field d: out of the range of a decimal(38,9)"),
        (r#"{"d": true}"#, "field d: a bool where a decimal(38,9) is expected"),
        (r#"{"d": "x"}"#, "field d: not a decimal(38,9)"),
        (r#"{"id": 12345678901234567891234}"#, "field id: out of the range of an int64"),
        (r#"{"id": 64.0}"#, "field id: a float where an int64 is expected"),
        (r#"{"x": 9007199254740993}"#, "field x: a whole number that a float64 does not hold exactly"),
        (r#"{"x": 12345678901234567891234}"#, "field x: a whole number that a float64 does not hold exactly"),
        (r#"{"t": 9223372036854775807}"#, "field t: out of the range of a timestamp"),
    ];
    let decoded = decode(&KIND, settings, &bad.map(|(record, _)| record));
    let expected: Vec<_> = bad.iter().enumerate().map(|(row, (_, reason))| (row, reason.to_string())).collect();
    assert_eq!(refusals(&decoded), expected);
}

#[test]
fn every_bad_record_is_refused_with_its_reason_and_without_its_value() {
    let settings = json!({ "columns": [{ "AGE": "int8" }, { "name": "utf8?" }], "max_bytes": 40 });
    let bad: &[(&[u8], &str)] = &[
        (br#"{"AGE": "64"}"#, "field AGE: a text where an int8 is expected"),
        (br#"{"AGE": 64.0}"#, "field AGE: a float where an int8 is expected"),
        (br#"{"AGE": [1]}"#, "field AGE: an array where an int8 is expected"),
        (br#"{"AGE": {"x": 1}}"#, "field AGE: an object where an int8 is expected"),
        (br#"{"AGE": 640}"#, "field AGE: out of the range of an int8"),
        (br#"{"AGE": null}"#, "field AGE: missing (`int8?` would take it as NULL)"),
        (br#"{"age": 64}"#, "field AGE: missing (`int8?` would take it as NULL)"),
        (br#"{"AGE": 6, "name": 5}"#, "field name: an integer where a utf8 is expected"),
        (br#"{"AGE": 6,}"#, "byte 10: not JSON: trailing comma"),
        (b"{\"AGE\":\n x}", "byte 9: not JSON: expected value"),
        (br#"{"AGE": 6"#, "byte 8: not JSON: EOF while parsing an object"),
        (br#"{"AGE": 6} {}"#, "byte 11: not JSON: trailing characters"),
        (br"[1]", "not a JSON object"),
        (b"{\"AGE\": 6, \"name\": \"\xff\"}", "byte 20: not UTF-8"),
        (b"", "empty value"),
        (b"{\"AGE\": 6, \"x\": \"0123456789012345678901\"}", "41 bytes, which is more than `max_bytes` (40)"),
    ];
    let mut values: Vec<Option<&[u8]>> = bad.iter().map(|(value, _)| Some(*value)).collect();
    values.push(None);
    values.push(Some(br#"{"AGE": -128}"#));
    let decoded = decode_records(&KIND, settings, &records(&values));
    let mut expected: Vec<(usize, String)> =
        bad.iter().enumerate().map(|(row, (_, reason))| (row, reason.to_string())).collect();
    expected.push((bad.len(), "the record has no value".to_string()));
    assert_eq!(refusals(&decoded), expected);
    assert_eq!(decoded.columns.num_rows(), 1);
}

#[test]
fn a_byte_order_mark_is_passed_over_and_a_registrys_framing_is_named() {
    let settings = json!({ "columns": [{ "AGE": "int8" }] });
    let values: [&[u8]; 3] = [b"\xef\xbb\xbf{\"AGE\": 6}", b"\0\0\0\0\x07{\"AGE\": 6}", b"\0"];
    let decoded = decode_records(&KIND, settings, &records(&values.map(Some)));
    assert_eq!(decoded.columns.num_rows(), 1);
    let reasons = refusals(&decoded);
    assert_eq!((reasons.len(), reasons[0].0, reasons[1].0), (2, 1, 2));
    assert!(reasons[0].1.contains("schema registry framing"), "{}", reasons[0].1);
    assert!(!reasons[1].1.contains("schema registry framing"), "{}", reasons[1].1);
}

#[test]
fn deep_nesting_does_not_crash() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let ignored = decode(&KIND, json!({ "columns": [{ "b": "int8?" }] }), &[&deep]);
    assert_eq!(ignored.columns.num_rows(), 1);
    let taken = decode(&KIND, json!({ "columns": [{ "a": "int8?" }] }), &[&deep]);
    assert_eq!(taken.bad[0].reason, "field a: an array where an int8 is expected");
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let through = decode(&KIND, json!({ "columns": [{ "b": { "type": "int8?", "path": "a.a.b" } }] }), &[&objects]);
    assert_eq!(through.columns.num_rows(), 1);
}

#[test]
fn two_columns_of_one_member_are_refused() {
    let columns = json!([{ "a": "int8" }, { "b": { "type": "int8", "path": ["a", "c"] } }]);
    assert!((KIND.parse)(json!({ "columns": columns })).is_ok(), "one of it all, one of a part");
    let columns = json!([{ "a": "int8" }, { "b": { "type": "int8", "path": ["a"] } }]);
    let error = settings_error(&KIND, json!({ "columns": columns }));
    assert_eq!(error, "columns.1: another column already reads `a` there");
}

#[test]
fn nested_values_are_texts_that_hold_their_json() {
    let columns = json!([
        { "l": "utf8?" },
        { "o": "utf8?" },
        { "n": { "type": "utf8?", "path": "in.l" } },
        { "d": "date?" },
    ]);
    let values = [
        r#"{"l": [1.50, "a\"]", {}], "o": { "x" : null }, "in": {"l": []}}"#,
        r#"{"l": "a", "o": null}"#,
        r#"{"d": ["2020-01-01"]}"#,
    ];
    let decoded = decode(&KIND, json!({ "columns": columns }), &values);
    assert_eq!(refusals(&decoded), [(2, "field d: an array where a date is expected".to_string())]);
    let texts = |at: usize| -> Vec<Option<String>> {
        let column = decoded.columns.column(at).as_string::<i32>();
        column.iter().map(|text| text.map(str::to_string)).collect()
    };
    let text = |text: &str| Some(text.to_string());
    assert_eq!(texts(0), [text(r#"[1.50, "a\"]", {}]"#), text("a")]);
    assert_eq!(texts(1), [text(r#"{ "x" : null }"#), None]);
    assert_eq!(texts(2), [text("[]"), None]);
}

#[test]
fn objects_and_arrays_are_structs_and_lists() {
    let columns = json!([
        { "a": "STRUCT<x DOUBLE, y VARCHAR?>?" },
        { "tags": "list<utf8>?" },
        { "items": "list<struct<sku: utf8, q: int64?, at: timestamp?, p: decimal(10,2)?>>?" },
        { "raw": { "type": "utf8?", "path": "a.z" } },
    ]);
    let values = [
        r#"{"a": {"x": 1.5, "y": "q\u00e9\"", "z": [1, {}]}, "tags": ["a", "b\n"], "items": [{"sku": "s", "q": 9007199254740993, "at": "2024-01-02T03:04:05Z", "p": 1.50}, {"sku": ""}]}"#,
        r#"{"a": null, "tags": [], "items": null}"#,
        r#"{"a": {"x": 1, "x": 2}, "tags": ["a", null]}"#,
        r#"{"a": {"y": "b"}}"#,
        r#"{"a": {"x": 3}, "items": [{"sku": "a"}, {"sku": "b", "q": "7"}]}"#,
        r#"{"a": [1]}"#,
        r#"{"a": "text"}"#,
        r#"{"tags": [{}]}"#,
        r#"{"a": {"x": 4, "y": "\ud800"}}"#,
        r#"{"a": {"x": 5}, "tags": ["z"]}"#,
    ];
    let decoded = decode(&KIND, json!({ "columns": columns }), &values);
    let reasons = refusals(&decoded);
    let expected = [
        (2, "field tags: at `[1]`: missing (`utf8?` would take it as NULL)"),
        (3, "field a: at `x`: missing (`float64?` would take it as NULL)"),
        (4, "field items: at `[1].q`: a text where an int64 is expected"),
        (5, "field a: an array where a struct is expected"),
        (6, "field a: a text where a struct is expected"),
        (8, "field a: at `y`: a text with half of a surrogate pair where a utf8 is expected"),
    ];
    // What is no text at all may be told by the parser.
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for ((row, reason), (expected, says)) in reasons.iter().zip(expected) {
        assert_eq!(*row, expected);
        assert!(reason == says || (expected == 8 && reason.contains("not JSON")), "{reason}");
    }
    let shown: Vec<String> = (0..decoded.columns.num_rows())
        .map(|row| {
            let cell =
                |column: &arrow::array::ArrayRef| arrow::util::display::array_value_to_string(column, row).unwrap();
            decoded.columns.columns().iter().map(cell).collect::<Vec<_>>().join("|")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "{x: 1.5, y: qé\"}|[a, b\n]|[{sku: s, q: 9007199254740993, at: 2024-01-02T03:04:05Z, p: 1.50}, {sku: , q: , at: , p: }]|[1, {}]",
            "|[]||",
            // As everywhere, what has parts is its JSON as text.
            "|[{}]||",
            "{x: 5.0, y: }|[z]||",
        ]
    );
}

#[test]
fn elements_of_arrays_are_reached_by_their_number() {
    let columns = json!([
        { "q": { "type": "int64?", "path": "items[0].q" } },
        { "sku": { "type": "utf8?", "path": "items[1].sku" } },
        { "deep": { "type": "decimal(20,2)?", "path": "m[1][0]" } },
        { "raw": { "type": "utf8?", "path": "items[2]" } },
        { "all": { "type": "utf8?", "path": "items" } },
    ]);
    let values = [
        r#"{"items": [{"q": 7, "sku": "a"}, {"sku": "b"}, {"x": [1]}], "m": [[], [12345678901234567.25, 2]]}"#,
        r#"{"items": [{"q": 8}], "m": [1]}"#,
        r#"{"items": {"q": 9}}"#,
        r#"{"items": [{"q": "x"}]}"#,
    ];
    let decoded = decode(&KIND, json!({ "columns": columns }), &values);
    assert_eq!(refusals(&decoded), [(3, "field q: a text where an int64 is expected".to_string())]);
    let q: Vec<_> = decoded.columns.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(q, [Some(7), Some(8), None]);
    let sku: Vec<_> = decoded.columns.column(1).as_string::<i32>().iter().collect();
    assert_eq!(sku, [Some("b"), None, None]);
    let deep: Vec<_> = decoded.columns.column(2).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(deep, [Some(1_234_567_890_123_456_725), None, None]);
    assert_eq!(decoded.columns.column(3).as_string::<i32>().value(0), r#"{"x": [1]}"#);
    let all: Vec<_> = decoded.columns.column(4).as_string::<i32>().iter().collect();
    let first = r#"[{"q": 7, "sku": "a"}, {"sku": "b"}, {"x": [1]}]"#;
    assert_eq!(all, [Some(first), Some(r#"[{"q": 8}]"#), Some(r#"{"q": 9}"#)]);
    let path = |path: &str| settings_error(&KIND, json!({ "columns": [{ "a": { "type": "int8", "path": path } }] }));
    assert!(path("a[x]").contains("not an element of an array"), "{}", path("a[x]"));
}

#[test]
fn times_with_a_fraction_and_days_by_their_number_are_read() {
    let columns = json!([
        { "t": { "type": "timestamp?", "format": "epoch_s" } }, { "d": "date?" }, { "x": { "type": "date?", "format": "%Y%m%d" } }
    ]);
    let values = [
        r#"{"t": 1568197230.123456, "d": 18150}"#,
        r#"{"t": 1568197230, "d": -1}"#,
        r#"{"d": 20240131}"#,
        r#"{"x": 20240131}"#,
        r#"{"d": 1.5}"#,
    ];
    let decoded = decode(&KIND, json!({ "columns": columns }), &values);
    let t: Vec<_> = decoded.columns.column(0).as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(t, [Some(1_568_197_230_123_456), Some(1_568_197_230_000_000)]);
    let d: Vec<_> = decoded.columns.column(1).as_primitive::<arrow::datatypes::Date32Type>().iter().collect();
    assert_eq!(d, [Some(18150), Some(-1)]);
    assert_eq!(
        refusals(&decoded),
        [
            (2, "field d: out of the range of a date".to_string()),
            (3, "field x: an integer where a date is expected".to_string()),
            (4, "field d: a float where a date is expected".to_string()),
        ]
    );
}

#[test]
fn with_a_registry_the_frame_is_passed_over() {
    struct None;
    impl Schemas for None {
        fn schema(&self, _: u32) -> Result<Option<Arc<foretell_connect::schemas::Schema>>, StageError> {
            Ok(Option::None)
        }
    }
    let settings = json!({ "columns": [{ "AGE": "int8" }] });
    let mut decoder = (KIND.parse)(settings).unwrap().open_with(Some(Arc::new(None))).unwrap();
    let decoded = decoder.decode(&records(&[Some(b"\0\0\0\0\x07{\"AGE\": 6}"), Some(b"{\"AGE\": 7}")]));
    assert_eq!((decoded.columns.num_rows(), decoded.bad.len()), (2, 0));
}

#[test]
fn change_events_are_rows_with_the_kind_of_their_change() {
    let columns = json!([
        { "id": "int64" }, { "price": "decimal(10,2)" }, { "day": "date?" }, { "at": "timestamp?" }, { "ratio": "float64?" }
    ]);
    let schema = r#"{"type":"struct","fields":[{"field":"before"},{"field":"after","fields":[{"field":"price","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},{"field":"day","type":"int32","name":"io.debezium.time.Date"},{"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"},{"field":"ratio","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"1"}}]}]}"#;
    let full = format!(
        r#"{{"schema":{schema},"payload":{{"before":null,"after":{{"id":1,"price":"BNI=","day":18150,"at":1568197230000001,"ratio":"BQ=="}},"op":"c"}}}}"#
    );
    let values = [
        full.as_str(),
        r#"{"before":null,"after":{"id":2,"price":"0.50","at":"2019-09-11T10:20:30Z"},"op":"u","ts_ms":5}"#,
        r#"{"before":{"id":1},"after":null,"op":"d"}"#,
        r#"{"after":{"id":3},"op":"c"}"#,
        r#"{"after":{"id":4,"price":"1","at":5},"op":"r"}"#,
        r#"{"op":"t"}"#,
        r#"{"op":"c","after":{"id":4}"#,
    ];
    let settings = json!({ "columns": columns, "unwrap": "debezium" });
    let decoded = decode(&KIND, settings.clone(), &values);
    let reasons: Vec<_> = refusals(&decoded).into_iter().collect();
    assert_eq!(reasons[0], (3, "field price: missing (`decimal(10,2)?` would take it as NULL)".to_string()));
    assert_eq!(reasons[1], (4, "field at: not a timestamp".to_string()));
    assert!(reasons[2].1.contains("truncated") && reasons[3].1.contains("not JSON"), "{reasons:?}");
    let shown: Vec<String> = (0..decoded.columns.num_rows())
        .map(|row| {
            let cell =
                |column: &arrow::array::ArrayRef| arrow::util::display::array_value_to_string(column, row).unwrap();
            decoded.columns.columns().iter().map(cell).collect::<Vec<_>>().join("|")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "1|12.34|2019-09-11|2019-09-11T10:20:30.000001Z|0.5|c|false",
            "2|0.50||2019-09-11T10:20:30Z||u|false",
            "1|||||d|true",
        ]
    );
    let kind = (KIND.parse)(settings).unwrap();
    assert_eq!(kind.tombstones(), Tombstones::Skip);
    let both = json!({ "columns": [{ "a": "int8" }], "unwrap": "debezium", "tombstones": "delete" });
    assert!(settings_error(&KIND, both).starts_with("tombstones: `delete` has no meaning"));
    let own = json!({ "columns": [{ "_op": "utf8" }], "unwrap": "debezium" });
    assert!(settings_error(&KIND, own).contains("gives a column of this name"));
}
