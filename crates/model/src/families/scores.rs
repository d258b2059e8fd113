//! What linear classifiers and their relatives share: products, and scores turned into classes and probabilities.
//! Columns are outputs; a single column is the score of the second of two classes.

use crate::matrix::{Csr, Dense};

/// `x · coefᵀ`, a column for each row of `coef`.
pub(crate) fn products(x: &Dense, coef: &[f64]) -> Vec<Vec<f64>> {
    let output = |coef: &[f64]| {
        let mut out = vec![0.0; x.rows];
        for (col, weight) in coef.iter().enumerate() {
            for (out, value) in out.iter_mut().zip(x.column(col)) {
                *out += value * weight;
            }
        }
        out
    };
    coef.chunks_exact(x.cols.max(1)).map(output).collect()
}

/// The same of a sparse table.
pub(crate) fn sparse_products(x: &Csr, coef: &[f64]) -> Vec<Vec<f64>> {
    let product = |coef: &[f64], row| x.row(row).map(|(col, value)| value * coef[col as usize]).sum();
    coef.chunks_exact(x.cols.max(1)).map(|coef| (0..x.rows()).map(|row| product(coef, row)).collect()).collect()
}

/// The class of each row: the first of the largest scores, or the second of two where its score is above zero.
pub(crate) fn best(scores: &[Vec<f64>]) -> Vec<u32> {
    if let [one] = scores {
        return one.iter().map(|score| u32::from(*score > 0.0)).collect();
    }
    let rows = scores.first().map_or(0, Vec::len);
    let mut best = vec![0u32; rows];
    for (row, best) in best.iter_mut().enumerate() {
        for (class, column) in scores.iter().enumerate() {
            if column[row] > scores[*best as usize][row] {
                *best = class as u32;
            }
        }
    }
    best
}

pub(crate) fn expit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The logistic function of each score; several classes are divided by their sum, all alike where that is zero.
pub(crate) fn logistic(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    scores.iter_mut().flatten().for_each(|score| *score = expit(*score));
    share(scores)
}

/// SGD's modified Huber loss: `(clip(score, -1, 1) + 1) / 2`.
pub(crate) fn huber(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    scores.iter_mut().flatten().for_each(|score| *score = (score.clamp(-1.0, 1.0) + 1.0) / 2.0);
    share(scores)
}

fn share(mut all: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    if all.len() == 1 {
        let first = all[0].iter().map(|second| 1.0 - second).collect();
        all.insert(0, first);
        return all;
    }
    let rows = all.first().map_or(0, Vec::len);
    let even = 1.0 / all.len() as f64;
    for row in 0..rows {
        let sum: f64 = all.iter().map(|column| column[row]).sum();
        all.iter_mut().for_each(|column| column[row] = if sum == 0.0 { even } else { column[row] / sum });
    }
    all
}

/// `exp(score - largest)` divided by their sum; a lone score stands beside its negative.
pub(crate) fn softmax(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    if scores.len() == 1 {
        let first = scores[0].iter().map(|second| -second).collect();
        scores.insert(0, first);
    }
    let rows = scores.first().map_or(0, Vec::len);
    for row in 0..rows {
        let largest = scores.iter().map(|column| column[row]).fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for column in &mut scores {
            column[row] = (column[row] - largest).exp();
            sum += column[row];
        }
        scores.iter_mut().for_each(|column| column[row] /= sum);
    }
    scores
}
