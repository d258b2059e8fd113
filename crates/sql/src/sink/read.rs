//! The rows of a query, as texts: what a reference table is read by.

use std::path::Path;

use foretell_flow::StageError;

use super::address::Address;
use super::database::Dialect;
use super::table::{Name, nearest};
use foretell_connect::secret::SecretUrl;

/// The rows of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    /// Name and type of each column, as the database spells them.
    pub(crate) columns: Vec<(String, String)>,
    /// Values as texts; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// What to read.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// All of a table: `table` or `schema.table`.
    Table(String),
    /// A query's rows.
    Query(String),
}

/// The scheme of a URL, for texts: it holds no secret.
pub(crate) fn scheme(url: &SecretUrl) -> &str {
    match url.reveal().split(':').next().unwrap_or_default() {
        scheme @ ("mysql" | "mariadb" | "sqlite") => scheme,
        "postgres" | "postgresql" => "postgres",
        _ => "sql",
    }
}

/// Reads rows in a transaction that cannot write.
pub(crate) async fn read(url: &SecretUrl, base: &Path, what: &What) -> Result<Texts, StageError> {
    let address = Address::read(url, base)?;
    let place = address.place();
    if address.absent() {
        return Err(StageError::settings(format!("{place}: the file does not exist")));
    }
    let mut database = address.connect(false).await.map_err(|failure| failure.at(&place))?;
    let dialect: &Dialect = database.dialect();
    let sql = match what {
        What::Table(table) => {
            let name = Name::read(table);
            if database.describe(&name).await.map_err(|failure| failure.at(&place))?.is_none() {
                let tables = database.tables().await.unwrap_or_default();
                let error = StageError::settings(format!("{place}: there is no table `{name}`"));
                return Err(match nearest(&name.table, tables.iter().map(String::as_str)) {
                    Some(near) => error.remedy(format!("did you mean `{near}`?")),
                    None => error.remedy("create it, or correct the name"),
                });
            }
            format!("SELECT * FROM {}", dialect.table(&name))
        }
        What::Query(query) => query.clone(),
    };
    database.command(dialect.begin_reading).await.map_err(|failure| failure.at(&place))?;
    let texts = database.texts(&sql).await.map_err(|failure| failure.at(&place));
    database.close().await;
    texts
}
