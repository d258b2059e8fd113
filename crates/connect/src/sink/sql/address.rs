//! Where the database is: the URL, read.

use std::path::Path;
use std::str::FromStr;

use foretell_flow::StageError;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use super::database::{Database, Dialect, Failure};
use super::table::nearest;
use super::{mariadb, postgres, sqlite};
use crate::kind::SecretUrl;

const MYSQL_OPTIONS: &[&str] = &[
    "ssl-mode",
    "sslmode",
    "ssl-ca",
    "sslca",
    "ssl-cert",
    "sslcert",
    "ssl-key",
    "sslkey",
    "charset",
    "collation",
    "socket",
    "statement-cache-capacity",
];

const POSTGRES_OPTIONS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

const SQLITE_OPTIONS: &[&str] = &["mode", "cache", "immutable", "vfs"];

/// A database's address.
pub(super) enum Address {
    MariaDb(Box<MySqlConnectOptions>),
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl Address {
    /// Reads a URL; a relative path of SQLite's is relative to `base`. No message shows the URL: it may hold a
    /// password.
    pub(super) fn read(url: &SecretUrl, base: &Path) -> Result<Self, StageError> {
        let text = url.reveal();
        let wrong = |why: String| StageError::settings(format!("`url`: {why}"));
        let forms = "write mysql://user:password@host:3306/database, postgres://user:password@host:5432/database or \
                     sqlite://path";
        let scheme = text.split(':').next().unwrap_or_default().to_lowercase();
        match scheme.as_str() {
            "mysql" | "mariadb" => {
                let url = Url::parse(text).map_err(|e| wrong(e.to_string()).remedy(forms))?;
                check_options(url.query_pairs().map(|(k, _)| k.into_owned()), MYSQL_OPTIONS)?;
                let options = MySqlConnectOptions::from_str(text).map_err(|e| wrong(reason(e)))?;
                if options.get_database().is_none_or(str::is_empty) {
                    return Err(wrong("it names no database".into()).remedy(forms));
                }
                Ok(Address::MariaDb(Box::new(options)))
            }
            "postgres" | "postgresql" => {
                let url = Url::parse(text).map_err(|e| wrong(e.to_string()).remedy(forms))?;
                let keys = url.query_pairs().map(|(k, _)| k.into_owned()).filter(|k| !k.starts_with("options["));
                check_options(keys, POSTGRES_OPTIONS)?;
                PgConnectOptions::from_str(text).map(Box::new).map(Address::Postgres).map_err(|e| wrong(reason(e)))
            }
            "sqlite" => {
                let query = text.split_once('?').map(|(_, query)| query).unwrap_or_default();
                let keys = query.split('&').filter_map(|p| p.split('=').next()).filter(|k| !k.is_empty());
                check_options(keys.map(str::to_owned), SQLITE_OPTIONS)?;
                let options = SqliteConnectOptions::from_str(text).map_err(|e| wrong(reason(e)))?;
                let path = options.get_filename().to_owned();
                if path.as_os_str().is_empty() || text.contains(":memory:") || query.contains("mode=memory") {
                    return Err(wrong("it names no file".into())
                        .remedy("write sqlite://path: what is in memory alone is gone with its connection"));
                }
                Ok(Address::Sqlite(Box::new(options.filename(base.join(path)))))
            }
            _ => Err(wrong("it is not a URL of MariaDB, MySQL, PostgreSQL or SQLite".into()).remedy(forms)),
        }
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        match self {
            Address::MariaDb(_) => &mariadb::DIALECT,
            Address::Postgres(_) => &postgres::DIALECT,
            Address::Sqlite(_) => &sqlite::DIALECT,
        }
    }

    /// Where it is, for texts: no user, no password.
    pub(super) fn place(&self) -> String {
        match self {
            Address::MariaDb(o) => {
                format!("{}:{}/{}", o.get_host(), o.get_port(), o.get_database().unwrap_or_default())
            }
            Address::Postgres(o) => {
                format!("{}:{}/{}", o.get_host(), o.get_port(), o.get_database().unwrap_or_default())
            }
            Address::Sqlite(o) => o.get_filename().display().to_string(),
        }
    }

    /// Whether it is a file that is not there.
    pub(super) fn absent(&self) -> bool {
        matches!(self, Address::Sqlite(options) if !options.get_filename().exists())
    }

    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Address::Sqlite(options) => Some(options.get_filename()),
            Address::MariaDb(_) | Address::Postgres(_) => None,
        }
    }

    /// Connects. With `create`, a SQLite file that is not there is made.
    pub(super) async fn connect(&self, create: bool) -> Result<Box<dyn Database>, Failure> {
        Ok(match self {
            Address::MariaDb(options) => Box::new(mariadb::MariaDb::connect(options).await?),
            Address::Postgres(options) => Box::new(postgres::Pg::connect(options).await?),
            Address::Sqlite(options) if create => {
                Box::new(sqlite::Sqlite::connect(&options.as_ref().clone().create_if_missing(true)).await?)
            }
            Address::Sqlite(options) => Box::new(sqlite::Sqlite::connect(options).await?),
        })
    }
}

/// What the driver says of a URL it cannot read: only the reason, which quotes one option at most.
fn reason(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(error) => error.to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

/// The drivers pass over options that they do not know: a misspelt `ssl-mode` would mean no TLS.
fn check_options(keys: impl Iterator<Item = String>, known: &[&str]) -> Result<(), StageError> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            let hint = nearest(&key, known.iter().copied()).map(|n| format!("did you mean `{n}`? "));
            return Err(StageError::settings(format!("`url`: the option `{key}` is not known")).remedy(format!(
                "{}there are {}",
                hint.unwrap_or_default(),
                known.join(", ")
            )));
        }
    }
    Ok(())
}
