//! The texts of pandas' own arrays, as newer versions keep columns and names: on pyarrow, or on numpy where there is none.

use foretell_pickle::{Value, View};

use crate::Error;

/// The texts, `None` where one is missing; `None` where the array is another one.
pub(crate) fn read(view: &View<'_>) -> Result<Option<Vec<Option<String>>>, Error> {
    if view.class().is_some_and(|class| class.name.starts_with("ArrowStringArray")) {
        return on_arrow(view).map(Some);
    }
    if view.is("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked") {
        return on_numpy(view);
    }
    Ok(None)
}

/// `__pyx_unpickle_NDArrayBacked(class, checksum, None)`, whose state has the type and the array, in either order.
fn on_numpy(view: &View<'_>) -> Result<Option<Vec<Option<String>>>, Error> {
    if !view.arg(0)?.class().is_some_and(|class| class.name.starts_with("StringArray")) {
        return Ok(None);
    }
    let state = view.state()?.items()?;
    let Some(array) = state.iter().find_map(|part| part.array().ok()) else {
        return Err(Error::state(view.path(), "an array of texts without its values"));
    };
    let text = |one: &View<'_>| -> Result<Option<String>, Error> {
        match one.value() {
            Value::None | Value::Float(_) => Ok(None),
            _ if one.is("pandas._libs.missing", "NA") => Ok(None),
            _ => Ok(Some(one.as_str()?.to_string())),
        }
    };
    array.objects()?.iter().map(text).collect::<Result<_, _>>().map(Some)
}

/// `ArrowStringArray`.
fn on_arrow(view: &View<'_>) -> Result<Vec<Option<String>>, Error> {
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
        let bytes = buffer.arg(0)?;
        // Of a pickle whose buffers are apart, one stands around another.
        Ok(Some(if let Value::Object(_) = bytes.value() { bytes.arg(0)?.as_bytes()? } else { bytes.as_bytes()? }))
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
