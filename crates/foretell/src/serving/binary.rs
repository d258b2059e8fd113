//! Values as bytes, as the extension of KServe's protocol for binary tensors lays them out: little-endian, row after row, and
//! texts behind their length.

use serde_json::Value;

/// The values of a tensor, as JSON has them.
///
/// # Errors
/// A type that is not taken, or bytes that do not come out even.
pub(super) fn values(datatype: &str, bytes: &[u8]) -> Result<Vec<Value>, String> {
    match datatype {
        "FP64" => fixed(bytes, |bytes| real(f64::from_le_bytes(bytes))),
        "FP32" => fixed(bytes, |bytes| real(f64::from(f32::from_le_bytes(bytes)))),
        "INT64" => fixed(bytes, |bytes| Value::from(i64::from_le_bytes(bytes))),
        "INT32" => fixed(bytes, |bytes| Value::from(i32::from_le_bytes(bytes))),
        "INT16" => fixed(bytes, |bytes| Value::from(i16::from_le_bytes(bytes))),
        "INT8" => fixed(bytes, |bytes| Value::from(i8::from_le_bytes(bytes))),
        "UINT64" => fixed(bytes, |bytes| Value::from(u64::from_le_bytes(bytes))),
        "UINT32" => fixed(bytes, |bytes| Value::from(u32::from_le_bytes(bytes))),
        "UINT16" => fixed(bytes, |bytes| Value::from(u16::from_le_bytes(bytes))),
        "UINT8" => fixed(bytes, |[byte]| Value::from(byte)),
        "BOOL" => fixed(bytes, |[byte]| Value::from(byte != 0)),
        "BYTES" => texts(bytes),
        other => Err(format!("bytes of {other} are not taken: send FP64, FP32, an integer, BOOL or BYTES")),
    }
}

fn fixed<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> Value) -> Result<Vec<Value>, String> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    match rest {
        [] => Ok(chunks.iter().map(|chunk| value(*chunk)).collect()),
        _ => Err(format!("{} bytes are not a whole number of values of {N} bytes", bytes.len())),
    }
}

/// JSON has no numbers for these three; their names are taken as such.
fn real(value: f64) -> Value {
    if value.is_nan() {
        return Value::from("NaN");
    }
    match value.is_finite() {
        true => Value::from(value),
        false => Value::from(if value > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

fn texts(mut bytes: &[u8]) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let short = || "a text is longer than the bytes that are there".to_string();
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?;
        all.push(Value::from(std::str::from_utf8(text).map_err(|_| "a text is not UTF-8".to_string())?));
        bytes = rest;
    }
    if bytes.is_empty() { Ok(all) } else { Err("bytes are left over behind the last text".to_string()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_by_their_type() {
        assert_eq!(values("INT8", &[255, 1]).unwrap(), [json!(-1), json!(1)]);
        assert_eq!(values("FP32", &f32::NAN.to_le_bytes()).unwrap(), [json!("NaN")]);
        assert_eq!(values("FP64", &f64::NEG_INFINITY.to_le_bytes()).unwrap(), [json!("-Infinity")]);
        assert_eq!(values("BYTES", b"\x02\0\0\0DE\0\0\0\0").unwrap(), [json!("DE"), json!("")]);
        for (datatype, bytes) in [
            ("INT32", &[1, 2, 3][..]),
            ("BYTES", b"\xff\xff\xff\xffa"),
            ("BYTES", b"\x01\0\0\0\xff"),
            ("BYTES", b"abc"),
        ] {
            assert!(values(datatype, bytes).is_err(), "{datatype}");
        }
    }
}
