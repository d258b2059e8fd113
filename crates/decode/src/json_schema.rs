//! The columns that a JSON Schema tells of.

use serde_json::{Map, Value, json};

use super::column::RESERVED;

/// Columns for the decoder `json`: the properties of an object, each with the type that holds all that the schema allows. One
/// that is not required, or may be null, may be missing; what has parts is JSON as `utf8`.
///
/// # Errors
/// Why it tells of none.
pub fn json_columns(schema: &str) -> Result<Value, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|_| "not a JSON Schema: not JSON".to_string())?;
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty()) else {
        return Err("it has no `properties`".to_string());
    };
    let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut columns = Vec::with_capacity(properties.len());
    for (name, property) in properties {
        if RESERVED.contains(&name.as_str()) {
            return Err(format!("property `{name}` has the name of a column that every record has"));
        }
        let (kind, null) = kind(property, &schema);
        let optional = null || !required.iter().any(|required| required.as_str() == Some(name));
        let mark = if optional { "?" } else { "" };
        // A dot is no path here.
        let entry = match name.contains('.') {
            true => json!({ "type": format!("{kind}{mark}"), "path": [name] }),
            false => json!(format!("{kind}{mark}")),
        };
        columns.push(Value::Object(Map::from_iter([(name.clone(), entry)])));
    }
    Ok(Value::Array(columns))
}

/// References are followed so far.
const REFERENCES: usize = 8;

/// The type of a property, and whether it may be null.
fn kind(property: &Value, root: &Value) -> (&'static str, bool) {
    let mut property = property;
    for _ in 0..REFERENCES {
        let place = property.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix('#'));
        match place.and_then(|place| root.pointer(place)) {
            Some(found) => property = found,
            None => break,
        }
    }
    let branches = property.get("oneOf").or_else(|| property.get("anyOf")).and_then(Value::as_array);
    if let Some(branches) = branches {
        let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
        let others: Vec<&Value> = branches.iter().filter(|branch| !is_null(branch)).collect();
        let null = others.len() < branches.len();
        return match others.as_slice() {
            [one] if one.get("oneOf").is_none() && one.get("anyOf").is_none() => {
                let (kind, also) = kind_of(one);
                (kind, null || also)
            }
            _ => ("utf8", null),
        };
    }
    kind_of(property)
}

fn kind_of(property: &Value) -> (&'static str, bool) {
    let names: Vec<&str> = match property.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let null = names.contains(&"null");
    let others: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    let format = property.get("format").and_then(Value::as_str);
    let kind = match (others.as_slice(), format) {
        (["integer"], _) => "int64",
        (["number"] | ["integer", "number"] | ["number", "integer"], _) => "float64",
        (["boolean"], _) => "bool",
        (["string"], Some("date")) => "date",
        (["string"], Some("date-time")) => "timestamp",
        _ => "utf8",
    };
    (kind, null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_columns() {
        let schema = json!({
            "type": "object",
            "required": ["id", "at", "note", "tags"],
            "properties": {
                "id": { "type": "integer" },
                "amount": { "type": "number" },
                "note": { "oneOf": [{ "type": "null" }, { "type": "string" }] },
                "at": { "type": "string", "format": "date-time" },
                "tags": { "type": "array" },
                "a.b": { "$ref": "#/definitions/flag" }
            },
            "definitions": { "flag": { "type": ["boolean", "null"] } }
        });
        let columns = json_columns(&schema.to_string()).unwrap();
        let expected = json!([
            { "id": "int64" }, { "amount": "float64?" }, { "note": "utf8?" }, { "at": "timestamp" }, { "tags": "utf8" },
            { "a.b": { "type": "bool?", "path": ["a.b"] } }
        ]);
        assert_eq!(columns, expected);
        assert!(json_columns("{}").unwrap_err().contains("`properties`"));
        assert!(json_columns(r#"{"properties": {"_key": {}}}"#).unwrap_err().contains("`_key`"));
    }
}
