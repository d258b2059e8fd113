//! CatBoost: boosters, their wrappers, and the files of `save_model`.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::some_attr;
use crate::catboost::{self, Booster, Classes, Form, Format, Kind, Label, Reasoned, Scorer};
use crate::families::shared::explained::{contribs, leaves};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::{Predict, Step};
use crate::{Error, FeatureUse, InputKind, Output, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "CatBoost",
    classes: &[
        ("catboost.core", "CatBoost"),
        ("catboost.core", "CatBoostClassifier"),
        ("catboost.core", "CatBoostRanker"),
        ("catboost.core", "CatBoostRegressor"),
    ],
    globals: &[],
    load,
};

/// A file of CatBoost's own: what is told is what its classifier or regressor tells.
pub(crate) fn raw(
    loader: &mut Loader<'_>,
    bytes: &[u8],
    format: Format,
    given: Option<&[Source]>,
) -> Result<Loaded, Error> {
    let booster = catboost::read(bytes, format)?;
    let mut loaded = build(loader, None, booster, true, given)?;
    loaded.report.class = format.name().to_string();
    Ok(loaded)
}

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let Some(model) = some_attr(view, "__model")? else {
        return Err(Error::Unfitted { place: view.path() });
    };
    let booster = catboost::read(model.as_bytes()?, Format::Binary)?;
    let tells_classes = !view.is("catboost.core", "CatBoost");
    build(loader, Some(view), booster, tells_classes, given)
}

/// What a loss makes of scores; `None` where they are told as they are.
fn classes_of(booster: &Booster) -> Option<Form> {
    let border = booster.info.threshold.map_or(0.0, |share| -(1.0 / share - 1.0).ln());
    match booster.info.loss.as_str() {
        "Logloss" | "CrossEntropy" | "Focal" => Some(Form::Two(border)),
        "MultiClass" => Some(Form::Largest),
        "MultiClassOneVsAll" => Some(Form::LargestOfEach),
        "MultiLogloss" | "MultiCrossEntropy" => Some(Form::Each),
        _ => None,
    }
}

/// What is told, and how.
fn answers(booster: &Booster, tells_classes: bool, place: &str) -> Result<(Form, Targets), Error> {
    let numbers = |form: Form| Ok((form, Targets::numbers(booster.dimensions, DataType::Float64)));
    let dimensions = booster.dimensions;
    let form = match (classes_of(booster).filter(|_| tells_classes), booster.info.loss.as_str()) {
        (Some(form), _) => form,
        (None, "Poisson" | "Tweedie") if tells_classes && dimensions == 1 => return numbers(Form::Exponential),
        (None, "RMSEWithUncertainty") if tells_classes && dimensions == 2 => return numbers(Form::Uncertainty),
        (None, _) => return numbers(Form::Value),
    };
    let is_two = matches!(form, Form::Two(_));
    if is_two != (dimensions == 1) && form != Form::Each {
        let loss = &booster.info.loss;
        return Err(Error::state(place, format!("{dimensions} scores of the loss `{loss}`")));
    }
    let column = |name: String, class| Output { name, data_type: DataType::Float64, class };
    if form == Form::Each {
        let mut targets = Targets::classes(vec![Labels::counted(2); dimensions], DataType::Float64);
        targets.proba.retain(|output| output.class.as_deref() == Some("1"));
        let decision = |index| column(format!("decision_{index}"), None);
        targets.decision = (0..dimensions).map(decision).collect();
        return Ok((form, targets));
    }
    let count = if is_two { 2 } else { dimensions };
    let labels = labels(&booster.info.classes, place)?.unwrap_or_else(|| Labels::counted(count));
    if labels.len() != count {
        return Err(Error::counts(place, (labels.len(), "class labels"), (count, "classes")));
    }
    let decision = if is_two {
        vec![column("decision".to_string(), None)]
    } else {
        let texts = (0..count).map(|class| labels.text(class));
        texts.map(|class| column(format!("decision_{class}"), Some(class))).collect()
    };
    Ok((form, Targets { decision, ..Targets::classes(vec![labels], DataType::Float64) }))
}

/// The labels in the type that they share; `None` where the file tells none.
fn labels(classes: &Classes, place: &str) -> Result<Option<Labels>, Error> {
    let all = &classes.labels;
    let float = |label: &Label| match label {
        Label::Int(int) => Some(*int as f64),
        Label::Float(float) => Some(*float),
        Label::Bool(_) | Label::Text(_) => None,
    };
    let int = |label: &Label| if let Label::Int(int) = label { Some(*int) } else { None };
    let bool = |label: &Label| if let Label::Bool(bool) = label { Some(*bool) } else { None };
    let text = |label: &Label| if let Label::Text(text) = label { Some(text.clone()) } else { None };
    let ints = all.iter().map(int).collect::<Option<Vec<_>>>().filter(|_| !classes.are_floats).map(Labels::Int);
    let found = ints
        .or_else(|| all.iter().map(float).collect::<Option<Vec<_>>>().map(Labels::Float))
        .or_else(|| all.iter().map(bool).collect::<Option<Vec<_>>>().map(Labels::Bool))
        .or_else(|| all.iter().map(text).collect::<Option<Vec<_>>>().map(Labels::Text));
    match found {
        Some(labels) => Ok((!all.is_empty()).then_some(labels)),
        None => Err(Error::state(place, "class labels of several types")),
    }
}

fn build(
    loader: &mut Loader<'_>,
    view: Option<&View<'_>>,
    booster: Booster,
    tells_classes: bool,
    given: Option<&[Source]>,
) -> Result<Loaded, Error> {
    loader.set_library("CatBoost", booster.info.version.clone());
    let place = view.map(View::path).unwrap_or_default();
    let (sources, places) = inputs(loader, &booster, given, &place)?;
    for (feature, (at, _)) in booster.features.iter().zip(&places) {
        let kind = if feature.kind == Kind::Number { InputKind::Number } else { InputKind::Any };
        sources.get(*at).into_iter().for_each(|source| loader.demand(source, kind.clone()));
    }
    let (form, mut targets) = answers(&booster, tells_classes, &place)?;
    if !loader.is_outermost() {
        // Others find no `decision_function` in it, and take its probabilities.
        targets.decision.clear();
    }
    let loss = booster.info.loss.clone();
    let weights = booster.weights.clone();
    let scorer = Scorer::new(booster, &places, loader.options.iterations.clone(), form);
    let (trees, nodes, max_depth, bytes) = scorer.size();
    let uses = sources.iter().zip(scorer.uses(sources.len())).filter(|(_, splits)| *splits > 0);
    let features = uses.map(|(source, splits)| FeatureUse { name: source.label.clone(), splits, gain: 0.0 }).collect();
    let report = StepReport {
        class: view.and_then(View::class).map(|class| class.to_string()).unwrap_or_default(),
        parameters: if loss.is_empty() { Vec::new() } else { vec![("loss_function".to_string(), format!("'{loss}'"))] },
        trees: Some(TreesReport { trees, nodes, max_depth, kernel: scorer.kernel().to_string(), bytes, features }),
        ..StepReport::default()
    };
    let scorer: Box<dyn Predict> = match loader.options.explain {
        false => Box::new(scorer),
        true => {
            let reasoned = Reasoned::new(scorer, &weights, sources.len());
            let labels = sources.iter().map(|source| source.label.as_str());
            targets.contribs = contribs(reasoned.explained(), labels, &targets);
            targets.leaves = leaves(reasoned.numbered());
            Box::new(reasoned)
        }
    };
    Ok(Loaded { step: Step::Predict(scorer), out: Out::Answers(targets), report })
}

/// For each feature its place among the columns, and what it is called.
type Places = Vec<(usize, String)>;

/// The columns that it takes, and for each of its features which of them it is and what that is called.
fn inputs(
    loader: &mut Loader<'_>,
    booster: &Booster,
    given: Option<&[Source]>,
    place: &str,
) -> Result<(Vec<Source>, Places), Error> {
    let width = booster.width();
    if let Some(given) = given {
        // What training ignored may stand behind what the model knows.
        if given.len() < width {
            return Err(Error::state(place, format!("takes {width} features and is given {}", given.len())));
        }
        let label = |column: usize| given.get(column).map(|source| source.label.clone()).unwrap_or_default();
        let places = booster.features.iter().map(|feature| (feature.column, label(feature.column))).collect();
        return Ok((given.to_vec(), places));
    }
    let mut order: Vec<usize> = (0..booster.features.len()).collect();
    order.sort_by_key(|at| booster.features.get(*at).map(|feature| feature.column));
    let in_order = || order.iter().filter_map(|at| booster.features.get(*at));
    let named = in_order().all(|feature| !feature.name.is_empty())
        && !in_order().all(|feature| feature.name == feature.column.to_string());
    // Columns that training ignored have no names, and are not asked for where the others have.
    let sources = if named {
        loader.own_sources(order.len(), Some(in_order().map(|feature| feature.name.clone()).collect()))?
    } else {
        loader.own_sources(width, None)?
    };
    let mut at = vec![0; booster.features.len()];
    for (position, feature) in order.iter().enumerate() {
        let column = if named { position } else { booster.features.get(*feature).map_or(0, |one| one.column) };
        at.get_mut(*feature).into_iter().for_each(|slot| *slot = column);
    }
    let label = |column: usize| sources.get(column).map(|source| source.label.clone()).unwrap_or_default();
    let places = at.into_iter().map(|column| (column, label(column))).collect();
    Ok((sources, places))
}
