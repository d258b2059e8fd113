//! Numbers against numbers.

use super::{Sum, mean, weight};

/// What happened and what was predicted, row by row; 16 bytes a row. The median needs them all.
#[derive(Debug, Default)]
pub struct Pairs {
    /// What happened.
    pub actual: Vec<f64>,
    /// What was predicted.
    pub predicted: Vec<f64>,
    /// Empty where all rows count alike.
    pub weight: Vec<f64>,
}

/// The figures of a regression. The error of a row is predicted minus actual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression {
    /// `mean(|error| / max(|actual|, 2.2e-16))`, a share: 0.15 is 15 %.
    pub mape: f64,
    /// `mean(|error|)`.
    pub mae: f64,
    /// `sqrt(mean(error²))`.
    pub rmse: f64,
    /// `1 - Σ error² / Σ (actual - mean)²`; where all actual values are equal 1 without any error, else 0; none of one
    /// row.
    pub r2: Option<f64>,
    /// The median of `|error|`.
    pub median: f64,
    /// The largest `|error|`.
    pub max: f64,
    /// `mean(error)`: above zero where the model predicts too much.
    pub bias: f64,
}

impl Pairs {
    /// The error of each row.
    pub fn errors(&self) -> impl Iterator<Item = f64> + Clone {
        self.predicted.iter().zip(&self.actual).map(|(predicted, actual)| predicted - actual)
    }

    /// The figures; there must be a row.
    pub fn figures(&self) -> Regression {
        let weights = &self.weight[..];
        let absolute = || self.errors().map(f64::abs);
        let shares = absolute().zip(&self.actual).map(|(error, actual)| error / actual.abs().max(f64::EPSILON));
        Regression {
            mape: mean(shares, weights),
            mae: mean(absolute(), weights),
            rmse: mean(self.errors().map(|error| error * error), weights).sqrt(),
            r2: self.r2(),
            median: self.median(),
            max: absolute().fold(0.0, f64::max),
            bias: mean(self.errors(), weights),
        }
    }

    fn r2(&self) -> Option<f64> {
        if self.actual.len() < 2 {
            return None;
        }
        let center = mean(self.actual.iter().copied(), &self.weight);
        let squares = |terms: &mut dyn Iterator<Item = f64>| {
            terms.enumerate().map(|(row, x)| weight(&self.weight, row) * x * x).collect::<Sum>().value()
        };
        let unexplained = squares(&mut self.errors());
        let all = squares(&mut self.actual.iter().map(|actual| actual - center));
        Some(match (unexplained == 0.0, all == 0.0) {
            (true, true) => 1.0,
            (false, true) => 0.0,
            _ => 1.0 - unexplained / all,
        })
    }

    fn median(&self) -> f64 {
        let mut errors: Vec<f64> = self.errors().map(f64::abs).collect();
        if self.weight.is_empty() {
            let rows = errors.len();
            let (below, upper, _) = errors.select_nth_unstable_by(rows / 2, f64::total_cmp);
            let lower = if rows % 2 == 1 { *upper } else { below.iter().copied().fold(0.0, f64::max) };
            return (lower + *upper) / 2.0;
        }
        let mut order: Vec<u32> = (0..errors.len() as u32).collect();
        order.sort_unstable_by(|a, b| errors[*a as usize].total_cmp(&errors[*b as usize]));
        weighted_median(order.iter().map(|row| (errors[*row as usize], self.weight[*row as usize])))
    }
}

/// The value at which half of the weight lies below; the mean of two where exactly half does (scikit-learn's
/// averaged inverted distribution function). The values ascend.
fn weighted_median(sorted: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let total = sorted.clone().fold(0.0, |sum, (_, weight)| sum + weight);
    let half = 0.5 * total;
    let mut below = 0.0;
    let mut values = sorted.filter(|(_, weight)| *weight > 0.0);
    while let Some((value, weight)) = values.next() {
        below += weight;
        if below < half {
            continue;
        }
        if below - half > f64::EPSILON {
            return value;
        }
        return values.next().map_or(value, |(next, _)| (value + next) / 2.0);
    }
    f64::NAN
}
