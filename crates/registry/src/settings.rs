//! How a registry is reached, as the pipeline file says it.

use std::path::PathBuf;

use foretell_connect::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// A schema registry that speaks Confluent's interface: its own, Apicurio (`https://HOST/apis/ccompat/v7`), Karapace,
/// Redpanda.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its address, e.g. `https://registry:8081`.
    pub url: String,
    /// The user, where it asks for one.
    #[serde(default)]
    pub username: Option<String>,
    /// The user's password, by reference.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token instead of user and password, by reference.
    #[serde(default)]
    pub token: Option<Secret>,
    /// File with the authorities to trust (PEM), beside those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}
