//! CatBoost's own exponential, to its bit: a table of 2048 powers of two and a polynomial of the third degree.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "the table's index is masked")]

use std::sync::LazyLock;

const BITS: u32 = 11;
const SIZE: usize = 1 << BITS;
/// The polynomial's coefficients.
const SIXTH: f64 = 0.166_666_666_852_278_35;
const THREE: f64 = 3.000_000_002_795_539_4;
/// Added to a number, it leaves a whole one in the lowest bits.
const WHOLE: f64 = (3u64 << 51) as f64;
/// Below the one the result is 0, above the other infinite; several numbers at once are brought between the two.
const LEAST: f64 = -708.396_418_532_264_1;
const MOST: f64 = 709.782_712_893_384;
const MOST_AT_ONCE: f64 = 709.782_725_693_384;
/// How many are computed at once.
const AT_ONCE: usize = 4;

struct Powers {
    /// The fractions of `2 ** (i / 2048)`, as bits.
    fractions: Vec<u64>,
    steps: f64,
    step: f64,
}

static POWERS: LazyLock<Powers> = LazyLock::new(|| {
    let fraction = |i: usize| 2f64.powf(i as f64 * (1.0 / SIZE as f64)).to_bits() & ((1 << 52) - 1);
    let steps = SIZE as f64 / 2f64.ln();
    Powers { fractions: (0..SIZE).map(fraction).collect(), steps, step: 1.0 / steps }
});

fn one(x: f64, powers: &Powers) -> f64 {
    let shifted = x * powers.steps + WHOLE;
    let bits = shifted.to_bits();
    let fraction = powers.fractions[bits as usize & (SIZE - 1)];
    let t = (shifted - WHOLE) * powers.step - x;
    let exponent = (bits.wrapping_add((1 << (BITS + 10)) - (1 << BITS)) >> BITS) << 52;
    let y = (THREE - t) * (t * t) * SIXTH - t + 1.0;
    y * f64::from_bits(exponent | fraction)
}

/// The exponentials of some numbers.
#[allow(clippy::manual_clamp, reason = "what is not a number becomes the most, as it does there")]
pub(super) fn exponentials(all: &mut [f64]) {
    let powers = &*POWERS;
    let (at_once, rest) = all.split_at_mut(all.len() / AT_ONCE * AT_ONCE);
    at_once.iter_mut().for_each(|x| *x = one(x.min(MOST_AT_ONCE).max(LEAST), powers));
    for x in rest {
        *x = if *x <= LEAST {
            0.0
        } else if *x >= MOST {
            f64::INFINITY
        } else {
            one(*x, powers)
        };
    }
}
