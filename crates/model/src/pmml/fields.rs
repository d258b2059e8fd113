//! Fields: what a document declares, how a model treats what is missing, invalid or far out, and which value a name
//! stands for where it is used.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::value::{Kind, Val};
use super::xml::Element;
use crate::Error;

/// A field that can be used: where its value is, and of which type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) slot: usize,
    pub(super) kind: Kind,
}

/// Names and what they stand for, the innermost model last.
#[derive(Debug, Default)]
pub(super) struct Scope {
    names: Vec<HashMap<String, Field>>,
    pub(super) slots: usize,
    /// Those that something looks at.
    used: RefCell<HashSet<usize>>,
}

/// Values of one row: each is cleared before it.
const SLOTS: usize = 1 << 20;

impl Scope {
    pub(super) fn enter(&mut self) {
        self.names.push(HashMap::new());
    }

    pub(super) fn leave(&mut self) {
        self.names.pop();
    }

    /// A new value.
    pub(super) fn slot(&mut self) -> Result<usize, Error> {
        let slot = self.slots;
        if slot >= SLOTS {
            return Err(Error::Limit { place: super::FORMAT.to_string(), what: "fields", limit: SLOTS });
        }
        self.slots = self.slots.saturating_add(1);
        Ok(slot)
    }

    pub(super) fn name(&mut self, name: &str, field: Field) {
        if let Some(names) = self.names.last_mut() {
            names.insert(name.to_string(), field);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Field> {
        self.names.iter().rev().find_map(|names| names.get(name)).copied()
    }

    /// The field that an attribute names.
    pub(super) fn find(&self, element: Element<'_>, attribute: &str) -> Result<Field, Error> {
        let name = element.attribute(attribute)?;
        let field = self.get(name).ok_or_else(|| element.error(format!("there is no field `{name}`")))?;
        self.use_slot(field.slot);
        Ok(field)
    }

    pub(super) fn use_slot(&self, slot: usize) {
        self.used.borrow_mut().insert(slot);
    }

    pub(super) fn is_used(&self, slot: usize) -> bool {
        self.used.borrow().contains(&slot)
    }
}

/// What a field of the data is declared to be.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_categorical: bool,
    /// Valid values as they are written.
    pub(super) values: Vec<String>,
    valid: Vec<Val>,
    invalid: Vec<Val>,
    missing: Vec<Val>,
    intervals: Vec<Interval>,
}

/// A range of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    low: f64,
    high: f64,
    open_low: bool,
    open_high: bool,
}

impl Interval {
    pub(super) fn read(element: Element<'_>) -> Result<Interval, Error> {
        let closure = element.get("closure").unwrap_or("closedClosed");
        Ok(Interval {
            low: element.number_or("leftMargin", f64::NEG_INFINITY)?,
            high: element.number_or("rightMargin", f64::INFINITY)?,
            open_low: closure.starts_with("open"),
            open_high: closure.ends_with("Open"),
        })
    }

    pub(super) fn holds(&self, x: f64) -> bool {
        let above = if self.open_low { x > self.low } else { x >= self.low };
        above && if self.open_high { x < self.high } else { x <= self.high }
    }
}

impl Declared {
    pub(super) fn read(element: Element<'_>) -> Result<Declared, Error> {
        let kind = Kind::of(element)?;
        let mut field = Declared {
            name: element.attribute("name")?.to_string(),
            kind,
            is_categorical: element.get("optype") != Some("continuous"),
            values: Vec::new(),
            valid: Vec::new(),
            invalid: Vec::new(),
            missing: Vec::new(),
            intervals: element.all("Interval").map(Interval::read).collect::<Result<_, _>>()?,
        };
        for value in element.all("Value") {
            let text = value.attribute("value")?;
            let property = value.get("property").unwrap_or("valid");
            // What stands for missing may be a text in a column of numbers.
            let parsed = kind.parse(text);
            match (property, parsed) {
                ("valid", Some(parsed)) => {
                    field.values.push(text.to_string());
                    field.valid.push(parsed);
                }
                ("valid", None) => return Err(value.error("it is not of the field's type")),
                ("missing", Some(parsed)) => field.missing.push(parsed),
                ("invalid", Some(parsed)) => field.invalid.push(parsed),
                _ => {}
            }
        }
        Ok(field)
    }

    fn is_valid(&self, value: &Val) -> bool {
        if self.invalid.iter().any(|one| one.same(value)) {
            return false;
        }
        if self.is_categorical && !self.valid.is_empty() {
            return self.valid.iter().any(|one| one.same(value));
        }
        self.intervals.is_empty()
            || value.number().is_some_and(|x| self.intervals.iter().any(|interval| interval.holds(x)))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Invalid {
    Refuse,
    AsIs,
    Missing,
    Value(Val),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outliers {
    AsIs,
    Missing,
    Extremes,
}

/// How a model treats the values of a field.
#[derive(Debug, Clone)]
pub(super) struct Treatment {
    pub(super) from: usize,
    pub(super) to: usize,
    declared: Option<Declared>,
    invalid: Invalid,
    missing: Option<Val>,
    refuses_missing: bool,
    outliers: Outliers,
    low: f64,
    high: f64,
    pub(super) label: String,
}

/// Why a row has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) column: Option<String>,
    pub(super) reason: &'static str,
}

impl Treatment {
    /// `declared` is what the outermost model compares values with.
    pub(super) fn read(element: Element<'_>, field: Field, declared: Option<&Declared>) -> Result<Treatment, Error> {
        let typed = |name: &str| -> Result<Option<Val>, Error> {
            let parse = |text| {
                field.kind.parse(text).ok_or_else(|| element.error(format!("`{name}` is not of the field's type")))
            };
            element.get(name).map(parse).transpose()
        };
        let invalid = match element.get("invalidValueTreatment").unwrap_or("returnInvalid") {
            "returnInvalid" => Invalid::Refuse,
            "asIs" => Invalid::AsIs,
            "asMissing" => Invalid::Missing,
            "asValue" => match typed("invalidValueReplacement")? {
                Some(value) => Invalid::Value(value),
                None => return Err(element.error("`invalidValueReplacement` is missing")),
            },
            other => return Err(element.error(format!("there is no treatment `{other}`"))),
        };
        let outliers = match element.get("outliers").unwrap_or("asIs") {
            "asIs" => Outliers::AsIs,
            "asMissingValues" => Outliers::Missing,
            "asExtremeValues" => Outliers::Extremes,
            other => return Err(element.error(format!("there is no treatment `{other}`"))),
        };
        Ok(Treatment {
            from: field.slot,
            to: field.slot,
            declared: declared.cloned(),
            invalid,
            missing: typed("missingValueReplacement")?,
            refuses_missing: element.get("missingValueTreatment") == Some("returnInvalid"),
            outliers,
            low: element.number_or("lowValue", f64::NEG_INFINITY)?,
            high: element.number_or("highValue", f64::INFINITY)?,
            label: element.get("name").unwrap_or_default().to_string(),
        })
    }

    /// Whether it never changes a value.
    pub(super) fn is_nothing(&self) -> bool {
        self.declared.is_none() && self.missing.is_none() && !self.refuses_missing && self.outliers == Outliers::AsIs
    }

    pub(super) fn treat(&self, value: Val) -> Result<Val, Refused> {
        let refused = |reason| Err(Refused { column: Some(self.label.clone()), reason });
        let mut value = value;
        // What is invalid and stays so is no outlier.
        let mut is_valid = true;
        if let Some(declared) = &self.declared
            && !value.is_missing()
        {
            if declared.missing.iter().any(|one| one.same(&value)) {
                value = Val::Missing;
            } else if !declared.is_valid(&value) {
                is_valid = false;
                value = match &self.invalid {
                    Invalid::Refuse => return refused("an invalid value"),
                    Invalid::AsIs => value,
                    Invalid::Missing => Val::Missing,
                    Invalid::Value(other) => other.clone(),
                };
            }
        }
        if let Val::Number(x) = value
            && is_valid
            && self.outliers != Outliers::AsIs
            && !(self.low..=self.high).contains(&x)
        {
            value = match self.outliers {
                Outliers::Missing => Val::Missing,
                _ => Val::Number(if x < self.low { self.low } else { self.high }),
            };
        }
        if !value.is_missing() {
            return Ok(value);
        }
        match &self.missing {
            _ if self.refuses_missing => refused("missing value"),
            Some(other) => Ok(other.clone()),
            None => Ok(Val::Missing),
        }
    }
}
