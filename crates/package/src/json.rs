//! What is in a model file, as JSON.

use foretell_model::{Description, GlobalReport, InputKind, Model, Output, Report, StepReport};
use serde_json::{Value, json};

/// The report as `foretell inspect --json` prints it.
#[must_use]
pub fn json(report: &Report) -> Value {
    let globals: Vec<Value> = report
        .globals
        .iter()
        .map(|g| {
            let GlobalReport { module, name, byte, times, allowed, opaque } = g;
            json!({ "module": module, "name": name, "byte": byte, "times": times, "allowed": allowed, "opaque": opaque })
        })
        .collect();
    let all = json!({
        "size": report.size,
        "unpacked": report.unpacked,
        "sha256": report.sha256,
        "container": report.container,
        "protocol": report.protocol,
        "globals": globals,
        "stopped": report.stopped,
    });
    let (key, value) = match &report.model {
        Ok(model) => ("model", described(model)),
        Err(error) => ("refused", Value::from(error.to_string())),
    };
    let Value::Object(mut all) = all else { return all };
    all.insert(key.to_owned(), value);
    Value::Object(all)
}

/// What is to be known of a model: its library, its steps, its inputs and outputs.
#[must_use]
pub fn described(model: &Model) -> Value {
    let Description { library, version, libraries, root, trees, nodes, max_depth, kernel, bytes, notes, sha256: _ } =
        model.describe();
    let libraries: Vec<Value> =
        libraries.iter().map(|(name, version)| json!({ "name": name, "version": version })).collect();
    let signature = model.signature();
    let inputs: Vec<Value> = signature
        .inputs
        .iter()
        .map(|input| {
            let (kind, levels) = match &input.kind {
                InputKind::Number => ("number", None),
                InputKind::Text => ("text", None),
                InputKind::Bool => ("bool", None),
                InputKind::Any => ("any", None),
                InputKind::List => ("list", None),
                InputKind::Category(levels) => ("category", Some(levels)),
            };
            json!({ "name": input.name, "kind": kind, "levels": levels })
        })
        .collect();
    let outputs = |outputs: &[Output]| -> Vec<Value> {
        let one = |o: &Output| json!({ "name": o.name, "type": o.data_type.to_string(), "class": o.class });
        outputs.iter().map(one).collect()
    };
    json!({
        "library": library, "version": version, "libraries": libraries, "trees": trees, "nodes": nodes, "max_depth": max_depth,
        "kernel": kernel, "memory": bytes, "notes": notes, "steps": step_json(root), "inputs": inputs,
        "outputs": {
            "predict": outputs(&signature.predict),
            "predict_proba": outputs(&signature.proba),
            "decision_function": outputs(&signature.decision),
            "score_samples": outputs(&signature.samples),
            "transform": outputs(&signature.transform),
        }
    })
}

fn step_json(report: &StepReport) -> Value {
    let parameters: serde_json::Map<String, Value> =
        report.parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let trees = report.trees.as_ref().map(|t| {
        json!({ "trees": t.trees, "nodes": t.nodes, "max_depth": t.max_depth, "kernel": t.kernel, "memory": t.bytes })
    });
    json!({
        "name": report.name, "class": report.class, "parameters": parameters, "columns": report.columns,
        "trees": trees, "steps": report.children.iter().map(step_json).collect::<Vec<_>>(),
    })
}
