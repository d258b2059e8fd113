//! From values to places, with round numbers on the way.

/// A range of values with the marks on its axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) ticks: Vec<f64>,
}

impl Scale {
    /// Widens a range to round numbers: steps of 1, 2 or 5, about `count` of them.
    pub(crate) fn nice(from: f64, to: f64, count: usize) -> Scale {
        let (from, to) = match (from, to) {
            (from, to) if !from.is_finite() || !to.is_finite() => (0.0, 1.0),
            // A lone value has room on both sides.
            (from, to) if to - from <= f64::EPSILON * from.abs().max(to.abs()) => {
                let room = if from == 0.0 { 1.0 } else { from.abs() * 0.1 };
                (from - room, to + room)
            }
            range => range,
        };
        let raw = (to - from) / count.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = power * [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= raw * 0.999).unwrap_or(10.0);
        let (first, last) = ((from / step).floor(), (to / step).ceil());
        let ticks = (0..=(last - first) as usize).map(|n| (first + n as f64) * step).collect();
        Scale { from: first * step, to: last * step, ticks }
    }

    /// From 0 to 1.
    pub(crate) fn unit() -> Scale {
        Scale { from: 0.0, to: 1.0, ticks: (0..=5).map(|n| f64::from(n) / 5.0).collect() }
    }

    /// Where a value lies: 0 at the beginning, 1 at the end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }

    /// Whether a value lies in the range.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }
}

/// The range of the values without the outermost share of them at each end, so that one outlier does not squeeze all
/// others into a corner. Neither end is a single row's value where there are many.
pub(crate) fn inner_range(values: impl Iterator<Item = f64>, outside: f64) -> (f64, f64) {
    let mut values: Vec<f64> = values.collect();
    if values.is_empty() {
        return (0.0, 1.0);
    }
    let cut = (values.len() as f64 * outside) as usize;
    let last = values.len() - 1;
    let from = *values.select_nth_unstable_by(cut, f64::total_cmp).1;
    let to = *values.select_nth_unstable_by(last - cut, f64::total_cmp).1;
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::nice(912.0, 3_987.0, 5).ticks, [0.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0]);
        assert_eq!(Scale::nice(-0.31, 0.42, 5).ticks.len(), 6);
        assert_eq!(Scale::nice(7.0, 7.0, 5).ticks, [6.0, 6.5, 7.0, 7.5, 8.0]);
        assert_eq!(Scale::nice(0.0, 0.0, 4).ticks, [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(Scale::nice(f64::NAN, 1.0, 5).to, 1.0);
        assert!(Scale::nice(1e300, 2e300, 5).ticks.iter().all(|tick| tick.is_finite()));
    }

    #[test]
    fn an_outlier_does_not_set_the_range() {
        let values = (0..1_000).map(f64::from).chain([1e9]);
        assert_eq!(inner_range(values, 0.005), (5.0, 995.0));
        assert_eq!(inner_range([3.0].into_iter(), 0.005), (3.0, 3.0));
    }
}
