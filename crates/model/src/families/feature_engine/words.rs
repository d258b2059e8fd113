//! Encoders: a number, or columns, for each category; and rare categories made one.

use foretell_pickle::View;

use super::{raises, variables};
use crate::attributes::{some_attr, word};
use crate::categories::Categories;
use crate::families::shared::acts::{Builder, Refuse, Wrapped, text};
use crate::loader::Loader;
use crate::pandas::index::{self, Index};
use crate::{Error, InputKind};

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder, class: &str) -> Result<(), Error> {
    let columns = variables(view, build)?;
    // Until 1.6 an encoder by trees was a pipeline of two steps over all columns.
    if class == "DecisionTreeEncoder"
        && let Some(inside) = some_attr(view, "encoder_")?
    {
        let loaded = loader.transformer(&inside, Some(&build.sources))?;
        if loaded.out.len() != build.len() {
            return Err(Error::counts(view.path(), (loaded.out.len(), "columns made"), (build.len(), "columns")));
        }
        build.children.push(loaded.report);
        let all: Vec<usize> = (0..build.len()).collect();
        columns.into_iter().for_each(|at| build.changed(at));
        build.act(Wrapped { step: loaded.step, columns: all.clone(), places: all });
        return Ok(());
    }
    let all = view.attr("encoder_dict_")?;
    let always = matches!(class, "OneHotEncoder" | "DecisionTreeEncoder" | "WoEEncoder" | "PRatioEncoder");
    if always || raises(view, "raise")? {
        build.act(Refuse { columns: columns.clone(), infinity: false });
    }
    for at in columns {
        let name = build.name(at).to_string();
        let found = all.pairs()?.into_iter().find(|(key, _)| text(key).is_ok_and(|key| key == name));
        let Some((_, learned)) = found else {
            return Err(Error::state(all.path(), format!("there is nothing of `{name}`")));
        };
        match class {
            "OneHotEncoder" => one_hot(loader, build, (at, &name), &learned)?,
            "RareLabelEncoder" => {
                let kept = match index::read(&learned)? {
                    Some(Index::Names(names)) => Categories::texts(names.into_iter().map(Some).collect()),
                    _ => Categories::objects(&learned.items()?)?,
                };
                let stands = view.attr("replace_with")?;
                if !matches!(kept.kind(), InputKind::Text | InputKind::Any) {
                    return Err(Error::unsupported(learned.path(), "rare numbers", "rare texts"));
                }
                build.demand(loader, at, InputKind::Text);
                loader.hold(kept.bytes());
                build.act(run::Rare { at, kept, stands: stands.as_str()?.to_string() });
            }
            _ => number(loader, view, build, at, &learned)?,
        }
    }
    Ok(())
}

/// A number for each category.
fn number(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    build: &mut Builder,
    at: usize,
    learned: &View<'_>,
) -> Result<(), Error> {
    let (keys, values): (Vec<_>, Vec<_>) = learned.pairs()?.into_iter().unzip();
    let categories = Categories::objects(&keys)?;
    let values = values.iter().map(View::as_f64).collect::<Result<Vec<_>, _>>()?;
    let old = word(view, "errors", "ignore")?;
    let unseen = match word(view, "unseen", old)? {
        "raise" => run::Unseen::Refused,
        "encode" => run::Unseen::Number(view.attr("_unseen")?.as_f64()?),
        _ => run::Unseen::Number(f64::NAN),
    };
    build.demand(loader, at, categories.kind());
    loader.hold(categories.bytes());
    build.changed(at);
    build.act(run::Encode { at, categories, values, unseen });
    Ok(())
}

/// A column of 0 and 1 for each category, behind all others; the column itself goes.
fn one_hot(
    loader: &mut Loader<'_>,
    build: &mut Builder,
    (at, name): (usize, &str),
    learned: &View<'_>,
) -> Result<(), Error> {
    let items = learned.items()?;
    let categories = Categories::objects(&items)?;
    build.demand(loader, at, categories.kind());
    loader.hold(categories.bytes());
    for item in &items {
        build.add(format!("{name}_{}", text(item).or_else(|_| item.as_f64().map(|one| format!("{one:?}")))?));
    }
    build.drop(at);
    build.act(run::OneHot { at, categories });
    Ok(())
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray};

    use crate::categories::{self, Categories, texts};
    use crate::families::shared::acts::{Act, Columns};
    use crate::step::Run;

    #[derive(Debug)]
    pub(super) enum Unseen {
        Refused,
        Number(f64),
    }

    #[derive(Debug)]
    pub(super) struct Encode {
        pub(super) at: usize,
        pub(super) categories: Categories,
        pub(super) values: Vec<f64>,
        pub(super) unseen: Unseen,
    }

    impl Act for Encode {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let codes = self.categories.codes(&table.all[self.at]);
            if let Unseen::Number(_) = self.unseen {
                run.unseen(&table.labels[self.at], categories::unseen(&codes));
            }
            let mut out = Vec::with_capacity(codes.len());
            for (row, code) in codes.into_iter().enumerate() {
                let known = self.values.get(code as usize).copied().filter(|value| !value.is_nan());
                out.push(match (known, &self.unseen) {
                    (Some(value), _) => value,
                    (None, Unseen::Number(value)) => *value,
                    (None, Unseen::Refused) => {
                        table.refuse(row, self.at, "unseen category", run);
                        f64::NAN
                    }
                });
            }
            table.put(self.at, out);
        }
    }

    #[derive(Debug)]
    pub(super) struct OneHot {
        pub(super) at: usize,
        pub(super) categories: Categories,
    }

    impl Act for OneHot {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let codes = self.categories.codes(&table.all[self.at]);
            run.unseen(&table.labels[self.at], categories::unseen(&codes));
            for category in 0..self.categories.len() as u32 {
                let behind = table.all.len();
                table.put(behind, codes.iter().map(|code| f64::from(u8::from(*code == category))).collect());
            }
        }
    }

    /// Categories that are not kept become one.
    #[derive(Debug)]
    pub(super) struct Rare {
        pub(super) at: usize,
        pub(super) kept: Categories,
        pub(super) stands: String,
    }

    impl Act for Rare {
        fn act(&self, table: &mut Columns<'_>, _run: &mut Run) {
            let column = table.all[self.at].clone();
            let mut out: Vec<Option<&str>> = vec![None; table.rows];
            texts(&column, |row, text| {
                out[row] = text.map(|text| if self.kept.text_code(text).is_some() { text } else { &self.stands });
            });
            table.place(self.at, Arc::new(StringArray::from(out)) as ArrayRef);
        }
    }
}
