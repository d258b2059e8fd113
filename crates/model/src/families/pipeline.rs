//! `Pipeline`: transformers one after the other, and a predictor at the end where there is one.

use foretell_pickle::{Entry, Kind, View};

use super::samplers::is_sampler;
use super::scikit_lego::is_identity;
use crate::attributes::{feature_names, some_attr};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::{Chain, Step};
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "pipelines",
    classes: &[
        ("imblearn.pipeline", "Pipeline"),
        ("sklearn.pipeline", "Pipeline"),
        ("sklearn2pmml", "PMMLPipeline"),
        ("sklearn2pmml.pipeline", "PMMLPipeline"),
        ("sklearn_pandas.pipeline", "TransformerPipeline"),
    ],
    globals: &[
        // Rows that the model can be tried with, which no prediction reads.
        Entry::class("sklearn2pmml.pipeline", "Verification"),
        Entry::class("sklearn2pmml.pipeline", "_Verification"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let steps = steps(view)?;
    chain(loader, view, given, steps)
}

/// The steps that predictions take, by name.
pub(super) fn steps<'a>(view: &View<'a>) -> Result<Vec<(String, View<'a>)>, Error> {
    let mut steps = Vec::new();
    for pair in view.attr("steps")?.items()? {
        let (name, estimator) = (pair.item(0)?, pair.item(1)?);
        let passes = estimator.is_none() || estimator.as_str().is_ok_and(|text| text == "passthrough");
        if !passes && !is_sampler(&estimator) {
            steps.push((name.as_str()?.to_string(), estimator));
        }
    }
    Ok(steps)
}

/// Whether an estimator, or the first one inside of it, knows the names of its columns.
fn knows_names(view: &View<'_>) -> Result<bool, Error> {
    let mut view = view.clone();
    for _ in 0..NESTED {
        if feature_names(&view)?.is_some() {
            return Ok(true);
        }
        view = match some_attr(&view, "steps")? {
            Some(steps) => steps.item(0)?.item(1)?,
            None => match (some_attr(&view, "transformer_list")?, some_attr(&view, "estimator_")?) {
                (Some(members), _) => members.item(0)?.item(1)?,
                (None, Some(inner)) => inner,
                (None, None) => return Ok(false),
            },
        };
    }
    Ok(false)
}

/// By column, whether None is a category that an encoder has learned; nothing where the step behind has no such categories.
fn categories_of_none(encoder: &View<'_>) -> Result<Vec<bool>, Error> {
    let Some(categories) = some_attr(encoder, "categories_")? else { return Ok(Vec::new()) };
    let has_none = |column: &View<'_>| {
        let objects =
            column.array().ok().filter(|array| array.dtype().kind == Kind::Object).map(|array| array.objects());
        matches!(objects, Some(Ok(objects)) if objects.iter().any(View::is_none))
    };
    Ok(categories.items().unwrap_or_default().iter().map(has_none).collect())
}

/// How deep names are looked for.
const NESTED: usize = 8;

/// Steps one after the other; the last one may predict.
pub(super) fn chain(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    mut steps: Vec<(String, View<'_>)>,
) -> Result<Loaded, Error> {
    // What hands on the table as it is does not keep the names of its columns: those are the next step's.
    while let (None, [(_, first), (_, next), ..]) = (given, steps.as_slice()) {
        if !is_identity(first)? || !knows_names(next)? {
            break;
        }
        steps.remove(0);
    }
    let mut sources = given.map(<[Source]>::to_vec);
    let mut report = StepReport::default();
    let mut chain = Chain { transforms: Vec::new(), last: None };
    let hands_on = loader.is_transformer();
    report.class = view.class().map(|class| class.to_string()).unwrap_or_default();
    let encoders: Vec<View<'_>> = steps.iter().skip(1).map(|(_, estimator)| estimator.clone()).collect();
    let last = if hands_on { None } else { steps.pop() };
    for (at, (name, estimator)) in steps.into_iter().enumerate() {
        loader.none_passes = match encoders.get(at) {
            Some(encoder) if estimator.class().is_some_and(|class| class.name == "SimpleImputer") => {
                categories_of_none(encoder)?
            }
            _ => Vec::new(),
        };
        let mut loaded = loader.transformer(&estimator, sources.as_deref())?;
        loaded.report.name = Some(name);
        report.children.push(loaded.report);
        chain.transforms.push(loaded.step);
        sources = Some(loaded.out);
    }
    let mut targets = None;
    if let Some((name, estimator)) = last {
        let mut loaded = loader.load(&estimator, sources.as_deref())?;
        loaded.report.name = Some(name);
        report.children.push(loaded.report);
        match (loaded.step, loaded.out) {
            (Step::Transform(step), Out::Table(out)) => {
                chain.transforms.push(step);
                sources = Some(out);
            }
            (Step::Predict(step), Out::Answers(out)) => {
                chain.last = Some(step);
                targets = Some(out);
            }
            _ => return Err(Error::state(estimator.path(), "neither transforms nor predicts")),
        }
    }
    match (targets, sources) {
        (Some(targets), _) => Ok(Loaded { step: Step::Predict(Box::new(chain)), out: Out::Answers(targets), report }),
        (None, Some(sources)) => {
            Ok(Loaded { step: Step::Transform(Box::new(chain)), out: Out::Table(sources), report })
        }
        (None, None) => Err(Error::state(view.path(), "the pipeline has no step that does anything")),
    }
}
