//! Scorecards: points for each characteristic.

use super::compiler::{Compiler, Told};
use super::expression::{Expression, Reader};
use super::predicate::Predicate;
use super::value::Val;
use super::xml::Element;
use crate::Error;

#[derive(Debug)]
enum Points {
    Number(f64),
    Computed(Expression),
}

#[derive(Debug)]
pub(super) struct Scorecard {
    initial: f64,
    /// For each characteristic its attributes, of which the first that holds counts.
    characteristics: Vec<Vec<(Predicate, Points)>>,
}

impl Scorecard {
    pub(super) fn read(element: Element<'_>, compiler: &Compiler<'_>) -> Result<Scorecard, Error> {
        let mut characteristics = Vec::new();
        for characteristic in element.needed("Characteristics")?.all("Characteristic") {
            let mut attributes = Vec::new();
            for attribute in characteristic.all("Attribute") {
                let predicate = Predicate::inside(attribute, &compiler.scope)?;
                let points = match attribute.child("ComplexPartialScore") {
                    Some(complex) => {
                        let (scope, functions) = (&compiler.scope, &compiler.functions);
                        let mut reader = Reader { scope, functions, parameters: Default::default(), cost: 0 };
                        Points::Computed(reader.inside(complex)?)
                    }
                    None => {
                        let score = attribute.number("partialScore")?;
                        Points::Number(score.ok_or_else(|| attribute.error("it has no points"))?)
                    }
                };
                attributes.push((predicate, points));
            }
            characteristics.push(attributes);
        }
        Ok(Scorecard { initial: element.number_or("initialScore", 0.0)?, characteristics })
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let mut sum = self.initial;
        for attributes in &self.characteristics {
            let found = attributes.iter().find(|(predicate, _)| predicate.holds(row) == Some(true));
            let points = match found {
                None => None,
                Some((_, Points::Number(points))) => Some(*points),
                Some((_, Points::Computed(expression))) => expression.value(row, &[]).number(),
            };
            // Without an attribute that holds there is no score.
            match points {
                Some(points) => sum += points,
                None => return Told::value(Val::Missing),
            }
        }
        Told::value(Val::Number(sum))
    }
}
