//! How Python writes the values of a column: what `str` gives of each.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "rows are of columns that are there")]

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::categories::texts;
use crate::matrix::read;
use crate::text::written::{float, narrow};
use crate::types::is_text;

/// What numbers of a column are when they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// What the column holds.
    Own,
    /// Python's own numbers, which know no float32.
    Objects,
    /// float64, whole numbers too.
    Floats,
    /// float32, whole numbers too.
    NarrowFloats,
}

impl As {
    /// What pandas makes of the numbers of several columns when it puts them into one array.
    pub(crate) fn together(columns: &[ArrayRef]) -> As {
        let all = || columns.iter().map(|column| column.data_type());
        let is_bool = |of: &DataType| *of == DataType::Boolean;
        if all().any(|of| is_text(of) || *of == DataType::Null) || (all().any(is_bool) && !all().all(is_bool)) {
            return As::Objects;
        }
        if all().all(|of| is_bool(of) || of.is_integer()) {
            let mixed = all().any(|of| *of == DataType::UInt64) && all().any(DataType::is_signed_integer);
            return if mixed { As::Floats } else { As::Own };
        }
        let is_small = |of: &DataType| {
            matches!(of, DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 | DataType::Float32)
        };
        if all().all(is_small) { As::NarrowFloats } else { As::Floats }
    }
}

/// What `str` gives of each value of a column, `None` where it is missing; `None` for a column of neither numbers nor
/// texts.
pub(crate) fn column(column: &ArrayRef, written: As) -> Option<Vec<Option<String>>> {
    let rows = column.len();
    let mut out = vec![None; rows];
    match column.data_type() {
        DataType::Null => return Some(out),
        of if is_text(of) => {
            texts(column, |row, text| out[row] = text.map(str::to_string));
            return Some(out);
        }
        DataType::Boolean => {
            let bools = column.as_boolean().iter();
            let text = |yes: bool| if yes { "True".to_string() } else { "False".to_string() };
            return Some(bools.map(|yes| yes.map(text)).collect());
        }
        DataType::Int64 if matches!(written, As::Own | As::Objects) => {
            return Some(column.as_primitive::<Int64Type>().iter().map(|int| int.map(|int| int.to_string())).collect());
        }
        DataType::UInt64 if matches!(written, As::Own | As::Objects) => {
            return Some(
                column.as_primitive::<UInt64Type>().iter().map(|int| int.map(|int| int.to_string())).collect(),
            );
        }
        _ => {}
    }
    let mut numbers = vec![0.0f64; rows];
    if !read(column, 0..rows, &mut numbers) {
        return None;
    }
    let is_whole = column.data_type().is_integer() && matches!(written, As::Own | As::Objects);
    let is_narrow = written == As::NarrowFloats || (written == As::Own && column.data_type() == &DataType::Float32);
    for (out, number) in out.iter_mut().zip(numbers).filter(|(_, number)| !number.is_nan()) {
        *out = Some(match (is_whole, is_narrow) {
            (true, _) => (number as i64).to_string(),
            (false, true) => narrow(number as f32),
            (false, false) => float(number),
        });
    }
    Some(out)
}
