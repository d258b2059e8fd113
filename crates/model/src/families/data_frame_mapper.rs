//! sklearn-pandas' `DataFrameMapper`: columns picked by name, each group through its transformers, and all put side
//! by side.

use foretell_pickle::View;

use crate::attributes::{flag, some_attr};
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "DataFrameMapper",
    classes: &[("sklearn_pandas", "DataFrameMapper"), ("sklearn_pandas.dataframe_mapper", "DataFrameMapper")],
    globals: &[],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let features = match some_attr(view, "built_features")? {
        Some(built) => built.items()?,
        None => view.attr("features")?.items()?,
    };
    let mut groups = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for feature in &features {
        let picked = columns(&feature.item(0)?)?;
        for name in &picked {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        groups.push((picked, feature.item(1)?));
    }
    let rest = some_attr(view, "built_default")?;
    let has_rest = view.get_attr("built_default")?.is_some_and(|rest| !rest.as_bool().is_ok_and(|rest| !rest));
    let told = loader.options.columns.clone();
    if has_rest && given.is_none() && told.is_empty() {
        let message = "has a default for columns that the file does not name: name all columns (`columns`)";
        return Err(Error::state(view.path(), message));
    }
    let sources = match given {
        Some(given) => given.to_vec(),
        None if has_rest => loader.own_sources(told.len(), Some(told))?,
        None => loader.own_sources(names.len(), Some(names.clone()))?,
    };
    if has_rest {
        let dropped = some_attr(view, "drop_cols")?.map(|names| columns(&names)).transpose()?.unwrap_or_default();
        let left = |source: &&Source| !names.contains(&source.label) && !dropped.contains(&source.label);
        let left = sources.iter().filter(left).map(|source| source.label.clone()).collect();
        groups.push((left, rest.unwrap_or_else(|| view.clone())));
    }
    let mut parts = Vec::new();
    let mut out = Vec::new();
    let mut children = Vec::new();
    for (picked, transformer) in groups {
        let (part, table, report) = part(loader, view, &sources, picked, &transformer)?;
        parts.push(part);
        out.extend(table);
        children.push(report);
    }
    let step = run::Mapper { parts, sparse: flag(view, "sparse", false)? };
    let report = StepReport { children, ..StepReport::default() };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report })
}

/// One name or several.
fn columns(view: &View<'_>) -> Result<Vec<String>, Error> {
    if let Ok(name) = view.as_str() {
        return Ok(vec![name.to_string()]);
    }
    Ok(view.items()?.iter().map(|name| name.as_str().map(str::to_string)).collect::<Result<_, _>>()?)
}

/// A group of columns and its transformer; columns without one pass through, which is what the mapper itself stands
/// for here.
fn part(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    sources: &[Source],
    names: Vec<String>,
    transformer: &View<'_>,
) -> Result<(run::MappedColumns, Vec<Source>, StepReport), Error> {
    let mut picked = Vec::new();
    for name in &names {
        let found = sources.iter().position(|source| source.label == *name);
        picked.push(found.ok_or_else(|| Error::NoSuchColumn { place: view.path(), column: name.to_string() })?);
    }
    loader.charge(view, picked.len())?;
    let given: Vec<Source> = picked.iter().filter_map(|index| sources.get(*index)).cloned().collect();
    if transformer.is_none() || transformer.id() == view.id() {
        let report = StepReport { class: "passthrough".to_string(), columns: names, ..StepReport::default() };
        return Ok((run::MappedColumns { picked, step: None }, given, report));
    }
    let mut loaded = loader.transformer(transformer, Some(&given))?;
    loaded.report.columns = names;
    loader.charge(view, loaded.out.len())?;
    Ok((run::MappedColumns { picked, step: Some(loaded.step) }, loaded.out, loaded.report))
}

mod run {
    use crate::families::shared::side_by_side::{Part, side_by_side};
    use crate::matrix::Matrix;
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct MappedColumns {
        pub(super) picked: Vec<usize>,
        /// `None` where the columns pass through.
        pub(super) step: Option<Box<dyn Transform>>,
    }

    #[derive(Debug)]
    pub(super) struct Mapper {
        pub(super) parts: Vec<MappedColumns>,
        /// Whether a sparse part makes the whole sparse.
        pub(super) sparse: bool,
    }

    impl Transform for Mapper {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let made = |one: &MappedColumns| Part::made(x.select(&one.picked), one.step.as_deref(), None, run);
            let parts: Vec<Part> = self.parts.iter().map(made).collect();
            let sparse = self.sparse && parts.iter().any(Part::is_sparse);
            side_by_side(parts, rows, sparse)
        }
    }
}
