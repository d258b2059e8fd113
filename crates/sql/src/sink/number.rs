//! Numbers as digits: whether a text is one, whether two are the same, and how many digits one needs. Pure.

/// A number's digits without zeros at either end: `-0.0120e5` is −12 · 10².
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Number {
    /// Reads `12`, `-0.5`, `.5`, `1e-7`; `None` where the text is not a number.
    pub(super) fn read(text: &str) -> Option<Number> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (rest.get(..at)?, i64::from(rest.get(at.checked_add(1)?..)?.parse::<i32>().ok()?)),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.pop_if(|digit| *digit == b'0').is_some() {
            exponent = exponent.checked_add(1)?;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Number { negative: false, digits, exponent: 0 });
        }
        Some(Number { negative, digits, exponent })
    }

    /// How many digits after the point it needs; less than 0 where it ends in zeros before it.
    pub(super) fn places(&self) -> i64 {
        if self.digits.is_empty() { i64::MIN } else { self.exponent.saturating_neg() }
    }

    /// Rounded to this many digits after the point, halves away from zero, as databases round.
    pub(super) fn rounded(mut self, places: i64) -> Number {
        let surplus = self.places().saturating_sub(places);
        let Ok(surplus @ 1..) = usize::try_from(surplus) else { return self };
        let kept = self.digits.len().checked_sub(surplus);
        let up = kept.and_then(|kept| self.digits.get(kept)).is_some_and(|digit| *digit >= b'5');
        self.digits.truncate(kept.unwrap_or_default());
        self.exponent = places.saturating_neg();
        if up {
            let nines = self.digits.iter().rev().take_while(|digit| **digit == b'9').count();
            self.digits.truncate(self.digits.len().saturating_sub(nines));
            self.exponent = self.exponent.saturating_add(i64::try_from(nines).unwrap_or_default());
            match self.digits.last_mut() {
                Some(last) => *last = last.saturating_add(1),
                None => self.digits.push(b'1'),
            }
        }
        Number::read(&self.text()).unwrap_or(self)
    }

    /// As a text that every database reads.
    pub(super) fn text(&self) -> String {
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", String::from_utf8_lossy(&self.digits), self.exponent)
    }

    /// In digits and a point, without an exponent; `None` where that would be long.
    pub(super) fn plain(&self) -> Option<String> {
        const LONGEST: usize = 400;
        let mut digits = String::from_utf8_lossy(&self.digits).into_owned();
        match usize::try_from(self.exponent) {
            Ok(zeros) if zeros <= LONGEST => digits.extend(std::iter::repeat_n('0', zeros)),
            Ok(_) => return None,
            Err(_) => {
                let behind = usize::try_from(self.exponent.unsigned_abs()).ok().filter(|behind| *behind <= LONGEST)?;
                let missing = behind.saturating_add(1).saturating_sub(digits.len());
                digits.insert_str(0, &"0".repeat(missing));
                digits.insert(digits.len().checked_sub(behind)?, '.');
            }
        }
        if digits.is_empty() {
            digits.push('0');
        }
        Some(if self.negative { format!("-{digits}") } else { digits })
    }

    /// Whether a float's shortest digits are these: then the number comes back from it.
    pub(super) fn is_float(&self, value: f64, single: bool) -> bool {
        let shortest = if single { format!("{:e}", value as f32) } else { format!("{value:e}") };
        Number::read(&shortest).is_some_and(|number| number == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_form() {
        let read = |text| Number::read(text).unwrap();
        for (a, b) in
            [("1", "1.000"), ("0.10", ".1"), ("1e3", "1000"), ("-0", "+0.0e9"), ("120e-1", "12"), ("007", "7")]
        {
            assert_eq!(read(a), read(b), "{a} {b}");
        }
        assert_ne!(read("1"), read("-1"));
        assert_ne!(read("1"), read("10"));
        for bad in ["", "-", ".", "e5", "1e", "1e5.5", "1 ", "0x1", "inf", "NaN", "1_000", "--1", "1.2.3", "१"] {
            assert_eq!(Number::read(bad), None, "{bad}");
        }
        assert_eq!(read("1.2300").places(), 2);
        assert_eq!(read("1200").places(), -2);
    }

    #[test]
    fn a_number_is_written_without_an_exponent() {
        for (text, expected) in [
            ("12e-1", "1.2"),
            ("-5e-3", "-0.005"),
            ("1200", "1200"),
            ("0", "0"),
            ("-0.10", "-0.1"),
            ("3e2", "300"),
            ("9.99", "9.99"),
        ] {
            assert_eq!(Number::read(text).unwrap().plain().unwrap(), expected, "{text}");
        }
        assert_eq!(Number::read("1e999").unwrap().plain(), None);
        assert_eq!(Number::read("1e-999").unwrap().plain(), None);
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let rounded = |text, places| Number::read(text).unwrap().rounded(places);
        for (text, places, expected) in [
            ("1.005", 2, "1.01"),
            ("-1.005", 2, "-1.01"),
            ("1.0049", 2, "1"),
            ("9.996", 2, "10"),
            ("0.005", 2, "0.01"),
            ("0.004", 2, "0"),
            ("0.0004", 2, "0"),
            ("0.0009", 2, "0"),
            ("0.999", 0, "1"),
            ("12345", -2, "12300"),
            ("1.25", 9, "1.25"),
        ] {
            assert_eq!(rounded(text, places), Number::read(expected).unwrap(), "{text} to {places}");
        }
    }

    #[test]
    fn a_float_keeps_the_digits_that_come_back() {
        let kept = |text: &str, single| Number::read(text).unwrap().is_float(text.parse().unwrap(), single);
        for text in ["0.1", "9007199254740992", "1e300", "0.30000000000000004", "-2.5", "0"] {
            assert!(kept(text, false), "{text}");
        }
        for text in ["9007199254740993", "12345678901234567890.12", "1e400", "1e-400"] {
            assert!(!kept(text, false), "{text}");
        }
        assert!(kept("0.1", true) && kept("16777216", true) && !kept("16777217", true) && !kept("1e300", true));
    }

    /// `mantissa` with this many digits behind the point, as a database would write it.
    fn plain(mantissa: i64, places: u32) -> String {
        let (sign, digits) = (if mantissa < 0 { "-" } else { "" }, mantissa.unsigned_abs().to_string());
        let digits = format!("{digits:0>width$}", width = places as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places as usize);
        format!("{sign}{whole}.{fraction}0")
    }

    proptest::proptest! {
        #[test]
        fn a_number_is_the_same_however_it_is_written(mantissa: i64, places in 0..30_u32, zeros in 0..4_usize) {
            let read = |text: &str| Number::read(text).unwrap();
            let number = read(&format!("{mantissa}{}e-{}", "0".repeat(zeros), places as usize + zeros));
            proptest::prop_assert_eq!(&number, &read(&plain(mantissa, places)));
            proptest::prop_assert_eq!(&number, &read(&number.text()));
        }

        /// As whole numbers tell it.
        #[test]
        fn rounding_is_to_the_nearest(mantissa in -1_000_000_000_000..1_000_000_000_000_i64, places in 0..12_u32, kept in 0..12_u32) {
            let number = Number::read(&plain(mantissa, places)).unwrap().rounded(kept.into());
            let expected = match places.checked_sub(kept) {
                Some(cut) => {
                    let unit = 10_i64.pow(cut);
                    let away = (mantissa.abs() + unit / 2) / unit;
                    plain(mantissa.signum() * if cut == 0 { mantissa.abs() } else { away }, kept)
                }
                None => plain(mantissa, places),
            };
            proptest::prop_assert_eq!(number, Number::read(&expected).unwrap());
        }

        #[test]
        fn no_text_is_too_odd(text: String) {
            if let Some(number) = Number::read(&text) {
                proptest::prop_assert_eq!(Number::read(&number.text()), Some(number));
            }
        }
    }
}
