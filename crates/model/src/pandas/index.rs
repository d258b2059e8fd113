//! pandas' `Index`, as `frame.columns` leaves it in a file: names or positions of columns.

use foretell_pickle::{Entry, Value, View};

use crate::Error;

/// Indexes of pandas 0.25 to 3, and the arrays of pyarrow that newer ones keep texts in.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::function("pandas.core.indexes.base", "_new_Index"),
    Entry::inert("pandas", "Index"),
    Entry::inert("pandas", "RangeIndex"),
    Entry::inert("pandas.core.indexes.base", "Index"),
    Entry::inert("pandas.core.indexes.numeric", "Int64Index"),
    Entry::inert("pandas.core.indexes.range", "RangeIndex"),
    Entry::class("pandas.arrays", "ArrowStringArray"),
    Entry::class("pandas.core.arrays.string_arrow", "ArrowStringArray"),
    Entry::class("pandas.core.arrays.string_arrow", "ArrowStringArrayNumpySemantics"),
    Entry::class("pandas", "StringDtype"),
    Entry::class("pandas.core.arrays.string_", "StringDtype"),
    Entry::function("pyarrow.lib", "_restore_array"),
    Entry::function("pyarrow.lib", "chunked_array"),
    Entry::function("pyarrow.lib", "type_for_alias"),
    Entry::function("pyarrow.lib", "py_buffer"),
];

/// What an index holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Index {
    Names(Vec<String>),
    Positions(Vec<i64>),
}

/// More columns than any table has.
const COLUMNS: usize = 1 << 22;

/// The index that a value is; `None` where it is something else.
pub(crate) fn read(view: &View<'_>) -> Result<Option<Index>, Error> {
    if !view.is("pandas.core.indexes.base", "_new_Index") {
        return Ok(None);
    }
    let state = view.arg(1)?;
    let Some(data) = state.get("data")? else { return range(&state).map(Some) };
    if data.class().is_some_and(|class| class.name.starts_with("ArrowStringArray")) {
        return arrow(&data).map(Index::Names).map(Some);
    }
    let array = data.array()?;
    if let Ok(positions) = array.i64s() {
        return Ok(Some(Index::Positions(positions)));
    }
    let names = array.strings()?.into_iter().map(|name| name.into_owned()).collect();
    Ok(Some(Index::Names(names)))
}

/// `RangeIndex(start, stop, step)`.
fn range(state: &View<'_>) -> Result<Index, Error> {
    let bound = |name: &str| -> Result<i64, Error> {
        let value = state.get(name)?;
        Ok(value.ok_or_else(|| Error::state(state.path(), format!("`{name}` is missing")))?.as_i64()?)
    };
    let (start, stop, step) = (bound("start")?, bound("stop")?, bound("step")?);
    let step = usize::try_from(step).ok().filter(|step| *step > 0);
    let Some(step) = step else { return Err(Error::state(state.path(), "a range with a step that is not above zero")) };
    let positions: Vec<i64> = (start..stop).step_by(step).take(COLUMNS).collect();
    Ok(Index::Positions(positions))
}

/// The texts of pandas' string array on pyarrow: offsets and bytes, as Arrow lays them out.
fn arrow(array: &View<'_>) -> Result<Vec<String>, Error> {
    let restored = array.attr("_pa_array")?;
    let mut chunks = vec![restored.clone()];
    if restored.is("pyarrow.lib", "chunked_array") {
        chunks = restored.arg(0)?.items()?;
    }
    let mut names = Vec::new();
    for chunk in chunks {
        names.extend(chunk_names(&chunk)?);
    }
    Ok(names)
}

fn chunk_names(chunk: &View<'_>) -> Result<Vec<String>, Error> {
    // The type, length, nulls, offset, buffers (validity, offsets, bytes), children and dictionary.
    let parts = chunk.arg(0)?;
    let kind = parts.item(0)?.arg(0)?;
    let width = match kind.as_str()? {
        "large_string" | "large_utf8" => 8,
        "string" | "utf8" => 4,
        other => return Err(Error::unsupported(kind.path(), format!("an index of {other}"), "names of columns")),
    };
    let (count, first) = (parts.item(1)?.as_usize()?, parts.item(3)?.as_usize()?);
    let buffers = parts.item(4)?;
    let bytes = |index: usize| -> Result<&[u8], Error> {
        let buffer = buffers.item(index)?.arg(0)?;
        match buffer.value() {
            Value::Object(_) => Ok(buffer.arg(0)?.as_bytes()?),
            _ => Ok(buffer.as_bytes()?),
        }
    };
    let (offsets, text) = (bytes(1)?, bytes(2)?);
    let offset = |index: usize| {
        let at = index.checked_add(first)?.checked_mul(width)?;
        let bytes = offsets.get(at..at.checked_add(width)?)?;
        let wide = bytes.iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
        usize::try_from(wide).ok()
    };
    let name = |index: usize| {
        let bytes = text.get(offset(index)?..offset(index.checked_add(1)?)?)?;
        std::str::from_utf8(bytes).ok().map(str::to_string)
    };
    if count > offsets.len() {
        return Err(Error::state(parts.path(), "the texts of the index are cut off"));
    }
    let names: Option<Vec<String>> = (0..count).map(name).collect();
    names.ok_or_else(|| Error::state(parts.path(), "the texts of the index are cut off"))
}
