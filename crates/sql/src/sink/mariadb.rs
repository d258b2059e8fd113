//! MariaDB and MySQL.

use std::borrow::Cow;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;

use async_trait::async_trait;
use foretell_flow::{Sharing, StageError};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Row};
use url::Url;

use super::address::{Address, DatabaseKind, check_options, file, parse, reason_of, wrong};
use super::client::{Client, arguments, names};
use super::database::{Database, Failure, IDLE_SECONDS, LOCK_SECONDS, Value, transport_failure};
use super::dialect::Dialect;
use super::insert::Insert;
use super::mariadb_error::{failure, known, reason};
use super::mariadb_view;
use super::schema::{Column, ColumnKind, Name, Table, Texts};
use super::times::naive;
use super::values::Data;

/// MariaDB and MySQL.
pub(super) const KIND: DatabaseKind = DatabaseKind {
    name: "MariaDB, MySQL",
    schemes: &[("mysql", "mysql"), ("mariadb", "mariadb")],
    form: "mysql://user:password@host:3306/database",
    sharing: Sharing::Shared,
    address: |text, base| Ok(Box::new(options(text, base)?)),
};

const OPTIONS: &[&str] = &[
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

pub(super) fn options(text: &str, base: &Path) -> Result<MySqlConnectOptions, StageError> {
    let url = parse(text, KIND.form)?;
    check_options(&url, OPTIONS)?;
    let options = MySqlConnectOptions::from_str(text).map_err(|e| wrong(reason_of(e)))?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wrong("it names no database").remedy(format!("write {}", KIND.form)));
    }
    files(options, &url, base)
}

fn files(mut options: MySqlConnectOptions, url: &Url, base: &Path) -> Result<MySqlConnectOptions, StageError> {
    let (mut ca, mut mode) = (false, false);
    for (key, value) in url.query_pairs() {
        options = match &*key {
            "ssl-ca" | "sslca" => {
                ca = true;
                options.ssl_ca(file(&key, &value, base)?)
            }
            "ssl-cert" | "sslcert" => options.ssl_client_cert(file(&key, &value, base)?),
            "ssl-key" | "sslkey" => options.ssl_client_key(file(&key, &value, base)?),
            "socket" => options.socket(base.join(&*value)),
            "charset" if value != "utf8mb4" => {
                return Err(
                    wrong("`charset`: texts are sent as utf8mb4").remedy("leave `charset` out; the server converts")
                );
            }
            "collation" if !value.starts_with("utf8mb4_") => {
                return Err(
                    wrong("`collation`: texts are sent as utf8mb4").remedy("name one of utf8mb4, or leave it out")
                );
            }
            "ssl-mode" | "sslmode" => {
                mode = true;
                options
            }
            _ => options,
        };
    }
    // Whoever names an authority wants it asked.
    let unverified = match options.get_ssl_mode() {
        MySqlSslMode::Required => true,
        MySqlSslMode::Preferred => !mode,
        _ => false,
    };
    Ok(if ca && unverified { options.ssl_mode(MySqlSslMode::VerifyCa) } else { options })
}

#[async_trait]
impl Address for MySqlConnectOptions {
    fn dialect(&self) -> &'static dyn Dialect {
        &Sql::MARIADB
    }

    fn place(&self) -> String {
        format!("{}:{}/{}", self.get_host(), self.get_port(), self.get_database().unwrap_or_default())
    }

    async fn connect(&self, _create: bool) -> Result<Box<dyn Database>, Failure> {
        Ok(Box::new(MariaDb::connect(self).await?))
    }
}

/// The SQL of both; they differ in how the values of an INSERT are named.
pub(super) struct Sql {
    mysql: bool,
}

impl Sql {
    pub(super) const MARIADB: Sql = Sql { mysql: false };
    const MYSQL: Sql = Sql { mysql: true };
}

impl Dialect for Sql {
    fn name(&self) -> &'static str {
        "MariaDB"
    }

    fn quote(&self) -> char {
        '`'
    }

    fn begin(&self) -> Option<&'static str> {
        Some(BEGIN)
    }

    fn begin_reading(&self) -> Option<&'static str> {
        Some("START TRANSACTION READ ONLY")
    }

    fn insert_if_absent(&self, table: &str, columns: &[&str], key: &[&str]) -> String {
        // IGNORE would turn every other error into a warning.
        let same: Vec<String> =
            key.first().map(|column| self.quoted(column)).map(|c| format!("{c} = {c}")).into_iter().collect();
        let head = self.insert_head(table, columns);
        format!("{head} {} ON DUPLICATE KEY UPDATE {}", self.values(columns.len(), 1), same.join(", "))
    }

    fn on_conflict(&self, insert: &Insert) -> String {
        if insert.key.is_none() {
            return String::new();
        }
        let updated = insert.updated();
        let updated = updated.iter().map(|column| self.quoted(&column.name));
        // MySQL warns of VALUES(), MariaDB does not know the alias.
        let (alias, sets): (&str, Vec<String>) = match self.mysql {
            true => (" AS `new`", updated.map(|c| format!("{c} = `new`.{c}")).collect()),
            false => ("", updated.map(|c| format!("{c} = VALUES({c})")).collect()),
        };
        format!("{alias} ON DUPLICATE KEY UPDATE {}", sets.join(", "))
    }

    fn create_table(&self, table: &Name, parts: &[String]) -> String {
        let options = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4";
        format!("CREATE TABLE IF NOT EXISTS {} ({}) {options}", self.table(table), parts.join(", "))
    }

    fn name_type(&self) -> &'static str {
        "VARCHAR(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    }

    fn text_type(&self) -> &'static str {
        "LONGTEXT CHARACTER SET utf8mb4"
    }

    fn time_type(&self) -> &'static str {
        "DATETIME(6)"
    }

    fn id_type(&self) -> &'static str {
        "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY"
    }

    fn type_for(&self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Int | ColumnKind::Year => "BIGINT",
            ColumnKind::UInt => "BIGINT UNSIGNED",
            ColumnKind::Float { .. } => "DOUBLE",
            // The largest type that it has: 65 digits, 38 of them after the point.
            ColumnKind::Decimal { precision, scale } => {
                let scale = scale.unwrap_or(10).clamp(0, 38);
                return format!("DECIMAL({},{scale})", (*precision).clamp(1, 65));
            }
            ColumnKind::Bool => "BOOLEAN",
            ColumnKind::Binary => "LONGBLOB",
            ColumnKind::Date => "DATE",
            ColumnKind::Time { .. } => "DATETIME(6)",
            ColumnKind::Clock { .. } => "TIME(6)",
            ColumnKind::Json => "JSON",
            ColumnKind::Text | ColumnKind::Other | ColumnKind::Array | ColumnKind::Any => "LONGTEXT",
        }
        .to_owned()
    }

    fn upserts_by_any_index(&self) -> bool {
        true
    }

    fn give_transactions(&self, table: &str) -> Option<String> {
        Some(format!("`ALTER TABLE {table} ENGINE=InnoDB`"))
    }
}

/// More placeholders than the protocol can count make no statement.
const MAX_PLACEHOLDERS: usize = 65_535;

/// Longer statements are not quicker: the server parses and keeps each placeholder.
const MAX_ROWS: usize = 2_048;

/// Statements of that many bytes are long enough, whatever the server would allow.
const MAX_BYTES: usize = 8 << 20;

pub(super) const READ_COMMITTED: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// What a session is told. Strict mode: a value that does not fit is an error, and where it is only a note (digits after the
/// point, trailing spaces, a time of day cut off), the notes are counted. A zero stays a zero where the server numbers rows
/// by itself.
pub(super) fn session() -> String {
    format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
         ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', sql_notes = 1, max_error_count = 64, \
         autocommit = 1, sql_select_limit = DEFAULT, innodb_lock_wait_timeout = {LOCK_SECONDS}"
    )
}

const BEGIN: &str = "START TRANSACTION";

/// A session that is silent for long ends while it is in a transaction, and outside of one as the server is set: MySQL, and
/// MariaDB before 10.3, tell these apart in no other way. It costs no answer of its own.
fn not_idle_for_long(sql: &str) -> Cow<'_, str> {
    match sql {
        BEGIN => format!("SET SESSION wait_timeout = {IDLE_SECONDS}; {BEGIN}").into(),
        "COMMIT" => "COMMIT; SET SESSION wait_timeout = DEFAULT".into(),
        other => other.into(),
    }
}

/// A connection to MariaDB or MySQL.
pub(super) struct MariaDb {
    client: Client<MySqlConnection>,
    packet: usize,
    /// Whether it is MySQL itself.
    mysql: bool,
}

impl MariaDb {
    pub(super) async fn connect(options: &MySqlConnectOptions) -> Result<Self, Failure> {
        let options = options
            .clone()
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(Some("+00:00".to_owned()))
            .disable_statement_logging();
        let client = Client::connect(&options, failure).await?;
        let mut database = MariaDb { client, packet: 0, mysql: false };
        database.command(&session()).await?;
        let facts = database
            .fetch("SELECT @@max_allowed_packet, VERSION(), CAST(@@log_bin AS CHAR), @@binlog_format", &[])
            .await?;
        let fact = |i: usize| facts.first().and_then(|row| row.get(i));
        if let Some(Value::Int(bytes)) = fact(0) {
            database.packet = usize::try_from(*bytes).unwrap_or(usize::MAX);
        }
        // READ COMMITTED locks rows and no gaps between them; a statement-based binary log cannot have it.
        let logged = matches!(fact(2), Some(Value::Text(on)) if on == "1");
        if !(logged && matches!(fact(3), Some(Value::Text(format)) if format == "STATEMENT")) {
            database.command(READ_COMMITTED).await?;
        }
        database.mysql = !matches!(fact(1), Some(Value::Text(version)) if version.contains("MariaDB"));
        Ok(database)
    }

    async fn count_warnings(&mut self) -> Result<i64, Failure> {
        let rows = self.client.fetch(sqlx::raw_sql("SELECT @@warning_count"), value).await?;
        match rows.first().map(Vec::as_slice) {
            Some([Value::Int(count)]) => Ok(*count),
            _ => Err(Failure::settings("the server does not count warnings")),
        }
    }

    /// The first warning of the last statement that is about a value, as what a row was refused for. Triggers may leave
    /// notes of other things.
    async fn warning(&mut self) -> Result<Option<Failure>, Failure> {
        let rows = self.client.rows(sqlx::raw_sql("SHOW WARNINGS")).await?;
        for row in &rows {
            let level: String = row.try_get_unchecked(0).unwrap_or_default();
            let number: u32 = row.try_get_unchecked(1).unwrap_or_default();
            let message: String = row.try_get_unchecked(2).unwrap_or_default();
            let number = u16::try_from(number).unwrap_or_default();
            if level != "Note" || known(number).is_some() {
                return Ok(Some(Failure::row(reason(number, &message))));
            }
        }
        Ok(None)
    }

    /// Inserts a power of two of rows: a dozen statements serve all batches and stay prepared. Preparing is costly (the
    /// server answers with a packet a placeholder), and closing a statement costs the next one 40 ms, since Nagle's
    /// algorithm holds it back until the close, which has no answer, is acknowledged.
    async fn insert_part(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        let mut arguments = MySqlArguments::default();
        let values = rows.len().saturating_mul(columns.len());
        arguments.reserve(values, values.saturating_mul(9));
        for &row in rows {
            for column in columns {
                bind(&mut arguments, column, row as usize).map_err(|_| Failure::row("a value cannot be sent"))?;
            }
        }
        let done = self.run(self.dialect().insert_rows(insert, rows.len()), arguments).await?;
        if self.count_warnings().await? > 0
            && let Some(failure) = self.warning().await?
        {
            return Err(failure);
        }
        match insert.deletes || insert.key.is_some() || done == rows.len() as u64 {
            true => Ok(()),
            false => Err(Failure::unsure("the server did not store it, and gave no error")),
        }
    }

    async fn run(&mut self, sql: String, arguments: MySqlArguments) -> Result<u64, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        Ok(self.client.execute(query).await?.rows_affected())
    }
}

#[async_trait]
impl Database for MariaDb {
    fn dialect(&self) -> &'static dyn Dialect {
        if self.mysql { &Sql::MYSQL } else { &Sql::MARIADB }
    }

    async fn command(&mut self, sql: &str) -> Result<(), Failure> {
        self.client.command(&not_idle_for_long(sql)).await
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Failure> {
        self.run(sql.to_owned(), arguments(values)?).await
    }

    async fn fetch(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, Failure> {
        let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments::<MySqlArguments>(values)?);
        self.client.fetch(query, value).await
    }

    async fn texts(&mut self, sql: &str) -> Result<Texts, Failure> {
        self.client.texts(sql, |row, i| row.try_get_unchecked(i)).await
    }

    async fn describe(&mut self, name: &Name) -> Result<Option<Table>, Failure> {
        describe(self, name).await
    }

    async fn tables(&mut self) -> Result<Vec<String>, Failure> {
        let rows = self
            .fetch(
                "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE()",
                &[],
            )
            .await?;
        Ok(names(rows))
    }

    async fn probe(&mut self, insert: &Insert, _columns: &[Data]) -> Result<(), Failure> {
        // Preparing checks names and privileges.
        self.client.prepare(&self.dialect().insert_rows(insert, 1)).await.map(drop)
    }

    fn chunk(&self, columns: usize) -> (usize, usize) {
        let rows = MAX_PLACEHOLDERS.checked_div(columns).unwrap_or(MAX_ROWS).clamp(1, MAX_ROWS);
        // Types and lengths come on top of the values.
        (rows, MAX_BYTES.min(self.packet.saturating_sub(self.packet / 4)))
    }

    async fn insert(&mut self, insert: &Insert, columns: &[Data], rows: &[u32]) -> Result<(), Failure> {
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(1 << rest.len().ilog2());
            self.insert_part(insert, columns, part).await?;
            rest = after;
        }
        Ok(())
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
        let place = [name.schema.as_deref().map_or(Value::Null, Value::from), Value::from(name.table.as_str())];
        let found = db
            .fetch(
                "SELECT CAST(t.table_type AS CHAR), CAST(t.engine AS CHAR), CAST(e.transactions AS CHAR) \
                 FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
                 WHERE t.table_schema = COALESCE(?, DATABASE()) AND t.table_name = ?",
                &place,
            )
            .await?;
        let Some([Value::Text(table_type), engine, transactions]) = found.first().map(Vec::as_slice) else {
            return Ok(None);
        };
        let is_view = engine == &Value::Null && table_type.to_uppercase().contains("VIEW");
        let no_transactions = match (engine, transactions) {
            _ if is_view => {
                let [schema, _] = &place;
                mariadb_view::no_transactions(db, schema, &name.table).await?
            }
            (_, Value::Text(yes)) if yes == "YES" => None,
            (Value::Text(engine), _) => Some(format!("its engine is {engine}")),
            _ => Some(format!("it is a {}", table_type.to_lowercase())),
        };
        let columns = db
            .fetch(
                "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(column_type AS CHAR), \
                 CAST(is_nullable AS CHAR), CAST(column_default AS CHAR), CAST(extra AS CHAR), \
                 CAST(datetime_precision AS SIGNED), CAST(numeric_scale AS SIGNED), \
                 CAST(character_maximum_length AS SIGNED) FROM information_schema.columns \
                 WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? ORDER BY ordinal_position",
                &place,
            )
            .await?;
        let columns = columns.iter().filter_map(|row| column(row)).collect();
        let keys = db
            .fetch(
                "SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.statistics \
                 WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND non_unique = 0 \
                 ORDER BY index_name, seq_in_index",
                &place,
            )
            .await?;
        let unique = super::progress::grouped(&keys);
        Ok(Some(Table { name: name.clone(), columns, unique, no_transactions, is_view, denied: Vec::new() }))
    })
}

fn bind(arguments: &mut MySqlArguments, data: &Data, row: usize) -> Result<(), sqlx::error::BoxDynError> {
    // NULL has a type, too: `uuid` and its like take none from a number.
    match data {
        Data::Int(_) | Data::Bool(_) if data.is_null(row) => arguments.add(None::<i64>),
        Data::UInt(_) if data.is_null(row) => arguments.add(None::<u64>),
        Data::Float32(_) if data.is_null(row) => arguments.add(None::<f32>),
        Data::Float64(_) if data.is_null(row) => arguments.add(None::<f64>),
        Data::Text(_) if data.is_null(row) => arguments.add(None::<&str>),
        Data::Binary(_) if data.is_null(row) => arguments.add(None::<&[u8]>),
        Data::Date(_) if data.is_null(row) => arguments.add(None::<chrono::NaiveDate>),
        Data::Time(_) if data.is_null(row) => arguments.add(None::<chrono::NaiveDateTime>),
        Data::Int(a) => arguments.add(a.value(row)),
        Data::UInt(a) => arguments.add(a.value(row)),
        Data::Float32(a) => arguments.add(a.value(row)),
        Data::Float64(a) => arguments.add(a.value(row)),
        Data::Bool(a) => arguments.add(i64::from(a.value(row))),
        Data::Text(a) => arguments.add(a.value(row)),
        Data::Binary(a) => arguments.add(a.value(row)),
        Data::Date(a) => arguments.add(a.value_as_date(row)),
        Data::Time(a) => arguments.add(naive(a.value(row))),
    }
}

fn value(row: &MySqlRow, i: usize) -> Result<Value, Failure> {
    if let Ok(number) = row.try_get::<Option<i64>, _>(i) {
        return Ok(number.map_or(Value::Null, Value::Int));
    }
    if let Ok(number) = row.try_get::<Option<u64>, _>(i) {
        return Ok(number.map_or(Value::Null, |n| Value::Int(i64::try_from(n).unwrap_or(i64::MAX))));
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
    let (name, data_type, column_type, extra) = (text(0), text(1), text(2), text(5).to_lowercase());
    let unsigned = column_type.contains("unsigned");
    let length = if let Some(Value::Int(length)) = row.get(8) { usize::try_from(*length).ok() } else { None };
    let scale = if let Some(Value::Int(scale)) = row.get(7) { Some(*scale) } else { None };
    let digits = match row.get(6) {
        Some(Value::Int(digits)) => u8::try_from(*digits).unwrap_or(0),
        _ => 0,
    };
    let kind = match data_type.to_lowercase().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if unsigned => ColumnKind::UInt,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => ColumnKind::Int,
        "bit" => ColumnKind::UInt,
        "year" => ColumnKind::Year,
        // FLOAT(7,3): this many digits, however they are kept.
        "float" | "double" if scale.is_some() => ColumnKind::Decimal { precision: 0, scale },
        "float" => ColumnKind::Float { single: true },
        "double" => ColumnKind::Float { single: false },
        "decimal" => ColumnKind::Decimal { precision: 0, scale },
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => ColumnKind::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Binary,
        "json" => ColumnKind::Json,
        "date" => ColumnKind::Date,
        "datetime" => ColumnKind::Time { digits, instant: false },
        "timestamp" => ColumnKind::Time { digits, instant: true },
        "time" => ColumnKind::Clock { digits },
        _ => ColumnKind::Other,
    };
    let computed = extra.contains("generated") && !extra.contains("default_generated");
    let numbered = extra.contains("auto_increment");
    let filled = matches!(row.get(4), Some(Value::Text(_))) || numbered || computed;
    Some(Column {
        name: (!name.is_empty()).then(|| name.to_owned())?,
        type_name: column_type.to_owned(),
        kind,
        needed: text(3) == "NO" && !filled,
        computed,
        limit: if data_type.eq_ignore_ascii_case("binary") { length } else { None },
        by_number: matches!(data_type.to_lowercase().as_str(), "enum" | "set"),
        // NULL in a TIMESTAMP that is NOT NULL is the time of the INSERT.
        fills_null: numbered || (text(3) == "NO" && data_type.eq_ignore_ascii_case("timestamp")),
    })
}
