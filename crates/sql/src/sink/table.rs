//! How the result's columns fit a database's table, and the table that is made for them.

use arrow::datatypes::{DataType, SchemaRef};
use foretell_flow::StageError;
use foretell_suggest::nearest;

use super::dialect::Dialect;
use super::schema::{Column, ColumnKind, Name, Table};
use super::values::{fits, kind_for};

/// The table's columns for the result's, in the result's order.
pub(super) fn fit(table: &Table, schema: &SchemaRef, dialect: &dyn Dialect) -> Result<Vec<Column>, StageError> {
    let mut taken: Vec<Column> = Vec::new();
    for field in schema.fields() {
        let column = find(table, field.name())?;
        if taken.iter().any(|c| c.name == column.name) {
            return Err(StageError::settings(format!(
                "column `{}` of table `{}` is named twice in the result",
                column.name, table.name
            ))
            .remedy("give one of them another name in the query (`AS`)"));
        }
        if column.computed {
            return Err(StageError::settings(format!(
                "column `{}` of table `{}` is computed by the database",
                column.name, table.name
            ))
            .remedy("leave it out of the sink's `columns`"));
        }
        if !fits(field.data_type(), &column.kind) {
            return Err(misfit(field.name(), field.data_type(), column, table));
        }
        taken.push(column.clone());
    }
    if let Some(missing) = table.columns.iter().find(|c| c.needed && !taken.iter().any(|t| t.name == c.name)) {
        return Err(StageError::settings(format!(
            "column `{}` of table `{}` is NOT NULL, has no default and is not in the result",
            missing.name, table.name
        ))
        .remedy(format!(
            "add it to the query, or `ALTER TABLE {} ALTER COLUMN {} SET DEFAULT …`",
            dialect.table(&table.name),
            dialect.quoted(&missing.name)
        )));
    }
    Ok(taken)
}

/// Finds a table's column: by exact name, else by one that differs in case alone.
pub(super) fn find<'t>(table: &'t Table, name: &str) -> Result<&'t Column, StageError> {
    if let Some(column) = table.columns.iter().find(|c| c.name == name) {
        return Ok(column);
    }
    let folded = name.to_lowercase();
    let mut alike = table.columns.iter().filter(|c| c.name.to_lowercase() == folded);
    match (alike.next(), alike.next()) {
        (Some(column), None) => Ok(column),
        (Some(a), Some(b)) => Err(StageError::settings(format!(
            "column `{name}` of the result could be `{}` or `{}` of table `{}`",
            a.name, b.name, table.name
        ))
        .remedy("name it so in the query (`AS`)")),
        _ => {
            let names = table.columns.iter().map(|c| c.name.as_str());
            let hint = nearest(name, names.clone()).map(|n| format!("did you mean `{n}`? "));
            let all: Vec<String> = names.map(|n| format!("`{n}`")).collect();
            Err(StageError::settings(format!(
                "table `{}` has no column `{name}`; it has {}",
                table.name,
                all.join(", ")
            ))
            .remedy(format!(
                "{}rename the column in the query (`AS`), or name the sink's `columns`",
                hint.unwrap_or_default()
            )))
        }
    }
}

fn misfit(name: &str, from: &DataType, column: &Column, table: &Table) -> StageError {
    let remedy = match (from.is_floating(), column.kind) {
        (true, ColumnKind::Int | ColumnKind::UInt | ColumnKind::Year) => {
            "its fraction would be lost: round it in the query (`CAST(… AS BIGINT)`)"
        }
        _ => "cast it in the query, or change the table's column",
    };
    StageError::settings(format!(
        "column `{name}` of the result is {from}, column `{}` of table `{}` is {}",
        column.name, table.name, column.type_name
    ))
    .remedy(remedy)
}

/// `CREATE TABLE` for the result's columns; those of `key` are NOT NULL and its primary key.
pub(super) fn create(
    name: &Name,
    schema: &SchemaRef,
    key: &[String],
    dialect: &dyn Dialect,
) -> Result<String, StageError> {
    let mut parts = Vec::new();
    for field in schema.fields() {
        let kind = kind_for(field.data_type()).ok_or_else(|| {
            StageError::settings(format!("column `{}` is {}, which has no SQL type", field.name(), field.data_type()))
                .remedy("cast it in the query")
        })?;
        let is_key = key.contains(field.name());
        let type_name = match (is_key, kind) {
            (true, ColumnKind::Text) => dialect.name_type().to_owned(),
            _ => dialect.type_for(&kind),
        };
        let null = if is_key { " NOT NULL" } else { "" };
        parts.push(format!("{} {type_name}{null}", dialect.quoted(field.name())));
    }
    if !key.is_empty() {
        let key: Vec<String> = key.iter().map(|k| dialect.quoted(k)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(dialect.create_table(name, &parts))
}
