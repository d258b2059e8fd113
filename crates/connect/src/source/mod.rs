//! Where records come from.

pub mod file;
pub mod kafka;
pub mod socket;

use crate::kind::{Kind, SourceSettings};

/// Every kind of source.
pub const SOURCES: &[Kind<dyn SourceSettings>] = &[file::KIND, kafka::KIND, socket::KIND];
