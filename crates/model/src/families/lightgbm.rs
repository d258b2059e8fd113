//! LightGBM: boosters, their scikit-learn wrappers, and model texts.

use arrow_schema::DataType;
use foretell_pickle::{Entry, View};

use crate::attributes::{self, own_function, some_attr};
use crate::families::shared::explained::{Before, Shares, Told, explained};
use crate::families::shared::lone_class;
use crate::family::Family;
use crate::labels::Labels;
use crate::lightgbm::{self, Booster, Levels, OutputForm, Scorer, ZERO};
use crate::loaded::decisions;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::{Chain, Step, Transform};
use crate::trees::{Explainer, Gain, Landing, Numbers};
use crate::{Error, InputKind, StepReport, TreesReport};

pub(crate) const FAMILY: Family = Family {
    name: "LightGBM",
    classes: &[
        ("lightgbm.basic", "Booster"),
        ("lightgbm.sklearn", "LGBMClassifier"),
        ("lightgbm.sklearn", "LGBMModel"),
        ("lightgbm.sklearn", "LGBMRanker"),
        ("lightgbm.sklearn", "LGBMRegressor"),
    ],
    globals: &[
        Entry::class("sklearn.preprocessing.label", "LabelEncoder"),
        Entry::class("sklearn.preprocessing._label", "LabelEncoder"),
    ],
    load,
};

/// A model text that is the whole file.
pub(crate) fn raw(loader: &mut Loader<'_>, bytes: &[u8], given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut loaded = build(loader, None, lightgbm::read(bytes)?, None, given)?;
    loaded.report.class = lightgbm::FORMAT.to_string();
    Ok(loaded)
}

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let name = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    let booster = if name == "Booster" { Some(view.clone()) } else { some_attr(view, "_Booster")? };
    let Some(booster) = booster else {
        return Err(Error::Unfitted { place: view.path() });
    };
    let handle = match some_attr(&booster, "_handle")? {
        Some(handle) => handle,
        None => booster.attr("handle")?,
    };
    if let Some(function) = own_function(view, "objective")?.or(own_function(view, "_objective")?) {
        loader.note(format!("the objective, {function}, is not run: the predictions are raw scores, as in Python"));
    }
    let mut parsed = lightgbm::read(handle.as_str()?.as_bytes())?;
    // `predict` of a booster that stopped early takes the iterations up to the best; 0 and -1 mean all.
    if loader.options.iterations.is_none()
        && let Some(best) = some_attr(&booster, "best_iteration")?
        && let Ok(best @ 1..) = best.as_usize()
    {
        parsed.keep_iterations(0, best);
    }
    let labels = match some_attr(view, "_le")? {
        Some(encoder) if name == "LGBMClassifier" => Some(attributes::labels(&encoder.attr("classes_")?)?),
        None if name == "LGBMClassifier" => {
            return Err(Error::state(view.path(), "the classifier has no `_le`, so that its classes are not known"));
        }
        _ => None,
    };
    build(loader, Some(view), parsed, labels, given)
}

fn build(
    loader: &mut Loader<'_>,
    view: Option<&View<'_>>,
    mut booster: Booster,
    labels: Option<Labels>,
    given: Option<&[Source]>,
) -> Result<Loaded, Error> {
    loader.set_library("LightGBM", None);
    let place = view.map(View::path).unwrap_or_default();
    if let Some(range) = &loader.options.iterations {
        booster.keep_iterations(range.start, range.end);
    }
    let names = (!booster.names.is_empty()).then(|| booster.names.clone());
    let features = booster.ensemble.features;
    loader.rewritten |= given.is_none();
    let sources = loader.sources_at(&place, given, features, names)?;
    let levels = levels(loader, &booster, &sources);
    for (source, levels) in sources.iter().zip(&levels) {
        let kind = match levels {
            Some(Levels::Text(levels)) => InputKind::Category(levels.clone()),
            _ => InputKind::Number,
        };
        loader.demand(source, kind);
    }
    let mut lone = false;
    let (form, mut targets) = match labels {
        // With an objective of one's own the classifier gives raw scores, too.
        Some(_) if booster.objective_name == "custom" => {
            (OutputForm::Value, Targets::numbers(booster.outputs, DataType::Float64))
        }
        None => (OutputForm::Value, Targets::numbers(booster.outputs, DataType::Float64)),
        Some(labels) => {
            let classes = if booster.outputs == 1 { 2 } else { booster.outputs };
            // A single class is trained as the first of two.
            lone = classes == 2 && labels.len() == 1;
            if labels.len() != classes && !lone {
                let message = format!(
                    "{} class labels for {} outputs of the objective `{}`",
                    labels.len(),
                    booster.outputs,
                    booster.objective_name
                );
                return Err(Error::state(place, message));
            }
            // `decision_function` came with 4.7, which also was the first to keep this.
            let decides = match view {
                Some(view) => view.get_attr("_fitted_with_feature_names")?.is_some(),
                None => false,
            };
            let decision = if decides { decisions(&labels) } else { Vec::new() };
            (OutputForm::Class, Targets { decision, ..lone_class::targets(labels, DataType::Float64) })
        }
    };
    let scorer = Scorer::new(&booster, form);
    let trees = TreesReport {
        trees: booster.ensemble.trees.len(),
        nodes: booster.ensemble.nodes(),
        max_depth: booster.depth,
        kernel: scorer.kernel(),
        bytes: booster.ensemble.bytes().saturating_add(scorer.bytes()),
        features: booster.ensemble.uses(Gain::Split, sources.iter().map(|source| source.label.as_str())),
    };
    let mut parameters = vec![
        ("format".to_string(), format!("'{}'", booster.format)),
        ("objective".to_string(), format!("'{}'", booster.objective_name)),
        ("rounds".to_string(), booster.rounds().to_string()),
    ];
    if let Some(kind) = &booster.booster {
        parameters.insert(0, ("boosting".to_string(), format!("'{}'", kind.escape_debug())));
    }
    let class = view.and_then(View::class).map(|class| class.to_string()).unwrap_or_default();
    let report = StepReport { class, parameters, trees: Some(trees), ..StepReport::default() };
    let explainer = match loader.options.explain && booster.linear.is_empty() && !booster.averages {
        true => Explainer::new(&booster.ensemble, |_, value| value, &[], false),
        false => None,
    };
    let before = Before { zero_missing: booster.zero_missing.clone(), zero: ZERO, ..Before::default() };
    let landing = loader.lands().then(|| Landing::new(&booster.ensemble, Numbers::Leaves, false));
    let told = Told { shares: explainer.map(Shares::Trees), landing, before };
    let scorer = explained(Box::new(scorer), told, &sources, &mut targets);
    let scorer = lone_class::guarded(scorer, "LGBMClassifier", lone);
    let step = if levels.iter().all(Option::is_none) {
        Step::Predict(scorer)
    } else {
        let recode: Box<dyn Transform> = Box::new(recode::Recode::new(&levels, &sources));
        Step::Predict(Box::new(Chain { transforms: vec![recode], last: Some(scorer) }))
    };
    Ok(Loaded { step, out: Out::Answers(targets), report })
}

/// The levels of each feature: those in the file, else those the caller gave by name.
fn levels(loader: &Loader<'_>, booster: &Booster, sources: &[Source]) -> Vec<Option<Levels>> {
    let given = |source: &Source| loader.options.categories.get(&source.label).cloned().map(Levels::Text);
    if booster.levels.is_empty() { sources.iter().map(given).collect() } else { booster.levels.clone() }
}

/// Categories become the codes that the booster was trained on; an unknown one is missing.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod recode {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, Float64Array};

    use crate::categories;
    use crate::lightgbm::Levels;
    use crate::loaded::Source;
    use crate::matrix::{Frame, Matrix, read};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Recode {
        /// By column, with its name.
        codes: Vec<Option<(String, Codes)>>,
    }

    #[derive(Debug)]
    enum Codes {
        Text(HashMap<String, usize>),
        /// By the bits of a float64 whose zero is positive.
        Number(HashMap<u64, usize>),
    }

    impl Recode {
        pub(super) fn new(levels: &[Option<Levels>], sources: &[Source]) -> Self {
            let codes = |levels: &Levels| match levels {
                Levels::Text(all) => Codes::Text(all.iter().cloned().zip(0..).collect()),
                Levels::Number(all) => Codes::Number(all.iter().map(|one| (one + 0.0).to_bits()).zip(0..).collect()),
            };
            let named = |(levels, source): (&Option<Levels>, &Source)| {
                levels.as_ref().map(|levels| (source.label.clone(), codes(levels)))
            };
            Recode { codes: levels.iter().zip(sources).map(named).collect() }
        }
    }

    impl Transform for Recode {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let Matrix::Frame(Frame { mut columns, rows, rule }) = x else { return x };
            for (column, codes) in columns.iter_mut().zip(&self.codes) {
                if let Some((label, codes)) = codes {
                    run.unseen(label, recode(column, codes));
                }
            }
            Matrix::Frame(Frame { columns, rows, rule })
        }
    }

    /// How many rows hold what is not a level.
    fn recode(column: &mut ArrayRef, codes: &Codes) -> usize {
        let mut unseen = 0;
        let mut code = |found: Option<Option<&usize>>| {
            unseen += usize::from(found == Some(None));
            found.flatten().map_or(f64::NAN, |code| *code as f64)
        };
        let mut out = vec![f64::NAN; column.len()];
        match codes {
            Codes::Text(codes) if is_text(column.data_type()) => {
                categories::texts(column, |row, text| out[row] = code(text.map(|text| codes.get(text))));
            }
            // Numbers in place of texts are codes already.
            Codes::Text(_) => return 0,
            Codes::Number(codes) => {
                let mut numbers = vec![0.0f64; column.len()];
                if !read(column, 0..column.len(), &mut numbers) {
                    return 0;
                }
                let found = |x: f64| (!x.is_nan()).then(|| codes.get(&(x + 0.0).to_bits()));
                out.iter_mut().zip(&numbers).for_each(|(out, x)| *out = code(found(*x)));
            }
        }
        *column = Arc::new(Float64Array::from(out));
        unseen
    }
}
