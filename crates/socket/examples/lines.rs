//! Lines that come to a port, until it has seen three of them. `cargo run -p foretell-socket --example lines`

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use foretell_connect::kind::{DecodeSpec, SourceContext};
use foretell_connect::storage::Local;
use foretell_flow::{Demand, Event, Position};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let settings = json!({ "listen": format!("127.0.0.1:{port}") });
    let settings = (foretell_socket::KIND.parse)(settings).map_err(|error| error.message)?;
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
    TcpStream::connect(("127.0.0.1", port))?.write_all(b"one\ntwo\r\nthree\n")?;

    let demand = Demand { rows: 100, bytes: 1 << 20, wait: Duration::from_secs(1) };
    let mut seen = 0;
    while seen < 3 {
        match source.next(demand).await? {
            Event::Assigned(partitions) => {
                let bounds = source.bounds(&partitions).await?;
                let begin =
                    |bound: &foretell_flow::Bounds| Position { partition: bound.partition.clone(), next: bound.start };
                source.seek(&bounds.iter().map(begin).collect::<Vec<_>>()).await?;
            }
            Event::Records(chunk) => {
                for row in 0..chunk.records.len() {
                    println!("{}", String::from_utf8_lossy(chunk.records.value(row).unwrap_or_default()));
                    seen += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
