//! `OneHotEncoder` as it was until 0.19, and in the legacy mode of 0.20 and 0.21: columns of small whole numbers, some of
//! them chosen by `categorical_features`. The encoded columns come first, the others behind them.

use std::collections::HashMap;

use foretell_pickle::{Kind, View};

use crate::attributes::is_float32;
use crate::attributes::{flag, some_attr, word};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "OneHotEncoder of integers",
    classes: &[("sklearn.preprocessing.data", "OneHotEncoder")],
    globals: &[],
    load,
};

/// The attribute as 0.19 called it, or with the underscore of 0.20 and 0.21.
fn either<'a>(view: &View<'a>, name: &str) -> Result<Option<View<'a>>, Error> {
    match some_attr(view, &format!("_{name}"))? {
        Some(found) => Ok(Some(found)),
        None => some_attr(view, name),
    }
}

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let need = |name: &str| -> Result<Vec<u64>, Error> {
        let found = either(view, name)?.ok_or_else(|| Error::state(view.path(), format!("`{name}` is missing")))?;
        Ok(found.array()?.u64s()?)
    };
    let (limits, starts) = (need("n_values_")?, need("feature_indices_")?);
    let automatic = either(view, "n_values")?.is_none_or(|how| how.as_str() == Ok("auto"));
    let ends = limits.iter().zip(&starts).map(|(limit, start)| limit.checked_add(*start));
    if starts.len() != limits.len().saturating_add(1) || !ends.eq(starts.iter().skip(1).map(|start| Some(*start))) {
        return Err(Error::state(view.path(), "the columns of its features do not follow each other"));
    }
    let mut width = starts.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(usize::MAX);
    let active = if automatic { Some(need("active_features_")?) } else { None };
    let places: Option<HashMap<u64, u32>> = active.map(|active| active.into_iter().zip(0..).collect());
    if let Some(places) = &places {
        width = places.len();
        loader.hold(width.saturating_mul(24));
    }
    if width > WIDTH {
        return Err(Error::unsupported(view.path(), format!("{width} columns"), format!("up to {WIDTH}")));
    }
    let (count, chosen) = chosen(view, given, limits.len())?;
    let sources = loader.sources(view, given, count, None)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    if chosen.len() != limits.len() {
        return Err(Error::state(view.path(), format!("{} columns chosen for {}", chosen.len(), limits.len())));
    }
    let mut out: Vec<Source> = (0..width).map(|index| Source::made(format!("category {index}"))).collect();
    let rest: Vec<usize> = (0..count).filter(|col| !chosen.contains(col)).collect();
    out.extend(rest.iter().filter_map(|col| sources.get(*col)).cloned());
    let finite = Finite::new("OneHotEncoder", &sources, false, false);
    let ignores = word(view, "handle_unknown", "error")? == "ignore";
    let features = chosen.into_iter().zip(limits.into_iter().zip(starts)).collect();
    let (sparse, narrow) = (flag(view, "sparse", true)?, is_float32(view)?);
    let step = run::OneHot { features, places, width, rest, ignores, sparse, narrow, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// More columns are an attack on memory: a small file may name them all by one number.
const WIDTH: usize = 1 << 18;

/// How many features there are, and which of them are encoded.
fn chosen(view: &View<'_>, given: Option<&[Source]>, encoded: usize) -> Result<(usize, Vec<usize>), Error> {
    let Some(features) = either(view, "categorical_features")?.filter(|features| features.as_str() != Ok("all")) else {
        return Ok((encoded, (0..encoded).collect()));
    };
    let (mask, places) = match features.array() {
        Ok(array) if array.dtype().kind == Kind::Bool => (Some(array.bools()?), Vec::new()),
        Ok(array) => (None, array.u64s()?),
        Err(_) => (None, features.items()?.iter().map(View::as_u64).collect::<Result<_, _>>()?),
    };
    if let Some(mask) = mask {
        let chosen = mask.iter().enumerate().filter(|(_, kept)| **kept).map(|(col, _)| col);
        return Ok((mask.len(), chosen.collect()));
    }
    let Some(given) = given else {
        let what = "categorical_features by position, in a file that does not tell how many features there are";
        return Err(Error::unsupported(view.path(), what, "a mask, or a step before it"));
    };
    let mut chosen: Vec<usize> = places.into_iter().map(|place| usize::try_from(place).unwrap_or(usize::MAX)).collect();
    chosen.sort_unstable();
    chosen.dedup();
    if chosen.last().is_some_and(|last| *last >= given.len()) {
        return Err(Error::out_of_range(view.path(), "a chosen column"));
    }
    Ok((given.len(), chosen))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use std::collections::HashMap;

    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct OneHot {
        /// The column of each feature, below what its numbers stay, and where its outputs start.
        pub(super) features: Vec<(usize, (u64, u64))>,
        /// The outputs that occurred in training; all of them where nothing was counted.
        pub(super) places: Option<HashMap<u64, u32>>,
        pub(super) width: usize,
        pub(super) rest: Vec<usize>,
        /// Whether a number that is too large leaves zeros.
        pub(super) ignores: bool,
        pub(super) sparse: bool,
        pub(super) narrow: bool,
        pub(super) finite: Finite,
    }

    impl Transform for OneHot {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, cols) = (x.rows(), x.cols());
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let mut csr = Csr::empty(self.width + self.rest.len(), rows);
            csr.narrow = self.narrow && self.rest.is_empty();
            let mut unseen = vec![0; cols];
            for row in 0..rows {
                for (col, (limit, start)) in &self.features {
                    let value = x.data[col * rows + row].trunc();
                    let label = Some(self.finite.labels[*col].as_str());
                    if value < 0.0 {
                        run.refuse(row, "OneHotEncoder", label, "below zero");
                        continue;
                    }
                    if value >= *limit as f64 {
                        if !self.ignores {
                            run.refuse(row, "OneHotEncoder", label, "unseen category");
                        }
                        unseen[*col] += usize::from(self.ignores);
                        continue;
                    }
                    let place = start + value as u64;
                    let place = self.places.as_ref().map_or(Some(place as u32), |places| places.get(&place).copied());
                    unseen[*col] += usize::from(place.is_none());
                    place.into_iter().for_each(|place| csr.push(place, 1.0));
                }
                for (index, col) in self.rest.iter().enumerate() {
                    let value = x.data[col * rows + row];
                    if value != 0.0 {
                        csr.push((self.width + index) as u32, value);
                    }
                }
                csr.end_row();
            }
            self.finite.labels.iter().zip(unseen).for_each(|(label, rows)| run.unseen(label, rows));
            if self.sparse {
                return Matrix::Csr(csr);
            }
            let mut dense = csr.to_dense();
            for (index, col) in self.rest.iter().enumerate() {
                dense.column_mut(self.width + index).copy_from_slice(x.column(*col));
            }
            Matrix::Dense(dense)
        }
    }
}
