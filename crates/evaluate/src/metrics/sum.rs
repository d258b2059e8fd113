//! Sums of many numbers without loss.

use super::weight;

/// A sum that carries along what rounding takes off (Neumaier, 1974), so that ten million terms lose no digit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub(super) fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() { (self.sum - sum) + term } else { (term - sum) + self.sum };
        self.sum = sum;
    }

    pub(super) fn value(&self) -> f64 {
        // Behind an infinity the correction is NaN.
        if self.lost.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        let mut sum = Sum::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

/// The mean of the terms, weighted where there are weights. NaN where nothing has weight.
pub(super) fn mean(terms: impl Iterator<Item = f64>, weights: &[f64]) -> f64 {
    let (mut sum, mut total) = (Sum::default(), Sum::default());
    for (row, term) in terms.enumerate() {
        let weight = weight(weights, row);
        sum.add(term * weight);
        total.add(weight);
    }
    sum.value() / total.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_among_large_terms() {
        let terms = [1e100, 1.0, -1e100, 1.0];
        assert_eq!(terms.into_iter().collect::<Sum>().value(), 2.0);
        assert_eq!([1.0, f64::INFINITY, 1.0].into_iter().collect::<Sum>().value(), f64::INFINITY);
    }
}
