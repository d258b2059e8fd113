//! What operators of `ai.onnx.ml` make of scores (`post_transform`), in float32 as the runtime does.

use super::super::proto::Node;
use crate::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Post {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

/// The second score of two classes of which one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    /// One minus the other.
    Complement,
    /// The other with its sign changed, before what follows.
    Opposite,
    /// None is added.
    Absent,
}

impl Post {
    pub(super) fn of(node: &Node<'_>) -> Result<Post, Error> {
        Ok(match node.text("post_transform")?.unwrap_or("NONE") {
            "NONE" => Post::None,
            "LOGISTIC" => Post::Logistic,
            "SOFTMAX" => Post::Softmax,
            "SOFTMAX_ZERO" => Post::SoftmaxZero,
            "PROBIT" => Post::Probit,
            other => {
                let known = "NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO, PROBIT";
                return Err(Error::unsupported(node.place.clone(), format!("post_transform='{other}'"), known));
            }
        })
    }

    /// Appends what becomes of one row's scores.
    pub(super) fn write(self, scores: &mut [f32], second: Second, out: &mut Vec<f32>) {
        if let [score] = scores {
            let score = *score;
            match (self, second) {
                (Post::Probit, _) => out.push(probit(score)),
                (Post::Logistic, Second::Complement | Second::Opposite) => {
                    out.extend([logistic(-score), logistic(score)])
                }
                (_, Second::Complement) => out.extend([1.0 - score, score]),
                (_, Second::Opposite) => out.extend([-score, score]),
                (_, Second::Absent) => out.push(score),
            }
            return;
        }
        match self {
            Post::None => {}
            Post::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Post::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
            Post::Softmax => softmax(scores, false),
            Post::SoftmaxZero => softmax(scores, true),
        }
        out.extend_from_slice(scores);
    }
}

pub(super) fn logistic(x: f32) -> f32 {
    let share = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - share } else { share }
}

/// The runtime's approximation, constants included.
fn probit(share: f32) -> f32 {
    let x = 2.0 * share - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (314_159.0_f32 / 100_000.0 * 0.147) + 0.5 * log;
    let w = 1.0 / 0.147_f32 * log;
    std::f32::consts::SQRT_2 * (sign * (-v + (v * v - w).sqrt()).sqrt())
}

/// Shares of one; where `zero`, what is nearly 0 stays so.
fn softmax(scores: &mut [f32], zero: bool) {
    let largest = scores.iter().copied().fold(f32::MIN, |a, b| if b > a { b } else { a });
    let of_zero = (-largest).exp();
    let mut sum = 0.0f32;
    for score in scores.iter_mut() {
        if zero && score.abs() <= 0.000_000_1 {
            *score *= of_zero;
        } else {
            *score = (*score - largest).exp();
            sum += *score;
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}
