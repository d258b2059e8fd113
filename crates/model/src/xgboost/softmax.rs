//! The probabilities that the scikit-learn wrapper makes of `multi:softmax`'s margins: scipy's softmax, in float32.

use crate::families::scores::pairwise_sum;

/// Margins, one vector a class, become probabilities.
pub(super) fn softmax(margins: &mut [Vec<f32>]) {
    let mut powers = vec![0.0; margins.len()];
    for row in 0..margins.first().map_or(0, Vec::len) {
        let largest = margins.iter().map(|column| column[row]).fold(f32::NEG_INFINITY, f32::max);
        powers.iter_mut().zip(margins.iter()).for_each(|(power, column)| *power = exp(column[row] - largest));
        let sum = pairwise_sum(&powers);
        margins.iter_mut().zip(&powers).for_each(|(column, power)| column[row] = power / sum);
    }
}

/// numpy's exponential of a float32 that is not positive, as every processor with AVX2 has it: a quotient of two
/// polynomials on half a binary order around 0, up to 2 units in the last place from the true value.
fn exp(x: f32) -> f32 {
    /// The logarithm of 2 in two parts, the first with so few bits that its multiples are exact.
    const LN_2: [f32; 2] = [-0.693_145_75, -1.428_606_8e-6];
    const ABOVE: [f32; 6] = [0.000_508_276_3, 0.006_757_897, 0.051_145_12, 0.247_361_54, 0.725_766_5, 1.0];
    const BELOW: [f32; 3] = [0.021_595_094, -0.274_233_55, 1.0];
    /// Below this it is 0.
    const LEAST: f32 = -103.972_08;
    if x.is_nan() || x < LEAST {
        return if x.is_nan() { x } else { 0.0 };
    }
    let orders = (x * std::f32::consts::LOG2_E).round_ties_even();
    let rest = LN_2.into_iter().fold(x, |rest, part| orders.mul_add(part, rest));
    let horner = |all: &[f32]| all.iter().copied().reduce(|sum, one| sum.mul_add(rest, one)).unwrap_or_default();
    let power = f64::from(horner(&ABOVE) / horner(&BELOW));
    (power * f64::from(orders).exp2()) as f32
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn exponentials_are_numpys() {
        // numpy.exp of float32, as bits.
        for (x, bits) in [
            (0.0, 0x3f80_0000),
            (-0.001, 0x3f7f_be7f),
            (-0.34657, 0x3f35_051d),
            (-0.3466, 0x3f35_03ba),
            (-1.0, 0x3ebc_5ab1),
            (-2.5, 0x3da8_1c2f),
            (-17.25, 0x330a_7a4f),
            (-80.0, 0x05bf_ecbb),
            (-87.5, 0x006c_b2bc),
            (-95.0, 0x0000_0f64),
            (-103.5, 1),
            (-104.0, 0),
            (f32::NEG_INFINITY, 0),
        ] {
            assert_eq!(exp(x).to_bits(), bits, "{x}");
        }
        assert!(exp(f32::NAN).is_nan());
    }
}
