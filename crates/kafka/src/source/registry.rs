//! How values are decoded, as the latest schema of a subject says.

use foretell_connect::kind::{DecodeSpec, Inferred};
use foretell_connect::schemas::Language;
use foretell_decode::{avro_text, json_columns, protobuf_columns};
use foretell_flow::StageError;
use foretell_registry::Registry;
use serde_json::Value;

/// The decoder with what it lacks: the schema that values are read as.
pub(super) async fn decode(
    registry: &Registry,
    subject: &str,
    given: Option<&DecodeSpec>,
) -> Result<Inferred, StageError> {
    if let Some(given) = given.filter(|given| given.kind == "avro" && given.settings.get("schema").is_some()) {
        return Ok(Inferred { decode: given.clone(), from: "its `schema`".to_string() });
    }
    let Some(schema) = registry.latest(subject).await? else {
        let error = StageError::settings(format!("{registry:?} has no subject `{subject}`"));
        return Err(error.remedy("register the schema first, name the `subject`, or write `decode` with its `columns`"));
    };
    let kind = match schema.language {
        Language::Avro => "avro",
        Language::Json => "json",
        Language::Protobuf => "protobuf",
    };
    if let Some(given) = given.filter(|given| given.kind != kind) {
        let language = schema.language.name();
        let error =
            StageError::settings(format!("the schema of subject `{subject}` is {language}, not `{}`", given.kind));
        return Err(error.remedy(format!("write `decode: {{ {kind}: {{}} }}`, or the `columns` of `{}`", given.kind)));
    }
    let mut settings = given.and_then(|given| given.settings.as_object().cloned()).unwrap_or_default();
    let unread = |why: String| {
        StageError::settings(format!("subject `{subject}`: schema {}: {why}", schema.id))
            .remedy("write `decode` with its `columns`")
    };
    match schema.language {
        Language::Avro => {
            settings.insert("schema".to_string(), Value::String(avro_text(&schema).map_err(unread)?));
        }
        Language::Json => {
            settings.insert("columns".to_string(), json_columns(&schema.text).map_err(unread)?);
        }
        Language::Protobuf => {
            settings.insert("columns".to_string(), protobuf_columns(&schema).map_err(unread)?);
        }
    }
    let decode = DecodeSpec { kind: kind.to_string(), settings: Value::Object(settings) };
    Ok(Inferred { decode, from: format!("schema {} of subject `{subject}`", schema.id) })
}
