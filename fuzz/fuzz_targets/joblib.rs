//! joblib files: containers, wrapped arrays, nested pickles.
#![no_main]

use foretell_pickle::{Limits, scan};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = scan(bytes.to_vec(), &Limits::default());
    foretell_fuzz::load_and_predict(bytes);
});
