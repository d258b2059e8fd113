//! Which type fits all of some values, so that each would be written again as it was.

use super::decimal;
use super::field::parse_signed;
use super::time::TimeFormat;
use super::types::{MOST_DIGITS, Type};

/// The types that are still possible after the fields that were seen.
#[derive(Debug, Clone)]
pub struct Guess {
    possible: Vec<Type>,
    seen: bool,
    /// Whether some field was more than a word such as `nan` or `inf`.
    told: bool,
    date: Option<TimeFormat>,
    timestamp: Option<TimeFormat>,
}

/// The types that are told from text, the narrowest first.
const TEXTS: [Type; 5] = [Type::Int64, Type::Float64, Type::Bool, Type::Date, Type::Timestamp];

/// Up to here a float holds every whole number; larger ones are ids, whose neighbours would become one.
const LARGEST: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// How floats write what is not a number in digits.
const WORDS: [&str; 6] = ["inf", "-inf", "Infinity", "-Infinity", "nan", "NaN"];

impl Default for Guess {
    fn default() -> Self {
        Guess {
            possible: TEXTS.to_vec(),
            seen: false,
            told: false,
            date: TimeFormat::new(&Type::Date, None).ok(),
            timestamp: TimeFormat::new(&Type::Timestamp, None).ok(),
        }
    }
}

impl Guess {
    /// A guess that takes dates and times for text.
    pub fn without_times() -> Self {
        Guess { date: None, timestamp: None, ..Guess::default() }
    }

    /// A field that is not a missing one.
    pub fn text(&mut self, value: &[u8]) {
        self.seen = true;
        let text = std::str::from_utf8(value).unwrap_or_default();
        let (date, timestamp) = (&self.date, &self.timestamp);
        self.possible.retain(|possible| match possible {
            Type::Int64 => is_int(value),
            Type::Float64 => is_float(text) || WORDS.contains(&text),
            Type::Bool => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
            Type::Date => date.as_ref().is_some_and(|format| is_date(format, text)),
            Type::Timestamp => timestamp.as_ref().is_some_and(|format| is_time(format, text)),
            _ => false,
        });
        self.told |= !self.possible.is_empty() && !WORDS.contains(&text);
    }

    /// Whether there was a field that is not a missing one.
    pub fn seen(&self) -> bool {
        self.seen
    }

    /// The narrowest type that fits all; text where nothing else does, or nothing was seen.
    pub fn fits(&self) -> Type {
        self.possible.first().cloned().filter(|_| self.told).unwrap_or(Type::Utf8)
    }
}

/// Whether the line that should name the columns holds values: a field of it is a number, a time or the like. Names such
/// as `0`, `1`, … , which pandas writes where columns have no names, are names all the same.
pub fn is_record<T: AsRef<str>>(names: &[T]) -> bool {
    let value = |name: &&str| {
        let mut guess = Guess::default();
        guess.text(name.trim().as_bytes());
        guess.fits() != Type::Utf8 || name.trim().parse::<f64>().is_ok_and(f64::is_finite)
    };
    let values: Vec<&str> = names.iter().map(AsRef::as_ref).filter(value).collect();
    let numbered = values.iter().zip(0..).all(|(name, number)| name.trim().parse() == Ok(number));
    !values.is_empty() && !numbered
}

/// An integer that is written as any other program writes it: not `007`, `+7`, ` 7`, `-0`.
fn is_int(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => parse_signed(text).is_ok(),
        _ => false,
    }
}

/// A float as programs write it, with no digit lost. `1e5`, which no program writes that way, may be a code.
fn is_float(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (number, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = whole.len() > 1 && whole.starts_with('0');
    let pointed = fraction.is_some_and(|fraction| !fraction.is_empty() && digits(fraction));
    if padded || !digits(whole) || (whole.is_empty() && !pointed) || (fraction.is_some() && !pointed) {
        return false;
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if unsigned.is_empty() || !digits(unsigned) || (unsigned.len() == exponent.len() && !pointed) {
            return false;
        }
    }
    let Ok(float) = text.parse::<f64>() else { return false };
    if fraction.is_none() && exponent.is_none() && float.abs() > LARGEST {
        return false;
    }
    let vanished = float == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    float.is_finite() && !vanished && decimal::says(text, float)
}

/// A day as it would be written again.
fn is_date(format: &TimeFormat, text: &str) -> bool {
    text.len() == "2019-09-11".len()
        && text.starts_with(|first: char| first.is_ascii_digit())
        && format.date(text).is_ok()
}

/// A time with nothing finer than microseconds.
fn is_time(format: &TimeFormat, text: &str) -> bool {
    let finer = text.split_once('.').is_some_and(|(_, fraction)| {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit);
        digits.skip(6).any(|digit| digit != b'0')
    });
    !finer && format.timestamp(text).is_ok()
}

/// The types that are still possible after the JSON values that were seen.
#[derive(Debug, Clone, Default)]
pub struct JsonGuess {
    kind: Option<JsonKind>,
    mixed: bool,
    numbers: Numbers,
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list or an object.
    Nested,
}

/// What all numbers so far have in common.
#[derive(Debug, Clone)]
struct Numbers {
    int: bool,
    unsigned: bool,
    float: bool,
    /// Digits before the point and behind it, of all that are written without an exponent.
    decimal: Option<(usize, usize)>,
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers { int: true, unsigned: true, float: true, decimal: Some((0, 0)) }
    }
}

impl JsonGuess {
    /// A value as it is written; NULL says nothing.
    pub fn value(&mut self, text: &str) {
        let kind = match text.bytes().next() {
            Some(b'"') => JsonKind::Text,
            Some(b't' | b'f') => JsonKind::Bool,
            Some(b'{' | b'[') => JsonKind::Nested,
            Some(b'-' | b'0'..=b'9') => JsonKind::Number,
            _ => return,
        };
        self.mixed |= self.kind.is_some_and(|known| known != kind);
        // What was nested once is not a column, whatever else it is.
        self.kind = Some(if self.kind == Some(JsonKind::Nested) { JsonKind::Nested } else { kind });
        if kind != JsonKind::Number {
            return;
        }
        let numbers = &mut self.numbers;
        numbers.int &= text.parse::<i64>().is_ok();
        numbers.unsigned &= text.parse::<u64>().is_ok();
        let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let fits = |float: f64| float.is_finite() && !(is_whole && float.abs() > LARGEST) && decimal::says(text, float);
        numbers.float &= text.parse().is_ok_and(fits);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let plain = !text.contains(['e', 'E']);
        numbers.decimal = numbers
            .decimal
            .filter(|_| plain)
            .map(|(before, behind)| (before.max(whole.trim_start_matches('-').len()), behind.max(fraction.len())));
    }

    /// Whether a float holds every number so far with all its digits.
    pub fn is_float(&self) -> bool {
        self.numbers.float
    }

    /// What the values were, if there was one.
    pub fn kind(&self) -> Option<JsonKind> {
        self.kind
    }

    /// Whether the values are of several kinds: no type is right for both text and numbers.
    pub fn mixed(&self) -> bool {
        self.mixed
    }

    /// The type that holds all of them; `None` where numbers have more digits than any type holds.
    pub fn fits(&self) -> Option<Type> {
        let numbers = &self.numbers;
        match self.kind {
            _ if self.mixed => Some(Type::Utf8),
            Some(JsonKind::Bool) => Some(Type::Bool),
            Some(JsonKind::Number) if numbers.int => Some(Type::Int64),
            Some(JsonKind::Number) if numbers.unsigned => Some(Type::Uint64),
            Some(JsonKind::Number) if numbers.float => Some(Type::Float64),
            Some(JsonKind::Number) => {
                let (before, behind) = numbers.decimal?;
                let behind = u8::try_from(behind).ok()?;
                (before.saturating_add(usize::from(behind)) <= usize::from(MOST_DIGITS))
                    .then_some(Type::Decimal(MOST_DIGITS, behind))
            }
            _ => Some(Type::Utf8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(mut guess: Guess, fields: &[&str]) -> Type {
        fields.iter().for_each(|field| guess.text(field.as_bytes()));
        guess.fits()
    }

    #[test]
    fn the_narrowest_type_that_fits_all() {
        let cases: &[(&[&str], Type)] = &[
            (&["64", "-7", "0", "9223372036854775807"], Type::Int64),
            (&["64", "2.5", "-0.5", ".5", "1e+16", "1.5E3"], Type::Float64),
            (&["2.5", "inf", "nan"], Type::Float64),
            (&["true", "False"], Type::Bool),
            (&["0", "1"], Type::Int64),
            (&["2019-09-11", "2020-02-29"], Type::Date),
            (&["2019-09-11 08:00:00", "2019-09-11T08:00:00.123456Z"], Type::Timestamp),
            (&["9999-12-31T23:59:59Z", "0001-01-01"], Type::Timestamp),
            (&["2019-09-11", "64"], Type::Utf8),
            (&["64", "sixty"], Type::Utf8),
            (&["1", "true"], Type::Utf8),
            (&[], Type::Utf8),
        ];
        for (fields, expected) in cases {
            assert_eq!(guess(Guess::default(), fields), *expected, "{fields:?}");
        }
        assert_eq!(guess(Guess::without_times(), &["2019-09-11"]), Type::Utf8);
    }

    #[test]
    fn a_first_line_of_values_is_not_a_header() {
        for names in [&["AGE", "ITEM_n"][..], &["", "0", "1", "2"], &["x 1", "N/A", ""], &["true story", "nan"]] {
            assert!(!is_record(names), "{names:?}");
        }
        for values in [
            &["9", "8", "7"][..],
            &["1", "2", "3"],
            &["ICU", "64"],
            &["007", "a"],
            &["2019-09-11", "a"],
            &["true", "a"],
        ] {
            assert!(is_record(values), "{values:?}");
        }
    }

    #[test]
    fn what_would_come_back_as_another_text_stays_text() {
        for text in [
            "007",
            "01220",
            "+5",
            " 5",
            "5 ",
            "1_000",
            "0x10",
            "1e5",
            "12E3",
            "01.5",
            "5.",
            "-",
            ".",
            "inf",
            "nan",
            "9223372036854775808",
            "12345678901234567891",
            "1234567890123456.78",
            "1e-400",
            "1e999",
            "2019-9-1",
            "+2019-09-11",
            "2019-09-11T10:20:30.1234567",
            "2016-12-31T23:59:60Z",
            "٣",
        ] {
            assert_eq!(guess(Guess::default(), &[text]), Type::Utf8, "{text}");
        }
        // Beside fractions it would have to become a float, which is another number.
        assert_eq!(guess(Guess::default(), &["9007199254740993", "1.5"]), Type::Utf8);
        assert_eq!(guess(Guess::default(), &["9007199254740992", "1.5"]), Type::Float64);
    }

    #[test]
    fn json_numbers_keep_their_digits() {
        let cases: &[(&[&str], Option<Type>)] = &[
            (&["1", "null", "-9223372036854775808"], Some(Type::Int64)),
            (&["1", "18446744073709551615"], Some(Type::Uint64)),
            (&["1", "2.5", "1e5"], Some(Type::Float64)),
            (&["-1", "18446744073709551615"], Some(Type::Decimal(38, 0))),
            (&["12345678901234567891234"], Some(Type::Decimal(38, 0))),
            (&["9007199254740993", "1.25"], Some(Type::Decimal(38, 2))),
            (&["1e5", "9007199254740993"], None),
            (&["123456789012345678901234567890123456789"], None),
            (&["true"], Some(Type::Bool)),
            (&["\"1\"", "1"], Some(Type::Utf8)),
            (&["null"], Some(Type::Utf8)),
        ];
        for (values, expected) in cases {
            let mut guess = JsonGuess::default();
            values.iter().for_each(|value| guess.value(value));
            assert_eq!(guess.fits(), *expected, "{values:?}");
        }
    }
}
