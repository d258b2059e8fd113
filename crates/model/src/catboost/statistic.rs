//! Statistics of categories: what the targets were where the same categories stood together in training.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]

use std::collections::HashMap;

/// What is asked of the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    /// How many are above a border.
    Borders,
    /// How many are between two borders.
    Buckets,
    /// Their mean.
    Mean,
    /// Nothing: how often the categories stood together.
    Counter,
}

impl Statistic {
    /// By the number that a file writes.
    pub(super) fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Statistic::Borders,
            1 => Statistic::Buckets,
            2 | 3 => Statistic::Mean,
            4 | 5 => Statistic::Counter,
            _ => return None,
        })
    }

    /// By its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        const NAMES: [&str; 6] =
            ["Borders", "Buckets", "BinarizedTargetMeanValue", "FloatTargetMeanValue", "Counter", "FeatureFreq"];
        NAMES.iter().position(|one| *one == name).and_then(|number| Self::of(u8::try_from(number).ok()?))
    }
}

/// What is put together to one category.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Combination {
    /// Categories.
    pub(super) categories: Vec<usize>,
    /// Whether a number is above a border, which is given by its bits.
    pub(super) borders: Vec<(usize, u32)>,
    /// Whether a category is this one.
    pub(super) values: Vec<(usize, i32)>,
}

/// A statistic that splits ask for.
#[derive(Debug, Clone)]
pub(super) struct Ctr {
    pub(super) combination: Combination,
    /// The place of its table.
    pub(super) table: usize,
    pub(super) statistic: Statistic,
    pub(super) target_border: usize,
    pub(super) prior: (f32, f32),
    pub(super) shift: f32,
    pub(super) scale: f32,
    pub(super) borders: Vec<f32>,
}

/// What was counted for each combination of values.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Where the counts of a hash are.
    pub(super) places: HashMap<u64, u32>,
    pub(super) counts: Counts,
    /// Of a counter, what its counts are parts of.
    pub(super) denominator: i32,
}

#[derive(Debug, Clone)]
pub(super) enum Counts {
    /// This many numbers a place.
    Whole(usize, Vec<i32>),
    /// A sum and how many it is of.
    Sums(Vec<(f32, i32)>),
}

impl Counts {
    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Counts::Whole(width, all) => all.len().checked_div(*width).unwrap_or(0),
            Counts::Sums(all) => all.len(),
        }
    }

    /// How many numbers a place has.
    pub(super) fn width(&self) -> usize {
        match self {
            Counts::Whole(width, _) => *width,
            Counts::Sums(_) => 2,
        }
    }
}

/// One more value put to a combination.
pub(super) fn combined(hash: u64, value: u64) -> u64 {
    const FACTOR: u64 = 0x4906_ba49_4954_cb65;
    FACTOR.wrapping_mul(hash.wrapping_add(FACTOR.wrapping_mul(value)))
}

impl Ctr {
    /// The statistic of a combination.
    pub(super) fn value(&self, table: &Table, hash: u64) -> f32 {
        let place = table.places.get(&hash).map(|place| *place as usize);
        let (good, all) = match (&table.counts, place) {
            (_, None) if self.statistic == Statistic::Counter => (0.0, table.denominator as f32),
            (_, None) => (0.0, 0.0),
            (Counts::Sums(all), Some(place)) => (all[place].0, all[place].1 as f32),
            (Counts::Whole(width, all), Some(place)) => {
                let counts = &all[place * width..(place + 1) * width];
                let sum = |part: &[i32]| part.iter().fold(0i32, |sum, count| sum.wrapping_add(*count)) as f32;
                match self.statistic {
                    Statistic::Counter => (counts[0] as f32, table.denominator as f32),
                    Statistic::Buckets => (counts[self.target_border] as f32, sum(counts)),
                    // Of two classes there is one border.
                    _ if *width <= 2 => (counts[width - 1] as f32, sum(counts)),
                    _ => (sum(&counts[self.target_border + 1..]), sum(counts)),
                }
            }
        };
        ((good + self.prior.0) / (all + self.prior.1) + self.shift) * self.scale
    }
}
