//! `SELECT *` of the records themselves: the columns of their values, and not what the record brings along, which would
//! double it in every sink.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{ExcludeSelectItem, Ident, Query, SelectItem, SetExpr, TableFactor};

/// Decoded columns that say what a record does; they stay.
const SAY: [&str; 2] = ["_deleted", "_op"];

/// Takes the columns that are not decoded out of each outermost `*` over the main table, unless the query says itself what
/// it leaves out. `table.*` and inner queries have them all.
pub(crate) fn without_metadata(query: &mut Query, table: &str, metadata: &BTreeSet<String>) {
    let hidden: Vec<Ident> = metadata
        .iter()
        .filter(|name| !SAY.contains(&name.as_str()))
        .map(|name| Ident::with_quote('"', name.as_str()))
        .collect();
    if hidden.is_empty() {
        return;
    }
    let mut open: Vec<&mut SetExpr> = vec![&mut query.body];
    while let Some(body) = open.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => {
                open.push(left);
                open.push(right);
            }
            SetExpr::Select(select) => {
                let is_main = select.from.first().is_some_and(|from| is_table(&from.relation, table));
                for item in select.projection.iter_mut().filter(|_| is_main) {
                    if let SelectItem::Wildcard(options) = item
                        && options.opt_exclude.is_none()
                        && options.opt_except.is_none()
                    {
                        let names = hidden.iter().map(|name| vec![name.clone()].into()).collect();
                        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_table(relation: &TableFactor, table: &str) -> bool {
    match relation {
        TableFactor::Table { name, .. } => match name.0.as_slice() {
            [one] => one.as_ident().is_some_and(|ident| ident.value == table),
            _ => false,
        },
        _ => false,
    }
}
