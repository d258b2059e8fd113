//! Decoder and queries are made from a spec.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::anyhow;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretell_connect::schemas::Schemas;
use foretell_decode::{DECODERS, keys, open_decoder};
use foretell_flow::{Query, Stages, records_schema};
use foretell_query::{Input, Scored, Table};

use super::error::{PlanError, SpecPart};
use super::functions::{Functions, Scorers, scorers};
use super::query::{Observer, Stage};
use super::spec::PipelineSpec;

/// What is known of a pipeline's queries once they are planned.
#[derive(Debug, Clone)]
pub(crate) struct QueryPlan {
    /// The result's columns.
    pub(crate) result: SchemaRef,
    /// By sink: what its own query gives, or the result.
    pub(crate) sinks: Vec<SchemaRef>,
    /// `row-wise`, or what makes it otherwise, for people.
    pub(crate) kind: String,
    /// Whether each row of every sink comes from one partition.
    pub(crate) by_partition: bool,
    /// Whether each row of every sink comes from one record.
    pub(crate) row_wise: bool,
}

/// Sinks that a recipe does not know: their queries of today, over its result.
pub(crate) struct NewSinks {
    pub(super) views: BTreeMap<String, String>,
    pub(super) functions: Scorers,
    pub(super) tables: Vec<Table>,
}

/// What stages are made with beside a spec.
#[derive(Clone, Default)]
pub(crate) struct Around {
    /// Has the schemas that records name by number.
    pub(super) schemas: Option<Arc<dyn Schemas>>,
    /// Hears what models are asked.
    pub(super) observer: Option<Arc<dyn Observer>>,
}

/// The decoder and the queries of a spec, with these tables, and these functions beside those of its own encodings; one
/// query for each of `sinks`. Of sinks that the spec does not know, `new_sinks` says what they get.
pub(super) async fn plan(
    spec: &PipelineSpec,
    functions: Functions,
    tables: Vec<Table>,
    sinks: &[String],
    new_sinks: Option<&NewSinks>,
    around: &Around,
) -> Result<(Stages, QueryPlan), PlanError> {
    let models = &scorers(spec, functions)?;
    let (kind, settings) = &spec.decode;
    let undecoded = |cause| PlanError { part: SpecPart::Decode, cause };
    let decoder = DECODERS.iter().find(|decoder| decoder.name == kind);
    let decoder = decoder.ok_or_else(|| undecoded(anyhow!("no decoder `{kind}`")))?;
    let settings = (decoder.parse)(settings.clone())
        .map_err(|error| undecoded(anyhow!("decode: {kind}: {}: {}", error.path.join("."), error.message)))?;
    let decode = open_decoder(&*settings, around.schemas.clone()).map_err(|error| undecoded(error.into()))?;
    let keys = keys(&settings.key(), around.schemas.as_ref()).map_err(|error| undecoded(error.into()))?;
    let input = Input {
        table: "records".into(),
        schema: records_schema(&decode.schema(), &keys.data_type),
        decoded: decode.schema().fields().iter().map(|field| field.name().clone()).filter(is_input).collect(),
    };
    let query = foretell_query::Query::prepare(&spec.query, &input, models, tables.clone()).await;
    let query = query.map_err(|error| PlanError { part: SpecPart::Query, cause: error.into() })?;
    let result = query.output_schema().clone();
    let mut planned = QueryPlan {
        result: result.clone(),
        sinks: Vec::new(),
        kind: query.scope().to_string(),
        by_partition: query.scope().is_by_partition(),
        row_wise: query.scope().is_row_wise(),
    };
    // A model is watched in the first query that calls it.
    let mut heard: BTreeSet<String> = BTreeSet::new();
    let mut observer = |sql: &str| {
        let observer = around.observer.clone()?;
        let models = observer.models().into_iter().filter(|model| !heard.contains(model) && calls(model, sql));
        let models: BTreeSet<String> = models.collect();
        heard.extend(models.iter().cloned());
        Some(Arc::new(Part { observer, models }) as Arc<dyn Observer>)
    };
    let of_query = observer(&spec.query);
    let mut views: Vec<Option<Box<dyn Query>>> = Vec::with_capacity(sinks.len());
    for sink in sinks {
        let new_sink = new_sinks.and_then(|new_sinks| Some((new_sinks.views.get(sink)?, new_sinks)));
        let (models, tables) = new_sink.map_or((models, &tables), |(_, new)| (&new.functions, &new.tables));
        let Some(sql) = new_sink.map(|(sql, _)| sql).or_else(|| spec.views.get(sink)) else {
            planned.sinks.push(result.clone());
            views.push(None);
            continue;
        };
        let input = Input {
            table: "result".into(),
            schema: view_schema(&result, query.scope().is_by_partition()),
            decoded: result.fields().iter().map(|field| field.name().clone()).collect(),
        };
        let view = foretell_query::Query::prepare(sql, &input, models, tables.clone()).await;
        let view = view.map_err(|error| PlanError { part: SpecPart::Sink(sink.clone()), cause: error.into() })?;
        planned.by_partition &= view.scope().is_by_partition();
        planned.row_wise &= view.scope().is_row_wise();
        planned.sinks.push(view.output_schema().clone());
        views.push(Some(Box::new(Stage::new(view, observer(sql)))));
    }
    Ok((Stages { decode, keys, query: Box::new(Stage::new(query, of_query)), views }, planned))
}

/// Whether a query may call a model. Words in comments and texts count, too: then another query is not watched.
fn calls(model: &str, sql: &str) -> bool {
    let (model, sql) = (model.to_lowercase(), sql.to_lowercase());
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    sql.match_indices(&model).any(|(at, _)| {
        let before = sql.get(..at).and_then(|before| before.chars().next_back());
        let after = sql.get(at + model.len()..).unwrap_or_default().trim_start();
        !before.is_some_and(is_word) && (after.starts_with('(') || after.starts_with('_'))
    })
}

/// An observer of some models.
struct Part {
    observer: Arc<dyn Observer>,
    models: BTreeSet<String>,
}

impl Observer for Part {
    fn models(&self) -> BTreeSet<String> {
        self.models.clone()
    }

    fn count(&self, scored: Vec<Scored>) {
        self.observer.count(scored);
    }
}

/// Whether a decoded column is one of the value's own: not what is said of the record beside them.
fn is_input(name: &String) -> bool {
    name != "_deleted" && name != "_op"
}

/// The result as a sink's own query sees it.
fn view_schema(result: &SchemaRef, by_partition: bool) -> SchemaRef {
    if !by_partition {
        return result.clone();
    }
    let mut fields: Vec<_> = result.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("_partition", DataType::Int32, false)));
    fields.push(Arc::new(Field::new("_offset", DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// A table as the queries take it.
pub(crate) fn joinable(name: &str, batch: RecordBatch) -> Table {
    Table { name: name.to_string(), schema: batch.schema(), batches: vec![batch] }
}
