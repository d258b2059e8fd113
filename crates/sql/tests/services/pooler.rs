//! A pooler between the sink and PostgreSQL: with a session for each connection it goes unnoticed, with one for each
//! transaction it is told.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use foretell_flow::{Fault, StageError};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::target::{batch, claim, context, parse, service, write};

fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    batch(vec![("id", Arc::new(Int64Array::from_iter_values(range)))])
}

/// Writes some batches through a URL, with all tables in a schema.
async fn put(url: &str, schema: &str) -> Result<(), StageError> {
    let table = format!("{schema}.result");
    let settings = parse(json!({ "url": url, "table": table, "progress_schema": schema, "create": true }));
    let mut sink = settings.open(&context(&rows(0..0).schema())).await?;
    sink.claim(&[claim(0, 0)]).await?;
    let mut others = Vec::new();
    for step in 0..10 {
        // Others are served in between: what a session was told or prepared is not this one's for sure.
        let mut other = settings.open(&context(&rows(0..0).schema())).await?;
        other.claim(&[claim(step, 7)]).await?;
        others.push(other);
        let from = i64::from(step) * 5;
        sink.write(&write(0, from, from + 5, rows(from..from + 5))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pooler_of_sessions_serves_and_one_of_transactions_is_told() {
    let mut admin = PgConnection::connect(&service("FORETELL_POSTGRES_URL")).await.unwrap();
    for (variable, suits) in [("FORETELL_PGBOUNCER_URL", true), ("FORETELL_PGBOUNCER_SHARED_URL", false)] {
        let schema = format!("pooled_{}_{suits}", std::process::id());
        admin.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
        let outcome = put(&service(variable), &schema).await;
        if suits {
            outcome.unwrap();
            let sql = format!("SELECT COUNT(*) FROM {schema}.result");
            let count: i64 = admin.fetch_one(AssertSqlSafe(sql)).await.unwrap().get(0);
            assert_eq!(count, 50);
        } else {
            let error = outcome.expect_err("another session knows nothing of what was prepared");
            assert_eq!(error.fault, Fault::Settings, "{error}");
            assert!(error.remedy.contains("`pool_mode = session`"), "{error}");
        }
        admin.execute(AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"))).await.unwrap();
    }
}
