//! Reference tables: CSV, JSON and Parquet files. The first byte chooses.
#![no_main]

use foretell_files::table::{Format, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let format = [Format::Csv, Format::Jsonl, Format::Parquet][usize::from(*first % 3)];
    let _ = read("table", format, None, rest.to_vec(), &Default::default());
});
