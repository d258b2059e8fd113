//! Columns of structs and lists that bring types of their own, as the types that are wanted: part by part.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, UInt64Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, is_null, nullif, take};
use arrow::datatypes::{DataType, Field};

use super::Wrongs;
use crate::column::Column;
use crate::types::{Member, Type, fields_of, item_of};
use crate::wrong::Wrong;

/// Whether some values of this type fit.
pub(super) fn takes(found: &DataType, wished: &Type) -> bool {
    match (found, wished) {
        (DataType::Struct(fields), Type::Struct(members)) => members.iter().all(|member| {
            fields
                .find(&member.name)
                .map_or(member.optional, |(_, field)| super::takes(field.data_type(), &Column::of(member)))
        }),
        (
            DataType::List(found)
            | DataType::LargeList(found)
            | DataType::FixedSizeList(found, _)
            | DataType::ListView(found)
            | DataType::LargeListView(found),
            Type::List(item),
        ) => super::takes(found.data_type(), &Column::of(item)),
        _ => false,
    }
}

/// Values in the wished type, and those that do not fit; these are NULL. `None` for a type that never fits.
pub(super) fn convert(found: &ArrayRef, wished: &Type) -> Option<(ArrayRef, Wrongs)> {
    match wished {
        Type::Struct(members) => structs(found.as_struct_opt()?, members),
        Type::List(item) => lists(found, item),
        _ => None,
    }
}

fn structs(found: &StructArray, members: &[Member]) -> Option<(ArrayRef, Wrongs)> {
    let mut wrongs = Wrongs::new();
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(members.len());
    for member in members.iter() {
        let Some(inner) = found.column_by_name(&member.name) else {
            arrays.push(new_null_array(&member.data_type.arrow(), found.len()));
            continue;
        };
        // What stands beneath a NULL means nothing.
        let inner = match found.nulls() {
            Some(_) => nullif(inner, &is_null(found).ok()?).ok()?,
            None => inner.clone(),
        };
        let (array, unfit) = super::convert(&inner, &Column::of(member));
        let unfit = unfit.into_iter().filter(|(row, _)| found.is_valid(*row));
        wrongs.extend(unfit.map(|(row, wrong)| (row, wrong.within(&member.name, &member.data_type))));
        arrays.push(array);
    }
    let (nulls, wrongs) = without(found.nulls(), found.len(), wrongs);
    let array = StructArray::try_new_with_length(fields_of(members), arrays, nulls, found.len()).ok()?;
    Some((Arc::new(array), wrongs))
}

fn lists(found: &ArrayRef, item: &Member) -> Option<(ArrayRef, Wrongs)> {
    let inner = match found.data_type() {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => field.data_type().clone(),
        _ => return None,
    };
    let plain = cast(found, &DataType::List(Arc::new(Field::new("item", inner, true)))).ok()?;
    let plain = plain.as_list_opt::<i32>()?;
    let (values, unfit) = super::convert(plain.values(), &Column::of(item));
    // By element, ascending; a list's elements stand between two offsets.
    let mut unfit = unfit.into_iter().peekable();
    let mut wrongs = Wrongs::new();
    for (row, bounds) in plain.value_offsets().windows(2).enumerate() {
        let &[from, to] = bounds else { return None };
        let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
        while let Some((at, wrong)) = unfit.next_if(|(at, _)| *at < to) {
            if let (true, Some(index)) = (plain.is_valid(row), at.checked_sub(from)) {
                wrongs.push((row, wrong.within(&format!("[{index}]"), &item.data_type)));
            }
        }
    }
    let (nulls, wrongs) = without(plain.nulls(), plain.len(), wrongs);
    let loose = Arc::new(Field::new("item", values.data_type().clone(), true));
    let mut array = ListArray::try_new(loose, plain.offsets().clone(), values, nulls).ok()?;
    if !item.optional && array.values().null_count() > 0 {
        // Those that are NULL belong to no list any more: only what lists have is taken over.
        let rows: UInt64Array = (0..array.len()).map(|row| array.is_valid(row).then_some(row as u64)).collect();
        array = take(&array, &rows, None).ok()?.as_list_opt::<i32>()?.clone();
    }
    let (_, offsets, values, nulls) = array.into_parts();
    Some((Arc::new(ListArray::try_new(item_of(item), offsets, values, nulls).ok()?), wrongs))
}

/// Which rows have a value, without those that do not fit; and of each of these the first reason.
fn without(nulls: Option<&NullBuffer>, rows: usize, mut wrongs: Wrongs) -> (Option<NullBuffer>, Wrongs) {
    if wrongs.is_empty() {
        return (nulls.cloned(), wrongs);
    }
    wrongs.sort_by_key(|(row, _)| *row);
    wrongs.dedup_by_key(|(row, _)| *row);
    let unfit = |row: usize| wrongs.binary_search_by_key(&row, |(row, _): &(usize, Wrong)| *row).is_ok();
    let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row)) && !unfit(row);
    let mask: BooleanArray = (0..rows).map(|row| Some(valid(row))).collect();
    (Some(NullBuffer::new(mask.values().clone())), wrongs)
}
