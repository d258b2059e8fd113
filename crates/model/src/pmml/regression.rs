//! Regression models: tables of coefficients, and what is made of their sums.

use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::value::Val;
use super::xml::Element;
use crate::Error;
use crate::math::normal::share_below;

#[derive(Debug)]
struct Table {
    class: Option<Arc<str>>,
    intercept: f64,
    /// Field, exponent, coefficient.
    numbers: Vec<(usize, f64, f64)>,
    categories: Vec<(usize, Val, f64)>,
    /// Products of fields.
    terms: Vec<(Vec<usize>, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Normalization {
    None,
    Simplemax,
    Softmax,
    Logit,
    Probit,
    Cloglog,
    Exp,
    Loglog,
    Cauchit,
}

#[derive(Debug)]
pub(super) struct Regression {
    tables: Vec<Table>,
    normalization: Normalization,
    is_classifier: bool,
    narrow: bool,
}

impl Normalization {
    pub(super) fn of(element: Element<'_>) -> Result<Normalization, Error> {
        Ok(match element.get("normalizationMethod").unwrap_or("none") {
            "none" => Normalization::None,
            "simplemax" => Normalization::Simplemax,
            "softmax" => Normalization::Softmax,
            "logit" => Normalization::Logit,
            "probit" => Normalization::Probit,
            "cloglog" => Normalization::Cloglog,
            "exp" => Normalization::Exp,
            "loglog" => Normalization::Loglog,
            "cauchit" => Normalization::Cauchit,
            other => return Err(element.error(format!("there is no normalization `{other}`"))),
        })
    }

    /// What becomes of one sum.
    fn of_one(self, x: f64, narrow: bool) -> f64 {
        let round = |x: f64| if narrow { f64::from(x as f32) } else { x };
        let exp = |x: f64| round(x.exp());
        match self {
            Normalization::None | Normalization::Simplemax | Normalization::Softmax => x,
            Normalization::Logit => round(1.0 / round(1.0 + exp(-x))),
            Normalization::Probit => round(share_below(x)),
            Normalization::Cloglog => round(1.0 - exp(-exp(x))),
            Normalization::Exp => exp(x),
            Normalization::Loglog => exp(-exp(-x)),
            Normalization::Cauchit => round(0.5 + x.atan() / std::f64::consts::PI),
        }
    }

    /// Shares of classes out of their sums.
    pub(super) fn shares(self, sums: &mut [f64], narrow: bool) {
        let round = |x: f64| if narrow { f64::from(x as f32) } else { x };
        let spread = |sums: &mut [f64]| {
            let sum = sums.iter().fold(0.0, |sum, x| round(sum + x));
            sums.iter_mut().for_each(|x| *x = round(*x / sum));
        };
        match (self, &mut *sums) {
            (Normalization::Softmax, sums) => {
                let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                sums.iter_mut().for_each(|x| *x = round(round(*x - largest).exp()));
                spread(sums);
            }
            (Normalization::Simplemax, sums) => spread(sums),
            (_, [first, second]) => {
                *first = self.of_one(*first, narrow);
                *second = round(1.0 - *first);
            }
            // The last is what the others leave.
            (Normalization::None, sums) => {
                if let Some((last, others)) = sums.split_last_mut() {
                    *last = round(1.0 - others.iter().fold(0.0, |sum, x| round(sum + x)));
                }
            }
            (_, sums) => {
                sums.iter_mut().for_each(|x| *x = self.of_one(*x, narrow));
                spread(sums);
            }
        }
    }
}

impl Regression {
    pub(super) fn read(
        element: Element<'_>,
        compiler: &mut Compiler<'_>,
        is_classifier: bool,
        narrow: bool,
    ) -> Result<Regression, Error> {
        let round = |x: f64| if narrow { f64::from(x as f32) } else { x };
        let mut tables = Vec::new();
        for table in element.all("RegressionTable") {
            let class = table.get("targetCategory").map(|class| compiler.class(class));
            if is_classifier && class.is_none() {
                return Err(table.error("it names no class"));
            }
            let mut read = Table {
                class,
                intercept: round(table.number_or("intercept", 0.0)?),
                numbers: Vec::new(),
                categories: Vec::new(),
                terms: Vec::new(),
            };
            for part in table.children() {
                let coefficient = || part.number_or("coefficient", f64::NAN).map(round);
                match part.name() {
                    "NumericPredictor" => {
                        let field = compiler.scope.find(part, "name")?;
                        read.numbers.push((field.slot, part.number_or("exponent", 1.0)?, coefficient()?));
                    }
                    "CategoricalPredictor" => {
                        let field = compiler.scope.find(part, "name")?;
                        let value = field.kind.parse(part.attribute("value")?);
                        let value = value.ok_or_else(|| part.error("its value is not of the field's type"))?;
                        read.categories.push((field.slot, value, coefficient()?));
                    }
                    "PredictorTerm" => {
                        let fields = part.all("FieldRef").map(|field| compiler.scope.find(field, "field"));
                        let slots = fields.map(|field| field.map(|field| field.slot)).collect::<Result<_, _>>()?;
                        read.terms.push((slots, coefficient()?));
                    }
                    _ => {}
                }
            }
            tables.push(read);
        }
        let normalization = Normalization::of(element)?;
        if tables.is_empty() || (!is_classifier && tables.len() > 1) {
            return Err(element.error(format!("{} tables of coefficients", tables.len())));
        }
        Ok(Regression { tables, normalization, is_classifier, narrow })
    }

    fn sum(&self, table: &Table, row: &[Val]) -> Option<f64> {
        let round = |x: f64| if self.narrow { f64::from(x as f32) } else { x };
        let at = |slot: usize| row.get(slot).unwrap_or(&Val::Missing);
        let mut sum = 0.0;
        for (slot, exponent, coefficient) in &table.numbers {
            let x = at(*slot).number()?;
            let power = if *exponent == 1.0 { x } else { x.powf(*exponent) };
            sum = round(sum + round(coefficient * power));
        }
        // A category that is missing is none of them.
        for (slot, value, coefficient) in &table.categories {
            if at(*slot).same(value) {
                sum = round(sum + coefficient);
            }
        }
        for (slots, coefficient) in &table.terms {
            let product = slots.iter().try_fold(*coefficient, |product, slot| Some(product * at(*slot).number()?));
            sum = round(sum + round(product?));
        }
        Some(round(sum + table.intercept))
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let sums: Option<Vec<f64>> = self.tables.iter().map(|table| self.sum(table, row)).collect();
        let Some(mut sums) = sums else { return Told::value(Val::Missing) };
        if !self.is_classifier {
            return Told::number(sums.first().map(|sum| match self.normalization {
                // As a function of one sum these two are the same.
                Normalization::Softmax => Normalization::Logit.of_one(*sum, self.narrow),
                other => other.of_one(*sum, self.narrow),
            }));
        }
        self.normalization.shares(&mut sums, self.narrow);
        let classes = self.tables.iter().filter_map(|table| table.class.clone());
        Told::likeliest(classes.zip(sums).collect())
    }
}
