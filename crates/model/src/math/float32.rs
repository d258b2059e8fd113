//! numpy's own functions of float32, as every processor with AVX2 has them: not the C library's, and up to 4 units in
//! the last place from the true value. What numpy takes from the C library is taken from it here too (`f32::ln_1p`).

/// `a[0] + x·(a[1] + …)`, written from the highest power down.
fn horner(x: f32, all: &[f32]) -> f32 {
    all.iter().copied().reduce(|sum, one| sum.mul_add(x, one)).unwrap_or_default()
}

/// A quotient of two polynomials on half a binary order around 0.
pub(crate) fn exp(x: f32) -> f32 {
    /// The logarithm of 2 in two parts, the first with so few bits that its multiples are exact.
    const LN_2: [f32; 2] = [-0.693_145_75, -1.428_606_8e-6];
    const ABOVE: [f32; 6] = [0.000_508_276_3, 0.006_757_897, 0.051_145_12, 0.247_361_54, 0.725_766_5, 1.0];
    const BELOW: [f32; 3] = [0.021_595_094, -0.274_233_55, 1.0];
    /// Below this it is 0, above that infinite.
    const LEAST: f32 = -103.972_08;
    const MOST: f32 = 88.722_84;
    if x.is_nan() || x < LEAST {
        return if x.is_nan() { x } else { 0.0 };
    }
    if x > MOST {
        return f32::INFINITY;
    }
    let orders = (x * std::f32::consts::LOG2_E).round_ties_even();
    let rest = LN_2.into_iter().fold(x, |rest, part| orders.mul_add(part, rest));
    let power = f64::from(horner(rest, &ABOVE) / horner(rest, &BELOW));
    (power * f64::from(orders).exp2()) as f32
}

/// The order, and a quotient of two polynomials of what is left between the roots of one half and of two.
pub(crate) fn ln(x: f32) -> f32 {
    const ABOVE: [f32; 6] = [0.025_899_792, 0.380_883_78, 1.480_000_6, 2.112_677_6, 1.0, 0.0];
    const BELOW: [f32; 6] = [0.005_875_095_3, 0.154_647_63, 0.986_494_3, 2.453_006, 2.612_677_6, 1.0];
    if x.is_nan() || x <= 0.0 || x == f32::INFINITY {
        return if x == 0.0 {
            f32::NEG_INFINITY
        } else if x < 0.0 {
            f32::NAN
        } else {
            x
        };
    }
    // A float64 holds the smallest of them as a normal number.
    let bits = f64::from(x).to_bits();
    let mut orders = (bits >> 52) as i32 - 1022;
    let mut part = f64::from_bits((bits & ((1 << 52) - 1)) | (1022 << 52)) as f32;
    if part < std::f32::consts::FRAC_1_SQRT_2 {
        part += part;
        orders -= 1;
    }
    let rest = part - 1.0;
    (orders as f32).mul_add(std::f32::consts::LN_2, horner(rest, &ABOVE) / horner(rest, &BELOW))
}

pub(crate) fn sin(x: f32) -> f32 {
    /// Beyond these numpy asks the C library.
    const LARGEST: f32 = 117_435.99;
    // Zero keeps its sign.
    if x.abs() > LARGEST || x == 0.0 { x.sin() } else { wave(x, 0) }
}

pub(crate) fn cos(x: f32) -> f32 {
    const LARGEST: f32 = 71_476.06;
    if x.abs() > LARGEST { x.cos() } else { wave(x, 1) }
}

/// The sine some quarters of a turn on, by polynomials on an eighth of a turn around 0.
fn wave(x: f32, quarters: i32) -> f32 {
    /// Half of pi in parts, each with so few bits that its multiples are exact.
    #[allow(
        clippy::approx_constant,
        reason = "the first part is shorter than the constant, so that its multiples are exact"
    )]
    const HALF_PI: [f32; 3] = [-1.570_796, -3.139_164_7e-7, -5.390_302_5e-15];
    const COS: [f32; 5] = [2.437_226_6e-5, -1.388_652e-3, 4.166_662e-2, -0.5, 1.0];
    const SIN: [f32; 4] = [2.840_409_7e-6, -1.985_649_1e-4, 8.333_397e-3, -0.166_666_67];
    if !x.is_finite() {
        return f32::NAN;
    }
    let turns = (x * std::f32::consts::FRAC_2_PI).round_ties_even();
    let rest = HALF_PI.into_iter().fold(x, |rest, part| turns.mul_add(part, rest));
    let square = rest * rest;
    let quarter = (turns as i32).wrapping_add(quarters);
    let value =
        if quarter & 1 == 0 { (horner(square, &SIN) * square).mul_add(rest, rest) } else { horner(square, &COS) };
    if quarter & 2 == 0 { value } else { -value }
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
            (89.0, 0x7f80_0000),
        ] {
            assert_eq!(exp(x).to_bits(), bits, "{x}");
        }
        assert!(exp(f32::NAN).is_nan());
    }
}
