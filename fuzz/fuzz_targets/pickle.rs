//! Pickles as they are: the machine, the scanner, and every family's loader.
#![no_main]

use foretell_pickle::{Limits, scan};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = scan(bytes.to_vec(), &Limits::default());
    foretell_fuzz::load_and_predict(bytes);
});
