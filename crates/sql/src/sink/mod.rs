//! Rows into a table of MariaDB, MySQL, PostgreSQL, SQLite, or of what ODBC reaches.
//!
//! Rows, positions, plans and refused rows go in one transaction (`protocol`); everything that differs between the
//! databases is in one file each.

mod address;
mod array;
mod client;
mod database;
pub(crate) mod databases;
mod deletion;
mod dialect;
mod insert;
pub(crate) mod letters;
mod mariadb;
mod mariadb_error;
mod mariadb_view;
mod number;
mod odbc;
mod postgres;
mod postgres_copy;
mod postgres_error;
mod postgres_rows;
mod progress;
mod protocol;
mod prove;
pub(crate) mod read;
pub(crate) mod schema;
mod sqlite;
mod statement;
mod table;
mod times;
mod values;

use async_trait::async_trait;
use chrono_tz::Tz;
use foretell_flow::{Sink, SinkTraits, StageError};
use schemars::JsonSchema;
use serde::Deserialize;

use foretell_connect::kind::{Kind, Proof, SinkContext, SinkSettings, schema_of, settings_of};
use foretell_connect::secret::SecretUrl;

/// The SQL sink.
pub const KIND: Kind<dyn SinkSettings> = Kind {
    name: "sql",
    inherits: &[],
    schema: schema_of::<Settings>,
    parse: |value| Ok(Box::new(settings_of::<Settings>(value)?)),
};

/// Rows into a table of MariaDB, MySQL, PostgreSQL, SQLite, or by ODBC of any other database, each exactly once.
///
/// Columns are matched by name, first with the same case, then without regard to it. Rows go in by many with one
/// statement; a row that the database refuses, or would store with another value, goes to the `rejects` table in the same
/// transaction, and the others are stored (docs/databases.md). Beside the table, foretell keeps `foretell_progress`,
/// `foretell_plans` and the `rejects` table; it creates them when it first runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The database: `mysql://user:password@host:3306/database` (or `mariadb://`), `postgres://…`, `sqlite://path`. In a
    /// user, a password or a database's name `%40` stands for `@`, `%2F` for `/`, `%3A` for `:`, `%3F` for `?`, `%23` for
    /// `#`, `%25` for `%`.
    ///
    /// TLS is set by the URL's options. MariaDB and MySQL: `ssl-mode` (`DISABLED`, `PREFERRED`, `REQUIRED`,
    /// `VERIFY_CA`, `VERIFY_IDENTITY`), `ssl-ca`, `ssl-cert`, `ssl-key`. PostgreSQL: `sslmode` (`disable` to `verify-full`),
    /// `sslrootcert`, `sslcert`, `sslkey`. Without them TLS is used where the server offers it, and not verified; with an
    /// authority's file (`ssl-ca`, `sslrootcert`) the server's certificate must be of that authority. Files are relative
    /// to the pipeline file.
    ///
    /// Other databases (SQL Server, Oracle, Db2, …) by ODBC: `odbc:` and a connection string, such as
    /// `odbc:Driver={ODBC Driver 18 for SQL Server};Server=host;Database=name;UID=user;PWD=password` or `odbc:DSN=name`
    /// (docs/databases.md).
    pub url: SecretUrl,
    /// The table: `table` or `schema.table`.
    pub table: String,
    /// Columns of the result to store; all by default.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// What happens to a row whose key is there already.
    #[serde(default)]
    pub mode: Mode,
    /// With `mode: upsert`: the columns that tell rows apart. The table must have a unique index on just these.
    #[serde(default)]
    pub key: Vec<String>,
    /// With `mode: upsert`: the column that says of a row that it is a deletion: where it is true, the row that is there
    /// under the key is deleted instead. The column itself is not stored. `_deleted` is what decoders give
    /// (`tombstones: delete`).
    #[serde(default)]
    pub delete: Option<String>,
    /// What is promised.
    #[serde(default)]
    pub delivery: Delivery,
    /// The table for rows that are not stored as they are: where they come from, the reason, and the row as JSON.
    #[serde(default = "default_rejects")]
    pub rejects: String,
    /// The schema (of MariaDB and MySQL: the database) of `foretell_progress` and `foretell_plans`, and of the `rejects` table
    /// where that names none; by default the one in which the connection makes tables. Another value later means other
    /// tables, without the positions of these.
    #[serde(default)]
    pub progress_schema: Option<String>,
    /// Creates the table when it is missing, with types after the result's columns; of SQLite, the file too.
    #[serde(default)]
    pub create: bool,
}

/// What happens to a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is refused, if the table has a unique index.
    #[default]
    Insert,
    /// It replaces the values of the row that is there; of rows with one key in a batch, the last one counts.
    Upsert,
}

/// What is promised of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Stored once, whatever dies: positions are kept in the same database.
    #[default]
    ExactlyOnce,
    /// Stored at least once; nothing but rows is written to the database. Refused rows are counted, and kept where the
    /// `rejects` table is there.
    AtLeastOnce,
}

fn default_rejects() -> String {
    "foretell_rejected".to_owned()
}

/// The table for refused rows: beside the positions where it names no schema.
fn rejects_in(name: &str, schema: Option<&str>) -> schema::Name {
    let name = schema::Name::read(name);
    schema::Name { schema: name.schema.or_else(|| schema.map(str::to_owned)), ..name }
}

#[async_trait]
impl SinkSettings for Settings {
    fn traits(&self) -> SinkTraits {
        SinkTraits {
            keeps_positions: self.delivery == Delivery::ExactlyOnce,
            sharing: databases::sharing(&self.url),
            atomic: true,
            slices: false,
        }
    }

    fn describe(&self) -> String {
        format!("table {} ({})", self.table, databases::scheme(&self.url))
    }

    fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    fn home(&self, base: &std::path::Path) -> String {
        let address = databases::address(&self.url, base).ok();
        address.as_ref().and_then(|address| address.file()).map(foretell_connect::machine::home).unwrap_or_default()
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>, StageError> {
        Ok(Box::new(protocol::SqlSink::open(self.plan(context)?).await?))
    }

    async fn prove(&self, context: &SinkContext) -> Result<Vec<Proof>, StageError> {
        let plan = self.plan(context)?;
        prove::prove(plan.address.into(), plan.own.progress.schema.as_deref(), plan.zone).await
    }
}

impl Settings {
    fn plan(&self, context: &SinkContext) -> Result<protocol::Plan, StageError> {
        let address = databases::address(&self.url, &context.base)?;
        match (self.mode, self.key.is_empty()) {
            (Mode::Upsert, true) => {
                return Err(StageError::settings("`mode: upsert` needs a `key`")
                    .remedy("name the columns of the table's unique index, e.g. `key: [PNO]`"));
            }
            (Mode::Insert, false) => {
                return Err(StageError::settings("`key` means nothing without `mode: upsert`")
                    .remedy("add `mode: upsert`, or leave `key` out"));
            }
            _ => {}
        }
        if self.delete.is_some() && self.mode != Mode::Upsert {
            return Err(StageError::settings("`delete` means nothing without `mode: upsert`")
                .remedy("add `mode: upsert` and its `key`, or leave `delete` out"));
        }
        let (schema, delete) = deletion::split(&context.schema, self.delete.as_deref())?;
        let zone = match &context.timezone {
            Some(name) => name.parse::<Tz>().map_err(|_| {
                StageError::settings(format!("`timezone`: `{name}` is not known"))
                    .remedy("write an IANA name such as `Asia/Shanghai`")
            })?,
            None => Tz::UTC,
        };
        Ok(protocol::Plan {
            address,
            owner: progress::Owner { pipeline: context.pipeline.clone(), sink: context.sink.clone() },
            table: schema::Name::read(&self.table),
            key: self.key.clone(),
            rejects: rejects_in(&self.rejects, self.progress_schema.as_deref()),
            own: progress::OwnTables::within(self.progress_schema.as_deref()),
            exactly_once: self.delivery == Delivery::ExactlyOnce,
            create: self.create,
            schema,
            delete,
            zone,
        })
    }
}
