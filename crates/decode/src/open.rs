//! The decoder of some settings, with what stands around it: keys of a registry, tombstones, headers.

use std::sync::Arc;

use foretell_connect::key_type::KeyType;
use foretell_connect::kind::DecodeSettings;
use foretell_connect::schemas::Schemas;
use foretell_flow::{Decode, StageError};

use super::headers::with_headers;
use super::registry_key::Fetching;
use super::tombstones::with_tombstones;

/// The decoder of these settings, with what they say of records without a value and of headers. `schemas` has the schemas that records
/// name by number.
///
/// # Errors
/// Settings that contradict each other.
pub fn open_decoder(
    settings: &dyn DecodeSettings,
    schemas: Option<Arc<dyn Schemas>>,
) -> Result<Box<dyn Decode>, StageError> {
    let mut inner = settings.open_with(schemas.clone())?;
    if let (KeyType::Registry(_), Some(schemas)) = (settings.key(), schemas) {
        inner = Box::new(Fetching { inner, schemas });
    }
    let decoder = with_tombstones(inner, settings.tombstones())?;
    match settings.headers() {
        Some(headers) if !headers.is_empty() => with_headers(decoder, headers),
        _ => Ok(decoder),
    }
}
