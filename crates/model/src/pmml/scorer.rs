//! A model on columns: rows are evaluated one by one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array};
use arrow_schema::DataType;

use super::compiler::{Compiler, Told};
use super::fields::{Declared, Refused};
use super::model::Model;
use super::value::{Kind, Val};
use crate::categories::texts;
use crate::labels::Labels;
use crate::matrix::{Matrix, read};
use crate::step::{Answer as Answers, Predict, Run};
use crate::types::is_text;
use crate::{Error, InputKind, Method};

/// What a document says of itself, for `inspect`.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) producer: String,
    pub(crate) bytes: usize,
}

/// What the model answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Number,
    /// One of the labels, with a probability for each where the model tells them.
    Class(Labels, bool),
}

/// A model, ready to be scored.
#[derive(Debug)]
pub(crate) struct Scorer {
    model: Model,
    fields: Vec<(Declared, usize)>,
    slots: usize,
    pub(crate) answer: Answer,
    classes: HashMap<Arc<str>, u32>,
    pub(crate) about: About,
    /// Model elements by kind.
    pub(crate) parts: Vec<(String, usize)>,
    /// Trees and their nodes.
    pub(crate) trees: (usize, usize),
}

const STEP: &str = "PMML";

impl Scorer {
    pub(super) fn new(
        model: Model,
        compiler: Compiler<'_>,
        fields: Vec<(Declared, usize)>,
        target: Option<Declared>,
        about: About,
    ) -> Result<Scorer, Error> {
        let slots = compiler.scope.slots;
        let answer = match model.is_classifier {
            false => Answer::Number,
            true => {
                let kind = target.map_or(Kind::Text, |target| target.kind);
                let tells = !matches!(model.body, super::model::Body::Clusters(_) | super::model::Body::Vectors(_));
                Answer::Class(labels(&compiler.classes, kind)?, tells)
            }
        };
        let classes = compiler.classes.iter().cloned().zip(0..).collect();
        Ok(Scorer { model, fields, slots, answer, classes, about, parts: compiler.parts, trees: compiler.trees })
    }

    /// The inputs and what each takes.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&str, InputKind)> {
        self.fields.iter().map(|(field, _)| {
            let kind = if field.kind.is_number() && !field.is_categorical { InputKind::Number } else { InputKind::Any };
            (field.name.as_str(), kind)
        })
    }

    /// What is told of each row, refused where it has no answer.
    fn rows(&self, x: &Matrix, run: &mut Run, mut each: impl FnMut(usize, Option<Told>)) {
        let columns: Vec<Vec<Val>> =
            self.fields.iter().enumerate().map(|(at, (field, _))| column(x, at, field, run)).collect();
        let mut row = vec![Val::Missing; self.slots];
        for at in 0..x.rows() {
            row.fill(Val::Missing);
            for ((_, slot), column) in self.fields.iter().zip(&columns) {
                if let (Some(own), Some(value)) = (row.get_mut(*slot), column.get(at)) {
                    own.clone_from(value);
                }
            }
            let told = match self.model.evaluate(&mut row) {
                Ok(told) if told.value.is_missing() => Err(Refused {
                    column: None,
                    reason: "no answer: a value is missing, or no part of the model is for this row",
                }),
                other => other,
            };
            match told {
                Ok(told) => each(at, Some(told)),
                Err(refused) => {
                    run.refuse(at, STEP, refused.column.as_deref(), refused.reason);
                    each(at, None);
                }
            }
        }
    }
}

/// Classes in the type of the target.
fn labels(classes: &[Arc<str>], kind: Kind) -> Result<Labels, Error> {
    if classes.is_empty() {
        return Err(Error::state(super::FORMAT, "the model names no classes"));
    }
    let of = |class: &Arc<str>| kind.parse(class);
    let ints =
        || classes.iter().map(|class| of(class)?.number().filter(|x| x.fract() == 0.0).map(|x| x as i64)).collect();
    let floats = || classes.iter().map(|class| of(class)?.number()).collect();
    let bools = || {
        let bool = |class: &Arc<str>| if let Some(Val::Bool(yes)) = of(class) { Some(yes) } else { None };
        classes.iter().map(bool).collect::<Option<Vec<bool>>>()
    };
    let found = match kind {
        Kind::Integer => Option::<Vec<i64>>::map(ints(), Labels::Int),
        Kind::Float | Kind::Double => Option::<Vec<f64>>::map(floats(), Labels::Float),
        Kind::Bool => bools().map(Labels::Bool),
        Kind::Text => None,
    };
    Ok(found.unwrap_or_else(|| Labels::Text(classes.iter().map(|class| class.to_string()).collect())))
}

/// A column's values in the type of its field.
fn column(x: &Matrix, at: usize, field: &Declared, run: &mut Run) -> Vec<Val> {
    let rows = x.rows();
    let mut out = vec![Val::Missing; rows];
    let mut wrong = |row: usize| run.refuse(row, STEP, Some(&field.name), "not a value of the field's type");
    let mut put = |row: usize, value: Val| match field.kind.cast(value) {
        Some(value) => out.get_mut(row).into_iter().for_each(|own| own.clone_from(&value)),
        None => wrong(row),
    };
    let array: ArrayRef = match x {
        Matrix::Frame(frame) => match frame.columns.get(at) {
            Some(column) => column.clone(),
            None => return out,
        },
        other => Arc::new(Float64Array::from(other.numbers(at).unwrap_or_default())),
    };
    if is_text(array.data_type()) {
        let mut known: HashMap<&str, Val> = HashMap::new();
        texts(&array, |row, text| {
            if let Some(text) = text {
                let value = known.entry(text).or_insert_with(|| Val::Text(text.into())).clone();
                put(row, value);
            }
        });
        return out;
    }
    let mut numbers = vec![f64::NAN; rows];
    read(&array, 0..array.len().min(rows), &mut numbers);
    let is_bool = array.data_type() == &DataType::Boolean;
    for (row, number) in numbers.into_iter().enumerate().filter(|(_, number)| !number.is_nan()) {
        put(row, if is_bool { Val::Bool(number != 0.0) } else { Val::Number(number) });
    }
    out
}

impl Predict for Scorer {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answers {
        let rows = x.rows();
        match (&self.answer, want) {
            (Answer::Class(labels, _), Method::Proba) => {
                let mut shares = vec![vec![0.0; rows]; labels.len()];
                self.rows(&x, run, |row, told| {
                    for (class, share) in told.iter().flat_map(|told| &told.shares) {
                        let column = self.classes.get(class).and_then(|at| shares.get_mut(*at as usize));
                        column.and_then(|column| column.get_mut(row)).into_iter().for_each(|slot| *slot = *share);
                    }
                });
                Answers::F64(shares)
            }
            (Answer::Class(..), _) => {
                let mut classes = vec![0; rows];
                self.rows(&x, run, |row, told| {
                    let class = told.and_then(|told| told.value.text()).and_then(|text| self.classes.get(&text));
                    if let (Some(slot), Some(class)) = (classes.get_mut(row), class) {
                        *slot = *class;
                    }
                });
                Answers::Class(vec![classes])
            }
            (Answer::Number, _) => {
                let mut numbers = vec![f64::NAN; rows];
                self.rows(&x, run, |row, told| {
                    if let (Some(slot), Some(number)) =
                        (numbers.get_mut(row), told.and_then(|told| told.value.number()))
                    {
                        *slot = number;
                    }
                });
                Answers::F64(vec![numbers])
            }
        }
    }

    fn rows_at_once(&self) -> Option<usize> {
        None
    }
}
