//! Expressions of derived fields, and functions that a document defines.

use std::collections::HashMap;

use super::fields::{Interval, Scope};
use super::functions::Function;
use super::text_index::TextIndex;
use super::value::{Kind, Val};
use super::xml::Element;
use crate::Error;

#[derive(Debug, Clone)]
pub(super) enum Expression {
    Constant(Val),
    Field(usize, Option<Val>),
    Parameter(usize),
    NormContinuous {
        slot: usize,
        points: Vec<(f64, f64)>,
        outliers: Outliers,
        missing: Option<Val>,
    },
    NormDiscrete {
        slot: usize,
        value: Val,
        missing: Option<Val>,
    },
    Discretize {
        slot: usize,
        bins: Vec<(Interval, Val)>,
        default: Val,
        missing: Val,
    },
    MapValues {
        columns: Vec<usize>,
        table: HashMap<Vec<String>, Val>,
        default: Val,
        missing: Val,
    },
    Apply {
        function: Function,
        arguments: Vec<Expression>,
        missing: Val,
        default: Val,
    },
    /// How often a term is in a text.
    TextIndex {
        index: TextIndex,
        text: Box<Expression>,
        term: Box<Expression>,
    },
    /// A function of the document: its arguments, then what is made of them.
    Call {
        arguments: Vec<Expression>,
        body: Box<Expression>,
        result: Kind,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outliers {
    AsIs,
    Missing,
    Extremes,
}

/// A function that a document defines.
#[derive(Debug, Clone)]
struct Defined {
    parameters: usize,
    body: Expression,
    result: Kind,
    /// Parts of its body, those of the functions in it included.
    cost: usize,
}

/// The functions of a document.
#[derive(Debug, Default)]
pub(super) struct Functions {
    all: HashMap<String, Defined>,
}

/// Expressions in expressions: more are an attack on the stack.
const NESTING: usize = 48;
/// Parts of an expression with all functions in it: what calls itself twice doubles with each function.
const COST: usize = 1 << 14;

/// What is known while an expression is read.
pub(super) struct Reader<'r> {
    pub(super) scope: &'r Scope,
    pub(super) functions: &'r Functions,
    /// Names and places of the parameters, within a function.
    pub(super) parameters: HashMap<String, usize>,
    pub(super) cost: usize,
}

impl Functions {
    pub(super) fn define(&mut self, element: Element<'_>, scope: &Scope) -> Result<(), Error> {
        let name = element.attribute("name")?.to_string();
        let mut parameters = HashMap::new();
        for (at, field) in element.all("ParameterField").enumerate() {
            parameters.insert(field.attribute("name")?.to_string(), at);
        }
        let count = parameters.len();
        let mut reader = Reader { scope, functions: self, parameters, cost: 0 };
        let body = reader.inside(element)?;
        let (cost, result) = (reader.cost, Kind::of(element)?);
        self.all.insert(name, Defined { parameters: count, body, result, cost });
        Ok(())
    }
}

/// Whether an element is an expression.
fn is_expression(element: Element<'_>) -> bool {
    !matches!(element.name(), "Extension" | "ParameterField" | "Value" | "Interval")
}

impl Reader<'_> {
    /// The expression among an element's children.
    pub(super) fn inside(&mut self, element: Element<'_>) -> Result<Expression, Error> {
        let found = element.children().find(|child| is_expression(*child));
        self.read(found.ok_or_else(|| element.error("it has no expression"))?, 0)
    }

    fn typed(element: Element<'_>, name: &str, kind: Kind) -> Result<Option<Val>, Error> {
        let parse = |text| kind.parse(text).ok_or_else(|| element.error(format!("`{name}` is of another type")));
        element.get(name).map(parse).transpose()
    }

    /// A value whose type is not told: a number or a bool where it is one.
    fn loose(element: Element<'_>, name: &str) -> Val {
        let text = |text: &str| match text {
            "true" => Val::Bool(true),
            "false" => Val::Bool(false),
            text => Kind::Double.parse(text).or_else(|| Kind::Text.parse(text)).unwrap_or(Val::Missing),
        };
        element.get(name).map_or(Val::Missing, text)
    }

    fn read(&mut self, element: Element<'_>, depth: usize) -> Result<Expression, Error> {
        self.cost = self.cost.saturating_add(1);
        if depth > NESTING || self.cost > COST {
            return Err(element.error(format!("more than {NESTING} expressions in each other, or {COST} in all")));
        }
        match element.name() {
            "Constant" => {
                if element.flag("missing") {
                    return Ok(Expression::Constant(Val::Missing));
                }
                let text = element.text();
                let value = match element.get("dataType") {
                    Some(_) => Kind::of(element)?.parse(text),
                    None => Kind::Double.parse(text).or_else(|| Kind::Text.parse(text)),
                };
                Ok(Expression::Constant(value.ok_or_else(|| element.error("it is not of its type"))?))
            }
            "FieldRef" => {
                let name = element.attribute("field")?;
                if let Some(at) = self.parameters.get(name) {
                    return Ok(Expression::Parameter(*at));
                }
                let field = self.scope.find(element, "field")?;
                Ok(Expression::Field(field.slot, Self::typed(element, "mapMissingTo", field.kind)?))
            }
            "NormContinuous" => {
                let field = self.scope.find(element, "field")?;
                let outliers = match element.get("outliers").unwrap_or("asIs") {
                    "asIs" => Outliers::AsIs,
                    "asMissingValues" => Outliers::Missing,
                    "asExtremeValues" => Outliers::Extremes,
                    other => return Err(element.error(format!("there is no treatment `{other}`"))),
                };
                let mut points = Vec::new();
                for norm in element.all("LinearNorm") {
                    points.push((norm.number_or("orig", f64::NAN)?, norm.number_or("norm", f64::NAN)?));
                }
                let ascending = points.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
                if points.len() < 2 || !ascending {
                    return Err(element.error("its points are fewer than two or not in their order"));
                }
                let missing = Self::typed(element, "mapMissingTo", Kind::Double)?;
                Ok(Expression::NormContinuous { slot: field.slot, points, outliers, missing })
            }
            "NormDiscrete" => {
                let field = self.scope.find(element, "field")?;
                let value = field.kind.parse(element.attribute("value")?);
                let value = value.ok_or_else(|| element.error("its value is not of the field's type"))?;
                let missing = Self::typed(element, "mapMissingTo", Kind::Double)?;
                Ok(Expression::NormDiscrete { slot: field.slot, value, missing })
            }
            "Discretize" => {
                let field = self.scope.find(element, "field")?;
                let mut bins = Vec::new();
                for bin in element.all("DiscretizeBin") {
                    bins.push((Interval::read(bin.needed("Interval")?)?, Self::loose(bin, "binValue")));
                }
                let default = Self::loose(element, "defaultValue");
                let missing = Self::loose(element, "mapMissingTo");
                Ok(Expression::Discretize { slot: field.slot, bins, default, missing })
            }
            "MapValues" => self.map_values(element),
            "Apply" => self.apply(element, depth),
            "TextIndex" => {
                let name = element.attribute("textField")?;
                let text = match self.parameters.get(name) {
                    Some(at) => Expression::Parameter(*at),
                    None => Expression::Field(self.scope.find(element, "textField")?.slot, None),
                };
                let index = TextIndex::read(element)?;
                let found = element.children().find(|child| is_expression(*child));
                let found = found.ok_or_else(|| element.error("it has no term"))?;
                let term = self.read(found, depth.saturating_add(1))?;
                Ok(Expression::TextIndex { index, text: Box::new(text), term: Box::new(term) })
            }
            other => {
                let known = "Constant, FieldRef, NormContinuous, NormDiscrete, Discretize, MapValues, Apply, TextIndex";
                Err(element.unsupported(other, known))
            }
        }
    }

    fn map_values(&self, element: Element<'_>) -> Result<Expression, Error> {
        let (mut columns, mut names) = (Vec::new(), Vec::new());
        for pair in element.all("FieldColumnPair") {
            columns.push(self.scope.find(pair, "field")?.slot);
            names.push(pair.attribute("column")?);
        }
        let output = element.attribute("outputColumn")?;
        let inline = element.child("InlineTable");
        let inline = inline.ok_or_else(|| element.unsupported("a table outside of the document", "InlineTable"))?;
        let mut table = HashMap::new();
        for line in inline.all("row") {
            let cell = |name: &str| line.children().find(|cell| cell.name() == name).map(Element::text);
            let keys: Option<Vec<String>> = names.iter().map(|name| cell(name).map(str::to_string)).collect();
            if let (Some(keys), Some(value)) = (keys, cell(output)) {
                let value = match element.get("dataType") {
                    Some(_) => Kind::of(element)?.parse(value),
                    None => Kind::Text.parse(value),
                };
                table.entry(keys).or_insert(value.ok_or_else(|| line.error("its value is of another type"))?);
            }
        }
        let default = Self::loose(element, "defaultValue");
        Ok(Expression::MapValues { columns, table, default, missing: Self::loose(element, "mapMissingTo") })
    }

    fn apply(&mut self, element: Element<'_>, depth: usize) -> Result<Expression, Error> {
        let name = element.attribute("function")?;
        let parts = element.children().filter(|child| is_expression(*child));
        let arguments = parts.map(|part| self.read(part, depth.saturating_add(1))).collect::<Result<Vec<_>, _>>()?;
        if let Some(defined) = self.functions.all.get(name) {
            self.cost = self.cost.saturating_add(defined.cost);
            if arguments.len() != defined.parameters || self.cost > COST {
                return Err(element.error(format!("`{name}` is given {} arguments", arguments.len())));
            }
            return Ok(Expression::Call { arguments, body: Box::new(defined.body.clone()), result: defined.result });
        }
        let function = Function::named(name, arguments.len()).ok_or_else(|| {
            let known = "PMML's own functions of numbers, texts and conditions, with their numbers of arguments";
            element.unsupported(name, known)
        })?;
        let (missing, default) = (Self::loose(element, "mapMissingTo"), Self::loose(element, "defaultValue"));
        Ok(Expression::Apply { function, arguments, missing, default })
    }
}

impl Expression {
    pub(super) fn value(&self, row: &[Val], parameters: &[Val]) -> Val {
        let at = |slot: &usize| row.get(*slot).cloned().unwrap_or(Val::Missing);
        match self {
            Expression::Constant(value) => value.clone(),
            Expression::Parameter(at) => parameters.get(*at).cloned().unwrap_or(Val::Missing),
            Expression::Field(slot, missing) => match (at(slot), missing) {
                (Val::Missing, Some(other)) => other.clone(),
                (value, _) => value,
            },
            Expression::NormContinuous { slot, points, outliers, missing } => {
                let instead = || missing.clone().unwrap_or(Val::Missing);
                at(slot).number().map_or_else(instead, |x| normed(x, points, *outliers))
            }
            Expression::NormDiscrete { slot, value, missing } => match at(slot) {
                Val::Missing => missing.clone().unwrap_or(Val::Missing),
                own => Val::Number(f64::from(u8::from(own.same(value)))),
            },
            Expression::Discretize { slot, bins, default, missing } => match at(slot).number() {
                None => missing.clone(),
                Some(x) => {
                    let bin = bins.iter().find(|(interval, _)| interval.holds(x));
                    bin.map_or(default, |(_, value)| value).clone()
                }
            },
            Expression::MapValues { columns, table, default, missing } => {
                let keys = columns.iter().map(|slot| at(slot).text().map(|text| text.to_string()));
                match keys.collect::<Option<Vec<_>>>() {
                    None => missing.clone(),
                    Some(keys) => table.get(&keys).unwrap_or(default).clone(),
                }
            }
            Expression::Apply { function, arguments, missing, default } => {
                let lazy = |at: usize| arguments.get(at).map_or(Val::Missing, |part| part.value(row, parameters));
                if let Function::If = function {
                    return match lazy(0) {
                        Val::Missing => missing.clone(),
                        yes if yes.number() == Some(1.0) => lazy(1),
                        _ => lazy(2),
                    };
                }
                let values: Vec<Val> = (0..arguments.len()).map(lazy).collect();
                if !function.takes_missing() && values.iter().any(Val::is_missing) {
                    return missing.clone();
                }
                match function.value(&values) {
                    Val::Missing => default.clone(),
                    value => value,
                }
            }
            Expression::TextIndex { index, text, term } => {
                index.value(&text.value(row, parameters), &term.value(row, parameters))
            }
            Expression::Call { arguments, body, result } => {
                let values: Vec<Val> = arguments.iter().map(|part| part.value(row, parameters)).collect();
                result.cast(body.value(row, &values)).unwrap_or(Val::Missing)
            }
        }
    }
}

/// Piecewise linear; outside of the points along the outermost lines.
fn normed(x: f64, points: &[(f64, f64)], outliers: Outliers) -> Val {
    let [first, .., last] = points else { return Val::Missing };
    if x < first.0 || x > last.0 {
        match outliers {
            Outliers::Missing => return Val::Missing,
            Outliers::Extremes => return Val::Number(if x < first.0 { first.1 } else { last.1 }),
            Outliers::AsIs => {}
        }
    }
    let at = points.partition_point(|point| point.0 <= x).clamp(1, points.len().saturating_sub(1));
    match (points.get(at.saturating_sub(1)), points.get(at)) {
        (Some((a, b)), Some((c, d))) => Val::Number(b + (x - a) / (c - a) * (d - b)),
        _ => Val::Missing,
    }
}
