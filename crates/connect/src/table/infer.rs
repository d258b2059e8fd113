//! Types of columns, found out from their values.

use serde_json::{Map, Value};

/// What all values of a column so far could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    /// No value yet.
    Nothing,
    Int,
    Float,
    Bool,
    Text,
    /// Values of several types: of texts and numbers, none is right.
    Mixed,
}

impl Guess {
    /// The name of the type, as `types` would write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Guess::Int => "int64?",
            Guess::Float => "float64?",
            Guess::Bool => "bool?",
            Guess::Nothing | Guess::Text | Guess::Mixed => "utf8?",
        }
    }

    /// With one more field of a CSV file that is not missing. What does not read back as it was written is text:
    /// `007` is no number, or the zeros would be lost.
    pub(super) fn field(self, text: &str) -> Guess {
        self.with(
            match text {
                "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => Guess::Bool,
                _ if is_int(text) => Guess::Int,
                _ if is_float(text) => Guess::Float,
                _ => Guess::Text,
            },
            Guess::Text,
        )
    }

    /// With one more JSON value that is not null; `None` where it is a list or an object.
    pub(super) fn value(self, value: &Value) -> Option<Guess> {
        let one = match value {
            Value::Bool(_) => Guess::Bool,
            Value::Number(number) if number.is_i64() => Guess::Int,
            Value::Number(_) => Guess::Float,
            Value::String(_) => Guess::Text,
            Value::Null => return Some(self),
            Value::Array(_) | Value::Object(_) => return None,
        };
        Some(self.with(one, Guess::Mixed))
    }

    fn with(self, one: Guess, otherwise: Guess) -> Guess {
        match (self, one) {
            (Guess::Nothing, one) => one,
            (all, one) if all == one => all,
            (Guess::Int | Guess::Float, Guess::Int | Guess::Float) => Guess::Float,
            _ => otherwise,
        }
    }
}

fn is_int(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
}

fn is_float(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    digits.starts_with(|c: char| c.is_ascii_digit()) && !zeros && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A decoder's `columns`: those names, with the type that is given or else guessed.
pub(super) fn columns(names: &[String], guesses: &[Guess], types: &Map<String, Value>) -> Value {
    let column = |(name, guess): (&String, &Guess)| {
        let given = types.get(name).cloned().unwrap_or_else(|| guess.name().into());
        Value::Object(Map::from_iter([(name.clone(), given)]))
    };
    names.iter().zip(guesses).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_numbers_only_where_nothing_is_lost() {
        let guess = |fields: &[&str]| fields.iter().fold(Guess::Nothing, |guess, field| guess.field(field));
        assert_eq!(guess(&["1", "-20", "0"]), Guess::Int);
        assert_eq!(guess(&["1", "2.5", "-0.5", "1e3"]), Guess::Float);
        assert_eq!(guess(&["true", "False"]), Guess::Bool);
        for text in ["007", "+1", " 1", "1 ", "1_000", "0x1", "inf", "NaN", "-", "01.5", "x"] {
            assert_eq!(guess(&[text]), Guess::Text, "{text}");
        }
        assert_eq!(guess(&["1", "true"]), Guess::Text);
        assert_eq!(guess(&["9223372036854775808"]), Guess::Float);
    }
}
