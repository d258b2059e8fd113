//! Kafka as a source and as a sink, and what both share: settings of the client, the questions that need no group,
//! errors. The only crate that knows librdkafka.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod client;
mod error;
mod inspect;
mod login;
pub mod mock;
mod raw;
pub mod settings;
pub mod sink;
pub mod source;
#[cfg(test)]
mod testing;

/// Topics as a source.
pub use source::KIND as SOURCE;

/// Topics as a sink.
pub use sink::KIND as SINK;
