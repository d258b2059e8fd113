//! PyCaret's own transformers.

use foretell_pickle::View;

use crate::attributes::{some_attr, word};
use crate::categories::Categories;
use crate::families::shared::acts::{Builder, Refuse, Wrapped, text, texts};
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;
use crate::{Error, InputKind};

/// What is taken out of the names of columns.
const MATCHED: &str = r#"[\]\[\,\{\}\"\:]+"#;

pub(super) fn load(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    given: Option<&[Source]>,
    class: &str,
) -> Result<Loaded, Error> {
    let mut build = Builder::of(loader, view, given, None)?;
    match class {
        "CleanColumnNames" => {
            if word(view, "match", MATCHED)? != MATCHED {
                return Err(Error::unsupported(view.path(), "a `match` of one's own", "the one that setup uses"));
            }
            build.sources.iter_mut().for_each(|source| source.label.retain(|one| !"[],{}\":".contains(one)));
        }
        "DropImputer" => {
            let columns = build.places(&view.attr("columns")?)?;
            build.act(Refuse { columns, infinity: false });
        }
        "EmbedTextFeatures" => embed(loader, view, &mut build)?,
        "RareCategoryGrouping" => group(loader, view, &mut build)?,
        _ => {
            for name in texts(&view.attr("drop_")?)? {
                let at = build.at(view, &name)?;
                build.drop(at);
            }
        }
    }
    build.finish(loader, view)
}

/// Texts become the counts or weights of their words, behind all columns.
fn embed(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let learned = view.attr("estimators_")?;
    for at in 0..build.len() {
        let (name, source) = (build.name(at).to_string(), build.sources.get(at).cloned());
        let estimator =
            learned.get(&name)?.ok_or_else(|| Error::NoSuchColumn { place: view.path(), column: name.clone() })?;
        let loaded = loader.transformer(&estimator, source.as_ref().map(std::slice::from_ref))?;
        loader.charge(view, loaded.out.len())?;
        build.children.push(loaded.report);
        build.drop(at);
        let first = build.len();
        loaded.out.iter().for_each(|word| build.add(format!("{name}_{}", word.label)));
        build.act(Wrapped { step: loaded.step, columns: vec![at], places: (first..build.len()).collect() });
    }
    Ok(())
}

/// Rare categories become one.
fn group(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    let stands = some_attr(view, "value")?.map(|value| text(&value)).transpose()?.unwrap_or_default();
    for (name, rare) in view.attr("to_other_")?.pairs()? {
        let rare = rare.items()?;
        if rare.is_empty() {
            continue;
        }
        let at = build.at(view, &text(&name)?)?;
        let rare = Categories::objects(&rare)?;
        if rare.kind() != InputKind::Text {
            return Err(Error::unsupported(view.path(), "rare numbers", "rare texts"));
        }
        build.demand(loader, at, InputKind::Text);
        loader.hold(rare.bytes());
        build.act(run::Grouped { at, rare, stands: stands.clone() });
    }
    Ok(())
}

#[allow(clippy::indexing_slicing, reason = "places are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::StringArray;

    use crate::categories::{Categories, texts};
    use crate::families::shared::acts::{Act, Columns};
    use crate::step::Run;

    /// Some categories become one.
    #[derive(Debug)]
    pub(super) struct Grouped {
        pub(super) at: usize,
        pub(super) rare: Categories,
        pub(super) stands: String,
    }

    impl Act for Grouped {
        fn act(&self, table: &mut Columns<'_>, _run: &mut Run) {
            let column = table.all[self.at].clone();
            let mut out: Vec<Option<&str>> = vec![None; table.rows];
            texts(&column, |row, text| {
                let is_rare = |text: &str| self.rare.text_code(text).is_some();
                out[row] = text.map(|text| if is_rare(text) { self.stands.as_str() } else { text });
            });
            table.place(self.at, Arc::new(StringArray::from(out)));
        }
    }
}
