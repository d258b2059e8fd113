//! Model files by their paths and addresses: a file, a folder of MLflow, or several that are one model; on this machine or
//! elsewhere (`remote`).

mod remote;

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use foretell_package::{MLMODEL_SIZE, MlModel, join};
use foretell_storage::StorageSettings;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The files' bytes, put together.
    pub(crate) bytes: Vec<u8>,
    /// The names of the inputs, where a description beside the model has them.
    pub(crate) columns: Vec<String>,
}

/// The files that an argument names: one, or those of a chain with a plus between them. A file whose own name has a plus
/// is that file.
pub(crate) fn paths(argument: &Path) -> Vec<PathBuf> {
    let text = argument.to_string_lossy();
    if argument.exists() || !text.contains('+') {
        return vec![argument.to_path_buf()];
    }
    let parts: Vec<PathBuf> = text.split('+').map(PathBuf::from).collect();
    if parts.iter().any(|part| part.exists()) { parts } else { vec![argument.to_path_buf()] }
}

/// A file from a folder, or elsewhere where it is an address.
pub(crate) fn place(base: &Path, file: &str) -> PathBuf {
    let path = PathBuf::from(file);
    if remote::address(&path).is_some() { path } else { base.join(path) }
}

/// What changes when another file stands there, without reading it; `None` where that cannot be told: of a folder.
pub(crate) fn stamp(paths: &[PathBuf], storage: &StorageSettings) -> Option<Vec<String>> {
    let stamp = |path: &PathBuf| {
        if let Some(address) = remote::address(path) {
            return remote::stamp(address, storage).ok();
        }
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let modified = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(format!("{} {}", found.len(), modified.as_nanos()))
    };
    paths.iter().map(stamp).collect()
}

/// Reads the files of one model, in their order.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Read> {
    read_with(paths, &StorageSettings::default())
}

/// The same, where what is to be known of storages is said.
pub(crate) fn read_with(paths: &[PathBuf], storage: &StorageSettings) -> Result<Read> {
    let mut all = Vec::new();
    let mut columns = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let one = match remote::address(path) {
            Some(address) => remote::read(address, storage).with_context(|| format!("cannot read `{address}`"))?,
            None => read_one(path)?,
        };
        if number == 0 {
            columns = one.columns;
        }
        all.push(one.bytes);
    }
    Ok(Read { bytes: join(all), columns })
}

fn read_one(path: &Path) -> Result<Read> {
    if path.is_dir() {
        return folder(path);
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if path.file_name().is_some_and(|name| name == "MLmodel") {
        return folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    }
    Ok(Read { bytes, columns: Vec::new() })
}

/// A folder as MLflow keeps a model.
fn folder(path: &Path) -> Result<Read> {
    let shown = path.display();
    let description = path.join("MLmodel");
    if !description.is_file() {
        return no_description(path);
    }
    let length = description.metadata().map_or(0, |metadata| metadata.len());
    if length > MLMODEL_SIZE as u64 {
        bail!("`{}` is not a description as MLflow writes it", description.display());
    }
    let text = std::fs::read(&description).with_context(|| format!("cannot read `{}`", description.display()))?;
    let described = MlModel::read(&text).with_context(|| shown.to_string())?;
    let file = path.join(&described.path);
    // Of some libraries the model is a folder again.
    if file.is_dir() {
        bail!("`{}` is a folder: give the model file in it", file.display());
    }
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(Read { bytes, columns: described.columns })
}

/// Names that are told of a folder.
const TOLD: usize = 20;

fn no_description(path: &Path) -> Result<Read> {
    let shown = path.display();
    if path.join("saved_model.pb").exists() || path.join("keras_metadata.pb").exists() {
        bail!("`{shown}` is a TensorFlow model; neural networks are not scored");
    }
    if path.join("metadata").is_dir() && (path.join("stages").is_dir() || path.join("data").is_dir()) {
        bail!("`{shown}` is a model of Spark; models of Spark are not scored");
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read `{shown}`"))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_file()))
        .map(|entry| format!("`{}`", entry.file_name().to_string_lossy()))
        .collect();
    names.sort();
    names.truncate(TOLD);
    let holds = if names.is_empty() { "no files".to_string() } else { names.join(", ") };
    bail!(
        "`{shown}` is a folder, and has no `MLmodel` as those of MLflow do: give the model file in it; it holds {holds}"
    )
}
