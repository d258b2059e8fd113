//! sklearn2pmml's `StatsModelsRegressor` and `StatsModelsClassifier`: fitted results as estimators of scikit-learn.

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::attributes::labels;
use crate::families::shared::members::{Member, predictor};
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

fn results(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<(Member, StepReport), Error> {
    let results = view.attr("results_")?;
    let loaded = loader.load(&results, given)?;
    let (member, child) = predictor(loaded, &results)?;
    Ok((member, StepReport { children: vec![child], ..StepReport::default() }))
}

pub(super) fn regressor(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let (member, report) = results(loader, view, given)?;
    Ok(Loaded { step: Step::Predict(member.step), out: Out::Answers(member.targets), report })
}

/// Of one number, the share of the second class; of several, that of each.
pub(super) fn classifier(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let (member, report) = results(loader, view, given)?;
    let labels = labels(&view.attr("classes_")?)?;
    let outputs = member.targets.predict.len();
    if labels.len() != outputs.max(2) {
        return Err(Error::counts(view.path(), (outputs, "outputs"), (labels.len(), "classes")));
    }
    let targets = Targets::classes(vec![labels], DataType::Float64);
    Ok(Loaded { step: Step::Predict(Box::new(run::Classes { member })), out: Out::Answers(targets), report })
}

mod run {
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::math::scores::first_largest;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Classes {
        pub(super) member: Member,
    }

    impl Predict for Classes {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let rows = x.rows();
            let mut shares = self.member.numbers(x, Method::Predict, run);
            if let [second] = shares.as_slice() {
                let first = second.iter().map(|share| 1.0 - share).collect();
                shares.insert(0, first);
            }
            if want == Method::Predict {
                Answer::Class(vec![first_largest(&shares, rows)])
            } else {
                Answer::F64(shares)
            }
        }
    }
}
