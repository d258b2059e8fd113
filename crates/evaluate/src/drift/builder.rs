//! A baseline is made of rows: all of them, or a part that is even over them, in bounded memory.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;

use super::baseline::{Baseline, Column};
use super::bins::{Bins, Counts, are_numbers, as_numbers};
use crate::sample::scramble;

/// Most rows that are kept; more say nothing more of a percentile.
const ROWS: usize = 100_000;

/// Most values that are kept, of all columns together.
const VALUES: usize = 1 << 23;

/// Bins of a column of numbers: a percent each.
const BINS: usize = 100;

/// Levels with a bin of their own, the most frequent ones.
const LEVELS: usize = 50;

/// Different texts that are counted; texts beyond that are many, and each of them is rare.
const TEXTS: usize = 10_000;

/// Rows on their way to a baseline.
#[derive(Debug)]
pub struct Builder {
    columns: Vec<Values>,
    /// The random numbers of the rows that are kept.
    kept: Vec<u64>,
    seen: u64,
    most: usize,
    rarity: u32,
}

#[derive(Debug)]
struct Values {
    name: String,
    kind: Kind,
}

/// The values of the rows that are kept.
#[derive(Debug)]
enum Kind {
    /// No row has come yet.
    Unknown,
    /// NaN where a value is missing.
    Numbers(Vec<f64>),
    Texts {
        counts: BTreeMap<String, u64>,
        other: u64,
        missing: u64,
    },
    /// Lists and the like are not compared.
    Other,
}

impl Builder {
    /// Of columns with these names.
    pub fn new(names: &[String]) -> Builder {
        let columns = names.iter().map(|name| Values { name: name.clone(), kind: Kind::Unknown });
        let most = (VALUES / names.len().max(1)).clamp(1_000, ROWS);
        Builder { columns: columns.collect(), kept: Vec::new(), seen: 0, most, rarity: 0 }
    }

    /// How many rows have come.
    pub fn rows(&self) -> u64 {
        self.seen
    }

    /// Takes in the next rows: one array a column.
    pub fn add(&mut self, columns: &[ArrayRef]) {
        let rows = columns.first().map_or(0, |column| column.len());
        let numbers = (0..rows as u64).map(|row| scramble(self.seen + row));
        let picked: Vec<(u32, u64)> =
            (0..).zip(numbers).filter(|(_, number)| number.trailing_zeros() >= self.rarity).collect();
        self.seen += rows as u64;
        let rows = UInt32Array::from_iter_values(picked.iter().map(|(row, _)| *row));
        for (values, column) in self.columns.iter_mut().zip(columns) {
            values.add(column, &rows);
        }
        self.kept.extend(picked.iter().map(|(_, number)| *number));
        while self.kept.len() > self.most {
            self.rarity += 1;
            self.thin();
        }
    }

    fn thin(&mut self) {
        let rarity = self.rarity;
        let stays: Vec<bool> = self.kept.iter().map(|number| number.trailing_zeros() >= rarity).collect();
        for values in &mut self.columns {
            if let Kind::Numbers(numbers) = &mut values.kind {
                let mut stays = stays.iter();
                numbers.retain(|_| stays.next().copied().unwrap_or(false));
            }
        }
        let mut stays = stays.iter();
        self.kept.retain(|_| stays.next().copied().unwrap_or(false));
    }

    /// The baseline; columns that hold neither numbers nor texts are left out.
    pub fn finish(self) -> Baseline {
        let rows = self.seen;
        Baseline { rows, columns: self.columns.into_iter().filter_map(Values::finish).collect() }
    }
}

impl Values {
    fn add(&mut self, column: &ArrayRef, rows: &UInt32Array) {
        if matches!(self.kind, Kind::Unknown) {
            self.kind = match are_numbers(column.data_type()) {
                Some(true) => Kind::Numbers(Vec::new()),
                Some(false) => Kind::Texts { counts: BTreeMap::new(), other: 0, missing: 0 },
                None => Kind::Other,
            };
        }
        match &mut self.kind {
            Kind::Numbers(numbers) => {
                let picked = take(column, rows, None).ok().and_then(|picked| as_numbers(&picked));
                let picked = picked.unwrap_or_else(|| vec![None; rows.len()]);
                numbers.extend(picked.into_iter().map(|number| number.unwrap_or(f64::NAN)));
            }
            // Texts are counted, all of them.
            Kind::Texts { counts, other, missing } => {
                let Ok(texts) = cast(column, &DataType::Utf8) else {
                    *missing += column.len() as u64;
                    return;
                };
                for text in texts.as_string::<i32>() {
                    match text {
                        None => *missing += 1,
                        Some(text) if counts.len() < TEXTS || counts.contains_key(text) => {
                            *counts.entry(text.to_string()).or_default() += 1;
                        }
                        Some(_) => *other += 1,
                    }
                }
            }
            Kind::Unknown | Kind::Other => {}
        }
    }

    fn finish(self) -> Option<Column> {
        let (bins, counts) = match self.kind {
            Kind::Numbers(numbers) => {
                let missing = numbers.iter().filter(|number| number.is_nan()).count() as u64;
                let mut numbers: Vec<f64> = numbers.into_iter().filter(|number| !number.is_nan()).collect();
                numbers.sort_by(f64::total_cmp);
                let bins = Bins::Numbers(edges(&numbers));
                let mut counts = Counts { missing, ..Counts::none(&bins) };
                let Bins::Numbers(edges) = &bins else { return None };
                for number in &numbers {
                    let bin = edges.partition_point(|edge| edge < number);
                    counts.bins.iter_mut().skip(bin).take(1).for_each(|count| *count += 1);
                }
                (bins, counts)
            }
            Kind::Texts { counts, other, missing } => {
                let mut all: Vec<(String, u64)> = counts.into_iter().collect();
                // Of equally frequent ones the first by its name.
                all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                let rest = all.split_off(all.len().min(LEVELS));
                let rest = other + rest.iter().map(|(_, count)| count).sum::<u64>();
                let (levels, mut bins): (Vec<String>, Vec<u64>) = all.into_iter().unzip();
                bins.push(rest);
                (Bins::Levels(levels), Counts { bins, missing })
            }
            Kind::Unknown | Kind::Other => return None,
        };
        Some(Column { name: self.name, bins, counts })
    }
}

/// The edges of bins that hold about as many numbers each; of few different numbers each has its own bin.
fn edges(sorted: &[f64]) -> Vec<f64> {
    let (Some(last), count) = (sorted.last(), sorted.len()) else { return Vec::new() };
    let mut different = sorted.to_vec();
    different.dedup();
    let mut edges = if different.len() <= BINS {
        different
    } else {
        // The number at each percent, as numpy's `inverted_cdf`.
        let at = |bin: usize| sorted.get((bin * count).div_ceil(BINS).saturating_sub(1)).copied();
        let mut edges: Vec<f64> = (1..BINS).filter_map(at).collect();
        edges.dedup();
        edges
    };
    edges.retain(|edge| edge < last && edge.is_finite());
    edges
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn numbers(values: impl IntoIterator<Item = f64>) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(values))
    }

    #[test]
    fn bins_hold_about_as_many_rows_each_and_few_numbers_have_their_own() {
        let mut builder = Builder::new(&["x".into(), "y".into()]);
        builder.add(&[numbers((0..1_000).map(f64::from)), numbers((0..1_000).map(|n| f64::from(n % 3)))]);
        let baseline = builder.finish();
        let [x, y] = baseline.columns.as_slice() else { panic!("{baseline:?}") };
        assert_eq!((x.bins.len(), &x.counts.bins), (100, &vec![10; 100]));
        assert_eq!(y.bins, Bins::Numbers(vec![0.0, 1.0]));
        assert_eq!(y.counts.bins, [334, 333, 333]);
    }

    #[test]
    fn many_rows_are_thinned_evenly_and_the_same_whatever_the_batches() {
        let build = |batch: usize| {
            let mut builder = Builder::new(&["x".into()]);
            let all: Vec<f64> = (0..300_000).map(f64::from).collect();
            all.chunks(batch).for_each(|part| builder.add(&[numbers(part.iter().copied())]));
            builder.finish()
        };
        let baseline = build(300_000);
        assert_eq!(baseline.rows, 300_000);
        assert_eq!(baseline, build(777), "the same rows give the same baseline");
        let kept = baseline.columns[0].counts.total();
        assert!((50_000..=100_000).contains(&kept), "{kept}");
        let Bins::Numbers(edges) = &baseline.columns[0].bins else { panic!() };
        assert!((edges[49] - 150_000.0).abs() < 2_000.0, "{}", edges[49]);
    }

    #[test]
    fn the_most_frequent_texts_have_bins() {
        let mut builder = Builder::new(&["t".into()]);
        let texts: Vec<Option<String>> =
            (0..60).flat_map(|n| vec![Some(format!("t{n:02}")); 60 - n]).chain([None]).collect();
        builder.add(&[Arc::new(StringArray::from(texts)) as ArrayRef]);
        let baseline = builder.finish();
        let Bins::Levels(levels) = &baseline.columns[0].bins else { panic!() };
        assert_eq!((levels.len(), levels[0].as_str(), levels[49].as_str()), (50, "t00", "t49"));
        assert_eq!(baseline.columns[0].counts.bins[50], (1..=10).sum::<u64>());
        assert_eq!(baseline.columns[0].counts.missing, 1);
    }
}
