//! What of a pipeline cannot be planned.

use std::fmt;

/// A part of a pipeline's spec, and why it cannot be planned.
#[derive(Debug)]
pub(crate) struct PlanError {
    pub(crate) part: SpecPart,
    pub(crate) cause: anyhow::Error,
}

/// What a pipeline file says, part by part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SpecPart {
    /// How records are decoded.
    Decode,
    /// The query over the records.
    Query,
    /// The query of a sink of this name.
    Sink(String),
    /// The encoding of this name.
    Encoding(String),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            // Its causes name it.
            SpecPart::Decode => {}
            SpecPart::Query => f.write_str("query: ")?,
            SpecPart::Sink(name) => write!(f, "sinks.{name}.query: ")?,
            SpecPart::Encoding(name) => write!(f, "encodings.{name}: ")?,
        }
        write!(f, "{:#}", self.cause)
    }
}

impl std::error::Error for PlanError {}
