//! mlxtend: stacking, selectors of columns, and its own linear models. Its vote is beside scikit-learn's.

use arrow_schema::DataType;
use foretell_pickle::{Value, View};

use crate::attributes::{flag, some_attr};
use crate::families::shared::acts::texts;
use crate::families::shared::members::{Members, members, nameless, predictor};
use crate::families::shared::pick::Pick;
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "mlxtend",
    classes: &[
        ("mlxtend.classifier.adaline", "Adaline"),
        ("mlxtend.classifier.logistic_regression", "LogisticRegression"),
        ("mlxtend.classifier.perceptron", "Perceptron"),
        ("mlxtend.classifier.softmax_regression", "SoftmaxRegression"),
        ("mlxtend.classifier.stacking_classification", "StackingClassifier"),
        ("mlxtend.classifier.stacking_cv_classification", "StackingCVClassifier"),
        ("mlxtend.feature_selection.column_selector", "ColumnSelector"),
        ("mlxtend.feature_selection.exhaustive_feature_selector", "ExhaustiveFeatureSelector"),
        ("mlxtend.feature_selection.sequential_feature_selector", "SequentialFeatureSelector"),
        ("mlxtend.preprocessing.copy_transformer", "CopyTransformer"),
        ("mlxtend.preprocessing.dense_transformer", "DenseTransformer"),
        ("mlxtend.preprocessing.mean_centering", "MeanCenterer"),
        ("mlxtend.regressor.linear_regression", "LinearRegression"),
        ("mlxtend.regressor.stacking_cv_regression", "StackingCVRegressor"),
        ("mlxtend.regressor.stacking_regression", "StackingRegressor"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    match class.as_str() {
        "ColumnSelector"
        | "ExhaustiveFeatureSelector"
        | "SequentialFeatureSelector"
        | "CopyTransformer"
        | "DenseTransformer" => pick(loader, view, given, &class),
        "MeanCenterer" => centre(loader, view, given),
        "Adaline" | "LogisticRegression" | "Perceptron" | "SoftmaxRegression" | "LinearRegression" => {
            linear(loader, view, given, class)
        }
        _ => stacking(loader, view, given),
    }
}

fn pick(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>, class: &str) -> Result<Loaded, Error> {
    let width = loader.width(view, given, None)?;
    let sources = loader.sources(view, given, width, None)?;
    let places = |view: &View<'_>| -> Result<Vec<usize>, Error> {
        Ok(view.items()?.iter().map(View::as_usize).collect::<Result<_, _>>()?)
    };
    let picked = match class {
        "SequentialFeatureSelector" => places(&view.attr("k_feature_idx_")?)?,
        "ExhaustiveFeatureSelector" => places(&view.attr("best_idx_")?)?,
        "ColumnSelector" => {
            let columns = view.attr("cols")?;
            match columns.items()?.first().map(View::value) {
                Some(Value::Str(_) | Value::OldStr(_)) => {
                    let at = |name: &String| sources.iter().position(|source| source.label == *name);
                    let missing = |name: &String| Error::NoSuchColumn { place: columns.path(), column: name.clone() };
                    let names = texts(&columns)?;
                    names.iter().map(|name| at(name).ok_or_else(|| missing(name))).collect::<Result<_, _>>()?
                }
                _ => places(&columns)?,
            }
        }
        _ => (0..width).collect(),
    };
    if flag(view, "drop_axis", false)? {
        return Err(Error::unsupported(view.path(), "drop_axis=True", "drop_axis=False"));
    }
    let dense = class == "DenseTransformer";
    Pick::load(loader, view, &sources, picked, if dense { Pick::DENSE } else { Pick::ARRAY })
}

fn centre(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let means = view.attr("col_means")?.array()?.f64s()?;
    let sources = loader.sources(view, given, means.len(), None)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let out = sources.into_iter().map(|source| Source::made(source.label)).collect();
    let step = Step::Transform(Box::new(run::Centre { means }));
    Ok(Loaded { step, out: Out::Table(out), report: Default::default() })
}

/// Its own models of numpy arrays: a product, and what it makes of it.
fn linear(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>, class: String) -> Result<Loaded, Error> {
    let weights = view.attr("w_")?.array()?;
    let (features, outputs) = match *weights.shape() {
        [features] => (features, 1),
        [features, outputs] => (features, outputs),
        _ => return Err(Error::state(view.path(), "weights of more than two axes")),
    };
    let (all, intercept) = (weights.f64s()?, view.attr("b_")?.array()?.f64s()?);
    let is_softmax = class == "SoftmaxRegression";
    if features == 0 || outputs == 0 || intercept.len() != outputs || (outputs > 1 && !is_softmax) {
        return Err(Error::counts(view.path(), (intercept.len(), "intercepts"), (outputs, "outputs")));
    }
    let weights = (0..outputs).flat_map(|output| all.iter().skip(output).step_by(outputs).copied()).collect();
    let sources = loader.sources(view, given, features, None)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(all.len().saturating_mul(8));
    let targets = match class.as_str() {
        "LinearRegression" => Targets::numbers(1, DataType::Float64),
        "SoftmaxRegression" => Targets::classes(vec![Labels::counted(outputs)], DataType::Float64),
        _ => {
            let mut targets = Targets::classes(vec![Labels::counted(2)], DataType::Float64);
            // Of the second class alone, and of a logistic regression only.
            let kept = usize::from(class == "LogisticRegression");
            targets.proba = targets.proba.into_iter().skip(1).take(kept).collect();
            targets
        }
    };
    let is_number = class == "LinearRegression";
    let step = run::Linear { class, weights, intercept, is_number, is_softmax };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

fn stacking(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let is_regression = some_attr(view, "meta_regr_")?.is_some();
    let (inner, last) = if is_regression { ("regr_", "meta_regr_") } else { ("clfs_", "meta_clf_") };
    let estimators = nameless(view.attr(inner)?.items()?);
    let Members { all, reports: mut children, sources } = members(loader, view, given, &estimators)?;
    let want = if flag(view, "use_probas", false)? { Method::Proba } else { Method::Predict };
    let averages = want == Method::Proba && flag(view, "average_probas", false)?;
    let dropped = some_attr(view, "drop_proba_col")?.map(|word| word.as_str().map(str::to_string)).transpose()?;
    let mut columns = Vec::new();
    let mut widths = Vec::new();
    for (number, member) in all.iter().enumerate() {
        let outputs = member.outputs(want).len();
        let is_text = member.targets.labels.iter().any(|labels| matches!(labels, Labels::Text(_)));
        if outputs == 0 || (want == Method::Predict && is_text) {
            return Err(Error::no_such_answer(view.path(), "an estimator", "an answer that is a number"));
        }
        let kept = match dropped.as_deref() {
            Some("last") if want == Method::Proba => 0..outputs.saturating_sub(1),
            Some("first") if want == Method::Proba => 1..outputs,
            _ => 0..outputs,
        };
        if !averages || number == 0 {
            columns.extend(kept.clone().map(|index| Source::made(format!("estimator {number} {index}"))));
        }
        widths.push(kept);
    }
    let width = widths.first().cloned().unwrap_or(0..0);
    if averages && widths.iter().any(|other| *other != width) {
        return Err(Error::state(view.path(), "the estimators do not know the same number of classes"));
    }
    // The library puts the input first.
    let passes = flag(view, "use_features_in_secondary", false)?;
    if passes {
        columns.splice(0..0, sources);
    }
    let last = view.attr(last)?;
    let mut loaded = loader.load(&last, Some(&columns))?;
    loaded.report.name = Some("meta estimator".to_string());
    let (last, report) = predictor(loaded, &last)?;
    children.push(report);
    let targets = Targets {
        table: Vec::new(),
        samples: Vec::new(),
        contribs: Vec::new(),
        leaves: Vec::new(),
        claims_decision: !is_regression,
        ..last.targets.clone()
    };
    let step = run::Stacking { members: all, want, kept: widths, averages, passes, last };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use std::ops::Range;

    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::families::shared::side_by_side::side_by_side;
    use crate::math::scores::{Average, Softmax, first_largest, products};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run, Transform};

    #[derive(Debug)]
    pub(super) struct Centre {
        pub(super) means: Vec<f64>,
    }

    impl Transform for Centre {
        fn transform(&self, x: Matrix, _run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            for (col, mean) in self.means.iter().enumerate() {
                dense.column_mut(col).iter_mut().for_each(|value| *value -= mean);
            }
            Matrix::Dense(Dense { narrow: false, ..dense })
        }
    }

    fn logistic_of(scores: &[f64]) -> Vec<Vec<f64>> {
        vec![scores.iter().map(|score| 1.0 / (1.0 + (-score).exp())).collect()]
    }

    #[derive(Debug)]
    pub(super) struct Linear {
        pub(super) class: String,
        /// By output.
        pub(super) weights: Vec<f64>,
        pub(super) intercept: Vec<f64>,
        pub(super) is_number: bool,
        pub(super) is_softmax: bool,
    }

    impl Predict for Linear {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let (rows, cols) = (x.rows(), x.cols());
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, &self.class, None, "a sparse table");
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let mut scores = products(&x, &self.weights);
            for (column, start) in scores.iter_mut().zip(&self.intercept) {
                column.iter_mut().for_each(|score| *score += start);
            }
            if self.is_number {
                return Answer::F64(scores);
            }
            if let [one] = scores.as_slice() {
                if self.is_softmax {
                    // The only class there was, whatever the score.
                    let share = |score: &f64| if score.is_finite() { 1.0 } else { f64::NAN };
                    return match want {
                        Method::Predict => Answer::Class(vec![vec![0; rows]]),
                        _ => Answer::F64(vec![one.iter().map(share).collect()]),
                    };
                }
                if want == Method::Proba {
                    return Answer::F64(logistic_of(one));
                }
                // What is not a number is not below 0.
                return Answer::Class(vec![
                    one.iter().map(|score| u32::from(*score >= 0.0 || score.is_nan())).collect(),
                ]);
            }
            let proba = Softmax::PLAIN.of(scores);
            match want {
                Method::Predict => Answer::Class(vec![first_largest(&proba, rows)]),
                _ => Answer::F64(proba),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Stacking {
        pub(super) members: Vec<Member>,
        pub(super) want: Method,
        /// Which of its answers each of them hands on.
        pub(super) kept: Vec<Range<usize>>,
        pub(super) averages: bool,
        pub(super) passes: bool,
        pub(super) last: Member,
    }

    impl Predict for Stacking {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let mut parts = Vec::new();
            let mut mean = Average::new(None, false);
            if self.passes {
                parts.push(x.clone().into());
            }
            for (member, kept) in self.members.iter().zip(&self.kept) {
                let columns = member.numbers(x.clone(), self.want, run)[kept.clone()].to_vec();
                if self.averages {
                    mean.add(columns);
                    continue;
                }
                let (cols, narrow) = (columns.len(), member.is_narrow(self.want));
                parts.push(Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow }).into());
            }
            if self.averages {
                let columns = mean.finish();
                let cols = columns.len();
                parts.push(Matrix::Dense(Dense { data: columns.concat(), rows, cols, narrow: false }).into());
            }
            let sparse = self.passes && matches!(x, Matrix::Csr(_));
            self.last.step.answer(side_by_side(parts, rows, sparse), want, run)
        }
    }
}
