//! What the fuzz targets share: each loads its bytes and asks the model for everything it has.

#[path = "../../crates/model/tests/try_out/mod.rs"]
mod try_out;

/// Loads, and where that works asks for everything that the model has.
pub fn load_and_predict(bytes: &[u8]) {
    try_out::try_out(bytes);
}

/// What stands before the name of each further file in the text of an archive.
const FILE: &[u8] = b"\0FILE:";

/// A zip of `schema.json` and of further files, with headers that are right: damage to it would end in a checksum.
pub fn archive(text: &[u8]) -> Vec<u8> {
    let mut rest = text;
    let mut files = vec![(b"schema.json".as_slice(), piece(&mut rest))];
    while !rest.is_empty() {
        let named = piece(&mut rest);
        let end = named.iter().position(|byte| *byte == b'\n').unwrap_or(named.len());
        files.push((&named[..end], named.get(end + 1..).unwrap_or_default()));
    }
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in &files {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let size = (data.len() as u32).to_le_bytes();
        let name_len = (name.len() as u16).to_le_bytes();
        // Version, flags, method, time and date; then what both headers end with.
        let header =
            [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0], crc.sum().to_le_bytes().as_slice(), &size, &size, &name_len].concat();
        let at = (body.len() as u32).to_le_bytes();
        directory.extend([b"PK\x01\x02\x14\0".as_slice(), &header, &[0; 12], &at, name].concat());
        body.extend([b"PK\x03\x04".as_slice(), &header, &[0; 2], name, data].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let sizes = [(directory.len() as u32).to_le_bytes(), (body.len() as u32).to_le_bytes()].concat();
    [body, directory, [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &sizes, &[0; 2]].concat()].concat()
}

/// The bytes up to the next file, which are taken off.
fn piece<'t>(rest: &mut &'t [u8]) -> &'t [u8] {
    let end = rest.windows(FILE.len()).position(|window| window == FILE);
    let (piece, after) = end.map_or((*rest, [].as_slice()), |end| (&rest[..end], &rest[end + FILE.len()..]));
    *rest = after;
    piece
}

/// A column of each type, which may be missing.
pub fn columns() -> serde_json::Value {
    const TYPES: [&str; 15] = [
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "utf8", "bool", "date",
        "timestamp", "decimal(12,2)",
    ];
    TYPES.iter().map(|name| serde_json::json!({ *name: format!("{name}?") })).collect()
}

/// The columns of a sink.
pub fn schema() -> arrow::datatypes::SchemaRef {
    use arrow::datatypes::{DataType, Field, Schema};
    Schema::new(vec![Field::new("id", DataType::Int64, true)]).into()
}

/// Decodes the lines of a text as records: each is a row or is refused.
pub fn decode(kind: &str, settings: serde_json::Value, text: &[u8]) {
    let kind = foretell_decode::DECODERS.iter().find(|known| known.name == kind).expect("it is a decoder");
    let settings = (kind.parse)(settings).ok().expect("the settings are right");
    let mut records = foretell_flow::RecordsBuilder::new("fuzz".into());
    for (offset, line) in (0..).zip(text.split(|byte| *byte == 0)) {
        records.push(0, offset, None, None, Some(line), Vec::new());
    }
    let records = records.finish();
    let decoded = settings.open().expect("it opens").decode(&records);
    assert_eq!(decoded.columns.num_rows() + decoded.bad.len(), records.len());
}
