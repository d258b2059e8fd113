//! `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler` and `RobustScaler`: one or two operations a column, in the library's
//! own order. Sparse tables are multiplied by the reciprocal of a divisor, as the library does.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, some_attr, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::math::scaling::Scaling;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "scalers",
    classes: &[
        ("sklearn.preprocessing._data", "MaxAbsScaler"),
        ("sklearn.preprocessing._data", "MinMaxScaler"),
        ("sklearn.preprocessing._data", "RobustScaler"),
        ("sklearn.preprocessing._data", "StandardScaler"),
        ("sklearn.preprocessing.data", "MaxAbsScaler"),
        ("sklearn.preprocessing.data", "MinMaxScaler"),
        ("sklearn.preprocessing.data", "RobustScaler"),
        ("sklearn.preprocessing.data", "StandardScaler"),
    ],
    globals: &[],
    load,
};

/// The first version that brings means and scales to the type of the numbers before it uses them.
pub(super) const CASTS: (u32, u32) = (1, 8);

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    if class == "StandardScaler" {
        return standard(loader, view, given);
    }
    let numbers = |name: &str| -> Result<Vec<f64>, Error> { Ok(view.attr(name)?.array()?.f64s()?) };
    let mut steps = Vec::new();
    let clips = flag(view, "clip", false)?;
    match class.as_str() {
        "MinMaxScaler" => {
            steps.push(run::Operation::Times(numbers("scale_")?));
            steps.push(run::Operation::Plus(numbers("min_")?));
            if clips {
                let range = view.attr("feature_range")?;
                steps.push(clip(view, range.item(0)?.as_f64()?, range.item(1)?.as_f64()?)?);
            }
        }
        "MaxAbsScaler" => {
            steps.push(run::Operation::Over(numbers("scale_")?));
            if clips {
                steps.push(clip(view, -1.0, 1.0)?);
            }
        }
        _ => {
            if flag(view, "with_centering", true)? {
                steps.push(run::Operation::Minus(numbers("center_")?));
            }
            if flag(view, "with_scaling", true)? {
                steps.push(run::Operation::Over(numbers("scale_")?));
            }
        }
    }
    let learned = steps.iter().find_map(run::Operation::len);
    let count = loader.width(view, given, learned)?;
    if steps.iter().filter_map(run::Operation::len).any(|len| len != count) {
        return Err(Error::state(view.path(), "its attributes have different lengths"));
    }
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let finite = Finite::new(&class, &sources, true, false);
    let out = sources.into_iter().map(Source::changed).collect();
    let step = run::Scaler { steps, finite, takes_sparse: class != "MinMaxScaler", narrow: has_narrow_scale(view)? };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn standard(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
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
    let step = run::Standard { scaling: Scaling { mean, scale, casts }, finite, narrow: has_narrow_scale(view)? };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// Whether what it divides by is float32: then so is the reciprocal that sparse tables are multiplied by.
fn has_narrow_scale(view: &View<'_>) -> Result<bool, Error> {
    Ok(some_attr(view, "scale_")?.is_some_and(|scale| scale.array().is_ok_and(|scale| scale.dtype().size == 4)))
}

fn clip(view: &View<'_>, low: f64, high: f64) -> Result<run::Operation, Error> {
    if low <= high {
        return Ok(run::Operation::Clip(low, high));
    }
    Err(Error::state(view.path(), format!("clips to {low} and {high}")))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::math::scaling::Scaling;
    use crate::matrix::{Dense, Matrix, half, round};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) enum Operation {
        Plus(Vec<f64>),
        Minus(Vec<f64>),
        Times(Vec<f64>),
        Over(Vec<f64>),
        Clip(f64, f64),
    }

    impl Operation {
        pub(super) fn len(&self) -> Option<usize> {
            match self {
                Operation::Plus(by) | Operation::Minus(by) | Operation::Times(by) | Operation::Over(by) => {
                    Some(by.len())
                }
                Operation::Clip(..) => None,
            }
        }

        fn apply(&self, value: f64, col: usize) -> f64 {
            match self {
                Operation::Plus(by) => value + by[col],
                Operation::Minus(by) => value - by[col],
                Operation::Times(by) => value * by[col],
                Operation::Over(by) => value / by[col],
                Operation::Clip(low, high) => value.clamp(*low, *high),
            }
        }

        /// Sparse tables are multiplied by the reciprocal, of float32 in that, and never shifted.
        fn apply_sparse(&self, value: f64, col: usize, narrow: bool) -> f64 {
            match self {
                Operation::Over(by) => value * round(1.0 / by[col], narrow),
                other => other.apply(value, col),
            }
        }
    }

    /// A column's operation, rounded to the type of the table.
    fn rounded(is_half: bool, narrow: bool) -> impl Fn(f64) -> f64 {
        move |value| if is_half { half(value) } else { round(value, narrow) }
    }

    /// The table in the type that it came in.
    fn in_its_type(dense: Dense, is_half: bool) -> Matrix {
        if is_half { Matrix::of_halves(&dense) } else { Matrix::Dense(dense) }
    }

    #[derive(Debug)]
    pub(super) struct Scaler {
        pub(super) steps: Vec<Operation>,
        pub(super) finite: Finite,
        pub(super) takes_sparse: bool,
        /// Whether its scale is float32.
        pub(super) narrow: bool,
    }

    impl Transform for Scaler {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, cols) = (x.rows(), x.cols());
            if let Matrix::Csr(mut csr) = x {
                let shifts = |step: &Operation| matches!(step, Operation::Plus(_) | Operation::Minus(_));
                if !self.takes_sparse || self.steps.iter().any(shifts) {
                    run.refuse_all(rows, &self.finite.step, None, "a sparse table");
                    return Matrix::Csr(csr);
                }
                for (value, col) in csr.data.iter_mut().zip(&csr.indices) {
                    for step in &self.steps {
                        *value = round(step.apply_sparse(*value, *col as usize, self.narrow), csr.narrow);
                    }
                }
                return Matrix::Csr(csr);
            }
            let is_half = x.is_half();
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let rounded = rounded(is_half, dense.narrow);
            for col in 0..cols {
                for step in &self.steps {
                    dense.column_mut(col).iter_mut().for_each(|value| *value = rounded(step.apply(*value, col)));
                }
            }
            in_its_type(dense, is_half)
        }
    }

    #[derive(Debug)]
    pub(super) struct Standard {
        pub(super) scaling: Scaling,
        pub(super) finite: Finite,
        /// Whether its scale is float32.
        pub(super) narrow: bool,
    }

    impl Transform for Standard {
        fn scaling(&self) -> Option<&Scaling> {
            Some(&self.scaling)
        }

        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            if let Matrix::Csr(mut csr) = x {
                if let Some(scale) = &self.scaling.scale {
                    for (value, col) in csr.data.iter_mut().zip(&csr.indices) {
                        *value = round(*value * round(1.0 / scale[*col as usize], self.narrow), csr.narrow);
                    }
                }
                return Matrix::Csr(csr);
            }
            let (rows, cols, is_half) = (x.rows(), x.cols(), x.is_half());
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let rounded = rounded(is_half, dense.narrow);
            let learned = |value: f64| if self.scaling.casts { rounded(value) } else { value };
            for col in 0..cols {
                let column = dense.column_mut(col);
                if let Some(mean) = &self.scaling.mean {
                    let mean = learned(mean[col]);
                    column.iter_mut().for_each(|value| *value = rounded(*value - mean));
                }
                if let Some(scale) = &self.scaling.scale {
                    let scale = learned(scale[col]);
                    column.iter_mut().for_each(|value| *value = rounded(*value / scale));
                }
            }
            in_its_type(dense, is_half)
        }
    }
}
