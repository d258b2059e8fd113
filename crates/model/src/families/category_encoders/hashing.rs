//! `HashingEncoder`: what is in the columns is counted by its hash, all columns together.

use foretell_pickle::View;

use super::{dropped, input_names, lumped, names_of, place_of, sources};
use crate::Error;
use crate::attributes::word;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let hash = match word(view, "hash_method", "md5")? {
        "md5" => run::Hash::Md5,
        "sha224" => run::Hash::Sha224,
        "sha256" => run::Hash::Sha256,
        "sha384" => run::Hash::Sha384,
        "sha512" => run::Hash::Sha512,
        other => {
            let what = format!("hash_method={other}");
            return Err(Error::unsupported(view.path(), what, "md5, sha224, sha256, sha384, sha512"));
        }
    };
    let columns = names_of(&view.attr("cols")?)?;
    let names = input_names(loader, view, &columns, || {
        let what = "columns that pass through without names";
        Err(Error::unsupported(view.path(), what, "names of all columns told with `columns` or `--columns`"))
    })?;
    let sources = sources(loader, view, given, &names)?;
    let count = view.attr("n_components")?.as_usize()?;
    if count == 0 {
        return Err(Error::state(view.path(), "n_components is 0"));
    }
    loader.charge(view, count)?;
    let dropped = dropped(view)?;
    let is_kept = |label: &String| !dropped.contains(label);
    let mut hashed = Vec::with_capacity(columns.len());
    for column in &columns {
        hashed.push(run::Hashed { at: place_of(view, &names, column)?, lumped: lumped(view, column)? });
    }
    let kept: Vec<usize> = (0..count).filter(|place| is_kept(&format!("col_{place}"))).collect();
    let others: Vec<usize> = names
        .iter()
        .enumerate()
        .filter(|(at, name)| is_kept(name) && !hashed.iter().any(|hashed| hashed.at == *at))
        .map(|(at, _)| at)
        .collect();
    let mut out: Vec<Source> = kept.iter().map(|place| Source::made(format!("col_{place}"))).collect();
    out.extend(others.iter().filter_map(|at| sources.get(*at).cloned()));
    let labels = sources.into_iter().map(|source| source.label).collect();
    let step = run::Hashing { labels, hash, hashed, count, kept, others };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array};
    use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

    use super::super::by_column::run::{columns, table};
    use crate::categories::Categories;
    use crate::families::shared::written::{As, column};
    use crate::matrix::Matrix;
    use crate::step::{Run, Transform};
    use crate::text::md5;

    #[derive(Debug)]
    pub(super) enum Hash {
        Md5,
        Sha224,
        Sha256,
        Sha384,
        Sha512,
    }

    impl Hash {
        /// Which of this many columns a text is counted in: its hash as one large number, divided.
        fn place(&self, text: &str, count: usize) -> usize {
            let rest = |digest: &[u8]| {
                let step = |rest: u128, byte: &u8| ((rest << 8) | u128::from(*byte)) % count as u128;
                digest.iter().fold(0, step) as usize
            };
            match self {
                Hash::Md5 => rest(&md5(text.as_bytes())),
                Hash::Sha224 => rest(Sha224::digest(text).as_slice()),
                Hash::Sha256 => rest(Sha256::digest(text).as_slice()),
                Hash::Sha384 => rest(Sha384::digest(text).as_slice()),
                Hash::Sha512 => rest(Sha512::digest(text).as_slice()),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Hashed {
        pub(super) at: usize,
        /// Rare categories, and what they are called together.
        pub(super) lumped: Option<(Categories, Vec<String>)>,
    }

    #[derive(Debug)]
    pub(super) struct Hashing {
        pub(super) labels: Vec<String>,
        pub(super) hash: Hash,
        pub(super) hashed: Vec<Hashed>,
        pub(super) count: usize,
        /// Which of the counts are outputs.
        pub(super) kept: Vec<usize>,
        /// The columns that pass through.
        pub(super) others: Vec<usize>,
    }

    impl Transform for Hashing {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let all = columns(&x);
            let hashed: Vec<ArrayRef> = self.hashed.iter().map(|hashed| all[hashed.at].clone()).collect();
            let mut written = As::together(&hashed);
            if written != As::Objects && self.hashed.iter().any(|hashed| hashed.lumped.is_some()) {
                written = As::Objects;
            }
            let mut counts = vec![vec![0.0; rows]; self.count];
            for (Hashed { at, lumped }, values) in self.hashed.iter().zip(&hashed) {
                let Some(mut texts) = column(values, written) else {
                    run.refuse_all(rows, "HashingEncoder", Some(&self.labels[*at]), "neither a number nor a text");
                    continue;
                };
                if let Some((rare, names)) = lumped {
                    for (text, code) in texts.iter_mut().zip(rare.codes(values)) {
                        if let Some(name) = names.get(code as usize) {
                            *text = Some(name.clone());
                        }
                    }
                }
                for (row, text) in texts.iter().enumerate() {
                    // What is missing is a category like others.
                    counts[self.hash.place(text.as_deref().unwrap_or("nan"), self.count)][row] += 1.0;
                }
            }
            let mut out: Vec<ArrayRef> = Vec::with_capacity(self.kept.len() + self.others.len());
            for place in &self.kept {
                out.push(Arc::new(Float64Array::from(std::mem::take(&mut counts[*place]))));
            }
            out.extend(self.others.iter().map(|at| all[*at].clone()));
            table(out, rows)
        }
    }
}
