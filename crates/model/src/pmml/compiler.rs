//! What is known while a document is read: fields, functions, classes, and how deep we are.

use std::collections::HashMap;
use std::sync::Arc;

use super::expression::{Expression, Functions, Reader};
use super::fields::{Declared, Field, Scope};
use super::value::{Kind, Val};
use super::xml::Element;
use crate::Error;

/// Times that derived fields are looked through: each time those are found that only need the ones before.
const PASSES: usize = 24;

/// What a model says of a row.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) value: Val,
    /// A probability for each class that it knows.
    pub(super) shares: Vec<(Arc<str>, f64)>,
}

impl Told {
    pub(super) fn value(value: Val) -> Told {
        Told { value, shares: Vec::new() }
    }

    pub(super) fn number(value: Option<f64>) -> Told {
        Told::value(value.map_or(Val::Missing, Val::Number))
    }

    /// The class with the largest share, the first of them.
    pub(super) fn likeliest(shares: Vec<(Arc<str>, f64)>) -> Told {
        let mut best: Option<&(Arc<str>, f64)> = None;
        for share in &shares {
            if best.is_none_or(|best| share.1 > best.1) {
                best = Some(share);
            }
        }
        let value = best.map_or(Val::Missing, |(class, _)| Val::Text(class.clone()));
        Told { value, shares }
    }

    pub(super) fn share(&self, class: &str) -> Option<f64> {
        self.shares.iter().find(|(own, _)| &**own == class).map(|(_, share)| *share)
    }
}

/// What is put together while a document is read.
pub(super) struct Compiler<'c> {
    pub(super) scope: Scope,
    pub(super) functions: Functions,
    pub(super) declared: &'c HashMap<String, Declared>,
    /// Classes that models name, in the order of their first mention.
    pub(super) classes: Vec<Arc<str>>,
    seen: HashMap<String, Arc<str>>,
    /// How many models are around the one that is compiled.
    pub(super) depth: usize,
    /// What each model element is, for `inspect`.
    pub(super) parts: Vec<(String, usize)>,
    /// Trees and their nodes.
    pub(super) trees: (usize, usize),
}

/// Whether an element is a model.
pub(super) fn is_model(element: Element<'_>) -> bool {
    let name = element.name();
    name.ends_with("Model") || matches!(name, "Scorecard" | "NeuralNetwork")
}

impl<'c> Compiler<'c> {
    pub(super) fn new(declared: &'c HashMap<String, Declared>) -> Self {
        Compiler {
            scope: Scope::default(),
            functions: Functions::default(),
            declared,
            classes: Vec::new(),
            seen: HashMap::new(),
            depth: 0,
            parts: Vec::new(),
            trees: (0, 0),
        }
    }

    /// A class by its name, once in memory.
    pub(super) fn class(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.seen.get(name) {
            return known.clone();
        }
        let class: Arc<str> = name.into();
        self.seen.insert(name.to_string(), class.clone());
        self.classes.push(class.clone());
        class
    }

    /// Derived fields in an order in which each finds what it needs.
    pub(super) fn derive(
        &mut self,
        element: Element<'_>,
        derived: &mut Vec<(usize, Kind, Expression)>,
        skips: bool,
    ) -> Result<(), Error> {
        let mut open: Vec<Element<'_>> = element.all("DerivedField").collect();
        for pass in 0..=PASSES {
            let (before, mut wrong) = (open.len(), None);
            let mut left = Vec::new();
            for field in open {
                let mut reader =
                    Reader { scope: &self.scope, functions: &self.functions, parameters: HashMap::new(), cost: 0 };
                match reader.inside(field) {
                    Ok(expression) => {
                        let (kind, slot) = (Kind::of(field)?, self.scope.slot()?);
                        self.scope.name(field.attribute("name")?, Field { slot, kind });
                        derived.push((slot, kind, expression));
                    }
                    Err(error) => {
                        wrong.get_or_insert(error);
                        left.push(field);
                    }
                }
            }
            open = left;
            match wrong {
                // Of the document's own those that nobody can compute are of no model's fields.
                None => return Ok(()),
                Some(_) if skips && (open.len() == before || pass == PASSES) => return Ok(()),
                Some(error) if open.len() == before || pass == PASSES => return Err(error),
                Some(_) => {}
            }
        }
        Ok(())
    }
}
