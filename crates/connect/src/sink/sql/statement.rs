//! An INSERT into one table: its target, its SQL, and how rows go in by it.

use arrow::array::RecordBatch;

use super::database::{Cause, Database, Dialect, Failure};
use super::table::{Column, Name};
use super::values::{Data, convert};

/// Where rows go, and how.
#[derive(Debug, Clone)]
pub(super) struct Insert {
    pub(super) table: Name,
    /// In the order of the result's columns.
    pub(super) columns: Vec<Column>,
    /// With `mode: upsert`: indices into `columns` of the key.
    pub(super) key: Option<Vec<usize>>,
}

impl Insert {
    /// `INSERT INTO t (a, b)`.
    pub(super) fn head(&self, dialect: &Dialect) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| dialect.quoted(&c.name)).collect();
        format!("INSERT INTO {} ({})", dialect.table(&self.table), columns.join(", "))
    }

    /// `VALUES (?, ?), (?, ?)`.
    pub(super) fn values(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(","));
        let mut sql = String::with_capacity(8 + rows * (row.len() + 1));
        sql.push_str("VALUES ");
        for i in 0..rows {
            if i > 0 {
                sql.push(',');
            }
            sql.push_str(&row);
        }
        sql
    }

    /// The columns that are not the key, in quotes.
    pub(super) fn updated(&self, dialect: &Dialect) -> Vec<String> {
        let key = self.key.as_deref().unwrap_or_default();
        let others = self.columns.iter().enumerate().filter(|(i, _)| !key.contains(i));
        others.map(|(_, c)| dialect.quoted(&c.name)).collect()
    }

    /// The standard's `ON CONFLICT … DO …`; empty without a key.
    pub(super) fn on_conflict(&self, dialect: &Dialect) -> String {
        let Some(key) = &self.key else { return String::new() };
        let names = key.iter().filter_map(|&i| self.columns.get(i)).map(|c| dialect.quoted(&c.name));
        let names: Vec<String> = names.collect();
        let sets: Vec<String> = self.updated(dialect).iter().map(|c| format!("{c} = EXCLUDED.{c}")).collect();
        match sets.is_empty() {
            true => format!(" ON CONFLICT ({}) DO NOTHING", names.join(", ")),
            false => format!(" ON CONFLICT ({}) DO UPDATE SET {}", names.join(", "), sets.join(", ")),
        }
    }
}

/// A row that the database does not take, and why (without its values).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedRow {
    pub(super) row: usize,
    pub(super) reason: String,
}

/// Inserts a batch within the open transaction; returns the rows that it refused, ascending.
///
/// A statement that fails for one of its rows is taken back and tried by halves, until the row is found.
pub(super) async fn insert_batch(
    db: &mut dyn Database,
    insert: &Insert,
    batch: &RecordBatch,
    zone: chrono_tz::Tz,
) -> Result<Vec<RefusedRow>, Failure> {
    let mut refused: Vec<RefusedRow> = Vec::new();
    let mut columns: Vec<Data> = Vec::with_capacity(insert.columns.len());
    let schema = batch.schema();
    for ((column, array), field) in insert.columns.iter().zip(batch.columns()).zip(schema.fields()) {
        let (data, unfit) =
            convert(field, array, &column.kind, &db.dialect().rules, zone).map_err(Failure::settings)?;
        let name = &column.name;
        refused
            .extend(unfit.into_iter().map(|(row, why)| RefusedRow { row, reason: format!("column `{name}`: {why}") }));
        columns.push(data);
    }
    refused.sort_by_key(|r| r.row);
    refused.dedup_by_key(|r| r.row);

    let (chunk_rows, chunk_bytes) = db.chunk(insert.columns.len());
    let (rows, too_long) = sendable(insert, &columns, batch.num_rows(), &refused, chunk_bytes);
    refused.extend(too_long);

    let mut todo = chunks(&rows, &columns, chunk_rows, chunk_bytes);
    todo.reverse();
    while let Some(part) = todo.pop() {
        match attempt(db, insert, &columns, part).await {
            Ok(()) => {}
            Err(Failure { cause: Cause::Row, text }) => match part {
                [row] => refused.push(RefusedRow { row: *row as usize, reason: text }),
                _ => {
                    let (head, tail) = part.split_at(part.len() / 2);
                    todo.push(tail);
                    todo.push(head);
                }
            },
            Err(other) => return Err(other),
        }
    }
    refused.sort_by_key(|r| r.row);
    Ok(refused)
}

/// One statement that leaves nothing behind where it fails.
async fn attempt(db: &mut dyn Database, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
    db.command("SAVEPOINT foretell").await?;
    let result = db.insert(insert, columns, rows).await;
    if let Err(Failure { cause: Cause::Row, .. }) = &result {
        db.command("ROLLBACK TO SAVEPOINT foretell").await?;
    }
    if !matches!(&result, Err(failure) if failure.cause != Cause::Row) {
        db.command("RELEASE SAVEPOINT foretell").await?;
    }
    result
}

/// The rows to send: not those refused already, of a key only the last, none that is longer than a statement can be.
fn sendable(
    insert: &Insert,
    columns: &[Data],
    rows: usize,
    refused: &[RefusedRow],
    limit: usize,
) -> (Vec<u32>, Vec<RefusedRow>) {
    let mut out = Vec::with_capacity(rows);
    let mut too_long = Vec::new();
    let mut bad = refused.iter().rev().map(|r| r.row).peekable();
    let mut seen = std::collections::HashSet::new();
    let mut key = Vec::new();
    let long = columns.iter().any(|c| matches!(c, Data::Text(_) | Data::Binary(_)));
    for row in (0..rows).rev() {
        if bad.next_if_eq(&row).is_some() {
            continue;
        }
        if long && columns.iter().map(|c| c.size(row)).sum::<usize>() > limit {
            let reason = format!("the row is longer than the {limit} bytes that one statement can carry");
            too_long.push(RefusedRow { row, reason });
            continue;
        }
        if let Some(columns_of_key) = &insert.key {
            key.clear();
            let parts: Vec<&Data> = columns_of_key.iter().filter_map(|&i| columns.get(i)).collect();
            // NULL equals nothing, not even NULL.
            if parts.iter().all(|part| !part.is_null(row)) {
                parts.iter().for_each(|part| part.key(row, &mut key));
                if !seen.insert(key.clone()) {
                    continue;
                }
            }
        }
        out.push(row as u32);
    }
    out.reverse();
    (out, too_long)
}

/// Cuts rows into statements.
fn chunks<'r>(rows: &'r [u32], columns: &[Data], max_rows: usize, max_bytes: usize) -> Vec<&'r [u32]> {
    let fixed: usize = columns.iter().filter(|c| !matches!(c, Data::Text(_) | Data::Binary(_))).count() * 12;
    let long: Vec<&Data> = columns.iter().filter(|c| matches!(c, Data::Text(_) | Data::Binary(_))).collect();
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, &row) in rows.iter().enumerate() {
        let size = fixed + long.iter().map(|c| c.size(row as usize)).sum::<usize>();
        if i > start && (i - start == max_rows || bytes + size > max_bytes) {
            out.push(&rows[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    if start < rows.len() {
        out.push(&rows[start..]);
    }
    out
}
