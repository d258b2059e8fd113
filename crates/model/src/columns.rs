//! What a caller hands in and gets back.

use arrow_array::ArrayRef;

/// What to ask a model for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `predict`.
    Predict,
    /// `predict_proba`.
    Proba,
    /// `decision_function`.
    Decision,
    /// `score_samples`.
    Samples,
    /// `transform`.
    Transform,
    /// What each column adds to the answer (Shapley values), and the mean answer.
    Contribs,
    /// The three columns that add or take most, as a text.
    Reasons,
    /// In which leaf of each tree a row ends.
    Leaves,
}

/// Input columns in the model's feature order, all of one length; borrowed, never copied.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    arrays: &'a [ArrayRef],
    rows: usize,
}

impl<'a> Columns<'a> {
    /// Columns in the model's feature order. `rows` counts where there is no column; otherwise every array must have
    /// that length.
    ///
    /// # Panics
    /// If an array has another length: a bug in the caller, never in the data.
    pub fn new(arrays: &'a [ArrayRef], rows: usize) -> Self {
        assert!(arrays.iter().all(|array| array.len() == rows), "columns of one batch have one length");
        Columns { arrays, rows }
    }

    /// The arrays, in order.
    pub fn arrays(&self) -> &'a [ArrayRef] {
        self.arrays
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// What a model answers.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// One array an output, as the signature lists them, each as long as the input. NULL in refused rows only.
    pub columns: Vec<ArrayRef>,
    /// The rows that the original library would have raised on, ascending by row.
    pub refusals: Vec<Refusal>,
    /// Input columns that held values which an encoder did not know and let pass, as `handle_unknown="ignore"` does: the
    /// name (or `feature 3`) and in how many rows. The answers are the library's all the same.
    pub unseen: Vec<(String, usize)>,
}

/// A row that the model refuses, as the library it came from would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Index of the row in the columns handed in.
    pub row: u32,
    /// The step of the model that refuses, e.g. `OneHotEncoder`.
    pub step: String,
    /// The feature's name or `feature 3`, where one feature is at fault.
    pub column: Option<String>,
    /// Why, without the value: `infinity`, `unseen category`, `missing value`.
    pub reason: String,
}
