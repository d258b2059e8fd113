//! PostgreSQL.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;

use async_trait::async_trait;
use foretell_flow::{Sharing, StageError};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Row};
use url::Url;

use super::address::{Address, DatabaseKind, check_options, file, parse, reason_of, wrong};
use super::client::{Client, arguments, names};
use super::database::{Database, Failure, IDLE_SECONDS, LOCK_SECONDS, Value, transport_failure};
use super::dialect::Dialect;
use super::insert::Insert;
use super::postgres_copy as copy;
use super::postgres_error::failure;
use super::postgres_rows::{Rows, cast_type};
use super::schema::{Column, ColumnKind, Name, Table, Texts};
use super::values::{Data, Rules};

/// PostgreSQL.
pub(super) const KIND: DatabaseKind = DatabaseKind {
    name: "PostgreSQL",
    schemes: &[("postgres", "postgres"), ("postgresql", "postgres")],
    form: "postgres://user:password@host:5432/database",
    sharing: Sharing::Shared,
    address: |text, base| Ok(Box::new(options(text, base)?)),
};

const OPTIONS: &[&str] = &[
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

pub(super) fn options(text: &str, base: &Path) -> Result<PgConnectOptions, StageError> {
    let url = parse(text, KIND.form)?;
    check_options(&url, OPTIONS)?;
    let options = PgConnectOptions::from_str(text).map_err(|e| wrong(reason_of(e)))?;
    files(options, &url, base)
}

fn files(mut options: PgConnectOptions, url: &Url, base: &Path) -> Result<PgConnectOptions, StageError> {
    let (mut ca, mut mode) = (false, false);
    for (key, value) in url.query_pairs() {
        options = match &*key {
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                ca = true;
                options.ssl_root_cert(file(&key, &value, base)?)
            }
            "sslcert" | "ssl-cert" => options.ssl_client_cert(file(&key, &value, base)?),
            "sslkey" | "ssl-key" => options.ssl_client_key(file(&key, &value, base)?),
            "sslmode" | "ssl-mode" => {
                mode = true;
                options
            }
            _ => options,
        };
    }
    // As libpq takes `require` beside an authority.
    let unverified = match options.get_ssl_mode() {
        PgSslMode::Require => true,
        PgSslMode::Prefer => !mode,
        _ => false,
    };
    Ok(if ca && unverified { options.ssl_mode(PgSslMode::VerifyCa) } else { options })
}

#[async_trait]
impl Address for PgConnectOptions {
    fn dialect(&self) -> &'static dyn Dialect {
        &Sql
    }

    fn place(&self) -> String {
        format!("{}:{}/{}", self.get_host(), self.get_port(), self.get_database().unwrap_or_default())
    }

    async fn connect(&self, _create: bool) -> Result<Box<dyn Database>, Failure> {
        Ok(Box::new(Pg::connect(self).await?))
    }
}

/// Its SQL.
pub(super) struct Sql;

impl Dialect for Sql {
    fn hex(&self, column: &str, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Binary => format!("upper(encode({column}, 'hex'))"),
            _ => format!("upper(encode(convert_to({column}::text, 'UTF8'), 'hex'))"),
        }
    }

    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn placeholder(&self, n: usize) -> String {
        format!("${n}")
    }

    fn begin(&self) -> Option<&'static str> {
        // Constraints that would be checked at COMMIT are checked by each statement, so that a row can be found.
        Some("BEGIN; SET CONSTRAINTS ALL IMMEDIATE")
    }

    fn name_type(&self) -> &'static str {
        "TEXT COLLATE \"C\""
    }

    fn time_type(&self) -> &'static str {
        "TIMESTAMPTZ"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Int | ColumnKind::Year => "BIGINT",
            ColumnKind::UInt | ColumnKind::Decimal { .. } => "NUMERIC",
            ColumnKind::Float { .. } => "DOUBLE PRECISION",
            ColumnKind::Bool => "BOOLEAN",
            ColumnKind::Binary => "BYTEA",
            ColumnKind::Date => "DATE",
            ColumnKind::Time { .. } => "TIMESTAMP",
            ColumnKind::Clock { .. } => "TIME",
            ColumnKind::Json => "JSONB",
            ColumnKind::Text | ColumnKind::Other | ColumnKind::Array | ColumnKind::Any => "TEXT",
        }
        .to_owned()
    }

    fn rules(&self) -> Rules {
        Rules { nan: true, infinity: true, typed: true, empty: true }
    }
}

/// One array a column carries any number of rows; this bounds memory and what is tried again for one bad row.
const MAX_ROWS: usize = 16_384;
const MAX_BYTES: usize = 16 << 20;

/// What a session is told.
pub(super) fn session() -> String {
    format!(
        "SET lock_timeout = '{LOCK_SECONDS}s'; SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; \
         SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
         SET extra_float_digits = 1; SET bytea_output = 'hex'; SET client_min_messages = 'error'; \
         SET synchronous_commit = 'on'; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
}

/// A server's limit on whole transactions (since PostgreSQL 17) would end the same batch again and again: its rows and
/// its position are one transaction. The limits on locks and on silence hold.
pub(super) const NO_LIMIT: &str =
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// A connection to PostgreSQL.
pub(super) struct Pg {
    client: Client<PgConnection>,
}

impl Pg {
    pub(super) async fn connect(options: &PgConnectOptions) -> Result<Self, Failure> {
        let options = options.clone().disable_statement_logging();
        let mut database = Pg { client: Client::connect(&options, failure).await? };
        database.command(&format!("{}; {NO_LIMIT}", session())).await?;
        Ok(database)
    }

    /// Whether a table takes rows by COPY as it does by INSERT.
    async fn takes_copies(&mut self, table: &Name) -> Result<bool, Failure> {
        let found = self.fetch(copy::TAKES, &[Value::Text(Sql.table(table))]).await?;
        Ok(found.first().and_then(|row| row.first()) == Some(&Value::from("true")))
    }

    /// By COPY; how many rows were stored.
    async fn copy(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<u64, Failure> {
        let bytes = copy::encoded(columns, rows).map_err(not_sent)?;
        let names: Vec<String> = insert.columns.iter().map(|column| Sql.quoted(&column.name)).collect();
        let (table, names) = (Sql.table(&insert.table), names.join(", "));
        self.client.with(async |connection| copy::send(connection, &table, &names, bytes).await).await
    }

    /// One array a column; how many rows were stored or deleted.
    async fn insert_arrays(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<u64, Failure> {
        let mut arguments = PgArguments::default();
        for data in columns {
            Arguments::add(&mut arguments, Rows { data, rows }).map_err(not_sent)?;
        }
        let query = sqlx::query_with(AssertSqlSafe(Pg::sql(insert, columns)), arguments);
        Ok(self.client.execute(query).await?.rows_affected())
    }

    fn sql(insert: &Insert, columns: &[Data]) -> String {
        let (mut out, mut arrays, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (column, data)) in insert.columns.iter().zip(columns).enumerate() {
            let textual = matches!(column.kind, ColumnKind::Text);
            // Text becomes another type only when asked; into a text column a cast would cut silently.
            let cast = match data {
                Data::Text(_) if !textual => format!("::{}", cast_type(&column.type_name)),
                _ => String::new(),
            };
            out.push(format!("c{i}{cast}"));
            arrays.push(format!("${}::{}[]", i.saturating_add(1), element(data)));
            names.push(format!("c{i}"));
        }
        if insert.deletes {
            let own = insert.columns.iter().zip(&out);
            let equal: Vec<String> =
                own.map(|(column, value)| format!("t.{} = {value}", Sql.quoted(&column.name))).collect();
            return format!(
                "DELETE FROM {} AS t USING UNNEST({}) AS r({}) WHERE {}",
                Sql.table(&insert.table),
                arrays.join(", "),
                names.join(", "),
                equal.join(" AND ")
            );
        }
        format!(
            "{} SELECT {} FROM UNNEST({}) AS r({}){}",
            Sql.insert_into(insert),
            out.join(", "),
            arrays.join(", "),
            names.join(", "),
            Sql.on_conflict(insert)
        )
    }
}

fn not_sent(_: BoxDynError) -> Failure {
    Failure::row("a value cannot be sent")
}

fn element(data: &Data) -> &'static str {
    match data {
        Data::Int(_) | Data::UInt(_) => "int8",
        Data::Float32(_) => "float4",
        Data::Float64(_) => "float8",
        Data::Bool(_) => "bool",
        Data::Text(_) => "text",
        Data::Binary(_) => "bytea",
        Data::Date(_) => "date",
        Data::Time(_) => "timestamp",
    }
}

#[async_trait]
impl Database for Pg {
    fn dialect(&self) -> &'static dyn Dialect {
        &Sql
    }

    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        self.client.command(sql).await
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(Sql.with_placeholders(sql)), arguments::<PgArguments>(values)?);
        Ok(self.client.execute(query).await?.rows_affected())
    }

    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(Sql.with_placeholders(sql)), arguments::<PgArguments>(values)?);
        self.client.fetch(query, value).await
    }

    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
        self.client.texts(sql, |row, i| row.try_get_unchecked(i)).await
    }

    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
        describe(self, name).await
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        let sql =
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))";
        let rows = self.fetch(sql, &[]).await?;
        Ok(names(rows))
    }

    async fn probe(&mut self, insert: &Insert, columns: &[Data]) -> Result<(), Failure> {
        // Preparing checks names and types; privileges were asked for by `describe`.
        self.client.prepare(&Pg::sql(insert, columns)).await.map(drop)
    }

    fn chunk(&self, _columns: usize) -> (usize, usize) {
        (MAX_ROWS, MAX_BYTES)
    }

    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        let done = match copy::fits(insert, columns, rows) && self.takes_copies(&insert.table).await? {
            true => self.copy(insert, columns, rows).await?,
            false => self.insert_arrays(insert, columns, rows).await?,
        };
        match insert.deletes || done == rows.len() as u64 {
            true => Ok(()),
            false => Err(Failure::unsure("skipped by a trigger or rule of the table, which gave no row to store")),
        }
    }

    async fn close(self: Box<Self>) {
        self.client.close().await;
    }
}

/// What it knows of a table, over whichever connection.
pub(super) fn describe<'a>(
    db: &'a mut dyn Database,
    name: &'a Name,
) -> Pin<Box<dyn Future<Output = Result<Option<Table>, Failure>> + Send + 'a>> {
    Box::pin(async move {
        let path = [Value::Text(Sql.table(name))];
        let found = db
            .fetch(
                "SELECT c.oid::int8, c.relkind::text, has_table_privilege(c.oid, 'INSERT')::text, \
                 has_table_privilege(c.oid, 'UPDATE')::text, has_table_privilege(c.oid, 'SELECT')::text \
                 FROM pg_class c WHERE c.oid = to_regclass(?)",
                &path,
            )
            .await?;
        let Some([_, Value::Text(relation), insert, update, select]) = found.first().map(Vec::as_slice) else {
            return Ok(None);
        };
        let rights = [(insert, "INSERT"), (update, "UPDATE"), (select, "SELECT")];
        let denied = rights.iter().filter(|(v, _)| **v != Value::from("true")).map(|(_, name)| *name).collect();
        let no_transactions = (relation == "f").then(|| "it is a foreign table".to_owned());
        let columns = db
            .fetch(
                "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(base.oid, NULL), \
                 a.attnotnull::text, (a.atthasdef OR a.attidentity <> '')::text, a.attgenerated::text, \
                 a.attidentity::text, base.modifier::int8 FROM pg_attribute a CROSS JOIN LATERAL ( \
                 WITH RECURSIVE under(oid, modifier) AS (SELECT a.atttypid, a.atttypmod UNION ALL \
                 SELECT t.typbasetype, t.typtypmod FROM under JOIN pg_type t ON t.oid = under.oid \
                 WHERE t.typbasetype <> 0) SELECT under.* FROM under JOIN pg_type t ON t.oid = under.oid \
                 WHERE t.typbasetype = 0) AS base \
                 WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
                &path,
            )
            .await?;
        let keys = db
            .fetch(
                "SELECT i.indexrelid::text, a.attname::text FROM pg_index i \
                 CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place) \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
                 WHERE i.indrelid = to_regclass(?) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
                 AND i.indexprs IS NULL AND k.place <= i.indnkeyatts ORDER BY i.indexrelid, k.place",
                &path,
            )
            .await?;
        Ok(Some(Table {
            name: name.clone(),
            columns: columns.iter().filter_map(|row| column(row)).collect(),
            unique: super::progress::grouped(&keys),
            no_transactions,
            is_view: relation == "v",
            denied,
        }))
    })
}

/// The type that a text must be made where it goes into a column of another one.
pub(super) fn reads_text(column: &Column) -> Option<String> {
    let textual = matches!(column.kind, ColumnKind::Text);
    let typed = matches!(
        column.kind,
        ColumnKind::Int | ColumnKind::Float { .. } | ColumnKind::Bool | ColumnKind::Binary | ColumnKind::Time { .. }
    );
    (!textual && !typed).then(|| cast_type(&column.type_name))
}

fn value(row: &PgRow, i: usize) -> Result<Value, Failure> {
    if let Ok(number) = row.try_get::<Option<i64>, _>(i) {
        return Ok(number.map_or(Value::Null, Value::Int));
    }
    if let Ok(number) = row.try_get::<Option<i32>, _>(i) {
        return Ok(number.map_or(Value::Null, |n| Value::Int(n.into())));
    }
    match row.try_get::<Option<String>, _>(i) {
        Ok(text) => Ok(text.map_or(Value::Null, Value::Text)),
        Err(error) => Err(transport_failure(&error)),
    }
}

fn column(row: &[Value]) -> Option<Column> {
    let text = |i: usize| match row.get(i) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    // Of a time's type modifier: the digits after the second; -1 is all six.
    let digits = match row.get(7) {
        Some(Value::Int(digits @ 0..=6)) => u8::try_from(*digits).unwrap_or(6),
        _ => 6,
    };
    // Others count from 4 on.
    let modifier = if let Some(Value::Int(modifier @ 4..)) = row.get(7) { modifier.checked_sub(4) } else { None };
    let kind = match text(2) {
        "smallint" | "integer" | "bigint" => ColumnKind::Int,
        "real" => ColumnKind::Float { single: true },
        "double precision" => ColumnKind::Float { single: false },
        // The scale is in the last eleven bits, with a sign.
        "numeric" => {
            ColumnKind::Decimal { precision: 0, scale: modifier.map(|m| ((m & 0x7ff) ^ 0x400).saturating_sub(0x400)) }
        }
        "boolean" => ColumnKind::Bool,
        "text" | "character varying" | "character" => ColumnKind::Text,
        "json" | "jsonb" => ColumnKind::Json,
        "bytea" => ColumnKind::Binary,
        "date" => ColumnKind::Date,
        "timestamp without time zone" => ColumnKind::Time { digits, instant: false },
        "timestamp with time zone" => ColumnKind::Time { digits, instant: true },
        "time without time zone" => ColumnKind::Clock { digits },
        array if array.ends_with("[]") => ColumnKind::Array,
        _ => ColumnKind::Other,
    };
    let computed = !text(5).is_empty() || text(6) == "a";
    Some(Column {
        name: (!text(0).is_empty()).then(|| text(0).to_owned())?,
        type_name: text(1).to_owned(),
        kind,
        needed: text(3) == "true" && text(4) != "true" && !computed,
        computed,
        limit: match text(2) {
            "character varying" => modifier.and_then(|limit| usize::try_from(limit).ok()),
            // These cut whatever is longer.
            "name" => Some(63),
            "\"char\"" => Some(1),
            _ => None,
        },
        by_number: false,
        fills_null: false,
    })
}
