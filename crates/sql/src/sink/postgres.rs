//! PostgreSQL.

use async_trait::async_trait;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgDatabaseError, PgRow, PgTypeInfo,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, ConnectOptions, Connection, Encode, Executor, Postgres, Row, Statement,
    Type, TypeInfo,
};

use super::database::{
    CONNECT_TIMEOUT, Cause, Database, Dialect, Failure, IDLE_SECONDS, LOCK_SECONDS, Value, transport_failure, within,
};
use super::read::Texts;
use super::statement::Insert;
use super::table::{Column, Kind, Name, Table};
use super::values::{Data, Rules};

pub(super) static DIALECT: Dialect = Dialect {
    name: "PostgreSQL",
    quote: '"',
    // Constraints that would be checked at COMMIT are checked by each statement, so that a row can be found.
    begin: "BEGIN; SET CONSTRAINTS ALL IMMEDIATE",
    begin_reading: "BEGIN READ ONLY",
    for_update: " FOR UPDATE",
    if_absent: " ON CONFLICT DO NOTHING",
    name_type: "TEXT COLLATE \"C\"",
    text_type: "TEXT",
    time_type: "TIMESTAMPTZ",
    id_type: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    table_options: "",
    type_for,
    rules: Rules { nan: true, infinity: true, typed: true },
};

/// One array a column carries any number of rows; this bounds memory and what is tried again for one bad row.
const MAX_ROWS: usize = 16_384;
const MAX_BYTES: usize = 16 << 20;

/// Microseconds and days from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

fn type_for(kind: &Kind) -> String {
    match kind {
        Kind::Int | Kind::Year => "BIGINT",
        Kind::UInt | Kind::Decimal { .. } => "NUMERIC",
        Kind::Float { .. } => "DOUBLE PRECISION",
        Kind::Bool => "BOOLEAN",
        Kind::Binary => "BYTEA",
        Kind::Date => "DATE",
        Kind::Time { .. } => "TIMESTAMP",
        Kind::Clock { .. } => "TIME",
        Kind::Json => "JSONB",
        Kind::Text | Kind::Other | Kind::Any => "TEXT",
    }
    .to_owned()
}

/// A connection to PostgreSQL.
pub(super) struct Pg {
    connection: PgConnection,
}

impl Pg {
    pub(super) async fn connect(options: &PgConnectOptions) -> Result<Self, Failure> {
        let options = options.clone().disable_statement_logging();
        let connecting = PgConnection::connect_with(&options);
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Failure::moment(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))?
            .map_err(|e| failure(&e))?;
        let mut database = Pg { connection };
        database
            .command(&format!(
                "SET lock_timeout = '{LOCK_SECONDS}s'; SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; \
                 SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; \
                 SET extra_float_digits = 1; SET bytea_output = 'hex'; \
                 SET client_min_messages = 'error'; SET synchronous_commit = 'on'; \
                 SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
            ))
            .await?;
        Ok(database)
    }

    fn sql(insert: &Insert, columns: &[Data]) -> String {
        let (mut out, mut arrays, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (column, data)) in insert.columns.iter().zip(columns).enumerate() {
            let textual = matches!(column.kind, Kind::Text);
            // Text becomes another type only when asked; into a text column a cast would cut silently.
            let cast = match data {
                Data::Text(_) if !textual => format!("::{}", cast_type(&column.type_name)),
                _ => String::new(),
            };
            out.push(format!("c{i}{cast}"));
            arrays.push(format!("${}::{}[]", i + 1, element(data)));
            names.push(format!("c{i}"));
        }
        format!(
            "{} SELECT {} FROM UNNEST({}) AS r({}){}",
            insert.head(&DIALECT),
            out.join(", "),
            arrays.join(", "),
            names.join(", "),
            insert.on_conflict(&DIALECT)
        )
    }
}

/// A type without its length: `numeric(8,2)` and `timestamp(3) without time zone` are cast to without it, and the
/// assignment to the column then checks it.
fn cast_type(type_name: &str) -> String {
    // `bit` alone is one bit long.
    if type_name == "bit" || type_name.starts_with("bit(") {
        return "bit varying".to_owned();
    }
    match (type_name.find('('), type_name.find(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", &type_name[..open], &type_name[close + 1..]),
        _ => type_name.to_owned(),
    }
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
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        within(async { self.connection.execute(query).await.map_err(|e| failure(&e)) }).await.map(drop)
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(numbered(sql)), arguments(values)?);
        let done = within(async { query.execute(&mut self.connection).await.map_err(|e| failure(&e)) }).await?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(numbered(sql)), arguments(values)?);
        let rows = within(async { query.fetch_all(&mut self.connection).await.map_err(|e| failure(&e)) }).await?;
        rows.iter().map(|row| (0..row.len()).map(|i| value(row, i)).collect()).collect()
    }

    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
        let text = || sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(sql.to_owned()));
        let prepared = async { self.connection.prepare(text()).await.map_err(|e| failure(&e)) };
        let columns = within(prepared).await?;
        let columns = columns.columns().iter().map(|c| (c.name().to_owned(), c.type_info().name().to_owned()));
        let columns: Vec<(String, String)> = columns.collect();
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows = within(async { query.fetch_all(&mut self.connection).await.map_err(|e| failure(&e)) }).await?;
        let value = |row: &PgRow, i: usize| {
            let value = row.try_get_unchecked::<Option<String>, _>(i);
            value.map_err(|_| Failure::settings(format!("column {} is not text", i + 1)))
        };
        let row = |row: &PgRow| (0..columns.len()).map(|i| value(row, i)).collect::<Result<Vec<_>, _>>();
        let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        Ok(Texts { columns, rows })
    }

    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
        let path = [Value::Text(DIALECT.table(name))];
        let found = self
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
        let columns = self
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
        let keys = self
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
            is_view: false,
            denied,
        }))
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        let sql =
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))";
        let rows = self.fetch(sql, &[]).await?;
        Ok(rows.into_iter().flatten().filter_map(|v| if let Value::Text(t) = v { Some(t) } else { None }).collect())
    }

    async fn probe(&mut self, insert: &Insert, columns: &[Data]) -> Result<(), Failure> {
        // Preparing checks names and types; privileges were asked for by `describe`.
        let sql = AssertSqlSafe(Pg::sql(insert, columns));
        let prepared =
            async { self.connection.prepare(sqlx::SqlSafeStr::into_sql_str(sql)).await.map_err(|e| failure(&e)) };
        within(prepared).await.map(|statement| drop(statement.into_sql()))
    }

    fn chunk(&self, _columns: usize) -> (usize, usize) {
        (MAX_ROWS, MAX_BYTES)
    }

    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        let mut arguments = PgArguments::default();
        for data in columns {
            let added = Arguments::add(&mut arguments, Rows { data, rows });
            added.map_err(|_| Failure::row("a value cannot be sent"))?;
        }
        let query = sqlx::query_with(AssertSqlSafe(Pg::sql(insert, columns)), arguments);
        let done = within(async { query.execute(&mut self.connection).await.map_err(|e| failure(&e)) }).await?;
        match done.rows_affected() == rows.len() as u64 {
            true => Ok(()),
            false => Err(Failure::unsure("skipped by a trigger or rule of the table, which gave no row to store")),
        }
    }

    async fn close(self: Box<Self>) {
        super::database::close(self.connection.close()).await;
    }
}

/// A column's rows as one array in PostgreSQL's binary form, written straight from the Arrow buffers.
struct Rows<'a> {
    data: &'a Data,
    rows: &'a [u32],
}

impl Rows<'_> {
    fn array_type(&self) -> PgTypeInfo {
        match self.data {
            Data::Int(_) | Data::UInt(_) => Vec::<i64>::type_info(),
            Data::Float32(_) => Vec::<f32>::type_info(),
            Data::Float64(_) => Vec::<f64>::type_info(),
            Data::Bool(_) => Vec::<bool>::type_info(),
            Data::Text(_) => Vec::<String>::type_info(),
            Data::Binary(_) => Vec::<Vec<u8>>::type_info(),
            Data::Date(_) => Vec::<chrono::NaiveDate>::type_info(),
            Data::Time(_) => Vec::<chrono::NaiveDateTime>::type_info(),
        }
    }

    fn element_oid(&self) -> i32 {
        match self.data {
            Data::Int(_) | Data::UInt(_) => 20,
            Data::Float32(_) => 700,
            Data::Float64(_) => 701,
            Data::Bool(_) => 16,
            Data::Text(_) => 25,
            Data::Binary(_) => 17,
            Data::Date(_) => 1082,
            Data::Time(_) => 1114,
        }
    }
}

impl Type<Postgres> for Rows<'_> {
    fn type_info() -> PgTypeInfo {
        Vec::<String>::type_info()
    }
}

impl Encode<'_, Postgres> for Rows<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.array_type())
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let nulls = self.rows.iter().any(|&row| self.data.is_null(row as usize));
        // Dimensions, whether there are NULLs, the elements' type, their number, the first index.
        for word in [1, i32::from(nulls), self.element_oid(), i32::try_from(self.rows.len())?, 1] {
            buffer.extend_from_slice(&word.to_be_bytes());
        }
        for &row in self.rows {
            let row = row as usize;
            if self.data.is_null(row) {
                buffer.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            match self.data {
                Data::Int(a) => put(buffer, &a.value(row).to_be_bytes())?,
                Data::UInt(a) => put(buffer, &i64::try_from(a.value(row))?.to_be_bytes())?,
                Data::Float32(a) => put(buffer, &a.value(row).to_be_bytes())?,
                Data::Float64(a) => put(buffer, &a.value(row).to_be_bytes())?,
                Data::Bool(a) => put(buffer, &[u8::from(a.value(row))])?,
                Data::Text(a) => put(buffer, a.value(row).as_bytes())?,
                Data::Binary(a) => put(buffer, a.value(row))?,
                Data::Date(a) => {
                    let days = a.value(row).checked_sub(EPOCH_DAYS).ok_or("a date out of range")?;
                    put(buffer, &days.to_be_bytes())?;
                }
                Data::Time(a) => {
                    let micros = a.value(row).checked_sub(EPOCH_MICROS).ok_or("a time out of range")?;
                    put(buffer, &micros.to_be_bytes())?;
                }
            }
        }
        Ok(IsNull::No)
    }
}

/// An array's element: its length and its bytes.
fn put(buffer: &mut PgArgumentBuffer, bytes: &[u8]) -> Result<(), BoxDynError> {
    buffer.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// `?` as PostgreSQL writes it: `$1`, `$2`; not within quoted identifiers.
fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    let (mut quoted, mut count) = (false, 0);
    for c in sql.chars() {
        match c {
            '?' if !quoted => {
                count += 1;
                out.push_str(&format!("${count}"));
            }
            _ => {
                quoted ^= c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn arguments(values: &[Value]) -> Result<PgArguments, Failure> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Null => Arguments::add(&mut arguments, None::<String>),
            Value::Int(number) => Arguments::add(&mut arguments, *number),
            Value::Text(text) => Arguments::add(&mut arguments, text.as_str()),
        }
        .map_err(|_| Failure::settings("a setting cannot be sent"))?;
    }
    Ok(arguments)
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
    let modifier = if let Some(Value::Int(modifier @ 4..)) = row.get(7) { Some(modifier - 4) } else { None };
    let kind = match text(2) {
        "smallint" | "integer" | "bigint" => Kind::Int,
        "real" => Kind::Float { single: true },
        "double precision" => Kind::Float { single: false },
        // The scale is in the last eleven bits, with a sign.
        "numeric" => Kind::Decimal { precision: 0, scale: modifier.map(|m| ((m & 0x7ff) ^ 0x400) - 0x400) },
        "boolean" => Kind::Bool,
        "text" | "character varying" | "character" => Kind::Text,
        "json" | "jsonb" => Kind::Json,
        "bytea" => Kind::Binary,
        "date" => Kind::Date,
        "timestamp without time zone" => Kind::Time { digits, instant: false },
        "timestamp with time zone" => Kind::Time { digits, instant: true },
        "time without time zone" => Kind::Clock { digits },
        _ => Kind::Other,
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

/// What an error means; the server's own text only where it holds no values.
fn failure(error: &sqlx::Error) -> Failure {
    let Some(error) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>()) else {
        return transport_failure(error);
    };
    let code = error.code();
    let class = code.get(..2).unwrap_or_default();
    let what = match code {
        "23502" => "NULL in a column that is NOT NULL",
        "23505" => "a key that is there already",
        "23503" => "a foreign key that is not there",
        "23514" | "23P01" | "44000" => "a constraint does not hold",
        "22003" => "a number out of range",
        "22001" => "too long",
        "22007" | "22008" | "22P02" | "22021" | "22P05" => "not a value of the column's type",
        "P0001" => "refused by a trigger",
        "42501" => "refused by the table's row security",
        _ => "refused",
    };
    // A right to the table has the same code as a policy that this row does not meet.
    let policy = code == "42501" && error.routine() == Some("ExecWithCheckOptions");
    // 21000: two rows of one statement have one key, in the database's eyes; apart they can be stored.
    if matches!(class, "22" | "23" | "44" | "54") || matches!(code, "P0001" | "21000") || policy {
        return Failure::row(match error.column().or(error.constraint()) {
            Some(name) => format!("{what} (`{name}`, SQLSTATE {code})"),
            None => format!("{what} (SQLSTATE {code})"),
        });
    }
    // What a trigger says in its own words is about the row, with whatever code it says it.
    let raised = error.routine() == Some("exec_stmt_raise");
    let passing = matches!(class, "08" | "40" | "53" | "57" | "58") || matches!(code, "55P03" | "25P03" | "25006");
    let moment = passing && !raised;
    let cause = match class {
        _ if raised => Cause::Unsure,
        _ if moment => Cause::Moment,
        // Names, rights, the statement's form, the session's state, the server itself.
        "0A" | "0L" | "0P" | "25" | "26" | "28" | "2B" | "34" | "3D" | "3F" | "42" | "55" | "F0" | "XX" => {
            Cause::Settings
        }
        _ => Cause::Unsure,
    };
    // What stands near a mistake (42601) may be a value.
    let shown = moment || (!raised && matches!(class, "28" | "3D" | "3F" | "42" | "0A") && code != "42601");
    let text = match (shown, raised) {
        (true, _) => error.message(),
        (_, true) => "refused by a trigger",
        _ => "the statement was refused",
    };
    Failure { cause, text: format!("{text} (SQLSTATE {code})") }
}
