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

/// The first version that surely keeps the names of a table that it does not check.
const KEEPS_NAMES: (u32, u32) = (1, 2);

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    // A function that is not run is the reason, whatever else is not known.
    let function = function(view, "func", "kw_args")?;
    let count = loader.width(view, given, None)?;
    let names = feature_names(view)?;
    // Without names there was an array.
    let of_array =
        validates(view)? || (names.is_none() && version(view)?.is_some_and(|version| version >= KEEPS_NAMES));
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
    let step = run::Apply { function, is_array, of_array, finite, labels };
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
    use arrow_array::ArrayRef;
    use arrow_schema::DataType;

    use crate::families::shared::functions::{Function, Width};
    use crate::families::shared::wholes::{wholes, wraps};
    use crate::finite::Finite;
    use crate::matrix::{Dense, Frame, Matrix, read, round};
    use crate::step::{Run, Transform};
    use crate::types::is_number;

    const STEP: &str = "FunctionTransformer";

    #[derive(Debug)]
    pub(super) struct Apply {
        pub(super) function: Option<Function>,
        /// Whether the function makes an array of the table, which may hold texts.
        pub(super) is_array: bool,
        /// Whether it is given an array, whose columns have one type.
        pub(super) of_array: bool,
        pub(super) finite: Option<Finite>,
        pub(super) labels: Vec<String>,
    }

    impl Transform for Apply {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            if let Some(finite) = &self.finite {
                finite.check(&x, run);
            }
            let (rows, cols) = (x.rows(), x.cols());
            let x = match x {
                // Bools among others are numbers in an array, and objects in a table.
                Matrix::Frame(frame) if self.of_array && frame.has_some_bools() && is_numbers(&frame) => {
                    Matrix::Dense(Matrix::Frame(frame).into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols)))
                }
                other => other,
            };
            let Some(function) = self.function else { return x };
            if let Matrix::Frame(frame) = &x
                && self.is_array
                && !is_numbers(frame)
            {
                return x;
            }
            match x {
                Matrix::Csr(mut csr) => {
                    if !function.sparse {
                        let reason = format!("{} of a sparse table", function.name);
                        run.refuse_all(rows, STEP, None, &reason);
                    }
                    let narrow = csr.narrow;
                    csr.data.iter_mut().for_each(|value| *value = round(function.call(*value, narrow), narrow));
                    Matrix::Csr(csr)
                }
                // A table goes through column by column, each in its own type; an array in the one of all.
                Matrix::Frame(frame) if !self.of_array || frame.whole_type().is_some() => {
                    let of_all = if self.of_array { frame.whole_type() } else { None };
                    self.columns(function, &frame, of_all.as_ref(), run)
                }
                other => {
                    let dense = other.typed().into_dense().unwrap_or_else(|col| {
                        let label = self.labels.get(col).map(String::as_str);
                        run.refuse_all(rows, STEP, label, "not a number");
                        Dense::zeros(rows, cols)
                    });
                    let narrow = dense.narrow && !function.widens(self.of_array);
                    let data = dense.data.iter().map(|value| round(function.call(*value, narrow), narrow)).collect();
                    Matrix::Dense(Dense { data, narrow, ..dense })
                }
            }
        }
    }

    impl Apply {
        fn columns(&self, function: Function, frame: &Frame, of_all: Option<&DataType>, run: &mut Run) -> Matrix {
            let mut dense = Dense::zeros(frame.rows, frame.columns.len());
            let mut widths = Vec::with_capacity(frame.columns.len());
            for (col, column) in frame.columns.iter().enumerate() {
                let label = self.labels.get(col).map(String::as_str);
                let kind = of_all.unwrap_or(column.data_type());
                if let Some(reason) = of_bools(function, kind, of_all.is_some()) {
                    run.refuse_all(frame.rows, STEP, label, reason);
                }
                let width = function.width(kind, frame.rule, self.of_array);
                widths.push(width);
                let values = dense.column_mut(col);
                if of_wholes(function, column, kind, values, label, run) {
                    continue;
                }
                if !read(column, 0..frame.rows, values) {
                    run.refuse_all(frame.rows, STEP, label, "not a number");
                }
                values.iter_mut().for_each(|value| *value = function.of_column(*value, width));
            }
            if !widths.is_empty() && widths.iter().all(|width| *width == Width::Half) {
                return Matrix::of_halves(&dense);
            }
            dense.narrow = widths.contains(&Width::Single) && !widths.contains(&Width::Double);
            Matrix::Dense(dense)
        }
    }

    fn is_numbers(frame: &Frame) -> bool {
        frame.columns.iter().all(|column| is_number(column.data_type()))
    }

    /// Why numpy has no such function of bools.
    fn of_bools(function: Function, kind: &DataType, is_array: bool) -> Option<&'static str> {
        let refused = match function.name {
            "sign" => true,
            "negative" | "positive" => is_array,
            _ => false,
        };
        (refused && kind == &DataType::Boolean).then_some("bools, of which numpy has no such function")
    }

    /// A function of whole numbers that gives whole numbers; false where it is another.
    fn of_wholes(
        function: Function,
        column: &ArrayRef,
        kind: &DataType,
        values: &mut [f64],
        label: Option<&str>,
        run: &mut Run,
    ) -> bool {
        let Some(numbers) = wholes(column).filter(|_| function.gives_wholes()) else { return false };
        // Of a bool numpy makes a whole number of its own, and pandas takes its negative for a not.
        let is_bool = kind == &DataType::Boolean;
        let bits = match kind.primitive_width() {
            Some(bytes) => bytes.saturating_mul(8) as u32,
            None => function.bits_of_bool(),
        };
        let is_signed = is_bool || kind.is_signed_integer();
        let held = |number| wraps(number, bits, is_signed) == number;
        for (row, (value, number)) in values.iter_mut().zip(numbers).enumerate() {
            *value = match number.map(|number| function.of_whole(number, held)) {
                None => f64::NAN,
                Some(Ok(number)) if is_bool && function.name == "negative" => number.saturating_add(1) as f64,
                Some(Ok(number)) => wraps(number, bits, is_signed) as f64,
                Some(Err(reason)) => {
                    run.refuse(row, STEP, label, reason);
                    f64::NAN
                }
            };
        }
        true
    }
}
