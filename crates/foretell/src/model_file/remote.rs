//! Model files elsewhere: on HDFS or S3, and in MLflow's model registry.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use foretell_connect::storage::Reading;
use foretell_flow::StageError;
use foretell_package::{MLMODEL_SIZE, MlModel};
use foretell_registry::{Mlflow, RegisteredModel};
use foretell_storage::StorageSettings;

use super::Read;

/// MLflow's description of a model, beside its file.
const DESCRIPTION: &str = "MLmodel";

/// The address that a path is, if it is one.
pub(super) fn address(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains("://") || text.starts_with("models:/"))
}

/// Reads the model at an address.
pub(super) fn read(address: &str, storage: &StorageSettings) -> Result<Read> {
    wait(async { Place::find(address, storage).await?.model().await })
}

/// What changes when another model is at an address.
pub(super) fn stamp(address: &str, storage: &StorageSettings) -> Result<String> {
    wait(async {
        if let Some(model) = RegisteredModel::parse(address) {
            let version = mlflow()?.version(&model.map_err(told)?).await.map_err(told)?;
            return Ok(format!("version {version}"));
        }
        let (reading, path) = foretell_storage::open_reading(address, Path::new("."), storage)?;
        let stat = reading.stat(&path).await?.ok_or_else(|| anyhow!("{address}: there is no such file"))?;
        // Of a folder its file may change, and the folder's own time does not.
        if stat.folder {
            bail!("a folder's files are not known from outside");
        }
        Ok(format!("{} {} {}", stat.length, stat.modified, stat.version))
    })
}

/// A file, or a folder as MLflow keeps a model.
enum Place {
    Storage(Arc<dyn Reading>, String),
    /// Where the server itself keeps it: the folder's address.
    Server(Mlflow, String),
}

impl Place {
    async fn find(address: &str, storage: &StorageSettings) -> Result<Place> {
        let mut address = address.to_string();
        if let Some(model) = RegisteredModel::parse(&address) {
            let (model, server) = (model.map_err(told)?, mlflow()?);
            let version = server.version(&model).await.map_err(told)?;
            address = server.folder(&model.name, version).await.map_err(told)?;
            if address.starts_with("mlflow-artifacts:") {
                return Ok(Place::Server(server, address));
            }
            if let Some(path) = address.strip_prefix("file://") {
                address = path.to_string();
            }
        }
        let (reading, path) = foretell_storage::open_reading(&address, Path::new("."), storage)?;
        Ok(Place::Storage(reading, path))
    }

    /// A file of a folder.
    async fn file(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Place::Storage(reading, folder) => {
                whole(&**reading, &format!("{}/{name}", folder.trim_end_matches('/'))).await
            }
            Place::Server(server, folder) => server.file(folder, name).await.map_err(told),
        }
    }

    async fn model(&self) -> Result<Read> {
        if let Place::Storage(reading, path) = self {
            let shown = reading.url(path);
            let stat = reading.stat(path).await?.ok_or_else(|| anyhow!("{shown}: there is no such file"))?;
            if !stat.folder {
                let bytes = whole(&**reading, path).await?.ok_or_else(|| anyhow!("{shown}: there is no such file"))?;
                return Ok(Read { bytes, columns: Vec::new() });
            }
        }
        let Some(description) = self.file(DESCRIPTION).await? else {
            bail!("it is a folder, and has no `MLmodel` as those of MLflow do: give the model file in it");
        };
        if description.len() > MLMODEL_SIZE {
            bail!("`MLmodel` is not a description as MLflow writes it");
        }
        let described = MlModel::read(&description)?;
        let bytes = self.file(&described.path).await?;
        let bytes = bytes.ok_or_else(|| anyhow!("its `MLmodel` names a file that is not there"))?;
        Ok(Read { bytes, columns: described.columns })
    }
}

/// A file's bytes; `None` where there is none.
async fn whole(reading: &dyn Reading, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(stat) = reading.stat(path).await?.filter(|stat| !stat.folder) else { return Ok(None) };
    let reader = reading.reader(path, &stat).await?;
    Ok(Some(reader.read(0, stat.length, Vec::new()).await?))
}

fn mlflow() -> Result<Mlflow> {
    Mlflow::of(&|name| std::env::var(name).ok().filter(|value| !value.is_empty())).map_err(told)
}

/// What a registry says, with what to do.
fn told(error: StageError) -> anyhow::Error {
    match error.remedy.as_str() {
        "" => anyhow!("{}", error.message),
        remedy => anyhow!("{}; {remedy}", error.message),
    }
}

/// Runs on a thread of its own: whoever reads a model may or may not be within a runtime.
fn wait<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        runtime.block_on(work)
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err(anyhow!("reading it panicked")))
}
