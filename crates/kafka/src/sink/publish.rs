//! The schema of values, in a registry.

use foretell_connect::schemas::Language;
use foretell_flow::StageError;
use foretell_registry::Registry;

use super::encode::Encoder;

/// Where the schema is, or comes to be.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) registry: Registry,
    pub(super) subject: String,
    pub(super) register: bool,
}

impl Publisher {
    /// The schema's number.
    pub(super) async fn number(&self, encoder: &Encoder) -> Result<u32, StageError> {
        let (language, text) = encoder.registered().unwrap_or((Language::Avro, ""));
        if self.register {
            return self.registry.register(&self.subject, language, text).await;
        }
        self.registry.look_up(&self.subject, language, text).await?.ok_or_else(|| {
            let subject = &self.subject;
            let error =
                StageError::settings(format!("subject `{subject}` has no schema of the result's columns: {text}"));
            error.remedy("register it, or leave `register: false` out")
        })
    }
}
