//! `RFE`, `RFECV` and `SequentialFeatureSelector`: the features that fitting again and again left over. As the
//! model itself or a pipeline's last step an `RFE` predicts with the estimator that was fitted last.

use foretell_pickle::View;

use super::importance;
use crate::attributes::some_attr;
use crate::families::shared::members::predictor;
use crate::loaded::{Loaded, Out, Source, Targets, Transformer};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let hands_on = loader.is_transformer();
    let mask = view.attr("support_")?.array()?.bools()?;
    let allows_nan = importance::allows_nan(&view.attr("estimator")?)?;
    let selected = super::keep(loader, view, given, &mask, allows_nan)?;
    let Some(estimator) = some_attr(view, "estimator_")?.filter(|_| !hands_on) else {
        return Ok(selected);
    };
    let Transformer { step: select, out: table, .. } = selected.transformer(view)?;
    let (last, report) = predictor(loader.load(&estimator, Some(&table))?, &estimator)?;
    let targets = Targets { samples: Vec::new(), table, ..last.targets };
    let report = StepReport { children: vec![report], ..StepReport::default() };
    let step = run::Refitted { select, last: last.step };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

mod run {
    use crate::Method;
    use crate::matrix::Matrix;
    use crate::step::{Answer, Predict, Run, Transform};

    #[derive(Debug)]
    pub(super) struct Refitted {
        pub(super) select: Box<dyn Transform>,
        pub(super) last: Box<dyn Predict>,
    }

    impl Predict for Refitted {
        fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
            let x = self.select.transform(x, run);
            self.last.answer(x, want, run)
        }

        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.select.transform(x, run)
        }
    }
}
