//! Support vector machines of `ai.onnx.ml`.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes were compared while loading")]

use super::super::proto::Node;
use super::super::tensor::{Context, Fault, Tensor};
use super::products::charge;
use super::scores::{Post, Second, logistic};
use super::{Classes, Compiled, Operator, input};
use crate::Error;

pub(super) const OPERATORS: &[Operator] =
    &[("SVMClassifier", |node, _| classifier(node)), ("SVMRegressor", |node, _| regressor(node))];

#[derive(Debug, Clone, Copy)]
enum Kernel {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// Vectors that rows are compared with.
struct Vectors {
    all: Vec<f32>,
    count: usize,
    features: usize,
    kernel: Kernel,
    gamma: f32,
    coef0: f32,
    degree: f32,
}

impl Vectors {
    fn read(node: &Node<'_>, all: &[f32], count: usize, linear: bool) -> Result<Vectors, Error> {
        let features = all.len().checked_div(count).unwrap_or(0);
        if features == 0 || features.checked_mul(count) != Some(all.len()) {
            return Err(node.error(format!("{} values in {count} vectors", all.len())));
        }
        let kernel = match node.text("kernel_type")?.unwrap_or("LINEAR") {
            _ if linear => Kernel::Linear,
            "LINEAR" => Kernel::Linear,
            "POLY" => Kernel::Poly,
            "RBF" => Kernel::Rbf,
            "SIGMOID" => Kernel::Sigmoid,
            other => {
                let known = "LINEAR, POLY, RBF, SIGMOID";
                return Err(Error::unsupported(node.place.clone(), format!("kernel_type='{other}'"), known));
            }
        };
        let parameters = node.floats("kernel_params");
        let parameter = |at: usize| parameters.get(at).copied().unwrap_or(0.0);
        let (gamma, coef0, degree) = (parameter(0), parameter(1), parameter(2));
        Ok(Vectors { all: all.to_vec(), count, features, kernel, gamma, coef0, degree })
    }

    /// What the kernel says of each row and vector, row by row.
    fn compare(&self, x: &Tensor, context: &Context) -> Result<(usize, Vec<f32>), Fault> {
        let (rows, columns) = x.rows_and_columns()?;
        if columns != self.features {
            return Err(Fault::Shape);
        }
        context.room(&[rows, self.count])?;
        charge(context, rows, columns, self.count)?;
        let x = x.to_f32()?;
        let mut out = Vec::with_capacity(rows * self.count);
        for row in x.chunks_exact(columns) {
            for vector in self.all.chunks_exact(columns) {
                let pairs = row.iter().zip(vector).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                let dot = || pairs.clone().map(|(a, b)| a * b).sum::<f64>() as f32;
                out.push(match self.kernel {
                    Kernel::Linear => dot(),
                    Kernel::Poly => (self.gamma * dot() + self.coef0).powf(self.degree),
                    Kernel::Sigmoid => (self.gamma * dot() + self.coef0).tanh(),
                    Kernel::Rbf => {
                        let sum = pairs.clone().map(|(a, b)| (a - b) * (a - b)).sum::<f64>() as f32;
                        (-self.gamma * sum).exp()
                    }
                });
            }
        }
        Ok((rows, out))
    }

    fn bytes(&self) -> usize {
        self.all.len() * size_of::<f32>()
    }
}

fn regressor(node: &Node<'_>) -> Result<Compiled, Error> {
    let supports = usize::try_from(node.int("n_supports", 0)).unwrap_or(0);
    let coefficients = node.floats("coefficients").to_vec();
    let rho = *node.floats("rho").first().ok_or_else(|| node.error("it has no `rho`"))?;
    let one_class = node.int("one_class", 0) != 0;
    let vectors = match supports {
        0 => Vectors::read(node, &coefficients, 1, true)?,
        _ => Vectors::read(node, node.floats("support_vectors"), supports, false)?,
    };
    if supports > 0 && coefficients.len() != supports {
        return Err(node.error(format!("{} coefficients for {supports} vectors", coefficients.len())));
    }
    let bytes = vectors.bytes();
    let kernel = Compiled::plain(move |inputs, context| {
        let (rows, values) = vectors.compare(input(inputs, 0)?, context)?;
        let score = |values: &[f32]| {
            let sum = match supports {
                0 => values.iter().map(|one| f64::from(*one)).sum::<f64>(),
                _ => values.iter().zip(&coefficients).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum(),
            };
            let score = (sum + f64::from(rho)) as f32;
            if !one_class {
                score
            } else if score > 0.0 {
                1.0
            } else {
                -1.0
            }
        };
        Ok(vec![Tensor::f32(vec![rows, 1], values.chunks_exact(vectors.count).map(score).collect())])
    })?;
    Ok(Compiled { bytes, ..kernel.predicting() })
}

/// What a classifier of support vectors holds beside them.
struct Votes {
    /// Where each class's vectors begin, and how many they are.
    starts: Vec<(usize, usize)>,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    post: Post,
}

fn classifier(node: &Node<'_>) -> Result<Compiled, Error> {
    let classes = Classes::of(node, "classlabels_strings", "classlabels_ints")?;
    let classes = classes.ok_or_else(|| node.error("it names no classes"))?;
    let count = classes.len();
    let coefficients = node.floats("coefficients").to_vec();
    let rho = node.floats("rho").to_vec();
    let post = Post::of(node)?;
    let mut starts = Vec::new();
    let mut vectors = 0usize;
    for of_class in node.ints("vectors_per_class") {
        let of_class = usize::try_from(*of_class).map_err(|_| node.error("a negative number of vectors"))?;
        starts.push((vectors, of_class));
        vectors = vectors.saturating_add(of_class);
    }
    if vectors == 0 {
        return linear(node, classes, coefficients, rho, post);
    }
    let pairs = count.saturating_mul(count.saturating_sub(1)) / 2;
    let (a, b) = (node.floats("prob_a").to_vec(), node.floats("prob_b").to_vec());
    let sizes = [
        (starts.len() == count && count >= 2, "`vectors_per_class`"),
        (Some(coefficients.len()) == vectors.checked_mul(count.saturating_sub(1)), "`coefficients`"),
        (rho.len() == pairs, "`rho`"),
        (a.len() == b.len() && (a.is_empty() || a.len() == pairs), "`prob_a` and `prob_b`"),
    ];
    if let Some((_, what)) = sizes.iter().find(|(fits, _)| !fits) {
        return Err(node.error(format!("{what} do not fit its {count} classes and {vectors} vectors")));
    }
    let support = Vectors::read(node, node.floats("support_vectors"), vectors, false)?;
    let bytes = support.bytes() + coefficients.len() * size_of::<f32>();
    let votes = Votes { starts, coefficients, rho, a, b, post };
    let told = classes.clone();
    let kernel = Compiled::plain(move |inputs, context| {
        let (rows, values) = support.compare(input(inputs, 0)?, context)?;
        context.charge(rows.saturating_mul(count).saturating_mul(count))?;
        let (mut picked, mut out) = (Vec::with_capacity(rows), Vec::new());
        for values in values.chunks_exact(vectors) {
            picked.push(votes.row(values, count, vectors, &mut out));
        }
        let width = match (votes.a.is_empty(), count) {
            (false, _) | (true, 2) => count,
            (true, _) => pairs,
        };
        Ok(vec![classes.tensor(&picked)?, Tensor::f32(vec![rows, width], out)])
    })?;
    Ok(Compiled { classes: Some(told), bytes, ..kernel.predicting() })
}

impl Votes {
    /// The class with most votes; what is told of the row is appended.
    fn row(&self, values: &[f32], count: usize, vectors: usize, out: &mut Vec<f32>) -> usize {
        let mut scores = Vec::with_capacity(self.rho.len());
        let mut votes = vec![0usize; count];
        for i in 0..count {
            for j in i + 1..count {
                let part = |row: usize, (start, length): (usize, usize)| {
                    let weights = &self.coefficients[row * vectors + start..row * vectors + start + length];
                    // Each product is one of float32.
                    weights
                        .iter()
                        .zip(&values[start..start + length])
                        .map(|(a, b)| f64::from(a * b))
                        .collect::<Vec<_>>()
                };
                let mut sum = 0.0f64;
                part(j - 1, self.starts[i]).into_iter().for_each(|one| sum += one);
                part(i, self.starts[j]).into_iter().for_each(|one| sum += one);
                sum += f64::from(self.rho[scores.len()]);
                scores.push(sum as f32);
                votes[if sum > 0.0 { i } else { j }] += 1;
            }
        }
        let mut best = 0;
        votes.iter().enumerate().for_each(|(at, own)| {
            if *own > votes[best] {
                best = at;
            }
        });
        if !self.a.is_empty() {
            let mut shares = self.shares(&scores, count);
            self.post.write(&mut shares, Second::Absent, out);
            return best;
        }
        let second = match self.post {
            _ if count > 2 => Second::Absent,
            Post::None => Second::Opposite,
            _ => Second::Complement,
        };
        self.post.write(&mut scores, second, out);
        best
    }

    /// Probabilities out of those of each two classes.
    fn shares(&self, scores: &[f32], count: usize) -> Vec<f32> {
        let mut r = vec![0.0f32; count * count];
        let mut at = 0;
        for i in 0..count {
            for j in i + 1..count {
                let share = 1.0 - logistic(scores[at] * self.a[at] + self.b[at]);
                let share = share.clamp(1.0e-7, 1.0 - 1.0e-7);
                r[i * count + j] = share;
                r[j * count + i] = 1.0 - share;
                at += 1;
            }
        }
        coupled(&r, count)
    }
}

/// Wu, Lin and Weng's second method of coupling, in float32 and with the runtime's stop.
fn coupled(r: &[f32], count: usize) -> Vec<f32> {
    let mut q = vec![0.0f32; count * count];
    for i in 0..count {
        for j in 0..count {
            if j != i {
                q[i * count + i] += r[j * count + i] * r[j * count + i];
                q[i * count + j] = -r[j * count + i] * r[i * count + j];
            }
        }
    }
    let mut p = vec![1.0 / count as f32; count];
    let enough = 0.005 / count as f32;
    for _ in 0..100 {
        let mut qp: Vec<f32> =
            (0..count).map(|i| (0..count).fold(0.0, |sum, j| sum + q[i * count + j] * p[j])).collect();
        let mut pqp = (0..count).fold(0.0, |sum, i| sum + p[i] * qp[i]);
        if qp.iter().fold(0.0f32, |largest, one| largest.max((one - pqp).abs())) < enough {
            break;
        }
        for i in 0..count {
            let own = q[i * count + i];
            let step = (-qp[i] + pqp) / own;
            p[i] += step;
            pqp = (pqp + step * (step * own + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
            for j in 0..count {
                qp[j] = (qp[j] + step * q[i * count + j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
    p
}

/// Without vectors it is linear: one row of coefficients a class.
fn linear(
    node: &Node<'_>,
    classes: Classes,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    post: Post,
) -> Result<Compiled, Error> {
    let count = classes.len();
    let rho = *rho.first().ok_or_else(|| node.error("it has no `rho`"))?;
    let positive = coefficients.iter().all(|one| *one >= 0.0);
    let vectors = Vectors::read(node, &coefficients, count, true)?;
    let (told, bytes) = (classes.clone(), vectors.bytes());
    let kernel = Compiled::plain(move |inputs, context| {
        let (rows, mut values) = vectors.compare(input(inputs, 0)?, context)?;
        let (mut picked, mut out) = (Vec::with_capacity(rows), Vec::new());
        for scores in values.chunks_exact_mut(count) {
            scores.iter_mut().for_each(|score| *score += rho);
            let best = super::linear::first_largest(scores);
            let second = count == 2 && (positive && scores[best] >= 0.5 || !positive && scores[best] > 0.0);
            picked.push(if second { 1 } else { best });
            post.write(scores, Second::Absent, &mut out);
        }
        Ok(vec![classes.tensor(&picked)?, Tensor::f32(vec![rows, count], out)])
    })?;
    Ok(Compiled { classes: Some(told), bytes, ..kernel.predicting() })
}
