//! What ensembles of trees make of the sums of their leaves.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a row has a sum for each target")]

use super::super::proto::Node;
use super::super::tensor::{Data, Fault, Tensor};
use super::Classes;
use super::scores::{Post, Second};
use crate::Error;

/// How the leaves of all trees are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn of(node: &Node<'_>) -> Result<Aggregate, Error> {
        match node.text("aggregate_function")?.unwrap_or("SUM") {
            "SUM" => Ok(Aggregate::Sum),
            "AVERAGE" => Ok(Aggregate::Average),
            "MIN" => Ok(Aggregate::Min),
            "MAX" => Ok(Aggregate::Max),
            other => {
                let what = format!("aggregate_function='{other}'");
                Err(Error::unsupported(node.place.clone(), what, "SUM, AVERAGE, MIN, MAX"))
            }
        }
    }
}

/// The sums of one row, in the type that the trees are of, and which targets got any.
pub(super) struct Sums<'s> {
    pub(super) values: &'s mut [f64],
    pub(super) known: &'s mut [bool],
    /// Whether they are of float32.
    pub(super) narrow: bool,
}

impl Sums<'_> {
    fn round(&self, value: f64) -> f64 {
        if self.narrow { f64::from(value as f32) } else { value }
    }
}

/// What is told of a row.
#[derive(Debug)]
pub(super) enum Finish {
    Regression { aggregate: Aggregate, trees: usize, post: Post },
    Classes { classes: Classes, single_class: bool, positive: bool, post: Post },
}

/// What is told of all rows.
#[derive(Debug, Default)]
pub(super) struct Told {
    labels: Vec<i64>,
    pub(super) scores: Vec<f32>,
}

impl Finish {
    /// Adds what is told of one row.
    pub(super) fn row(&self, sums: Sums<'_>, base: &[f64], told: &mut Told) {
        match self {
            Finish::Regression { aggregate, trees, post } => {
                let count = sums.values.len();
                for at in 0..count {
                    let mut value = if sums.known[at] { sums.values[at] } else { 0.0 };
                    if *aggregate == Aggregate::Average {
                        value = sums.round(value / *trees as f64);
                    }
                    // A single base value of several targets is none.
                    let own = if base.len() == count { base[at] } else { 0.0 };
                    sums.values[at] = sums.round(value + own);
                }
                let mut scores: Vec<f32> = sums.values.iter().map(|one| *one as f32).collect();
                // Of one target, nothing but PROBIT is applied.
                let post = if count == 1 && *post != Post::Probit { Post::None } else { *post };
                post.write(&mut scores, Second::Absent, &mut told.scores);
            }
            Finish::Classes { classes, post, .. } if classes.len() > 2 => {
                for (at, own) in base.iter().enumerate().take(sums.values.len()) {
                    sums.values[at] = sums.round(sums.values[at] + own);
                    sums.known[at] = true;
                }
                let mut best = None;
                for (at, value) in sums.values.iter().enumerate().filter(|(at, _)| sums.known[*at]) {
                    if best.is_none_or(|best: usize| *value > sums.values[best]) {
                        best = Some(at);
                    }
                }
                told.labels.push(best.map_or(0, |at| at as i64));
                let mut scores: Vec<f32> = sums.values.iter().map(|one| *one as f32).collect();
                post.write(&mut scores, Second::Absent, &mut told.scores);
            }
            Finish::Classes { single_class, positive, post, .. } => {
                two(sums, base, *single_class, *positive, *post, told);
            }
        }
    }

    /// The tensors of an operator.
    pub(super) fn tensors(&self, rows: usize, told: Told) -> Result<Vec<Tensor>, Fault> {
        let width = match self {
            Finish::Regression { .. } => told.scores.len().checked_div(rows).unwrap_or(1),
            Finish::Classes { classes, .. } => classes.len(),
        };
        let scores = Tensor::f32(vec![rows, width], told.scores);
        let Finish::Classes { classes, single_class, .. } = self else { return Ok(vec![scores]) };
        let by_number = matches!(classes, Classes::Ints(_)) && classes.len() == 2 && !single_class;
        let labels = match by_number {
            // Of two classes that both have leaves, the runtime tells 1 or 0 whatever the labels are.
            true => Tensor { shape: vec![rows], data: Data::I64(told.labels) },
            false => classes.tensor(&told.labels.iter().map(|at| *at as usize).collect::<Vec<_>>())?,
        };
        Ok(vec![labels, scores])
    }
}

/// One row of two classes.
fn two(sums: Sums<'_>, base: &[f64], single_class: bool, positive: bool, post: Post, told: &mut Told) {
    let (first, second) = (sums.values[0], sums.values[1]);
    let round = |value| sums.round(value);
    let (mut scores, has_second) = match (base, sums.known[1]) {
        ([_, own], true) => {
            let second = round(own + first);
            (vec![-second, second], true)
        }
        ([of_first, of_second], false) => (vec![round(first + of_first), round(second + of_second)], false),
        ([own], true) => (vec![round(first + own), second], true),
        ([own], false) => (vec![round(first + own)], false),
        (_, true) => (vec![first, second], true),
        (_, false) => (vec![first], false),
    };
    let deciding = if has_second { scores[1] } else { scores[0] };
    let above = if single_class && positive { deciding > 0.5 } else { deciding > 0.0 };
    told.labels.push(i64::from(above));
    let added = match (single_class, positive) {
        (true, true) => Second::Complement,
        (true, false) => Second::Opposite,
        // As the runtime has it, which expects two scores here but for a model without base values.
        (false, _) => Second::Opposite,
    };
    let mut scores: Vec<f32> = scores.drain(..).map(|one| one as f32).collect();
    post.write(&mut scores, added, &mut told.scores);
}
