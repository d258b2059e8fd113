//! Which schema is number 7?
//!
//! A client of schema registries that speak Confluent's interface. A number means one schema for ever, so what was read is
//! kept; that a number means nothing is asked again after a while. This crate decodes nothing and knows no Kafka.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod client;
mod settings;
#[cfg(test)]
mod tests;

pub use client::Registry;
pub use settings::Settings;
