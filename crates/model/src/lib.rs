//! What does the model say?
//!
//! Loads a scikit-learn, XGBoost or LightGBM model from bytes and scores Arrow columns with it, to the bit of what
//! the original library gives. Loaders by family build an immutable IR, the IR is lowered once into a plan, and
//! kernels run the plan over columns. This crate knows Arrow arrays; it knows no streams, no files, no SQL, and
//! starts no thread: callers split the rows.
//!
//! ```no_run
//! use foretell_model::{Columns, LoadOptions, Model, Scratch, Method};
//!
//! # fn columns() -> Vec<arrow_array::ArrayRef> { vec![] }
//! let model = Model::load(&std::fs::read("model.joblib")?, &LoadOptions::default())?;
//! let arrays = columns(); // in the order of model.signature().inputs
//! let rows = arrays.first().map_or(0, |array| array.len());
//! let outputs = model.score(&Columns::new(&arrays, rows), Method::Predict, &mut Scratch::default());
//! println!("{:?}, {} rows refused", outputs.columns, outputs.refusals.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod bind;
mod categories;
mod columns;
mod encoding;
mod error;
mod families;
mod family;
mod finite;
mod labels;
mod lightgbm;
mod load;
mod loaded;
mod loader;
mod math;
mod matrix;
mod model;
mod options;
mod pandas;
mod parameters;
mod report;
mod signature;
mod step;
mod text;
mod trees;
mod types;
mod xgboost;

pub use columns::{Columns, Method, Outputs, Refusal};
pub use encoding::{Encoding, Reverse, Unknown};
pub use error::Error;
pub use families::{FAMILIES, allow};
pub use family::Family;
pub use foretell_pickle::Limits;
pub use load::{GlobalReport, Report, inspect};
pub use model::{Model, Scratch};
pub use options::LoadOptions;
pub use report::{Description, FeatureUse, StepReport, TreesReport};
pub use signature::{Input, InputKind, Output, Signature};
