//! Why a value does not fit its column.

use super::types::Type;

/// Why a cell does not fit its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wrong {
    /// Nothing where something must be.
    Missing,
    /// Another kind of value: `not an int64`, or what stands there instead.
    Kind(Option<&'static str>),
    /// A number that the type cannot hold.
    Range,
    /// A whole number between two that the type holds.
    Whole,
    /// A decimal with more digits behind the point than the type has.
    Digits,
    /// A local time that its zone never shows.
    Skipped,
    /// Bytes that are not UTF-8.
    Encoding,
    /// A part of the value.
    Within(Box<Part>),
}

/// What is wrong with a member or an element of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// Down to it, as paths are written.
    path: String,
    data_type: Type,
    wrong: Wrong,
}

impl Wrong {
    /// The same of the value around it; `step` is a member's name, or an element's number in brackets.
    pub(super) fn within(self, step: &str, data_type: &Type) -> Wrong {
        let part = match self {
            Wrong::Within(part) if part.path.starts_with('[') => Part { path: format!("{step}{}", part.path), ..*part },
            Wrong::Within(part) => Part { path: format!("{step}.{}", part.path), ..*part },
            wrong => Part { path: step.to_string(), data_type: data_type.clone(), wrong },
        };
        Wrong::Within(Box::new(part))
    }

    /// What is wrong with a column's value, without the value.
    pub(super) fn describe(&self, data_type: &Type) -> String {
        let name = data_type.short();
        let article = if name.starts_with('i') { "an" } else { "a" };
        match self {
            Wrong::Missing if data_type.is_nested() => {
                format!("missing (a `?` behind `{name}<…>` would take it as NULL)")
            }
            Wrong::Missing => format!("missing (`{name}?` would take it as NULL)"),
            Wrong::Kind(None) => format!("not {article} {name}"),
            Wrong::Kind(Some(instead)) => format!("{instead} where {article} {name} is expected"),
            Wrong::Range => format!("out of the range of {article} {name}"),
            Wrong::Whole => format!("a whole number that {article} {name} does not hold exactly"),
            Wrong::Digits => format!("more digits behind the point than {article} {name} has"),
            Wrong::Skipped => "a local time that its zone skips, when clocks go forward".to_string(),
            Wrong::Encoding => "not UTF-8".to_string(),
            Wrong::Within(part) => format!("at `{}`: {}", part.path, part.wrong.describe(&part.data_type)),
        }
    }
}
