//! `KBinsDiscretizer`: the bin that a value falls into, as a number or as a column of its own.

use foretell_pickle::View;

use crate::attributes::is_float32;
use crate::attributes::{feature_names, some_attr, version, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "KBinsDiscretizer",
    classes: &[("sklearn.preprocessing._discretization", "KBinsDiscretizer")],
    globals: &[],
    load,
};

/// More bins of one column are an attack on memory: the encoder's own limit is that of its training rows.
const BINS: usize = 1 << 16;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let edges: Vec<Vec<f64>> =
        view.attr("bin_edges_")?.items()?.iter().map(|one| one.array()?.f64s()).collect::<Result<_, _>>()?;
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, edges.len(), names)?;
    let encode = match word(view, "encode", "onehot")? {
        "onehot" => run::Encode::Sparse,
        "onehot-dense" => run::Encode::Dense,
        "ordinal" => run::Encode::Ordinal,
        other => {
            return Err(Error::unsupported(view.path(), format!("encode={other}"), "onehot, onehot-dense, ordinal"));
        }
    };
    let dtype = if some_attr(view, "dtype")?.is_some() { Some(is_float32(view)?) } else { None };
    // Until 1.0 a value just below an edge counted as above it.
    let leeway = version(view)?.is_none_or(|version| version < (1, 1));
    let mut bins = Vec::with_capacity(edges.len());
    let mut out = Vec::new();
    let mut first = 0usize;
    for (edges, source) in edges.into_iter().zip(&sources) {
        loader.demand(source, InputKind::Number);
        loader.hold(edges.len().saturating_mul(8));
        let inner = match edges.as_slice() {
            [_, inner @ .., _] => inner,
            // All values of training were next to each other: there is no bin, and everything is 0.
            [_] if encode == run::Encode::Ordinal && !leeway => &[],
            _ => return Err(Error::state(view.path(), format!("a column has {} bin edges", edges.len()))),
        };
        let count = inner.len().saturating_add(1);
        if count > BINS || !inner.is_sorted() {
            return Err(Error::state(view.path(), "the edges of a column's bins are not in order, or too many"));
        }
        match encode {
            run::Encode::Ordinal if dtype.is_some() => out.push(Source::made(source.label.clone())),
            run::Encode::Ordinal => out.push(source.clone().changed()),
            _ => out.extend((0..count).map(|bin| Source::made(format!("{}_{bin}", source.label)))),
        }
        bins.push(run::Bins { inner: inner.to_vec(), first });
        first = first.saturating_add(count);
    }
    let finite = Finite::new("KBinsDiscretizer", &sources, false, dtype == Some(true));
    let step = run::Discretizer { bins, encode, dtype, leeway, width: first, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Encode {
        Sparse,
        Dense,
        Ordinal,
    }

    #[derive(Debug)]
    pub(super) struct Bins {
        /// The edges between the bins.
        pub(super) inner: Vec<f64>,
        /// The output column of the first bin.
        pub(super) first: usize,
    }

    #[derive(Debug)]
    pub(super) struct Discretizer {
        pub(super) bins: Vec<Bins>,
        pub(super) encode: Encode,
        /// Whether the output is float32; that of the input where nothing was said.
        pub(super) dtype: Option<bool>,
        pub(super) leeway: bool,
        pub(super) width: usize,
        pub(super) finite: Finite,
    }

    impl Transform for Discretizer {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, cols) = (x.rows(), x.cols());
            self.finite.check(&x, run);
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, "KBinsDiscretizer", None, "a sparse table");
            }
            let mut dense = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let narrow = self.dtype.unwrap_or(dense.narrow);
            dense.narrow = narrow;
            for (col, bins) in self.bins.iter().enumerate() {
                for value in dense.column_mut(col) {
                    let mut sought = round(*value, narrow);
                    if self.leeway {
                        sought += round(1e-8 + round(1e-5 * sought.abs(), narrow), narrow);
                    }
                    *value = bins.inner.partition_point(|edge| *edge <= sought) as f64;
                }
            }
            if self.encode == Encode::Ordinal {
                return Matrix::Dense(dense);
            }
            let mut csr = Csr::empty(self.width, rows);
            csr.narrow = narrow;
            for row in 0..rows {
                for (col, bins) in self.bins.iter().enumerate() {
                    csr.push((bins.first + dense.data[col * rows + row] as usize) as u32, 1.0);
                }
                csr.end_row();
            }
            if self.encode == Encode::Sparse { Matrix::Csr(csr) } else { Matrix::Dense(csr.to_dense()) }
        }
    }
}
