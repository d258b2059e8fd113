//! The latest rows beside a baseline: how far the distribution of each column is from what it was.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef};

use super::baseline::{Baseline, Column};
use super::bins::{Bins, Counts};

/// A window moves in so many steps through its own length.
const PANES: u64 = 10;

/// Bins of the Population Stability Index, besides that of missing values.
const PSI_BINS: u64 = 10;

/// An empty bin counts as this share, so that the index stays finite.
const LEAST: f64 = 1e-4;

/// How far a column is from its baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDrift {
    /// Its name.
    pub name: String,
    /// The Population Stability Index: the sum over bins of `(p − q) · ln(p / q)`.
    pub psi: f64,
    /// The Kolmogorov–Smirnov statistic at the edges of the baseline's bins; of numbers only.
    pub ks: Option<f64>,
    /// The bins of the index: the upper edge of each but the last; of numbers only.
    pub edges: Vec<f64>,
    /// The baseline's share of each bin; the last is that of missing values.
    pub before: Vec<f64>,
    /// The window's.
    pub now: Vec<f64>,
}

/// The latest rows, counted in the baseline's bins.
#[derive(Debug)]
pub struct Window {
    baseline: Baseline,
    pane: u64,
    panes: VecDeque<Vec<Counts>>,
    open: Vec<Counts>,
    in_open: u64,
    rows: u64,
}

impl Window {
    /// Over this many rows; it moves by a tenth of them.
    pub fn new(baseline: Baseline, rows: u64) -> Window {
        let open = none(&baseline);
        let pane = (rows / PANES).max(1);
        Window { baseline, pane, panes: VecDeque::new(), open, in_open: 0, rows: 0 }
    }

    /// What it compares with.
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// How many rows have come in all.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes in the next rows. `columns` has one array for each column of the baseline, or `None` where there is none.
    /// Returns the drift each time the window, once full, has moved.
    pub fn add(&mut self, columns: &[Option<ArrayRef>]) -> Vec<Vec<ColumnDrift>> {
        let rows = columns.iter().flatten().map(|column| column.len()).max().unwrap_or(0);
        let (mut moved, mut from) = (Vec::new(), 0);
        while from < rows {
            let room = usize::try_from(self.pane - self.in_open).unwrap_or(usize::MAX);
            let take = room.min(rows - from);
            for ((column, counts), baseline) in columns.iter().zip(&mut self.open).zip(&self.baseline.columns) {
                if let Some(column) = column.as_ref().filter(|column| column.len() == rows) {
                    baseline.bins.count(&column.slice(from, take), counts);
                }
            }
            from += take;
            self.in_open += take as u64;
            self.rows += take as u64;
            if self.in_open == self.pane {
                self.in_open = 0;
                let full = std::mem::replace(&mut self.open, none(&self.baseline));
                self.panes.push_back(full);
                if self.panes.len() as u64 > PANES {
                    self.panes.pop_front();
                }
                if self.panes.len() as u64 == PANES {
                    moved.push(self.drift());
                }
            }
        }
        moved
    }

    /// Of each column that has come at all.
    fn drift(&self) -> Vec<ColumnDrift> {
        let mut all = Vec::new();
        for (at, column) in self.baseline.columns.iter().enumerate() {
            let mut counts = Counts::none(&column.bins);
            self.panes.iter().filter_map(|pane| pane.get(at)).for_each(|pane| counts.merge(pane));
            if counts.total() > 0 {
                all.push(compare(column, &counts));
            }
        }
        all
    }
}

fn none(baseline: &Baseline) -> Vec<Counts> {
    baseline.columns.iter().map(|column| Counts::none(&column.bins)).collect()
}

fn compare(column: &Column, now: &Counts) -> ColumnDrift {
    let groups = groups(column);
    let shares = |counts: &Counts| -> Vec<f64> {
        let total = counts.total() as f64;
        let mut sums = vec![0u64; groups.last().map_or(0, |last| last + 1)];
        for (group, count) in groups.iter().zip(&counts.bins) {
            sums.iter_mut().skip(*group).take(1).for_each(|sum| *sum += count);
        }
        sums.into_iter().chain([counts.missing]).map(|count| count as f64 / total).collect()
    };
    let (before, now_shares) = (shares(&column.counts), shares(now));
    let psi = before.iter().zip(&now_shares).filter(|(p, q)| **p > 0.0 || **q > 0.0).map(|(p, q)| {
        let (p, q) = (p.max(LEAST), q.max(LEAST));
        (q - p) * (q / p).ln()
    });
    let (ks, edges) = match &column.bins {
        Bins::Levels(_) => (None, Vec::new()),
        Bins::Numbers(edges) => {
            let ends = edges.iter().zip(groups.windows(2));
            let ends = ends.filter(|(_, pair)| pair.first() != pair.last()).map(|(edge, _)| *edge).collect();
            (kolmogorov_smirnov(&column.counts.bins, &now.bins), ends)
        }
    };
    ColumnDrift { name: column.name.clone(), psi: psi.sum(), ks, edges, before, now: now_shares }
}

/// By bin, which bin of the index it belongs to: of numbers about ten that hold as many rows of the baseline each.
fn groups(column: &Column) -> Vec<usize> {
    let bins = &column.counts.bins;
    if let Bins::Levels(_) = column.bins {
        return (0..bins.len()).collect();
    }
    let total: u64 = bins.iter().sum();
    if bins.len() as u64 <= PSI_BINS {
        return (0..bins.len()).collect();
    }
    let (mut group, mut sum, mut groups) = (0usize, 0u64, Vec::with_capacity(bins.len()));
    for (at, count) in bins.iter().enumerate() {
        groups.push(group);
        sum += count;
        // A group is full once it holds a tenth; the last one takes the rest.
        if u128::from(sum) * u128::from(PSI_BINS) >= u128::from(total) && at + 1 < bins.len() {
            (group, sum) = (group + 1, 0);
        }
    }
    groups
}

/// The largest difference of the distribution functions at the edges; `None` where one side has no value.
fn kolmogorov_smirnov(before: &[u64], now: &[u64]) -> Option<f64> {
    let totals = (before.iter().sum::<u64>() as f64, now.iter().sum::<u64>() as f64);
    if totals.0 == 0.0 || totals.1 == 0.0 {
        return None;
    }
    let (mut sums, mut most) = ((0u64, 0u64), 0.0f64);
    for (p, q) in before.iter().zip(now) {
        sums = (sums.0 + p, sums.1 + q);
        most = most.max((sums.0 as f64 / totals.0 - sums.1 as f64 / totals.1).abs());
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};

    use super::*;
    use crate::drift::Builder;
    use crate::sample::scramble;

    /// Even random numbers of [0, 1).
    fn even(from: u64, count: u64) -> impl Iterator<Item = f64> {
        (from..from + count).map(|number| (scramble(number) >> 11) as f64 / (1u64 << 53) as f64)
    }

    fn column(values: impl IntoIterator<Item = f64>) -> Option<ArrayRef> {
        Some(Arc::new(Float64Array::from_iter_values(values)))
    }

    fn baseline(values: impl IntoIterator<Item = f64>) -> Baseline {
        let mut builder = Builder::new(&["x".into()]);
        builder.add(&[column(values).unwrap()]);
        builder.finish()
    }

    #[test]
    fn what_looks_as_before_is_near_and_what_moved_is_far() {
        let mut window = Window::new(baseline(even(0, 10_000)), 10_000);
        let same = window.add(&[column(even(20_000, 10_000))]).pop().unwrap().pop().unwrap();
        assert!(same.psi < 0.01 && same.ks.unwrap() < 0.03, "{same:?}");
        // A quarter of the values is now above all that there were: its share is 0.25, and ln(0.25 / 0.0001) more.
        let mut window = Window::new(baseline(even(0, 10_000)), 1_000);
        let moved = window.add(&[column(even(0, 1_000).map(|x| x + 0.25))]).pop().unwrap().pop().unwrap();
        assert!((moved.ks.unwrap() - 0.25).abs() < 0.03, "{moved:?}");
        assert!(moved.psi > 0.5, "{moved:?}");
        assert_eq!((moved.edges.len(), moved.before.len()), (9, 11));
    }

    #[test]
    fn figures_do_not_depend_on_how_rows_are_cut_and_a_window_forgets() {
        let all: Vec<f64> = even(0, 3_000).map(|x| x * 2.0).chain(even(5_000, 3_000)).collect();
        let run = |batch: usize| {
            let mut window = Window::new(baseline(even(0, 2_000)), 1_000);
            all.chunks(batch).flat_map(|part| window.add(&[column(part.iter().copied())])).collect::<Vec<_>>()
        };
        let whole = run(6_000);
        assert_eq!(whole.len(), 51, "once full, it moves by a tenth");
        assert_eq!(whole, run(1));
        assert_eq!(whole, run(777));
        assert!(whole[0][0].psi > 1.0 && whole[50][0].psi < 0.1, "{} {}", whole[0][0].psi, whole[50][0].psi);
    }

    #[test]
    fn the_index_and_the_statistic_are_those_of_the_textbook() {
        // Three numbers with bins of their own, half of them 0, a quarter each 1 and 2; then a tenth, 0.4, 0.5.
        let before = [0.0, 0.0, 1.0, 2.0].repeat(100);
        let now = [0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0].repeat(10);
        let mut window = Window::new(baseline(before), 100);
        let drift = window.add(&[column(now)]).pop().unwrap().pop().unwrap();
        let expected = (0.1f64 - 0.5) * (0.1f64 / 0.5).ln()
            + (0.4f64 - 0.25) * (0.4f64 / 0.25).ln()
            + (0.5f64 - 0.25) * (0.5f64 / 0.25).ln();
        assert!((drift.psi - expected).abs() < 1e-12, "{} {expected}", drift.psi);
        assert!((drift.ks.unwrap() - 0.4).abs() < 1e-12, "{drift:?}");
    }

    #[test]
    fn missing_values_and_new_levels_are_drift_too() {
        let texts = |texts: Vec<Option<&str>>| Arc::new(StringArray::from(texts)) as ArrayRef;
        let mut builder = Builder::new(&["t".into()]);
        builder.add(&[texts([Some("a"), Some("b")].repeat(100))]);
        let mut window = Window::new(builder.finish(), 10);
        let drift = window.add(&[Some(texts([Some("a"), None, Some("x"), Some("b"), Some("b")].repeat(2)))]);
        let drift = &drift[0][0];
        assert_eq!((drift.ks, drift.edges.len()), (None, 0));
        assert_eq!(drift.now, [0.2, 0.4, 0.2, 0.2]);
        assert!(drift.psi > 1.0, "{drift:?}");
    }
}
