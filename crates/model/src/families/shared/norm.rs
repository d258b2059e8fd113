//! Rows divided by their norm.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "positions are of tables of known sizes")]

use foretell_pickle::View;

use crate::Error;
use crate::attributes::some_attr;
use crate::matrix::{Csr, Dense, round};

/// Which norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    L1,
    L2,
    Max,
}

impl Norm {
    /// The parameter `norm`; `None` where it is `None`.
    pub(crate) fn read(view: &View<'_>) -> Result<Option<Norm>, Error> {
        let Some(norm) = some_attr(view, "norm")? else { return Ok(None) };
        match norm.as_str()? {
            "l1" => Ok(Some(Norm::L1)),
            "l2" => Ok(Some(Norm::L2)),
            "max" => Ok(Some(Norm::Max)),
            other => Err(Error::unsupported(view.path(), format!("norm={other}"), "l1, l2, max")),
        }
    }

    fn add(self, sum: f64, value: f64, narrow: bool) -> f64 {
        match self {
            Norm::L1 => sum + value.abs(),
            Norm::L2 => sum + round(value * value, narrow),
            Norm::Max => sum.max(value.abs()),
        }
    }

    fn end(self, sum: f64) -> f64 {
        if self == Norm::L2 { sum.sqrt() } else { sum }
    }

    /// Divides the rows of a sparse table. The sum runs over the entries in the library's order, which some versions
    /// have turned round.
    pub(crate) fn sparse(self, csr: &mut Csr, reversed: bool) {
        let narrow = csr.narrow;
        for row in 0..csr.rows() {
            let entries = &mut csr.data[csr.starts[row]..csr.starts[row + 1]];
            let add = |sum, value: &f64| self.add(sum, *value, narrow);
            let sum = if reversed { entries.iter().rev().fold(0.0, add) } else { entries.iter().fold(0.0, add) };
            let norm = self.end(sum);
            if norm != 0.0 {
                entries.iter_mut().for_each(|value| *value = round(*value / norm, narrow));
            }
        }
    }

    /// Divides the rows of a dense table by their norm, unless it is 0, or so near to 0 that the library takes it as
    /// such.
    pub(crate) fn dense(self, dense: &mut Dense, spares_tiny: bool) {
        let narrow = dense.narrow;
        let mut norms = vec![0.0; dense.rows];
        for col in 0..dense.cols {
            for (norm, value) in norms.iter_mut().zip(dense.column(col)) {
                *norm = round(self.add(*norm, *value, narrow), narrow);
            }
        }
        let epsilon = if narrow { f64::from(f32::EPSILON) } else { f64::EPSILON };
        for norm in &mut norms {
            *norm = round(self.end(*norm), narrow);
            if *norm == 0.0 || (spares_tiny && *norm < 10.0 * epsilon) {
                *norm = 1.0;
            }
        }
        for col in 0..dense.cols {
            for (value, norm) in dense.column_mut(col).iter_mut().zip(&norms) {
                *value = round(*value / norm, narrow);
            }
        }
    }
}
