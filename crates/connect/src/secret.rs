//! Values that never print.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A value that must come by reference in the pipeline file (`{ env: NAME }` or `{ file: PATH }`): a password. It never
/// prints. Whether it came by reference is checked where the pipeline file is read, by its schema's name.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// A URL that may hold a password; then it must come by reference. It never prints.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

macro_rules! secret {
    ($type:ident, $name:literal, $schema:expr) => {
        impl $type {
            /// Wraps a value.
            pub fn new(value: impl Into<String>) -> Self {
                $type(value.into())
            }

            /// The value, for the one call that needs it.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("***")
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

secret!(Secret, "Secret", schemars::json_schema!({ "description": "A secret, by reference.", "type": "string" }));
secret!(
    SecretUrl,
    "SecretUrl",
    schemars::json_schema!({ "description": "A URL; by reference where it holds a password.", "type": "string" })
);
