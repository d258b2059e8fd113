//! What the Kafka source and the Kafka sink share: settings of the client, the questions that need no group, errors.

pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod inspect;
pub mod mock;
pub(crate) mod raw;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
