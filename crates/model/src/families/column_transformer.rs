//! `ColumnTransformer`: columns picked by name, position, slice or mask, each group through its own transformer, and
//! all put side by side again, sparse or dense as it was decided when fitting.

use foretell_pickle::{Entry, Kind, Value, View};

use crate::attributes::{feature_names, flag, some_attr};
use crate::families::shared::side_by_side::weight;
use crate::family::Family;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::pandas::index::{self, Index};
use crate::step::{Step, Transform};
use crate::{Error, StepReport};

pub(crate) const FAMILY: Family = Family {
    name: "ColumnTransformer",
    classes: &[("sklearn.compose._column_transformer", "ColumnTransformer")],
    globals: &[
        Entry::class("sklearn.compose._column_transformer", "_RemainderColsList"),
        Entry::class("sklearn.compose._column_transformer", "make_column_selector"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let transformers = view.attr("transformers_")?.items()?;
    let names = match (feature_names(view)?, older_names(view)?) {
        (Some(names), _) | (None, Some(names)) => Some(names),
        (None, None) if given.is_none() => named(&transformers)?,
        (None, None) => None,
    };
    let mut count = given.map(<[Source]>::len).or(names.as_ref().map(Vec::len));
    for key in ["n_features_in_", "_n_features"] {
        if let Some(value) = some_attr(view, key)?
            && count.is_none()
        {
            count = Some(value.as_usize()?);
        }
    }
    let count = loader.width(view, given, count)?;
    let sources = loader.sources(view, given, count, names)?;

    let mut report = StepReport::default();
    let mut parts = Vec::new();
    let mut out = Vec::new();
    for entry in &transformers {
        let (name, transformer, columns) = (entry.item(0)?, entry.item(1)?, entry.item(2)?);
        let word = transformer.as_str().ok();
        if word == Some("drop") {
            continue;
        }
        let picked = pick(&columns, &sources)?;
        if picked.is_empty() {
            continue;
        }
        loader.charge(view, picked.len())?;
        let given: Vec<Source> = picked.iter().filter_map(|index| sources.get(*index)).cloned().collect();
        let mut child = StepReport {
            class: "passthrough".to_string(),
            columns: given.iter().map(|source| source.label.clone()).collect(),
            ..StepReport::default()
        };
        let step: Option<Box<dyn Transform>> = if word == Some("passthrough") {
            out.extend(given);
            None
        } else {
            let mut loaded = loader.transformer(&transformer, Some(&given))?;
            loaded.report.columns = std::mem::take(&mut child.columns);
            child = loaded.report;
            loader.charge(view, loaded.out.len())?;
            out.extend(loaded.out);
            Some(loaded.step)
        };
        let name = name.as_str()?;
        child.name = Some(name.to_string());
        report.children.push(child);
        parts.push(run::ColumnPart { picked, step, weight: weight(view, name, &transformer)? });
    }
    report.class = view.class().map(|class| class.to_string()).unwrap_or_default();
    let sparse = flag(view, "sparse_output_", false)?;
    let step = run::Columns { parts, sparse };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report })
}

/// The names of all columns of a DataFrame, as 0.22 to 0.24 kept them.
fn older_names(view: &View<'_>) -> Result<Option<Vec<String>>, Error> {
    if let Some(names) = some_attr(view, "_feature_names_in")? {
        return Ok(Some(names.array()?.strings()?.into_iter().map(|name| name.into_owned()).collect()));
    }
    match some_attr(view, "_df_columns")?.map(|columns| index::read(&columns)).transpose()?.flatten() {
        Some(Index::Names(names)) => Ok(Some(names)),
        _ => Ok(None),
    }
}

/// The names that the transformers speak of, in their order: all that versions before 1.0 tell of a DataFrame. A
/// position beside them cannot be understood, because nothing says which column stood there.
fn named(transformers: &[View<'_>]) -> Result<Option<Vec<String>>, Error> {
    let mut names: Vec<String> = Vec::new();
    let mut by_position = None;
    for entry in transformers {
        let (transformer, columns) = (entry.item(1)?, entry.item(2)?);
        let here: Option<Vec<String>> = if let Ok(name) = columns.as_str() {
            Some(vec![name.to_string()])
        } else if let Ok(array) = columns.array() {
            array.strings().ok().map(|all| all.into_iter().map(|name| name.into_owned()).collect())
        } else if let Value::List(_) | Value::Tuple(_) = columns.value() {
            columns.items()?.iter().map(|item| item.as_str().ok().map(str::to_string)).collect()
        } else if let Some(Index::Names(names)) = index::read(&columns)? {
            Some(names)
        } else {
            None
        };
        match here {
            Some(here) => {
                for name in here {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
            None if transformer.as_str().is_ok_and(|word| word == "drop") => {}
            None => by_position = Some(columns),
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    match by_position {
        Some(columns) => Err(Error::unsupported(
            columns.path(),
            "columns by position beside columns by name, in a file that does not tell the names of all columns",
            "files of scikit-learn 1.0 and later, or columns by name only",
        )),
        None => Ok(Some(names)),
    }
}

/// The positions that a column specification means.
fn pick(columns: &View<'_>, sources: &[Source]) -> Result<Vec<usize>, Error> {
    let count = sources.len();
    let by_name = |name: &str| {
        sources
            .iter()
            .position(|source| source.label == name)
            .ok_or_else(|| Error::NoSuchColumn { place: columns.path(), column: name.to_string() })
    };
    let by_index = |index: i64| {
        let index = if index < 0 { index.saturating_add_unsigned(count as u64) } else { index };
        usize::try_from(index)
            .ok()
            .filter(|index| *index < count)
            .ok_or_else(|| Error::state(columns.path(), format!("column {index} is out of range ({count} columns)")))
    };
    let mask = |mask: Vec<bool>| {
        if mask.len() != count {
            return Err(Error::state(columns.path(), format!("a mask of {} for {count} columns", mask.len())));
        }
        Ok(mask.iter().enumerate().filter(|(_, keep)| **keep).map(|(index, _)| index).collect())
    };
    // Remainders of 1.5 and later are lists with a memory: a dict with the list as `data`.
    if let Some(data) = columns.class().is_some().then(|| columns.get_attr("data")).transpose()?.flatten() {
        return pick(&data, sources);
    }
    match index::read(columns)? {
        Some(Index::Names(names)) => return names.iter().map(|name| by_name(name)).collect(),
        Some(Index::Positions(positions)) => return positions.into_iter().map(by_index).collect(),
        None => {}
    }
    match columns.value() {
        Value::Str(_) | Value::OldStr(_) => Ok(vec![by_name(columns.as_str()?)?]),
        Value::Int(index) => Ok(vec![by_index(*index)?]),
        Value::Slice(ids) => slice(columns, ids, count, &by_name),
        Value::Array(_) => {
            let array = columns.array()?;
            match array.dtype().kind {
                Kind::Bool => mask(array.bools()?),
                Kind::Int | Kind::Uint => array.i64s()?.into_iter().map(by_index).collect(),
                _ => array.strings()?.iter().map(|name| by_name(name)).collect(),
            }
        }
        _ => {
            let items = columns.items()?;
            if !items.is_empty() && items.iter().all(|item| matches!(item.value(), Value::Bool(_))) {
                return mask(items.iter().map(View::as_bool).collect::<Result<_, _>>()?);
            }
            let one = |item: &View<'_>| match item.as_str() {
                Ok(name) => by_name(name),
                Err(_) => by_index(item.as_i64()?),
            };
            items.iter().map(one).collect()
        }
    }
}

/// `slice(start, stop, step)` by position, or by name with the stop included.
fn slice(
    columns: &View<'_>,
    ids: &[foretell_pickle::Id; 3],
    count: usize,
    by_name: &impl Fn(&str) -> Result<usize, Error>,
) -> Result<Vec<usize>, Error> {
    let document = columns.document();
    let [start, stop, step] = ids.map(|id| document.value(id));
    let bound = |value: &Value, default: usize, after: usize| -> Result<usize, Error> {
        match value {
            Value::None => Ok(default),
            Value::Int(index) if *index < 0 => {
                Ok(usize::try_from(index.saturating_add_unsigned(count as u64)).unwrap_or(0))
            }
            Value::Int(index) => Ok(usize::try_from(*index).unwrap_or(count).min(count)),
            Value::Str(blob) | Value::OldStr(blob) => {
                let name = std::str::from_utf8(document.bytes(*blob)).unwrap_or_default();
                Ok(by_name(name)?.saturating_add(after))
            }
            _ => Err(columns.expected("a slice of whole numbers or names").into()),
        }
    };
    let (from, to) = (bound(start, 0, 0)?, bound(stop, count, 1)?);
    let step = match step {
        Value::None => 1,
        Value::Int(step) if *step > 0 => usize::try_from(*step).unwrap_or(usize::MAX),
        _ => return Err(columns.expected("a slice with a step above zero").into()),
    };
    Ok((from..to.min(count).max(from)).step_by(step).collect())
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "ranges are checked while loading")]
mod run {
    use crate::families::shared::side_by_side::{Part, Weight, side_by_side};
    use crate::matrix::Matrix;
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct ColumnPart {
        pub(super) picked: Vec<usize>,
        /// `None` where the columns pass through.
        pub(super) step: Option<Box<dyn Transform>>,
        /// What its columns are multiplied by.
        pub(super) weight: Option<Weight>,
    }

    #[derive(Debug)]
    pub(super) struct Columns {
        pub(super) parts: Vec<ColumnPart>,
        pub(super) sparse: bool,
    }

    impl Transform for Columns {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let made = |one: &ColumnPart| Part::made(x.select(&one.picked), one.step.as_deref(), one.weight, run);
            let parts = self.parts.iter().map(made).collect();
            side_by_side(parts, rows, self.sparse)
        }
    }
}
