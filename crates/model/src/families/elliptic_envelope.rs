//! `EllipticEnvelope`: how far a row is from the middle of the training, in deviations.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, some_attr, version};
use crate::families::shared::rows::{Rows, outliers};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "elliptic envelopes",
    classes: &[
        ("sklearn.covariance._elliptic_envelope", "EllipticEnvelope"),
        ("sklearn.covariance.elliptic_envelope", "EllipticEnvelope"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if !flag(view, "store_precision", true)? {
        return Err(Error::unsupported(view.path(), "store_precision=False", "store_precision=True"));
    }
    let location = view.attr("location_")?.array()?.f64s()?;
    let precision = view.attr("precision_")?.array()?;
    let features = location.len();
    if precision.shape() != [features, features] || features == 0 {
        return Err(Error::state(view.path(), format!("a precision that is not of {features} features")));
    }
    let precision = precision.f64s()?;
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let mut targets = outliers();
    let offset = match some_attr(view, "offset_")? {
        Some(offset) => offset.as_f64()?,
        // Until 0.19 the threshold was a distance.
        None => -view.attr("threshold_")?.as_f64()?,
    };
    if version(view)?.is_none_or(|version| version < (0, 20)) {
        targets.samples.clear();
        targets.decision.clear();
    }
    let finite = Finite::new("EllipticEnvelope", &sources, false, false);
    let step = Rows { inner: run::Envelope { location, precision, offset }, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

mod run {
    use crate::Method;
    use crate::families::shared::kernels::dot;
    use crate::families::shared::rows::OfRow;

    #[derive(Debug)]
    pub(super) struct Envelope {
        pub(super) location: Vec<f64>,
        /// Row by row.
        pub(super) precision: Vec<f64>,
        pub(super) offset: f64,
    }

    impl OfRow for Envelope {
        fn of_row(&self, row: &[f64], want: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let off: Vec<f64> = row.iter().zip(&self.location).map(|(x, middle)| x - middle).collect();
            let turned = self.precision.chunks_exact(off.len().max(1)).map(|weights| dot(weights, &off));
            let square: f64 = turned.zip(&off).map(|(turned, off)| turned * off).sum();
            // The library takes the root and squares it again.
            let score = -(square.sqrt() * square.sqrt());
            out.push(match want {
                Method::Samples => score,
                Method::Decision => score - self.offset,
                _ => f64::from(u8::from(score - self.offset >= 0.0)),
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
