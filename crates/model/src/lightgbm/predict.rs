//! Scoring a booster, alone or inside its scikit-learn wrapper.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "the model was checked before")]

use super::objective::Objective;
use super::text::Booster;
use super::tree::{Linear, ZERO};
use crate::Method;
use crate::matrix::{Dense, Matrix};
use crate::step::{Answer, Predict, Run};
use crate::trees::{NONE, Plan, Tree};

/// What `predict` makes of the booster's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputForm {
    /// The booster's answer as it is.
    Value,
    /// The index of the likeliest class.
    Class,
}

/// A booster, ready to be scored.
#[derive(Debug)]
pub(crate) struct Scorer {
    evaluation: Evaluation,
    /// The number of iterations, where they are averaged.
    divide: Option<f64>,
    objective: Objective,
    zero_missing: Vec<u32>,
    form: OutputForm,
}

#[derive(Debug)]
enum Evaluation {
    Plan(Box<Plan<f64, f64>>),
    Linear { outputs: usize, trees: Vec<(Tree, Option<Linear>)> },
}

impl Scorer {
    pub(crate) fn new(booster: &Booster, form: OutputForm) -> Self {
        let evaluation = if booster.linear.is_empty() {
            Evaluation::Plan(Box::new(Plan::new(&booster.ensemble, |_, value| value)))
        } else {
            let trees = booster.ensemble.trees.iter().cloned().zip(booster.linear.iter().cloned());
            Evaluation::Linear { outputs: booster.outputs, trees: trees.collect() }
        };
        Scorer {
            evaluation,
            divide: booster.averages.then_some(booster.rounds() as f64),
            objective: booster.objective,
            zero_missing: booster.zero_missing.clone(),
            form,
        }
    }

    pub(crate) fn kernel(&self) -> String {
        match &self.evaluation {
            Evaluation::Plan(plan) => plan.kernel(),
            Evaluation::Linear { .. } => "walk to linear leaves (f64)".to_string(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.evaluation {
            Evaluation::Plan(plan) => plan.bytes(),
            Evaluation::Linear { trees, .. } => trees.iter().map(|(tree, _)| tree.nodes.len() * 64).sum(),
        }
    }

    #[allow(clippy::needless_range_loop, reason = "the row indexes columns of several tables")]
    fn sums(&self, x: Matrix) -> Vec<Vec<f64>> {
        let (rows, cols) = (x.rows(), x.cols());
        match &self.evaluation {
            Evaluation::Plan(plan) => {
                let start = vec![0.0; plan.outputs()];
                if self.zero_missing.is_empty() {
                    return plan.sum(&x, &start, 0.0, None);
                }
                let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                for feature in &self.zero_missing {
                    let column = dense.column_mut(*feature as usize);
                    column.iter_mut().filter(|x| x.abs() <= ZERO).for_each(|x| *x = f64::NAN);
                }
                plan.sum(&Matrix::Dense(dense), &start, 0.0, None)
            }
            Evaluation::Linear { outputs, trees } => {
                let mut sums = vec![vec![0.0; rows]; *outputs];
                let dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                let mut values = vec![0.0; cols];
                for row in 0..rows {
                    for (col, value) in values.iter_mut().enumerate() {
                        let x = dense.column(col)[row];
                        *value = if x.abs() <= ZERO { 0.0 } else { x };
                    }
                    for (tree, linear) in trees {
                        let leaf = leaf(tree, &values, &self.zero_missing);
                        let sum = &mut sums[tree.offset as usize];
                        sum[row] += leaf_value(tree, linear.as_ref(), leaf, &values);
                    }
                }
                sums
            }
        }
    }
}

/// The leaf that a row comes to.
fn leaf(tree: &Tree, values: &[f64], zero_missing: &[u32]) -> usize {
    let mut node = &tree.nodes[0];
    while !node.is_leaf() {
        let x = values[node.feature as usize];
        let left = if x.is_nan() || (x == 0.0 && zero_missing.binary_search(&node.feature).is_ok()) {
            node.missing_left
        } else if node.set != NONE {
            let bit = if x > -1.0 && x < 2_147_483_648.0 { x as usize } else { usize::MAX };
            let word = tree.sets[node.set as usize].get(bit / 32).copied().unwrap_or(0);
            word >> (bit % 32) & 1 == 0
        } else {
            x <= node.threshold
        };
        node = &tree.nodes[if left { node.left } else { node.right } as usize];
    }
    node.feature as usize
}

/// The leaf's linear model, or its value where a feature of the model is missing.
fn leaf_value(tree: &Tree, linear: Option<&Linear>, leaf: usize, values: &[f64]) -> f64 {
    let Some(linear) = linear else { return tree.values[leaf] };
    let mut sum = linear.constants[leaf];
    for (feature, coefficient) in &linear.terms[leaf] {
        let x = values[*feature as usize];
        if x.is_nan() {
            return tree.values[leaf];
        }
        sum += coefficient * x;
    }
    sum
}

impl Predict for Scorer {
    fn answer(&self, x: Matrix, want: Method, _run: &mut Run) -> Answer {
        let mut outputs = self.sums(x);
        // The raw score of a forest is its sum, not its mean.
        if want == Method::Decision {
            return Answer::F64(outputs);
        }
        if let Some(count) = self.divide {
            outputs.iter_mut().flatten().for_each(|sum| *sum /= count);
        }
        self.objective.transform(&mut outputs);
        match (want, self.form) {
            (_, OutputForm::Value) => Answer::F64(outputs),
            (Method::Predict, OutputForm::Class) if outputs.len() > 1 => Answer::Class(vec![largest(&outputs)]),
            (Method::Predict, OutputForm::Class) => {
                let yes = |column: &Vec<f64>| column.iter().map(|p| u32::from(*p > 1.0 - p)).collect();
                Answer::Class(outputs.iter().map(yes).collect())
            }
            (_, OutputForm::Class) if outputs.len() == 1 => {
                let no = outputs[0].iter().map(|yes| 1.0 - yes).collect();
                outputs.insert(0, no);
                Answer::F64(outputs)
            }
            _ => Answer::F64(outputs),
        }
    }
}

/// The index of the largest value of each row; of equal ones the first, and NaN is the largest, as numpy has it.
fn largest(columns: &[Vec<f64>]) -> Vec<u32> {
    let rows = columns.first().map_or(0, Vec::len);
    let mut best = vec![0u32; rows];
    for (row, best) in best.iter_mut().enumerate() {
        for (index, column) in columns.iter().enumerate() {
            let top = columns[*best as usize][row];
            if column[row] > top || (column[row].is_nan() && !top.is_nan()) {
                *best = index as u32;
            }
        }
    }
    best
}
