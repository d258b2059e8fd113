//! `GBDTLMRegressor` and `GBDTLRClassifier` of sklearn2pmml: a linear model of the leaves in which boosting ends a row.

use foretell_pickle::View;

use crate::attributes::some_attr;
use crate::families::shared::members::{Member, Members, members, predictor};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "linear models of leaves (sklearn2pmml)",
    classes: &[("sklearn2pmml.ensemble", "GBDTLMRegressor"), ("sklearn2pmml.ensemble", "GBDTLRClassifier")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let boosting = view.attr("gbdt_")?;
    let name = Some("gbdt".to_string());
    let inside = [(name, boosting.clone())];
    loader.leaves = true;
    let found = members(loader, view, given, &inside);
    loader.leaves = false;
    let Members { all: mut boosters, reports: mut children, .. } = found?;
    let encoder = view.attr("ohe_")?;
    let trees = encoder.attr("categories_")?.items()?.len();
    let Some(booster) = boosters.pop().filter(|booster| !booster.targets.leaves.is_empty()) else {
        return Err(Error::no_such_answer(boosting.path(), "the boosting", "leaves"));
    };
    // Of several classes scikit-learn's are asked for the first one's trees.
    let all = booster.targets.leaves.len();
    let every = all.checked_div(trees).filter(|every| every.checked_mul(trees) == Some(all));
    let every = every.ok_or_else(|| Error::counts(view.path(), (all, "trees"), (trees, "lists of leaves")))?;
    let leaves: Vec<Source> = (0..trees).map(|tree| Source::made(format!("tree {tree}"))).collect();
    let encoder = loader.transformer(&encoder, Some(&leaves))?;
    let last = match some_attr(view, "lr_")? {
        Some(last) => last,
        None => view.attr("lm_")?,
    };
    let loaded = loader.load(&last, Some(&encoder.out))?;
    let (Member { step: last, targets }, report) = predictor(loaded, &last)?;
    children.extend([encoder.report, report]);
    // Neither explanations nor leaves of a linear model say anything of the columns.
    let targets = Targets { table: Vec::new(), contribs: Vec::new(), leaves: Vec::new(), ..targets };
    let step = run::OfLeaves { booster, every, encoder: encoder.step, last };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Answer, Predict, Run, Transform};

    #[derive(Debug)]
    pub(super) struct OfLeaves {
        pub(super) booster: Member,
        /// Of how many trees one is looked at.
        pub(super) every: usize,
        pub(super) encoder: Box<dyn Transform>,
        pub(super) last: Box<dyn Predict>,
    }

    impl Predict for OfLeaves {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let leaves = self.booster.step.leaves(x, run).unwrap_or_default();
            let picked: Vec<&Vec<i64>> = leaves.iter().step_by(self.every).collect();
            let data = picked.iter().flat_map(|tree| tree.iter().map(|leaf| *leaf as f64)).collect();
            let leaves = Matrix::Dense(Dense { data, rows, cols: picked.len(), narrow: false });
            self.last.answer(self.encoder.transform(leaves, run), want, run)
        }
    }
}
