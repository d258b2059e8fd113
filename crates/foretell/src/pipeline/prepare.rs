//! From a pipeline file to a pipeline: files are loaded, and queries planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use foretell_connect::kind::DecodeSpec;
use foretell_decode::check_bare;

use super::artifacts::ArtifactStore;
use super::error::{PlanError, SpecPart};
use super::functions::Functions;
use super::load::{self, LoadedEncoding};
use super::plan::{Around, joinable, plan};
use super::query::LoadedModel;
use super::recipes::RecipeStore;
use super::sinks::of_file;
use super::spec::PipelineSpec;
use super::watch::Watch;
use super::{EncodingFacts, Pipeline};
use crate::pipeline_file::{FileError, Located, PipelineFile, Wrong};

impl Pipeline {
    /// Loads the models and plans the queries; no sink is reached, and of the source only what says how to decode it.
    pub(crate) async fn prepare(file: PipelineFile) -> Result<Pipeline> {
        let mut wrong = Wrong::default();
        let models = load::models(&file, &mut wrong);
        let decode = wrong.keep(load::decode(&file).await);
        let encodings = load::encodings(&file, &mut wrong);
        let mut loads = BTreeMap::new();
        for (name, loaded) in &models {
            loads.insert(name.clone(), (loaded.sha256.clone(), LoadedModel::functions(name, &loaded.model)));
        }
        for loaded in &encodings {
            let Some(sha256) = &loaded.facts.sha256 else { continue };
            if loads.insert(loaded.name.clone(), (sha256.clone(), loaded.functions.clone())).is_some() {
                let message = format!("`{}` is a model, too", loaded.name);
                wrong.extend([file.error(&["encodings", &loaded.name], message, "rename one of them")]);
            }
        }
        let tables = load::tables(&file, &mut wrong).await;
        let loaded = models.iter().map(|(name, loaded)| (name.clone(), loaded.model.clone()));
        let watch = Watch::new(&file, loaded.collect(), &mut wrong);
        wrong.none()?;
        let Some((mut decode, inferred)) = decode else { bail!("how values are decoded is not known") };
        load::keep_levels(&mut decode, models.values().map(|loaded| &loaded.model.model));

        let sinks: Vec<String> = of_file(&file).into_iter().map(|sink| sink.name.to_string()).collect();
        let specs = models.iter().map(|(name, loaded)| (name.clone(), loaded.spec.clone()));
        let spec = PipelineSpec { models: specs.collect(), ..spec(&file, &decode, &sinks, &encodings) };
        let functions: Functions = loads.values().flat_map(|(_, functions)| functions.iter().cloned()).collect();
        let joinable = tables.iter().map(|(name, version)| joinable(name, version.batch.clone())).collect();
        let schemas = file.source.settings.schemas(&file.base);
        let schemas =
            schemas.map_err(|error| file.error(&["source", file.source.kind], error.message, error.remedy))?;
        // Files bring columns or a schema of their own; other sources bring bytes.
        if schemas.is_none() && !file.source.settings.infers() {
            check_bare(&decode.kind, &decode.settings)
                .map_err(|error| file.error(&["decode", &decode.kind], error.message, error.remedy))?;
        }
        let around = Around { schemas, observer: Some(watch.clone()) };
        let planned = plan(&spec, functions, joinable, &sinks, None, &around).await;
        let (_, planned) = planned.map_err(|error| at_fault(&file, inferred.is_some(), &error))?;

        let artifacts = ArtifactStore::open(&file.state, &file.base)?;
        let of_models = file.models.iter().map(|entry| (&entry.name, &entry.settings.limits));
        let of_encodings = file.encodings.iter().map(|entry| (&entry.name, &entry.settings.limits));
        let limits = of_models.chain(of_encodings).map(|(name, limits)| (name.clone(), limits.reader()));
        let recipes = RecipeStore::new(spec, loads, tables, limits.collect(), sinks, artifacts.clone())?.with(around);
        let models = models.into_iter().map(|(name, loaded)| (name, (loaded.sha256, loaded.model))).collect();
        let encodings: Vec<EncodingFacts> = encodings.into_iter().map(|loaded| loaded.facts).collect();
        Ok(Pipeline {
            file,
            decode,
            inferred,
            planned,
            models,
            encodings,
            recipes: Arc::new(recipes),
            artifacts,
            watch,
        })
    }
}

/// What the file says, without its models.
fn spec(file: &PipelineFile, decode: &DecodeSpec, sinks: &[String], encodings: &[LoadedEncoding]) -> PipelineSpec {
    let views = file.sinks.iter().filter_map(|sink| Some((sink.name.clone(), sink.query.clone()?.value)));
    let shadows = file.models.iter().filter_map(|entry| Some((entry.name.clone(), entry.settings.shadow.clone()?)));
    let mut sinks = sinks.to_vec();
    sinks.sort();
    PipelineSpec {
        sinks,
        decode: (decode.kind.clone(), decode.settings.clone()),
        query: file.query.value.clone(),
        views: views.collect(),
        models: BTreeMap::new(),
        shadows: shadows.collect(),
        encodings: encodings.iter().map(|loaded| (loaded.name.clone(), loaded.spec.clone())).collect(),
    }
}

/// What cannot be planned, at its place in the file.
fn at_fault(file: &PipelineFile, inferred: bool, error: &PlanError) -> FileError {
    let source = ["source", file.source.kind];
    let place: &[&str] = match &error.part {
        SpecPart::Query => &["query"],
        SpecPart::Sink(name) => &["sinks", name, "query"],
        SpecPart::Encoding(name) => &["encodings", name],
        // What was found out from the source's data is not written in the file.
        SpecPart::Decode if inferred => &source,
        SpecPart::Decode if file.decode.is_some() => &["decode"],
        SpecPart::Decode => &[],
    };
    let Some(query_error) = error.cause.downcast_ref::<foretell_query::Error>() else {
        return file.error(place, format!("{:#}", error.cause), "");
    };
    let text: Option<&Located<String>> = match &error.part {
        SpecPart::Query => Some(&file.query),
        SpecPart::Sink(name) => file.sinks.iter().find(|sink| sink.name == *name).and_then(|sink| sink.query.as_ref()),
        SpecPart::Encoding(_) | SpecPart::Decode => None,
    };
    let at = text.zip(query_error.place()).and_then(|(text, at)| file.place(text, at));
    match at {
        Some((line, column)) => FileError {
            line: Some(line),
            column: u32::try_from(column).unwrap_or(0),
            ..file.error(place, query_error.without_place(), "")
        },
        None => file.error(place, query_error.to_string(), ""),
    }
}
