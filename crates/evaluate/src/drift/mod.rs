//! Do the rows of today look like those of before? Each column of a baseline is cut into bins, once; then rows are counted
//! in these bins, over a window that slides, in constant memory. Counts add up in any order, and a window moves by numbers
//! of rows and by no clock: the same rows give the same figures, however they are cut into batches.

mod baseline;
mod bins;
mod builder;
mod window;

pub use baseline::{Baseline, BaselineError, Column};
pub use bins::{Bins, Counts};
pub use builder::Builder;
pub use window::{ColumnDrift, Window};
