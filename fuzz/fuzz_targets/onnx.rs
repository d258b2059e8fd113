//! ONNX graphs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    foretell_fuzz::load_and_predict(bytes);
});
