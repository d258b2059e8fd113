//! The probabilities that the scikit-learn wrapper makes of `multi:softmax`'s margins: scipy's softmax, in float32.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "columns of equal lengths")]

use crate::math::float32::exp;
use crate::math::scores::pairwise_sum;

/// Margins, one vector a class, become probabilities.
pub(super) fn softmax(margins: &mut [Vec<f32>]) {
    let mut powers = vec![0.0; margins.len()];
    for row in 0..margins.first().map_or(0, Vec::len) {
        let largest = margins.iter().map(|column| column[row]).fold(f32::NEG_INFINITY, f32::max);
        powers.iter_mut().zip(margins.iter()).for_each(|(power, column)| *power = exp(column[row] - largest));
        let sum = pairwise_sum(&powers);
        margins.iter_mut().zip(&powers).for_each(|(column, power)| column[row] = power / sum);
    }
}
