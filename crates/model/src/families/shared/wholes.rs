//! Whole numbers as numpy computes with them: in the bits of their column, beyond which they go around.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, downcast_integer_array};

/// The whole numbers of a column of them, or of bools; `None` is missing.
pub(in crate::families) fn wholes(column: &ArrayRef) -> Option<Vec<Option<i128>>> {
    if let Some(bools) = column.as_boolean_opt() {
        return Some(bools.iter().map(|one| one.map(i128::from)).collect());
    }
    downcast_integer_array!(
        column => Some(column.iter().map(|one| one.map(i128::from)).collect()),
        _ => None
    )
}

/// A whole number in so many bits.
pub(in crate::families) fn wraps(value: i128, bits: u32, is_signed: bool) -> i128 {
    let above = 128u32.saturating_sub(bits);
    if is_signed {
        value.unbounded_shl(above).unbounded_shr(above)
    } else {
        ((value as u128).unbounded_shl(above).unbounded_shr(above)) as i128
    }
}
