//! `LinearDiscriminantAnalysis` and `QuadraticDiscriminantAnalysis`: how near a row is to each class, as normal
//! distributions see it.
//!
//! Sums of products run over the features in order. The library's go through BLAS: within 1e-12 of the terms.

use arrow_schema::DataType;
use foretell_pickle::{ArrayView, Kind, View};

use crate::attributes::{self, feature_names, some_attr, version, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source, Targets, decisions};
use crate::loader::Loader;
use crate::math::scores::Formula;
use crate::step::{Predict, Step};
use crate::{Error, InputKind, Output};

pub(crate) const FAMILY: Family = Family {
    name: "discriminant analysis",
    classes: &[
        ("sklearn.discriminant_analysis", "LinearDiscriminantAnalysis"),
        ("sklearn.discriminant_analysis", "QuadraticDiscriminantAnalysis"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let labels = attributes::labels(&view.attr("classes_")?)?;
    if labels.len() < 2 {
        return Err(Error::state(view.path(), format!("{} classes", labels.len())));
    }
    let is_linear = class == "LinearDiscriminantAnalysis";
    let (features, step, components) = if is_linear {
        let (linear, features, components) = linear(view, labels.len())?;
        (features, Form::Linear(linear), components)
    } else {
        let (quadratic, features) = quadratic(view, labels.len())?;
        (features, Form::Quadratic(quadratic), 0)
    };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(features.saturating_mul(labels.len()).saturating_mul(if is_linear { 16 } else { 8 }));
    let finite = Finite::new(&class, &sources, false, false);
    // What was learned from float32 is asked for it again by a step before; a table may or may not bring it.
    let typed = matches!(&step, Form::Linear(linear) if linear.narrow) && sources.iter().all(|source| !source.follows);
    let float = if typed { DataType::Float32 } else { DataType::Float64 };
    let mut targets = Targets::classes(vec![labels.clone()], float.clone());
    targets.decision =
        decisions(&labels).into_iter().map(|output| Output { data_type: float.clone(), ..output }).collect();
    let prefix = class.to_ascii_lowercase();
    targets.table = (0..components).map(|index| Source::made_of(format!("{prefix}{index}"), &sources)).collect();
    let step: Box<dyn Predict> = match step {
        Form::Linear(step) => Box::new(run::Linear { finite, typed, ..step }),
        Form::Quadratic(step) => Box::new(run::Quadratic { finite, ..step }),
    };
    Ok(Loaded { step: Step::Predict(step), out: Out::Answers(targets), report: Default::default() })
}

enum Form {
    Linear(run::Linear),
    Quadratic(run::Quadratic),
}

/// What a step has before its columns are known.
fn unchecked() -> Finite {
    Finite::new("", &[], false, false)
}

/// Whether the library computes in float32 with it, where the rows are float32, too.
fn is_narrow(array: &ArrayView<'_>) -> bool {
    array.dtype().kind == Kind::Float && array.dtype().size == 4
}

/// With the number of features, and of columns that it transforms to.
fn linear(view: &View<'_>, classes: usize) -> Result<(run::Linear, usize, usize), Error> {
    let coef = view.attr("coef_")?.array()?;
    let [outputs, features] = coef.dims()?;
    let intercept = view.attr("intercept_")?.array()?.f64s()?;
    if features == 0 || outputs != if classes == 2 { 1 } else { classes } || intercept.len() != outputs {
        let message = format!("{outputs} rows of {features} coefficients with {} intercepts", intercept.len());
        return Err(Error::state(view.path(), message));
    }
    let narrow = is_narrow(&coef);
    let mut step = run::Linear {
        coef: coef.f64s()?,
        intercept,
        features,
        narrow,
        typed: false,
        scalings: Vec::new(),
        mean: None,
        // Until 0.20 the logistic functions of all classes were divided by their sum.
        by_softmax: version(view)?.is_some_and(|version| version >= (0, 21)),
        finite: unchecked(),
    };
    let mut components = 0;
    if let Some(scalings) = some_attr(view, "scalings_")? {
        let array = scalings.array()?;
        let [rows, columns] = array.dims()?;
        components = match some_attr(view, "_max_components")? {
            Some(most) => most.as_usize()?.min(columns),
            None => columns,
        };
        if rows != features {
            return Err(Error::counts(scalings.path(), (rows, "rows"), (features, "features")));
        }
        let all = array.f64s()?;
        let by_component = (0..components).flat_map(|one| all.iter().skip(one).step_by(columns.max(1)).copied());
        step.scalings = by_component.collect();
        if word(view, "solver", "svd")? == "svd" {
            let mean = view.attr("xbar_")?.array()?.f64s()?;
            if mean.len() != features {
                return Err(Error::counts(view.path(), (mean.len(), "means"), (features, "features")));
            }
            step.mean = Some(mean);
        }
    }
    Ok((step, features, components))
}

fn quadratic(view: &View<'_>, classes: usize) -> Result<(run::Quadratic, usize), Error> {
    let means = view.attr("means_")?.array()?;
    let [rows, features] = means.dims()?;
    let narrow = is_narrow(&means);
    let means = means.f64s()?;
    let rotations = view.attr("rotations_")?.items()?;
    let scalings = view.attr("scalings_")?.items()?;
    let priors = view.attr("priors_")?;
    let priors: Vec<f64> = match priors.array() {
        Ok(array) => array.f64s()?,
        Err(_) => priors.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?,
    };
    if features == 0 || [rows, rotations.len(), scalings.len(), priors.len()] != [classes; 4] {
        let message = format!("{rows} means, {} rotations and {} shares", rotations.len(), priors.len());
        return Err(Error::state(view.path(), format!("{message} for {classes} classes")));
    }
    let mut all = Vec::with_capacity(classes);
    for (((mean, rotation), scaling), prior) in means.chunks_exact(features).zip(&rotations).zip(&scalings).zip(priors)
    {
        let array = rotation.array()?;
        let [rows, columns] = array.dims()?;
        let scaling = scaling.array()?.f64s()?;
        if rows != features || columns != scaling.len() || columns == 0 {
            let message = format!("a rotation of {rows} by {columns} with {} scalings", scaling.len());
            return Err(Error::state(rotation.path(), message));
        }
        let rotation = array.f64s()?;
        let axis = |(index, scale): (usize, &f64)| -> Vec<f64> {
            rotation.iter().skip(index).step_by(columns).map(|weight| weight * scale.powf(-0.5)).collect()
        };
        let axes: Vec<f64> = scaling.iter().enumerate().flat_map(axis).collect();
        let logarithms: Vec<f64> = scaling.iter().map(|scale| scale.ln()).collect();
        let constant = crate::math::scores::pairwise_sum(&logarithms);
        all.push(run::Normal { mean: mean.to_vec(), axes, constant, prior: prior.ln() });
    }
    // From 1.7 on a probability is the exponential of a difference.
    let by_difference = version(view)?.is_some_and(|version| version >= (1, 7));
    let formula = if by_difference { Formula::Shifted } else { Formula::Quotient };
    Ok((run::Quadratic { classes: all, features, narrow, formula, finite: unchecked() }, features))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::scores::{self, Softmax};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run};

    fn dense(x: Matrix, features: usize, step: &str, run: &mut Run) -> Dense {
        let rows = x.rows();
        if matches!(x, Matrix::Csr(_)) {
            run.refuse_all(rows, step, None, "a sparse table");
        }
        x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, features))
    }

    #[derive(Debug)]
    pub(super) struct Linear {
        pub(super) coef: Vec<f64>,
        pub(super) intercept: Vec<f64>,
        pub(super) features: usize,
        /// Whether it was learned from float32.
        pub(super) narrow: bool,
        /// Whether its answers are float32 as the signature tells them.
        pub(super) typed: bool,
        /// By column that it transforms to.
        pub(super) scalings: Vec<f64>,
        /// What is taken off before.
        pub(super) mean: Option<Vec<f64>>,
        /// How scores of several classes become probabilities.
        pub(super) by_softmax: bool,
        pub(super) finite: Finite,
    }

    impl Predict for Linear {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let narrow = self.narrow && x.is_narrow();
            let x = match x {
                // Scores are products, which a sparse table has, too.
                Matrix::Csr(csr) => csr.to_dense(),
                other => dense(other, self.features, &self.finite.step, run),
            };
            let mut scores = scores::products(&x, &self.coef);
            for (column, intercept) in scores.iter_mut().zip(&self.intercept) {
                column.iter_mut().for_each(|value| *value = round(round(*value, narrow) + intercept, narrow));
            }
            let floats = |mut columns: Vec<Vec<f64>>| {
                columns.iter_mut().flatten().for_each(|value| *value = round(*value, narrow));
                Answer::floats(columns, self.typed)
            };
            match want {
                Method::Decision => floats(scores),
                Method::Proba if scores.len() > 1 && self.by_softmax => floats(Softmax::PLAIN.of(scores)),
                Method::Proba if narrow && scores.len() == 1 => floats(scores::logistic32(&scores[0])),
                Method::Proba => floats(scores::logistic(scores)),
                _ => Answer::Class(vec![scores::best(&scores)]),
            }
        }

        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let mut x = dense(x, self.features, &self.finite.step, run);
            for (col, mean) in self.mean.iter().flatten().enumerate() {
                x.column_mut(col).iter_mut().for_each(|value| *value -= mean);
            }
            let columns = scores::products(&x, &self.scalings);
            Matrix::Dense(Dense { rows: x.rows, cols: columns.len(), data: columns.concat(), narrow: false })
        }
    }

    /// A normal distribution.
    #[derive(Debug)]
    pub(super) struct Normal {
        pub(super) mean: Vec<f64>,
        /// The axes of its ellipsoid, divided by their lengths.
        pub(super) axes: Vec<f64>,
        /// The logarithm of its spread.
        pub(super) constant: f64,
        pub(super) prior: f64,
    }

    #[derive(Debug)]
    pub(super) struct Quadratic {
        pub(super) classes: Vec<Normal>,
        pub(super) features: usize,
        /// Whether it was learned from float32.
        pub(super) narrow: bool,
        pub(super) formula: scores::Formula,
        pub(super) finite: Finite,
    }

    impl Predict for Quadratic {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            let x = dense(x, self.features, &self.finite.step, run);
            let narrow = self.narrow && x.narrow;
            let likelihood = |class: &Normal| {
                let mut moved = x.clone();
                for (col, mean) in class.mean.iter().enumerate() {
                    moved.column_mut(col).iter_mut().for_each(|value| *value = round(*value - mean, narrow));
                }
                let mut sums = vec![0.0; x.rows];
                for column in scores::products(&moved, &class.axes) {
                    for (sum, value) in sums.iter_mut().zip(column) {
                        let value = round(value, narrow);
                        *sum = round(*sum + round(value * value, narrow), narrow);
                    }
                }
                sums.iter_mut().for_each(|sum| *sum = -0.5 * (*sum + class.constant) + class.prior);
                sums
            };
            let mut scores: Vec<Vec<f64>> = self.classes.iter().map(likelihood).collect();
            match want {
                Method::Proba => Answer::F64(Softmax { formula: self.formula, side_by_side: false }.of(scores)),
                Method::Decision if scores.len() == 2 => {
                    let second = scores.pop().unwrap_or_default();
                    let first = scores.pop().unwrap_or_default();
                    Answer::F64(vec![second.iter().zip(first).map(|(second, first)| second - first).collect()])
                }
                Method::Decision => Answer::F64(scores),
                _ => Answer::Class(vec![scores::first_largest(&scores, x.rows)]),
            }
        }
    }
}
