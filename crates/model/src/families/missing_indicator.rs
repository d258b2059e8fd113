//! `MissingIndicator`: a column for each feature that says whether its value is missing.

use foretell_pickle::View;

use super::simple_imputer::{Fill, fill};
use crate::Error;
use crate::attributes::{feature_names, flag, some_attr, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(crate) const FAMILY: Family = Family {
    name: "MissingIndicator",
    classes: &[("sklearn.impute._base", "MissingIndicator"), ("sklearn.impute", "MissingIndicator")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let learned = some_attr(view, "_n_features")?.map(|count| count.as_usize()).transpose()?;
    let names = feature_names(view)?;
    let count = loader.width(view, given, learned)?;
    let sources = loader.sources(view, given, count, names)?;
    let missing = fill(&view.attr("missing_values")?)?;
    let mut features = Vec::new();
    let mut out = Vec::new();
    for feature in view.attr("features_")?.array()?.u64s()? {
        let feature = usize::try_from(feature).unwrap_or(usize::MAX);
        let Some(source) = sources.get(feature) else {
            return Err(Error::out_of_range(view.path(), format!("feature {feature}")));
        };
        features.push(feature);
        out.push(Source::made(format!("missing {}", source.label)));
    }
    let strict = word(view, "features", "missing-only")? == "missing-only" && flag(view, "error_on_new", true)?;
    let sparse = match some_attr(view, "sparse")? {
        Some(how) => how.as_bool().ok(),
        None => None,
    };
    let nan = matches!(missing, Fill::Number(number) if number.is_nan());
    let finite = Finite::new("MissingIndicator", &sources, nan, false);
    let step = run::Indicator { missing, features, strict, sparse, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::categories::texts;
    use crate::families::simple_imputer::Fill;
    use crate::finite::Finite;
    use crate::matrix::{Csr, Matrix};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Indicator {
        pub(super) missing: Fill,
        /// The features that have a column.
        pub(super) features: Vec<usize>,
        /// Whether a missing value in any other feature is refused.
        pub(super) strict: bool,
        /// Whether the table is sparse; as the input is where nothing was said.
        pub(super) sparse: Option<bool>,
        pub(super) finite: Finite,
    }

    impl Indicator {
        fn mask(&self, x: &Matrix, col: usize, run: &mut Run) -> Vec<bool> {
            let mut mask = vec![false; x.rows()];
            if let Matrix::Frame(frame) = x
                && is_text(frame.columns[col].data_type())
            {
                texts(&frame.columns[col], |row, text| mask[row] = self.missing.is_text(text));
                return mask;
            }
            let labels = vec![self.finite.labels[col].clone()];
            Finite { labels, ..self.finite.clone() }.check(&x.select(&[col]), run);
            let numbers = x.numbers(col).unwrap_or_default();
            mask.iter_mut().zip(numbers).for_each(|(missing, number)| *missing = self.missing.is_number(number));
            mask
        }
    }

    impl Transform for Indicator {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let masks: Vec<Vec<bool>> = (0..x.cols()).map(|col| self.mask(&x, col, run)).collect();
            for (col, mask) in masks.iter().enumerate().filter(|(col, _)| !self.features.contains(col)) {
                for row in (0..rows).filter(|row| self.strict && mask[*row]) {
                    run.refuse(row, "MissingIndicator", Some(&self.finite.labels[col]), "missing value");
                }
            }
            let mut csr = Csr::empty(self.features.len(), rows);
            (0..rows).for_each(|row| {
                let missing = self.features.iter().enumerate().filter(|(_, feature)| masks[**feature][row]);
                missing.for_each(|(col, _)| csr.push(col as u32, 1.0));
                csr.end_row();
            });
            let sparse = self.sparse.unwrap_or(matches!(x, Matrix::Csr(_)));
            if sparse { Matrix::Csr(csr) } else { Matrix::Dense(csr.to_dense()) }
        }

        fn gives_small(&self) -> bool {
            true
        }
    }
}
