//! skops files: the zip as it is, or (where the bytes are none) the files of one.
#![no_main]

use foretell_pickle::{Limits, scan};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let archive = if bytes.starts_with(b"PK") { bytes.to_vec() } else { foretell_fuzz::archive(bytes) };
    let _ = scan(archive.clone(), &Limits::default());
    foretell_fuzz::load_and_predict(&archive);
});
