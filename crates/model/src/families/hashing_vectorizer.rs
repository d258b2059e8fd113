//! `HashingVectorizer`: the terms of a text counted at the places that their hashes give.

use foretell_pickle::View;

use super::count_vectorizer::text_source;
use crate::Error;
use crate::attributes::flag;
use crate::attributes::is_float32;
use crate::families::shared::norm::Norm;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::text::Analyzer;

pub(crate) const FAMILY: Family = Family {
    name: "HashingVectorizer",
    classes: &[("sklearn.feature_extraction.text", "HashingVectorizer")],
    globals: &[],
    load,
};

/// The library's default is the most that a small file can ask memory for.
const FEATURES: usize = 1 << 20;
/// Above this the columns have no names: a hash knows none, and counting them would only take memory.
const NAMED: usize = 1 << 12;

/// How many places there are, and the columns that they are.
pub(super) fn places(view: &View<'_>) -> Result<(u32, Vec<Source>), Error> {
    let features = view.attr("n_features")?.as_usize()?;
    if features == 0 || features > FEATURES {
        return Err(Error::unsupported(view.path(), format!("n_features={features}"), format!("1 to {FEATURES}")));
    }
    let name = |place: usize| if features > NAMED { String::new() } else { format!("hash {place}") };
    let out = (0..features).map(|place| Source::made(name(place))).collect();
    Ok((u32::try_from(features).unwrap_or(u32::MAX), out))
}

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let (features, out) = places(view)?;
    let label = text_source(loader, view, given)?;
    let step = run::Hashing {
        label,
        analyzer: Analyzer::read(view)?,
        features,
        signs: flag(view, "alternate_sign", true)?,
        magnitudes: flag(view, "non_negative", false)?,
        binary: flag(view, "binary", false)?,
        norm: Norm::read(view)?,
        narrow: is_float32(view)?,
    };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::families::count_vectorizer::documents;
    use crate::families::shared::norm::Norm;
    use crate::matrix::{Csr, Matrix};
    use crate::step::{Run, Transform};
    use crate::text::{Analyzer, murmur3, place};

    #[derive(Debug)]
    pub(super) struct Hashing {
        pub(super) label: String,
        pub(super) analyzer: Analyzer,
        pub(super) features: u32,
        /// Whether half of the terms count as -1.
        pub(super) signs: bool,
        /// Whether the signs are dropped again, as versions before 0.21 could.
        pub(super) magnitudes: bool,
        pub(super) binary: bool,
        pub(super) norm: Option<Norm>,
        pub(super) narrow: bool,
    }

    impl Transform for Hashing {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let mut csr = Csr::empty(self.features as usize, x.rows());
            csr.narrow = self.narrow;
            let mut found: Vec<(u32, f64)> = Vec::new();
            documents(&x, "HashingVectorizer", &self.label, run, |text| {
                found.clear();
                self.analyzer.terms(text, |term| {
                    let hash = murmur3(term.as_bytes());
                    found.push((place(hash, self.features), if self.signs && hash < 0 { -1.0 } else { 1.0 }));
                });
                found.sort_unstable_by_key(|entry| entry.0);
                // Terms that cancel out leave a zero behind.
                for same in found.chunk_by(|a, b| a.0 == b.0) {
                    let sum: f64 = same.iter().map(|entry| entry.1).sum();
                    let sum = if self.magnitudes { sum.abs() } else { sum };
                    csr.push(same[0].0, if self.binary { 1.0 } else { sum });
                }
                csr.end_row();
            });
            if let Some(norm) = self.norm {
                norm.sparse(&mut csr, false);
            }
            Matrix::Csr(csr)
        }
    }
}
