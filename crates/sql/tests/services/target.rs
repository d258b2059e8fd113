//! A database of its own for each test, on the real services.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use foretell_connect::kind::{SinkContext, SinkSettings};
use foretell_flow::{Claim, Partition, Plan, Provenance, Range, Recipe, Sink, SinkInput, StageError, Write};
use foretell_sql::SINK;
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    MariaDb,
    Postgres,
    Sqlite,
}

pub enum Client {
    MariaDb(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A fresh database and a connection to it that is not the sink's.
pub struct Target {
    pub server: Server,
    pub url: String,
    pub client: Client,
    /// Whether the sink goes by ODBC.
    pub odbc: bool,
    name: String,
    _folder: tempfile::TempDir,
}

pub fn service(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `dev/services up` and source the file it names"))
}

impl Target {
    pub async fn new(server: Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sql_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let within = |url: &str| format!("{}/{name}", url.rsplit_once('/').unwrap().0);
        let (url, client) = match server {
            Server::MariaDb => {
                let service = service("FORETELL_MARIADB_URL");
                let mut admin = MySqlConnection::connect(&service).await.expect("MariaDB answers");
                admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
                let url = within(&service);
                let client = MySqlConnection::connect(&url).await.unwrap();
                (url, Client::MariaDb(client))
            }
            Server::Postgres => {
                let service = service("FORETELL_POSTGRES_URL");
                let mut admin = PgConnection::connect(&service).await.expect("PostgreSQL answers");
                admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
                let url = within(&service);
                let client = PgConnection::connect(&url).await.unwrap();
                (url, Client::Postgres(client))
            }
            Server::Sqlite => {
                let path = folder.path().join("test.db");
                let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
                let client = SqliteConnection::connect_with(&options).await.unwrap();
                (format!("sqlite://{}", path.display()), Client::Sqlite(client))
            }
        };
        Target { server, url, client, odbc: false, name, _folder: folder }
    }

    /// The same, with a sink that goes by ODBC.
    pub async fn odbc(server: Server) -> Self {
        Target { odbc: true, ..Target::new(server).await }
    }

    /// Where a URL leads, as the sink is told.
    pub fn told(&self, url: &str) -> String {
        if !self.odbc {
            return url.to_owned();
        }
        let (place, database) = url.split_once('@').unwrap().1.split_once('/').unwrap();
        let (host, port) = place.split_once(':').unwrap();
        let (driver, user) = match self.server {
            Server::MariaDb => ("MariaDB Unicode", "root"),
            _ => ("PostgreSQL Unicode", "postgres"),
        };
        format!("odbc:Driver={{{driver}}};Server={host};Port={port};Database={database};UID={user}")
    }

    /// The character around names.
    pub fn quote(&self) -> char {
        if self.server == Server::MariaDb { '`' } else { '"' }
    }

    /// Drops the database; a failed test leaves it to be looked at.
    pub async fn end(self) {
        match self.server {
            Server::MariaDb => {
                let mut admin = MySqlConnection::connect(&service("FORETELL_MARIADB_URL")).await.unwrap();
                admin.execute(AssertSqlSafe(format!("DROP DATABASE {}", self.name))).await.unwrap();
            }
            Server::Postgres => {
                drop(self.client);
                let mut admin = PgConnection::connect(&service("FORETELL_POSTGRES_URL")).await.unwrap();
                admin.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).await.unwrap();
            }
            Server::Sqlite => {}
        }
    }

    pub async fn run(&mut self, sql: &str) {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.client {
            Client::MariaDb(c) => c.execute(query).await.map(drop),
            Client::Postgres(c) => c.execute(query).await.map(drop),
            Client::Sqlite(c) => c.execute(query).await.map(drop),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// A query's rows, each as its columns' texts joined by `|`; NULL is `NULL`.
    pub async fn rows(&mut self, columns: &[&str], rest: &str) -> Vec<String> {
        let q = self.quote();
        let cast = if self.server == Server::MariaDb { "CHAR" } else { "TEXT" };
        let columns: Vec<String> = columns.iter().map(|c| format!("CAST({q}{c}{q} AS {cast})")).collect();
        let sql = format!("SELECT {} FROM {rest}", columns.join(", "));
        let query = AssertSqlSafe(sql.clone());
        let show = |row: Vec<Option<String>>| {
            row.into_iter().map(|v| v.unwrap_or_else(|| "NULL".into())).collect::<Vec<_>>().join("|")
        };
        macro_rules! fetch {
            ($client:expr) => {{
                let rows = $client.fetch_all(query).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
                rows.iter().map(|r| show((0..r.len()).map(|i| r.get::<Option<String>, _>(i)).collect())).collect()
            }};
        }
        match &mut self.client {
            Client::MariaDb(c) => fetch!(c),
            Client::Postgres(c) => fetch!(c),
            Client::Sqlite(c) => fetch!(c),
        }
    }

    pub async fn count(&mut self, table: &str) -> usize {
        self.rows(&["n"], &format!("(SELECT COUNT(*) AS n FROM {table}) AS counted")).await[0].parse().unwrap()
    }

    /// The sink's settings, with more over them.
    pub fn settings(&self, more: Value) -> Value {
        let mut settings = json!({ "url": self.told(&self.url), "table": "result" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    }

    pub async fn open(&self, schema: &SchemaRef, more: Value) -> Result<Box<dyn Sink>, StageError> {
        parse(self.settings(more)).open(&context(schema)).await
    }
}

pub fn parse(settings: Value) -> Box<dyn SinkSettings> {
    let kind = SINK;
    (kind.parse)(settings).unwrap_or_else(|error| panic!("{}: {}", error.path.join("."), error.message))
}

pub fn context(schema: &SchemaRef) -> SinkContext {
    SinkContext {
        pipeline: "mri".into(),
        sink: "db".into(),
        worker: "0".into(),
        schema: schema.clone(),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: std::env::temp_dir(),
    }
}

pub fn partition(index: i32) -> Partition {
    Partition { topic: "Pdata".into(), index }
}

pub fn claim(index: i32, start: i64) -> Claim {
    Claim { partition: partition(index), identity: "cluster/topic".into(), start }
}

/// 2026-11-24 12:39:14.123456 UTC
pub const TIME: i64 = 1_795_523_954_123_456;

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

/// A write of one range of one partition; the rows' offsets are counted from its start.
pub fn write(index: i32, from: i64, to: i64, rows: RecordBatch) -> Write {
    let ranges = vec![Range { partition: partition(index), from, to }];
    let count = rows.num_rows();
    let plan =
        Plan { id: format!("{index}-{from}"), time: TIME, recipe: Arc::new(Recipe::default()), ranges: ranges.clone() };
    let provenance = Provenance {
        partitions: Int32Array::from(vec![index; count]),
        offsets: (from..).take(count).map(Some).collect::<Int64Array>(),
    };
    Write {
        plan: Arc::new(plan),
        ranges,
        rows,
        provenance: Some(provenance),
        topics: foretell_flow::Topics::default(),
        retention: None,
    }
}
