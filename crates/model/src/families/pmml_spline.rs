//! sklearn2pmml's `BSplineTransformer`: a spline of scipy's in the place of a column.

use foretell_pickle::{Value, View};

use super::spline_transformer::run::Spline;
use super::spline_transformer::{degree_of, either};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "splines of sklearn2pmml",
    classes: &[("sklearn2pmml.preprocessing", "BSplineTransformer")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let sources = loader.sources(view, given, 1, None)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let (spline, beyond) = read(&view.attr("bspline")?)?;
    loader.hold(spline.bytes());
    let out = sources.into_iter().map(|source| Source::made(source.label)).collect();
    let step = run::Curve { spline, beyond };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn read(view: &View<'_>) -> Result<(Spline, run::Beyond), Error> {
    let extrapolate = view.attr("extrapolate")?;
    let beyond = match extrapolate.value() {
        Value::Bool(true) => run::Beyond::Continue,
        Value::Bool(false) => run::Beyond::Missing,
        _ if extrapolate.as_str().is_ok_and(|word| word == "periodic") => run::Beyond::Periodic,
        _ => return Err(Error::unsupported(extrapolate.path(), "this way to extrapolate", "True, False, periodic")),
    };
    let degree = degree_of(view)?;
    let knots = either(view, "_t", "t")?.array()?.f64s()?;
    let coefficients = either(view, "_c", "c")?.array()?;
    if coefficients.shape().len() != 1 {
        return Err(Error::unsupported(view.path(), "a spline of several curves", "one curve"));
    }
    let mut coefficients = coefficients.f64s()?;
    // What `splrep` appends is not looked at.
    let count = knots.len().saturating_sub(degree).saturating_sub(1);
    if count <= degree || coefficients.len() < count || !knots.is_sorted() {
        let message = format!("{} knots for {} coefficients of degree {degree}", knots.len(), coefficients.len());
        return Err(Error::state(view.path(), message));
    }
    coefficients.truncate(count);
    let (Some(low), Some(high)) = (knots.get(degree), knots.get(count)) else {
        return Err(Error::state(view.path(), "its knots have no inside"));
    };
    let range = (*low, *high);
    Ok((Spline { knots, coefficients, width: 1, degree, range, ends: 0, sorted: true }, beyond))
}

mod run {
    use crate::families::spline_transformer::run::{Spline, modulo};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Beyond {
        Continue,
        Missing,
        Periodic,
    }

    #[derive(Debug)]
    pub(super) struct Curve {
        pub(super) spline: Spline,
        pub(super) beyond: Beyond,
    }

    impl Curve {
        fn at(&self, x: f64) -> f64 {
            let (low, high) = self.spline.range;
            let x = if self.beyond == Beyond::Periodic { low + modulo(x - low, high - low) } else { x };
            let outside = x < low || x > high;
            if x.is_nan() || (outside && self.beyond == Beyond::Missing) {
                return f64::NAN;
            }
            let mut value = [0.0];
            self.spline.at(x, false, &mut value);
            let [value] = value;
            value
        }
    }

    impl Transform for Curve {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, "BSplineTransformer", None, "a sparse table");
            }
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, 1));
            let data = x.column(0).iter().map(|value| self.at(*value)).collect();
            Matrix::Dense(Dense { data, rows, cols: 1, narrow: false })
        }
    }
}
