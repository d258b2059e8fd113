//! Which type fits all of some values.

use super::column::Type;
use super::field::parse_signed;
use super::time::TimeFormat;

/// What is still possible after the values that were seen.
#[derive(Debug, Clone)]
pub struct Guess {
    possible: Vec<Type>,
    seen: bool,
    date: Option<TimeFormat>,
    timestamp: Option<TimeFormat>,
}

/// The types that are told from text, the narrowest first.
const TEXTS: [Type; 5] = [Type::Int64, Type::Float64, Type::Bool, Type::Date, Type::Timestamp];

impl Default for Guess {
    fn default() -> Self {
        Guess {
            possible: TEXTS.to_vec(),
            seen: false,
            date: TimeFormat::new(Type::Date, None).ok(),
            timestamp: TimeFormat::new(Type::Timestamp, None).ok(),
        }
    }
}

impl Guess {
    /// A value as text, which is not a missing one.
    pub fn text(&mut self, value: &[u8]) {
        self.seen = true;
        let bytes = value.trim_ascii();
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let (date, timestamp) = (&self.date, &self.timestamp);
        self.possible.retain(|possible| match possible {
            Type::Int64 => parse_signed(bytes).is_ok(),
            Type::Float64 => text.parse::<f64>().is_ok(),
            Type::Bool => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
            Type::Date => date.as_ref().is_some_and(|format| format.date(text).is_some()),
            Type::Timestamp => timestamp.as_ref().is_some_and(|format| format.timestamp(text).is_some()),
            _ => false,
        });
    }

    /// A value that has a type, as JSON's have.
    pub fn typed(&mut self, found: Type) {
        self.seen = true;
        self.possible.retain(|possible| *possible == found || (*possible, found) == (Type::Float64, Type::Int64));
    }

    /// What fits all; text where nothing else does, or nothing was seen.
    pub fn fits(&self) -> Type {
        self.seen().unwrap_or(Type::Utf8)
    }

    /// What fits all; none where nothing was seen.
    pub fn seen(&self) -> Option<Type> {
        self.seen.then(|| self.possible.first().copied().unwrap_or(Type::Utf8))
    }
}

/// Whether the line that should name the columns holds values: a field of it is a number, a time or the like. Names such
/// as `0`, `1`, … , which pandas gives where there are none, are names all the same.
pub fn is_record<T: AsRef<str>>(names: &[T]) -> bool {
    let value = |name: &&str| {
        let mut guess = Guess::default();
        guess.text(name.as_bytes());
        !name.trim().is_empty() && guess.fits() != Type::Utf8
    };
    let values: Vec<&str> = names.iter().map(AsRef::as_ref).filter(value).collect();
    let numbered = values.iter().zip(0..).all(|(name, number)| name.trim().parse() == Ok(number));
    !values.is_empty() && !numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_of_values_is_no_header() {
        for names in [&["AGE", "ITEM_n"][..], &["", "0", "1", "2"], &["x 1", "N/A", ""], &["true story"]] {
            assert!(!is_record(names), "{names:?}");
        }
        for values in [&["9", "8", "7"][..], &["1", "2", "3"], &["ICU", "64"], &["2019-09-11", "a"], &["true", "a"]] {
            assert!(is_record(values), "{values:?}");
        }
    }

    #[test]
    fn the_narrowest_type_that_fits_all() {
        let cases: &[(&[&str], Type)] = &[
            (&["64", " -7", "9223372036854775807"], Type::Int64),
            (&["64", "1e3"], Type::Float64),
            (&["99999999999999999999", "1"], Type::Float64),
            (&["true", "False"], Type::Bool),
            (&["0", "1"], Type::Int64),
            (&["2019-09-11", "2020-02-29"], Type::Date),
            (&["2019-09-11 08:00:00", "2019-09-11T08:00:00Z"], Type::Timestamp),
            (&["2019-09-11", "64"], Type::Utf8),
            (&["64", "sixty"], Type::Utf8),
            (&[], Type::Utf8),
        ];
        for (values, expected) in cases {
            let mut guess = Guess::default();
            values.iter().for_each(|value| guess.text(value.as_bytes()));
            assert_eq!(guess.fits(), *expected, "{values:?}");
        }
        let mut guess = Guess::default();
        guess.typed(Type::Int64);
        assert_eq!(guess.fits(), Type::Int64);
        guess.typed(Type::Float64);
        assert_eq!(guess.fits(), Type::Float64);
        guess.typed(Type::Utf8);
        assert_eq!(guess.fits(), Type::Utf8);
    }
}
