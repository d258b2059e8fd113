//! `FunctionTransformer` without a function, as ColumnTransformer writes for `passthrough`.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::View;

use super::Family;
use crate::Error;
use crate::loader::{Loaded, Loader, Out, Source, feature_names, some_attr};
use crate::matrix::Matrix;
use crate::step::{Run, Step, Transform};

pub(crate) const FAMILY: Family = Family {
    name: "FunctionTransformer",
    classes: &[
        ("sklearn.preprocessing._function_transformer", "FunctionTransformer"),
        ("sklearn.preprocessing", "FunctionTransformer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if let Some(func) = some_attr(view, "func")? {
        let what = func.class().map_or_else(|| func.describe(), |class| class.to_string());
        return Err(Error::unsupported(func.path(), format!("FunctionTransformer of {what}"), "FunctionTransformer()"));
    }
    let count = match (given, some_attr(view, "n_features_in_")?) {
        (Some(given), _) => given.len(),
        (None, Some(count)) => count.as_usize()?,
        (None, None) => return Err(Error::state(view.path(), "does not tell how many features it has")),
    };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, count, names)?;
    Ok(Loaded { step: Step::Transform(Box::new(Pass)), out: Out::Table(sources), report: Default::default() })
}

#[derive(Debug)]
struct Pass;

impl Transform for Pass {
    fn transform(&self, x: Matrix, _run: &mut Run) -> Matrix {
        x
    }
}
