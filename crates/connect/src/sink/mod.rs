//! Where rows land.

use crate::kind::{Kind, SinkSettings};

pub mod sql;

/// Every kind of sink.
pub const SINKS: &[Kind<dyn SinkSettings>] = &[sql::KIND];
