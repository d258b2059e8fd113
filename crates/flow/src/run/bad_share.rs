//! How many of the latest records are bad.

/// A share of fewer records says little: one bad record of three is no sign that something is wrong.
const FEWEST: usize = 1_000;

/// Counts until there are enough records to judge, then begins again.
#[derive(Debug, Default)]
pub(super) struct BadShare {
    bad: usize,
    records: usize,
}

impl BadShare {
    /// Counts a batch; where more than this many of a million are bad, says how many of how many.
    pub(super) fn add(&mut self, bad: usize, records: usize, per_million: u32) -> Option<(usize, usize)> {
        self.bad = self.bad.saturating_add(bad);
        self.records = self.records.saturating_add(records);
        if self.records < FEWEST {
            return None;
        }
        let (bad, records) = (self.bad, self.records);
        *self = BadShare::default();
        (bad as u128 * 1_000_000 > records as u128 * u128::from(per_million)).then_some((bad, records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_records_say_nothing_and_many_are_judged_together() {
        let mut share = BadShare::default();
        assert_eq!(share.add(3, 3, 50_000), None, "too few");
        assert_eq!(share.add(47, 997, 50_000), None, "50 of 1,000 are not above 5 %");
        assert_eq!(share.add(0, 999, 50_000), None);
        assert_eq!(share.add(51, 1, 50_000), Some((51, 1_000)), "51 are");
        assert_eq!(share.add(1_000, 1_000, 1_000_000), None, "all of them are not more than all");
    }
}
