//! Predicates: yes, no, or unknown where a value is missing.

use super::fields::Scope;
use super::value::Val;
use super::xml::Element;
use crate::Error;

#[derive(Debug, Clone)]
pub(super) enum Predicate {
    Always(bool),
    IsMissing(usize, bool),
    Compare(usize, Compare, Val),
    Among(usize, bool, Vec<Val>),
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Xor(Vec<Predicate>),
    /// The first of them that is known.
    Surrogate(Vec<Predicate>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Predicates in predicates: more are an attack on the stack.
const NESTING: usize = 48;

/// Whether an element is a predicate.
pub(super) fn is_predicate(element: Element<'_>) -> bool {
    matches!(element.name(), "SimplePredicate" | "SimpleSetPredicate" | "CompoundPredicate" | "True" | "False")
}

impl Predicate {
    /// The predicate among an element's children; always yes where there is none.
    pub(super) fn inside(element: Element<'_>, scope: &Scope) -> Result<Predicate, Error> {
        match element.children().find(|child| is_predicate(*child)) {
            Some(found) => Predicate::read(found, scope, 0),
            None => Ok(Predicate::Always(true)),
        }
    }

    fn read(element: Element<'_>, scope: &Scope, depth: usize) -> Result<Predicate, Error> {
        if depth > NESTING {
            return Err(element.error(format!("more than {NESTING} predicates in each other")));
        }
        match element.name() {
            "True" => Ok(Predicate::Always(true)),
            "False" => Ok(Predicate::Always(false)),
            "SimplePredicate" => {
                let field = scope.find(element, "field")?;
                let value = || {
                    let text = element.attribute("value")?;
                    let value = field.kind.parse(text);
                    value.ok_or_else(|| element.error("its value is not of the field's type"))
                };
                let compare = |compare| Ok(Predicate::Compare(field.slot, compare, value()?));
                match element.attribute("operator")? {
                    "equal" => compare(Compare::Equal),
                    "notEqual" => compare(Compare::NotEqual),
                    "lessThan" => compare(Compare::Less),
                    "lessOrEqual" => compare(Compare::LessEqual),
                    "greaterThan" => compare(Compare::Greater),
                    "greaterOrEqual" => compare(Compare::GreaterEqual),
                    "isMissing" => Ok(Predicate::IsMissing(field.slot, true)),
                    "isNotMissing" => Ok(Predicate::IsMissing(field.slot, false)),
                    other => Err(element.error(format!("there is no operator `{other}`"))),
                }
            }
            "SimpleSetPredicate" => {
                let field = scope.find(element, "field")?;
                let list = element.list().ok_or_else(|| element.error("it has no list"))?;
                let values = list.array()?.iter().map(|text| field.kind.parse(text)).collect::<Option<Vec<_>>>();
                let values = values.ok_or_else(|| element.error("its values are not of the field's type"))?;
                match element.attribute("booleanOperator")? {
                    "isIn" => Ok(Predicate::Among(field.slot, true, values)),
                    "isNotIn" => Ok(Predicate::Among(field.slot, false, values)),
                    other => Err(element.error(format!("there is no operator `{other}`"))),
                }
            }
            _ => {
                let parts = element.children().filter(|child| is_predicate(*child));
                let parts = parts.map(|part| Predicate::read(part, scope, depth.saturating_add(1)));
                let parts = parts.collect::<Result<Vec<_>, _>>()?;
                match element.attribute("booleanOperator")? {
                    "and" => Ok(Predicate::And(parts)),
                    "or" => Ok(Predicate::Or(parts)),
                    "xor" => Ok(Predicate::Xor(parts)),
                    "surrogate" => Ok(Predicate::Surrogate(parts)),
                    other => Err(element.error(format!("there is no operator `{other}`"))),
                }
            }
        }
    }

    /// Whether it holds; `None` where that is not known.
    pub(super) fn holds(&self, row: &[Val]) -> Option<bool> {
        let at = |slot: &usize| row.get(*slot).unwrap_or(&Val::Missing);
        match self {
            Predicate::Always(yes) => Some(*yes),
            Predicate::IsMissing(slot, wanted) => Some(at(slot).is_missing() == *wanted),
            Predicate::Compare(slot, compare, value) => {
                let own = at(slot);
                if own.is_missing() {
                    return None;
                }
                compare.holds(own, value)
            }
            Predicate::Among(slot, wanted, values) => {
                let own = at(slot);
                (!own.is_missing()).then(|| values.iter().any(|value| own.same(value)) == *wanted)
            }
            Predicate::And(parts) => {
                let mut all = Some(true);
                for part in parts {
                    match part.holds(row) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Predicate::Or(parts) => {
                let mut any = Some(false);
                for part in parts {
                    match part.holds(row) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => any = None,
                    }
                }
                any
            }
            Predicate::Xor(parts) => parts.iter().try_fold(false, |odd, part| Some(odd != part.holds(row)?)),
            Predicate::Surrogate(parts) => parts.iter().find_map(|part| part.holds(row)),
        }
    }
}

impl Compare {
    pub(super) fn holds(self, own: &Val, value: &Val) -> Option<bool> {
        Some(match self {
            Compare::Equal => own.same(value),
            Compare::NotEqual => !own.same(value),
            Compare::Less => own.order(value)?.is_lt(),
            Compare::LessEqual => own.order(value)?.is_le(),
            Compare::Greater => own.order(value)?.is_gt(),
            Compare::GreaterEqual => own.order(value)?.is_ge(),
        })
    }
}
