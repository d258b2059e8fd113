//! `FeatureUnion`: several transformers are given the same columns, and what they give stands side by side.

use foretell_pickle::View;

use crate::families::shared::members::{is_dropped, load_all};
use crate::families::shared::side_by_side::weight;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::{Step, Transform};
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family =
    Family { name: "FeatureUnion", classes: &[("sklearn.pipeline", "FeatureUnion")], globals: &[], load };

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut names = Vec::new();
    let mut estimators = Vec::new();
    for pair in view.attr("transformer_list")?.items()? {
        let (name, transformer) = (pair.item(0)?, pair.item(1)?);
        if is_dropped(&transformer) {
            continue;
        }
        let name = name.as_str()?.to_string();
        if transformer.as_str().is_ok_and(|word| word == "passthrough") {
            names.push((name, transformer, false));
        } else {
            estimators.push((Some(name.clone()), transformer.clone()));
            names.push((name, transformer, true));
        }
    }
    let (loaded, sources) = load_all(loader, view, given, &estimators, Loader::transformer)?;
    let mut loaded = loaded.into_iter();
    let mut parts = Vec::new();
    let mut out = Vec::new();
    let mut children = Vec::new();
    for (name, transformer, transforms) in &names {
        let mut step: Option<Box<dyn Transform>> = None;
        if *transforms && let Some(one) = loaded.next() {
            children.push(StepReport { name: Some(name.clone()), ..one.report });
            loader.charge(view, one.out.len())?;
            step = Some(one.step);
            out.extend(one.out);
        } else {
            children.push(StepReport {
                name: Some(name.clone()),
                class: "passthrough".to_string(),
                ..StepReport::default()
            });
            loader.charge(view, sources.len())?;
            out.extend(sources.iter().cloned());
        }
        parts.push(run::UnionPart { step, weight: weight(view, name, transformer)? });
    }
    // What was multiplied is not the input itself.
    if parts.iter().any(|part| part.weight.is_some()) {
        out.iter_mut().for_each(|source| source.origin = None);
    }
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(Box::new(run::Union { parts })), out: Out::Table(out), report })
}

mod run {
    use crate::families::shared::side_by_side::{Part, Weight, side_by_side};
    use crate::matrix::Matrix;
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct UnionPart {
        /// `None` where the columns pass through.
        pub(super) step: Option<Box<dyn Transform>>,
        pub(super) weight: Option<Weight>,
    }

    #[derive(Debug)]
    pub(super) struct Union {
        pub(super) parts: Vec<UnionPart>,
    }

    impl Transform for Union {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let made = |one: &UnionPart| Part::made(x.clone(), one.step.as_deref(), one.weight, run);
            let parts: Vec<Part> = self.parts.iter().map(made).collect();
            let sparse = parts.iter().any(Part::is_sparse);
            side_by_side(parts, rows, sparse)
        }
    }
}
