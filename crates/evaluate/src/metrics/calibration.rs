//! Whether probabilities come true: of the rows that were given 70 %, 70 % should.

/// Equal parts of `0..=1`.
pub const BINS: usize = 10;

/// The rows whose probability lies in one part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Their weight.
    pub weight: f64,
    predicted: f64,
    happened: f64,
}

impl Bin {
    /// The mean of their probabilities.
    pub fn predicted(&self) -> f64 {
        self.predicted / self.weight
    }

    /// How often it came true.
    pub fn happened(&self) -> f64 {
        self.happened / self.weight
    }
}

/// The curve of scikit-learn's `calibration_curve` in ten equal bins: of the second of two classes; of more classes of
/// the one that was predicted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    bins: [Bin; BINS],
}

impl Calibration {
    /// Counts a row: its probability, and whether it came true.
    pub fn add(&mut self, probability: f64, happened: bool, weight: f64) {
        // A probability on an edge belongs below it.
        let index = (1..BINS).take_while(|edge| *edge as f64 * 0.1 < probability).count();
        let bin = &mut self.bins[index];
        bin.weight += weight;
        bin.predicted += weight * probability;
        bin.happened += if happened { weight } else { 0.0 };
    }

    /// The bins that have rows.
    pub fn bins(&self) -> impl Iterator<Item = &Bin> {
        self.bins.iter().filter(|bin| bin.weight > 0.0)
    }

    /// The expected calibration error: how far probability and share are apart, on the mean over the rows.
    pub fn error(&self) -> f64 {
        let total: f64 = self.bins().map(|bin| bin.weight).sum();
        self.bins().map(|bin| bin.weight / total * (bin.predicted() - bin.happened()).abs()).sum()
    }
}
