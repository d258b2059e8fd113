//! PyCaret's pipelines: steps of scikit-learn and its own on some columns of a DataFrame each, and answers brought back to
//! what the target was before it was encoded.

mod steps;
mod wrapper;

use foretell_pickle::{Entry, View};

use crate::attributes::{flag, labels, some_attr};
use crate::families::shared::members::{codes, predictor};
use crate::families::{pipeline, transformed_target};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Output};

pub(crate) const FAMILY: Family = Family {
    name: "PyCaret",
    classes: &[
        ("pycaret.internal.pipeline", "Pipeline"),
        (TRANSFORMERS, "CleanColumnNames"),
        (TRANSFORMERS, "DropImputer"),
        (TRANSFORMERS, "EmbedTextFeatures"),
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
    let (member, report) = predictor(loaded, view)?;
    if target.class().is_some_and(|class| class.name == "TargetTransformer") {
        let back = transformed_target::bent_back(view, member, &target.attr("estimator")?)?;
        return Ok(Loaded { report, ..back });
    }
    let outer = labels(&target.attr("classes_")?)?;
    let inner = match member.labels() {
        Some(inner) if member.targets.predict.len() == 1 => inner,
        _ => return Err(Error::no_such_answer(view.path(), "the estimator", "one class a row")),
    };
    let codes = codes(view, inner, outer.len())?;
    let names: Vec<(String, String)> =
        codes.iter().enumerate().map(|(class, code)| (inner.text(class), outer.text(*code as usize))).collect();
    let mut targets = member.targets.clone();
    for outputs in [&mut targets.proba, &mut targets.decision, &mut targets.contribs] {
        outputs.iter_mut().for_each(|output| rename(output, &names));
    }
    targets.predict.iter_mut().for_each(|output| output.data_type = outer.data_type());
    targets.labels = vec![outer];
    let step = run::Relabelled { step: member.step, codes };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
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

/// Gives an output of a class the name that the class has outside.
fn rename(output: &mut Output, names: &[(String, String)]) {
    let Some((inner, outer)) = names.iter().find(|(inner, _)| output.class.as_ref() == Some(inner)) else { return };
    if let Some(stem) = output.name.strip_suffix(inner.as_str()) {
        output.name = format!("{stem}{outer}");
    }
    output.class = Some(outer.clone());
}

mod run {
    use crate::Method;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    /// Answers codes, of which each stands for a label.
    #[derive(Debug)]
    pub(super) struct Relabelled {
        pub(super) step: Box<dyn Predict>,
        /// The label of each class of the predictor.
        pub(super) codes: Vec<u32>,
    }

    impl Predict for Relabelled {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let label = |class: u32| self.codes.get(class as usize).copied().unwrap_or_default();
            match self.step.answer(x, want, run) {
                Answer::Class(all) => {
                    Answer::Class(all.into_iter().map(|one| one.into_iter().map(label).collect()).collect())
                }
                other => other,
            }
        }

        fn rows_at_once(&self) -> Option<usize> {
            self.step.rows_at_once()
        }

        fn contribs(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<f64>>> {
            self.step.contribs(x, run)
        }

        fn leaves(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<i64>>> {
            self.step.leaves(x, run)
        }

        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.step.table(x, run)
        }
    }
}
