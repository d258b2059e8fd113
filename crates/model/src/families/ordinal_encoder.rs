//! `OrdinalEncoder`: each category a number.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::{feature_names, is_float32, is_small, labels, some_attr, version};
use crate::categories::{self, Categories};
use crate::family::Family;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "OrdinalEncoder",
    classes: &[("sklearn.preprocessing._encoders", "OrdinalEncoder")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let learned = learned(view)?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, learned.len(), names)?;
    let unknown = unknown(view)?;
    let mut columns = Vec::with_capacity(learned.len());
    for (source, Learned { categories, values, .. }) in sources.iter().zip(learned) {
        loader.demand(source, categories.kind());
        loader.hold(categories.bytes());
        columns.push(run::Column { values, categories, label: source.label.clone() });
    }
    let (narrow, small) = (is_float32(view)?, is_small(view)?);
    let out = sources.into_iter().map(|source| Source::made(source.label)).collect();
    let refuses_missing = version(view)?.is_none_or(|version| version < (1, 0));
    let step = run::Ordinal { columns, unknown, narrow, small, refuses_missing };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// What the encoder learned of one column.
pub(crate) struct Learned {
    pub(crate) categories: Categories,
    /// The same in order, where they are of one type.
    pub(crate) labels: Option<Labels>,
    /// The number of each category.
    pub(crate) values: Vec<f64>,
}

/// By column.
pub(crate) fn learned(view: &View<'_>) -> Result<Vec<Learned>, Error> {
    let arrays = view.attr("categories_")?.items()?;
    let missing = match some_attr(view, "encoded_missing_value")? {
        Some(value) => value.as_f64()?,
        None => f64::NAN,
    };
    let groups = categories::groups(view, arrays.len())?;
    let one = |(array, group): (View<'_>, Option<categories::Group>)| {
        let categories = Categories::read(&array)?;
        // None is a category like any other.
        let code = |code: usize| match categories.nan() {
            Some(index) if index as usize == code => missing,
            _ => group.as_ref().map_or(code, |group| group.of(code)) as f64,
        };
        let values = (0..categories.len()).map(code).collect();
        Ok(Learned { categories, labels: labels(&array).ok(), values })
    };
    arrays.into_iter().zip(groups).map(one).collect()
}

/// What stands for an unknown category, where one does not raise.
pub(crate) fn unknown(view: &View<'_>) -> Result<Option<f64>, Error> {
    Ok(match some_attr(view, "handle_unknown")? {
        Some(how) if how.as_str()? == "use_encoded_value" => Some(match some_attr(view, "unknown_value")? {
            Some(value) => value.as_f64()?,
            None => f64::NAN,
        }),
        _ => None,
    })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::categories::{self, Categories, MISSING};
    use crate::matrix::{Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Ordinal {
        pub(super) columns: Vec<Column>,
        /// What stands for an unknown category; without it the row is refused.
        pub(super) unknown: Option<f64>,
        pub(super) narrow: bool,
        pub(super) small: bool,
        /// Versions before 1.0 raise on a missing value.
        pub(super) refuses_missing: bool,
    }

    #[derive(Debug)]
    pub(super) struct Column {
        pub(super) categories: Categories,
        /// The number of each category.
        pub(super) values: Vec<f64>,
        pub(super) label: String,
    }

    impl Transform for Ordinal {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let mut dense = Dense::zeros(x.rows(), self.columns.len());
            dense.narrow = self.narrow;
            for (index, column) in self.columns.iter().enumerate() {
                let codes =
                    categories::column_codes(&x, index, &column.categories, "OrdinalEncoder", &column.label, run);
                if self.unknown.is_some() {
                    run.unseen(&column.label, categories::unseen(&codes));
                }
                let out = dense.column_mut(index);
                for (row, code) in codes.into_iter().enumerate() {
                    out[row] = match (column.values.get(code as usize), self.unknown) {
                        (Some(value), _) => *value,
                        (None, Some(unknown)) if code != MISSING || !self.refuses_missing => unknown,
                        (None, _) => {
                            let reason = if code == MISSING { "missing value" } else { "unseen category" };
                            run.refuse(row, "OrdinalEncoder", Some(&column.label), reason);
                            f64::NAN
                        }
                    };
                }
            }
            Matrix::Dense(dense)
        }

        fn gives_small(&self) -> bool {
            self.small
        }
    }
}
