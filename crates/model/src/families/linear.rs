//! Linear models: `x · coef + intercept`, and what each estimator makes of that: a value, the exponential of it, a
//! class, a probability.
//!
//! Sums run over the features in order. The library's go through BLAS, which sums in an order of its own: both lie
//! within 1e-12 of the sum of the terms' magnitudes.

use arrow_schema::DataType;
use foretell_pickle::{ArrayView, Entry, Kind, State, View};

use crate::attributes::{self, feature_names, some_attr};
use crate::families::shared::explained::{Shares, Told, explained};
use crate::families::shared::lone_class;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::decisions;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, Output};

const CYTHON: State = State::DICT.or(State::EMPTY).or(State::TUPLE);
const LINK: State = State::DICT.or(State::SLOTS).or(State::TUPLE);

pub(crate) const FAMILY: Family = Family {
    name: "linear models",
    classes: &[
        ("sklearn.linear_model._base", "LinearRegression"),
        ("sklearn.linear_model._bayes", "ARDRegression"),
        ("sklearn.linear_model._bayes", "BayesianRidge"),
        ("sklearn.linear_model._coordinate_descent", "ElasticNet"),
        ("sklearn.linear_model._coordinate_descent", "ElasticNetCV"),
        ("sklearn.linear_model._coordinate_descent", "Lasso"),
        ("sklearn.linear_model._coordinate_descent", "LassoCV"),
        ("sklearn.linear_model._coordinate_descent", "MultiTaskElasticNet"),
        ("sklearn.linear_model._coordinate_descent", "MultiTaskElasticNetCV"),
        ("sklearn.linear_model._coordinate_descent", "MultiTaskLasso"),
        ("sklearn.linear_model._coordinate_descent", "MultiTaskLassoCV"),
        ("sklearn.linear_model._glm.glm", "GammaRegressor"),
        ("sklearn.linear_model._glm.glm", "PoissonRegressor"),
        ("sklearn.linear_model._glm.glm", "TweedieRegressor"),
        ("sklearn.linear_model._huber", "HuberRegressor"),
        ("sklearn.linear_model._least_angle", "Lars"),
        ("sklearn.linear_model._least_angle", "LarsCV"),
        ("sklearn.linear_model._least_angle", "LassoLars"),
        ("sklearn.linear_model._least_angle", "LassoLarsCV"),
        ("sklearn.linear_model._least_angle", "LassoLarsIC"),
        ("sklearn.linear_model._logistic", "LogisticRegression"),
        ("sklearn.linear_model._logistic", "LogisticRegressionCV"),
        ("sklearn.linear_model._omp", "OrthogonalMatchingPursuit"),
        ("sklearn.linear_model._omp", "OrthogonalMatchingPursuitCV"),
        ("sklearn.linear_model._passive_aggressive", "PassiveAggressiveClassifier"),
        ("sklearn.linear_model._passive_aggressive", "PassiveAggressiveRegressor"),
        ("sklearn.linear_model._perceptron", "Perceptron"),
        ("sklearn.linear_model._quantile", "QuantileRegressor"),
        ("sklearn.linear_model._ridge", "Ridge"),
        ("sklearn.linear_model._ridge", "RidgeCV"),
        ("sklearn.linear_model._ridge", "RidgeClassifier"),
        ("sklearn.linear_model._ridge", "RidgeClassifierCV"),
        ("sklearn.linear_model._stochastic_gradient", "SGDClassifier"),
        ("sklearn.linear_model._stochastic_gradient", "SGDRegressor"),
        ("sklearn.linear_model._theil_sen", "TheilSenRegressor"),
        ("sklearn.linear_model.base", "LinearRegression"),
        ("sklearn.linear_model.bayes", "ARDRegression"),
        ("sklearn.linear_model.bayes", "BayesianRidge"),
        ("sklearn.linear_model.coordinate_descent", "ElasticNet"),
        ("sklearn.linear_model.coordinate_descent", "ElasticNetCV"),
        ("sklearn.linear_model.coordinate_descent", "Lasso"),
        ("sklearn.linear_model.coordinate_descent", "LassoCV"),
        ("sklearn.linear_model.coordinate_descent", "MultiTaskElasticNet"),
        ("sklearn.linear_model.coordinate_descent", "MultiTaskElasticNetCV"),
        ("sklearn.linear_model.coordinate_descent", "MultiTaskLasso"),
        ("sklearn.linear_model.coordinate_descent", "MultiTaskLassoCV"),
        ("sklearn.linear_model.huber", "HuberRegressor"),
        ("sklearn.linear_model.least_angle", "Lars"),
        ("sklearn.linear_model.least_angle", "LarsCV"),
        ("sklearn.linear_model.least_angle", "LassoLars"),
        ("sklearn.linear_model.least_angle", "LassoLarsCV"),
        ("sklearn.linear_model.least_angle", "LassoLarsIC"),
        ("sklearn.linear_model.logistic", "LogisticRegression"),
        ("sklearn.linear_model.logistic", "LogisticRegressionCV"),
        ("sklearn.linear_model.omp", "OrthogonalMatchingPursuit"),
        ("sklearn.linear_model.omp", "OrthogonalMatchingPursuitCV"),
        ("sklearn.linear_model.passive_aggressive", "PassiveAggressiveClassifier"),
        ("sklearn.linear_model.passive_aggressive", "PassiveAggressiveRegressor"),
        ("sklearn.linear_model.perceptron", "Perceptron"),
        ("sklearn.linear_model.ridge", "Ridge"),
        ("sklearn.linear_model.ridge", "RidgeCV"),
        ("sklearn.linear_model.ridge", "RidgeClassifier"),
        ("sklearn.linear_model.ridge", "RidgeClassifierCV"),
        ("sklearn.linear_model.stochastic_gradient", "SGDClassifier"),
        ("sklearn.linear_model.stochastic_gradient", "SGDRegressor"),
        ("sklearn.linear_model.theil_sen", "TheilSenRegressor"),
        ("sklearn.svm._classes", "LinearSVC"),
        ("sklearn.svm._classes", "LinearSVR"),
        ("sklearn.svm.classes", "LinearSVC"),
        ("sklearn.svm.classes", "LinearSVR"),
    ],
    globals: &[
        Entry::class("sklearn._loss.loss", "HalfPoissonLoss"),
        Entry::class("_loss", "CyHalfPoissonLoss").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfPoissonLoss"),
        Entry::class("sklearn._loss._loss", "CyHalfPoissonLoss").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfPoissonLoss"),
        Entry::class("sklearn._loss.loss", "HalfGammaLoss"),
        Entry::class("_loss", "CyHalfGammaLoss").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfGammaLoss"),
        Entry::class("sklearn._loss._loss", "CyHalfGammaLoss").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfGammaLoss"),
        Entry::class("sklearn._loss.loss", "HalfSquaredError"),
        Entry::class("_loss", "CyHalfSquaredError").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfSquaredError"),
        Entry::class("sklearn._loss._loss", "CyHalfSquaredError").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfSquaredError"),
        Entry::class("sklearn._loss.loss", "HalfTweedieLoss"),
        Entry::class("_loss", "CyHalfTweedieLoss").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfTweedieLoss"),
        Entry::class("sklearn._loss._loss", "CyHalfTweedieLoss").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfTweedieLoss"),
        Entry::class("sklearn._loss.loss", "HalfTweedieLossIdentity"),
        Entry::class("_loss", "CyHalfTweedieLossIdentity").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfTweedieLossIdentity"),
        Entry::class("sklearn._loss._loss", "CyHalfTweedieLossIdentity").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfTweedieLossIdentity"),
        Entry::class("sklearn._loss.loss", "HalfBinomialLoss"),
        Entry::class("_loss", "CyHalfBinomialLoss").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfBinomialLoss"),
        Entry::class("sklearn._loss._loss", "CyHalfBinomialLoss").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfBinomialLoss"),
        Entry::class("sklearn._loss.loss", "HalfMultinomialLoss"),
        Entry::class("_loss", "CyHalfMultinomialLoss").with_state(CYTHON),
        Entry::function("_loss", "__pyx_unpickle_CyHalfMultinomialLoss"),
        Entry::class("sklearn._loss._loss", "CyHalfMultinomialLoss").with_state(CYTHON),
        Entry::function("sklearn._loss._loss", "__pyx_unpickle_CyHalfMultinomialLoss"),
        Entry::class("sklearn._loss.link", "IdentityLink"),
        Entry::class("sklearn._loss.link", "LogLink"),
        Entry::class("sklearn._loss.link", "LogitLink"),
        Entry::class("sklearn._loss.link", "MultinomialLogit"),
        Entry::class("sklearn._loss.link", "HalfLogitLink"),
        Entry::class("sklearn._loss.link", "Interval").with_state(LINK),
        Entry::class("sklearn.linear_model._sgd_fast", "Hinge").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "Hinge").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "Log").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "Log").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "ModifiedHuber").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "ModifiedHuber").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "SquaredHinge").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "SquaredHinge").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "SquaredLoss").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "SquaredLoss").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "Huber").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "Huber").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "EpsilonInsensitive").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "EpsilonInsensitive").with_state(CYTHON),
        Entry::class("sklearn.linear_model._sgd_fast", "SquaredEpsilonInsensitive").with_state(CYTHON),
        Entry::class("sklearn.linear_model.sgd_fast", "SquaredEpsilonInsensitive").with_state(CYTHON),
        Entry::class("sklearn._loss.glm_distribution", "PoissonDistribution"),
        Entry::class("sklearn._loss.glm_distribution", "GammaDistribution"),
        Entry::class("sklearn._loss.glm_distribution", "TweedieDistribution"),
        Entry::class("sklearn._loss.glm_distribution", "DistributionBoundary").with_state(LINK),
        Entry::class("sklearn.linear_model._glm.link", "LogLink"),
        Entry::class("sklearn.linear_model._glm.link", "IdentityLink"),
        Entry::class("sklearn.preprocessing._label", "LabelBinarizer"),
        Entry::class("sklearn.preprocessing.label", "LabelBinarizer"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let Weights { coef, intercept, features, outputs, narrow_coef, narrow } = Weights::read(view)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(coef.len().saturating_mul(8));
    // Weights of float32 were learned from float32. A step before that made it makes it again; a table may or may not.
    let typed = narrow && sources.iter().all(|source| !source.follows);
    let float = if typed { DataType::Float32 } else { DataType::Float64 };
    let (form, mut targets) = if is_classifier(&class) {
        if let Some(several) = several(view, &class)? {
            if several != outputs {
                return Err(Error::counts(view.path(), (outputs, "rows of coefficients"), (several, "labels")));
            }
            let targets =
                Targets { proba: Vec::new(), ..Targets::classes(vec![Labels::counted(2); outputs], float.clone()) };
            let decision = decisions(&Labels::counted(outputs.max(3))).into_iter().take(outputs);
            let finite = Finite::new(&class, &sources, false, false);
            let step = run::Linear {
                coef,
                intercept,
                features,
                narrow_coef,
                narrow,
                typed,
                form: run::LinearForm::Each,
                finite,
            };
            let decision = decision.map(|output| Output { data_type: float.clone(), ..output }).collect();
            let targets = Targets { decision, ..targets };
            return Ok(Loaded {
                step: Step::Predict(Box::new(step)),
                out: Out::Answers(targets),
                report: Default::default(),
            });
        }
        let labels = classes(view, &class)?;
        let count = labels.len();
        // Ridge learns from a single class too, as the first of two.
        let alone = count == 1 && class.starts_with("RidgeClassifier");
        if (count < 2 && !alone) || outputs != if count <= 2 { 1 } else { count } {
            return Err(Error::counts(view.path(), (outputs, "rows of coefficients"), (count, "classes")));
        }
        let proba = proba(view, &class, count)?;
        let mut targets = Targets::classes(vec![labels.clone()], float.clone());
        if proba.is_none() {
            targets.proba.clear();
        }
        targets.decision = decisions(&labels);
        targets.decision.iter_mut().for_each(|output| output.data_type = float.clone());
        (run::LinearForm::Class(proba), targets)
    } else {
        let form = if exponential(view, &class)? { run::LinearForm::Exp } else { run::LinearForm::Value };
        (form, Targets::numbers(outputs, float))
    };
    let mut finite = Finite::new(&class, &sources, false, false);
    // The elastic net multiplies a sparse table without a look at it.
    finite.sparse = !matches!(class.as_str(), "ElasticNet" | "Lasso" | "MultiTaskElasticNet" | "MultiTaskLasso");
    let lone = targets.labels.first().is_some_and(|labels| labels.len() == 1);
    let shares =
        loader.options.explain.then(|| Shares::Weights { weights: coef.clone(), intercept: intercept.clone() });
    let step = run::Linear { coef, intercept, features, narrow_coef, narrow, typed, form, finite };
    let step = explained(Box::new(step), Told { shares, ..Told::default() }, &sources, &mut targets);
    let step = lone_class::guarded(step, &class, lone);
    Ok(Loaded { step: Step::Predict(step), out: Out::Answers(targets), report: Default::default() })
}

fn is_classifier(class: &str) -> bool {
    class.contains("Classifier") || class.starts_with("Logistic") || matches!(class, "LinearSVC" | "Perceptron")
}

fn classes(view: &View<'_>, class: &str) -> Result<Labels, Error> {
    if !class.starts_with("RidgeClassifier") {
        return attributes::labels(&view.attr("classes_")?);
    }
    // Ridge learns numbers; its binarizer knows what they stand for.
    attributes::labels(&view.attr("_label_binarizer")?.attr("classes_")?)
}

/// How many labels a row may have at once, where it may have more than one.
fn several(view: &View<'_>, class: &str) -> Result<Option<usize>, Error> {
    if !class.starts_with("RidgeClassifier") {
        return Ok(None);
    }
    let binarizer = view.attr("_label_binarizer")?;
    match some_attr(&binarizer, "y_type_")? {
        Some(kind) if kind.as_str()?.starts_with("multilabel") => {
            Ok(Some(binarizer.attr("classes_")?.array()?.shape().iter().product()))
        }
        _ => Ok(None),
    }
}

/// How a classifier turns scores into probabilities; `None` where it has none.
fn proba(view: &View<'_>, class: &str, count: usize) -> Result<Option<run::Proba>, Error> {
    let word = |name: &str| -> Result<Option<&str>, Error> {
        some_attr(view, name)?.map(|word| word.as_str()).transpose().map_err(Error::from)
    };
    Ok(match class {
        "SGDClassifier" => match word("loss")? {
            Some("log" | "log_loss") => Some(run::Proba::Each),
            Some("modified_huber") => Some(run::Proba::Huber),
            _ => None,
        },
        "LogisticRegression" | "LogisticRegressionCV" => {
            let each = match word("multi_class")? {
                Some("ovr" | "warn") => true,
                Some("multinomial") => false,
                // 1.8 dropped the parameter, and with it the choice.
                None => count == 2,
                Some(_) => count == 2 || word("solver")? == Some("liblinear"),
            };
            Some(if each { run::Proba::Each } else { run::Proba::Softmax })
        }
        _ => None,
    })
}

/// Whether a generalised linear model has the logarithm as its link.
fn exponential(view: &View<'_>, class: &str) -> Result<bool, Error> {
    Ok(match class {
        "PoissonRegressor" | "GammaRegressor" => true,
        "TweedieRegressor" => match view.attr("link")?.as_str()? {
            "auto" => view.attr("power")?.as_f64()? > 0.0,
            link => link == "log",
        },
        _ => false,
    })
}

/// `coef_` by output, and `intercept_`.
struct Weights {
    coef: Vec<f64>,
    intercept: Vec<f64>,
    features: usize,
    outputs: usize,
    /// Whether the coefficients are float32.
    narrow_coef: bool,
    /// Whether the intercepts are, too.
    narrow: bool,
}

impl Weights {
    fn read(view: &View<'_>) -> Result<Self, Error> {
        let coef = view.attr("coef_")?.array()?;
        let (outputs, features) = match *coef.shape() {
            [features] => (1, features),
            [outputs, features] => (outputs, features),
            _ => return Err(coef.view().expected("an array of one or two dimensions").into()),
        };
        let is_narrow = |array: &ArrayView<'_>| array.dtype().kind == Kind::Float && array.dtype().size == 4;
        let narrow_coef = is_narrow(&coef);
        let mut narrow = narrow_coef;
        let coef = coef.f64s()?;
        let intercept = view.attr("intercept_")?;
        let mut intercept = match intercept.array() {
            Ok(array) => {
                narrow &= is_narrow(&array);
                array.f64s()?
            }
            Err(_) => vec![intercept.as_f64()?],
        };
        if let [one] = *intercept.as_slice() {
            intercept = vec![one; outputs.min(OUTPUTS)];
        }
        if outputs == 0 || outputs > OUTPUTS || features == 0 || intercept.len() != outputs {
            let message = format!("{outputs} rows of {features} coefficients with {} intercepts", intercept.len());
            return Err(Error::state(view.path(), message));
        }
        Ok(Weights { coef, intercept, features, outputs, narrow_coef, narrow })
    }
}

/// More targets or classes are an attack on memory.
const OUTPUTS: usize = 1 << 16;

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::math::float32;
    use crate::math::scaling::Scaling;
    use crate::math::scores::{self, Softmax};
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run};

    /// Rows whose columns stay in the second-level cache from step to step.
    const ROWS: usize = 2048;

    #[derive(Debug)]
    pub(super) enum LinearForm {
        Value,
        Exp,
        Class(Option<Proba>),
        /// A label is there where its score is above zero.
        Each,
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Proba {
        /// The logistic function of each score, divided by their sum.
        Each,
        Softmax,
        /// SGD's modified Huber loss: scores cut off at -1 and 1.
        Huber,
    }

    #[derive(Debug)]
    pub(super) struct Linear {
        pub(super) coef: Vec<f64>,
        pub(super) intercept: Vec<f64>,
        pub(super) features: usize,
        /// Whether the coefficients are float32: then the library multiplies in it where the numbers are.
        pub(super) narrow_coef: bool,
        /// Whether the intercepts are, too: then it adds in it as well.
        pub(super) narrow: bool,
        /// Whether its answers are float32 as the signature tells them.
        pub(super) typed: bool,
        pub(super) form: LinearForm,
        pub(super) finite: Finite,
    }

    impl Linear {
        /// Products with the coefficients, and whether they are of float32.
        fn products(&self, x: Matrix) -> (Vec<Vec<f64>>, bool) {
            let rows = x.rows();
            match x {
                Matrix::Csr(csr) => (scores::sparse_products(&csr, &self.coef), csr.narrow),
                other => {
                    let dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
                    let mut products = scores::products(&dense, &self.coef);
                    if self.narrow_coef && dense.narrow {
                        scores::overflow_float32(&dense, &self.coef, &mut products);
                    }
                    (products, dense.narrow)
                }
            }
        }

        /// The scores, and whether they are float32.
        fn scores(&self, (mut products, narrow): (Vec<Vec<f64>>, bool)) -> (Vec<Vec<f64>>, bool) {
            let (multiplies, narrow) = (self.narrow_coef && narrow, self.narrow && narrow);
            for (column, intercept) in products.iter_mut().zip(&self.intercept) {
                column.iter_mut().for_each(|value| *value = round(round(*value, multiplies) + intercept, narrow));
            }
            (products, narrow)
        }
    }

    fn rounded(mut columns: Vec<Vec<f64>>, narrow: bool) -> Vec<Vec<f64>> {
        columns.iter_mut().flatten().for_each(|value| *value = round(*value, narrow));
        columns
    }

    impl Predict for Linear {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            self.finite.check(&x, run);
            self.answer_of(self.products(x), want)
        }

        fn answer_scaled(&self, x: &Matrix, scaling: &Scaling, want: Method) -> Option<Answer> {
            Some(self.answer_of(scaling.products(x, &self.coef)?, want))
        }

        fn rows_at_once(&self) -> Option<usize> {
            Some(ROWS)
        }
    }

    impl Linear {
        fn answer_of(&self, products: (Vec<Vec<f64>>, bool), want: Method) -> Answer {
            let (mut scores, narrow) = self.scores(products);
            let floats = |columns: Vec<Vec<f64>>| Answer::floats(rounded(columns, narrow), self.typed);
            match (&self.form, want) {
                (LinearForm::Value, _) | (_, Method::Decision) => floats(scores),
                (LinearForm::Exp, _) => {
                    let exp = |x: f64| if narrow { float32::exp(x as f32).into() } else { x.exp() };
                    scores.iter_mut().flatten().for_each(|value| *value = exp(*value));
                    floats(scores)
                }
                (LinearForm::Class(Some(how)), Method::Proba) => {
                    let shares = match how {
                        Proba::Each if narrow && scores.len() == 1 => scores::logistic32(&scores[0]),
                        Proba::Each => scores::logistic(scores),
                        Proba::Softmax => Softmax::PLAIN.of(scores),
                        Proba::Huber => scores::huber(scores),
                    };
                    floats(shares)
                }
                (LinearForm::Each, _) => {
                    let above = |column: Vec<f64>| column.iter().map(|score| u32::from(*score > 0.0)).collect();
                    Answer::Class(scores.into_iter().map(above).collect())
                }
                (LinearForm::Class(_), _) => Answer::Class(vec![scores::best(&scores)]),
            }
        }
    }
}
