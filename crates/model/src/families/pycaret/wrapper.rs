//! `TransformerWrapper`: a transformer on some columns. What it makes stands where the columns stood, or behind the column
//! whose name it begins with, or behind all.

use foretell_pickle::View;

use crate::Error;
use crate::attributes::some_attr;
use crate::families::shared::acts::{Builder, Wrapped, text, texts};
use crate::loaded::{Loaded, Source};
use crate::loader::Loader;

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let target = some_attr(view, "target_name_")?.map(|name| text(&name)).transpose()?;
    let names = some_attr(view, "_feature_names_in")?.map(|names| texts(&names)).transpose()?;
    let names: Option<Vec<String>> =
        names.map(|names| names.into_iter().filter(|name| Some(name) != target.as_ref()).collect());
    let mut build = Builder::of(loader, view, given, names)?;
    build.take_names();
    let columns = match some_attr(view, "_include")? {
        Some(names) => build.places(&names)?,
        None => {
            let left_out = some_attr(view, "_exclude")?.map(|names| texts(&names)).transpose()?.unwrap_or_default();
            (0..build.len()).filter(|at| !left_out.iter().any(|name| name == build.name(*at))).collect()
        }
    };
    if columns.is_empty() {
        return build.finish(loader, view);
    }
    let inside = view.attr("transformer")?;
    let before: Vec<String> = (0..build.len()).map(|at| build.name(at).to_string()).collect();
    let taken: Vec<Source> = columns.iter().filter_map(|at| build.sources.get(*at)).cloned().collect();
    let mut loaded = loader.transformer(&inside, Some(&taken))?;
    loaded.report.columns = taken.into_iter().map(|source| source.label).collect();
    build.children.push(loaded.report);
    let mut places = Vec::with_capacity(loaded.out.len());
    let made: Vec<String> = loaded.out.into_iter().map(|source| source.label).collect();
    for name in &made {
        let at = before.iter().position(|one| one == name);
        match at {
            Some(at) if !columns.contains(&at) => {
                let message = format!("makes a column `{name}`, which is there already");
                return Err(Error::state(view.path(), message));
            }
            Some(at) => {
                build.changed(at);
                places.push(at);
            }
            None => {
                places.push(build.len());
                build.add(name.clone());
            }
        }
    }
    build.arrange(if columns.len() == before.len() {
        places.clone()
    } else {
        order(&before, &columns, &made, &places)
    });
    build.act(Wrapped { step: loaded.step, columns, places });
    build.finish(loader, view)
}

/// The order of the columns `before`, of which `columns` were taken, and of those that were `made` of them and are at
/// `places`.
fn order(before: &[String], columns: &[usize], made: &[String], places: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(before.len());
    for (at, name) in before.iter().enumerate() {
        if places.contains(&at) || !columns.contains(&at) {
            order.push(at);
        }
        let derived = |new: &str| new.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('_'));
        for (place, new) in places.iter().zip(made) {
            if *place >= before.len() && derived(new) && !order.contains(place) {
                order.push(*place);
            }
        }
    }
    let rest: Vec<usize> = places.iter().copied().filter(|place| !order.contains(place)).collect();
    order.extend(rest);
    order
}
