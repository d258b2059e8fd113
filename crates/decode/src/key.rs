//! Record keys as a typed column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int32Builder, Int64Builder, StringBuilder, new_null_array};
use foretell_connect::key_type::KeyType;
use foretell_flow::Refused;

use super::field::parse_signed;

/// Decodes keys: one value a key (NULL where there is none or it is bad), and the bad ones, ascending by row.
pub(super) fn decode_key(key: &KeyType, keys: &BinaryArray) -> (ArrayRef, Vec<Refused>) {
    if keys.null_count() == keys.len() {
        return (new_null_array(&key.arrow(), keys.len()), Vec::new());
    }
    let mut bad = Vec::new();
    let mut refuse = |row: usize, reason: &str| {
        bad.push(Refused { row, stage: "decode key".to_string(), reason: reason.to_string() });
    };
    macro_rules! decode {
        ($builder:expr, $read:expr, $reason:literal) => {{
            let mut builder = $builder;
            for (row, key) in keys.iter().enumerate() {
                let value = key.and_then($read);
                if key.is_some() && value.is_none() {
                    refuse(row, $reason);
                }
                builder.append_option(value);
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    let rows = keys.len();
    let array = match key {
        // It has a decoder of its own.
        KeyType::Registry(_) => new_null_array(&key.arrow(), rows),
        KeyType::Binary => Arc::new(keys.clone()) as ArrayRef,
        KeyType::Utf8 => {
            let builder = StringBuilder::with_capacity(rows, keys.value_data().len());
            decode!(
                builder,
                |key| std::str::from_utf8(key).ok(),
                "the key is not UTF-8: `key` of the decoder says how keys are read"
            )
        }
        KeyType::Int64 => {
            let read = |key: &[u8]| parse_signed(key.trim_ascii()).ok();
            decode!(
                Int64Builder::with_capacity(rows),
                read,
                "the key is not an int64 in digits: `key` of the decoder says how keys are read"
            )
        }
        KeyType::Int64Be => {
            let read = |key: &[u8]| key.try_into().ok().map(i64::from_be_bytes);
            decode!(
                Int64Builder::with_capacity(rows),
                read,
                "the key is not 8 bytes long, as an int64 is: `key` of the decoder says how keys are read"
            )
        }
        KeyType::Int32Be => {
            let read = |key: &[u8]| key.try_into().ok().map(i32::from_be_bytes);
            decode!(
                Int32Builder::with_capacity(rows),
                read,
                "the key is not 4 bytes long, as an int32 is: `key` of the decoder says how keys are read"
            )
        }
    };
    (array, bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{Int32Type, Int64Type};

    #[test]
    fn keys_are_typed_and_bad_ones_named() {
        let keys = BinaryArray::from_opt_vec(vec![Some(b"37753240"), None, Some(b"\xff"), Some(b"12\n")]);
        let (array, bad) = decode_key(&KeyType::Int64, &keys);
        assert_eq!(array.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(37_753_240), None, None, Some(12)]));
        assert_eq!(bad.len(), 1);
        assert_eq!(
            (bad[0].row, bad[0].reason.as_str()),
            (2, "the key is not an int64 in digits: `key` of the decoder says how keys are read")
        );

        let (array, bad) = decode_key(&KeyType::Utf8, &keys);
        assert_eq!(array.as_string::<i32>(), &StringArray::from(vec![Some("37753240"), None, None, Some("12\n")]));
        assert!(bad[0].reason.starts_with("the key is not UTF-8: `key`"), "{}", bad[0].reason);

        let (array, bad) = decode_key(&KeyType::Binary, &keys);
        assert_eq!(array.as_binary::<i32>(), &keys);
        assert!(bad.is_empty());
    }

    #[test]
    fn keys_of_java_serializers() {
        let keys = BinaryArray::from_opt_vec(vec![Some(&[0, 0, 0, 0, 0, 0, 1, 0][..]), Some(&[0, 0, 1, 0])]);
        let (array, bad) = decode_key(&KeyType::Int64Be, &keys);
        assert_eq!((array.as_primitive::<Int64Type>().value(0), array.is_null(1)), (256, true));
        assert!(bad[0].reason.starts_with("the key is not 8 bytes long, as an int64 is: "), "{}", bad[0].reason);
        let (array, bad) = decode_key(&KeyType::Int32Be, &keys);
        assert_eq!((array.as_primitive::<Int32Type>().value(1), array.is_null(0)), (256, true));
        assert_eq!(bad[0].row, 0);
    }
}
