//! Some rows of a file with all their features, the same at every run: what errors by feature are seen in.
//!
//! Each row has a random number made of its place. The rarest are kept: those whose number ends in the most zeros, as
//! many as fit. So the sample is even over a file of any length, in one pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::ArrayRef;

use crate::answers::{Answers, take_rows};
use crate::error::Error;

/// Some rows with their features and what became of them.
#[derive(Debug, Default)]
pub struct SampleRows {
    pub(crate) numbers: Vec<u64>,
    pub(crate) features: Vec<ArrayRef>,
    /// The target; the index of a class.
    pub(crate) actual: Vec<f64>,
    pub(crate) predicted: Vec<f64>,
}

/// More rows tell nothing more about a mean.
const ROWS: usize = 50_000;
/// Values of features that are kept.
const VALUES: usize = 1 << 22;

/// The sample of all chunks so far.
pub(crate) struct Sample {
    parts: Vec<SampleRows>,
    rows: usize,
    most: usize,
    rarity: Arc<AtomicU32>,
}

/// The rows of a chunk that are rare enough. `rows` are those that the answers are of.
pub(crate) fn pick(
    chunk: u64,
    rows: &[u32],
    features: &[ArrayRef],
    answers: &Answers,
    rarity: u32,
) -> Result<SampleRows, Error> {
    let mut part = SampleRows::default();
    let mut picked = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let number = scramble(chunk << 32 | u64::from(*row));
        if number.trailing_zeros() < rarity {
            continue;
        }
        part.numbers.push(number);
        picked.push(*row);
        let (actual, predicted) = match answers {
            Answers::Regression(pairs) => (pairs.actual[at], pairs.predicted[at]),
            Answers::Classification(answers) => (f64::from(answers.actual[at]), f64::from(answers.predicted[at])),
        };
        part.actual.push(actual);
        part.predicted.push(predicted);
    }
    part.features = take_rows(features, &picked)?;
    Ok(part)
}

/// A random number of a number (the finalizer of SplitMix64).
pub(crate) fn scramble(number: u64) -> u64 {
    let x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Sample {
    /// Of rows with this many features. `rarity` is told to those who pick.
    pub(crate) fn new(features: usize, rarity: Arc<AtomicU32>) -> Self {
        let most = (VALUES / features.max(1)).clamp(500, ROWS);
        Sample { parts: Vec::new(), rows: 0, most, rarity }
    }

    /// Takes in the rows of the next chunk.
    pub(crate) fn add(&mut self, part: SampleRows) -> Result<(), Error> {
        let mut rarity = self.rarity.load(Ordering::Relaxed);
        let part = part.thin(rarity)?;
        self.rows += part.numbers.len();
        self.parts.push(part);
        while self.rows > self.most {
            rarity += 1;
            let parts = std::mem::take(&mut self.parts);
            self.parts = parts.into_iter().map(|part| part.thin(rarity)).collect::<Result<_, Error>>()?;
            self.rows = self.parts.iter().map(|part| part.numbers.len()).sum();
        }
        self.rarity.store(rarity, Ordering::Relaxed);
        Ok(())
    }

    /// All of it, the rarest first: the beginning of a sample is a sample.
    pub(crate) fn finish(self) -> Result<SampleRows, Error> {
        let mut whole = SampleRows::default();
        let count = self.parts.iter().map(|part| part.features.len()).max().unwrap_or(0);
        for feature in 0..count {
            let pieces: Vec<_> = self.parts.iter().map(|part| part.features[feature].as_ref()).collect();
            whole.features.push(arrow::compute::concat(&pieces)?);
        }
        for part in self.parts {
            whole.numbers.extend(part.numbers);
            whole.actual.extend(part.actual);
            whole.predicted.extend(part.predicted);
        }
        let mut order: Vec<u32> = (0..whole.numbers.len() as u32).collect();
        order.sort_by_key(|row| whole.numbers[*row as usize].reverse_bits());
        whole.select(&order)
    }
}

impl SampleRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.actual.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.actual.is_empty()
    }

    /// These rows.
    pub(crate) fn select(&self, rows: &[u32]) -> Result<SampleRows, Error> {
        let of = |values: &[f64]| rows.iter().map(|row| values[*row as usize]).collect();
        Ok(SampleRows {
            numbers: rows.iter().map(|row| self.numbers[*row as usize]).collect(),
            features: take_rows(&self.features, rows)?,
            actual: of(&self.actual),
            predicted: of(&self.predicted),
        })
    }

    fn thin(self, rarity: u32) -> Result<SampleRows, Error> {
        let is_rare = |row: &u32| self.numbers[*row as usize].trailing_zeros() >= rarity;
        let rows: Vec<u32> = (0..self.numbers.len() as u32).filter(is_rare).collect();
        if rows.len() == self.numbers.len() { Ok(self) } else { self.select(&rows) }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;
    use crate::metrics::regression::Pairs;

    #[test]
    fn a_sample_is_even_and_does_not_depend_on_who_knew_what() {
        let sample = |knows: bool| {
            let rarity = Arc::new(AtomicU32::new(0));
            let mut sample = Sample::new(1, rarity.clone());
            for chunk in 0..40 {
                let actual: Vec<f64> = (0..10_000).map(|row| f64::from(chunk * 10_000 + row)).collect();
                let features: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(actual.clone()))];
                let answers = Answers::Regression(Pairs { predicted: actual.clone(), actual, weight: vec![] });
                let rows: Vec<u32> = (0..10_000).collect();
                let known = if knows { rarity.load(Ordering::Relaxed) } else { 0 };
                sample.add(pick(chunk as u64, &rows, &features, &answers, known).unwrap()).unwrap();
            }
            sample.finish().unwrap()
        };
        let whole = sample(true);
        assert!((20_000..=50_000).contains(&whole.len()), "{}", whole.len());
        assert_eq!(whole.actual, sample(false).actual);
        let early = whole.actual.iter().filter(|row| **row < 200_000.0).count() as f64;
        assert!((0.48..0.52).contains(&(early / whole.len() as f64)), "both halves of the file alike");
        let few = &whole.actual[..1_000];
        let early = few.iter().filter(|row| **row < 200_000.0).count();
        assert!((430..570).contains(&early), "{early}: the beginning of a sample is a sample");
    }
}
