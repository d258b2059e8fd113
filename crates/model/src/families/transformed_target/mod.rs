//! `TransformedTargetRegressor`: a regression of a target that was bent before training, and is bent back.

mod inverse;

use arrow_schema::DataType;
use foretell_pickle::View;

use crate::families::shared::members::{Member, Members, members};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, Method, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "regressions of transformed targets",
    classes: &[
        ("sklearn.compose._target", "TransformedTargetRegressor"),
        ("sklearn.compose", "TransformedTargetRegressor"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let regressor = view.attr("regressor_")?;
    let name = Some("regressor".to_string());
    let Members { all: mut members, reports: children, .. } = members(loader, view, given, &[(name, regressor)])?;
    let Some(member) = members.pop() else {
        return Err(Error::no_such_answer(view.path(), "the regressor", "numbers"));
    };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { report, ..bent_back(view, member, &view.attr("transformer_")?)? })
}

/// What a regressor answers, by the way back of a transformer.
pub(super) fn bent_back(view: &View<'_>, member: Member, transformer: &View<'_>) -> Result<Loaded, Error> {
    if !member.targets.labels.is_empty() {
        return Err(Error::no_such_answer(view.path(), "the regressor", "numbers"));
    }
    let count = member.targets.predict.len();
    let back = inverse::read(transformer, count)?;
    let narrow = member.is_narrow(Method::Predict);
    let targets = Targets::numbers(count, if narrow { DataType::Float32 } else { DataType::Float64 });
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let step = run::Transformed { member, class, back, narrow };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: StepReport::default() })
}

mod run {
    use super::inverse::Inverse;
    use crate::Method;
    use crate::families::shared::members::Member;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Transformed {
        pub(super) member: Member,
        /// Who refuses a row.
        pub(super) class: String,
        pub(super) back: Vec<Inverse>,
        pub(super) narrow: bool,
    }

    impl Predict for Transformed {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let mut columns = self.member.numbers(x, want, run);
            for (target, column) in columns.iter_mut().enumerate() {
                for back in &self.back {
                    back.apply(target, column, self.narrow, &self.class, run);
                }
            }
            Answer::floats(columns, self.narrow)
        }
    }
}
