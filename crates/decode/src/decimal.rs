//! Decimal numbers from text, digit by digit: nothing is rounded on the way.

#![allow(clippy::arithmetic_side_effects, reason = "at most 38 digits, and exponents that were clamped")]

use super::types::MOST_DIGITS;
use super::wrong::Wrong;

/// A larger exponent cannot stand in front of a number that fits.
const MOST_EXPONENT: i32 = 10_000;

/// The number in units of `10^-scale`. Trailing zeros beyond the scale change nothing.
///
/// # Errors
/// [`Wrong::Kind`] of what is not a number, [`Wrong::Range`] of too many digits before the point, [`Wrong::Digits`] of too
/// many behind it.
pub(super) fn parse(text: &str, precision: u8, scale: u8) -> Result<i128, Wrong> {
    let (negative, number) = match text.as_bytes().split_first() {
        Some((b'-', _)) => (true, text.get(1..)),
        Some((b'+', _)) => (false, text.get(1..)),
        _ => (false, Some(text)),
    };
    let number = number.ok_or(Wrong::Kind(None))?;
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(Wrong::Kind(None));
    }
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0').collect();
    if digits.is_empty() {
        return Ok(0);
    }
    // The last digit stands for units of `10^-(scale + beyond)`.
    let last = fraction.len() as i64 - i64::from(exponent);
    let beyond = last - i64::from(scale);
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let dropped = usize::try_from(beyond).unwrap_or_default();
    let added = usize::try_from(-beyond).unwrap_or_default();
    if dropped > zeros {
        return Err(Wrong::Digits);
    }
    let kept = digits.get(..digits.len() - dropped).unwrap_or_default();
    if kept.len() + added > usize::from(precision) {
        return Err(Wrong::Range);
    }
    // 38 digits fit an i128.
    let number = kept.iter().copied().chain(std::iter::repeat_n(b'0', added));
    let number = number.fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
    Ok(if negative { -number } else { number })
}

/// A database's number in digits, however many it has.
pub fn parse_decimal(text: &str, scale: u8) -> Option<i128> {
    parse(text, MOST_DIGITS, scale).ok()
}

fn read_exponent(text: &str) -> Result<i32, Wrong> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::Kind(None));
    }
    let bound = if text.starts_with('-') { -MOST_EXPONENT } else { MOST_EXPONENT };
    Ok(text.parse::<i32>().map_or(bound, |exponent| exponent.clamp(-MOST_EXPONENT, MOST_EXPONENT)))
}

/// As text, with all digits of the scale: `12.50`.
pub(super) fn show(number: i128, scale: i8) -> String {
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        return format!("{number}{}", "0".repeat(places));
    }
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{}{whole}.{fraction}", if number < 0 { "-" } else { "" })
}

/// Whether the digits of a number's text are those of the float that is nearest to it, at that length: `0.1`,
/// `0.10000000000000000555` and `9007199254740992` are, `9007199254740993` is not.
pub(super) fn says(text: &str, float: f64) -> bool {
    /// Every number of this many digits comes back from its nearest float.
    const SAFE: usize = 15;
    let number = text.split(['e', 'E']).next().unwrap_or_default();
    let mut digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits.len() <= SAFE {
        return true;
    }
    let shown = format!("{:.*e}", digits.len() - 1, float);
    let shown = shown.split('e').next().unwrap_or_default();
    shown.bytes().filter(u8::is_ascii_digit).eq(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_counts() {
        let cases: &[(&str, u8, u8, Result<i128, Wrong>)] = &[
            ("12.5", 10, 2, Ok(1250)),
            ("-0.01", 10, 2, Ok(-1)),
            ("+7", 10, 2, Ok(700)),
            (".5", 3, 2, Ok(50)),
            ("5.", 3, 2, Ok(500)),
            ("1.2500", 10, 2, Ok(125)),
            ("1.255", 10, 2, Err(Wrong::Digits)),
            ("0.001", 10, 2, Err(Wrong::Digits)),
            ("100", 4, 2, Err(Wrong::Range)),
            ("0100.00", 5, 2, Ok(10000)),
            ("1e3", 6, 0, Ok(1000)),
            ("1.5E-1", 6, 2, Ok(15)),
            ("1e-3", 6, 2, Err(Wrong::Digits)),
            ("1e99999999999", 38, 0, Err(Wrong::Range)),
            ("1e-99999999999", 38, 2, Err(Wrong::Digits)),
            ("0e99999999999", 38, 0, Ok(0)),
            ("0.000e-5", 38, 2, Ok(0)),
            ("12345678901234567890.123456789", 38, 9, Ok(12_345_678_901_234_567_890_123_456_789)),
            ("99999999999999999999999999999999999999", 38, 0, Ok(99_999_999_999_999_999_999_999_999_999_999_999_999)),
            ("100000000000000000000000000000000000000", 38, 0, Err(Wrong::Range)),
            ("", 5, 0, Err(Wrong::Kind(None))),
            ("-", 5, 0, Err(Wrong::Kind(None))),
            (".", 5, 0, Err(Wrong::Kind(None))),
            ("1,5", 5, 1, Err(Wrong::Kind(None))),
            ("1e", 5, 1, Err(Wrong::Kind(None))),
            ("1e+-2", 5, 1, Err(Wrong::Kind(None))),
            ("NaN", 5, 1, Err(Wrong::Kind(None))),
            ("é", 5, 1, Err(Wrong::Kind(None))),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(parse(text, *precision, *scale), *expected, "{text}");
        }
    }

    #[test]
    fn decimals_as_text() {
        assert_eq!(show(1250, 2), "12.50");
        assert_eq!(show(-1, 2), "-0.01");
        assert_eq!(show(7, 0), "7");
        assert_eq!(show(7, -2), "700");
        assert_eq!(show(i128::MIN + 1, 38), "-1.70141183460469231731687303715884105727");
    }

    #[test]
    fn floats_that_say_what_their_text_says() {
        for (text, says_so) in [
            ("0.1", true),
            ("0.10000000000000000555", true),
            ("0.3000000000000000444", true),
            ("1234567890123456.78", false),
            ("9007199254740992", true),
            ("9007199254740993", false),
            ("12345678901234567891", false),
            ("123456789012345680000", true),
            ("1180591620717411303424", true),
            ("-12345678.901234567", true),
            ("1e300", true),
            ("000000000000000000000000.5", true),
        ] {
            assert_eq!(says(text, text.parse().unwrap()), says_so, "{text}");
        }
    }
}
