//! `GaussianMixture` and `BayesianGaussianMixture`: which of several normal distributions a row comes from, and how likely it is in all of them.
//!
//! Sums of products run over the features in order. The library's go through BLAS: within 1e-12 of the terms.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::{feature_names, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::math::special::digamma;
use crate::step::Step;
use crate::{Error, InputKind, Output};

pub(crate) const FAMILY: Family = Family {
    name: "Gaussian mixtures",
    classes: &[
        ("sklearn.mixture._bayesian_mixture", "BayesianGaussianMixture"),
        ("sklearn.mixture._gaussian_mixture", "GaussianMixture"),
        ("sklearn.mixture.bayesian_mixture", "BayesianGaussianMixture"),
        ("sklearn.mixture.gaussian_mixture", "GaussianMixture"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let means = view.attr("means_")?.array()?;
    let [count, features] = means.dims()?;
    if count == 0 || features == 0 {
        return Err(Error::state(view.path(), "a mixture of nothing"));
    }
    let means = means.f64s()?;
    let weights = view.attr("weights_")?.array()?.f64s()?;
    let precisions = view.attr("precisions_cholesky_")?.array()?;
    let kind = word(view, "covariance_type", "full")?;
    let expected: Vec<usize> = match kind {
        "full" => vec![count, features, features],
        "tied" => vec![features, features],
        "diag" => vec![count, features],
        "spherical" => vec![count],
        other => {
            let what = format!("covariance_type={other}");
            return Err(Error::unsupported(view.path(), what, "full, tied, diag, spherical"));
        }
    };
    if precisions.shape() != expected || weights.len() != count {
        let message = format!("{} weights and precisions of shape {:?} for {count} means", weights.len(), expected);
        return Err(Error::state(view.path(), message));
    }
    let precisions = precisions.f64s()?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(precisions.len().saturating_mul(8));
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let finite = Finite::new(&class, &sources, false, false);
    let constant = features as f64 * std::f64::consts::TAU.ln();
    let form = match kind {
        "full" | "tied" => run::Form::Axes(axes(&precisions, features)),
        "diag" => run::Form::Diagonal(precisions),
        _ => run::Form::Spherical(precisions),
    };
    let weights = if class == "BayesianGaussianMixture" {
        bayesian(view, count, features)?
    } else {
        weights.into_iter().map(f64::ln).collect()
    };
    let step = run::Mixture { means, weights, constant, form, features, finite };
    let mut targets = Targets::classes(vec![Labels::counted(count)], DataType::Float64);
    targets.samples = vec![Output { name: "score".to_string(), data_type: DataType::Float64, class: None }];
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// What of a component's likelihood does not depend on the row, where shares and precisions are distributions
/// themselves.
fn bayesian(view: &View<'_>, count: usize, features: usize) -> Result<Vec<f64>, Error> {
    let numbers = |view: &View<'_>| -> Result<Vec<f64>, Error> {
        let all = view.array()?.f64s()?;
        if all.len() != count || all.iter().any(|one| !(*one > 0.0 && *one < 1e12)) {
            return Err(Error::state(view.path(), format!("not {count} numbers above 0")));
        }
        Ok(all)
    };
    let concentration = view.attr("weight_concentration_")?;
    let shares: Vec<f64> = if word(view, "weight_concentration_prior_type", "dirichlet_process")? == "dirichlet_process"
    {
        let (a, b) = (numbers(&concentration.item(0)?)?, numbers(&concentration.item(1)?)?);
        let mut before = 0.0;
        let mut share = |(a, b): (&f64, &f64)| {
            let both = digamma(a + b);
            let own = digamma(*a) - both + before;
            before += digamma(*b) - both;
            own
        };
        a.iter().zip(&b).map(&mut share).collect()
    } else {
        let all = numbers(&concentration)?;
        let sum = digamma(all.iter().sum());
        all.iter().map(|one| digamma(*one) - sum).collect()
    };
    // Where all share their covariance, they share their degrees of freedom.
    let freedom = view.attr("degrees_of_freedom_")?;
    let freedom = match freedom.as_f64() {
        Ok(freedom) => vec![freedom; count],
        Err(_) => numbers(&freedom)?,
    };
    let precision = numbers(&view.attr("mean_precision_")?)?;
    if freedom.iter().any(|freedom| *freedom <= features as f64 - 1.0) {
        return Err(Error::state(view.path(), "fewer degrees of freedom than features"));
    }
    let width = features as f64;
    let own = |((share, freedom), precision): ((f64, &f64), &f64)| {
        let spread: f64 = (0..features).map(|feature| digamma(0.5 * (freedom - feature as f64))).sum();
        share - 0.5 * width * freedom.ln() + 0.5 * (width * 2f64.ln() + spread - width / precision)
    };
    Ok(shares.into_iter().zip(&freedom).zip(&precision).map(own).collect())
}

/// Square matrices by their columns, each with the logarithm of the product of its diagonal.
fn axes(matrices: &[f64], features: usize) -> Vec<(Vec<f64>, f64)> {
    let one = |matrix: &[f64]| {
        let column = |index: usize| matrix.iter().skip(index).step_by(features).copied();
        let diagonal = matrix.iter().step_by(features.saturating_add(1)).map(|value| value.ln()).sum();
        ((0..features).flat_map(column).collect(), diagonal)
    };
    matrices.chunks_exact(features.saturating_mul(features).max(1)).map(one).collect()
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores::{self, Formula, Softmax};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) enum Form {
        /// By component, or one for all: the axes of its ellipsoid, divided by their lengths, and the logarithm of
        /// what they span.
        Axes(Vec<(Vec<f64>, f64)>),
        /// By component and feature, the inverse of the deviation.
        Diagonal(Vec<f64>),
        /// By component.
        Spherical(Vec<f64>),
    }

    #[derive(Debug)]
    pub(super) struct Mixture {
        /// One after the other.
        pub(super) means: Vec<f64>,
        /// The logarithm of each component's share.
        pub(super) weights: Vec<f64>,
        pub(super) constant: f64,
        pub(super) form: Form,
        pub(super) features: usize,
        pub(super) finite: Finite,
    }

    impl Mixture {
        /// By component, the logarithm of how likely each row is in it, and it itself.
        fn likelihoods(&self, x: &Dense) -> Vec<Vec<f64>> {
            let means = self.means.chunks_exact(self.features);
            let one = |(component, mean): (usize, &[f64])| {
                let (mut sums, spread) = match &self.form {
                    Form::Axes(all) => {
                        let (axes, spread) = &all[component.min(all.len() - 1)];
                        let of_mean = axes.chunks_exact(self.features);
                        let of_mean = of_mean.map(|axis| axis.iter().zip(mean).map(|(a, b)| a * b).sum::<f64>());
                        let mut sums = vec![0.0; x.rows];
                        for (column, mean) in scores::products(x, axes).iter().zip(of_mean) {
                            sums.iter_mut().zip(column).for_each(|(sum, y)| *sum += (y - mean) * (y - mean));
                        }
                        (sums, *spread)
                    }
                    Form::Diagonal(all) => {
                        let inverse = &all[component * self.features..(component + 1) * self.features];
                        let (mut squares, mut products) = (vec![0.0; x.rows], vec![0.0; x.rows]);
                        let mut of_mean = 0.0;
                        for (col, (mean, inverse)) in mean.iter().zip(inverse).enumerate() {
                            let precision = inverse * inverse;
                            of_mean += mean * mean * precision;
                            for (row, value) in x.column(col).iter().enumerate() {
                                squares[row] += value * value * precision;
                                products[row] += value * (mean * precision);
                            }
                        }
                        let sum = |(square, product): (&f64, &f64)| of_mean - 2.0 * product + square;
                        let sums = squares.iter().zip(&products).map(sum).collect();
                        (sums, inverse.iter().map(|inverse| inverse.ln()).sum())
                    }
                    Form::Spherical(all) => {
                        let inverse = all[component];
                        let precision = inverse * inverse;
                        let of_mean = mean.iter().map(|mean| mean * mean).sum::<f64>() * precision;
                        let (mut squares, mut products) = (vec![0.0; x.rows], vec![0.0; x.rows]);
                        for (col, mean) in mean.iter().enumerate() {
                            for (row, value) in x.column(col).iter().enumerate() {
                                squares[row] += value * value;
                                products[row] += value * mean;
                            }
                        }
                        let sum =
                            |(square, product): (&f64, &f64)| of_mean - 2.0 * product * precision + square * precision;
                        let sums = squares.iter().zip(&products).map(sum).collect();
                        (sums, self.features as f64 * inverse.ln())
                    }
                };
                let weight = self.weights[component];
                sums.iter_mut().for_each(|sum| *sum = -0.5 * (self.constant + *sum) + spread + weight);
                sums
            };
            means.enumerate().map(one).collect()
        }
    }

    impl Predict for Mixture {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let rows = x.rows();
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
            let likelihoods = self.likelihoods(&x);
            match want {
                Method::Samples => {
                    let sum = |row: usize| {
                        let of_row = likelihoods.iter().map(|column| column[row]);
                        let largest = of_row.clone().fold(f64::NEG_INFINITY, f64::max);
                        // Where none has any likelihood, there is nothing to take off.
                        let largest = if largest.is_finite() { largest } else { 0.0 };
                        of_row.map(|value| (value - largest).exp()).sum::<f64>().ln() + largest
                    };
                    Answer::F64(vec![(0..rows).map(sum).collect()])
                }
                Method::Proba if likelihoods.len() == 1 => Answer::F64(vec![vec![1.0; rows]]),
                Method::Proba => {
                    Answer::F64(Softmax { formula: Formula::LogSumExp, side_by_side: true }.of(likelihoods))
                }
                _ => Answer::Class(vec![scores::first_largest(&likelihoods, rows)]),
            }
        }
    }
}
