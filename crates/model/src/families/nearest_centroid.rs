//! `NearestCentroid`: the class whose centre is nearest; from 1.6 on with probabilities.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{self, feature_names, some_attr, word};
use crate::families::shared::kernels::Held;
use crate::families::shared::rows::Rows;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets, decisions};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "nearest centroids",
    classes: &[
        ("sklearn.neighbors._nearest_centroid", "NearestCentroid"),
        ("sklearn.neighbors.nearest_centroid", "NearestCentroid"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let by_squares = match word(view, "metric", "euclidean").unwrap_or("a function") {
        "euclidean" => true,
        "manhattan" => false,
        other => {
            return Err(Error::unsupported(view.path(), format!("the metric {other}"), "euclidean, manhattan"));
        }
    };
    let centres = Held::read(&view.attr("centroids_")?)?;
    let labels = attributes::labels(&view.attr("classes_")?)?;
    if labels.len() != centres.count() {
        return Err(Error::counts(view.path(), (centres.count(), "centres"), (labels.len(), "classes")));
    }
    let mut targets = Targets::classes(vec![labels.clone()], DataType::Float64);
    let priors = match some_attr(view, "class_prior_")? {
        Some(priors) => {
            let shares = priors.array()?.f64s()?;
            let deviations = view.attr("within_class_std_dev_")?.array()?.f64s()?;
            if shares.len() != labels.len() || deviations.len() != centres.features {
                return Err(Error::counts(view.path(), (shares.len(), "shares"), (labels.len(), "classes")));
            }
            targets.decision = decisions(&labels);
            let even = 1.0 / labels.len() as f64;
            // As near as numpy's `isclose` has it.
            let are_even = shares.iter().all(|share| (share - even).abs() <= 1e-8 + 1e-5 * even);
            Some(run::Priors { logarithms: shares.into_iter().map(f64::ln).collect(), deviations, are_even })
        }
        None => None,
    };
    if priors.is_none() || !by_squares {
        targets.proba.clear();
        targets.decision.clear();
    }
    let sources = loader.sources(view, given, centres.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(centres.points.len().saturating_mul(8));
    let finite = Finite::new("NearestCentroid", &sources, false, false);
    let step = Rows { inner: run::Centres { centres, by_squares, priors }, finite, takes_sparse: true };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::Held;
    use crate::families::shared::rows::{OfRow, largest};
    use crate::math::scores::pairwise_sum;

    #[derive(Debug)]
    pub(super) struct Priors {
        /// Of each class's share.
        pub(super) logarithms: Vec<f64>,
        /// By feature, within the classes.
        pub(super) deviations: Vec<f64>,
        /// Whether the shares are so even that the nearest centre decides alone.
        pub(super) are_even: bool,
    }

    #[derive(Debug)]
    pub(super) struct Centres {
        pub(super) centres: Held,
        pub(super) by_squares: bool,
        pub(super) priors: Option<Priors>,
    }

    impl Centres {
        fn distance(&self, pairs: impl Iterator<Item = f64>) -> f64 {
            if self.by_squares { pairs.map(|one| one * one).sum() } else { pairs.map(f64::abs).sum() }
        }

        /// By class, the score that its prior share and its distance make.
        fn scores(&self, row: &[f64], priors: &Priors) -> Vec<f64> {
            let scaled = |value: f64, deviation: f64| if deviation == 0.0 { value } else { value / deviation };
            let score = |(centre, logarithm): (&[f64], &f64)| {
                let pairs = row.iter().zip(centre).zip(&priors.deviations);
                let distance = self.distance(pairs.map(|((x, c), d)| scaled(*x, *d) - scaled(*c, *d)));
                // A distance of absolute differences is squared.
                let square = if self.by_squares { distance } else { distance * distance };
                2.0 * logarithm - square
            };
            self.centres.points.chunks_exact(self.centres.features).zip(&priors.logarithms).map(score).collect()
        }
    }

    impl OfRow for Centres {
        fn of_row(&self, row: &[f64], want: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let priors = match &self.priors {
                Some(priors) if want != Method::Predict || !priors.are_even => priors,
                _ => {
                    let near = |centre: &[f64]| -self.distance(row.iter().zip(centre).map(|(x, c)| x - c));
                    let near: Vec<f64> = self.centres.points.chunks_exact(self.centres.features).map(near).collect();
                    out.push(largest(&near));
                    return Ok(());
                }
            };
            let scores = self.scores(row, priors);
            match want {
                Method::Decision if scores.len() == 2 => out.push(scores[1] - scores[0]),
                Method::Decision => out.extend(scores),
                Method::Proba => {
                    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                    let sum = pairwise_sum(&powers).ln();
                    out.extend(scores.iter().map(|score| (score - most - sum).exp()));
                }
                _ => out.push(largest(&scores)),
            }
            Ok(())
        }

        fn width(&self, want: Method) -> usize {
            match want {
                Method::Proba => self.centres.count(),
                Method::Decision if self.centres.count() > 2 => self.centres.count(),
                _ => 1,
            }
        }

        fn is_class(&self, want: Method) -> bool {
            want == Method::Predict
        }
    }
}
