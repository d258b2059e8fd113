//! `SplineTransformer`: the B-splines of each feature, by de Boor's recursion in scipy's order of operations.

use foretell_pickle::{Entry, View};

use crate::attributes::{feature_names, flag, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "SplineTransformer",
    classes: &[("sklearn.preprocessing._polynomial", "SplineTransformer")],
    globals: &[
        Entry::class("scipy.interpolate._bsplines", "BSpline"),
        Entry::inert("scipy._lib.array_api_compat.numpy._aliases", "asarray"),
        Entry::inert("scipy._external.array_api_compat.numpy._aliases", "asarray"),
    ],
    load,
};

/// Polynomials of a higher degree are not splines.
const DEGREE: usize = 32;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let splines = view.attr("bsplines_")?.items()?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, splines.len(), names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let beyond = match word(view, "extrapolation", "constant")? {
        "error" => run::Beyond::Refuse,
        "constant" => run::Beyond::Constant,
        "linear" => run::Beyond::Linear,
        "continue" => run::Beyond::Continue,
        "periodic" => run::Beyond::Periodic,
        other => {
            let supported = "error, constant, linear, continue, periodic";
            return Err(Error::unsupported(view.path(), format!("extrapolation={other}"), supported));
        }
    };
    let bias = flag(view, "include_bias", true)?;
    let mut all = Vec::with_capacity(splines.len());
    let mut out = Vec::new();
    let mut edge = None;
    for (spline, source) in splines.iter().zip(&sources) {
        let spline = read(spline, beyond, edge)?;
        edge = Some(spline.ends);
        loader.hold(spline.bytes());
        let width = if bias { spline.width } else { spline.width.saturating_sub(1) };
        out.extend(
            (0..width)
                .map(|index| Source { label: format!("{}_sp_{index}", source.label), ..source.clone().changed() }),
        );
        all.push(spline);
    }
    let zeros = word(view, "handle_missing", "error")? == "zeros";
    let sparse = flag(view, "sparse_output", false)?;
    let finite = Finite::new("SplineTransformer", &sources, zeros, false);
    let step = run::Splines { splines: all, beyond, bias, zeros, sparse, width: out.len(), finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// An attribute of a `BSpline`: scipy keeps them with an underscore from 1.15 on.
pub(super) fn either<'v>(view: &View<'v>, new: &str, old: &str) -> Result<View<'v>, Error> {
    match view.get_attr(new)? {
        Some(found) => Ok(found),
        None => Ok(view.attr(old)?),
    }
}

/// The degree of a `BSpline`.
pub(super) fn degree_of(view: &View<'_>) -> Result<usize, Error> {
    let degree = view.attr("k")?.as_usize()?;
    if degree > DEGREE {
        return Err(Error::unsupported(view.path(), format!("splines of degree {degree}"), format!("0 to {DEGREE}")));
    }
    Ok(degree)
}

/// `edge` is what the feature before left of the degree: scikit-learn adds 1 to it for straight lines on both sides of
/// splines of degree 1, and counts the edges of all further features with that.
fn read(view: &View<'_>, beyond: run::Beyond, edge: Option<usize>) -> Result<run::Spline, Error> {
    let knots = either(view, "_t", "t")?.array()?.f64s()?;
    let coefficients = either(view, "_c", "c")?.array()?;
    let [count, width] = coefficients.dims()?;
    let degree = degree_of(view)?;
    if degree == 0 && beyond == run::Beyond::Constant {
        return Err(Error::unsupported(view.path(), "splines of degree 0", format!("1 to {DEGREE}")));
    }
    // Around a period a few splines may follow each other more than once.
    let narrow = if beyond == run::Beyond::Periodic { width == 0 } else { width <= degree };
    let needed = count.checked_add(degree).and_then(|sum| sum.checked_add(1));
    if needed != Some(knots.len()) || count <= degree || narrow || !knots.windows(2).all(ascends) {
        let message = format!("{} knots for {count} coefficients of degree {degree}", knots.len());
        return Err(Error::state(view.path(), message));
    }
    let sorted = knots.is_sorted();
    let edge = edge.unwrap_or(degree);
    let ends = if beyond == run::Beyond::Linear && edge <= 1 { edge.saturating_add(1) } else { edge };
    let upper = knots.len().checked_sub(edge).and_then(|at| at.checked_sub(1)).and_then(|at| knots.get(at));
    let (Some(low), Some(high)) = (knots.get(edge), upper) else {
        return Err(Error::state(view.path(), format!("{} knots, and an edge at {edge}", knots.len())));
    };
    let range = (*low, *high);
    Ok(run::Spline { knots, coefficients: coefficients.f64s()?, width, degree, range, ends, sorted })
}

/// Whether the second of two knots is not below the first by more than rounding: the knots of a period are moved by its
/// length, which may put one of two equal knots before the other.
fn ascends(pair: &[f64]) -> bool {
    /// A few units in the last place of the larger.
    const ROUNDING: f64 = 8.0 * f64::EPSILON;
    match *pair {
        [low, high] => low <= high || low - high <= ROUNDING * low.abs().max(high.abs()),
        _ => true,
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
pub(super) mod run {
    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix, round};
    use crate::step::{Run, Transform};

    /// What holds beyond the outer knots.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Beyond {
        Refuse,
        Constant,
        Linear,
        Continue,
        Periodic,
    }

    #[derive(Debug)]
    pub(in crate::families) struct Spline {
        pub(in crate::families) knots: Vec<f64>,
        /// By basis function, `width` numbers each.
        pub(in crate::families) coefficients: Vec<f64>,
        pub(in crate::families) width: usize,
        pub(in crate::families) degree: usize,
        /// Between which knots the splines themselves are asked.
        pub(in crate::families) range: (f64, f64),
        /// How many splines on each side go on beyond.
        pub(in crate::families) ends: usize,
        /// Whether the knots ascend, without a step back by rounding.
        pub(in crate::families) sorted: bool,
    }

    impl Spline {
        pub(in crate::families) fn bytes(&self) -> usize {
            (self.knots.len() + self.coefficients.len()) * 8
        }

        /// The values at `x`, or their first derivatives; the outermost polynomials go on for ever.
        pub(in crate::families) fn at(&self, x: f64, derivative: bool, out: &mut [f64]) {
            let (degree, knots) = (self.degree, &self.knots);
            let last = knots.len() - degree - 2;
            let interval = if self.sorted {
                let after = knots[..=last].partition_point(|knot| *knot <= x);
                after.saturating_sub(1).clamp(degree, last)
            } else {
                // scipy goes up from the first interval.
                degree + knots[degree + 1..=last].iter().take_while(|knot| **knot <= x).count()
            };
            let mut basis = vec![0.0; degree + 1];
            basis[0] = 1.0;
            for order in 1..=degree {
                let before = basis.clone();
                basis[0] = 0.0;
                for index in 1..=order {
                    let upper = knots[interval + index];
                    let lower = knots[interval + index - order];
                    if upper == lower {
                        basis[index] = 0.0;
                    } else if derivative && order == degree {
                        let slope = order as f64 * before[index - 1] / (upper - lower);
                        basis[index - 1] -= slope;
                        basis[index] = slope;
                    } else {
                        let weight = before[index - 1] / (upper - lower);
                        basis[index - 1] += weight * (upper - x);
                        basis[index] = weight * (x - lower);
                    }
                }
            }
            if derivative && degree == 0 {
                basis[0] = 0.0;
            }
            out.fill(0.0);
            for (index, value) in basis.iter().enumerate() {
                let start = (interval + index - degree) * self.width;
                let coefficients = &self.coefficients[start..start + self.width];
                out.iter_mut().zip(coefficients).for_each(|(out, coefficient)| *out += coefficient * value);
            }
        }

        fn value(&self, x: f64, beyond: Beyond, out: &mut [f64]) {
            let (low, high) = self.range;
            let outside = x < low || x > high;
            match beyond {
                Beyond::Periodic if high - low > 0.0 => self.at(low + modulo(x - low, high - low), false, out),
                Beyond::Periodic => self.at(0.0, false, out),
                Beyond::Constant if outside => {
                    let mut edge = vec![0.0; self.width];
                    self.at(if x < low { low } else { high }, false, &mut edge);
                    out.fill(0.0);
                    let start = if x < low { 0 } else { self.width - self.degree };
                    out[start..start + self.degree].copy_from_slice(&edge[start..start + self.degree]);
                }
                Beyond::Linear if outside => {
                    out.fill(0.0);
                    let (mut edge, mut slope) = (vec![0.0; self.width], vec![0.0; self.width]);
                    // With two knots the edges can have changed places; the upper one has the last word.
                    for (near, beyond, below) in [(low, x < low, true), (high, x > high, false)] {
                        if !beyond {
                            continue;
                        }
                        self.at(near, false, &mut edge);
                        self.at(near, true, &mut slope);
                        for step in 0..self.ends.min(self.width) {
                            let place = if below { step } else { self.width - 1 - step };
                            out[place] = edge[place] + (x - near) * slope[place];
                        }
                    }
                }
                _ => self.at(x, false, out),
            }
        }
    }

    /// Python's remainder: it has the sign of the divisor.
    pub(in crate::families) fn modulo(x: f64, by: f64) -> f64 {
        let rest = x % by;
        if rest < 0.0 { rest + by } else { rest.abs() }
    }

    #[derive(Debug)]
    pub(super) struct Splines {
        pub(super) splines: Vec<Spline>,
        pub(super) beyond: Beyond,
        /// Whether the last spline of each feature is an output.
        pub(super) bias: bool,
        /// Whether a missing value becomes zeros.
        pub(super) zeros: bool,
        pub(super) sparse: bool,
        pub(super) width: usize,
        pub(super) finite: Finite,
    }

    impl Transform for Splines {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            self.finite.check(&x, run);
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, "SplineTransformer", None, "a sparse table");
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let mut out = Dense::zeros(rows, self.width);
            out.narrow = x.narrow;
            let mut first = 0;
            for (col, spline) in self.splines.iter().enumerate() {
                let (low, high) = spline.range;
                let width = if self.bias { spline.width } else { spline.width - 1 };
                let mut values = vec![0.0; spline.width];
                for (row, value) in x.column(col).iter().enumerate() {
                    if value.is_nan() && self.zeros {
                        continue;
                    }
                    if self.beyond == Beyond::Refuse && (*value < low || *value > high) {
                        run.refuse(row, "SplineTransformer", Some(&self.finite.labels[col]), "beyond the knots");
                        continue;
                    }
                    spline.value(*value, self.beyond, &mut values);
                    for (place, value) in values.iter().take(width).enumerate() {
                        out.data[(first + place) * rows + row] = round(*value, x.narrow);
                    }
                }
                first += width;
            }
            if !self.sparse {
                return Matrix::Dense(out);
            }
            let mut csr = Csr::empty(self.width, rows);
            csr.narrow = out.narrow;
            for row in 0..rows {
                let value = |col: usize| out.data[col * rows + row];
                (0..self.width).filter(|col| value(*col) != 0.0).for_each(|col| csr.push(col as u32, value(col)));
                csr.end_row();
            }
            Matrix::Csr(csr)
        }
    }
}
