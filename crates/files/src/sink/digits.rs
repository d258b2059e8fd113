//! Numbers in digits, at the end of a text.

#![allow(clippy::arithmetic_side_effects, reason = "constants")]

/// A whole number.
pub(super) fn unsigned(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A whole number with its sign.
pub(super) fn signed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A float: the shortest text that reads back to the same bits, as Arrow writes it.
pub(super) fn float32(out: &mut Vec<u8>, number: f32) {
    let whole = number as i32;
    // Up to here every whole number is a float of its own, and is written without an exponent.
    let short = whole.unsigned_abs() < 1 << f32::MANTISSA_DIGITS && whole as f32 == number;
    if short && (whole != 0 || number.is_sign_positive()) {
        signed(out, i64::from(whole));
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(ryu::Buffer::new().format(number).as_bytes());
    }
}

/// As [`float32`].
pub(super) fn float64(out: &mut Vec<u8>, number: f64) {
    let whole = number as i64;
    let short = whole.unsigned_abs() < 1 << f64::MANTISSA_DIGITS && whole as f64 == number;
    if short && (whole != 0 || number.is_sign_positive()) {
        signed(out, whole);
        out.extend_from_slice(b".0");
    } else {
        out.extend_from_slice(ryu::Buffer::new().format(number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float32Array, Float64Array, Int64Array, UInt64Array};
    use arrow::util::display::{ArrayFormatter, FormatOptions};

    use super::*;

    fn check<T: Copy>(column: &dyn Array, numbers: &[T], write: fn(&mut Vec<u8>, T)) {
        let arrow = ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap();
        for (row, number) in numbers.iter().enumerate() {
            let mut out = b"x".to_vec();
            write(&mut out, *number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{}", arrow.value(row)));
        }
    }

    #[test]
    fn numbers_are_written_as_arrow_writes_them() {
        let spread = (0..20_000u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let powers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let tens = (0..20).flat_map(|power| [10u64.pow(power) - 1, 10u64.pow(power), 10u64.pow(power) + 1]);
        let whole: Vec<u64> = (0..1100).chain(spread.clone()).chain(powers).chain(tens).chain([u64::MAX]).collect();
        check(&UInt64Array::from(whole.clone()), &whole, unsigned);
        let signs: Vec<i64> = whole.iter().flat_map(|n| [*n as i64, (*n as i64).wrapping_neg()]).collect();
        check(&Int64Array::from(signs.clone()), &signs, signed);

        let special = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 5e-324, 0.1, -2.5, 1e300];
        let doubles = signs.iter().map(|n| *n as f64).chain(spread.clone().map(f64::from_bits));
        let doubles: Vec<f64> = doubles.chain(special).collect();
        check(&Float64Array::from(doubles.clone()), &doubles, float64);
        let singles = doubles.iter().map(|n| *n as f32).chain(spread.map(|n| f32::from_bits((n >> 32) as u32)));
        let singles: Vec<f32> = singles.collect();
        check(&Float32Array::from(singles.clone()), &singles, float32);
    }
}
