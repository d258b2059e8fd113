//! PyCaret's pipelines: steps of scikit-learn and its own on some columns of a DataFrame each, and answers brought back to
//! what the target was before it was encoded.

mod steps;
mod wrapper;

use foretell_pickle::{Entry, View};

use crate::Error;
use crate::attributes::{flag, some_attr};
use crate::families::shared::members::predictor;
use crate::families::shared::relabelled::relabelled;
use crate::families::{pipeline, transformed_target};
use crate::family::Family;
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "PyCaret",
    classes: &[
        ("pycaret.internal.pipeline", "Pipeline"),
        (TRANSFORMERS, "CleanColumnNames"),
        (TRANSFORMERS, "DropImputer"),
        (TRANSFORMERS, "EmbedTextFeatures"),
        (TRANSFORMERS, "ExtractDateTimeFeatures"),
        (TRANSFORMERS, "GroupFeatures"),
        (TRANSFORMERS, "RareCategoryGrouping"),
        (TRANSFORMERS, "RemoveMulticollinearity"),
        (TRANSFORMERS, "TransformerWrapper"),
        (TRANSFORMERS, "TransformerWrapperWithInverse"),
    ],
    // What is around a target, and what training alone uses.
    globals: &[
        Entry::class(TRANSFORMERS, "TargetTransformer"),
        Entry::class(TRANSFORMERS, "RemoveOutliers"),
        Entry::class(TRANSFORMERS, "FixImbalancer"),
    ],
    load,
};

const TRANSFORMERS: &str = "pycaret.internal.preprocess.transformers";

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    match class.as_str() {
        "Pipeline" => chain(loader, view, given),
        "TransformerWrapper" | "TransformerWrapperWithInverse" => wrapper::load(loader, view, given),
        _ => steps::load(loader, view, given, &class),
    }
}

/// The steps that predictions take, and then the way back of the target.
fn chain(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut target = None;
    let mut steps = Vec::new();
    for (name, step) in pipeline::steps(view)? {
        if flag(&step, "_train_only", false)? {
            continue;
        }
        match of_target(&step)? {
            None => steps.push((name, step)),
            Some(_) if target.is_some() => {
                return Err(Error::unsupported(
                    step.path(),
                    "a target transformed twice",
                    "one transformer of the target",
                ));
            }
            Some(transformer) => target = Some(transformer),
        }
    }
    let loaded = pipeline::chain(loader, view, given, steps)?;
    let Some(target) = target else { return Ok(loaded) };
    if matches!(loaded.step, Step::Transform(_)) {
        return Ok(loaded);
    }
    if target.class().is_some_and(|class| class.name == "TargetTransformer") {
        let (member, report) = predictor(loaded, view)?;
        let back = transformed_target::bent_back(view, member, &target.attr("estimator")?)?;
        return Ok(Loaded { report, ..back });
    }
    relabelled(view, loaded, &target)
}

/// The transformer of a step that changes the target alone.
fn of_target<'a>(step: &View<'a>) -> Result<Option<View<'a>>, Error> {
    let inside = match step.class() {
        Some(class) if class.name.starts_with("TransformerWrapper") => some_attr(step, "transformer")?,
        _ => None,
    };
    let is_of_target = |class: &str| matches!(class, "LabelEncoder" | "TargetTransformer");
    Ok(inside.filter(|inside| inside.class().is_some_and(|class| is_of_target(&class.name))))
}
