//! MariaDB, MySQL and PostgreSQL behind ODBC: they have ways of their own (`mysql://`, `postgres://`), which do more.

use super::super::database::Cause;
use super::super::dialect::Dialect;
use super::super::insert::Insert;
use super::super::schema::Column;
use super::super::{mariadb, mariadb_error, postgres};
use super::flavor::{Flavor, STANDARD};

pub(super) const MARIADB: Flavor = Flavor {
    names: &["mariadb", "mysql"],
    dialect: &mariadb::Sql::MARIADB,
    session: || {
        vec![mariadb::session(), mariadb::READ_COMMITTED.to_owned(), "SET SESSION time_zone = '+00:00'".to_owned()]
    },
    schema_is_catalog: true,
    insert: |dialect, insert| {
        let values = dialect.values(insert.columns.len(), 1);
        format!("{} {values}{}", dialect.insert_into(insert), dialect.on_conflict(insert))
    },
    cause: |said| {
        let number = u16::try_from(said.native).ok()?;
        if mariadb_error::known(number).is_some() {
            return Some(Cause::Row);
        }
        // Numbers from 2000 on are those of the client's own library.
        (!(2_000..3_000).contains(&number)).then(|| mariadb_error::cause(number, &said.state, &said.text))
    },
    notes_tell: true,
    times_as_text: true,
    describe: Some(mariadb::describe),
    ..STANDARD
};

pub(super) const POSTGRES: Flavor = Flavor {
    names: &["postgresql"],
    dialect: &postgres::Sql,
    session: || vec![postgres::session(), postgres::NO_LIMIT.to_owned()],
    begun: Some("SET CONSTRAINTS ALL IMMEDIATE"),
    insert: cast,
    numbers: false,
    describe: Some(postgres::describe),
    ..STANDARD
};

/// Text becomes another type only when asked.
fn cast(dialect: &dyn Dialect, insert: &Insert) -> String {
    let place = |column: &Column| match postgres::reads_text(column) {
        Some(type_name) => format!("CAST(? AS {type_name})"),
        None => "?".to_owned(),
    };
    let values: Vec<String> = insert.columns.iter().map(place).collect();
    format!("{} VALUES ({}){}", dialect.insert_into(insert), values.join(", "), dialect.on_conflict(insert))
}
