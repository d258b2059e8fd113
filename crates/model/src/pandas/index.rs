//! pandas' `Index`, as `frame.columns` leaves it in a file: names or positions of columns.

use foretell_pickle::{Entry, View};

use super::texts;
use crate::Error;

/// Indexes of pandas 0.25 to 3, and the arrays that newer ones keep texts in.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::function("pandas.core.indexes.base", "_new_Index"),
    Entry::inert("pandas", "Index"),
    Entry::inert("pandas", "RangeIndex"),
    Entry::inert("pandas.core.indexes.base", "Index"),
    Entry::inert("pandas.core.indexes.numeric", "Int64Index"),
    Entry::inert("pandas.core.indexes.range", "RangeIndex"),
    Entry::class("pandas.arrays", "ArrowStringArray"),
    Entry::class("pandas.arrays", "StringArray"),
    Entry::class("pandas.core.arrays.string_", "StringArrayNumpySemantics"),
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
    if let Some(names) = texts::read(&data)? {
        return Ok(Some(Index::Names(names.into_iter().map(Option::unwrap_or_default).collect())));
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
