//! SQL databases as a sink and as reference tables. The only crate that knows their clients.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod sink;
pub mod table;

/// Tables as a sink.
pub use sink::KIND as SINK;
/// Dead letters in a table, as the source of a replay.
pub use sink::letters::KIND as LETTERS;
/// The reference table `sql`.
pub use table::KIND as TABLE;
