//! `SGDOneClassSVM`: rows on the far side of a plane are outliers.

use foretell_pickle::View;

use crate::attributes::feature_names;
use crate::families::shared::rows::{Rows, outliers};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};
use foretell_pickle::{Entry, Kind, State};

pub(crate) const FAMILY: Family = Family {
    name: "planes between outliers and others",
    classes: &[("sklearn.linear_model._stochastic_gradient", "SGDOneClassSVM")],
    globals: &[Entry::class("sklearn.linear_model._sgd_fast", "Hinge")
        .with_state(State::DICT.or(State::EMPTY).or(State::TUPLE))],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let coef = view.attr("coef_")?.array()?;
    let narrow = coef.dtype().kind == Kind::Float && coef.dtype().size == 4;
    let coef = coef.f64s()?;
    let offsets = view.attr("offset_")?.array()?.f64s()?;
    let ([offset], false) = (offsets.as_slice(), coef.is_empty()) else {
        return Err(Error::state(view.path(), format!("{} offsets", offsets.len())));
    };
    let sources = loader.sources(view, given, coef.len(), feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let finite = Finite::new("SGDOneClassSVM", &sources, false, false);
    let step = Rows { inner: run::Plane { coef, narrow, offset: *offset }, finite, takes_sparse: true };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(outliers()), report: Default::default() })
}

mod run {
    use crate::Method;
    use crate::families::shared::kernels::dot;
    use crate::families::shared::rows::OfRow;
    use crate::math::scores;

    #[derive(Debug)]
    pub(super) struct Plane {
        pub(super) coef: Vec<f64>,
        /// Whether these are float32.
        pub(super) narrow: bool,
        pub(super) offset: f64,
    }

    impl OfRow for Plane {
        fn of_row(&self, row: &[f64], want: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let mut product = dot(row, &self.coef);
            if self.narrow && narrow {
                product = scores::single(product, row.iter().zip(&self.coef));
            }
            let decision = product - self.offset;
            out.push(match want {
                Method::Samples => decision + self.offset,
                Method::Decision => decision,
                _ => f64::from(u8::from(decision >= 0.0)),
            });
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            1
        }

        fn is_class(&self, want: Method) -> bool {
            want == Method::Predict
        }
    }
}
