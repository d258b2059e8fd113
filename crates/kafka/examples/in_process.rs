//! A topic of a cluster inside this process, read from its second record on.
//! `cargo run -p foretell-kafka --example in_process`

use std::sync::Arc;
use std::time::Duration;

use foretell_connect::kind::{DecodeSpec, SourceContext};
use foretell_connect::storage::Local;
use foretell_flow::{Demand, Event, Position};
use foretell_kafka::mock::Mock;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mock = Mock::start()?;
    mock.topic("orders", 1)?;
    mock.feed()?.produce("orders", None, [&b"one"[..], b"two", b"three"].map(|value| (None, value)))?;

    let settings = json!({
        "brokers": mock.brokers(), "topic": "orders", "options": { "session.timeout.ms": 6000 },
    });
    let settings = (foretell_kafka::SOURCE.parse)(settings).map_err(|error| error.message)?;
    let context = SourceContext {
        pipeline: "example".into(),
        worker: "0".into(),
        index: 0,
        workers: 1,
        ends: false,
        decode: DecodeSpec { kind: "line".into(), settings: json!({}) },
        state: (Arc::new(Local), "/nowhere".into()),
        home: String::new(),
        base: ".".into(),
        observe: false,
    };
    let mut source = settings.open(&context, false).await?;
    let demand = Demand { rows: 100, bytes: 1 << 20, wait: Duration::from_secs(1) };
    let mut seen = 0;
    while seen < 2 {
        match source.next(demand).await? {
            Event::Assigned(partitions) => {
                let begin = partitions.into_iter().map(|partition| Position { partition, next: 1 });
                source.seek(&begin.collect::<Vec<_>>()).await?;
            }
            Event::Records(chunk) => {
                let records = chunk.records;
                for row in 0..records.len() {
                    let value = String::from_utf8_lossy(records.value(row).unwrap_or_default());
                    println!("{}: {value}", records.offsets.value(row));
                    seen += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
