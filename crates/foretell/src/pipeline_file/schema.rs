//! The JSON Schema of the pipeline file, made from the settings types of all components.

use crate::components::{SINKS, SOURCES, TABLES};
use foretell_connect::human::{HumanDuration, HumanSize};
use foretell_connect::kind::{DecodeSettings, Kind, SinkSettings, SourceSettings, TableSettings};
use foretell_decode::DECODERS;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::encodings::EncodingSettings;
use super::settings::{ModelSettings, OnBadRecord, Trigger};
use super::tables::CommonTableSettings;

/// The kinds of components that a pipeline file may name.
#[derive(Clone, Copy)]
pub(crate) struct Registry {
    /// Where records come from.
    pub(crate) sources: &'static [Kind<dyn SourceSettings>],
    /// Bytes to columns.
    pub(crate) decoders: &'static [Kind<dyn DecodeSettings>],
    /// Where rows land.
    pub(crate) sinks: &'static [Kind<dyn SinkSettings>],
    /// Where the rows of reference tables are.
    pub(crate) tables: &'static [Kind<dyn TableSettings>],
}

/// All kinds there are.
pub(crate) const REGISTRY: Registry = Registry { sources: SOURCES, decoders: DECODERS, sinks: SINKS, tables: TABLES };

/// The schema of the resolved file: what a value is once its reference has been read.
pub(crate) fn pipeline_schema(registry: Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let g = &mut generator;
    let source = kinds(registry.sources, g, "Where records come from: one kind of source.");
    let decode = kinds(
        registry.decoders,
        g,
        "How a record's bytes become columns: one kind of decoder. Required, except for files, which show it themselves.",
    );
    // Of files the columns can be left out; whoever else leaves them out is told.
    for kind in registry.decoders {
        let definition = decode["properties"][kind.name]["$ref"].as_str().and_then(|place| place.rsplit('/').next());
        let required =
            definition.and_then(|name| g.definitions_mut().get_mut(name)?.get_mut("required")?.as_array_mut());
        if let Some(required) = required {
            required.retain(|key| key != "columns");
        }
    }
    let dead_letters = kinds(registry.sinks, g, "Where bad records go, with their reasons: one kind of sink.");
    let mut sink = kinds(registry.sinks, g, "One kind of sink, and a `query` of its own if need be.");
    sink["maxProperties"] = json!(4);
    sink["properties"]["backfill"] = json!({
        "description": "Where this sink has no position yet: begin where a new pipeline would (true), or where the \
            other sinks are (false, the default).",
        "type": "boolean"
    });
    sink["properties"]["new"] = json!({
        "description": "Where this sink has no position yet, and there are signs that the pipeline ran before: this one \
            is new, and was not renamed or moved (true), or ask (false, the default).",
        "type": "boolean"
    });
    sink["properties"]["query"] = json!({
        "description": "SQL over the pipeline's rows, which it calls `result`: what lands in this sink.",
        "type": "string"
    });
    let model = g.subschema_for::<ModelSettings>();
    let encoding = g.subschema_for::<EncodingSettings>();
    let table = table_schema(registry.tables, g);
    let http = g.subschema_for::<foretell_http::Settings>();
    let trigger = g.subschema_for::<Trigger>();
    let on_bad_record = g.subschema_for::<OnBadRecord>();
    let duration = g.subschema_for::<HumanDuration>();
    let size = g.subschema_for::<HumanSize>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "foretell pipeline",
        "type": "object",
        "properties": {
            "pipeline": {
                "description": "The pipeline's name: positions are stored under it. Letters, digits, `.`, `_`, `-`.",
                "type": "string"
            },
            "source": source,
            "decode": decode,
            "models": {
                "description": "The models: each is an SQL function of its name.",
                "type": "object",
                "additionalProperties": model
            },
            "encodings": {
                "description": "Labels and their codes: each is an SQL function of its name.",
                "type": "object",
                "additionalProperties": encoding
            },
            "tables": {
                "description": "Reference tables that the queries can join, by name.",
                "type": "object",
                "additionalProperties": table
            },
            "query": {
                "description": "SQL over `records`: the decoded columns and `_key`, `_value`, `_headers`, `_topic`, \
                    `_partition`, `_offset`, `_timestamp`. `model(*)` predicts. Default: all columns.",
                "type": "string"
            },
            "sinks": {
                "description": "Where the rows land, by name. The first sink leads: it stores the plans.",
                "type": "object",
                "minProperties": 1,
                "additionalProperties": sink
            },
            "dead_letters": dead_letters,
            "on_bad_record": with(on_bad_record.into(), "What becomes of a pipeline when a record is bad: `continue` (it is set aside, or counted and logged without its value), `stop` (before the record's batch, also where there are `dead_letters`), or `{ stop_above: 5% }`: it stops before it stores a batch by which more than this share of the latest records (at least 1,000) is bad, and a batch job ends with exit code 3 where more of all its records are. Default: `continue`."),
            "trigger": trigger,
            "timezone": {
                "description": "How times are written to sinks without a zone: an IANA name such as \
                    `Asia/Shanghai`. Default: UTC.",
                "type": "string"
            },
            "state": {
                "description": "The folder for models and manifests, relative to this file. Default: `.foretell`.",
                "type": "string"
            },
            "window": with(size.into(), "Bytes of records in flight between the leader and the slowest sink, \
                with the rows made of them and 2 KiB for each batch; where they are used up, no more is read. \
                Default: 64 MiB."),
            "progress": with(duration.into(), "How often a progress line is logged. Default: `10s`."),
            "http": http
        },
        "required": ["pipeline", "source", "sinks"],
        "additionalProperties": false,
        "$defs": generator.take_definitions(true)
    })
}

/// What stands below a table's name: the kinds, each alone, and what all have.
fn table_schema(tables: &[Kind<dyn TableSettings>], generator: &mut SchemaGenerator) -> Value {
    let mut table: Value = CommonTableSettings::json_schema(generator).into();
    let common = table["properties"].take();
    let mut properties: Map<String, Value> =
        tables.iter().map(|kind| (kind.name.to_string(), (kind.schema)(generator).into())).collect();
    properties.extend(common.as_object().cloned().unwrap_or_default());
    table["properties"] = Value::Object(properties);
    table
}

/// A schema with another description.
fn with(mut schema: Value, description: &str) -> Value {
    schema["description"] = Value::from(description);
    schema
}

fn kinds<S: ?Sized>(kinds: &[Kind<S>], generator: &mut SchemaGenerator, description: &str) -> Value {
    let settings = |kind: &Kind<S>| {
        let schema: Value = (kind.schema)(generator).into();
        // What may come from the source is not required here.
        let definition = schema["$ref"].as_str().and_then(|place| place.rsplit('/').next());
        if let Some(required) =
            definition.and_then(|name| generator.definitions_mut().get_mut(name)?.get_mut("required"))
            && let Some(required) = required.as_array_mut()
        {
            required.retain(|key| !kind.inherits.iter().copied().flatten().any(|inherited| key == inherited));
        }
        (kind.name.to_string(), schema)
    };
    let properties: Map<String, Value> = kinds.iter().map(settings).collect();
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false
    })
}

/// The schema of the file as it is written, for editors: every scalar may also be a reference, and secrets must be.
pub(crate) fn editor_schema(registry: Registry) -> Value {
    let mut schema = pipeline_schema(registry);
    let mut references = Map::new();
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        for (name, definition) in definitions.iter_mut() {
            if name == "Secret" {
                *definition = with(json!({ "$ref": "#/$defs/Reference" }), "A secret, by reference.");
            } else {
                allow_references(definition);
            }
        }
        references.insert("Reference".to_string(), reference());
        definitions.append(&mut references);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(allow_references);
    }
    schema
}

fn reference() -> Value {
    let only = |key: &str, description: &str| {
        json!({
            "type": "object",
            "properties": { key: { "description": description, "type": "string" } },
            "required": [key],
            "additionalProperties": false
        })
    };
    json!({
        "description": "A value from elsewhere: `{ env: NAME }` or `{ file: PATH }`.",
        "anyOf": [
            only("env", "The environment variable that holds the value."),
            only("file", "The file that holds the value, without its last line end; relative to the pipeline file.")
        ]
    })
}

/// Wraps every schema of a scalar so that a reference fits, too.
fn allow_references(schema: &mut Value) {
    if is_scalar(schema) {
        let mut inner = schema.take();
        let description = inner.as_object_mut().and_then(|inner| inner.remove("description"));
        *schema = json!({ "anyOf": [inner, { "$ref": "#/$defs/Reference" }] });
        if let Some(description) = description {
            schema["description"] = description;
        }
        return;
    }
    let Value::Object(members) = schema else { return };
    for (key, value) in members {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(allow_references),
            ("items" | "additionalProperties", value) => allow_references(value),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(list)) => {
                list.iter_mut().for_each(allow_references);
            }
            _ => {}
        }
    }
}

/// Whether only scalars fit (references into `$defs` are looked at there).
fn is_scalar(schema: &Value) -> bool {
    let is_scalar_type = |name: &Value| matches!(name.as_str(), Some("string" | "integer" | "number" | "boolean"));
    match schema.get("type") {
        Some(Value::Array(names)) => {
            return names.iter().all(|name| is_scalar_type(name) || name == "null");
        }
        Some(name) => return is_scalar_type(name),
        None => {}
    }
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        return true;
    }
    ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).any(|list| list.iter().all(is_scalar))
}
