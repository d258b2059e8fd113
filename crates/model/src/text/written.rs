//! How Python writes values: what `str` gives of a number, and of each value of a column.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "rows are of columns that are there")]

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use crate::categories::texts;
use crate::matrix::read;
use crate::types::is_text;

/// From this exponent on a number is written with it.
const LARGE: i32 = 16;
/// Below this one, too.
const SMALL: i32 = -4;

/// `str` of a float64.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_string();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".to_string() } else { "-inf".to_string() };
    }
    laid_out(&format!("{number:e}"))
}

/// `str` of numpy's float32.
pub(crate) fn narrow(number: f32) -> String {
    if number.is_finite() { laid_out(&format!("{number:e}")) } else { float(f64::from(number)) }
}

/// The shortest digits that are the number, as Python lays them out.
fn laid_out(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    if !(SMALL..LARGE).contains(&exponent) {
        let sign_of = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{sign_of}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

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

#[cfg(test)]
mod tests {
    use super::{float, narrow};

    #[test]
    fn floats_are_written_as_by_python() {
        let known = [
            (3.0, "3.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123456789012345.6, "123456789012345.6"),
            (9007199254740993.0, "9007199254740992.0"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (-2.5e-310, "-2.5e-310"),
            (1e300, "1e+300"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in known {
            assert_eq!(float(number), text);
        }
        assert_eq!(
            (narrow(0.1), narrow(16777216.0), narrow(1e-5)),
            ("0.1".into(), "16777216.0".into(), "1e-05".into())
        );
    }
}
