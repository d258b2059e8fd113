//! What does the model say?
//!
//! Loads a scikit-learn, XGBoost or LightGBM model from bytes and scores Arrow columns with it, to the bit of what
//! the original library gives. Loaders by family build an immutable IR, the IR is lowered once into a plan, and
//! kernels run the plan over columns. This crate knows Arrow arrays; it knows no streams, no files, no SQL, and
//! starts no thread: callers split the rows.

mod columns;
mod signature;

pub use columns::{Columns, Outputs, Refusal, Want};
pub use signature::{Input, InputKind, Output, Signature};
