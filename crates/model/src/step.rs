//! The two things an estimator can be once it is loaded, and what they share while they run.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::matrix::Matrix;
use crate::{Method, Outputs, Refusal};

/// Gives a table for a table. Never fails: rows that the library would raise on are refused in `run`, and whatever
/// value stands in them afterwards is not looked at.
pub(crate) trait Transform: Send + Sync + Debug {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix;

    /// Whether the library holds what this gives as bools or as integers of up to 16 bits.
    fn gives_small(&self) -> bool {
        false
    }
}

/// Gives an answer a row. Asked only for what its targets declare.
pub(crate) trait Predict: Send + Sync + Debug {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer;

    /// What it hands on as a transformer, where its targets declare a table.
    fn table(&self, x: Matrix, _run: &mut Run) -> Matrix {
        x
    }
}

/// A predictor that stands where a transformer is needed.
#[derive(Debug)]
pub(crate) struct Table(pub(crate) Box<dyn Predict>);

impl Transform for Table {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.0.table(x, run)
    }
}

/// A loaded estimator.
#[derive(Debug)]
pub(crate) enum Step {
    Transform(Box<dyn Transform>),
    Predict(Box<dyn Predict>),
}

/// What a predictor says, one vector an output column.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    F32(Vec<Vec<f32>>),
    F64(Vec<Vec<f64>>),
    /// Indices into the labels of each target.
    Class(Vec<Vec<u32>>),
}

impl Answer {
    /// Floats that the library holds in float64, or in float32 where `narrow`.
    pub(crate) fn floats(columns: Vec<Vec<f64>>, narrow: bool) -> Self {
        if !narrow {
            return Answer::F64(columns);
        }
        let round = |column: Vec<f64>| column.into_iter().map(|value| value as f32).collect();
        Answer::F32(columns.into_iter().map(round).collect())
    }
}

/// The state of one call: the rows refused so far, and the values that no encoder knew.
#[derive(Debug, Default)]
pub(crate) struct Run {
    refused: BTreeMap<u32, Refusal>,
    unseen: BTreeMap<String, usize>,
}

impl Run {
    /// Refuses a row; the first step that does so is the one that is told.
    pub(crate) fn refuse(&mut self, row: usize, step: &str, column: Option<&str>, reason: &str) {
        let row = row as u32;
        self.refused.entry(row).or_insert_with(|| Refusal {
            row,
            step: step.to_string(),
            column: column.map(str::to_string),
            reason: reason.to_string(),
        });
    }

    /// Refuses every row: the column is of a type that no binding would have let through.
    pub(crate) fn refuse_all(&mut self, rows: usize, step: &str, column: Option<&str>, reason: &str) {
        (0..rows).for_each(|row| self.refuse(row, step, column, reason));
    }

    /// Counts the rows in which a column's value was not a level of training and was let pass. Several encoders of one
    /// column see the same values: the largest of their counts is told.
    pub(crate) fn unseen(&mut self, column: &str, rows: usize) {
        if rows > 0 {
            let known = self.unseen.entry(column.to_string()).or_default();
            *known = rows.max(*known);
        }
    }

    /// What is told of the call, for columns to be put beside it.
    pub(crate) fn told(self) -> Outputs {
        Outputs {
            columns: Vec::new(),
            refusals: self.refused.into_values().collect(),
            unseen: self.unseen.into_iter().collect(),
        }
    }
}

/// A chain of transformers, and a predictor at its end where there is one.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) transforms: Vec<Box<dyn Transform>>,
    pub(crate) last: Option<Box<dyn Predict>>,
}

impl Transform for Chain {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.transforms.iter().fold(x, |x, step| step.transform(x, run))
    }

    fn gives_small(&self) -> bool {
        self.last.is_none() && self.transforms.last().is_some_and(|step| step.gives_small())
    }
}

impl Predict for Chain {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let x = self.transform(x, run);
        match &self.last {
            Some(last) => last.answer(x, want, run),
            None => Answer::F64(Vec::new()),
        }
    }

    fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
        let x = self.transform(x, run);
        match &self.last {
            Some(last) => last.table(x, run),
            None => x,
        }
    }
}
