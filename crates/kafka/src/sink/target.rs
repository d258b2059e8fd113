//! The topics of a sink.

/// Where records go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) topic: String,
    pub(super) progress: String,
    pub(super) rejects: Option<String>,
    pub(super) exactly_once: bool,
    /// Whether there is a column for the key.
    pub(super) keyed: bool,
}
