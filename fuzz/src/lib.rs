//! What the fuzz targets share: each loads its bytes and asks the model for everything it has.

#[path = "../../crates/model/tests/try_out/mod.rs"]
mod try_out;

/// Loads, and where that works asks for everything that the model has.
pub fn load_and_predict(bytes: &[u8]) {
    try_out::try_out(bytes);
}
