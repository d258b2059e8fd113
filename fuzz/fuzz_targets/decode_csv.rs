//! CSV records of columns of every type, in several dialects: the first byte chooses.
#![no_main]

use serde_json::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (delimiter, quote) = [(",", "\""), (";", ""), ("\t", "'"), ("5", "7")][usize::from(*first % 4)];
    let columns = foretell_fuzz::columns();
    let settings = json!({ "columns": columns, "delimiter": delimiter, "quote": quote });
    foretell_fuzz::decode("csv", settings, rest);
});
