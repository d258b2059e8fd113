//! What does the model say?
//!
//! Loads a scikit-learn, XGBoost, LightGBM or CatBoost model, ONNX or PMML from bytes and scores Arrow columns with it, to
//! the bit of what the original library gives where that can be. Loaders by family build an immutable IR, the IR is lowered once into a plan, and
//! kernels run the plan over columns. This crate knows Arrow arrays; it knows no streams, no files, no SQL, and
//! starts no thread: callers split the rows.
//!
//! ```
//! use std::sync::Arc;
//!
//! use foretell_model::arrow_array::{ArrayRef, Float64Array, RecordBatch};
//! use foretell_model::{LoadOptions, Model};
//!
//! # let bytes = include_bytes!("../examples/model.pickle");
//! let model = Model::load(bytes, &LoadOptions::default())?;
//! let column = |values: [f64; 2]| Arc::new(Float64Array::from_iter_values(values)) as ArrayRef;
//! let batch = RecordBatch::try_from_iter([("dose", column([1.5, 0.2])), ("age", column([41.0, 67.0]))])?;
//! let outputs = model.predict(&batch)?;
//! assert_eq!(outputs.columns[0].len(), 2);
//! assert!(outputs.refusals.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Files come from anywhere. Kernels, and what runs on checked tables, say for themselves why they may index.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod attributes;
mod bind;
mod catboost;
mod categories;
mod columns;
mod encoding;
mod error;
mod families;
mod family;
mod finite;
mod labels;
#[cfg(test)]
mod layers;
mod lightgbm;
mod load;
mod loaded;
mod loader;
mod math;
mod matrix;
mod model;
mod onnx;
mod options;
mod pandas;
mod parameters;
mod pmml;
mod report;
mod signature;
mod step;
mod text;
mod trees;
mod types;
mod xgboost;

pub use arrow_array;
pub use arrow_schema;
pub use columns::{Columns, Method, Outputs, Refusal};
pub use encoding::{Encoding, Reverse, Unknown};
pub use error::Error;
pub use families::{FAMILIES, allow};
pub use family::Family;
pub use foretell_pickle::Limits;
pub use load::{GlobalReport, Report, inspect, looks_like_model, paths};
pub use model::Model;
pub use options::LoadOptions;
pub use report::{Description, FeatureUse, StepReport, TreesReport};
pub use signature::{Input, InputKind, Output, Signature};
