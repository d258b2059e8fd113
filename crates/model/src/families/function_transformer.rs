//! `FunctionTransformer`: a function of one number on every column, or none.

use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr, version};
use crate::families::shared::functions;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "FunctionTransformer",
    classes: &[
        ("sklearn.preprocessing._function_transformer", "FunctionTransformer"),
        ("sklearn.preprocessing", "FunctionTransformer"),
    ],
    globals: functions::ENTRIES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    // A function that is not run is the reason, whatever else is not known.
    let function = function(view, "func", "kw_args")?;
    let count = loader.width(view, given, None)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    let finite = validates(view)?.then(|| Finite::new("FunctionTransformer", &sources, false, false));
    let is_array = some_attr(view, "func")?.is_some_and(|func| functions::is_array(&func));
    if (function.is_some() && !is_array) || finite.is_some() {
        sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    }
    let labels = sources.iter().map(|source| source.label.clone()).collect();
    // What a function made of an input is not that input.
    let changed = |source: Source| Source { origin: source.origin.filter(|_| function.is_none()), ..source };
    let out = sources.into_iter().map(changed).collect();
    let step = run::Apply { function, is_array, finite, labels };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// The function of a parameter; `None` where there is none and columns pass through.
pub(super) fn function(view: &View<'_>, func: &str, arguments: &str) -> Result<Option<functions::Function>, Error> {
    let Some(func) = some_attr(view, func)? else { return Ok(None) };
    if functions::is_array(&func) {
        return Ok(Some(functions::SAME));
    }
    let function = functions::read(&func, some_attr(view, arguments)?.as_ref())?;
    // The numpy beside it tells nothing of itself.
    let old = version(view)?.is_some_and(|version| version < (0, 22));
    Ok(Some(if old { function.of_old() } else { function }))
}

/// Whether the input is checked; before 0.22 that was so where nothing else was said.
pub(super) fn validates(view: &View<'_>) -> Result<bool, Error> {
    match some_attr(view, "validate")? {
        Some(validate) => Ok(validate.as_bool()?),
        None => Ok(version(view)?.is_none_or(|version| version < (0, 22))),
    }
}

mod run {
    use crate::families::shared::functions::{Function, Width};
    use crate::finite::Finite;
    use crate::matrix::{Dense, Matrix, read, round};
    use crate::step::{Run, Transform};
    use crate::types::is_number;

    #[derive(Debug)]
    pub(super) struct Apply {
        pub(super) function: Option<Function>,
        /// Whether the function makes an array of the table, which may hold texts.
        pub(super) is_array: bool,
        pub(super) finite: Option<Finite>,
        pub(super) labels: Vec<String>,
    }

    impl Transform for Apply {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            if let Some(finite) = &self.finite {
                finite.check(&x, run);
            }
            let Some(function) = self.function else { return x };
            let (rows, cols) = (x.rows(), x.cols());
            if let Matrix::Frame(frame) = &x
                && self.is_array
                && !frame.columns.iter().all(|column| is_number(column.data_type()))
            {
                return x;
            }
            match x {
                Matrix::Csr(mut csr) => {
                    if !function.sparse {
                        let reason = format!("{} of a sparse table", function.name);
                        run.refuse_all(rows, "FunctionTransformer", None, &reason);
                    }
                    let narrow = csr.narrow;
                    csr.data.iter_mut().for_each(|value| *value = round(function.call(*value, narrow), narrow));
                    Matrix::Csr(csr)
                }
                // A table goes through column by column, each in its own type.
                Matrix::Frame(frame) if self.finite.is_none() => {
                    let mut dense = Dense::zeros(rows, cols);
                    let widths: Vec<Width> =
                        frame.columns.iter().map(|column| function.width(column.data_type(), frame.rule)).collect();
                    dense.narrow = widths.contains(&Width::Single) && !widths.contains(&Width::Double);
                    for (col, (column, width)) in frame.columns.iter().zip(widths).enumerate() {
                        let values = dense.column_mut(col);
                        if !read(column, 0..rows, values) {
                            let label = self.labels.get(col).map(String::as_str);
                            run.refuse_all(rows, "FunctionTransformer", label, "not a number");
                        }
                        values.iter_mut().for_each(|value| *value = function.of_column(*value, width));
                    }
                    Matrix::Dense(dense)
                }
                other => {
                    let dense = other.typed().into_dense().unwrap_or_else(|col| {
                        let label = self.labels.get(col).map(String::as_str);
                        run.refuse_all(rows, "FunctionTransformer", label, "not a number");
                        Dense::zeros(rows, cols)
                    });
                    let narrow = dense.narrow;
                    let data = dense.data.iter().map(|value| round(function.call(*value, narrow), narrow)).collect();
                    Matrix::Dense(Dense { data, ..dense })
                }
            }
        }
    }
}
