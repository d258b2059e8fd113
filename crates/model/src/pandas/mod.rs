//! Columns of pandas as pickles hold them: the values of a Series or DataFrame by their index. Nothing of pandas runs.

use foretell_pickle::{Kind, Value, View};

pub(crate) mod index;
mod names;

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
    if view.class().is_some_and(|class| class.name.starts_with("ArrowStringArray")) {
        return arrow_texts(view).map(Values::Texts).map(Some);
    }
    Ok(None)
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
    if data.array().is_ok() {
        return Categories::read(&data);
    }
    Ok(Categories::texts(arrow_texts(&data)?))
}

fn read_names(index: &View<'_>) -> Result<Vec<String>, Error> {
    let data = data(index)?;
    if let Ok(array) = data.array() {
        return Ok(array.strings()?.into_iter().map(|name| name.into_owned()).collect());
    }
    Ok(arrow_texts(&data)?.into_iter().map(Option::unwrap_or_default).collect())
}

/// The texts of pandas' `ArrowStringArray`, `None` where one is missing.
fn arrow_texts(view: &View<'_>) -> Result<Vec<Option<String>>, Error> {
    let array = view.attr("_pa_array")?;
    if array.is("pyarrow.lib", "chunked_array") {
        let mut all = Vec::new();
        for chunk in array.arg(0)?.items()? {
            all.extend(arrow_array(&chunk)?);
        }
        return Ok(all);
    }
    arrow_array(&array)
}

/// `_restore_array((type, length, nulls, offset, [validity, offsets, bytes], children, dictionary))`.
fn arrow_array(view: &View<'_>) -> Result<Vec<Option<String>>, Error> {
    let broken = || Error::state(view.path(), "an Arrow array that is not a column of texts");
    let parts = view.arg(0)?;
    let kind = parts.item(0)?.arg(0)?;
    let wide = match kind.as_str()? {
        "large_string" | "large_utf8" => true,
        "string" | "utf8" => false,
        other => return Err(Error::unsupported(view.path(), format!("an Arrow array of {other}"), "texts")),
    };
    let (length, first) = (parts.item(1)?.as_usize()?, parts.item(3)?.as_usize()?);
    let buffers = parts.item(4)?;
    let buffer = |index: usize| -> Result<Option<&[u8]>, Error> {
        let Some(buffer) = buffers.item(index)?.some() else { return Ok(None) };
        Ok(Some(buffer.arg(0)?.as_bytes()?))
    };
    let (validity, offsets) = (buffer(0)?, buffer(1)?.unwrap_or_default());
    let bytes = buffer(2)?.unwrap_or_default();
    let offset = |row: usize| -> Option<usize> {
        let size = if wide { 8 } else { 4 };
        let start = row.checked_mul(size)?;
        let piece = offsets.get(start..start.checked_add(size)?)?;
        if wide {
            usize::try_from(i64::from_le_bytes(*piece.first_chunk()?)).ok()
        } else {
            usize::try_from(i32::from_le_bytes(*piece.first_chunk()?)).ok()
        }
    };
    let last = first.checked_add(length).ok_or_else(broken)?;
    if length > 0 && offset(last).is_none() {
        return Err(broken());
    }
    let mut all = Vec::with_capacity(length);
    for row in first..last {
        let valid = validity.is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1));
        let (start, end) = offset(row).zip(offset(row.saturating_add(1))).ok_or_else(broken)?;
        let text = bytes.get(start..end).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(broken)?;
        all.push(valid.then(|| text.to_string()));
    }
    Ok(all)
}
