//! How far two rows are from each other, by the metrics of `sklearn.metrics`.

#![allow(clippy::arithmetic_side_effects, reason = "numbers of rows of equal lengths")]

#[derive(Debug, Clone, Copy)]
pub(in crate::families) enum Metric {
    Euclidean,
    Manhattan,
    Chebyshev,
    Minkowski(f64),
    /// The share of features that differ.
    Hamming,
    Canberra,
    /// One minus the cosine of the angle.
    Cosine,
}

impl Metric {
    /// What stands for a distance as long as only its order counts: its power.
    pub(super) fn reduced(self, differences: impl Iterator<Item = f64>) -> f64 {
        match self {
            Metric::Euclidean => differences.map(|one| one * one).sum(),
            Metric::Manhattan => differences.map(f64::abs).sum(),
            Metric::Chebyshev => differences.map(f64::abs).fold(0.0, f64::max),
            Metric::Minkowski(power) => differences.map(|one| one.abs().powf(power)).sum(),
            // These are not of differences alone.
            Metric::Hamming | Metric::Canberra | Metric::Cosine => f64::NAN,
        }
    }

    /// The same of two rows.
    pub(in crate::families) fn between(self, x: &[f64], y: &[f64]) -> f64 {
        let pairs = x.iter().zip(y);
        match self {
            Metric::Hamming => pairs.filter(|(x, y)| x != y).count() as f64 / x.len() as f64,
            Metric::Canberra => {
                let part = |(x, y): (&f64, &f64)| {
                    let sum = x.abs() + y.abs();
                    if sum > 0.0 { (x - y).abs() / sum } else { 0.0 }
                };
                pairs.map(part).sum()
            }
            Metric::Cosine => {
                let length = |row: &[f64]| {
                    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
                    if length == 0.0 { 1.0 } else { length }
                };
                let product: f64 = pairs.map(|(x, y)| x * y).sum();
                (1.0 - product / (length(x) * length(y))).clamp(0.0, 2.0)
            }
            _ => self.reduced(pairs.map(|(x, y)| x - y)),
        }
    }

    pub(in crate::families) fn distance(self, reduced: f64) -> f64 {
        match self {
            Metric::Euclidean => reduced.sqrt(),
            Metric::Minkowski(power) => reduced.powf(1.0 / power),
            _ => reduced,
        }
    }

    pub(super) fn reduce(self, distance: f64) -> f64 {
        match self {
            Metric::Euclidean => distance * distance,
            Metric::Minkowski(power) => distance.powf(power),
            _ => distance,
        }
    }
}
