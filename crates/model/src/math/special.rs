//! Functions of statistics that the standard library lacks.

/// The digamma function of a number above 0: steps up to where its series is exact to the last places.
pub(crate) fn digamma(mut x: f64) -> f64 {
    /// From the second term on, of the squared inverse.
    const SERIES: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0];
    let mut below = 0.0;
    while x < 10.0 {
        below += 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = SERIES.iter().rev().fold(0.0, |sum, term| sum * square + term) * square;
    x.ln() - 0.5 / x - series - below
}

#[cfg(test)]
mod tests {
    use super::digamma;

    #[test]
    fn digamma_is_scipys_to_its_last_places() {
        // scipy.special.digamma
        for (x, expected) in
            [(1.0, -0.577_215_664_901_532_9), (0.5, -1.963_510_026_021_423_4), (7.25, 1.910_453_526_883_736_2)]
        {
            assert!((digamma(x) - expected).abs() < 4e-15 * expected.abs().max(1.0), "{x}: {}", digamma(x));
        }
    }
}
