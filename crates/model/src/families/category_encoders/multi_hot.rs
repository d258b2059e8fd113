//! `MultiHotEncoder`: texts that list several items, a column for each item.

use std::collections::HashMap;

use foretell_pickle::View;

use super::{dropped, input_names, name_of, names_of, sources};
use crate::Error;
use crate::attributes::word;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let names = input_names(loader, view, &[], || Ok(Vec::new()))?;
    let sources = sources(loader, view, given, &names)?;
    let mut lists = HashMap::new();
    for entry in view.attr("mapping")?.items()? {
        let get =
            |name: &str| entry.get(name)?.ok_or_else(|| Error::state(entry.path(), format!("there is no `{name}`")));
        let column = name_of(&get("col")?)?;
        let places = names_of(&get("columns")?)?;
        let place = |name: &str| -> Result<Option<usize>, Error> {
            let Some(at) = get(name)?.some() else { return Ok(None) };
            let at = at.as_usize()?;
            if at < places.len() { Ok(Some(at)) } else { Err(Error::out_of_range(entry.path(), "a column")) }
        };
        let mut items = HashMap::new();
        for (item, at) in get("item_pos")?.pairs()? {
            let at = at.as_usize()?;
            if at >= places.len() {
                return Err(Error::out_of_range(entry.path(), "a column"));
            }
            items.insert(item.as_str()?.to_string(), at);
        }
        let missing = match word(view, "handle_missing", "value")? {
            "error" => run::Other::Refuse,
            "return_nan" => run::Other::Nan,
            "indicator" => run::Other::At(place("missing_pos")?),
            "value" => run::Other::At(place("nan_value_pos")?),
            _ => run::Other::At(None),
        };
        let unknown = match word(view, "handle_unknown", "value")? {
            "error" => run::Other::Refuse,
            "return_nan" => run::Other::Nan,
            "indicator" => run::Other::At(place("unknown_pos")?),
            _ => run::Other::At(None),
        };
        lists.insert(column, (places, items, missing, unknown));
    }
    let dropped = dropped(view)?;
    let (mut parts, mut out) = (Vec::with_capacity(sources.len()), Vec::new());
    for (name, source) in names.iter().zip(sources) {
        let Some((places, items, missing, unknown)) = lists.remove(name) else {
            let kept = !dropped.contains(name);
            out.extend(kept.then(|| source.clone()));
            parts.push((source.label, run::Part::Pass(kept)));
            continue;
        };
        let named = places.iter().enumerate().filter(|(_, label)| !dropped.contains(label));
        let (kept, labels): (Vec<usize>, Vec<&String>) = named.unzip();
        loader.charge(view, places.len())?;
        out.extend(labels.into_iter().map(|label| Source::made(label.clone())));
        parts.push((source.label, run::Part::Items { items, count: places.len(), kept, missing, unknown }));
    }
    if let Some(column) = lists.keys().next() {
        return Err(Error::NoSuchColumn { place: view.path(), column: column.clone() });
    }
    let delimiter = word(view, "delimiter", "|")?.to_string();
    if delimiter.is_empty() {
        return Err(Error::state(view.path(), "an empty delimiter"));
    }
    let step = run::MultiHot { delimiter, parts };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, reason = "places are checked while loading")]
mod run {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array};

    use super::super::by_column::run::{columns, table};
    use crate::families::shared::written::{As, column};
    use crate::matrix::Matrix;
    use crate::step::{Run, Transform};
    use crate::text::is_space;

    /// What becomes of a row whose value is missing or has an item that training did not have.
    #[derive(Debug, Clone, Copy)]
    pub(super) enum Other {
        Refuse,
        Nan,
        /// A column of its own, or none.
        At(Option<usize>),
    }

    #[derive(Debug)]
    pub(super) enum Part {
        /// Goes on as it is, or is left out.
        Pass(bool),
        Items {
            items: HashMap<String, usize>,
            count: usize,
            kept: Vec<usize>,
            missing: Other,
            unknown: Other,
        },
    }

    #[derive(Debug)]
    pub(super) struct MultiHot {
        pub(super) delimiter: String,
        /// What becomes of each column, with its label.
        pub(super) parts: Vec<(String, Part)>,
    }

    /// Sets what stands for a value that is missing or unknown; `None` where its row is refused.
    fn set(other: Other, values: &mut [Vec<f64>], row: usize) -> Option<()> {
        match other {
            Other::Refuse => return None,
            Other::Nan => values.iter_mut().for_each(|column| column[row] = f64::NAN),
            Other::At(Some(at)) => values[at][row] = 1.0,
            Other::At(None) => {}
        }
        Some(())
    }

    impl Transform for MultiHot {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            const CLASS: &str = "MultiHotEncoder";
            let rows = x.rows();
            let mut out: Vec<ArrayRef> = Vec::new();
            for ((label, part), given) in self.parts.iter().zip(columns(&x)) {
                let (items, count, kept, missing, unknown) = match part {
                    Part::Pass(kept) => {
                        out.extend(kept.then_some(given));
                        continue;
                    }
                    Part::Items { items, count, kept, missing, unknown } => (items, *count, kept, *missing, *unknown),
                };
                let mut values = vec![vec![0.0; rows]; count];
                let texts = column(&given, As::Objects).unwrap_or_else(|| {
                    run.refuse_all(rows, CLASS, Some(label), "neither a number nor a text");
                    vec![None; rows]
                });
                let mut unseen = 0usize;
                for (row, text) in texts.iter().enumerate() {
                    let Some(text) = text else {
                        if set(missing, &mut values, row).is_none() {
                            run.refuse(row, CLASS, Some(label), "missing value");
                        }
                        continue;
                    };
                    let all = || text.split(&self.delimiter).map(|item| item.trim_matches(is_space));
                    let is_unknown = all().any(|item| !item.is_empty() && !items.contains_key(item));
                    for at in all().filter_map(|item| items.get(item)) {
                        values[*at][row] = 1.0;
                    }
                    if is_unknown && set(unknown, &mut values, row).is_none() {
                        run.refuse(row, CLASS, Some(label), "unseen category");
                    }
                    unseen = unseen.saturating_add(usize::from(is_unknown));
                }
                if !matches!(unknown, Other::Refuse) {
                    run.unseen(label, unseen);
                }
                for at in kept {
                    out.push(Arc::new(Float64Array::from(std::mem::take(&mut values[*at]))));
                }
            }
            table(out, rows)
        }
    }
}
