//! `KernelDensity`: the logarithm of a density, from the distances to all rows of the training.
//!
//! The library walks a tree and may stop where the rest is smaller than `atol` and `rtol` allow; here all rows are added up.

use foretell_pickle::{Entry, View};

use crate::attributes::{feature_names, some_attr};
use crate::families::shared::kernels::Held;
use crate::families::shared::near;
use crate::families::shared::rows::{Rows, number};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "kernel densities",
    classes: &[("sklearn.neighbors._kde", "KernelDensity"), ("sklearn.neighbors.kde", "KernelDensity")],
    globals: GLOBALS,
    load,
};

const GLOBALS: &[Entry] = near::ENTRIES;

/// Where a tree's state has the weights of its rows.
const WEIGHTS: usize = 12;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if some_attr(view, "metric_params")?.is_some_and(|given| given.pairs().is_ok_and(|pairs| !pairs.is_empty())) {
        return Err(Error::unsupported(view.path(), "parameters of the metric", "metric_params=None"));
    }
    let metric = near::metric(view)?;
    let state = view.attr("tree_")?.state()?;
    let training = Held::read(&state.item(0)?)?;
    let weights = match state.item(WEIGHTS).ok().and_then(View::some) {
        Some(weights) => Some(weights.array()?.f64s()?).filter(|all| !all.is_empty()),
        None => None,
    };
    if weights.as_ref().is_some_and(|weights| weights.len() != training.count()) {
        return Err(Error::state(view.path(), "the weights are not those of the training's rows"));
    }
    let bandwidth = match some_attr(view, "bandwidth_")? {
        Some(bandwidth) => bandwidth.as_f64()?,
        None => view.attr("bandwidth")?.as_f64()?,
    };
    if bandwidth.is_nan() || bandwidth <= 0.0 {
        return Err(Error::state(view.path(), format!("a bandwidth of {bandwidth}")));
    }
    let kernel = view.attr("kernel")?;
    let shape = match kernel.as_str()? {
        "gaussian" => run::Shape::Gaussian,
        "tophat" => run::Shape::Tophat,
        "epanechnikov" => run::Shape::Epanechnikov,
        "exponential" => run::Shape::Exponential,
        "linear" => run::Shape::Linear,
        "cosine" => run::Shape::Cosine,
        other => {
            let supported = "gaussian, tophat, epanechnikov, exponential, linear, cosine";
            return Err(Error::unsupported(kernel.path(), format!("the kernel {other}"), supported));
        }
    };
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.points.len().saturating_mul(8));
    let finite = Finite::new("KernelDensity", &sources, false, false);
    let norm = shape.norm(training.features, bandwidth);
    let inner = run::Density { training, weights, metric, shape, bandwidth, norm };
    let targets = Targets { samples: number("score"), ..Targets::default() };
    let step = Rows { inner, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, PI};

    use crate::Method;
    use crate::families::shared::kernels::Held;
    use crate::families::shared::near::Metric;
    use crate::families::shared::rows::OfRow;

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Shape {
        Gaussian,
        Tophat,
        Epanechnikov,
        Exponential,
        Linear,
        Cosine,
    }

    /// The logarithm of the gamma function of half a whole number.
    fn log_gamma_of_half(halves: usize) -> f64 {
        let start = if halves.is_multiple_of(2) { 0.0 } else { 0.5 * PI.ln() };
        let first = if halves.is_multiple_of(2) { 2 } else { 1 };
        (first..halves).step_by(2).fold(start, |sum, half| sum + (half as f64 / 2.0).ln())
    }

    /// The logarithm of the volume of a ball.
    fn log_volume(dimensions: usize) -> f64 {
        0.5 * dimensions as f64 * PI.ln() - log_gamma_of_half(dimensions + 2)
    }

    /// The logarithm of the surface of a ball of one dimension more.
    fn log_surface(dimensions: usize) -> f64 {
        // Of the ball in one dimension the surface is two points.
        if dimensions == 0 { 2f64.ln() } else { (2.0 * PI).ln() + log_volume(dimensions - 1) }
    }

    impl Shape {
        /// What the density of one row is less than its kernel, as a logarithm.
        pub(super) fn norm(self, dimensions: usize, bandwidth: f64) -> f64 {
            let size = dimensions as f64;
            let factor = match self {
                Shape::Gaussian => 0.5 * size * (2.0 * PI).ln(),
                Shape::Tophat => log_volume(dimensions),
                Shape::Epanechnikov => log_volume(dimensions) + (2.0 / (size + 2.0)).ln(),
                Shape::Exponential => log_surface(dimensions - 1) + log_gamma_of_half(2 * dimensions),
                Shape::Linear => log_volume(dimensions) - (size + 1.0).ln(),
                Shape::Cosine => {
                    let (mut factor, mut part) = (0.0, FRAC_2_PI);
                    for k in (1..=dimensions).step_by(2) {
                        factor += part;
                        let k = k as f64;
                        part *= -(size - k) * (size - k - 1.0) * FRAC_2_PI * FRAC_2_PI;
                    }
                    f64::ln(factor) + log_surface(dimensions - 1)
                }
            };
            -factor - size * bandwidth.ln()
        }

        /// The logarithm of the kernel at a distance.
        fn at(self, distance: f64, bandwidth: f64) -> f64 {
            match self {
                Shape::Gaussian => -0.5 * (distance * distance) / (bandwidth * bandwidth),
                Shape::Exponential => -distance / bandwidth,
                _ if distance >= bandwidth || distance.is_nan() => f64::NEG_INFINITY,
                Shape::Tophat => 0.0,
                Shape::Epanechnikov => (1.0 - (distance * distance) / (bandwidth * bandwidth)).ln(),
                Shape::Linear => (1.0 - distance / bandwidth).ln(),
                Shape::Cosine => (FRAC_PI_2 * distance / bandwidth).cos().ln(),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Density {
        pub(super) training: Held,
        pub(super) weights: Option<Vec<f64>>,
        pub(super) metric: Metric,
        pub(super) shape: Shape,
        pub(super) bandwidth: f64,
        pub(super) norm: f64,
    }

    impl OfRow for Density {
        fn of_row(&self, row: &[f64], _: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let points = self.training.points.chunks_exact(self.training.features);
            let mut all: Vec<f64> = points
                .map(|point| self.shape.at(self.metric.distance(self.metric.between(row, point)), self.bandwidth))
                .collect();
            let mut total = all.len() as f64;
            if let Some(weights) = &self.weights {
                all.iter_mut().zip(weights).for_each(|(one, weight)| *one += weight.ln());
                total = weights.iter().sum();
            }
            let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = all.iter().map(|one| (one - largest).exp()).sum();
            let log = if largest == f64::NEG_INFINITY { largest } else { largest + sum.ln() };
            out.push(log + self.norm - total.ln());
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            1
        }
    }
}
