//! Schemas that records name by number: what a schema registry gives, and decoders and encoders take.

use std::sync::Arc;

use foretell_flow::StageError;

/// In what language a schema is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Avro's own, in JSON.
    Avro,
    /// JSON Schema.
    Json,
    /// A `.proto` file.
    Protobuf,
}

impl Language {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Language::Avro => "Avro",
            Language::Json => "JSON Schema",
            Language::Protobuf => "Protobuf",
        }
    }
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its number in the registry.
    pub id: u32,
    /// Its language.
    pub language: Language,
    /// Its text.
    pub text: String,
    /// Those that it refers to, and theirs, by the names that it calls them by; what refers to another comes behind that.
    pub references: Vec<(String, String)>,
}

/// Where schemas come from. Decoders ask for those that a batch needs before they decode it.
pub trait Schemas: Send + Sync {
    /// The schema of this number; `None` where there is none. Blocks while it is fetched; what was fetched is kept.
    ///
    /// # Errors
    /// [`Unavailable`](foretell_flow::Fault::Unavailable) where the registry does not answer; a login that it refuses.
    fn schema(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError>;
}

/// A value of the registry's wire format: a zero byte, the schema's number in four bytes with the highest first, and then
/// the value itself. `None` for other values.
pub fn framed(value: &[u8]) -> Option<(u32, &[u8])> {
    let (0, rest) = value.split_first()? else { return None };
    let (id, body) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_zero_and_a_number() {
        assert_eq!(framed(b"\0\0\0\x01\x02{}"), Some((258, &b"{}"[..])));
        assert_eq!(framed(b"\0\0\0\0\x01"), Some((1, &b""[..])));
        assert_eq!(framed(b"\0\0\0\x01"), None);
        assert_eq!(framed(b"{\"a\": 1}"), None);
        assert_eq!(framed(b""), None);
    }
}
