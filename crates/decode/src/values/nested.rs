//! Values that have parts, as they come: of each member, or of all elements, the values one after the other.

#![allow(clippy::arithmetic_side_effects, reason = "counts of values that are in memory")]

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, Fields};

use super::Values;
use crate::column::Column;
use crate::elements::elements_of;
use crate::members::Members;
use crate::slot::Slot;
use crate::types::{Member, fields_of, item_of};
use crate::wrong::Wrong;

/// The values of a column of structs or lists.
pub(super) enum Nested {
    Struct {
        fields: Fields,
        members: Vec<Column>,
        values: Vec<Values>,
        rows: usize,
    },
    /// Where each list ends; begins with a zero.
    List {
        field: Arc<Field>,
        item: Box<Column>,
        values: Box<Values>,
        ends: Vec<i32>,
    },
}

impl Nested {
    pub(super) fn of_members(members: &[Member], rows: usize) -> Nested {
        let values = members.iter().map(|member| Values::new(&member.data_type, rows)).collect();
        let fields = fields_of(members);
        Nested::Struct { fields, members: members.iter().map(Column::of).collect(), values, rows: 0 }
    }

    pub(super) fn of_items(item: &Member, rows: usize) -> Nested {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        let values = Box::new(Values::new(&item.data_type, rows));
        Nested::List { field: item_of(item), item: Box::new(Column::of(item)), values, ends }
    }

    /// Adds an object or an array. No deeper than the column's type.
    pub(super) fn push(&mut self, json: &str) -> Result<(), Wrong> {
        match self {
            Nested::Struct { members, values, rows, .. } => {
                if !json.starts_with('{') {
                    return Err(instead(json));
                }
                let mut slots = vec![Slot::Absent; members.len()];
                for (key, text) in Members::of(json) {
                    let found = members.iter().zip(&mut slots).find(|(member, _)| member.name == key);
                    if let Some((member, slot)) = found {
                        *slot = Slot::written(text).map_err(|wrong| wrong.within(&member.name, &member.data_type))?;
                    }
                }
                for ((member, values), slot) in members.iter().zip(values).zip(&slots) {
                    values.push(member, &slot).map_err(|wrong| wrong.within(&member.name, &member.data_type))?;
                }
                *rows += 1;
            }
            Nested::List { item, values, ends, .. } => {
                if !json.starts_with('[') {
                    return Err(instead(json));
                }
                for (index, text) in elements_of(json).enumerate() {
                    let pushed = Slot::written(text).and_then(|slot| values.push(item, &&slot));
                    pushed.map_err(|wrong| wrong.within(&format!("[{index}]"), &item.data_type))?;
                }
                ends.push(i32::try_from(values.len()).expect("a batch's values, with offsets of this size, hold them"));
            }
        }
        Ok(())
    }

    /// Adds a NULL.
    pub(super) fn push_null(&mut self) {
        match self {
            Nested::Struct { values, rows, .. } => {
                values.iter_mut().for_each(Values::push_null);
                *rows += 1;
            }
            Nested::List { ends, .. } => ends.push(ends.last().copied().unwrap_or_default()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Nested::Struct { rows, .. } => *rows,
            Nested::List { ends, .. } => ends.len() - 1,
        }
    }

    /// Takes back all but the first rows, and what is there of one that did not fit.
    pub(super) fn truncate(&mut self, to: usize) {
        match self {
            Nested::Struct { values, rows, .. } => {
                values.iter_mut().for_each(|values| values.truncate(to));
                *rows = to.min(*rows);
            }
            Nested::List { values, ends, .. } => {
                ends.truncate(to + 1);
                values.truncate(ends.last().map_or(0, |end| *end as usize));
            }
        }
    }

    pub(super) fn finish(self, nulls: Option<NullBuffer>) -> ArrayRef {
        match self {
            Nested::Struct { fields, values, rows, .. } => {
                let arrays = values.into_iter().map(Values::finish).collect();
                let array = StructArray::try_new_with_length(fields, arrays, nulls, rows);
                Arc::new(array.expect("the members have the struct's rows"))
            }
            Nested::List { field, values, ends, .. } => {
                Arc::new(ListArray::new(field, OffsetBuffer::new(ends.into()), values.finish(), nulls))
            }
        }
    }
}

/// Another value where an object or an array is expected.
fn instead(json: &str) -> Wrong {
    Wrong::Kind(Some(match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        _ => "a plain value",
    }))
}
