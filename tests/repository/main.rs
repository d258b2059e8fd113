//! Does the repository keep its own rules? Read from its files; no service is needed.
//!
//! `arrows.rs` is about the crates, `imports.rs` about the modules within each, `docs.rs` about pages that people copy
//! from, `fixtures.rs` about how large the fixtures are, and `quick.rs` about what `make quick` runs.

#![forbid(unsafe_code)]

mod arrows;
mod docs;
mod fixtures;
mod imports;
mod quick;

use std::path::PathBuf;

/// The root of the checkout.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
