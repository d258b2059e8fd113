//! JSON records of columns of every type, and the values of a JSON text.
#![no_main]

use foretell_decode::{Element, Elements};
use serde_json::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    foretell_fuzz::decode("json", json!({ "columns": foretell_fuzz::columns() }), bytes);
    let (mut elements, mut at) = (Elements::default(), 0);
    while let Element::Value(value) = elements.next(bytes, at, true) {
        assert!(value.start < value.end && value.start >= at && value.end <= bytes.len());
        at = value.end;
    }
});
