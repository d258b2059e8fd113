//! What linear classifiers and their relatives share: products, and scores turned into classes and probabilities.
//! Columns are outputs; a single column is the score of the second of two classes.

use std::collections::BTreeSet;
use std::ops::Add;

use crate::matrix::{Csr, Dense, round};

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

/// Where a product alone is beyond float32, a sum in float32 is infinite, or NaN where there are such of both signs,
/// whatever the others add.
pub(crate) fn overflow_float32(x: &Dense, coef: &[f64], products: &mut [Vec<f64>]) {
    let most = f64::from(f32::MAX);
    let largest = coef.iter().fold(0.0_f64, |largest, weight| largest.max(weight.abs()));
    let far = |value: &f64| value.abs() * largest > most;
    let rows: BTreeSet<usize> = (0..x.cols)
        .flat_map(|col| x.column(col).iter().enumerate().filter(|(_, value)| far(value)).map(|(row, _)| row))
        .collect();
    for (product, coef) in products.iter_mut().zip(coef.chunks_exact(x.cols.max(1))) {
        for row in &rows {
            let terms = coef.iter().enumerate().map(|(col, weight)| round(x.column(col)[*row] * weight, true));
            let beyond = terms.filter(|term| term.is_infinite()).fold(0.0, f64::add);
            product[*row] += beyond;
        }
    }
}

/// A sum of products as float32 holds it, and where one of them is beyond that as [`overflow_float32`] has it.
pub(crate) fn single<'v>(sum: f64, factors: impl Iterator<Item = (&'v f64, &'v f64)>) -> f64 {
    let terms = factors.map(|(a, b)| round(a * b, true));
    round(sum + terms.filter(|term| term.is_infinite()).fold(0.0, f64::add), true)
}

/// The products of a sparse table.
pub(crate) fn sparse_products(x: &Csr, coef: &[f64]) -> Vec<Vec<f64>> {
    let product = |coef: &[f64], row| x.row(row).fold(0.0, |sum, (col, value)| sum + value * coef[col as usize]);
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

/// The index of the largest score of each row, of equal ones the first, even where there is a single column.
pub(crate) fn first_largest<T: PartialOrd>(scores: &[Vec<T>], rows: usize) -> Vec<u32> {
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

/// numpy's average over several answers: a sum in their order, in float32 where all of them are, then divided.
#[derive(Debug)]
pub(crate) struct Average<'w> {
    weights: Option<&'w [f64]>,
    narrow: bool,
    count: usize,
    sum: Vec<Vec<f64>>,
}

impl<'w> Average<'w> {
    pub(crate) fn new(weights: Option<&'w [f64]>, narrow: bool) -> Self {
        Average { weights, narrow, count: 0, sum: Vec::new() }
    }

    pub(crate) fn add(&mut self, mut columns: Vec<Vec<f64>>) {
        if let Some(weights) = self.weights {
            let weight = weights[self.count];
            columns.iter_mut().flatten().for_each(|value| *value *= weight);
        }
        if self.count == 0 {
            self.sum = columns;
        } else {
            for (sum, value) in self.sum.iter_mut().flatten().zip(columns.iter().flatten()) {
                *sum = round(*sum + value, self.narrow);
            }
        }
        self.count += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<Vec<f64>> {
        let scale = self.weights.map_or(self.count as f64, pairwise_sum);
        let narrow = self.narrow;
        self.sum.iter_mut().flatten().for_each(|sum| *sum = round(*sum / scale, narrow));
        self.sum
    }
}

/// numpy's sum along a contiguous axis: in order below 8 elements, eight partial sums up to 128, halves above. The
/// halving goes no deeper than the logarithm of their number.
pub(crate) fn pairwise_sum<T: Copy + Default + Add<Output = T>>(values: &[T]) -> T {
    if values.len() < 8 {
        return values.iter().copied().reduce(|sum, value| sum + value).unwrap_or_default();
    }
    if values.len() > 128 {
        let half = values.len() / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let mut r = [T::default(); 8];
    for eight in eights {
        r.iter_mut().zip(eight).for_each(|(r, value)| *r = *r + *value);
    }
    let [a, b, c, d, e, f, g, h] = r;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + *value)
}

pub(crate) fn expit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The same of a float32.
pub(crate) fn expit32(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The logistic function of each score; several classes are divided by their sum, all alike where that is zero.
pub(crate) fn logistic(mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    scores.iter_mut().flatten().for_each(|score| *score = expit(*score));
    share(scores)
}

/// The same of the one score of two classes in float32, whose shares are rounded before they are taken from 1.
pub(crate) fn logistic32(score: &[f64]) -> Vec<Vec<f64>> {
    let second: Vec<f32> = score.iter().map(|score| expit32(*score as f32)).collect();
    let first = second.iter().map(|share| f64::from(1.0 - share)).collect();
    vec![first, second.into_iter().map(f64::from).collect()]
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
    let even = 1.0 / all.len() as f64;
    by_row(&mut all, |row| {
        let sum = pairwise_sum(row);
        row.iter_mut().for_each(|value| *value = if sum == 0.0 { even } else { *value / sum });
    });
    all
}

/// The formula of a softmax: the same in exact numbers, but not in their last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formula {
    /// `exp(score - largest) / sum`, with the sum over `exp(score - largest)` of all classes.
    Quotient,
    /// `exp(score - (log(sum) + largest))`, by scipy's `logsumexp`.
    LogSumExp,
    /// `exp(score - largest - log(sum))`.
    Shifted,
}

/// How scores of several classes become shares of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Softmax {
    pub(crate) formula: Formula,
    /// Whether the scores of a row lie side by side in numpy's memory: that decides the order of their sum.
    pub(crate) side_by_side: bool,
}

impl Softmax {
    /// Quotients of an array as numpy makes them.
    pub(crate) const PLAIN: Self = Softmax { formula: Formula::Quotient, side_by_side: true };
    /// Quotients of an array that was built class by class.
    pub(crate) const BY_CLASS: Self = Softmax { formula: Formula::Quotient, side_by_side: false };

    /// Of scores, a column a class; a lone score stands beside its negative.
    pub(crate) fn of(self, mut scores: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        if scores.len() == 1 {
            let first = scores[0].iter().map(|second| -second).collect();
            scores.insert(0, first);
        }
        let mut powers = vec![0.0; scores.len()];
        by_row(&mut scores, |row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            powers.iter_mut().zip(row.iter()).for_each(|(power, score)| *power = (score - largest).exp());
            let sum = if self.side_by_side { pairwise_sum(&powers) } else { powers.iter().sum() };
            match self.formula {
                Formula::Quotient => row.iter_mut().zip(&powers).for_each(|(score, power)| *score = power / sum),
                Formula::LogSumExp => {
                    let log = sum.ln() + largest;
                    row.iter_mut().for_each(|score| *score = (*score - log).exp());
                }
                Formula::Shifted => {
                    let log = sum.ln();
                    row.iter_mut().for_each(|score| *score = (*score - largest - log).exp());
                }
            }
        });
        scores
    }
}

/// Changes columns row by row.
fn by_row(columns: &mut [Vec<f64>], mut change: impl FnMut(&mut [f64])) {
    let mut values = vec![0.0; columns.len()];
    for row in 0..columns.first().map_or(0, Vec::len) {
        values.iter_mut().zip(columns.iter()).for_each(|(value, column)| *value = column[row]);
        change(&mut values);
        values.iter().zip(columns.iter_mut()).for_each(|(value, column)| column[row] = *value);
    }
}

#[cfg(test)]
mod tests {
    use super::pairwise_sum;

    #[test]
    fn sums_in_numpys_order() {
        // numpy.array([0.1] * n).sum() for each n.
        assert_eq!(pairwise_sum(&[0.1; 3]), 0.30000000000000004);
        assert_eq!(pairwise_sum(&[0.1; 10]), 1.0);
        assert_eq!(pairwise_sum(&[0.1; 300]), 29.999999999999996);
    }
}
