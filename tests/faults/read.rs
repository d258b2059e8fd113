//! What is read from services: files, objects, and rows in one snapshot.

use std::collections::BTreeSet;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, PgConnection, Row, SqliteConnection};

fn late(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}

/// Files that are new in a folder; what was read before an error counts.
pub(crate) async fn hdfs(
    namenode: &str,
    path: &str,
    known: &mut BTreeSet<String>,
    within: Duration,
) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    match tokio::time::timeout(within, new_files(namenode, path, known, &mut texts)).await {
        Ok(Err(error)) if texts.is_empty() => Err(error),
        Err(_) if texts.is_empty() => Err(late(within)),
        _ => Ok(texts),
    }
}

async fn new_files(
    namenode: &str,
    path: &str,
    known: &mut BTreeSet<String>,
    texts: &mut Vec<String>,
) -> Result<(), String> {
    let text = |error: hdfs_native::HdfsError| error.to_string();
    let client = hdfs_native::ClientBuilder::new().with_url(namenode).build().map_err(text)?;
    let entries = match client.list_status(path, false).await {
        Ok(entries) => entries,
        Err(hdfs_native::HdfsError::FileNotFound(_)) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    for entry in entries {
        let name = entry.path.rsplit('/').next().unwrap_or_default().to_string();
        if entry.isdir || name.starts_with(['_', '.']) || known.contains(&name) {
            continue;
        }
        let file = client.read(&entry.path).await.map_err(text)?;
        // One that is still open reads without its last block; a writer that died leaves it open.
        if file.file_length() < entry.length.max(1) {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
            if entry.modification_time + 10_000 < now {
                let _ = client.recover_lease(&entry.path).await;
            }
            continue;
        }
        let content = file.read_range(0, file.file_length()).await.map_err(text)?;
        texts.push(String::from_utf8_lossy(&content).into_owned());
        known.insert(name);
    }
    Ok(())
}

pub(crate) async fn one(namenode: &str, path: &str, within: Duration) -> Result<Vec<u8>, String> {
    let work = async {
        let client = hdfs_native::ClientBuilder::new().with_url(namenode).build().map_err(|error| error.to_string())?;
        let file = match client.read(path).await {
            Ok(file) => file,
            Err(hdfs_native::HdfsError::FileNotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.to_string()),
        };
        file.read_range(0, file.file_length()).await.map(|text| text.to_vec()).map_err(|error| error.to_string())
    };
    match tokio::time::timeout(within, work).await {
        Ok(done) => done,
        Err(_) => Err(late(within)),
    }
}

/// Two queries in one snapshot, all columns as numbers.
pub(crate) async fn snapshot(url: &str, queries: [&str; 2], within: Duration) -> Result<[Vec<Vec<i64>>; 2], String> {
    let text = |error: sqlx::Error| error.to_string();
    let work = async {
        macro_rules! ask {
            ($connection:expr, $begin:expr) => {{
                let mut connection = $connection.map_err(text)?;
                connection.execute($begin).await.map_err(text)?;
                let mut answers = [Vec::new(), Vec::new()];
                for (answer, query) in answers.iter_mut().zip(queries) {
                    for row in sqlx::query(AssertSqlSafe(numbers(url, query)))
                        .fetch_all(&mut connection)
                        .await
                        .map_err(text)?
                    {
                        answer.push((0..row.len()).map(|at| row.get::<i64, _>(at)).collect());
                    }
                }
                Ok(answers)
            }};
        }
        if url.starts_with("mysql") {
            ask!(MySqlConnection::connect(url).await, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        } else if url.starts_with("sqlite") {
            ask!(SqliteConnection::connect(url).await, "BEGIN")
        } else {
            ask!(PgConnection::connect(url).await, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        }
    };
    match tokio::time::timeout(within, work).await {
        Ok(done) => done,
        Err(_) => Err(late(within)),
    }
}

/// The query with each of its columns as a number of 64 bits.
fn numbers(url: &str, query: &str) -> String {
    let (select, rest) = query.split_once(" FROM ").unwrap();
    let kind = if url.starts_with("mysql") { "SIGNED" } else { "BIGINT" };
    let mut columns = Vec::new();
    let (mut depth, mut column) = (0, String::new());
    for letter in select.trim_start_matches("SELECT ").chars() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        if letter == ',' && depth == 0 {
            columns.push(std::mem::take(&mut column));
        } else {
            column.push(letter);
        }
    }
    columns.push(column);
    let columns: Vec<String> = columns.iter().map(|column| format!("CAST({} AS {kind})", column.trim())).collect();
    format!("SELECT {} FROM {rest}", columns.join(", "))
}

pub(crate) async fn select(url: &str, query: &str) -> Result<Vec<Vec<i64>>, String> {
    let [rows, _] = snapshot(url, [query, NOTHING], Duration::from_secs(600)).await?;
    Ok(rows)
}

const NOTHING: &str = "SELECT 1 FROM foretell_progress WHERE 1 = 0";

/// All rows of a table, partition by partition: however many there are, one answer is no larger than that.
pub(crate) async fn table(url: &str, columns: &str, table: &str) -> Result<Vec<Vec<i64>>, String> {
    let mut rows = Vec::new();
    for partition in select(url, &format!("SELECT part FROM {table} GROUP BY part")).await? {
        let query = format!("SELECT {columns} FROM {table} WHERE part = {}", partition[0]);
        rows.extend(select(url, &query).await?);
    }
    Ok(rows)
}

/// Statements, one by one.
pub(crate) fn execute(url: &str, statements: &[&str]) -> Result<(), String> {
    let text = |error: sqlx::Error| error.to_string();
    super::wait(async {
        if url.starts_with("mysql") {
            let mut connection = MySqlConnection::connect(url).await.map_err(text)?;
            for statement in statements {
                connection.execute(AssertSqlSafe((*statement).to_string())).await.map_err(text)?;
            }
        } else {
            let mut connection = PgConnection::connect(url).await.map_err(text)?;
            for statement in statements {
                connection.execute(AssertSqlSafe((*statement).to_string())).await.map_err(text)?;
            }
        }
        Ok(())
    })
}

/// A client of the service that objects are in.
pub(crate) fn s3(endpoint: &str, key: &str, secret: &str) -> AmazonS3 {
    let builder = AmazonS3Builder::new().with_endpoint(endpoint).with_allow_http(true).with_region("us-east-1");
    builder.with_bucket_name("foretell").with_access_key_id(key).with_secret_access_key(secret).build().unwrap()
}

/// Objects that are new below a prefix, as [`hdfs`] reads files.
pub(crate) async fn objects(
    store: &AmazonS3,
    prefix: &str,
    known: &mut BTreeSet<String>,
    within: Duration,
) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    let work = async {
        let listed = store.list_with_delimiter(Some(&prefix.into())).await?;
        for object in listed.objects {
            let name = object.location.filename().unwrap_or_default().to_string();
            if name.starts_with(['_', '.']) || known.contains(&name) {
                continue;
            }
            let bytes = store.get(&object.location).await?.bytes().await?;
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
            known.insert(name);
        }
        Ok::<(), object_store::Error>(())
    };
    match tokio::time::timeout(within, work).await {
        Ok(Err(error)) if texts.is_empty() => Err(error.to_string()),
        Err(_) if texts.is_empty() => Err(late(within)),
        _ => Ok(texts),
    }
}

/// Has the lease of a writer that is gone recovered, so that the whole file can be read.
pub(crate) async fn recover(namenode: &str, path: &str) -> Result<(), String> {
    let text = |error: hdfs_native::HdfsError| error.to_string();
    let client = hdfs_native::ClientBuilder::new().with_url(namenode).build().map_err(text)?;
    let recovered = async {
        while !client.recover_lease(path).await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), recovered).await.map_err(|_| format!("{path} stays open"))
}
