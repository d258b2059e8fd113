//! What a query asks of a model.

use foretell_model::{Columns, Method, Model, Outputs, Signature};

/// What a function that scores rows is, for texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A model.
    Model,
    /// An encoding: labels to codes, or back. Its input has no name; texts name the argument's column.
    Encoding,
}

impl Role {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Model => "model",
            Role::Encoding => "encoding",
        }
    }
}

/// A loaded model or encoding, as a query calls it.
pub trait Scorer: Send + Sync {
    /// What it is.
    fn role(&self) -> Role {
        Role::Model
    }

    /// The SHA-256 of the file that it was read from, in hexadecimal, where it has one.
    fn sha256(&self) -> Option<&str> {
        None
    }

    /// The model's inputs and outputs; the same at every call.
    fn signature(&self) -> &Signature;

    /// One answer a row. `columns` are in the order of `signature().inputs`; the columns of the answer must be those of
    /// `signature().outputs(want)`. A row that the model refuses is NULL in every column and listed.
    fn score(&self, columns: &Columns<'_>, want: Method) -> Outputs;
}

impl Scorer for Model {
    fn signature(&self) -> &Signature {
        Model::signature(self)
    }

    fn score(&self, columns: &Columns<'_>, want: Method) -> Outputs {
        Model::score(self, columns, want)
    }
}
