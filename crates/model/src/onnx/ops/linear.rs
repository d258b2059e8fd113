//! Linear models of `ai.onnx.ml`.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "positions are of shapes that were compared"
)]

use super::super::proto::Node;
use super::super::tensor::{Fault, Tensor};
use super::products::{charge, product};
use super::scores::{Post, Second};
use super::{Classes, Compiled, Operator, input};
use crate::Error;

pub(super) const OPERATORS: &[Operator] =
    &[("LinearClassifier", |node, _| classifier(node)), ("LinearRegressor", |node, _| regressor(node))];

/// Rows of weights, one a target.
struct Weights {
    /// By feature, then target.
    turned: Vec<f64>,
    features: usize,
    intercepts: Vec<f64>,
}

impl Weights {
    fn read(node: &Node<'_>, targets: usize) -> Result<Weights, Error> {
        let all = node.floats("coefficients");
        let features = all.len().checked_div(targets).unwrap_or(0);
        if targets == 0 || features == 0 || features.checked_mul(targets) != Some(all.len()) {
            return Err(node.error(format!("{} coefficients for {targets} targets", all.len())));
        }
        let intercepts = node.floats("intercepts");
        let intercepts = if intercepts.is_empty() {
            vec![0.0; targets]
        } else {
            intercepts.iter().map(|one| f64::from(*one)).collect()
        };
        if intercepts.len() != targets {
            return Err(node.error(format!("{} intercepts for {targets} targets", intercepts.len())));
        }
        let turned = (0..features)
            .flat_map(|feature| (0..targets).map(move |target| f64::from(all[target * features + feature])));
        Ok(Weights { turned: turned.collect(), features, intercepts })
    }

    /// The scores, row by row.
    fn scores(&self, x: &Tensor, context: &super::super::tensor::Context) -> Result<(usize, Vec<f32>), Fault> {
        let (rows, columns) = x.rows_and_columns()?;
        let targets = self.intercepts.len();
        if columns != self.features {
            return Err(Fault::Shape);
        }
        context.room(&[rows, targets])?;
        charge(context, rows, columns, targets)?;
        let x: Vec<f64> = x.to_f32()?.into_iter().map(f64::from).collect();
        let sums = product(&x, &self.turned, rows, columns, targets);
        Ok((rows, sums.iter().enumerate().map(|(at, sum)| (sum + self.intercepts[at % targets]) as f32).collect()))
    }

    fn bytes(&self) -> usize {
        (self.turned.len() + self.intercepts.len()) * size_of::<f64>()
    }
}

fn classifier(node: &Node<'_>) -> Result<Compiled, Error> {
    let targets = node.floats("intercepts").len();
    let weights = Weights::read(node, targets)?;
    let post = Post::of(node)?;
    let classes = Classes::of(node, "classlabels_strings", "classlabels_ints")?;
    let classes = classes.ok_or_else(|| node.error("it names no classes"))?;
    if targets > 1 && classes.len() != targets || targets == 1 && classes.len() > 2 {
        return Err(node.error(format!("{} classes for {targets} scores", classes.len())));
    }
    // A single score of two classes: the labels of two, or the runtime's own.
    let pair = match &classes {
        two if two.len() == 2 => two.clone(),
        Classes::Ints(_) => Classes::Ints(vec![0, 1]),
        Classes::Texts(_) => Classes::Texts(vec!["0".to_string(), "1".to_string()]),
    };
    let second = if targets == 1 && classes.len() == 2 { Second::Complement } else { Second::Absent };
    let (told, bytes) = (classes.clone(), weights.bytes());
    let kernel = Compiled::plain(move |inputs, context| {
        let (rows, mut scores) = weights.scores(input(inputs, 0)?, context)?;
        let mut picked = Vec::with_capacity(rows);
        let mut out = Vec::with_capacity(scores.len());
        for scores in scores.chunks_exact_mut(targets) {
            picked.push(match &*scores {
                [score] => usize::from(*score > 0.0),
                scores => first_largest(scores),
            });
            post.write(scores, second, &mut out);
        }
        let labels = if targets == 1 { pair.tensor(&picked)? } else { classes.tensor(&picked)? };
        let width = out.len().checked_div(rows).unwrap_or(targets);
        Ok(vec![labels, Tensor::f32(vec![rows, width], out)])
    })?;
    Ok(Compiled { classes: Some(told), bytes, ..kernel.predicting() })
}

/// The place of the first of the largest.
pub(super) fn first_largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (at, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = at;
        }
    }
    best
}

fn regressor(node: &Node<'_>) -> Result<Compiled, Error> {
    let targets = usize::try_from(node.int("targets", 1)).unwrap_or(0);
    let weights = Weights::read(node, targets)?;
    let (post, bytes) = (Post::of(node)?, weights.bytes());
    let kernel = Compiled::plain(move |inputs, context| {
        let (rows, mut scores) = weights.scores(input(inputs, 0)?, context)?;
        let mut out = Vec::with_capacity(scores.len());
        scores.chunks_exact_mut(targets).for_each(|scores| post.write(scores, Second::Absent, &mut out));
        Ok(vec![Tensor::f32(vec![rows, targets], out)])
    })?;
    Ok(Compiled { bytes, ..kernel.predicting() })
}
