//! What `http:` in the pipeline file asks for: metrics, health and a page, while the pipeline runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use foretell_http::{Facts, ModelFacts, Telemetry};
use foretell_model::{InputKind, Model, Output};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::pipeline::watch::Watch;
use crate::pipeline::{LoadedModel, Pipeline};
use crate::serving::{Served, Serving};

/// An answer that is under way when the pipeline has ended gets this long.
const LAST: Duration = Duration::from_secs(1);

/// The server of a pipeline, or nothing where its file has no `http`.
pub(crate) struct Server {
    pub(crate) telemetry: Arc<Telemetry>,
    serving: Arc<Serving>,
    watch: Arc<Watch>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and answers from now on: not ready until there are workers, nor from `shutdown` on.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) async fn start(pipeline: &Pipeline, shutdown: &CancellationToken) -> Result<Server> {
        let telemetry = Telemetry::new(facts(pipeline));
        telemetry.ask(pipeline.watch.clone());
        let serving = Arc::new(Serving::default());
        for (name, (sha256, model)) in &pipeline.models {
            serving.put(name, Served { sha256: sha256.clone(), model: model.clone() });
        }
        let stop = CancellationToken::new();
        let mut task = None;
        if let Some(settings) = &pipeline.file.http {
            let listener = foretell_http::bind(settings.listen).await.map_err(|error| {
                let message = format!("cannot listen on {}: {error}", settings.listen);
                pipeline.file.error(&["http", "listen"], message, "another address or port: `listen: 127.0.0.1:PORT`")
            })?;
            let address = listener.local_addr()?;
            info!(%address, "http: metrics, health and a page");
            let (told, ended, shutdown) = (telemetry.clone(), stop.clone(), shutdown.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => told.stopping(),
                    () = ended.cancelled() => {}
                }
            });
            let scoring = settings.predict.then(|| serving.clone() as Arc<dyn foretell_http::Scoring>);
            let answering = foretell_http::serve(listener, telemetry.clone(), scoring, stop.clone());
            task = Some(tokio::spawn(async move {
                if let Err(error) = answering.await {
                    warn!("http: no more connections are accepted: {error}; the pipeline goes on");
                }
            }));
        }
        Ok(Server { telemetry, serving, watch: pipeline.watch.clone(), stop, task })
    }

    /// What hears of a model that is read from another file.
    pub(crate) fn renews(&self) -> impl Fn(&str, &Arc<LoadedModel>) + Clone + Send + Sync + 'static {
        let (telemetry, serving, watch) = (self.telemetry.clone(), self.serving.clone(), self.watch.clone());
        move |name, model| {
            let sha256 = model.sha256().to_string();
            telemetry.renew_model(model_facts(name, &sha256, &model.model));
            watch.renew(name, model);
            serving.put(name, Served { sha256, model: model.clone() });
        }
    }

    /// Finishes the answers that are under way.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        if let Some(mut task) = self.task
            && tokio::time::timeout(LAST, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

fn facts(pipeline: &Pipeline) -> Facts {
    let model = |name: &String| {
        let (sha256, model) = pipeline.models.get(name)?;
        Some(model_facts(name, sha256, &model.model))
    };
    Facts {
        pipeline: pipeline.file.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        models: pipeline.file.models.iter().filter_map(|entry| model(&entry.name)).collect(),
    }
}

/// Names that a card shows of a long list.
const SHOWN: usize = 40;

/// A model and its card.
fn model_facts(name: &str, sha256: &str, model: &Model) -> ModelFacts {
    let (description, signature) = (model.describe(), model.signature());
    let mut card: Vec<(String, String)> = Vec::new();
    let mut line = |name: &str, value: String| card.push((name.to_string(), value));
    for (library, version) in &description.libraries {
        line("library", format!("{library} {}", version.as_deref().unwrap_or("(version unknown)")));
    }
    let steps: Vec<&str> = description.root.walk().iter().map(|step| step.class.as_str()).collect();
    line("steps", shown(steps.iter().map(|class| class.rsplit('.').next().unwrap_or(class).to_string())));
    if description.trees > 0 {
        let (trees, nodes, depth) = (description.trees, description.nodes, description.max_depth);
        line("trees", format!("{trees}, {nodes} nodes, depth at most {depth}"));
    }
    let input = |(at, input): (usize, &foretell_model::Input)| {
        let name = input.name.clone().unwrap_or_else(|| format!("feature {at}"));
        let kind = match &input.kind {
            InputKind::Number => "number",
            InputKind::Text => "text",
            InputKind::Bool => "true or false",
            InputKind::Any => "number or text",
            InputKind::List => "list",
            InputKind::Category(_) => "category",
        };
        format!("{name} ({kind})")
    };
    line(&format!("inputs ({})", signature.inputs.len()), shown(signature.inputs.iter().enumerate().map(input)));
    let outputs = if signature.predict.is_empty() { &signature.transform } else { &signature.predict };
    let output = |output: &Output| format!("{} ({})", output.name, output.data_type);
    line(&format!("outputs ({})", outputs.len()), shown(outputs.iter().map(output)));
    if !signature.proba.is_empty() {
        let classes = signature.proba.iter().filter_map(|output| output.class.clone());
        line(&format!("classes ({})", signature.proba.len()), shown(classes));
    }
    description.notes.iter().for_each(|note| line("note", note.clone()));
    ModelFacts { name: name.to_string(), class: description.root.class.clone(), sha256: sha256.to_string(), card }
}

/// The first of some names.
fn shown(names: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = names.collect();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    all.join(", ") + &more
}
