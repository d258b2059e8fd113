//! What all feature selectors share once they know which columns to keep.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::View;

use super::finite::Finite;
use crate::loader::{Loaded, Loader, Out, Source, feature_names};
use crate::matrix::Matrix;
use crate::step::{Run, Step, Transform};
use crate::{Error, InputKind};

/// Keeps the columns of `mask`. Where a selector lets NaN through it looks at no value at all.
pub(super) fn columns(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    mask: &[bool],
    allows_nan: bool,
) -> Result<Loaded, Error> {
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, mask.len(), names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let class = view.class().map(|class| class.name.as_str()).unwrap_or_default();
    let finite = (!allows_nan).then(|| Finite::new(class, &sources, false, false));
    let picked: Vec<usize> = mask.iter().enumerate().filter(|(_, kept)| **kept).map(|(col, _)| col).collect();
    let out = sources.into_iter().zip(mask).filter(|(_, kept)| **kept).map(|(source, _)| source).collect();
    Ok(Loaded {
        step: Step::Transform(Box::new(Select { picked, finite })),
        out: Out::Table(out),
        report: Default::default(),
    })
}

#[derive(Debug)]
struct Select {
    picked: Vec<usize>,
    finite: Option<Finite>,
}

impl Transform for Select {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        if let Some(finite) = &self.finite {
            finite.check(&x, run);
        }
        let picked = x.select(&self.picked);
        match picked {
            // The library makes one array of the columns, whatever types they have.
            Matrix::Frame(_) => picked.clone().into_dense().map_or(picked, Matrix::Dense),
            other => other,
        }
    }
}
