//! `FactorAnalysis`: what the factors that were learned are expected to be behind a row.

use foretell_pickle::View;

use crate::attributes::feature_names;
use crate::families::shared::kernels::{Held, dot};
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::math::solve;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "factor analysis",
    classes: &[
        ("sklearn.decomposition._factor_analysis", "FactorAnalysis"),
        ("sklearn.decomposition.factor_analysis", "FactorAnalysis"),
    ],
    globals: &[],
    load,
};

/// More factors are an attack on time: a matrix of them is inverted.
const FACTORS: usize = 1 << 10;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let Held { points: components, features, .. } = Held::read(&view.attr("components_")?)?;
    let mean = view.attr("mean_")?.array()?.f64s()?;
    let noise = view.attr("noise_variance_")?.array()?.f64s()?;
    if mean.len() != features || noise.len() != features {
        return Err(Error::counts(view.path(), (mean.len(), "means"), (features, "features")));
    }
    let rows: Vec<&[f64]> = components.chunks_exact(features).collect();
    if rows.len() > FACTORS {
        return Err(Error::Limit { place: view.path(), what: "factors", limit: FACTORS });
    }
    let weights: Vec<Vec<f64>> =
        rows.iter().map(|row| row.iter().zip(&noise).map(|(w, noise)| w / noise).collect()).collect();
    let own = |i: usize, j: usize| f64::from(u8::from(i == j));
    let matrix: Vec<Vec<f64>> = weights
        .iter()
        .enumerate()
        .map(|(i, weights)| rows.iter().enumerate().map(|(j, row)| own(i, j) + dot(weights, row)).collect())
        .collect();
    let Some(spread) = solve::inverse(matrix) else {
        return Err(Error::state(view.path(), "factors that are not independent"));
    };
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let out = numbered("factoranalysis", weights.len(), &sources);
    let finite = Finite::new("FactorAnalysis", &sources, false, false);
    let step = Rows { inner: run::Factors { mean, weights, spread }, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::dot;
    use crate::families::shared::rows::OfRow;

    #[derive(Debug)]
    pub(super) struct Factors {
        pub(super) mean: Vec<f64>,
        /// By factor and feature, the component divided by the feature's noise.
        pub(super) weights: Vec<Vec<f64>>,
        /// By factor and factor.
        pub(super) spread: Vec<Vec<f64>>,
    }

    impl OfRow for Factors {
        fn of_row(&self, row: &[f64], _: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let off: Vec<f64> = row.iter().zip(&self.mean).map(|(x, mean)| x - mean).collect();
            let first: Vec<f64> = self.weights.iter().map(|weights| dot(&off, weights)).collect();
            // From zero on, as there: of products that are all -0 the sum is 0.
            let one =
                |column: usize| first.iter().zip(&self.spread).fold(0.0, |sum, (value, row)| sum + value * row[column]);
            out.extend((0..self.weights.len()).map(one));
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.weights.len()
        }
    }
}
