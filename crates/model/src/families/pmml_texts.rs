//! sklearn2pmml's transformers of texts by regular expressions.

use foretell_pickle::View;

use crate::attributes::{feature_names, word};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::text::{Pattern, Replacement};
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "regular expressions of sklearn2pmml",
    classes: &[
        ("sklearn2pmml.preprocessing", "MatchesTransformer"),
        ("sklearn2pmml.preprocessing", "ReplaceTransformer"),
        ("sklearn2pmml.preprocessing", "WordCountTransformer"),
    ],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let sources = loader.sources(view, given, 1, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Text));
    let job = match class.as_str() {
        "MatchesTransformer" => run::Job::Matches(pattern(view, "pattern")?),
        "ReplaceTransformer" => {
            let pattern = pattern(view, "pattern")?;
            let text = view.attr("replacement")?;
            let replacement = Replacement::new(text.as_str()?, pattern.groups()).map_err(|why| {
                Error::unsupported(text.path(), "its replacement", format!("replacements without {why}"))
            })?;
            run::Job::Replace(pattern, replacement)
        }
        // First every word becomes one digit, then all else is taken away.
        _ => run::Job::Count(pattern(view, "word_pattern")?, pattern(view, "non_word_pattern")?),
    };
    let label = sources.first().map(|source| source.label.clone()).unwrap_or_default();
    let out = sources.into_iter().map(Source::changed).collect();
    let step = run::Texts { class, label, job };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn pattern(view: &View<'_>, name: &str) -> Result<Pattern, Error> {
    let flavour = word(view, "re_flavour", "re")?;
    if flavour != "re" {
        return Err(Error::unsupported(view.path(), format!("re_flavour={flavour}"), "Python's own, re"));
    }
    let pattern = view.attr(name)?;
    let text = pattern.as_str()?;
    Pattern::new(text).map_err(|why| {
        Error::unsupported(pattern.path(), format!("the pattern {text}"), format!("patterns without {why}"))
    })
}

#[allow(clippy::indexing_slicing, reason = "rows are of a column that is there")]
mod run {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, StringArray};

    use crate::categories::texts;
    use crate::matrix::{Frame, Matrix};
    use crate::step::{Run, Transform};
    use crate::text::{Pattern, Replacement};
    use crate::types::is_text;

    #[derive(Debug)]
    pub(super) enum Job {
        Matches(Pattern),
        Replace(Pattern, Replacement),
        Count(Pattern, Pattern),
    }

    #[derive(Debug)]
    pub(super) struct Texts {
        pub(super) class: String,
        pub(super) label: String,
        pub(super) job: Job,
    }

    impl Transform for Texts {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, rule) = match &x {
                Matrix::Frame(frame) => (frame.rows, frame.rule),
                other => (other.rows(), Default::default()),
            };
            let column = match &x {
                Matrix::Frame(frame) if is_text(frame.columns[0].data_type()) => frame.columns[0].clone(),
                _ => {
                    run.refuse_all(rows, &self.class, Some(&self.label), "not a text");
                    Arc::new(StringArray::from(vec![None::<&str>; rows])) as ArrayRef
                }
            };
            let mut all: Vec<Option<&str>> = vec![None; column.len()];
            texts(&column, |row, text| all[row] = text);
            for (row, _) in all.iter().enumerate().filter(|(_, text)| text.is_none()) {
                run.refuse(row, &self.class, Some(&self.label), "missing value");
            }
            let all = all.into_iter().map(Option::unwrap_or_default);
            let made: ArrayRef = match &self.job {
                Job::Matches(pattern) => Arc::new(BooleanArray::from_iter(all.map(|text| Some(pattern.is_in(text))))),
                Job::Replace(pattern, by) => {
                    Arc::new(StringArray::from_iter_values(all.map(|text| pattern.replaced(text, by))))
                }
                Job::Count(word, other) => {
                    let (one, none) = (Replacement::text("1"), Replacement::text(""));
                    let count = |text| other.replaced(&word.replaced(text, &one), &none).chars().count() as f64;
                    Arc::new(Float64Array::from_iter_values(all.map(count)))
                }
            };
            Matrix::Frame(Frame { columns: vec![made], rows, rule })
        }
    }
}
