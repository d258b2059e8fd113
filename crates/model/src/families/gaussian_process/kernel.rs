//! Kernels of Gaussian processes: sums, products and powers of a few simple ones.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "rows of equal lengths; postfix order is made here"
)]

use foretell_pickle::View;

use crate::Error;
use crate::families::shared::kernels::{Held, dot};

/// Kernels inside of kernels: more are an attack.
const KERNELS: usize = 256;

#[derive(Debug, Clone)]
enum Part {
    Constant(f64),
    /// Adds to itself alone.
    White(f64),
    Dot(f64),
    /// By feature, or one for all.
    Rbf(Vec<f64>),
    /// With twice its parameter: 1, 3, 5.
    Matern(Vec<f64>, u8),
    /// Length and exponent.
    Rational(f64, f64),
    /// Length and period.
    Periodic(f64, f64),
    /// Of the two before it.
    Sum,
    Product,
    /// Of the one before it.
    Power(f64),
}

/// A kernel in postfix order: what others are made of stands before them.
#[derive(Debug)]
pub(super) struct Kernel {
    parts: Vec<Part>,
}

/// What is still to be read.
enum Open<'a> {
    Kernel(View<'a>),
    Part(Part),
}

impl Kernel {
    pub(super) fn read(view: &View<'_>, features: usize) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut open = vec![Open::Kernel(view.clone())];
        while let Some(next) = open.pop() {
            let view = match next {
                Open::Part(part) => {
                    parts.push(part);
                    continue;
                }
                Open::Kernel(view) => view,
            };
            if parts.len() + open.len() > KERNELS {
                return Err(Error::Limit { place: view.path(), what: "kernels inside of each other", limit: KERNELS });
            }
            let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
            let number = |name: &str| -> Result<f64, Error> { Ok(view.attr(name)?.as_f64()?) };
            match class.as_str() {
                "Sum" | "Product" => {
                    open.push(Open::Part(if class == "Sum" { Part::Sum } else { Part::Product }));
                    open.push(Open::Kernel(view.attr("k2")?));
                    open.push(Open::Kernel(view.attr("k1")?));
                }
                "Exponentiation" => {
                    open.push(Open::Part(Part::Power(number("exponent")?)));
                    open.push(Open::Kernel(view.attr("kernel")?));
                }
                "ConstantKernel" => parts.push(Part::Constant(number("constant_value")?)),
                "WhiteKernel" => parts.push(Part::White(number("noise_level")?)),
                "DotProduct" => parts.push(Part::Dot(number("sigma_0")?)),
                "RBF" => parts.push(Part::Rbf(scales(&view, features)?)),
                "Matern" => {
                    let nu = number("nu")?;
                    if nu.is_infinite() {
                        parts.push(Part::Rbf(scales(&view, features)?));
                        continue;
                    }
                    let twice = [1u8, 3, 5].into_iter().find(|twice| f64::from(*twice) == 2.0 * nu);
                    let unknown = || Error::unsupported(view.path(), format!("nu={nu}"), "0.5, 1.5, 2.5, inf");
                    parts.push(Part::Matern(scales(&view, features)?, twice.ok_or_else(unknown)?));
                }
                "RationalQuadratic" => parts.push(Part::Rational(number("length_scale")?, number("alpha")?)),
                "ExpSineSquared" => parts.push(Part::Periodic(number("length_scale")?, number("periodicity")?)),
                other => {
                    let supported = "ConstantKernel, WhiteKernel, DotProduct, RBF, Matern, RationalQuadratic, \
                                     ExpSineSquared, Sum, Product, Exponentiation";
                    return Err(Error::unsupported(view.path(), format!("the kernel {other}"), supported));
                }
            }
        }
        Ok(Kernel { parts })
    }

    /// Of two rows; `same` where they are one and the same.
    pub(super) fn of(&self, x: &[f64], y: &[f64], same: bool) -> f64 {
        let mut stack: Vec<f64> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let value = match part {
                Part::Constant(value) => *value,
                Part::White(noise) => {
                    if same {
                        *noise
                    } else {
                        0.0
                    }
                }
                Part::Dot(sigma) => dot(x, y) + sigma * sigma,
                Part::Rbf(scales) => (-0.5 * square(x, y, scales)).exp(),
                Part::Matern(scales, twice) => {
                    let far = square(x, y, scales).sqrt();
                    match twice {
                        1 => (-far).exp(),
                        3 => {
                            let k = far * 3f64.sqrt();
                            (1.0 + k) * (-k).exp()
                        }
                        _ => {
                            let k = far * 5f64.sqrt();
                            (1.0 + k + k * k / 3.0) * (-k).exp()
                        }
                    }
                }
                Part::Rational(length, alpha) => {
                    (1.0 + square(x, y, &[1.0]) / (2.0 * alpha * (length * length))).powf(-alpha)
                }
                Part::Periodic(length, period) => {
                    let wave = (std::f64::consts::PI / period * square(x, y, &[1.0]).sqrt()).sin() / length;
                    (-2.0 * (wave * wave)).exp()
                }
                Part::Sum | Part::Product => {
                    let (b, a) = (stack.pop().unwrap_or(0.0), stack.pop().unwrap_or(0.0));
                    if matches!(part, Part::Sum) { a + b } else { a * b }
                }
                Part::Power(exponent) => stack.pop().unwrap_or(0.0).powf(*exponent),
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(0.0)
    }

    /// With each row of a training.
    pub(super) fn row(&self, x: &[f64], training: &Held) -> Vec<f64> {
        training.points.chunks_exact(training.features).map(|point| self.of(x, point, false)).collect()
    }
}

/// The sum of squares, each feature divided by its scale.
fn square(x: &[f64], y: &[f64], scales: &[f64]) -> f64 {
    let scale = |at: usize| scales[at.min(scales.len() - 1)];
    x.iter().zip(y).enumerate().map(|(at, (x, y))| x / scale(at) - y / scale(at)).map(|off| off * off).sum()
}

/// One length for all features or one for each.
fn scales(view: &View<'_>, features: usize) -> Result<Vec<f64>, Error> {
    let found = view.attr("length_scale")?;
    let all = match found.array() {
        Ok(array) => array.f64s()?,
        Err(_) => match found.items() {
            Ok(items) => items.iter().map(View::as_f64).collect::<Result<_, _>>()?,
            Err(_) => vec![found.as_f64()?],
        },
    };
    if all.len() != 1 && all.len() != features {
        return Err(Error::counts(view.path(), (all.len(), "length scales"), (features, "features")));
    }
    Ok(all)
}
