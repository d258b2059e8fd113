//! Where rows land.

use crate::kind::{Kind, SinkSettings};

/// Every kind of sink.
pub const SINKS: &[Kind<dyn SinkSettings>] = &[];
