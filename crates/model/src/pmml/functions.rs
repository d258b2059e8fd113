//! PMML's own functions.

use std::cmp::Ordering;

use super::value::Val;
use crate::math::normal::{error_function, share_below};

/// A function, by what it is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Function {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// Of all arguments that are there.
    Many(fn(&[f64]) -> Option<f64>),
    Compare(fn(Ordering) -> bool),
    Equal(bool),
    IsMissing(bool),
    IsIn(bool),
    And,
    Or,
    Not,
    If,
    Threshold,
    Text(fn(&str) -> String),
    Length,
    Substring,
    Concat,
}

impl Function {
    /// `None` where there is none of this name and number of arguments.
    pub(super) fn named(name: &str, count: usize) -> Option<Function> {
        use Function::{Compare, Many, One, Two};
        let (function, counts) = match name {
            "+" => (Two(|a, b| a + b), 2..=2),
            "-" => (Two(|a, b| a - b), 2..=2),
            "*" => (Two(|a, b| a * b), 2..=2),
            "/" => (Two(|a, b| a / b), 2..=2),
            "pow" | "x-pow" => (Two(f64::powf), 2..=2),
            "modulo" | "x-modulo" => (Two(|a, b| a - b * (a / b).floor()), 2..=2),
            "x-atan2" | "atan2" => (Two(f64::atan2), 2..=2),
            "x-hypot" | "hypot" => (Two(f64::hypot), 2..=2),
            "abs" => (One(f64::abs), 1..=1),
            "exp" => (One(f64::exp), 1..=1),
            "ln" => (One(f64::ln), 1..=1),
            "log10" => (One(f64::log10), 1..=1),
            "sqrt" => (One(f64::sqrt), 1..=1),
            "floor" => (One(f64::floor), 1..=1),
            "ceil" => (One(f64::ceil), 1..=1),
            // As Java has it: half goes up.
            "round" => (One(|x| (x + 0.5).floor()), 1..=1),
            "rint" | "x-rint" => (One(f64::round_ties_even), 1..=1),
            "expm1" | "x-expm1" => (One(f64::exp_m1), 1..=1),
            "ln1p" | "x-ln1p" => (One(f64::ln_1p), 1..=1),
            "sin" | "x-sin" => (One(f64::sin), 1..=1),
            "cos" | "x-cos" => (One(f64::cos), 1..=1),
            "tan" | "x-tan" => (One(f64::tan), 1..=1),
            "asin" | "x-asin" => (One(f64::asin), 1..=1),
            "acos" | "x-acos" => (One(f64::acos), 1..=1),
            "atan" | "x-atan" => (One(f64::atan), 1..=1),
            "sinh" | "x-sinh" => (One(f64::sinh), 1..=1),
            "cosh" | "x-cosh" => (One(f64::cosh), 1..=1),
            "tanh" | "x-tanh" => (One(f64::tanh), 1..=1),
            "erf" => (One(error_function), 1..=1),
            "stdNormalCDF" => (One(share_below), 1..=1),
            "min" => (Many(|all| all.iter().copied().reduce(f64::min)), 1..=usize::MAX),
            "max" => (Many(|all| all.iter().copied().reduce(f64::max)), 1..=usize::MAX),
            "sum" => (Many(|all| (!all.is_empty()).then(|| all.iter().sum())), 1..=usize::MAX),
            "product" => (Many(|all| (!all.is_empty()).then(|| all.iter().product())), 1..=usize::MAX),
            "avg" => {
                (Many(|all| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)), 1..=usize::MAX)
            }
            "median" => (Many(median), 1..=usize::MAX),
            "lessThan" => (Compare(Ordering::is_lt), 2..=2),
            "lessOrEqual" => (Compare(Ordering::is_le), 2..=2),
            "greaterThan" => (Compare(Ordering::is_gt), 2..=2),
            "greaterOrEqual" => (Compare(Ordering::is_ge), 2..=2),
            "equal" => (Function::Equal(true), 2..=2),
            "notEqual" => (Function::Equal(false), 2..=2),
            "isMissing" => (Function::IsMissing(true), 1..=1),
            "isNotMissing" => (Function::IsMissing(false), 1..=1),
            "isIn" => (Function::IsIn(true), 2..=usize::MAX),
            "isNotIn" => (Function::IsIn(false), 2..=usize::MAX),
            "and" => (Function::And, 2..=usize::MAX),
            "or" => (Function::Or, 2..=usize::MAX),
            "not" => (Function::Not, 1..=1),
            "if" => (Function::If, 2..=3),
            "threshold" => (Function::Threshold, 2..=2),
            "uppercase" => (Function::Text(str::to_uppercase), 1..=1),
            "lowercase" => (Function::Text(str::to_lowercase), 1..=1),
            "trimBlanks" => (Function::Text(|text| text.trim().to_string()), 1..=1),
            "stringLength" => (Function::Length, 1..=1),
            "substring" => (Function::Substring, 3..=3),
            "concat" => (Function::Concat, 2..=usize::MAX),
            _ => return None,
        };
        counts.contains(&count).then_some(function)
    }

    /// Whether it looks at missing values itself.
    pub(super) fn takes_missing(self) -> bool {
        use Function::{And, If, IsIn, IsMissing, Many, Or};
        // What is missing is among nothing.
        matches!(self, Many(_) | IsMissing(_) | IsIn(_) | And | Or | If)
    }

    /// Its value of arguments, none of which is missing unless it takes such.
    pub(super) fn value(self, given: &[Val]) -> Val {
        let at = |at: usize| given.get(at).unwrap_or(&Val::Missing);
        let number = |n: usize| at(n).number();
        let of = |value: Option<f64>| value.filter(|x| !x.is_nan()).map_or(Val::Missing, Val::Number);
        let yes = |at: &Val| at.number().map(|x| x == 1.0);
        match self {
            Function::One(each) => of(number(0).map(each)),
            Function::Two(each) => of(number(0).zip(number(1)).map(|(a, b)| each(a, b))),
            Function::Many(all) => of(all(&given.iter().filter_map(Val::number).collect::<Vec<_>>())),
            Function::Compare(holds) => at(0).order(at(1)).map_or(Val::Missing, |order| Val::Bool(holds(order))),
            Function::Equal(wanted) => Val::Bool(at(0).same(at(1)) == wanted),
            Function::IsMissing(wanted) => Val::Bool(at(0).is_missing() == wanted),
            Function::IsIn(wanted) => Val::Bool(given.iter().skip(1).any(|value| value.same(at(0))) == wanted),
            Function::And | Function::Or => {
                let ends = matches!(self, Function::Or);
                let mut known = Val::Bool(!ends);
                for value in given {
                    match yes(value) {
                        Some(flag) if flag == ends => return Val::Bool(ends),
                        Some(_) => {}
                        None => known = Val::Missing,
                    }
                }
                known
            }
            Function::Not => yes(at(0)).map_or(Val::Missing, |flag| Val::Bool(!flag)),
            Function::Threshold => of(number(0).zip(number(1)).map(|(a, b)| if a > b { 1.0 } else { 0.0 })),
            Function::Text(each) => at(0).text().map_or(Val::Missing, |text| Val::Text(each(&text).into())),
            Function::Length => of(at(0).text().map(|text| text.chars().count() as f64)),
            Function::Substring => {
                let place = |n: usize| number(n).filter(|x| *x >= 0.0).map(|x| x as usize);
                let (text, first, count) = (at(0).text(), place(1), place(2));
                let (Some(text), Some(first), Some(count)) = (text, first, count) else { return Val::Missing };
                let Some(skipped) = first.checked_sub(1) else { return Val::Missing };
                Val::Text(text.chars().skip(skipped).take(count).collect::<String>().into())
            }
            Function::Concat => {
                let all: Option<Vec<_>> = given.iter().map(Val::text).collect();
                all.map_or(Val::Missing, |all| Val::Text(all.concat().into()))
            }
            Function::If => Val::Missing,
        }
    }
}

fn median(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    match sorted.len() % 2 {
        1 => Some(upper),
        _ => half.checked_sub(1).and_then(|lower| sorted.get(lower)).map(|lower| (lower + upper) / 2.0),
    }
}
