//! What a database's SQL looks like, and what it can hold.

use super::insert::Insert;
use super::schema::{Column, ColumnKind, Name};
use super::values::Rules;

/// One database's SQL. The defaults are those of the standard, or else of most databases; a database overrides what it
/// writes otherwise. DDL runs outside of transactions, so that it makes no difference whether it commits by itself.
pub(super) trait Dialect: Send + Sync {
    /// The name in texts.
    fn name(&self) -> &'static str;

    /// The character around identifiers; doubled within.
    fn quote(&self) -> char {
        '"'
    }

    /// The place of a statement's n-th value, counted from 1.
    fn placeholder(&self, _n: usize) -> String {
        "?".to_owned()
    }

    /// Starts a transaction that will write; `None` where a session is always in one.
    fn begin(&self) -> Option<&'static str> {
        Some("BEGIN")
    }

    /// Starts a transaction that cannot write.
    fn begin_reading(&self) -> Option<&'static str> {
        Some("BEGIN READ ONLY")
    }

    /// Marks a place in a transaction to which it can go back.
    fn savepoint(&self) -> &'static str {
        "SAVEPOINT foretell"
    }

    /// Goes back to that place.
    fn back_to_savepoint(&self) -> &'static str {
        "ROLLBACK TO SAVEPOINT foretell"
    }

    /// Forgets that place; `None` where the next mark of the same name does.
    fn release_savepoint(&self) -> Option<&'static str> {
        Some("RELEASE SAVEPOINT foretell")
    }

    /// A query for rows that nobody else may change until the transaction ends.
    fn select_locked(&self, columns: &str, table: &str, filter: &str) -> String {
        format!("SELECT {columns} FROM {table} WHERE {filter} FOR UPDATE")
    }

    /// A query that gives a row where the table has any.
    fn select_any(&self, table: &str) -> String {
        format!("SELECT 1 FROM {table} LIMIT 1")
    }

    /// Whether an INSERT has what the standard has alone: the values of one row, and no word for a key that is there already.
    fn inserts_plainly(&self) -> bool {
        false
    }

    /// Whether one INSERT takes the values of several rows.
    fn many_rows(&self) -> bool {
        !self.inserts_plainly()
    }

    /// An INSERT of one row which leaves a row of the same key as it is. `columns` and `key` are names, not in quotes.
    fn insert_if_absent(&self, table: &str, columns: &[&str], _key: &[&str]) -> String {
        let end = if self.inserts_plainly() { "" } else { " ON CONFLICT DO NOTHING" };
        format!("{} {}{end}", self.insert_head(table, columns), self.values(columns.len(), 1))
    }

    /// Whether that leaves it as it is; else it is refused as a row of a key that is there already, and a savepoint around it
    /// is gone back to.
    fn inserts_if_absent(&self) -> bool {
        !self.inserts_plainly()
    }

    /// An INSERT of rows; with a key, one that replaces rows of that key.
    fn insert_rows(&self, insert: &Insert, rows: usize) -> String {
        if insert.deletes {
            return self.delete_rows(insert, rows);
        }
        let values = self.values(insert.columns.len(), rows);
        format!("{} {values}{}", self.insert_into(insert), self.on_conflict(insert))
    }

    /// A DELETE of rows by their keys.
    fn delete_rows(&self, deletion: &Insert, rows: usize) -> String {
        let equal: Vec<String> = deletion.columns.iter().map(|c| format!("{} = ?", self.quoted(&c.name))).collect();
        let one = format!("({})", equal.join(" AND "));
        format!("DELETE FROM {} WHERE {}", self.table(&deletion.table), vec![one; rows].join(" OR "))
    }

    /// What follows the rows of an INSERT with a key; empty without one.
    fn on_conflict(&self, insert: &Insert) -> String {
        if insert.key.is_none() {
            return String::new();
        }
        let names = |columns: Vec<&Column>| columns.iter().map(|c| self.quoted(&c.name)).collect::<Vec<_>>();
        let sets: Vec<String> = names(insert.updated()).iter().map(|c| format!("{c} = EXCLUDED.{c}")).collect();
        format!(" ON CONFLICT ({}) DO UPDATE SET {}", names(insert.key_columns()).join(", "), sets.join(", "))
    }

    /// An INSERT of no rows: it fails where no row at all could go in.
    fn insert_of_nothing(&self, insert: &Insert) -> String {
        if self.inserts_plainly() {
            // Those of the table itself that there are not.
            let columns: Vec<String> = insert.columns.iter().map(|column| self.quoted(&column.name)).collect();
            let (columns, table) = (columns.join(", "), self.table(&insert.table));
            return format!("{} SELECT {columns} FROM {table} WHERE 1 = 0", self.insert_into(insert));
        }
        let nulls = vec!["NULL"; insert.columns.len()].join(", ");
        format!("{} SELECT {nulls} FROM (SELECT 1 AS n) AS none WHERE 1 = 0", self.insert_into(insert))
    }

    /// DDL that makes a table, where there is none, of these columns and constraints. It may fail where there is one:
    /// whoever runs it looks again.
    fn create_table(&self, table: &Name, parts: &[String]) -> String {
        format!("CREATE TABLE IF NOT EXISTS {} ({})", self.table(table), parts.join(", "))
    }

    /// The column type of names in the progress tables: compared byte by byte, short enough for a key.
    fn name_type(&self) -> &'static str;

    /// The column type of long text.
    fn text_type(&self) -> &'static str {
        "TEXT"
    }

    /// The column type of a text of some words, which can be compared.
    fn words_type(&self) -> &'static str {
        self.text_type()
    }

    /// The column type of whole numbers of 32 bits.
    fn int_type(&self) -> &'static str {
        "INTEGER"
    }

    /// The column type of whole numbers of 64 bits.
    fn long_type(&self) -> &'static str {
        "BIGINT"
    }

    /// The column type of a time in `foretell_rejected`.
    fn time_type(&self) -> &'static str {
        "TIMESTAMP"
    }

    /// The column type of a key that the database numbers by itself.
    fn id_type(&self) -> &'static str {
        "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    }

    /// Column types for `create: true`.
    fn type_for(&self, kind: &ColumnKind) -> String;

    /// What values it takes.
    fn rules(&self) -> Rules {
        Rules { nan: false, infinity: false, typed: true, empty: true }
    }

    /// Whether a row of any unique index, not only of the key's, is replaced by `mode: upsert`.
    fn upserts_by_any_index(&self) -> bool {
        false
    }

    /// How a table gets transactions, where tables without them exist.
    fn give_transactions(&self, _table: &str) -> Option<String> {
        None
    }

    /// An identifier in quotes.
    /// The bytes of a column, which is quoted, as hexadecimal digits in upper case; of texts those of UTF-8.
    fn hex(&self, column: &str, _kind: &ColumnKind) -> String {
        format!("HEX({column})")
    }

    fn quoted(&self, identifier: &str) -> String {
        let q = self.quote();
        let doubled: String = [q, q].iter().collect();
        format!("{q}{}{q}", identifier.replace(q, &doubled))
    }

    /// A table's name in quotes.
    fn table(&self, name: &Name) -> String {
        match &name.schema {
            Some(schema) => format!("{}.{}", self.quoted(schema), self.quoted(&name.table)),
            None => self.quoted(&name.table),
        }
    }

    /// `INSERT INTO t (a, b)`; `table` is in quotes.
    fn insert_head(&self, table: &str, columns: &[&str]) -> String {
        let columns: Vec<String> = columns.iter().map(|column| self.quoted(column)).collect();
        format!("INSERT INTO {table} ({})", columns.join(", "))
    }

    /// The same of an INSERT's own table and columns.
    fn insert_into(&self, insert: &Insert) -> String {
        let columns: Vec<&str> = insert.columns.iter().map(|column| column.name.as_str()).collect();
        self.insert_head(&self.table(&insert.table), &columns)
    }

    /// `VALUES (?,?),(?,?)`: the connection puts its placeholders there.
    fn values(&self, columns: usize, rows: usize) -> String {
        let row = format!("({})", vec!["?"; columns].join(","));
        let mut sql = String::with_capacity(rows.saturating_mul(row.len().saturating_add(1)).saturating_add(8));
        sql.push_str("VALUES ");
        for i in 0..rows {
            if i > 0 {
                sql.push(',');
            }
            sql.push_str(&row);
        }
        sql
    }

    /// A statement with its placeholders in place of `?`; not within quoted identifiers.
    fn with_placeholders(&self, sql: &str) -> String {
        let mut out = String::with_capacity(sql.len().saturating_add(16));
        let (mut quoted, mut count) = (false, 0_usize);
        for c in sql.chars() {
            match c {
                '?' if !quoted => {
                    count = count.saturating_add(1);
                    out.push_str(&self.placeholder(count));
                }
                _ => {
                    quoted ^= c == self.quote();
                    out.push(c);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
