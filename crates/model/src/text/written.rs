//! How Python writes numbers: what `str` gives.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "digits are cut where there are digits")]

/// From this exponent on a number is written with it.
const LARGE: i32 = 16;
/// Below this one, too.
const SMALL: i32 = -4;

/// `str` of a float64.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_string();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".to_string() } else { "-inf".to_string() };
    }
    laid_out(&format!("{number:e}"))
}

/// `str` of numpy's float32.
pub(crate) fn narrow(number: f32) -> String {
    if number.is_finite() { laid_out(&format!("{number:e}")) } else { float(f64::from(number)) }
}

/// The shortest digits that are the number, as Python lays them out.
fn laid_out(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    if !(SMALL..LARGE).contains(&exponent) {
        let sign_of = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{sign_of}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::{float, narrow};

    #[test]
    fn floats_are_written_as_by_python() {
        let known = [
            (3.0, "3.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123456789012345.6, "123456789012345.6"),
            (9007199254740993.0, "9007199254740992.0"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (-2.5e-310, "-2.5e-310"),
            (1e300, "1e+300"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in known {
            assert_eq!(float(number), text);
        }
        assert_eq!(
            (narrow(0.1), narrow(16777216.0), narrow(1e-5)),
            ("0.1".into(), "16777216.0".into(), "1e-05".into())
        );
    }
}
