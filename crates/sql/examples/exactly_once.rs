//! Rows into SQLite, once: a second writer is fenced, and a new process goes on where the last one was.
//! `cargo run -p foretell-sql --example exactly_once`

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use foretell_connect::kind::SinkContext;
use foretell_flow::{Claim, Partition, Plan, Range, Recipe, Sink, SinkInput, Write};
use serde_json::json;

type Error = Box<dyn std::error::Error>;

fn rows(from: i64, to: i64) -> Result<RecordBatch, Error> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    Ok(RecordBatch::try_from_iter([("id", ids)])?)
}

fn partition() -> Partition {
    Partition { topic: "orders".into(), index: 0 }
}

/// A row for each offset of the one partition.
fn write(from: i64, to: i64) -> Result<Write, Error> {
    let ranges = vec![Range { partition: partition(), from, to }];
    let plan = Plan { id: from.to_string(), time: 0, recipe: Arc::new(Recipe::default()), ranges: ranges.clone() };
    Ok(Write {
        plan: Arc::new(plan),
        ranges,
        rows: rows(from, to)?,
        provenance: None,
        topics: foretell_flow::Topics::default(),
        retention: None,
    })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("foretell-sql-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let context = SinkContext {
        pipeline: "example".into(),
        sink: "table".into(),
        worker: "0".into(),
        schema: rows(0, 0)?.schema(),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: folder.clone(),
    };
    let settings = json!({ "url": "sqlite://orders.db", "table": "orders", "create": true });
    let settings = (foretell_sql::SINK.parse)(settings).map_err(|error| error.message)?;
    let claims = [Claim { partition: partition(), identity: "a log".into(), start: 0 }];

    let mut one: Box<dyn Sink> = settings.open(&context).await?;
    println!("begins at {}", one.claim(&claims).await?[0].next);
    one.write(&write(0, 3)?).await?;

    let mut two = settings.open(&context).await?;
    println!("goes on at {}", two.claim(&claims).await?[0].next);
    two.write(&write(3, 5)?).await?;
    if let Err(error) = one.write(&write(3, 6)?).await {
        println!("the first writer is fenced: {error}");
    }
    two.close().await?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
