//! Scoring a booster, alone or inside its scikit-learn wrapper.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "the booster was checked before")]

use super::booster::Booster;
use super::objective::Objective;
use super::softmax::softmax;
use crate::Method;
use crate::finite::Finite;
use crate::math::scores::first_largest;
use crate::matrix::{Matrix, read};
use crate::step::{Answer, Predict, Run};
use crate::trees::Plan;

/// What `predict` makes of the booster's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputForm {
    /// The booster's answer as it is: `Booster.predict`, `XGBRegressor`, `XGBRanker`.
    Value,
    /// The index of the likeliest class.
    Class,
    /// Each output is a yes or no: above one half or not.
    Labels,
}

/// A booster, ready to be scored.
#[derive(Debug)]
pub(crate) struct Scorer {
    evaluation: Evaluation,
    base: Vec<f32>,
    base_last: bool,
    objective: Objective,
    form: OutputForm,
    /// What stands for a missing value beside NaN.
    missing: Option<f32>,
    /// The check of its numbers, where the library makes one.
    finite: Option<Finite>,
}

#[derive(Debug)]
enum Evaluation {
    Trees(Box<Plan<f32, f32>>),
    /// `features + 1` rows of one weight an output, the last the bias.
    Linear(Vec<f32>),
}

impl Scorer {
    /// `in_place` is how wrappers ask their booster, without a DMatrix.
    pub(crate) fn new(
        booster: &Booster,
        form: OutputForm,
        missing: f64,
        finite: Option<Finite>,
        in_place: bool,
    ) -> Self {
        // There dart, from 1.4 on, scores each tree with the base margin, takes the base off again and scales what is
        // left.
        let base_last = booster.adds_base_last();
        let weight = |tree: usize, value: f64| {
            let value = value as f32;
            let Some(weight) = booster.weights.get(tree) else { return value };
            if base_last || !in_place {
                return value * weight;
            }
            let base = booster.base[booster.ensemble.trees[tree].offset as usize];
            ((base + value) - base) * weight
        };
        let evaluation = match &booster.linear {
            Some(weights) => Evaluation::Linear(weights.clone()),
            None => Evaluation::Trees(Box::new(Plan::new(&booster.ensemble, weight))),
        };
        Scorer {
            evaluation,
            base: booster.base.clone(),
            base_last,
            objective: booster.objective,
            form,
            missing: (!missing.is_nan()).then_some(missing as f32),
            finite,
        }
    }

    pub(crate) fn kernel(&self) -> String {
        match &self.evaluation {
            Evaluation::Trees(plan) => plan.kernel(),
            Evaluation::Linear(_) => "linear (f32)".to_string(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.evaluation {
            Evaluation::Trees(plan) => plan.bytes(),
            Evaluation::Linear(weights) => size_of_val(&weights[..]),
        }
    }

    fn margins(&self, x: &Matrix) -> Vec<Vec<f32>> {
        match &self.evaluation {
            Evaluation::Trees(plan) if self.base_last => {
                let mut sums = plan.sum(x, &vec![0.0; self.base.len()], f32::NAN, self.missing);
                for (sums, base) in sums.iter_mut().zip(&self.base) {
                    sums.iter_mut().for_each(|sum| *sum += base);
                }
                sums
            }
            Evaluation::Trees(plan) => plan.sum(x, &self.base, f32::NAN, self.missing),
            Evaluation::Linear(weights) => self.linear(x, weights),
        }
    }

    /// The bias and the base first, that of the first output for all of them, then feature by feature; what is missing
    /// adds nothing.
    fn linear(&self, x: &Matrix, weights: &[f32]) -> Vec<Vec<f32>> {
        let (rows, cols, outputs) = (x.rows(), x.cols(), self.base.len());
        let bias = &weights[cols * outputs..];
        let mut sums: Vec<Vec<f32>> = bias.iter().take(outputs).map(|bias| vec![bias + self.base[0]; rows]).collect();
        let mut column = vec![f32::NAN; rows];
        for col in 0..cols {
            match x {
                Matrix::Frame(frame) => {
                    read(&frame.columns[col], 0..rows, &mut column);
                }
                Matrix::Dense(dense) => {
                    column.iter_mut().zip(dense.column(col)).for_each(|(to, from)| *to = *from as f32);
                }
                Matrix::Csr(csr) => {
                    for (row, to) in column.iter_mut().enumerate() {
                        *to = csr.row(row).find(|entry| entry.0 as usize == col).map_or(f32::NAN, |e| e.1 as f32);
                    }
                }
            }
            for (output, sums) in sums.iter_mut().enumerate() {
                let weight = weights[col * outputs + output];
                for (sum, x) in sums.iter_mut().zip(&column) {
                    if !x.is_nan() && Some(*x) != self.missing {
                        *sum += x * weight;
                    }
                }
            }
        }
        sums
    }
}

impl Predict for Scorer {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        if let Some(finite) = &self.finite {
            finite.check(&x, run);
        }
        let rows = x.rows();
        let mut outputs = self.margins(&x);
        match (want, self.form) {
            (Method::Decision, _) => return Answer::F32(outputs),
            (Method::Proba, _) if self.objective == Objective::Softmax => softmax(&mut outputs),
            _ => self.objective.transform(&mut outputs),
        }
        match (want, self.form) {
            (Method::Predict, OutputForm::Value) if self.objective == Objective::Softmax => {
                let classes = first_largest(&outputs, rows);
                Answer::F32(vec![classes.into_iter().map(|class| class as f32).collect()])
            }
            (Method::Predict, OutputForm::Value) => Answer::F32(outputs),
            (Method::Predict, OutputForm::Class) if outputs.len() > 1 => {
                Answer::Class(vec![first_largest(&outputs, rows)])
            }
            (Method::Predict, OutputForm::Class | OutputForm::Labels) => {
                let half = |column: &Vec<f32>| column.iter().map(|p| u32::from(*p > 0.5)).collect();
                Answer::Class(outputs.iter().map(half).collect())
            }
            (_, OutputForm::Labels) => Answer::F32(outputs),
            _ if outputs.len() == 1 => {
                let no = outputs[0].iter().map(|yes| 1.0 - yes).collect();
                outputs.insert(0, no);
                Answer::F32(outputs)
            }
            _ => Answer::F32(outputs),
        }
    }
}
