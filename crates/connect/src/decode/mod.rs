//! Bytes to columns.

use crate::kind::{DecodeSettings, Kind};

/// Every kind of decoder.
pub const DECODERS: &[Kind<dyn DecodeSettings>] = &[];
