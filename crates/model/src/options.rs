//! How a file is read.

use std::collections::BTreeMap;
use std::ops::Range;

use foretell_pickle::Limits;

/// How a file is read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Where the model is in a file that holds several things: `model`, `models[2].best`, `stores["St. Gallen"]`. A
    /// text key or an attribute stands after a dot, and where it is not a plain word in brackets and quotes; in brackets
    /// too stand the place in a list or tuple, counted from 0, and a key that is not text. Several are a chain: each is given
    /// what the one before it makes. Of several files, one for each, which may be empty.
    pub at: Vec<String>,
    /// Budgets of the pickle reader.
    pub limits: Limits,
    /// Names of the inputs, in their order, for files that tell none. What hashes names takes its inputs from here.
    pub columns: Vec<String>,
    /// Levels of categorical columns by feature name, for boosters that store none.
    pub categories: BTreeMap<String, Vec<String>>,
    /// Whether the model is to say why: its trees stay in memory as their file has them.
    pub explain: bool,
    /// Which boosting rounds are scored; the default is what the library's `predict` takes.
    pub iterations: Option<Range<usize>>,
}
