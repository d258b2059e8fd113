//! Which schema is number 7, and which model is the champion?
//!
//! A client of schema registries that speak Confluent's interface. A number means one schema for ever, so what was read is
//! kept; that a number means nothing is asked again after a while. And one of MLflow's model
//! registry: which version an alias names, and its files. And tokens by client credentials, for logins. This crate decodes nothing, reads no models and knows no Kafka.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod client;
mod mlflow;
mod oauth;
mod settings;
#[cfg(test)]
mod tests;

pub use client::Registry;
pub use mlflow::{Mlflow, RegisteredModel, Which};
pub use oauth::{Grant, Granted};
pub use settings::Settings;
