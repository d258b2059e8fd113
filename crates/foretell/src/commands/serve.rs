//! `foretell serve`: models over HTTP, without a pipeline.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use foretell_model::{LoadOptions, Model, paths};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::run::{LEAVE_WITHIN, signals};
use crate::serving::{Served, Serving};

/// Answer over HTTP: rows in, predictions out
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell serve readmit.joblib
  foretell serve readmit.joblib mri.json --listen 0.0.0.0:8080
  curl localhost:8080/predict/readmit -d '[{\"AGE\": 64, \"DEPT\": \"ICU\"}]'
  curl localhost:8080/v2/models/readmit

POST /predict (or /predict/NAME where there are several; a model is called as its file is) takes JSON: a row, a list of \
rows, {\"rows\": [..]} or {\"columns\": {NAME: [..]}}; a row is an object by the model's columns, or a list in their order. \
The numbers and refusals are those of `foretell predict`. Below /v2 clients of KServe, Triton and MLServer are understood \
(the Open Inference Protocol, with JSON). There is no password and no encryption: by default this machine alone is answered. \
A pipeline answers beside its stream with `http: { predict: true }`.")]
pub(crate) struct ServeArgs {
    /// The model files
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// The address and port to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS", value_parser = foretell_http::parse_address)]
    listen: SocketAddr,
    /// Where the model is in a file that holds several things: `model`, `models[2].best`
    #[arg(long, value_name = "PATH")]
    at: Option<String>,
}

/// A model that nothing else uses.
struct Alone(Model);

impl AsRef<Model> for Alone {
    fn as_ref(&self) -> &Model {
        &self.0
    }
}

/// Runs the command.
pub(crate) async fn run(args: ServeArgs) -> Result<()> {
    let serving = Serving::default();
    let mut names: Vec<String> = Vec::new();
    for path in &args.models {
        let at = args.at.as_deref().map(paths).unwrap_or_default();
        let model = super::data::read_model(path, LoadOptions { at, ..LoadOptions::default() })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.contains(&name) {
            bail!("two models are called `{name}`: rename one of the files");
        }
        let (class, sha256) = (model.describe().root.class.clone(), model.describe().sha256.clone());
        info!(model = name, class, sha256, "loaded");
        serving.put(&name, Served { sha256, model: Arc::new(Alone(model)) });
        names.push(name);
    }
    let listener = foretell_http::bind(args.listen).await;
    let listener = listener.with_context(|| {
        format!("cannot listen on {} (`--listen 127.0.0.1:PORT` is another address or port)", args.listen)
    })?;
    info!(address = %listener.local_addr()?, "http: POST /predict, and /v2 for KServe's clients");
    crate::memory::give_back();
    let stop = CancellationToken::new();
    tokio::spawn(signals(stop.clone(), LEAVE_WITHIN, false));
    foretell_http::serve_models(listener, Arc::new(serving), stop).await.context("no more connections are accepted")
}
