//! An INSERT into one table.

use super::schema::{Column, Name};

/// Where rows go, and how.
#[derive(Debug, Clone)]
pub(super) struct Insert {
    pub(super) table: Name,
    /// In the order of the result's columns.
    pub(super) columns: Vec<Column>,
    /// With `mode: upsert`: indices into `columns` of the key.
    pub(super) key: Option<Vec<usize>>,
    /// Whether the rows of these keys are deleted instead: `columns` are those of the key.
    pub(super) deletes: bool,
}

impl Insert {
    /// The statement that deletes rows by the key of this one.
    pub(super) fn deletion(&self) -> Insert {
        let columns = self.key_columns().into_iter().cloned().collect();
        Insert { table: self.table.clone(), columns, key: None, deletes: true }
    }

    /// The columns of the key; empty without `mode: upsert`.
    pub(super) fn key_columns(&self) -> Vec<&Column> {
        self.key.iter().flatten().filter_map(|&i| self.columns.get(i)).collect()
    }

    /// The columns that replace those of a row that is there: all but the key; the key where there is no other, so that
    /// each row is hit and none can be missed unseen.
    pub(super) fn updated(&self) -> Vec<&Column> {
        let key = self.key.as_deref().unwrap_or_default();
        let others = self.columns.iter().enumerate().filter(|(i, _)| !key.contains(i));
        let others: Vec<&Column> = others.map(|(_, column)| column).collect();
        if others.is_empty() { self.key_columns() } else { others }
    }
}
