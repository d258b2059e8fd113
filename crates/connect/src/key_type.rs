//! The types that record keys have.

use arrow::datatypes::DataType;
use schemars::JsonSchema;
use serde::Deserialize;

/// How keys are read: the type of the column `_key`. A record without a key has NULL there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    /// Text.
    #[default]
    Utf8,
    /// An integer written in digits.
    Int64,
    /// Eight bytes, the highest first, as Java's `LongSerializer` writes.
    Int64Be,
    /// Four bytes, the highest first, as Java's `IntegerSerializer` writes.
    Int32Be,
    /// Bytes as they are.
    Binary,
    /// Avro, Protobuf or JSON in the wire format of the source's `registry`, as this type of column: `{ registry: int64 }`,
    /// `{ registry: "struct<id: int64>" }`; as `utf8` what has parts is its JSON.
    Registry(
        /// The column's type.
        String,
    ),
}

impl KeyType {
    /// The type of `_key`, where it is not that of a registry's schemas.
    pub fn arrow(&self) -> DataType {
        match self {
            KeyType::Utf8 | KeyType::Registry(_) => DataType::Utf8,
            KeyType::Int64 | KeyType::Int64Be => DataType::Int64,
            KeyType::Int32Be => DataType::Int32,
            KeyType::Binary => DataType::Binary,
        }
    }
}
