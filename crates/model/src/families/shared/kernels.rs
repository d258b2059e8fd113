//! The kernels of `sklearn.metrics.pairwise`, of one row with each row of a training.
//!
//! Products and squares run over the features in order; the library's go through BLAS: within 1e-12 of the terms.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "rows of equal lengths")]

use foretell_pickle::{ArrayView, Kind, View};

use crate::Error;
use crate::attributes::{some_attr, version};
use crate::families::shared::sparse::{SparseRow, sparse_rows};
use crate::matrix::round;

#[derive(Debug, Clone, Copy)]
pub(in crate::families) enum Kernel {
    Linear,
    Rbf {
        gamma: f64,
    },
    Poly {
        gamma: f64,
        coef0: f64,
        degree: f64,
    },
    Sigmoid {
        gamma: f64,
        coef0: f64,
    },
    Laplacian {
        gamma: f64,
    },
    Cosine {
        /// Rows that are shorter are taken as they are.
        least: f64,
    },
    /// The negative one of sums.
    AdditiveChi2,
    Chi2 {
        gamma: f64,
    },
}

/// What a kernel's parameters are where the estimator does not say.
#[derive(Debug, Clone, Copy)]
pub(in crate::families) struct Parameters {
    pub(in crate::families) gamma: Option<f64>,
    pub(in crate::families) coef0: f64,
    pub(in crate::families) degree: f64,
}

impl Parameters {
    /// The attributes of these names.
    pub(in crate::families) fn read(view: &View<'_>) -> Result<Self, Error> {
        let number = |name: &str| -> Result<Option<f64>, Error> {
            Ok(some_attr(view, name)?.map(|value| value.as_f64()).transpose()?)
        };
        let gamma = match number("gamma_")? {
            Some(gamma) => Some(gamma),
            None => number("gamma")?,
        };
        Ok(Parameters { gamma, coef0: number("coef0")?.unwrap_or(1.0), degree: number("degree")?.unwrap_or(3.0) })
    }
}

const SUPPORTED: &str = "linear, rbf, poly, polynomial, sigmoid, laplacian, cosine, additive_chi2, chi2";

impl Kernel {
    /// The kernel of a name.
    pub(in crate::families) fn read(
        view: &View<'_>,
        name: &str,
        parameters: Parameters,
        features: usize,
    ) -> Result<Self, Error> {
        let kernel = view.attr(name)?;
        let Parameters { gamma, coef0, degree } = parameters;
        let scaled = gamma.unwrap_or(1.0 / features as f64);
        Ok(match kernel.as_str().unwrap_or("a function") {
            "linear" => Kernel::Linear,
            "rbf" => Kernel::Rbf { gamma: scaled },
            "poly" | "polynomial" => Kernel::Poly { gamma: scaled, coef0, degree },
            "sigmoid" => Kernel::Sigmoid { gamma: scaled, coef0 },
            "laplacian" => Kernel::Laplacian { gamma: scaled },
            "cosine" => Kernel::Cosine { least: least_length(view)? },
            "additive_chi2" => Kernel::AdditiveChi2,
            "chi2" => Kernel::Chi2 { gamma: gamma.unwrap_or(1.0) },
            other => return Err(Error::unsupported(kernel.path(), format!("the kernel {other}"), SUPPORTED)),
        })
    }

    /// Whether it is float32 of rows in float32: a sum of absolute differences is float64 always.
    pub(in crate::families) fn narrows(self) -> bool {
        !matches!(self, Kernel::Laplacian { .. })
    }

    /// Of two rows, for [`Kernel::Cosine`] the first of length 1; or why the library raises.
    fn of(self, x: &[f64], y: &[f64], narrow: bool) -> Result<f64, &'static str> {
        let pairs = || x.iter().zip(y);
        let product = || round(dot(x, y), narrow);
        Ok(match self {
            Kernel::Linear => product(),
            Kernel::Rbf { gamma } => (-gamma * pairs().map(|(x, y)| (x - y) * (x - y)).sum::<f64>()).exp(),
            Kernel::Poly { gamma, coef0, degree } => (gamma * product() + coef0).powf(degree),
            Kernel::Sigmoid { gamma, coef0 } => (gamma * product() + coef0).tanh(),
            Kernel::Laplacian { gamma } => (-gamma * pairs().map(|(x, y)| (x - y).abs()).sum::<f64>()).exp(),
            Kernel::Cosine { least } => {
                let length = length(y, least, narrow);
                pairs().fold(0.0, |sum, (x, y)| sum + x * round(y / length, narrow))
            }
            Kernel::AdditiveChi2 | Kernel::Chi2 { .. } => {
                if x.iter().any(|value| *value < 0.0) {
                    return Err("a number below 0");
                }
                let part = |(x, y): (&f64, &f64)| {
                    let sum = x + y;
                    if sum == 0.0 { 0.0 } else { (x - y) * (x - y) / sum }
                };
                let sum = -pairs().map(part).sum::<f64>();
                if let Kernel::Chi2 { gamma } = self { (gamma * sum).exp() } else { sum }
            }
        })
    }

    /// With each row of a training. `narrow` tells that the row is float32: the library's products are, too, where the
    /// training is.
    pub(in crate::families) fn row(self, x: &[f64], training: &Held, narrow: bool) -> Result<Vec<f64>, &'static str> {
        let narrow = narrow && training.narrow && self.narrows();
        let turned: Vec<f64>;
        let (x, of_sparse) = match self {
            Kernel::Cosine { least } => {
                let length = length(x, least, narrow);
                turned = x.iter().map(|value| round(value / length, narrow)).collect();
                (turned.as_slice(), Kernel::Cosine { least: 0.0 })
            }
            _ => (x, self),
        };
        let dense = training.points.chunks_exact(training.features).map(|point| self.of(x, point, narrow));
        let mut point = vec![0.0; training.features];
        let sparse = training.sparse.iter().map(|entries| {
            point.fill(0.0);
            for (column, value) in entries {
                if let Some(place) = point.get_mut(*column) {
                    *place += value;
                }
            }
            of_sparse.of(x, &point, narrow)
        });
        dense.chain(sparse).map(|kernel| Ok(round(kernel?, narrow))).collect()
    }
}

/// The length of a row, or 1 of one that is shorter than `least`, which is of float64.
fn length(row: &[f64], least: f64, narrow: bool) -> f64 {
    let sum = row.iter().fold(0.0, |sum, value| sum + round(value * value, narrow));
    let length = round(round(sum, narrow).sqrt(), narrow);
    let least = if narrow { least / f64::EPSILON * f64::from(f32::EPSILON) } else { least };
    if length == 0.0 || length < least { 1.0 } else { length }
}

/// From which length on a row of float64 is scaled: from scikit-learn 1.0 on it leaves those alone that are next to 0.
fn least_length(view: &View<'_>) -> Result<f64, Error> {
    let spares_tiny = version(view)?.is_some_and(|version| version >= (1, 0));
    Ok(if spares_tiny { 10.0 * f64::EPSILON } else { 0.0 })
}

/// Rows that an estimator keeps, one after the other.
#[derive(Debug)]
pub(in crate::families) struct Held {
    pub(in crate::families) points: Vec<f64>,
    pub(in crate::families) features: usize,
    /// Whether they are float32.
    pub(in crate::families) narrow: bool,
    /// The rows, where they are a sparse table: then `points` has none.
    sparse: Vec<SparseRow>,
}

impl Held {
    /// A table of floats.
    pub(in crate::families) fn read(view: &View<'_>) -> Result<Self, Error> {
        let Ok(array) = view.array() else {
            return Err(Error::unsupported(view.path(), "a sparse training table", "a dense one"));
        };
        let [rows, features] = array.dims()?;
        if rows == 0 || features == 0 {
            return Err(Error::state(view.path(), format!("{rows} rows of {features} features")));
        }
        let narrow = array.dtype().kind == Kind::Float && array.dtype().size == 4;
        Ok(Held { points: array.f64s()?, features, narrow, sparse: Vec::new() })
    }

    /// The same, also where they are a sparse table: for [`Kernel::row`] alone.
    pub(in crate::families) fn read_any(view: &View<'_>) -> Result<Self, Error> {
        if view.array().is_ok() {
            return Held::read(view);
        }
        let (sparse, features) = sparse_rows(view)?;
        if sparse.is_empty() || features == 0 {
            return Err(Error::state(view.path(), format!("{} rows of {features} features", sparse.len())));
        }
        Ok(Held { points: Vec::new(), features, narrow: false, sparse })
    }

    /// About how many bytes they take.
    pub(in crate::families) fn bytes(&self) -> usize {
        let stored = self.sparse.iter().map(Vec::len).sum::<usize>();
        self.points.len().saturating_mul(8).saturating_add(stored.saturating_mul(16))
    }

    pub(in crate::families) fn count(&self) -> usize {
        (self.points.len() / self.features).saturating_add(self.sparse.len())
    }
}

/// Numbers of a table that has as many rows as a training: by column.
pub(in crate::families) fn weights(view: &View<'_>, rows: usize) -> Result<Vec<Vec<f64>>, Error> {
    let array = view.array()?;
    let width = match *array.shape() {
        [count] if count == rows => 1,
        [count, width] if count == rows && width > 0 => width,
        _ => return Err(Error::state(view.path(), format!("of other rows than the {rows} of training"))),
    };
    let all = array.f64s()?;
    Ok((0..width).map(|column| all.iter().skip(column).step_by(width).copied().collect()).collect())
}

/// What a `KernelPCA` puts a row's kernels to.
pub(in crate::families) struct Projection {
    /// By axis, a weight for each row of training.
    pub(in crate::families) axes: Vec<Vec<f64>>,
    /// The mean kernel of each row of training, and of all of them.
    pub(in crate::families) rows: Vec<f64>,
    pub(in crate::families) all: f64,
}

/// The projection of a fitted `KernelPCA` over so many rows. Axes that were found in float32 are scaled in it.
pub(in crate::families) fn projection(view: &View<'_>, count: usize) -> Result<Projection, Error> {
    let either = |new: &str, old: &str| match some_attr(view, new)? {
        Some(found) => Ok(found),
        None => view.attr(old).map_err(Error::from),
    };
    let (vectors, values) = (either("eigenvectors_", "alphas_")?, either("eigenvalues_", "lambdas_")?.array()?);
    let is_narrow = |array: &ArrayView<'_>| array.dtype().kind == Kind::Float && array.dtype().size == 4;
    let (narrow, narrow_values) = (is_narrow(&vectors.array()?), is_narrow(&values));
    let mut axes = weights(&vectors, count)?;
    let values = values.f64s()?;
    if values.len() != axes.len() {
        return Err(Error::counts(view.path(), (values.len(), "eigenvalues"), (axes.len(), "eigenvectors")));
    }
    for (axis, value) in axes.iter_mut().zip(values) {
        let scale = if value == 0.0 { f64::INFINITY } else { round(value.sqrt(), narrow_values) };
        axis.iter_mut().for_each(|weight| *weight = round(*weight / scale, narrow));
    }
    let centerer = view.attr("_centerer")?;
    let rows = centerer.attr("K_fit_rows_")?.array()?.f64s()?;
    if rows.len() != count {
        return Err(Error::counts(centerer.path(), (rows.len(), "means"), (count, "rows")));
    }
    Ok(Projection { axes, rows, all: centerer.attr("K_fit_all_")?.as_f64()? })
}

/// The sum of products, from 0 on: of products that are all -0 it is 0, as BLAS has it.
pub(in crate::families) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}
