//! Whether the tables under a view of MariaDB or MySQL have transactions.
//!
//! The server keeps a view's query with every table named as `` `schema`.`table` ``. Whatever is named so and is a table or
//! a view counts, also where it is a column after all: a table too many can only refuse a view, never let one through.

use std::collections::BTreeSet;

use super::database::{Database, Failure, Value};

/// Views under views, and what they name, are looked at up to here.
const MOST: usize = 256;

/// Why a view cannot take part in transactions; `None` where all its tables can.
pub(super) async fn no_transactions(
    db: &mut dyn Database,
    schema: &Value,
    table: &str,
) -> Result<Option<String>, Failure> {
    let unseen =
        || Some("it is a view, and the user may not see of which table (`GRANT SHOW VIEW`, `GRANT SELECT`)".to_owned());
    let mut todo = vec![(schema.clone(), table.to_owned())];
    let (mut seen, mut tables) = (BTreeSet::new(), 0_usize);
    while let Some((schema, view)) = todo.pop() {
        let sql = "SELECT CAST(view_definition AS CHAR) FROM information_schema.views WHERE table_schema = \
                   COALESCE(?, DATABASE()) AND table_name = ?";
        let found = db.fetch(sql, &[schema, Value::Text(view)]).await?;
        let Some([Value::Text(definition)]) = found.first().map(Vec::as_slice) else { return Ok(unseen()) };
        for (schema, name) in pairs(definition) {
            if !seen.insert((schema.clone(), name.clone())) {
                continue;
            }
            if seen.len() > MOST {
                return Ok(unseen());
            }
            let sql = "SELECT CAST(t.table_type AS CHAR), CAST(t.engine AS CHAR), CAST(e.transactions AS CHAR) FROM \
                       information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
                       WHERE t.table_schema = ? AND t.table_name = ?";
            let found = db.fetch(sql, &[Value::Text(schema.clone()), Value::Text(name.clone())]).await?;
            match found.first().map(Vec::as_slice) {
                None => {}
                Some([_, _, Value::Text(yes)]) if yes == "YES" => tables = tables.saturating_add(1),
                Some([_, Value::Text(engine), _]) => {
                    return Ok(Some(format!(
                        "it is a view of table `{schema}.{name}`, whose engine is {engine}, which has no transactions"
                    )));
                }
                Some(_) => todo.push((Value::Text(schema), name)),
            }
        }
    }
    Ok(if tables == 0 { unseen() } else { None })
}

/// What stands as `` `a`.`b` ``; of `` `a`.`b`.`c` `` also the last two.
fn pairs(definition: &str) -> Vec<(String, String)> {
    let (mut out, mut last) = (Vec::new(), None::<String>);
    let mut rest = definition;
    while let Some(begin) = rest.find(['`', '\'']) {
        let (before, quoted) = rest.split_at(begin);
        let quote = if quoted.starts_with('`') { '`' } else { '\'' };
        let mut name = String::new();
        let mut chars = quoted.char_indices().skip(1).peekable();
        let mut end = None;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if quote == '\'' => drop(chars.next()),
                _ if c == quote && chars.peek().is_some_and(|(_, next)| *next == quote) => {
                    chars.next();
                    name.push(quote);
                }
                _ if c == quote => {
                    end = Some(at.saturating_add(1));
                    break;
                }
                _ => name.push(c),
            }
        }
        // What is not ended is nothing.
        let Some(end) = end else { break };
        rest = quoted.get(end..).unwrap_or_default();
        if quote == '\'' {
            last = None;
            continue;
        }
        if let (Some(first), ".") = (&last, before) {
            out.push((first.clone(), name.clone()));
        }
        last = Some(name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_where_they_are_named() {
        let definition =
            "select `app`.`t`.`id` AS `id`,'`x`.`y`' AS `s` from (`app`.`t` join `o``d`.`u v` on((1 = 1)))";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(pairs(definition), [pair("app", "t"), pair("t", "id"), pair("app", "t"), pair("o`d", "u v")]);
        for odd in ["`", "`a`.", "'`a`.`b`", "`a`.`", "'\\", ""] {
            assert_eq!(pairs(odd), [], "{odd}");
        }
    }
}
