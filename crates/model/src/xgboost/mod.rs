//! XGBoost's own formats, without pickle: JSON, UBJSON and the binary of old; all become one [`Booster`].

mod binary;
mod booster;
mod document;
mod json;
mod objective;
mod predict;
mod softmax;
mod ubjson;
mod value;

pub(crate) use booster::Booster;
pub(crate) use objective::Objective;
pub(crate) use predict::{OutputForm, Scorer};

use crate::Error;

/// What the bytes of a saved model or of a pickled handle are, by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Ubjson,
    /// Raw structures, with `binf` before them or `CONFIG-offset:` or nothing.
    Binary,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Json => "XGBoost JSON",
            Form::Ubjson => "XGBoost UBJSON",
            Form::Binary => "XGBoost binary",
        }
    }

    /// Decides by content; a raw binary has no magic, so that it is only believed where its header holds together.
    pub(crate) fn sniff(bytes: &[u8]) -> Option<Form> {
        let text = bytes.trim_ascii_start();
        if text.first() != Some(&b'{') {
            return binary::looks_like(bytes).then_some(Form::Binary);
        }
        let second = text.get(1..).unwrap_or_default();
        let inside = second.trim_ascii_start();
        match inside.first() {
            Some(b'"' | b'}') => Some(Form::Json),
            _ => Some(Form::Ubjson),
        }
    }
}

/// Reads a saved model or the handle of a pickled booster.
///
/// # Errors
/// The bytes break the format, describe trees that cannot be walked, or an objective that is not known.
pub(crate) fn read(bytes: &[u8]) -> Result<Booster, Error> {
    match Form::sniff(bytes) {
        Some(Form::Json) => document::booster(json::parse(bytes)?, "XGBoost JSON"),
        Some(Form::Ubjson) => document::booster(ubjson::parse(bytes)?, "XGBoost UBJSON"),
        _ => binary::read(bytes),
    }
}
