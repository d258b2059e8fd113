//! `StandardScaler`: `(x - mean) / scale`; a sparse table is multiplied by `1 / scale`, as the library does.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::View;

use super::Family;
use super::finite::Finite;
use crate::loader::{Loaded, Loader, Out, Source, feature_names, flag, some_attr, version};
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "StandardScaler",
    classes: &[("sklearn.preprocessing._data", "StandardScaler"), ("sklearn.preprocessing.data", "StandardScaler")],
    globals: &[],
    load,
};

/// The first version that brings means and scales to the type of the numbers before it uses them.
pub(super) const CASTS: (u32, u32) = (1, 8);

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let numbers = |name: &str| -> Result<Option<Vec<f64>>, Error> {
        match some_attr(view, name)? {
            Some(array) => Ok(Some(array.array()?.f64s()?)),
            None => Ok(None),
        }
    };
    let mean = if flag(view, "with_mean", true)? { numbers("mean_")? } else { None };
    let scale = if flag(view, "with_std", true)? { numbers("scale_")? } else { None };
    let count = loader.width(view, given, mean.as_ref().or(scale.as_ref()).map(Vec::len))?;
    if mean.as_ref().zip(scale.as_ref()).is_some_and(|(mean, scale)| mean.len() != scale.len()) {
        return Err(Error::state(view.path(), "`mean_` and `scale_` have different lengths"));
    }
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let finite = Finite::new("StandardScaler", &sources, true, false);
    let out = sources.into_iter().map(Source::changed).collect();
    let casts = version(view)?.is_none_or(|version| version >= CASTS);
    let step = run::Scaler { mean, scale, casts, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::families::finite::Finite;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Scaler {
        pub(super) mean: Option<Vec<f64>>,
        pub(super) scale: Option<Vec<f64>>,
        /// Whether both are float32 where the numbers are.
        pub(super) casts: bool,
        pub(super) finite: Finite,
    }

    impl Transform for Scaler {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            if let Matrix::Csr(mut csr) = x {
                if let Some(scale) = &self.scale {
                    for (value, col) in csr.data.iter_mut().zip(&csr.indices) {
                        *value = round(*value * (1.0 / scale[*col as usize]), csr.narrow);
                    }
                }
                return Matrix::Csr(csr);
            }
            let (rows, cols) = (x.rows(), x.cols());
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let narrow = dense.narrow;
            let learned = |value: f64| round(value, narrow && self.casts);
            for col in 0..cols {
                let column = dense.column_mut(col);
                if let Some(mean) = &self.mean {
                    let mean = learned(mean[col]);
                    column.iter_mut().for_each(|value| *value = round(*value - mean, narrow));
                }
                if let Some(scale) = &self.scale {
                    let scale = learned(scale[col]);
                    column.iter_mut().for_each(|value| *value = round(*value / scale, narrow));
                }
            }
            Matrix::Dense(dense)
        }
    }
}
