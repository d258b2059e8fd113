//! How the rows of a batch go in, and which the database refuses.

use arrow::array::{Array, BooleanArray, RecordBatch};

use super::database::{Cause, Database, Failure};
use super::deletion;
use super::insert::Insert;
use super::values::{Data, convert};

/// A row that the database does not take, and why (without its values).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedRow {
    pub(super) row: usize,
    pub(super) reason: String,
}

/// This many rows that are all refused with the same words say that it is not the rows.
const TELLING: usize = 8;

/// Inserts a batch within the open transaction; returns the rows that it refused, ascending.
///
/// A statement that is refused is taken back and tried by halves, until it is known which rows go in. What a server
/// refuses a row for has no end (types, constraints, triggers, partitions, policies), so what the other rows do decides:
/// where some go in, the refused ones are at fault. Where none does, it is the table, the rights or the statement if the
/// error is of that kind, if an INSERT of no rows fails too, or if many rows fail with the same words: then it is an
/// error, and nothing is lost. No statement has more than `most` rows.
pub(super) async fn insert_batch(
    db: &mut dyn Database,
    insert: &Insert,
    batch: &RecordBatch,
    deleted: Option<&BooleanArray>,
    zone: chrono_tz::Tz,
    most: usize,
) -> Result<Vec<RefusedRow>, Failure> {
    let mut refused: Vec<RefusedRow> = Vec::new();
    let mut columns: Vec<Data> = Vec::with_capacity(insert.columns.len());
    let schema = batch.schema();
    let is_deleted = |row: usize| deleted.is_some_and(|deleted| deleted.value(row));
    for (index, ((column, array), field)) in insert.columns.iter().zip(batch.columns()).zip(schema.fields()).enumerate()
    {
        let is_key = insert.key.as_ref().is_some_and(|key| key.contains(&index));
        let (data, mut unfit) =
            convert(field, array, column, &db.dialect().rules(), zone).map_err(Failure::settings)?;
        let name = &column.name;
        if column.fills_null {
            let null = (0..batch.num_rows()).filter(|row| array.is_null(*row));
            unfit.extend(null.map(|row| (row, "NULL, for which the database would put a value of its own")));
        }
        // Of a row that is deleted only the key is of interest, and that must be there.
        unfit.retain(|(row, _)| is_key || !is_deleted(*row));
        if is_key && deleted.is_some() {
            let null = (0..batch.num_rows()).filter(|row| array.is_null(*row) && is_deleted(*row));
            unfit.extend(null.map(|row| (row, "NULL in the key of a row that is to be deleted")));
        }
        refused
            .extend(unfit.into_iter().map(|(row, why)| RefusedRow { row, reason: format!("column `{name}`: {why}") }));
        columns.push(data);
    }
    refused.sort_by_key(|r| r.row);
    refused.dedup_by_key(|r| r.row);

    let (chunk_rows, chunk_bytes) = db.chunk(insert.columns.len());
    let chunk_rows = chunk_rows.min(most.max(1));
    let (rows, too_long) = sendable(insert, &columns, batch.num_rows(), &refused, chunk_bytes);
    refused.extend(too_long);

    let (dels, puts): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| is_deleted(**row as usize));
    let deletion = insert.deletion();
    let keys: Vec<Data> = insert.key.iter().flatten().filter_map(|index| columns.get(*index).cloned()).collect();
    let part = |part| (false, part);
    let mut todo: Vec<(bool, &[u32])> =
        chunks(&puts, &columns, chunk_rows, chunk_bytes).into_iter().map(part).collect();
    let part = |part| (true, part);
    todo.extend(chunks(&dels, &keys, chunk_rows.min(deletion::ROWS), chunk_bytes).into_iter().map(part));
    todo.reverse();
    let mut failed: Vec<(usize, Failure)> = Vec::new();
    let (mut stored, mut asked) = (false, false);
    while let Some((delete, part)) = todo.pop() {
        let (statement, columns) = if delete { (&deletion, &keys) } else { (insert, &columns) };
        let Err(failure) = attempt(db, statement, columns, part).await else {
            stored = true;
            continue;
        };
        if failure.cause.passes() {
            return Err(failure);
        }
        if failure.cause != Cause::Row && !asked {
            asked = true;
            nothing(db, insert).await?;
        }
        match part {
            [row] => failed.push((*row as usize, failure)),
            _ => {
                let (head, tail) = part.split_at(part.len() / 2);
                todo.push((delete, tail));
                todo.push((delete, head));
            }
        }
    }
    if let Some(failure) = (!stored).then(|| at_large(&failed)).flatten() {
        return Err(failure);
    }
    refused.extend(failed.into_iter().map(|(row, failure)| RefusedRow { row, reason: failure.text }));
    refused.sort_by_key(|r| r.row);
    Ok(refused)
}

/// What is wrong with more than the rows, where none of them went in.
fn at_large(failed: &[(usize, Failure)]) -> Option<Failure> {
    if let Some((_, failure)) = failed.iter().find(|(_, failure)| failure.cause == Cause::Settings) {
        return Some(failure.clone());
    }
    let (_, first) = failed.first()?;
    let same = failed.iter().all(|(_, failure)| failure.cause == Cause::Unsure && failure.text == first.text);
    let text = format!("each of the {} rows was refused: {}", failed.len(), first.text);
    (same && failed.len() >= TELLING).then(|| Failure::settings(text))
}

/// One statement that leaves nothing behind where it fails.
async fn attempt(db: &mut dyn Database, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
    db.command(db.dialect().savepoint()).await?;
    let result = db.insert(insert, columns, rows).await;
    settle(db, result).await
}

/// An INSERT of no rows.
async fn nothing(db: &mut dyn Database, insert: &Insert) -> Result<(), Failure> {
    db.command(db.dialect().savepoint()).await?;
    let result = db.command(&db.dialect().insert_of_nothing(insert)).await;
    settle(db, result).await
}

/// Ends what a savepoint began. Where the server has forgotten the savepoint, the transaction is gone and the failure
/// was not a row's.
async fn settle(db: &mut dyn Database, result: Result<(), Failure>) -> Result<(), Failure> {
    match &result {
        Err(failure) if failure.cause.passes() => return result,
        Err(failure) => {
            let back = db.command(db.dialect().back_to_savepoint()).await;
            back.map_err(|_| Failure::moment(failure.text.clone()))?;
        }
        Ok(()) => {}
    }
    if let Some(release) = db.dialect().release_savepoint() {
        db.command(release).await?;
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
    let is_long = |column: &&Data| matches!(column, Data::Text(_) | Data::Binary(_));
    let long: Vec<&Data> = columns.iter().filter(is_long).collect();
    // A value that is not long takes about this much, whatever its type.
    let fixed = columns.len().saturating_sub(long.len()).saturating_mul(12);
    let mut out = Vec::new();
    let (mut rest, mut count, mut bytes) = (rows, 0_usize, 0_usize);
    for &row in rows {
        let size = long.iter().map(|c| c.size(row as usize)).sum::<usize>().saturating_add(fixed);
        if count > 0 && (count == max_rows || bytes.saturating_add(size) > max_bytes) {
            let (part, after) = rest.split_at(count);
            out.push(part);
            (rest, count, bytes) = (after, 0, 0);
        }
        (count, bytes) = (count.saturating_add(1), bytes.saturating_add(size));
    }
    if !rest.is_empty() {
        out.push(rest);
    }
    out
}
