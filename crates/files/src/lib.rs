//! Files as a source, as a sink and as reference tables: CSV, JSON Lines, Parquet and lines, local, on HDFS and on S3.
//! The only crate that knows Parquet's format.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod canonical;
pub mod encoding;
pub mod footer;
pub mod sink;
pub mod source;
pub mod table;
#[cfg(test)]
mod testing;

/// Files as a source.
pub use source::KIND as SOURCE;

/// Files as a sink.
pub use sink::KIND as SINK;
/// The reference table `file`.
pub use table::KIND as TABLE;
