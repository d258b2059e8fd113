//! What is known of a pipeline's models beyond their answers: challengers beside them, and how far today's rows are from
//! those of before. Who knows it stands outside of this crate.

use std::fmt;

use foretell_flow::monitor::Histogram;

/// Tells of models, from any thread; every call is short.
pub trait Insight: fmt::Debug + Send + Sync + 'static {
    /// Each model that has a challenger beside it.
    fn shadows(&self) -> Vec<ShadowReport>;

    /// Each model whose rows are compared with a baseline.
    fn drifts(&self) -> Vec<DriftReport>;
}

/// A challenger beside its champion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShadowReport {
    /// The champion's name.
    pub model: String,
    /// The challenger's.
    pub shadow: String,
    /// Rows of which both say the same.
    pub same: u64,
    /// Rows of which they do not.
    pub different: u64,
    /// Rows that the challenger alone refuses.
    pub refused: u64,
    /// Rows that the challenger could not be asked about.
    pub failed: u64,
    /// Rows that it was not asked about, because it was still busy with others.
    pub skipped: u64,
    /// Of answers that are numbers: the absolute differences, added up, and the largest one.
    pub difference: Option<(f64, f64)>,
    /// How long the champion takes for a batch.
    pub champion: Histogram,
    /// How long the challenger takes.
    pub challenger: Histogram,
}

/// How far a model's rows are from its baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DriftReport {
    /// The model's name.
    pub model: String,
    /// How many rows the baseline is made of; `None` while it is being made.
    pub baseline: Option<u64>,
    /// How many rows have been compared since the start.
    pub rows: u64,
    /// How many rows a window holds.
    pub window: u64,
    /// Of the latest window, once it is full: inputs first, then answers.
    pub columns: Vec<ColumnReport>,
}

/// How far one column is from its baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnReport {
    /// The column's name.
    pub name: String,
    /// The Population Stability Index.
    pub psi: f64,
    /// The Kolmogorov–Smirnov statistic; of numbers only.
    pub ks: Option<f64>,
    /// Whether one of them is above its threshold.
    pub alarm: bool,
    /// Of numbers, the upper edge of each bin but the last.
    pub edges: Vec<f64>,
    /// The baseline's share of each bin; the last is that of missing values.
    pub before: Vec<f64>,
    /// The window's.
    pub now: Vec<f64>,
}
