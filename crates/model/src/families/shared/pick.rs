//! A step that hands on some of its columns as they are.

use foretell_pickle::View;

use crate::Error;
use crate::families::shared::acts::with_nan;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::matrix::{Frame, Matrix};
use crate::step::{Run, Step, Transform};

/// What the library makes of the columns that it picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::families) enum As {
    /// A DataFrame of the same types.
    Frame,
    /// An array of the type that they share.
    Array,
    /// The same, which is never sparse.
    Dense,
}

#[derive(Debug)]
pub(in crate::families) struct Pick {
    picked: Vec<usize>,
    made: As,
}

impl Pick {
    pub(in crate::families) const FRAME: As = As::Frame;
    pub(in crate::families) const ARRAY: As = As::Array;
    pub(in crate::families) const DENSE: As = As::Dense;

    /// Picks these of the columns, in this order.
    pub(in crate::families) fn load(
        loader: &mut Loader<'_>,
        view: &View<'_>,
        sources: &[Source],
        picked: Vec<usize>,
        made: As,
    ) -> Result<Loaded, Error> {
        loader.charge(view, picked.len())?;
        let one = |at: &usize| {
            let message =
                || Error::state(view.path(), format!("column {at} is out of range ({} columns)", sources.len()));
            sources.get(*at).cloned().ok_or_else(message)
        };
        let out = picked.iter().map(one).collect::<Result<_, _>>()?;
        let step = Step::Transform(Box::new(Pick { picked, made }));
        Ok(Loaded { step, out: Out::Table(out), report: Default::default() })
    }
}

impl Transform for Pick {
    fn transform(&self, x: Matrix, _run: &mut Run) -> Matrix {
        let picked = x.select(&self.picked);
        match (picked, self.made) {
            (Matrix::Frame(frame), As::Frame) => {
                let columns = frame.columns.iter().map(with_nan).collect();
                Matrix::Frame(Frame { columns, ..frame })
            }
            // Texts among them stay what they are.
            (picked @ Matrix::Frame(_), _) => picked.clone().into_dense().map_or(picked, Matrix::Dense),
            (Matrix::Csr(csr), As::Dense) => Matrix::Dense(csr.to_dense()),
            (other, _) => other,
        }
    }
}
