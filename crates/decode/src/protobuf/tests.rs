use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::tests::{records, refusals};
use super::*;

const ORDER: &str = r#"
syntax = "proto3";
package shop;
import "item.proto";
import "google/protobuf/timestamp.proto";
enum Kind { PLAIN = 0; RUSH = 1; }
message Order {
  int64 id = 1;
  double amount = 2;
  optional string note = 3;
  Kind kind = 4;
  repeated shop.Item items = 5;
  google.protobuf.Timestamp at = 6;
  bytes raw = 7;
  message Inner { int32 n = 1; }
}
message Other { string name = 1; }
"#;
const ITEM: &str = "syntax = \"proto3\";\npackage shop;\nmessage Item { string sku = 1; uint32 q = 2; }\n";

struct Fake(Schema);

impl Schemas for Fake {
    fn schema(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError> {
        Ok((id == self.0.id).then(|| Arc::new(self.0.clone())))
    }
}

fn order() -> Schema {
    let references = vec![("item.proto".to_string(), ITEM.to_string())];
    Schema { id: 7, language: Language::Protobuf, text: ORDER.to_string(), references }
}

fn decode(settings: Value, values: &[Option<&[u8]>]) -> Decoded {
    let mut decoder = (KIND.parse)(settings).unwrap().open_with(Some(Arc::new(Fake(order())))).unwrap();
    let records = records(values);
    decoder.prepare(&records).unwrap();
    let decoded = decoder.decode(&records);
    assert_eq!(decoded.columns.schema(), decoder.schema());
    assert_eq!(decoded.columns.num_rows() + decoded.bad.len(), values.len());
    decoded
}

fn shown(decoded: &Decoded) -> Vec<String> {
    let row = |row| -> String {
        let cells = decoded.columns.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        cells.collect::<Vec<_>>().join("|")
    };
    (0..decoded.columns.num_rows()).map(row).collect()
}

/// In the wire format; the message's index as it is given.
fn value(index: &[u8], body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 7][..], index, body].concat()
}

#[test]
fn messages_are_read_by_their_own_schema() {
    let columns = protobuf_columns(&order()).unwrap();
    let expected = json!([
        { "id": "int64" }, { "amount": "float64" }, { "note": "utf8?" }, { "kind": "utf8" }, { "items": "utf8?" },
        { "at": "timestamp?" }, { "raw": "utf8" }
    ]);
    assert_eq!(columns, expected);
    // As protobuf 7.36 for Python writes it: id 2^53 + 1, amount 1.5, note "n", kind RUSH, an item (sku "a", q 2), at 2019-09-11T10:20:30Z, raw 00 ff.
    let body = b"\x08\x81\x80\x80\x80\x80\x80\x80\x10\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\x1a\x01n\x20\x01\x2a\x05\x0a\x01a\x10\x02\x32\x06\x08\xee\x94\xe3\xeb\x05\x3a\x02\x00\xff";
    let full = value(&[0], body);
    let empty = value(&[0], b"");
    let decoded = decode(json!({ "columns": columns }), &[Some(&full), Some(&empty)]);
    assert_eq!(
        shown(&decoded),
        [r#"9007199254740993|1.5|n|RUSH|[{"sku":"a","q":2}]|2019-09-11T10:20:30Z|AP8="#, "0|0.0||PLAIN|[]||",]
    );
    let path = json!([{ "q": { "type": "uint32?", "path": "items[0].q" } }]);
    assert_eq!(shown(&decode(json!({ "columns": path }), &[Some(&full), Some(&empty)])), ["2", ""]);
    // The second message, and one within the first.
    let names = json!([{ "name": "utf8?" }, { "n": "int32?" }]);
    let (second, inner) = (value(&[2, 2], b"\x0a\x01x"), value(&[4, 0, 0], b"\x08\x05"));
    let decoded = decode(json!({ "columns": names }), &[Some(&second), Some(&inner)]);
    assert_eq!(shown(&decoded), ["x|", "|5"]);
}

#[test]
fn what_is_no_message_is_refused() {
    let (cut, none) = (value(&[0], b"\x11\x00"), value(&[2, 20], b""));
    let values: [Option<&[u8]>; 6] = [
        Some(&cut),
        Some(&none),
        Some(b"\0\0\0\0\x09\0"),
        Some(b"\x08\x01"),
        None,
        Some(b"\0\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    ];
    let decoded = decode(json!({ "columns": [{ "id": "int64" }] }), &values);
    let reasons: Vec<_> = refusals(&decoded).into_iter().map(|(_, reason)| reason).collect();
    for (reason, says) in reasons.iter().zip([
        "not a message of schema 7",
        "no such message",
        "no schema 9",
        "framing",
        "no value",
        "no such message",
    ]) {
        assert!(reason.contains(says), "{reason}");
    }
    assert_eq!(reasons.len(), 6);
    let wrong = Schema { text: "message".into(), ..order() };
    assert!(protobuf_columns(&wrong).unwrap_err().starts_with("not a Protobuf schema"));
    assert!((KIND.parse)(json!({ "columns": [{ "id": "int64" }] })).unwrap().open().is_err());
}

const FORMS: &str = r#"
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/duration.proto";
enum Kind { PLAIN = 0; RUSH = 1; LATE = -3; }
message Form {
  int32 a = 1; sint32 b = 2; uint32 c = 3; int64 d = 4; sint64 e = 5; uint64 f = 6;
  fixed32 g = 7; sfixed32 h = 8; fixed64 i = 9; sfixed64 j = 10;
  float k = 11; double l = 12; bool m = 13; string n = 14; bytes o = 15; Kind p = 16;
  optional int64 q = 17;
  oneof either { int64 r = 18; string s = 19; Inner t = 20; }
  google.protobuf.Timestamp u = 21;
  google.protobuf.DoubleValue v = 22;
  google.protobuf.Int64Value w = 23;
  google.protobuf.StringValue x = 24;
  Inner y = 25;
  repeated int32 packed = 26; repeated string texts = 27; map<string, Inner> named = 28; repeated Inner many = 29;
  google.protobuf.Duration long = 30; google.protobuf.FloatValue single = 31;
  message Inner { int32 n = 1; optional string text = 2; Inner deeper = 3; oneof one { float f = 4; bool g = 5; } Kind kind = 6; }
}
"#;

/// Columns of all kinds: those that fit, and those that do not always.
const WANTED: &[&str] = &[
    r#"[{"a":"int32"},{"b":"int8"},{"c":"uint32"},{"d":"int64"},{"e":"float64"},{"f":"uint64"},{"g":"float32"}]"#,
    r#"[{"h":"int64"},{"i":"int64"},{"j":"int64"},{"k":"float32"},{"l":"float64"},{"m":"bool"},{"n":"utf8"},{"o":"utf8"}]"#,
    r#"[{"k":"float64"},{"l":"float32"},{"p":"utf8"},{"q":"int64?"},{"r":"int64?"},{"s":"utf8?"},{"u":"timestamp?"}]"#,
    r#"[{"v":"float64?"},{"w":"int64?"},{"x":"utf8?"},{"single":"float32?"},{"lost":"int8?"}]"#,
    r#"[{"n1":{"type":"int32?","path":"y.n"}},{"n2":{"type":"utf8?","path":"y.deeper.text"}},{"f":{"type":"float64?","path":"y.f"}}]"#,
    r#"[{"k1":{"type":"utf8?","path":"y.kind"}},{"k2":{"type":"utf8?","path":"t.kind"}},{"g":{"type":"bool?","path":"t.g"}},{"s":"utf8?"}]"#,
    r#"[{"a":"decimal(12,2)"},{"n":"decimal(12,2)?"},{"d":"timestamp?"},{"q":{"type":"timestamp?","format":"epoch_ms"}}]"#,
    r#"[{"y":"utf8?"},{"many":"utf8"},{"a":"int32"}]"#,
    r#"[{"d":{"type":"date?"}},{"u":"utf8?"},{"m":"utf8?"},{"n":"int64?"}]"#,
    r#"[{"d":{"type":"date?"}},{"n":"timestamp?"},{"m":"int8?"},{"p":"utf8?"}]"#,
];

fn form(body: &[u8]) -> Vec<u8> {
    value(&[0], body)
}

/// As it is decoded, and how many messages took the short way.
fn both_ways(wanted: &str, bodies: &[Vec<u8>]) -> (Decoded, Decoded, usize) {
    let schema = Schema { id: 7, language: Language::Protobuf, text: FORMS.to_string(), references: Vec::new() };
    let settings = json!({ "columns": serde_json::from_str::<Value>(wanted).unwrap() });
    let mut decoder = checked(settings).ok().unwrap().decoder(Arc::new(Fake(schema))).unwrap();
    let values: Vec<Vec<u8>> = bodies.iter().map(|body| form(body)).collect();
    let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_slice())).collect();
    let records = records(&values);
    decoder.prepare(&records).unwrap();
    let short = decoder.decode(&records);
    let plan = decoder.files[&7].as_ref().ok().unwrap().plans.first().and_then(|(_, plan)| plan.as_ref());
    let (mut slots, mut around) = (Vec::new(), Vec::new());
    let took =
        bodies.iter().filter(|body| plan.is_some_and(|plan| plan.read(body, &mut slots, &mut around).is_ok())).count();
    decoder.files.values_mut().for_each(|known| known.as_mut().ok().unwrap().plans.clear());
    (short, decoder.decode(&records), took)
}

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The bytes of a message, of what `numbers` says.
fn body(message: &MessageDescriptor, numbers: &mut impl Iterator<Item = u32>, depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for field in message.fields() {
        let nested = matches!(field.kind(), FieldKind::Message(_));
        let mut next = || numbers.next().unwrap_or_default();
        if depth > 3 || next() % (if nested { 3 } else { 2 }) > 0 {
            continue;
        }
        let times = if field.is_list() || field.is_map() { next() % 3 } else { 1 };
        for _ in 0..times {
            let mut next = || numbers.next().unwrap_or_default();
            let (bits, small) = (u64::from(next()) << 32 | u64::from(next()), next() % 200);
            let wild = next() % 3 == 0;
            let whole = if wild { bits } else { small.into() };
            let mut at = |stored: u64| put(u64::from(field.number()) << 3 | stored, &mut out);
            let texts = ["", "7", "é\"\\\n", "2019-09-11T10:20:30Z", "1.25"];
            let bytes = match field.kind() {
                FieldKind::Double => {
                    at(1);
                    let number = if wild { f64::from_bits(bits) } else { f64::from(small) / 4.0 };
                    out.extend(number.to_le_bytes());
                    continue;
                }
                FieldKind::Float => {
                    at(5);
                    let number = if wild { f32::from_bits(bits as u32) } else { small as f32 / 4.0 };
                    out.extend(number.to_le_bytes());
                    continue;
                }
                FieldKind::Fixed32 | FieldKind::Sfixed32 => {
                    at(5);
                    out.extend((whole as u32).to_le_bytes());
                    continue;
                }
                FieldKind::Fixed64 | FieldKind::Sfixed64 => {
                    at(1);
                    out.extend(whole.to_le_bytes());
                    continue;
                }
                FieldKind::String => texts[small as usize % texts.len()].as_bytes().to_vec(),
                FieldKind::Bytes => bits.to_le_bytes()[..small as usize % 8].to_vec(),
                FieldKind::Message(message) => body(&message, numbers, depth + 1),
                FieldKind::Enum(_) => {
                    at(0);
                    put([0, 1, -3_i64 as u64, 9][small as usize % 4], &mut out);
                    continue;
                }
                _ => {
                    at(0);
                    put(whole, &mut out);
                    continue;
                }
            };
            at(2);
            put(bytes.len() as u64, &mut out);
            out.extend(bytes);
        }
    }
    out
}

proptest! {
#[test]
fn the_walk_gives_what_the_way_by_json_gives(
    wanted in select(WANTED),
    numbers in proptest::collection::vec(any::<u32>(), 400..2000),
    damage in proptest::collection::vec((any::<usize>(), any::<u8>(), 0_usize..12), 8),
) {
    let file = compile(&Schema { id: 7, language: Language::Protobuf, text: FORMS.to_string(), references: Vec::new() }).unwrap();
    let message = file.messages().next().unwrap();
    let mut numbers = numbers.into_iter();
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for (at, byte, how) in damage {
        let mut bytes = body(&message, &mut numbers, 0);
        match how {
            0 if !bytes.is_empty() => { let at = at % bytes.len(); bytes[at] = byte; }
            1 => bytes.truncate(at % (bytes.len() + 1)),
            // Again: fields of before come twice, messages are added to each other.
            2 => bytes.extend(bodies.last().cloned().unwrap_or_default()),
            3 => bytes.extend([byte, at as u8]),
            _ => {}
        }
        bodies.push(bytes);
    }
    let (short, long, _) = both_ways(wanted, &bodies);
    // Debug text, since NaN is not equal to itself.
    prop_assert_eq!(format!("{short:?}"), format!("{long:?}"));
}
}

#[test]
fn messages_of_plain_values_take_the_short_way() {
    // a -1, k 0.1 of 32 bits, m true, n "x", p RUSH, u 0.5 s, v 2.5, y { n 5, deeper { text "z" } }, packed 1 and 300, a field of none.
    let full = [
        &b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x5d\xcd\xcc\xcc\x3d\x68\x01\x72\x01x\x80\x01\x01"[..],
        b"\xaa\x01\x06\x10\x80\xca\xb5\xee\x01\xb2\x01\x09\x09\x00\x00\x00\x00\x00\x00\x04\x40",
        b"\xca\x01\x07\x08\x05\x1a\x03\x12\x01z\xd2\x01\x03\x01\xac\x02\xf8\x06\x07",
    ]
    .concat();
    for wanted in WANTED.iter().take(6) {
        let (short, long, took) = both_ways(wanted, &[full.clone(), Vec::new()]);
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert_eq!(took, 2, "{wanted}");
    }
    let wanted = r#"[{"a":"int32"},{"k":"float64"},{"u":"timestamp?"},{"n2":{"type":"utf8?","path":"y.deeper.text"}}]"#;
    let (short, ..) = both_ways(wanted, &[full, Vec::new()]);
    assert_eq!(shown(&short), ["-1|0.1|1970-01-01T00:00:00.500Z|z", "0|0.0||"]);
}
