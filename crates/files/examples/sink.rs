//! Writes rows to files with the position that they reach, and asks where the sink is, as the next process would.

use std::error::Error;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use foretell_connect::kind::SinkContext;
use foretell_flow::{Claim, Partition, Plan, Range, SinkInput, Write};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let rows = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)])?;
    let settings = (foretell_files::SINK.parse)(json!({ "path": "out.csv" })).map_err(|error| error.message)?;
    let context = SinkContext {
        pipeline: "example".into(),
        sink: "out".into(),
        worker: "0".into(),
        schema: rows.schema(),
        leader: true,
        by_partition: true,
        input: SinkInput::Results,
        timezone: None,
        base: folder.path().into(),
    };

    // Whoever claims a partition is told where it is, and fences whoever wrote there before.
    let mut sink = settings.open(&context).await?;
    let partition = Partition { topic: "orders".into(), index: 0 };
    let claim = Claim { partition: partition.clone(), identity: "log".into(), start: 0 };
    let stored = sink.claim(&[claim]).await?;
    println!("begins at {}", stored[0].next);

    // Rows and position are stored in one atomic act.
    let ranges = vec![Range { partition, from: 0, to: 3 }];
    let plan = Arc::new(Plan { id: "first".into(), time: 0, recipe: Arc::default(), ranges: ranges.clone() });
    sink.write(&Write {
        plan,
        ranges,
        rows,
        provenance: None,
        topics: foretell_flow::Topics::default(),
        retention: None,
    })
    .await?;
    sink.close().await?;

    let mut next = settings.open(&context).await?;
    println!("the next process reads on at {}", next.positions().await?[0].next);
    Ok(())
}
