//! How good predictions are: pure functions of what was predicted and what happened, equal to scikit-learn's.

pub mod calibration;
pub mod classification;
pub mod ranking;
pub mod regression;
mod sum;
#[cfg(test)]
mod tests;

use sum::{Sum, mean};

/// The weight of a row: 1 where there are none.
fn weight(weights: &[f64], row: usize) -> f64 {
    weights.get(row).copied().unwrap_or(1.0)
}
