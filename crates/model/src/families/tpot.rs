//! TPOT's `StackingEstimator`: what an estimator predicts, and its probabilities where it is a classifier, before the columns
//! that it was given.

use foretell_pickle::View;

use crate::families::shared::members::{array, predictor};
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "TPOT",
    classes: &[("tpot.builtins.stacking_estimator", "StackingEstimator"), ("tpot.operator_utils", "StackingEstimator")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let inside = view.attr("estimator")?;
    let sources = array(loader, view, given)?;
    let (member, report) = predictor(loader.load(&inside, sources.as_deref())?, &inside)?;
    let Some(sources) = sources.or_else(|| loader.own()) else {
        return Err(Error::state(view.path(), "has no columns"));
    };
    if member.targets.predict.len() != 1 || matches!(member.labels(), Some(Labels::Text(_))) {
        return Err(Error::unsupported(
            inside.path(),
            "an answer that is not one number",
            "numbers, classes that are numbers",
        ));
    }
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let proba = member.targets.proba.iter().map(|output| output.name.clone());
    let mut out: Vec<Source> = ["prediction".to_string()].into_iter().chain(proba).map(Source::made).collect();
    out.extend(sources.iter().cloned());
    loader.charge(view, out.len())?;
    let finite = Finite::new("StackingEstimator", &sources, false, false);
    let step = run::Stacked { member, finite };
    let report = StepReport { children: vec![report], ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report })
}

mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::finite::Finite;
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Stacked {
        pub(super) member: Member,
        pub(super) finite: Finite,
    }

    impl Transform for Stacked {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, cols) = (x.rows(), x.cols());
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            let mut columns = self.member.numbers(x.clone(), Method::Predict, run);
            if !self.member.targets.proba.is_empty() {
                let shares = self.member.numbers(x.clone(), Method::Proba, run);
                // The library leaves them out of a whole batch.
                for column in &shares {
                    let wrong = column.iter().enumerate().filter(|(_, share)| !share.is_finite());
                    wrong.for_each(|(row, _)| {
                        run.refuse(row, &self.finite.step, None, "a probability that is no number")
                    });
                }
                columns.extend(shares);
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let count = columns.len().saturating_add(x.cols);
            let mut data = columns.concat();
            data.extend(&x.data);
            Matrix::Dense(Dense { data, rows, cols: count, narrow: false })
        }
    }
}
