//! What a query asks of a model.

use foretell_model::{Columns, Outputs, Signature, Want};

/// A loaded model, as a query calls it.
pub trait Scorer: Send + Sync {
    /// The model's inputs and outputs; the same at every call.
    fn signature(&self) -> &Signature;

    /// One answer a row. `columns` are in the order of `signature().inputs`; the columns of the answer must be those of
    /// `signature().outputs(want)`. A row that the model refuses is NULL in every column and listed.
    fn score(&self, columns: &Columns<'_>, want: Want) -> Outputs;
}
