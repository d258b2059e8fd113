//! Serves a pipeline that has no worker yet, until Ctrl-C: `/readyz` says that it is starting.
//!
//! `cargo run -p foretell-http --example serve`, then open the address that it prints.

use foretell_http::{Facts, ModelFacts, Telemetry, bind, serve};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let model = ModelFacts { name: "mri".into(), class: "XGBRegressor".into(), sha256: "0".repeat(64), card: vec![] };
    let facts = Facts { pipeline: "example".into(), version: env!("CARGO_PKG_VERSION").into(), models: vec![model] };
    let listener = bind(([127, 0, 0, 1], 0).into()).await?;
    println!("http://{}/", listener.local_addr()?);
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, Telemetry::new(facts), None, stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    server.await?
}
