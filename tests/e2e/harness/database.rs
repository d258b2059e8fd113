//! MariaDB and PostgreSQL, asked in SQL.

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, Row};

use super::{service, wait};

/// A row as texts.
pub(crate) type Texts = Vec<Option<String>>;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    MariaDb,
    Postgres,
}

impl Database {
    pub(crate) fn url(self) -> String {
        service(match self {
            Database::MariaDb => "FORETELL_MARIADB_URL",
            Database::Postgres => "FORETELL_POSTGRES_URL",
        })
    }

    /// Statements, separated by semicolons.
    pub(crate) fn execute(self, sql: &str) {
        wait(async {
            match self {
                Database::MariaDb => {
                    let mut connection = MySqlConnection::connect(&self.url()).await.unwrap();
                    connection.execute(AssertSqlSafe(sql.to_string())).await.unwrap();
                }
                Database::Postgres => {
                    let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                    connection.execute(AssertSqlSafe(sql.to_string())).await.unwrap();
                }
            }
        });
    }

    /// The rows of some columns as the database prints them.
    pub(crate) fn select(self, columns: &[&str], rest: &str) -> Vec<Texts> {
        let quote = if self == Database::MariaDb { '`' } else { '"' };
        let text = if self == Database::MariaDb { "CHAR" } else { "TEXT" };
        let columns: Vec<String> =
            columns.iter().map(|column| format!("CAST({quote}{column}{quote} AS {text})")).collect();
        let sql = AssertSqlSafe(format!("SELECT {} FROM {rest}", columns.join(", ")));
        wait(async {
            match self {
                Database::MariaDb => {
                    let mut connection = MySqlConnection::connect(&self.url()).await.unwrap();
                    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                    rows.iter().map(|row| (0..columns.len()).map(|at| row.get(at)).collect()).collect()
                }
                Database::Postgres => {
                    let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                    rows.iter().map(|row| (0..columns.len()).map(|at| row.get(at)).collect()).collect()
                }
            }
        })
    }

    /// How many rows there are.
    pub(crate) fn count(self, table: &str) -> usize {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = wait(async {
            match self {
                Database::MariaDb => {
                    let mut connection = MySqlConnection::connect(&self.url()).await.unwrap();
                    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
                }
                Database::Postgres => {
                    let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
                }
            }
        });
        usize::try_from(count).unwrap()
    }
}

/// A table of MariaDB that nobody else can write to, until this is dropped.
pub(crate) struct Locked(Option<MySqlConnection>);

impl Locked {
    pub(crate) fn table(table: &str) -> Locked {
        wait(async {
            let mut connection = MySqlConnection::connect(&Database::MariaDb.url()).await.unwrap();
            connection.execute(AssertSqlSafe(format!("LOCK TABLES {table} WRITE"))).await.unwrap();
            Locked(Some(connection))
        })
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            wait(async { connection.execute("UNLOCK TABLES").await.map(drop) }).unwrap();
        }
    }
}
