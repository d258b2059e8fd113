//! XGBoost: boosters, their scikit-learn wrappers, and the files of `save_model`.

use std::collections::HashMap;

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{own_function, some_attr};
use crate::families::shared::explained::{Before, Shares, Told, explained};
use crate::families::shared::lone_class;
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::{Chain, Step};
use crate::trees::{Explainer, Gain, Landing, Numbers};
use crate::xgboost::{self, Booster, Form, Objective, OutputForm, Scorer};
use crate::{Error, InputKind, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "XGBoost",
    classes: &[
        ("xgboost.core", "Booster"),
        ("xgboost.sklearn", "XGBClassifier"),
        ("xgboost.sklearn", "XGBModel"),
        ("xgboost.sklearn", "XGBRFClassifier"),
        ("xgboost.sklearn", "XGBRFRegressor"),
        ("xgboost.sklearn", "XGBRanker"),
        ("xgboost.sklearn", "XGBRegressor"),
    ],
    globals: &[
        Entry::class("xgboost.compat", "XGBoostLabelEncoder"),
        Entry::class("sklearn.preprocessing.label", "LabelEncoder"),
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
        Entry::class("xgboost.callback", "EarlyStopping"),
        Entry::class("xgboost.callback", "EvaluationMonitor"),
        Entry::class("xgboost.callback", "LearningRateScheduler"),
        Entry::class("xgboost.callback", "TrainingCheckPoint"),
    ],
    load,
};

/// What wraps a booster.
struct Wrapper {
    is_classifier: bool,
    /// Whether `predict` stops at the best iteration of early stopping.
    stops_early: bool,
    /// `best_ntree_limit` of wrappers before 1.4.
    tree_limit: Option<usize>,
    labels: Option<Labels>,
    /// Number that stands for a missing value.
    missing: f64,
    /// Feature names that older boosters keep beside the handle.
    names: Vec<String>,
}

impl Default for Wrapper {
    fn default() -> Self {
        Wrapper {
            is_classifier: false,
            stops_early: false,
            tree_limit: None,
            labels: None,
            missing: f64::NAN,
            names: Vec::new(),
        }
    }
}

/// A file in one of XGBoost's own formats. One that a scikit-learn wrapper saved says so, and is read as that wrapper.
pub(crate) fn raw(
    loader: &mut Loader<'_>,
    bytes: &[u8],
    form: Form,
    given: Option<&[Source]>,
) -> Result<Loaded, Error> {
    let booster = xgboost::read(bytes)?;
    let note = booster.attribute("scikit_learn").map(str::to_string);
    let wrapper = Wrapper {
        is_classifier: note.as_deref().is_some_and(|note| note.contains("\"classifier\"")),
        stops_early: note.is_some(),
        ..Wrapper::default()
    };
    let mut loaded = build(loader, None, booster, wrapper, given)?;
    loaded.report.class = form.name().to_string();
    Ok(loaded)
}

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let name = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    let (booster, mut wrapper) = if name == "Booster" {
        (view.clone(), Wrapper::default())
    } else {
        let Some(booster) = some_attr(view, "_Booster")? else {
            return Err(Error::Unfitted { place: view.path() });
        };
        if let Some(function) = own_function(view, "objective")? {
            loader.note(format!(
                "the objective, {function}, is not run: the predictions are what the booster makes of them by the objective that \
                 it stores, as in Python"
            ));
        }
        (booster, wrapper(view, name)?)
    };
    if let Some(names) = some_attr(&booster, "feature_names")? {
        let texts: Result<_, _> = names.items()?.iter().map(|name| name.as_str().map(str::to_string)).collect();
        wrapper.names = texts?;
    }
    let handle = booster.attr("handle")?;
    let parsed = xgboost::read(handle.as_bytes()?)?;
    build(loader, Some(view), parsed, wrapper, given)
}

fn wrapper(view: &View<'_>, class: &str) -> Result<Wrapper, Error> {
    let is_classifier = matches!(class, "XGBClassifier" | "XGBRFClassifier");
    let labels = match some_attr(view, "_le")? {
        Some(encoder) => Some(crate::attributes::labels(&encoder.attr("classes_")?)?),
        None => None,
    };
    let tree_limit = match some_attr(view, "best_ntree_limit")? {
        Some(limit) => Some(limit.as_usize()?),
        None => None,
    };
    let missing = match some_attr(view, "missing")? {
        Some(missing) => missing.as_f64()?,
        None => f64::NAN,
    };
    Ok(Wrapper { is_classifier, stops_early: true, tree_limit, labels, missing, names: Vec::new() })
}

fn build(
    loader: &mut Loader<'_>,
    view: Option<&View<'_>>,
    mut booster: Booster,
    wrapper: Wrapper,
    given: Option<&[Source]>,
) -> Result<Loaded, Error> {
    loader.set_library("XGBoost", booster.version_text());
    let place = view.map(View::path).unwrap_or_default();
    limit_iterations(loader, &mut booster, &wrapper);

    let names = if booster.names.is_empty() { wrapper.names.clone() } else { booster.names.clone() };
    let numbered = names.iter().enumerate().all(|(index, name)| *name == format!("f{index}"));
    let names = (!numbered).then_some(names);
    let features = booster.ensemble.features;
    let sources = loader.sources_at(&place, given, features, names)?;
    let mut transforms: Vec<Box<dyn crate::step::Transform>> = Vec::new();
    let levels = levels(loader, &booster, &sources);
    let coded = sources.iter().zip(&levels).zip(&booster.types);
    let coded: Vec<String> = coded
        .filter(|((_, levels), kind)| levels.is_empty() && *kind == "c")
        .map(|((source, _), _)| format!("`{}`", source.label))
        .collect();
    if !coded.is_empty() {
        loader.note(format!(
            "of {} the file holds the codes of categories and not their levels, as XGBoost before 3.1 saves them: give the codes as \
             numbers, or the levels in the order of their codes as `categories`",
            coded.join(", ")
        ));
    }
    for (source, levels) in sources.iter().zip(&levels) {
        let kind = if levels.is_empty() { InputKind::Number } else { InputKind::Category(levels.clone()) };
        loader.demand(source, kind);
    }
    if levels.iter().any(|levels| !levels.is_empty()) {
        let stored = !booster.levels.is_empty();
        let index = |levels: &Vec<String>| {
            levels.iter().enumerate().map(|(code, level)| (level.clone(), code)).collect::<HashMap<_, _>>()
        };
        transforms.push(Box::new(recode::Recode {
            levels: levels.iter().map(|levels| (!levels.is_empty()).then(|| index(levels))).collect(),
            numbers: booster.numbers.iter().map(|numbers| (!numbers.is_empty()).then(|| codes(numbers))).collect(),
            labels: sources.iter().map(|source| source.label.clone()).collect(),
            refuses: stored,
        }));
    }

    let finite = checked(&booster, &wrapper, &sources);
    let (output_form, mut targets) = answers(&booster, wrapper.is_classifier, wrapper.labels, &place)?;
    let lone = targets.labels.first().is_some_and(|labels| labels.len() == 1);
    let scorer = Scorer::new(&booster, output_form, wrapper.missing, finite, wrapper.stops_early);
    let mut report = StepReport::default();
    if booster.linear.is_none() {
        report.trees = Some(TreesReport {
            trees: booster.ensemble.trees.len(),
            nodes: booster.ensemble.nodes(),
            max_depth: booster.depth,
            kernel: scorer.kernel(),
            bytes: booster.ensemble.bytes().saturating_add(scorer.bytes()),
            features: booster.ensemble.uses(Gain::Split, sources.iter().map(|source| source.label.as_str())),
        });
    }
    report.parameters = vec![
        ("booster".to_string(), format!("'{}'", booster.booster)),
        ("objective".to_string(), format!("'{}'", booster.objective_name)),
        ("rounds".to_string(), booster.rounds().to_string()),
    ];
    if let Some(view) = view {
        report.class = view.class().map(|class| class.to_string()).unwrap_or_default();
    }
    let base: Vec<f64> = booster.base.iter().map(|base| f64::from(*base)).collect();
    let shares = match (loader.options.explain, &booster.linear) {
        (false, _) => None,
        (true, None) => {
            let weight = |tree: usize, value: f64| f64::from(booster.weights.get(tree).copied().unwrap_or(1.0)) * value;
            Explainer::new(&booster.ensemble, weight, &base, true).map(Shares::Trees)
        }
        (true, Some(weights)) => linear_shares(weights, &base),
    };
    let missing = (!wrapper.missing.is_nan()).then_some(wrapper.missing);
    let before = Before { missing, absent: f64::NAN, ..Before::default() };
    let lands = loader.lands() && booster.linear.is_none();
    let landing = lands.then(|| Landing::new(&booster.ensemble, Numbers::Nodes, true));
    let scorer = explained(Box::new(scorer), Told { shares, landing, before }, &sources, &mut targets);
    let scorer = lone_class::guarded(scorer, "XGBClassifier", lone);
    let step =
        Step::Predict(if transforms.is_empty() { scorer } else { Box::new(Chain { transforms, last: Some(scorer) }) });
    Ok(Loaded { step, out: Out::Answers(targets), report })
}

/// What each column of a linear booster adds: the file's weights stand by feature and then by output, the biases last.
fn linear_shares(weights: &[f32], base: &[f64]) -> Option<Shares> {
    let outputs = base.len();
    let features = weights.len().checked_div(outputs)?.checked_sub(1)?;
    let at = |feature: usize, output: usize| {
        let at = feature.checked_mul(outputs).and_then(|at| at.checked_add(output));
        at.and_then(|at| weights.get(at)).map(|weight| f64::from(*weight))
    };
    let by_output = (0..outputs).flat_map(|output| (0..features).map(move |feature| (feature, output)));
    let weights: Option<Vec<f64>> = by_output.map(|(feature, output)| at(feature, output)).collect();
    // The base of the first output is that of all.
    let base = base.first().copied().unwrap_or_default();
    let intercept: Option<Vec<f64>> = (0..outputs).map(|output| Some(at(features, output)? + base)).collect();
    Some(Shares::Weights { weights: weights?, intercept: intercept? })
}

/// Keeps the rounds that are asked for, or those that the wrapper's `predict` takes after early stopping.
fn limit_iterations(loader: &Loader<'_>, booster: &mut Booster, wrapper: &Wrapper) {
    if let Some(range) = &loader.options.iterations {
        booster.keep_iterations(range.start, range.end);
        return;
    }
    if !wrapper.stops_early {
        return;
    }
    if let Some(limit) = wrapper.tree_limit.filter(|limit| *limit > 0) {
        let rounds = limit.checked_div(booster.parallel).unwrap_or(limit);
        booster.keep_iterations(0, rounds);
    } else if booster.version.is_some_and(|version| version >= [1, 4, 0]) {
        let number = |name: &str| booster.attribute(name).and_then(|number| number.parse::<usize>().ok());
        // Before 1.6 a file does not tell how many trees a round has; the limit counts them.
        let limit = number("best_ntree_limit").and_then(|limit| limit.checked_div(booster.parallel));
        if let Some(rounds) = limit.or_else(|| number("best_iteration").map(|best| best.saturating_add(1))) {
            booster.keep_iterations(0, rounds);
        }
    }
}

/// What the library raises on: from 1.4 on a matrix takes no infinity. Wrappers make one for linear models only.
fn checked(booster: &Booster, wrapper: &Wrapper, sources: &[Source]) -> Option<Finite> {
    let checks = booster.version.is_some_and(|version| version >= [1, 4, 0]);
    let matrix = !wrapper.stops_early || booster.linear.is_some();
    (checks && matrix && !wrapper.missing.is_infinite()).then(|| Finite::new("XGBoost", sources, true, true))
}

/// The levels of each feature: those in the file, else those the caller gave by name.
fn levels(loader: &Loader<'_>, booster: &Booster, sources: &[Source]) -> Vec<Vec<String>> {
    let given = |source: &Source| loader.options.categories.get(&source.label).cloned().unwrap_or_default();
    if booster.levels.is_empty() { sources.iter().map(given).collect() } else { booster.levels.clone() }
}

/// What the model answers.
fn answers(
    booster: &Booster,
    is_classifier: bool,
    labels: Option<Labels>,
    place: &str,
) -> Result<(OutputForm, Targets), Error> {
    if !is_classifier {
        let softmax = booster.objective_name.ends_with("multi:softmax");
        let count = if softmax { 1 } else { booster.outputs };
        return Ok((OutputForm::Value, Targets::numbers(count, DataType::Float32)));
    }
    if booster.classes <= 1 && booster.outputs > 1 {
        // Several yes-or-no targets at once: a probability of yes for each.
        let mut targets = Targets::classes(vec![Labels::counted(2); booster.outputs], DataType::Float32);
        targets.proba.retain(|output| output.class.as_deref() == Some("1"));
        // The library says yes with a 1.0.
        targets.labels = vec![Labels::Float(vec![0.0, 1.0]); booster.outputs];
        targets.predict.iter_mut().for_each(|output| output.data_type = DataType::Float64);
        return Ok((OutputForm::Labels, targets));
    }
    let classes = booster.classes.max(2);
    let labels = labels.unwrap_or_else(|| Labels::counted(classes));
    // Wrappers before 1.6 trained a single class as the first of two.
    let lone = labels.len() == 1 && booster.outputs == 1;
    if labels.len() != classes && !lone {
        return Err(Error::counts(place, (labels.len(), "class labels"), (classes, "classes")));
    }
    if booster.outputs != classes && (booster.outputs, classes) != (1, 2) {
        return Err(Error::counts(place, (booster.outputs, "outputs"), (classes, "classes")));
    }
    let mut targets = lone_class::targets(labels, DataType::Float32);
    // The wrapper of 1.6 left the objective as it was given, and raises.
    if booster.objective == Objective::Softmax && booster.version.is_some_and(|version| version < [1, 7, 0]) {
        targets.proba.clear();
    }
    Ok((OutputForm::Class, targets))
}

/// Levels that are numbers, with their codes.
fn codes(numbers: &[f64]) -> HashMap<u64, usize> {
    numbers.iter().enumerate().map(|(code, number)| (number.to_bits(), code)).collect()
}

/// Categories become the codes that the booster was trained on.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod recode {
    use std::collections::HashMap;

    use crate::categories;
    use crate::matrix::{Dense, Frame, Matrix, read};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Recode {
        /// For each feature its levels with their codes, where it has any.
        pub(super) levels: Vec<Option<HashMap<String, usize>>>,
        /// Likewise by the bits of levels that are numbers.
        pub(super) numbers: Vec<Option<HashMap<u64, usize>>>,
        pub(super) labels: Vec<String>,
        /// Whether an unknown level is refused, as XGBoost does with the levels it stores; else it is missing.
        pub(super) refuses: bool,
    }

    impl Transform for Recode {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let Matrix::Frame(Frame { mut columns, rows, rule }) = x else { return x };
            for ((column, numbers), label) in columns.iter_mut().zip(&self.numbers).zip(&self.labels) {
                let Some(numbers) = numbers.as_ref().filter(|_| !is_text(column.data_type())) else { continue };
                let mut codes = vec![f64::NAN; rows];
                read(column, 0..rows, &mut codes);
                for (row, slot) in codes.iter_mut().enumerate().filter(|(_, slot)| !slot.is_nan()) {
                    // 0.0 finds -0.0 too.
                    let code = numbers.get(&(*slot + 0.0).to_bits());
                    if code.is_none() {
                        run.refuse(row, "XGBoost", Some(label), "unseen category");
                    }
                    *slot = code.map_or(f64::NAN, |code| *code as f64);
                }
                *column = std::sync::Arc::new(arrow_array::Float64Array::from(codes));
            }
            for ((column, levels), label) in columns.iter_mut().zip(&self.levels).zip(&self.labels) {
                let Some(levels) = levels.as_ref().filter(|_| is_text(column.data_type())) else { continue };
                let mut codes = Dense::zeros(rows, 1);
                let mut unseen = 0;
                categories::texts(column, |row, text| {
                    let code = text.and_then(|text| levels.get(text).copied());
                    if text.is_some() && code.is_none() {
                        if self.refuses {
                            run.refuse(row, "XGBoost", Some(label), "unseen category");
                        } else {
                            unseen += 1;
                        }
                    }
                    if let Some(slot) = codes.data.get_mut(row) {
                        *slot = code.map_or(f64::NAN, |code| code as f64);
                    }
                });
                run.unseen(label, unseen);
                *column = std::sync::Arc::new(arrow_array::Float64Array::from(codes.data));
            }
            Matrix::Frame(Frame { columns, rows, rule })
        }
    }
}
