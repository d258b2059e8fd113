//! Where records come from.

use crate::kind::{Kind, SourceSettings};

/// Every kind of source.
pub const SOURCES: &[Kind<dyn SourceSettings>] = &[];
