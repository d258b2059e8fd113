//! Rows of a training of which only the numbers that are not 0 are kept: texts as their terms. The numbers lie by column,
//! so that a row is compared with all of them by way of the columns that it has.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]

use std::collections::HashMap;

use super::metric::Metric;
use crate::families::shared::sparse::SparseRow;

#[derive(Debug)]
pub(in crate::families) struct Sparse {
    /// Of each column that a row has, the rows and their numbers.
    columns: HashMap<usize, Vec<(usize, f64)>>,
    /// Of each row the sum of its squares, of its magnitudes, or its length.
    sizes: Vec<f64>,
    stored: usize,
}

impl Sparse {
    pub(super) fn new(rows: &[SparseRow], metric: Metric) -> Self {
        let mut columns: HashMap<usize, Vec<(usize, f64)>> = HashMap::new();
        for (row, entries) in rows.iter().enumerate() {
            for (column, value) in entries {
                columns.entry(*column).or_default().push((row, *value));
            }
        }
        let sizes = rows.iter().map(|entries| size(entries, metric)).collect();
        Sparse { columns, sizes, stored: rows.iter().map(Vec::len).sum() }
    }

    pub(super) fn count(&self) -> usize {
        self.sizes.len()
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.stored.saturating_mul(16).saturating_add(self.sizes.len().saturating_mul(8))
    }

    /// How far each row is, in the metric's reduced form, as the library adds it up.
    pub(super) fn reduced(&self, point: &[f64], metric: Metric) -> Vec<f64> {
        let entries: SparseRow = point.iter().copied().enumerate().filter(|(_, value)| *value != 0.0).collect();
        let own = size(&entries, metric);
        let mut sums = vec![0.0; self.count()];
        for (column, x) in &entries {
            for (row, y) in self.columns.get(column).into_iter().flatten() {
                sums[*row] += match metric {
                    Metric::Manhattan => (x - y).abs() - x.abs() - y.abs(),
                    Metric::Cosine => (x / own) * (y / self.sizes[*row]),
                    _ => x * y,
                };
            }
        }
        for (sum, size) in sums.iter_mut().zip(&self.sizes) {
            *sum = match metric {
                Metric::Manhattan => own + size + *sum,
                Metric::Cosine => (1.0 - *sum).clamp(0.0, 2.0),
                _ => {
                    let square = own - 2.0 * *sum + size;
                    // What is not a number stays so.
                    if square < 0.0 { 0.0 } else { square }
                }
            };
        }
        sums
    }
}

fn size(entries: &SparseRow, metric: Metric) -> f64 {
    let squares = || entries.iter().map(|(_, value)| value * value).sum::<f64>();
    match metric {
        Metric::Manhattan => entries.iter().map(|(_, value)| value.abs()).sum(),
        Metric::Cosine if entries.is_empty() => 1.0,
        Metric::Cosine => squares().sqrt(),
        _ => squares(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_same_rows_as_a_dense_table() {
        let table = [[0.0, 2.0, 0.0, -1.0], [0.0; 4], [3.0, 2.0, 0.5, 0.0]];
        let rows: Vec<SparseRow> = table
            .iter()
            .map(|row| row.iter().copied().enumerate().filter(|(_, value)| *value != 0.0).collect())
            .collect();
        for metric in [Metric::Euclidean, Metric::Manhattan, Metric::Cosine] {
            let sparse = Sparse::new(&rows, metric);
            for point in [[1.0, 0.0, 0.0, -2.0], [0.0, 2.0, 0.0, -1.0], [0.0; 4]] {
                let expected: Vec<f64> = table.iter().map(|row| metric.between(&point, row)).collect();
                let found = sparse.reduced(&point, metric);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-12, "{metric:?}: {found} instead of {expected}");
                }
            }
        }
    }
}
