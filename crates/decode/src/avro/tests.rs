//! Records that fastavro 1.12 wrote.

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use serde_json::json;

use super::super::tests::{records, refusals, settings_error};
use super::*;
use foretell_connect::schemas::Schema;

const V1: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"amt","type":"double"}]}"#;
const V2: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"amount","aliases":["amt"],"type":"double"},{"name":"note","type":["null","string"],"default":null},{"name":"kind","type":"string","default":"plain"}]}"#;
const V3: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"amount","type":"double"}]}"#;
const ALL: &str = include_str!("all.avsc");
const ENVELOPE: &str = include_str!("envelope.avsc");

fn bytes(id: u32, hex: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend((0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()));
    bytes
}

/// Order 7 in the first version, 2^40 in the second, `x` in the third, which does not fit.
fn orders() -> [Vec<u8>; 3] {
    [
        bytes(1, "0e000000000000f83f"),
        bytes(2, "80808080804000000000000002c002026e026b"),
        bytes(3, "0278000000000000f03f"),
    ]
}

const EVERYTHING: &str = "01098080808080808080200000003f9a9999999999b93f04c3a90400ff028cb5028ad8e2cbbe630004fb2e4836626137623831302d396461642d313164312d383062342d30306330346664343330633804026102026204000208426f6e6e";

struct Fake(HashMap<u32, Schema>);

impl Schemas for Fake {
    fn schema(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError> {
        if id == 99 {
            return Err(StageError::unavailable("the registry is away"));
        }
        Ok(self.0.get(&id).cloned().map(Arc::new))
    }
}

fn registry() -> Arc<dyn Schemas> {
    let schema = |id, language, text: &str| (id, Schema { id, language, text: text.into(), references: Vec::new() });
    Arc::new(Fake(HashMap::from([
        schema(1, Language::Avro, V1),
        schema(2, Language::Avro, V2),
        schema(3, Language::Avro, V3),
        schema(4, Language::Avro, ALL),
        schema(5, Language::Json, "{}"),
        schema(6, Language::Avro, ENVELOPE),
    ])))
}

fn decode(settings: serde_json::Value, values: &[Option<&[u8]>]) -> Decoded {
    let mut decoder = (KIND.parse)(settings).unwrap().open_with(Some(registry())).unwrap();
    let records = records(values);
    decoder.prepare(&records).unwrap();
    let decoded = decoder.decode(&records);
    assert_eq!(decoded.columns.schema(), decoder.schema());
    assert_eq!(decoded.columns.num_rows() + decoded.bad.len(), values.len());
    let again = decoder.decode(&records);
    assert_eq!((&again.columns, &again.bad), (&decoded.columns, &decoded.bad), "a batch leaves nothing behind");
    decoded
}

fn shown(decoded: &Decoded) -> Vec<String> {
    let row = |row| -> String {
        let cells = decoded.columns.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join("|")
    };
    (0..decoded.columns.num_rows()).map(row).collect()
}

#[test]
fn a_schema_that_changes_in_mid_stream_is_read_as_the_pinned_one() {
    let [one, two, three] = orders();
    let values: [Option<&[u8]>; 5] = [Some(&two), Some(&one), Some(&three), Some(&two), Some(&one)];
    let decoded = decode(json!({ "schema": V2 }), &values);
    // Added with a default, renamed with an alias, widened; in the order of the records.
    let (new, old) = ("1099511627776|-2.25|n|k", "7|1.5||plain");
    assert_eq!(shown(&decoded), [new, old, new, old]);
    let reasons = refusals(&decoded);
    assert_eq!(reasons[0].0, 2);
    assert!(reasons[0].1.starts_with("schema 3: "), "{}", reasons[0].1);

    // A pipeline that started before the change: what is new is passed over, and the new name of a field is known.
    let decoded = decode(json!({ "schema": V1 }), &[Some(&one)]);
    assert_eq!(shown(&decoded), ["7|1.5"]);
}

#[test]
fn named_columns_are_found_in_every_version() {
    let [one, two, three] = orders();
    let columns = json!([{ "id": "int64" }, { "amt": "float64?" }, { "note": "utf8?" }]);
    let decoded = decode(json!({ "columns": columns }), &[Some(&one), Some(&two), Some(&three)]);
    assert_eq!(shown(&decoded), ["7|1.5|", "1099511627776|-2.25|n"]);
    assert_eq!(refusals(&decoded), [(2, "field id: not an int64 (schema 3)".to_string())]);
    let must = json!([{ "id": "int64" }, { "note": "utf8" }]);
    let decoded = decode(json!({ "columns": must }), &[Some(&one), Some(&two)]);
    assert_eq!(shown(&decoded), ["1099511627776|n"]);
    assert_eq!(
        refusals(&decoded),
        [(0, "schema 1: it has no field `note` (`utf8?` would take it as NULL)".to_string())]
    );
}

#[test]
fn every_type_has_its_own_in_sql() {
    let value = bytes(4, EVERYTHING);
    let decoded = decode(json!({ "schema": ALL }), &[Some(&value)]);
    let expected = "true|-5|1152921504606846976|0.5|0.1|é|00ff|B|2024-02-29|2024-02-29T12:00:00.005Z||-12.34|\
                    6ba7b810-9dad-11d1-80b4-00c04fd430c8|[{sku: a, q: 1}, {sku: b, q: 2}]|{city: Bonn}";
    assert_eq!(shown(&decoded), [expected]);
    let schema = decoded.columns.schema();
    let type_of = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
    assert_eq!(type_of("kind"), DataType::Utf8);
    assert_eq!(type_of("price"), DataType::Decimal128(10, 2));
    assert!(matches!(type_of("items"), DataType::List(item) if matches!(item.data_type(), DataType::Struct(_))));
    assert!(matches!(type_of("address"), DataType::Struct(_)));
    assert!(schema.fields().iter().all(|field| field.metadata().is_empty()));

    let columns = json!([
        { "city": { "type": "utf8", "path": "address.city" } },
        { "uid": "utf8" },
        { "items": "utf8" },
        { "price": "float64" },
    ]);
    let decoded = decode(json!({ "columns": columns }), &[Some(&value)]);
    assert_eq!(decoded.columns.column(0).as_string::<i32>().value(0), "Bonn");
    assert_eq!(decoded.columns.column(1).as_string::<i32>().value(0), "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    assert_eq!(decoded.columns.column(2).as_string::<i32>().value(0), r#"[{"sku":"a","q":1},{"sku":"b","q":2}]"#);
    assert_eq!(decoded.columns.column(3).as_primitive::<Float64Type>().value(0), -12.34);
}

#[test]
fn what_is_no_record_of_its_schema_is_refused_and_spoils_no_other() {
    let [good, ..] = orders();
    let (cut, longer) = (&good[..good.len() - 1], [&good[..], b"\0"].concat());
    let twice = [&good[..], &good[..]].concat();
    let unknown = bytes(8, "00");
    let json = bytes(5, "7b7d");
    let values: [Option<&[u8]>; 10] = [
        Some(&good),
        Some(cut),
        Some(&longer),
        Some(&good),
        Some(&twice),
        Some(&unknown),
        Some(&json),
        Some(b"{\"id\": 7}"),
        None,
        Some(&good),
    ];
    let decoded = decode(json!({ "columns": [{ "id": "int64" }] }), &values);
    assert_eq!(decoded.columns.column(0).as_primitive::<Int64Type>().values().to_vec(), [7, 7, 7]);
    let not = |row: usize| (row, "the bytes are not a record of schema 1".to_string());
    let framing = "no schema registry framing (a zero byte and a schema's number) at the beginning".to_string();
    assert_eq!(
        refusals(&decoded),
        [
            not(1),
            not(2),
            not(4),
            (5, "the registry has no schema 8".to_string()),
            (6, "schema 5 is JSON Schema, not Avro".to_string()),
            (7, framing),
            (8, "the record has no value".to_string()),
        ]
    );
}

#[test]
fn bare_records_need_the_schema_and_a_registry_that_is_away_is_no_bad_record() {
    let [one, ..] = orders();
    let bare = &one[5..];
    let mut decoder = (KIND.parse)(json!({ "schema": V1 })).unwrap().open().unwrap();
    let decoded = decoder.decode(&records(&[Some(bare), Some(b"\x02")]));
    assert_eq!((shown(&decoded), decoded.bad.len()), (vec!["7|1.5".to_string()], 1));

    let mut decoder = (KIND.parse)(json!({ "schema": V1 })).unwrap().open_with(Some(registry())).unwrap();
    let away = bytes(99, "00");
    let error = decoder.prepare(&records(&[Some(&away)])).unwrap_err();
    assert_eq!(error.fault, foretell_flow::Fault::Unavailable);

    assert!(settings_error(&KIND, json!({})).contains("name the `columns`"));
    assert!(settings_error(&KIND, json!({ "schema": "[" })).starts_with("schema: not an Avro schema"));
    let own = r#"{"type":"record","name":"K","fields":[{"name":"_key","type":"int"}]}"#;
    assert!(settings_error(&KIND, json!({ "schema": own })).contains("a column that every record has"));
}

#[test]
fn schemas_that_refer_to_others_are_read_with_them() {
    let item = r#"{"type":"record","name":"Item","namespace":"shop","fields":[{"name":"q","type":"int"}]}"#;
    let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"a","type":"Item"},{"name":"b","type":["null","shop.Item"]}]}"#;
    let references = vec![("shop.Item".to_string(), item.to_string())];
    let schema = Schema { id: 1, language: Language::Avro, text: order.into(), references };
    let text = avro_text(&schema).unwrap();
    assert_eq!(text.matches("\"fields\"").count(), 2, "{text}");
}

#[test]
fn what_is_written_is_read_again() {
    let value = bytes(4, EVERYTHING);
    let decoded = decode(json!({ "schema": ALL }), &[Some(&value), Some(&value)]);
    let writer = AvroWriter::new(&decoded.columns.schema(), "shop.orders-value").unwrap();
    assert!(writer.text().contains("\"name\":\"shop_orders_value\""), "{}", writer.text());
    assert!(writer.text().contains("\"default\":null"), "{}", writer.text());
    let (buffer, ends) = writer.encode(77, &decoded.columns).unwrap();
    assert_eq!(ends.len(), 2);
    assert_eq!(framed(&buffer[..ends[0]]).unwrap().0, 77);
    let bare = &buffer[5..ends[0]];
    let mut again = (KIND.parse)(json!({ "schema": writer.text() })).unwrap().open().unwrap();
    let read = again.decode(&records(&[Some(bare)]));
    assert_eq!(read.bad, []);
    assert_eq!(shown(&read)[0], shown(&decoded)[0]);
    let odd = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new("a b", DataType::Utf8, true)]);
    assert!(AvroWriter::new(&odd, "x").unwrap_err().contains("`a b`"));
    let named = AvroWriter::named(&decoded.columns.schema(), "com.example.Reading").unwrap();
    assert_eq!((named.name(), writer.name()), ("com.example.Reading", "shop_orders_value"));
    assert!(named.text().contains(r#""name":"com.example.Reading""#));
    for name in ["", "a..b", "1a", "com.example-x"] {
        assert!(AvroWriter::named(&decoded.columns.schema(), name).is_err(), "{name}");
    }
}

#[test]
fn change_events_of_kafka_connect_are_rows() {
    let create = bytes(6, "000202020404d202cc9b020282dea7ed8b91c9050263020a");
    let delete = bytes(6, "020200000000026400");
    let truncate = bytes(6, "0000027400");
    let values: [Option<&[u8]>; 3] = [Some(&create), Some(&delete), Some(&truncate)];
    let expected = ["1|12.34|2019-09-11|2019-09-11T10:20:30.000001Z|c|false", "1||||d|true"];
    let all = decode(json!({ "schema": ENVELOPE, "unwrap": "debezium" }), &values);
    assert_eq!(shown(&all), expected);
    let reasons = refusals(&all);
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].1.starts_with("the table was truncated"), "{}", reasons[0].1);
    let columns = json!([{ "id": "int64" }, { "price": "decimal(10,2)" }, { "day": "date" }, { "at": "timestamp" }]);
    let named = decode(json!({ "columns": columns, "unwrap": "debezium" }), &values);
    assert_eq!(shown(&named), expected);
    let [order, ..] = orders();
    let other = decode(json!({ "columns": [{ "id": "int64" }], "unwrap": "debezium" }), &[Some(&order)]);
    assert!(refusals(&other)[0].1.contains("not that of a change event"), "{:?}", refusals(&other));
}
