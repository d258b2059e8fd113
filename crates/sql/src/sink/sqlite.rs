//! SQLite.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use foretell_flow::{Sharing, StageError};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Row, TypeInfo, ValueRef};

use super::address::{Address, DatabaseKind, check_keys, reason_of, wrong};
use super::client::{Client, arguments, names, not_text};
use super::database::{Database, Failure, LOCK_SECONDS, Value, transport_failure};
use super::dialect::Dialect;
use super::insert::Insert;
use super::schema::{Column, ColumnKind, Name, Table, Texts};
use super::times::{naive, time_text};
use super::values::{Data, Rules};

/// SQLite.
pub(super) const KIND: DatabaseKind = DatabaseKind {
    name: "SQLite",
    schemes: &[("sqlite", "sqlite")],
    form: "sqlite://path",
    sharing: Sharing::Single,
    address: |text, base| Ok(Box::new(options(text, base)?)),
};

const OPTIONS: &[&str] = &["mode", "cache", "immutable", "vfs"];

fn options(text: &str, base: &Path) -> Result<SqliteConnectOptions, StageError> {
    let query = text.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let keys = query.split('&').filter_map(|p| p.split('=').next()).filter(|k| !k.is_empty());
    check_keys(keys.map(str::to_owned), OPTIONS)?;
    let options = SqliteConnectOptions::from_str(text).map_err(|e| wrong(reason_of(e)))?;
    let path = options.get_filename().to_owned();
    if path.as_os_str().is_empty() || text.contains(":memory:") || query.contains("mode=memory") {
        return Err(wrong("it names no file")
            .remedy("write sqlite://path: what is in memory alone is gone with its connection"));
    }
    Ok(options.filename(base.join(path)))
}

#[async_trait]
impl Address for SqliteConnectOptions {
    fn dialect(&self) -> &'static dyn Dialect {
        &Sql
    }

    fn place(&self) -> String {
        self.get_filename().display().to_string()
    }

    fn file(&self) -> Option<&Path> {
        Some(self.get_filename())
    }

    async fn connect(&self, create: bool) -> Result<Box<dyn Database>, Failure> {
        Ok(Box::new(match create {
            true => Sqlite::connect(&self.clone().create_if_missing(true)).await?,
            false => Sqlite::connect(self).await?,
        }))
    }
}

/// Its SQL.
pub(super) struct Sql;

impl Dialect for Sql {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn begin(&self) -> Option<&'static str> {
        // At once a writer: a transaction that becomes one later can fail for good.
        Some(BEGIN)
    }

    fn begin_reading(&self) -> Option<&'static str> {
        Some("PRAGMA query_only = ON")
    }

    fn select_locked(&self, columns: &str, table: &str, filter: &str) -> String {
        // There is one writer; BEGIN IMMEDIATE has waited for it.
        format!("SELECT {columns} FROM {table} WHERE {filter}")
    }

    fn name_type(&self) -> &'static str {
        "TEXT"
    }

    fn id_type(&self) -> &'static str {
        "INTEGER PRIMARY KEY"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Int | ColumnKind::Year => "INTEGER",
            ColumnKind::Float { .. } => "REAL",
            ColumnKind::UInt | ColumnKind::Decimal { .. } => "NUMERIC",
            ColumnKind::Bool => "BOOLEAN",
            ColumnKind::Binary => "BLOB",
            ColumnKind::Date => "DATE",
            ColumnKind::Time { .. } => "TIMESTAMP",
            ColumnKind::Clock { .. } => "TIME",
            ColumnKind::Text | ColumnKind::Json | ColumnKind::Other | ColumnKind::Array | ColumnKind::Any => "TEXT",
        }
        .to_owned()
    }

    fn rules(&self) -> Rules {
        // It stores NaN as NULL.
        Rules { nan: false, infinity: true, typed: false, empty: true }
    }
}

const BEGIN: &str = "BEGIN IMMEDIATE";

/// SQLite's own limit of variables in a statement, as it is built here.
const MAX_VARIABLES: usize = 32_766;
const MAX_ROWS: usize = 1_024;
const MAX_BYTES: usize = 64 << 20;

/// A connection to a SQLite file.
pub(super) struct Sqlite {
    client: Client<SqliteConnection>,
}

impl Sqlite {
    pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<Self, Failure> {
        let options =
            options.clone().busy_timeout(Duration::from_secs(LOCK_SECONDS.into())).disable_statement_logging();
        Ok(Sqlite { client: Client::connect(&options, failure).await? })
    }

    /// Whether a name is a view's: of what its triggers store, nothing is counted.
    async fn is_view(&mut self, name: &Name) -> Result<bool, Failure> {
        let schema = Sql.quoted(name.schema.as_deref().unwrap_or("main"));
        let sql = format!("SELECT 1 FROM {schema}.sqlite_master WHERE type = 'view' AND name = ? COLLATE NOCASE");
        Ok(!self.fetch(&sql, &[Value::from(name.table.as_str())]).await?.is_empty())
    }

    async fn run(&mut self, sql: String, arguments: SqliteArguments, keep: bool) -> Result<u64, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(keep);
        Ok(self.client.execute(query).await?.rows_affected())
    }
}

#[async_trait]
impl Database for Sqlite {
    fn dialect(&self) -> &'static dyn Dialect {
        &Sql
    }

    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        self.client.command(sql).await
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
        self.run(sql.to_owned(), arguments(values)?, true).await
    }

    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments::<SqliteArguments>(values)?);
        self.client.fetch(query, value).await
    }

    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
        let mut columns = self.client.prepare(sql).await?;
        let rows = self.client.rows(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
        let mut texts = Vec::with_capacity(rows.len());
        let untyped: Vec<bool> = columns.iter().map(|(_, type_name)| type_name == "NULL").collect();
        for row in &rows {
            let mut values = Vec::with_capacity(columns.len());
            for (i, ((_, type_name), untyped)) in columns.iter_mut().zip(&untyped).enumerate() {
                let (own, value) = stored(row, i)?;
                // A column of an expression, or of no type, is what its first value is; NUMERIC holds whole numbers and
                // fractions.
                match (type_name.as_str(), own.as_str()) {
                    ("NULL", _) if value.is_some() => *type_name = own,
                    ("INTEGER", "REAL") | ("REAL", "INTEGER") if *untyped => *type_name = "NUMERIC".to_owned(),
                    _ => {}
                }
                values.push(value);
            }
            texts.push(values);
        }
        Ok(Texts { columns, rows: texts })
    }

    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
        let schema = Value::from(name.schema.as_deref().unwrap_or("main"));
        let table = Value::from(name.table.as_str());
        let columns = self
            .fetch(
                "SELECT name, type, \"notnull\", dflt_value, hidden, pk FROM pragma_table_xinfo(?, ?)",
                &[table.clone(), schema.clone()],
            )
            .await?;
        if columns.is_empty() {
            return Ok(None);
        }
        let mut key: Vec<(i64, String)> = Vec::new();
        for row in &columns {
            if let (Some(Value::Text(name)), Some(Value::Int(place @ 1..))) = (row.first(), row.get(5)) {
                key.push((*place, name.clone()));
            }
        }
        key.sort();
        let indexes = self
            .fetch(
                "SELECT i.name, c.name FROM pragma_index_list(?, ?) i, pragma_index_info(i.name, ?) c \
                 WHERE i.\"unique\" AND NOT i.partial AND c.name IS NOT NULL ORDER BY i.name, c.seqno",
                &[table.clone(), schema.clone(), schema.clone()],
            )
            .await?;
        let mut unique = super::progress::grouped(&indexes);
        if !key.is_empty() {
            unique.push(key.iter().map(|(_, name)| name.clone()).collect());
        }
        // Columns of a STRICT table hold their types alone.
        let strict =
            self.fetch("SELECT strict FROM pragma_table_list(?) WHERE schema = ?", &[table, schema.clone()]).await?;
        let strict = matches!(strict.first().map(Vec::as_slice), Some([Value::Int(1)]));
        let single = key.len() == 1;
        Ok(Some(Table {
            name: name.clone(),
            columns: columns.iter().filter_map(|row| column(row, single, strict)).collect(),
            unique,
            no_transactions: None,
            is_view: false,
            denied: Vec::new(),
        }))
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        let rows = self.fetch("SELECT name FROM sqlite_master WHERE type = 'table'", &[]).await?;
        Ok(names(rows))
    }

    async fn probe(&mut self, insert: &Insert, _columns: &[Data]) -> Result<(), Failure> {
        self.client.prepare(&Sql.insert_rows(insert, 1)).await.map(drop)?;
        // A writer's lock, which a file that may only be read does not give.
        self.command(BEGIN).await?;
        self.command("ROLLBACK").await
    }

    fn chunk(&self, columns: usize) -> (usize, usize) {
        (MAX_VARIABLES.checked_div(columns).unwrap_or(MAX_ROWS).clamp(1, MAX_ROWS), MAX_BYTES)
    }

    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len().saturating_mul(columns.len()), 0);
        for &row in rows {
            for (column, to) in columns.iter().zip(&insert.columns) {
                bind(&mut arguments, column, &to.kind, row as usize)
                    .map_err(|_| Failure::row("a value cannot be stored"))?;
            }
        }
        let keep = rows.len().is_power_of_two() || rows.len() < 16 || rows.len() == self.chunk(columns.len()).0;
        let done = self.run(Sql.insert_rows(insert, rows.len()), arguments, keep).await?;
        if insert.deletes || done == rows.len() as u64 || self.is_view(&insert.table).await? {
            return Ok(());
        }
        Err(Failure::unsure("skipped by a trigger of the table"))
    }

    async fn close(self: Box<Self>) {
        self.client.close().await;
    }
}

fn bind(
    arguments: &mut SqliteArguments,
    data: &Data,
    to: &ColumnKind,
    row: usize,
) -> Result<(), sqlx::error::BoxDynError> {
    if data.is_null(row) {
        return arguments.add(None::<i64>);
    }
    match data {
        // As the number that SQLite would make of it, but of all its digits.
        Data::Text(a) if matches!(to, ColumnKind::Decimal { .. }) => {
            match (a.value(row).parse::<i64>(), a.value(row).parse::<f64>()) {
                (Ok(number), _) => arguments.add(number),
                (_, Ok(number)) => arguments.add(number),
                _ => arguments.add(a.value(row).to_owned()),
            }
        }
        Data::Int(a) => arguments.add(a.value(row)),
        Data::UInt(a) => match i64::try_from(a.value(row)) {
            Ok(number) => arguments.add(number),
            Err(_) => arguments.add(a.value(row).to_string()),
        },
        Data::Float32(a) => arguments.add(f64::from(a.value(row))),
        Data::Float64(a) => arguments.add(a.value(row)),
        Data::Bool(a) => arguments.add(i64::from(a.value(row))),
        Data::Text(a) => arguments.add(a.value(row).to_owned()),
        Data::Binary(a) => arguments.add(a.value(row).to_owned()),
        Data::Date(a) => arguments.add(a.value_as_date(row).map(|d| d.to_string())),
        Data::Time(a) => arguments.add(naive(a.value(row)).map(time_text)),
    }
}

/// A value's own type, and the value as text. SQLite's own text of a number cuts digits.
fn stored(row: &SqliteRow, i: usize) -> Result<(String, Option<String>), Failure> {
    let own = row.try_get_raw(i).map_err(|e| transport_failure(&e))?.type_info().name().to_owned();
    let unlike = |_| not_text(i);
    let value = match own.as_str() {
        "NULL" => None,
        "INTEGER" => row.try_get_unchecked::<Option<i64>, _>(i).map_err(unlike)?.map(|number| number.to_string()),
        "REAL" => row.try_get_unchecked::<Option<f64>, _>(i).map_err(unlike)?.map(|number| number.to_string()),
        "BLOB" => return Err(not_text(i)),
        _ => row.try_get_unchecked::<Option<String>, _>(i).map_err(unlike)?,
    };
    Ok((own, value))
}

fn value(row: &SqliteRow, i: usize) -> Result<Value, Failure> {
    if let Ok(number) = row.try_get::<Option<i64>, _>(i) {
        return Ok(number.map_or(Value::Null, Value::Int));
    }
    match row.try_get::<Option<String>, _>(i) {
        Ok(text) => Ok(text.map_or(Value::Null, Value::Text)),
        Err(error) => Err(transport_failure(&error)),
    }
}

/// A column by SQLite's own rules of affinity, but for the names that mean a time.
fn column(row: &[Value], single_key: bool, strict: bool) -> Option<Column> {
    let text = |i: usize| match row.get(i) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let number = |i: usize| if let Some(Value::Int(n)) = row.get(i) { *n } else { 0 };
    let upper = text(1).to_uppercase();
    let has = |words: &[&str]| words.iter().any(|w| upper.contains(w));
    let kind = match () {
        () if upper.is_empty() || upper == "ANY" => ColumnKind::Any,
        () if has(&["INT"]) => ColumnKind::Int,
        () if has(&["JSON"]) => ColumnKind::Json,
        () if has(&["CHAR", "CLOB", "TEXT"]) => ColumnKind::Text,
        () if has(&["BLOB", "BINARY", "BYTEA"]) => ColumnKind::Binary,
        () if has(&["REAL", "FLOA", "DOUB"]) => ColumnKind::Float { single: false },
        () if has(&["DATETIME", "TIMESTAMP"]) => ColumnKind::Time { digits: 6, instant: false },
        () if has(&["DATE"]) => ColumnKind::Date,
        () if has(&["TIME"]) => ColumnKind::Clock { digits: 6 },
        () if has(&["BOOL"]) => ColumnKind::Bool,
        () if has(&["NUM", "DEC", "MONEY"]) => ColumnKind::Decimal { precision: 0, scale: None },
        // `UUID`, `STRING`: whatever it is given, but a text that is a number becomes one.
        () => ColumnKind::Any,
    };
    // 2 and 3 are generated columns. The one INTEGER PRIMARY KEY is the row's own number.
    let computed = matches!(number(4), 2 | 3);
    let rowid = single_key && number(5) == 1 && upper == "INTEGER";
    let filled = matches!(row.get(3), Some(Value::Text(_))) || rowid || computed;
    Some(Column {
        name: (!text(0).is_empty()).then(|| text(0).to_owned())?,
        type_name: if upper.is_empty() { "of no type".to_owned() } else { text(1).to_owned() },
        kind,
        needed: number(2) != 0 && !filled,
        computed,
        limit: None,
        by_number: kind == ColumnKind::Any && !upper.is_empty() && !strict,
        fills_null: rowid,
    })
}

/// What an error means; SQLite's own text where it holds no values.
fn failure(error: &sqlx::Error) -> Failure {
    let Some(error) = error.as_database_error() else { return transport_failure(error) };
    let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    let text = error.message();
    match (code & 0xff, code) {
        // A trigger's own words may hold values.
        (_, 1811) => Failure::row("refused by a trigger"),
        (19, _) => Failure::row(text),
        (18, _) => Failure::row("too long"),
        (20, _) => Failure::row("not a value of the column's type"),
        // BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, FULL, PROTOCOL, SCHEMA
        (5 | 6 | 7 | 9 | 10 | 13 | 15 | 17, _) => Failure::moment(format!("{text} (code {code})")),
        // A function within the statement, a trigger, a CHECK: the text may hold a value, unless it is about a name.
        (1, _) if !["no such ", "table "].iter().any(|start| text.starts_with(start)) => {
            Failure::unsure("the statement was refused (code 1)")
        }
        (14, _) => Failure::settings(format!("{text}: is the path right, and may the file be written?")),
        _ => Failure::settings(format!("{text} (code {code})")),
    }
}
