//! `DictVectorizer`: a column for each number, and for each value that a text was seen with. The keys of the dicts that it
//! learned from are the model's inputs.

use std::collections::HashMap;

use foretell_pickle::View;

use crate::attributes::is_float32;
use crate::attributes::{flag, word};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "DictVectorizer",
    classes: &[
        ("sklearn.feature_extraction._dict_vectorizer", "DictVectorizer"),
        ("sklearn.feature_extraction.dict_vectorizer", "DictVectorizer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let separator = word(view, "separator", "=")?;
    let features = view.attr("feature_names_")?.items()?;
    let mut keys: Vec<run::Key> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut out = Vec::with_capacity(features.len());
    for (feature, place) in features.iter().zip(0u32..) {
        let name = feature.as_str()?;
        let (key, value) = match name.split_once(separator).filter(|_| !separator.is_empty()) {
            Some((key, value)) => (key, Some(value)),
            None => (name, None),
        };
        let next = keys.len();
        let at = *places.entry(key).or_insert(next);
        if at == next {
            keys.push(run::Key { label: key.to_string(), number: None, values: HashMap::new() });
        }
        if let Some(key) = keys.get_mut(at) {
            match value {
                Some(value) => {
                    loader.hold(value.len().saturating_add(48));
                    key.values.insert(value.to_string(), place);
                }
                None => key.number = Some(place),
            }
        }
        out.push(Source::made(name.to_string()));
    }
    let mut names: Vec<(&str, usize)> = places.into_iter().collect();
    names.sort_by_key(|name| name.1);
    let names = names.into_iter().map(|name| name.0.to_string()).collect();
    let sources = loader.sources(view, given, keys.len(), Some(names))?;
    for (source, key) in sources.iter().zip(&keys) {
        let kind = match (key.number, key.values.is_empty()) {
            (Some(_), true) => InputKind::Number,
            (None, _) => InputKind::Text,
            _ => InputKind::Any,
        };
        loader.demand(source, kind);
    }
    let sparse = flag(view, "sparse", true)?;
    let step = run::Dicts { keys, width: out.len(), sparse, narrow: is_float32(view)? };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use std::collections::HashMap;

    use crate::categories::texts;
    use crate::matrix::{Csr, Matrix, round};
    use crate::step::{Run, Transform};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Key {
        pub(super) label: String,
        /// The column of its numbers.
        pub(super) number: Option<u32>,
        /// The column of each text.
        pub(super) values: HashMap<String, u32>,
    }

    #[derive(Debug)]
    pub(super) struct Dicts {
        pub(super) keys: Vec<Key>,
        pub(super) width: usize,
        pub(super) sparse: bool,
        pub(super) narrow: bool,
    }

    impl Transform for Dicts {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let mut found: Vec<Vec<(u32, f64)>> = vec![Vec::new(); rows];
            for (col, key) in self.keys.iter().enumerate() {
                match &x {
                    Matrix::Frame(frame) if is_text(frame.columns[col].data_type()) => {
                        let mut unseen = 0;
                        texts(&frame.columns[col], |row, text| match text.map(|text| key.values.get(text)) {
                            Some(Some(place)) => found[row].push((*place, 1.0)),
                            Some(None) => unseen += 1,
                            None => {}
                        });
                        run.unseen(&key.label, unseen);
                    }
                    _ => {
                        let numbers = x.numbers(col).unwrap_or_default();
                        for (row, number) in numbers.into_iter().enumerate() {
                            found[row].extend(key.number.map(|place| (place, round(number, self.narrow))));
                        }
                    }
                }
            }
            let mut csr = Csr::empty(self.width, rows);
            csr.narrow = self.narrow;
            for mut entries in found {
                entries.sort_unstable_by_key(|entry| entry.0);
                entries.into_iter().for_each(|(col, value)| csr.push(col, value));
                csr.end_row();
            }
            if self.sparse { Matrix::Csr(csr) } else { Matrix::Dense(csr.to_dense()) }
        }
    }
}
