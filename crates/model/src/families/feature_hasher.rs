//! `FeatureHasher`: features at the places that the hashes of their names give. The library takes a dict a row; here that
//! is a row of columns by name, or a list of texts where texts alone are hashed.

use foretell_pickle::View;

use super::hashing_vectorizer::places;
use crate::attributes::is_float32;
use crate::attributes::{flag, word};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "FeatureHasher",
    classes: &[
        ("sklearn.feature_extraction._hash", "FeatureHasher"),
        ("sklearn.feature_extraction.hashing", "FeatureHasher"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let (features, out) = places(view)?;
    let of_texts = match word(view, "input_type", "dict")? {
        "dict" | "pair" => false,
        "string" => true,
        other => return Err(Error::unsupported(view.path(), format!("input_type={other}"), "dict, pair, string")),
    };
    let named = loader.options.columns.clone();
    let sources = match given {
        Some(given) => given.to_vec(),
        None if !named.is_empty() => loader.own_sources(named.len(), Some(named))?,
        None if of_texts => loader.own_sources(1, None)?,
        None => {
            let message = "the file does not tell which columns are hashed: name them (`columns`)";
            return Err(Error::state(view.path(), message));
        }
    };
    let kind = match (of_texts, sources.len()) {
        (false, _) => InputKind::Any,
        (true, 1) => InputKind::List,
        (true, _) => InputKind::Text,
    };
    sources.iter().for_each(|source| loader.demand(source, kind.clone()));
    let step = run::Hasher {
        labels: sources.into_iter().map(|source| source.label).collect(),
        of_texts,
        features,
        signs: flag(view, "alternate_sign", true)?,
        magnitudes: flag(view, "non_negative", false)?,
        narrow: is_float32(view)?,
    };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, reason = "a row is below the table's rows, a range within its list")]
mod run {
    use arrow_array::ArrayRef;

    use crate::categories::texts;
    use crate::families::shared::lists::lists;
    use crate::matrix::{Csr, Matrix, round};
    use crate::step::{Run, Transform};
    use crate::text::{murmur3, place};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) struct Hasher {
        /// What the columns are called.
        pub(super) labels: Vec<String>,
        /// Whether texts are hashed as they are, without the names of their columns.
        pub(super) of_texts: bool,
        pub(super) features: u32,
        /// Whether half of the features count negative.
        pub(super) signs: bool,
        /// Whether the signs are dropped again, as versions before 0.21 could.
        pub(super) magnitudes: bool,
        pub(super) narrow: bool,
    }

    impl Hasher {
        fn entry(&self, feature: &str, value: f64) -> (u32, f64) {
            let hash = murmur3(feature.as_bytes());
            let value = round(value, self.narrow);
            (place(hash, self.features), if self.signs && hash < 0 { -value } else { value })
        }

        /// The entries of a column of texts, or of lists of them, that stand for themselves.
        fn tokens(&self, col: usize, column: Option<&ArrayRef>, found: &mut [Vec<(u32, f64)>], run: &mut Run) {
            let rows = found.len();
            let mut refuse = |row, reason| run.refuse(row, "FeatureHasher", Some(&self.labels[col]), reason);
            if let Some((values, ranges)) = column.and_then(lists) {
                let mut entries = vec![None; values.len()];
                texts(values, |at, text| entries[at] = text.map(|text| self.entry(text, 1.0)));
                for (row, range) in ranges.into_iter().enumerate() {
                    match range {
                        Some(range) if entries[range.clone()].iter().all(Option::is_some) => {
                            found[row].extend(entries[range].iter().flatten());
                        }
                        _ => refuse(row, "missing value"),
                    }
                }
            } else if let Some(column) = column.filter(|column| is_text(column.data_type())) {
                texts(column, |row, text| match text {
                    Some(text) => found[row].push(self.entry(text, 1.0)),
                    None => refuse(row, "missing value"),
                });
            } else {
                (0..rows).for_each(|row| refuse(row, "not a text"));
            }
        }

        /// The entries of a column by name: a text is a feature of its own, a number the value of its column's.
        fn named(&self, col: usize, x: &Matrix, found: &mut [Vec<(u32, f64)>]) {
            let name = &self.labels[col];
            match x {
                Matrix::Frame(frame) if is_text(frame.columns[col].data_type()) => {
                    // What is missing is not a text but a number: NaN.
                    texts(&frame.columns[col], |row, text| {
                        found[row].push(match text {
                            Some(text) => self.entry(&format!("{name}={text}"), 1.0),
                            None => self.entry(name, f64::NAN),
                        });
                    });
                }
                _ => {
                    let numbers = x.numbers(col).unwrap_or_default();
                    for (row, number) in numbers.into_iter().enumerate().filter(|(_, number)| *number != 0.0) {
                        found[row].push(self.entry(name, number));
                    }
                }
            }
        }
    }

    impl Transform for Hasher {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let mut found: Vec<Vec<(u32, f64)>> = vec![Vec::new(); x.rows()];
            for col in 0..self.labels.len() {
                if self.of_texts {
                    let column = match &x {
                        Matrix::Frame(frame) => frame.columns.get(col),
                        _ => None,
                    };
                    self.tokens(col, column, &mut found, run);
                } else {
                    self.named(col, &x, &mut found);
                }
            }
            let mut csr = Csr::empty(self.features as usize, x.rows());
            csr.narrow = self.narrow;
            for mut entries in found {
                entries.sort_by_key(|entry| entry.0);
                // Features that cancel out leave a zero behind.
                for same in entries.chunk_by(|a, b| a.0 == b.0) {
                    let sum = same[1..].iter().fold(same[0].1, |sum, entry| round(sum + entry.1, self.narrow));
                    csr.push(same[0].0, if self.magnitudes { sum.abs() } else { sum });
                }
                csr.end_row();
            }
            Matrix::Csr(csr)
        }
    }
}
