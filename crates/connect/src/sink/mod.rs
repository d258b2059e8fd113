//! Where rows land.

pub mod console;
pub mod file;
pub mod kafka;
pub mod sql;
mod text;

use crate::kind::{Kind, SinkSettings};

/// Every kind of sink.
pub const SINKS: &[Kind<dyn SinkSettings>] = &[console::KIND, file::KIND, kafka::KIND, sql::KIND];
