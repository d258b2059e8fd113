//! Where records come from.

pub mod kafka;

use crate::kind::{Kind, SourceSettings};

/// Every kind of source.
pub const SOURCES: &[Kind<dyn SourceSettings>] = &[kafka::KIND];
