//! `TfidfTransformer`: counts weighted by how rare their term is, rows divided by their norm.
//!
//! Equal to the bit but behind `sublinear_tf`, whose logarithm numpy takes from the machine's vector library.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag, some_attr};
use crate::families::shared::norm::Norm;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "TfidfTransformer",
    classes: &[("sklearn.feature_extraction.text", "TfidfTransformer")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let weights = Weights::read(view)?;
    let names = feature_names(view)?;
    let count = loader.width(view, given, weights.idf.as_ref().map(Vec::len))?;
    let sources = loader.sources(view, given, count, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(weights.bytes());
    let finite = Finite::new("TfidfTransformer", &sources, false, false);
    let step = run::Tfidf { weights, finite };
    let out = sources.into_iter().map(Source::changed).collect();
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// What counts become.
#[derive(Debug)]
pub(super) struct Weights {
    sublinear: bool,
    /// The weight of each term.
    pub(super) idf: Option<Vec<f64>>,
    norm: Option<Norm>,
    /// Until 1.4 a product with a diagonal matrix turned the entries of each row round before they were summed up.
    reversed: bool,
}

impl Weights {
    pub(super) fn read(view: &View<'_>) -> Result<Weights, Error> {
        let diagonal = some_attr(view, "_idf_diag")?;
        let idf = if !flag(view, "use_idf", true)? {
            None
        } else if let Some(diagonal) = &diagonal {
            Some(diagonal.attr("data")?.array()?.f64s()?)
        } else {
            Some(view.attr("idf_")?.array()?.f64s()?)
        };
        let norm = Norm::read(view)?;
        let reversed = idf.is_some() && diagonal.is_some();
        Ok(Weights { sublinear: flag(view, "sublinear_tf", false)?, idf, norm, reversed })
    }

    pub(super) fn bytes(&self) -> usize {
        self.idf.as_ref().map_or(0, |idf| idf.len().saturating_mul(8))
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use super::Weights;
    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix, round};
    use crate::step::{Run, Transform};

    impl Weights {
        pub(in crate::families) fn apply(&self, csr: &mut Csr) {
            let narrow = csr.narrow;
            if self.sublinear {
                csr.data.iter_mut().for_each(|value| *value = round(round(value.ln(), narrow) + 1.0, narrow));
            }
            if let Some(idf) = &self.idf {
                for (value, col) in csr.data.iter_mut().zip(&csr.indices) {
                    *value = round(*value * idf[*col as usize], narrow);
                }
            }
            if let Some(norm) = self.norm {
                norm.sparse(csr, self.reversed);
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Tfidf {
        pub(super) weights: Weights,
        pub(super) finite: Finite,
    }

    impl Transform for Tfidf {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, cols) = (x.rows(), x.cols());
            let mut csr = match x {
                Matrix::Csr(csr) => csr,
                other => {
                    let dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
                    let mut csr = Csr::empty(cols, rows);
                    csr.narrow = dense.narrow;
                    for row in 0..rows {
                        for col in 0..cols {
                            let value = dense.data[col * rows + row];
                            if value != 0.0 {
                                csr.push(col as u32, value);
                            }
                        }
                        csr.end_row();
                    }
                    csr
                }
            };
            self.weights.apply(&mut csr);
            Matrix::Csr(csr)
        }
    }
}
