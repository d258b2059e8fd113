//! What a pipeline file names is loaded: models and encodings with their pinned hashes, and how values are decoded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foretell_connect::kind::DecodeSpec;
use foretell_decode::MISSING;
use foretell_flow::{Fault, StageError};
use foretell_model::Model;

use super::EncodingFacts;
use super::artifacts::sha256;
use super::encoding::EncodingSpec;
use super::functions::{self, Functions};
use super::query::LoadedModel;
use super::spec::{ModelSpec, explains};
use super::table::{self, TableVersion};
use crate::model_file;
use crate::pipeline_file::{EncodingEntry, FileError, Labels, ModelEntry, PipelineFile, Wrong};

/// A model in memory, and what it was read from.
pub(super) struct ModelOfFile {
    pub(super) spec: ModelSpec,
    pub(super) sha256: String,
    pub(super) model: Arc<LoadedModel>,
}

/// An encoding in memory, and what it was read from.
pub(super) struct LoadedEncoding {
    pub(super) name: String,
    pub(super) spec: EncodingSpec,
    pub(super) facts: EncodingFacts,
    pub(super) functions: Functions,
}

/// The models that the file names, as far as they can be read.
pub(super) fn models(file: &PipelineFile, wrong: &mut Wrong) -> BTreeMap<String, ModelOfFile> {
    let load = |entry: &ModelEntry| Ok((entry.name.clone(), load_model(file, entry)?));
    wrong.keep_all(file.models.iter().map(load)).into_iter().collect()
}

/// The encodings that the file names, in its order, as far as they can be read.
pub(super) fn encodings(file: &PipelineFile, wrong: &mut Wrong) -> Vec<LoadedEncoding> {
    wrong.keep_all(file.encodings.iter().map(|entry| load_encoding(file, entry)))
}

/// The reference tables that the file names, as they are now, as far as they can be read.
pub(super) async fn tables(file: &PipelineFile, wrong: &mut Wrong) -> BTreeMap<String, TableVersion> {
    let mut tables = BTreeMap::new();
    for entry in &file.tables {
        let read = table::read(entry, &file.base).await;
        let version = read.map_err(|error| error_at(file, &["tables", &entry.name], error));
        tables.extend(wrong.keep(version).map(|version| (entry.name.clone(), version)));
    }
    tables
}

/// A stage's error at its place in the file.
pub(super) fn error_at(file: &PipelineFile, place: &[&str], error: StageError) -> FileError {
    let away = error.fault == Fault::Unavailable;
    let remedy = match error.remedy.as_str() {
        "" if away && error.message.starts_with('/') => "may this user read and write there?".to_string(),
        "" if away => "is the service up, and its address right? `foretell run --wait 5m` waits for it".to_string(),
        _ => error.remedy,
    };
    FileError { away, ..file.error(place, error.message, remedy) }
}

/// How values are decoded: what the file says, completed by what the source finds.
pub(super) async fn decode(file: &PipelineFile) -> Result<(DecodeSpec, Option<String>), FileError> {
    if let Some(decode) = file.decode.as_ref().filter(|_| !file.infer) {
        return Ok((decode.clone(), None));
    }
    let inferred = file.source.settings.infer(&file.base, file.decode.as_ref()).await;
    let inferred = inferred.map_err(|error| error_at(file, &["source", file.source.kind], error))?;
    Ok((inferred.decode, Some(inferred.from)))
}

/// Of CSV, words that mean a missing value and are a level of a model are values in the columns of that level's name: the
/// model can only have met them as such. Where the file says what is missing, that counts.
pub(super) fn keep_levels<'a>(decode: &mut DecodeSpec, models: impl Iterator<Item = &'a Model>) {
    let names_words = decode.settings.get("missing").is_some();
    let Some(columns) = decode.settings.get_mut("columns").and_then(serde_json::Value::as_array_mut) else { return };
    if decode.kind != "csv" || names_words {
        return;
    }
    let mut levels: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for model in models {
        for (feature, words) in crate::levels::words(model) {
            let name = model.signature().inputs.get(feature).and_then(|input| input.name.clone());
            levels.entry(name.unwrap_or_default()).or_default().extend(words);
        }
    }
    for column in columns.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        for (name, spec) in column.iter_mut() {
            let Some(words) = levels.get(name.as_str()) else { continue };
            if let Some(text) = spec.as_str() {
                *spec = serde_json::json!({ "type": text });
            }
            let is_text = spec["type"].as_str().is_some_and(|found| found.starts_with("utf8"));
            let Some(details) = spec.as_object_mut().filter(|details| is_text && !details.contains_key("missing"))
            else {
                continue;
            };
            let missing: Vec<&str> = MISSING.into_iter().filter(|word| !words.contains(word)).collect();
            details.insert("missing".to_string(), missing.into());
        }
    }
}

fn load_model(file: &PipelineFile, entry: &ModelEntry) -> Result<ModelOfFile, FileError> {
    let place = ["models", &entry.name];
    let wrong = |message: String, remedy: &str| file.error(&place, message, remedy);
    let shown = entry.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join("+");
    let settings = &entry.settings;
    let (mut all, mut beside) = (Vec::new(), Vec::new());
    for (number, path) in entry.files.iter().enumerate() {
        let read = model_file::read_with(std::slice::from_ref(path), &settings.storage()).map_err(|error| {
            let local = !model_file::is_address(path);
            wrong(format!("{error:#}"), if local { "paths are relative to the pipeline file's folder" } else { "" })
        })?;
        check_pin(file, &place, path, &read.bytes, settings.sha256.all().get(number))?;
        if number == 0 {
            beside = read.columns;
        }
        all.push(read.bytes);
    }
    let bytes = foretell_package::join(all);
    let at = settings.at.all();
    let spec = ModelSpec {
        at: at.first().filter(|_| at.len() == 1).cloned(),
        chain: if at.len() > 1 { at.to_vec() } else { Vec::new() },
        iterations: settings.iterations.map(|i| (i.range().0 as usize)..(i.range().1 as usize)),
        categories: settings.levels().map_err(|message| wrong(message, "`{ COLUMN: [level, level] }`"))?,
        columns: if settings.columns.is_empty() { beside } else { settings.columns.clone() },
    };
    let queries = file.sinks.iter().filter_map(|sink| Some(sink.query.as_ref()?.value.as_str()));
    let explain = explains(&entry.name, queries.chain([file.query.value.as_str()]));
    let model = spec.load(&bytes, settings.limits.reader(), explain).map_err(|error| {
        let remedy = match &error {
            foretell_package::Error::Model(foretell_model::Error::UnknownWidth { .. }) => {
                "name them, in their order: `columns: [COLUMN, …]`".to_string()
            }
            _ => format!("`foretell inspect {shown}` tells what is in it"),
        };
        wrong(format!("{shown}: {error}"), &remedy)
    })?;
    let sha256 = sha256(&bytes);
    let model = Arc::new(LoadedModel::new(&entry.name, &sha256, model));
    Ok(ModelOfFile { spec, sha256, model })
}

fn load_encoding(file: &PipelineFile, entry: &EncodingEntry) -> Result<LoadedEncoding, FileError> {
    let place = ["encodings", &entry.name];
    let spec = EncodingSpec::of(entry);
    let (bytes, sha256, shown) = match &entry.labels {
        Labels::Here(_) => (Vec::new(), None, String::new()),
        Labels::File(path) => {
            let (bytes, sha256) = read_pinned(file, &place, path, entry.settings.sha256.as_ref())?;
            (bytes, Some(sha256), format!("{}: ", path.display()))
        }
    };
    let encoding = spec.load(&bytes, entry.settings.limits.reader());
    let encoding = encoding.map_err(|error| file.error(&place, format!("{shown}{error:#}"), ""))?;
    let facts = EncodingFacts { class: encoding.class(), labels: encoding.labels(), sha256 };
    let functions = functions::of_encoding(&entry.name, encoding);
    Ok(LoadedEncoding { name: entry.name.clone(), spec, facts, functions })
}

/// A file's bytes and their sha256, which must be the pinned one where one is.
fn read_pinned(
    file: &PipelineFile,
    place: &[&str],
    path: &Path,
    pinned: Option<&String>,
) -> Result<(Vec<u8>, String), FileError> {
    let wrong = |message: String, remedy: &str| file.error(place, message, remedy);
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| wrong(format!("{shown}: {error}"), "`file` is relative to the pipeline file's folder"))?;
    let sha256 = check_pin(file, place, path, &bytes, pinned)?;
    Ok((bytes, sha256))
}

/// The sha256 of a file, which must be the pinned one where one is.
fn check_pin(
    file: &PipelineFile,
    place: &[&str],
    path: &Path,
    bytes: &[u8],
    pinned: Option<&String>,
) -> Result<String, FileError> {
    let sha256 = sha256(bytes);
    match pinned {
        Some(pinned) if !pinned.eq_ignore_ascii_case(&sha256) => {
            let message = format!("{}: its sha256 is {sha256}, not the one that is pinned", path.display());
            Err(file.error(place, message, "is this the file that you meant? then change `sha256`"))
        }
        _ => Ok(sha256),
    }
}
