//! What `http:` in the pipeline file asks for: metrics, health and a page, while the pipeline runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use foretell_http::{Facts, ModelFacts, Telemetry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::pipeline::{LoadedModel, Pipeline};
use crate::serving::{Served, Serving};

/// An answer that is under way when the pipeline has ended gets this long.
const LAST: Duration = Duration::from_secs(1);

/// The server of a pipeline, or nothing where its file has no `http`.
pub(crate) struct Server {
    pub(crate) telemetry: Arc<Telemetry>,
    serving: Arc<Serving>,
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
        Ok(Server { telemetry, serving, stop, task })
    }

    /// What hears of a model that is read from another file.
    pub(crate) fn renews(&self) -> impl Fn(&str, &Arc<LoadedModel>) + Clone + Send + Sync + 'static {
        let (telemetry, serving) = (self.telemetry.clone(), self.serving.clone());
        move |name, model| {
            let sha256 = model.sha256().to_string();
            telemetry.renew_model(name, &model.model.describe().root.class, &sha256);
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
        let class = model.model.describe().root.class.clone();
        Some(ModelFacts { name: name.clone(), class, sha256: sha256.clone() })
    };
    Facts {
        pipeline: pipeline.file.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        models: pipeline.file.models.iter().filter_map(|entry| model(&entry.name)).collect(),
    }
}
