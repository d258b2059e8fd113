//! Values of fields, and their types.

use std::cmp::Ordering;
use std::sync::Arc;

use super::xml::{Element, number};
use crate::Error;

/// The value of a field in a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Val {
    Missing,
    Number(f64),
    Text(Arc<str>),
    Bool(bool),
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Float,
    Double,
    Bool,
}

impl Kind {
    pub(super) fn of(element: Element<'_>) -> Result<Kind, Error> {
        Ok(match element.get("dataType").unwrap_or("double") {
            "string" => Kind::Text,
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "boolean" => Kind::Bool,
            other => {
                let known = "string, integer, float, double, boolean";
                return Err(element.unsupported(format!("dataType='{other}'"), known));
            }
        })
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Kind::Integer | Kind::Float | Kind::Double)
    }

    /// What a text of the file stands for.
    pub(super) fn parse(self, text: &str) -> Option<Val> {
        Some(match self {
            Kind::Text => Val::Text(text.into()),
            Kind::Integer | Kind::Double => Val::Number(number(text)?),
            Kind::Float => Val::Number(f64::from(text.trim().parse::<f32>().ok()?)),
            Kind::Bool => match text.trim() {
                "true" | "1" | "1.0" | "True" | "TRUE" => Val::Bool(true),
                "false" | "0" | "0.0" | "False" | "FALSE" => Val::Bool(false),
                _ => return None,
            },
        })
    }

    /// A value as one of this type; `None` where it is none.
    pub(super) fn cast(self, value: Val) -> Option<Val> {
        Some(match (self, value) {
            (_, Val::Missing) => Val::Missing,
            (Kind::Float, Val::Number(x)) => Val::Number(f64::from(x as f32)),
            (Kind::Integer, Val::Number(x)) if x.fract() != 0.0 => return None,
            (Kind::Integer | Kind::Double, Val::Number(x)) => Val::Number(x),
            (Kind::Text, value) => Val::Text(value.text()?),
            (Kind::Bool, Val::Number(x)) => Val::Bool(if x == 1.0 {
                true
            } else if x == 0.0 {
                false
            } else {
                return None;
            }),
            (Kind::Bool, Val::Bool(x)) => Val::Bool(x),
            (kind, Val::Bool(x)) if kind.is_number() => Val::Number(f64::from(u8::from(x))),
            (kind, Val::Text(text)) => kind.parse(&text)?,
            _ => return None,
        })
    }
}

impl Val {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Val::Number(x) => Some(*x),
            Val::Bool(x) => Some(f64::from(u8::from(*x))),
            Val::Text(text) => number(text),
            Val::Missing => None,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        self == &Val::Missing
    }

    /// A number that is whole without its point.
    pub(super) fn text(&self) -> Option<Arc<str>> {
        Some(match self {
            Val::Missing => return None,
            Val::Text(text) => text.clone(),
            Val::Bool(x) => if *x { "true" } else { "false" }.into(),
            Val::Number(x) if x.fract() == 0.0 && x.abs() < 1e15 => format!("{}", *x as i64).into(),
            Val::Number(x) => format!("{x:?}").into(),
        })
    }

    /// Whether two values are the same, a text beside a number as the number that it is.
    pub(super) fn same(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::Text(a), Val::Text(b)) => a == b,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Missing, _) | (_, Val::Missing) => false,
            (a, b) => a.number().is_some_and(|a| b.number() == Some(a)),
        }
    }

    /// Which of two values comes first; `None` where one is missing.
    pub(super) fn order(&self, other: &Val) -> Option<Ordering> {
        match (self, other) {
            (Val::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }
}
