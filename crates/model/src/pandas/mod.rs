//! Columns of pandas as pickles hold them: the values of a Series or DataFrame by their index. Nothing of pandas runs.

use foretell_pickle::{Kind, Value, View};

pub(crate) mod index;
mod names;
mod texts;

pub(crate) use names::GLOBALS;

use crate::Error;
use crate::categories::Categories;

/// Rows of numbers by the value of their index.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) index: Categories,
    /// The names of the columns; `None` for a Series.
    pub(crate) names: Vec<String>,
    /// One vector a column.
    pub(crate) columns: Vec<Vec<f64>>,
}

impl Table {
    /// A Series or a DataFrame of numbers.
    pub(crate) fn read(view: &View<'_>) -> Result<Table, Error> {
        // `_data` until 1.0.
        let manager = match view.get_attr("_mgr")? {
            Some(manager) => manager,
            None => view.attr("_data")?,
        };
        let (axes, blocks) = parts(&manager)?;
        let table = match axes.as_slice() {
            [index] => {
                let [(values, _)] = blocks.as_slice() else {
                    return Err(view.expected("a series of one block").into());
                };
                Table { index: read_index(index)?, names: Vec::new(), columns: vec![values.array()?.f64s()?] }
            }
            [names, index] => {
                let names = read_names(names)?;
                let columns = columns(view, &blocks, names.len())?;
                Table { index: read_index(index)?, names, columns }
            }
            _ => return Err(view.expected("a table of one or two axes").into()),
        };
        if table.columns.iter().any(|column| column.len() != table.index.len()) {
            return Err(Error::state(view.path(), "its columns are not as long as its index"));
        }
        Ok(table)
    }
}

/// The values of one column of a DataFrame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// Numbers, and whether they are whole, or else bools.
    Numbers(Vec<f64>, Kind),
    /// Texts, `None` where there is none.
    Texts(Vec<Option<String>>),
}

/// The columns of a DataFrame by their names; those of other types are left out.
pub(crate) fn frame(view: &View<'_>) -> Result<Vec<(String, Values)>, Error> {
    let manager = match view.get_attr("_mgr")? {
        Some(manager) => manager,
        None => view.attr("_data")?,
    };
    let (axes, blocks) = parts(&manager)?;
    let [names, _] = axes.as_slice() else { return Err(view.expected("a DataFrame").into()) };
    let names = match index::read(names)? {
        Some(index::Index::Names(names)) => names,
        Some(index::Index::Positions(places)) => places.iter().map(i64::to_string).collect(),
        None => return Err(view.expected("a DataFrame with named columns").into()),
    };
    let mut all = Vec::new();
    for (values, at) in &blocks {
        let at = match at {
            Some(at) => places(at, names.len())?,
            None => (0..names.len()).collect(),
        };
        for (row, place) in at.into_iter().enumerate() {
            if let (Some(name), Some(values)) = (names.get(place), block_row(values, row)?) {
                all.push((name.clone(), values));
            }
        }
    }
    Ok(all)
}

/// The names of a DataFrame's columns.
pub(crate) fn column_names(view: &View<'_>) -> Result<Option<Vec<String>>, Error> {
    let manager = match view.get_attr("_mgr")? {
        Some(manager) => manager,
        None => view.attr("_data")?,
    };
    let (axes, _) = parts(&manager)?;
    let [names, _] = axes.as_slice() else { return Ok(None) };
    Ok(match index::read(names)? {
        Some(index::Index::Names(names)) => Some(names),
        _ => None,
    })
}

/// The texts of an array of pandas; `None` where it is one of numpy.
pub(crate) fn values(view: &View<'_>) -> Result<Option<Values>, Error> {
    Ok(texts::read(view)?.map(Values::Texts))
}

/// One column of a block.
fn block_row(values: &View<'_>, row: usize) -> Result<Option<Values>, Error> {
    let Ok(array) = values.array() else {
        return self::values(values);
    };
    let [_, rows] = array.dims()?;
    let range = row.saturating_mul(rows)..row.saturating_add(1).saturating_mul(rows);
    Ok(match array.dtype().kind {
        Kind::Bool | Kind::Int | Kind::Uint | Kind::Float => {
            let kind = array.dtype().kind;
            array.f64s()?.get(range).map(|values| Values::Numbers(values.to_vec(), kind))
        }
        Kind::Object => {
            let objects = array.objects()?;
            let texts = objects.get(range).unwrap_or_default().iter().map(|one| match one.value() {
                Value::None | Value::Float(_) => Some(None),
                _ => one.as_str().ok().map(|text| Some(text.to_string())),
            });
            texts.collect::<Option<Vec<_>>>().map(Values::Texts)
        }
        _ => None,
    })
}

/// The axes of a manager, and its blocks with the places of their columns.
type Parts<'a> = (Vec<View<'a>>, Vec<(View<'a>, Option<View<'a>>)>);

fn parts<'a>(manager: &View<'a>) -> Result<Parts<'a>, Error> {
    let args = manager.args()?;
    if let [blocks, axes] = args.as_slice() {
        let block = |block: View<'a>| Ok((block.arg(0)?, Some(block.arg(1)?)));
        let blocks = blocks.items()?.into_iter().map(block).collect::<Result<_, Error>>()?;
        return Ok((axes.items()?, blocks));
    }
    let state = manager.state()?;
    let written = state.item(3)?.get("0.14.1")?;
    let written = written.ok_or_else(|| Error::state(state.path(), "a block manager in an unknown form"))?;
    let need = |view: &View<'a>, key: &str| -> Result<View<'a>, Error> {
        view.get(key)?.ok_or_else(|| Error::state(view.path(), format!("`{key}` is missing")))
    };
    let mut blocks = Vec::new();
    for block in need(&written, "blocks")?.items()? {
        blocks.push((need(&block, "values")?, block.get("mgr_locs")?));
    }
    Ok((need(&written, "axes")?.items()?, blocks))
}

/// The columns of all blocks in their places; each block holds its columns one after the other.
fn columns(view: &View<'_>, blocks: &[(View<'_>, Option<View<'_>>)], count: usize) -> Result<Vec<Vec<f64>>, Error> {
    let mut columns = vec![Vec::new(); count];
    for (values, places) in blocks {
        let array = values.array()?;
        let [width, rows] = array.dims()?;
        let values = array.f64s()?;
        let places = match places {
            Some(places) => self::places(places, count)?,
            None => (0..count).collect(),
        };
        if places.len() != width {
            return Err(Error::state(view.path(), format!("a block of {width} columns at {} places", places.len())));
        }
        for (at, place) in places.into_iter().enumerate() {
            let start = at.saturating_mul(rows);
            if let (Some(column), Some(values)) =
                (columns.get_mut(place), values.get(start..start.saturating_add(rows)))
            {
                *column = values.to_vec();
            }
        }
    }
    Ok(columns)
}

/// A slice, or an array of positions.
fn places(view: &View<'_>, count: usize) -> Result<Vec<usize>, Error> {
    if let Value::Slice(ids) = view.value() {
        let [start, stop, step] = ids.map(|id| match view.document().value(id) {
            Value::Int(int) => usize::try_from(*int).ok(),
            _ => None,
        });
        let range = start.unwrap_or(0)..stop.unwrap_or(count).min(count);
        return Ok(range.step_by(step.unwrap_or(1).max(1)).collect());
    }
    let all = view.array()?.u64s()?;
    Ok(all.into_iter().map(|place| usize::try_from(place).unwrap_or(usize::MAX)).collect())
}

/// The data of an index: `_new_Index(class, {"data": …})`.
fn data<'a>(index: &View<'a>) -> Result<View<'a>, Error> {
    let data = index.arg(1)?.get("data")?;
    data.ok_or_else(|| Error::unsupported(index.path(), "an index without values of its own", "a plain index"))
}

fn read_index(index: &View<'_>) -> Result<Categories, Error> {
    let data = data(index)?;
    match texts::read(&data)? {
        Some(texts) => Ok(Categories::texts(texts)),
        None => Categories::read(&data),
    }
}

fn read_names(index: &View<'_>) -> Result<Vec<String>, Error> {
    let data = data(index)?;
    match texts::read(&data)? {
        Some(texts) => Ok(texts.into_iter().map(Option::unwrap_or_default).collect()),
        None => Ok(data.array()?.strings()?.into_iter().map(|name| name.into_owned()).collect()),
    }
}
