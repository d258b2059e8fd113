//! `CountVectorizer` and `TfidfVectorizer`: a text becomes the counts of its terms, weighted where asked for. The table
//! is sparse and stays so, however many words there are.

use std::collections::HashMap;

use foretell_pickle::{Entry, State, View};

use super::tfidf_transformer::Weights;
use crate::attributes::is_float32;
use crate::attributes::{flag, some_attr};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::text::Analyzer;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "vectorizers of texts",
    classes: &[
        ("sklearn.feature_extraction.text", "CountVectorizer"),
        ("sklearn.feature_extraction.text", "TfidfVectorizer"),
    ],
    globals: &[
        Entry::class("sklearn2pmml.feature_extraction.text", "Matcher").with_state(State::TEXT),
        Entry::class("sklearn2pmml.feature_extraction.text", "Splitter").with_state(State::TEXT),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let analyzer = Analyzer::read(view)?;
    let vocabulary = vocabulary(view)?;
    let weights = if class == "TfidfVectorizer" { Some(Weights::read(&view.attr("_tfidf")?)?) } else { None };
    if let Some(idf) = weights.as_ref().and_then(|weights| weights.idf.as_ref())
        && idf.len() != vocabulary.len()
    {
        return Err(Error::state(view.path(), format!("weights of {} terms for {}", idf.len(), vocabulary.len())));
    }
    let label = text_source(loader, view, given)?;
    let mut out = vec![Source::made(String::new()); vocabulary.len()];
    for (term, place) in &vocabulary {
        loader.hold(term.len().saturating_add(48));
        if let Some(source) = out.get_mut(*place as usize) {
            source.label.clone_from(term);
        }
    }
    loader.hold(weights.as_ref().map_or(0, Weights::bytes));
    let binary = flag(view, "binary", false)?;
    let step = run::Counts { class, label, analyzer, vocabulary, weights, binary, narrow: is_float32(view)? };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// The one column of texts that a vectorizer takes.
pub(super) fn text_source(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<String, Error> {
    let sources = loader.sources(view, given, 1, None)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Text));
    Ok(sources.into_iter().next().map(|source| source.label).unwrap_or_default())
}

/// The column of each term: what was learned, or what was given.
fn vocabulary(view: &View<'_>) -> Result<HashMap<String, u32>, Error> {
    let learned = match some_attr(view, "vocabulary_")? {
        Some(learned) => learned,
        None => view.attr("vocabulary")?,
    };
    let mut all = HashMap::new();
    if let Ok(pairs) = learned.pairs() {
        let count = pairs.len();
        for (term, place) in pairs {
            let place = place.as_usize()?;
            if place >= count {
                return Err(Error::state(learned.path(), format!("term {place} is out of range ({count} terms)")));
            }
            all.insert(term.as_text()?.into_owned(), u32::try_from(place).unwrap_or(u32::MAX));
        }
        return Ok(all);
    }
    let mut terms: Vec<String> =
        learned.items()?.iter().map(|term| Ok(term.as_text()?.into_owned())).collect::<Result<_, Error>>()?;
    if let foretell_pickle::Value::Set(_) | foretell_pickle::Value::FrozenSet(_) = learned.value() {
        terms.sort();
    }
    all.extend(terms.into_iter().zip(0..));
    Ok(all)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use std::collections::HashMap;

    use super::Weights;
    use crate::categories::texts;
    use crate::matrix::{Csr, Matrix};
    use crate::step::{Run, Transform};
    use crate::text::Analyzer;
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Counts {
        pub(super) class: String,
        pub(super) label: String,
        pub(super) analyzer: Analyzer,
        pub(super) vocabulary: HashMap<String, u32>,
        pub(super) weights: Option<Weights>,
        pub(super) binary: bool,
        pub(super) narrow: bool,
    }

    /// Calls `each` with every text of the only column. Rows without one are refused.
    pub(in crate::families) fn documents(
        x: &Matrix,
        class: &str,
        label: &str,
        run: &mut Run,
        mut each: impl FnMut(&str),
    ) {
        match x {
            Matrix::Frame(frame) if frame.columns.len() == 1 && is_text(frame.columns[0].data_type()) => {
                texts(&frame.columns[0], |row, text| {
                    if text.is_none() {
                        run.refuse(row, class, Some(label), "missing value");
                    }
                    each(text.unwrap_or_default());
                });
            }
            other => {
                run.refuse_all(other.rows(), class, Some(label), "not text");
                (0..other.rows()).for_each(|_| each(""));
            }
        }
    }

    impl Transform for Counts {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let mut csr = Csr::empty(self.vocabulary.len(), x.rows());
            csr.narrow = self.narrow;
            let mut found: Vec<u32> = Vec::new();
            documents(&x, &self.class, &self.label, run, |text| {
                found.clear();
                self.analyzer.terms(text, |term| found.extend(self.vocabulary.get(term)));
                found.sort_unstable();
                for same in found.chunk_by(|a, b| a == b) {
                    csr.push(same[0], if self.binary { 1.0 } else { same.len() as f64 });
                }
                csr.end_row();
            });
            if let Some(weights) = &self.weights {
                weights.apply(&mut csr);
            }
            Matrix::Csr(csr)
        }
    }
}
pub(super) use run::documents;
