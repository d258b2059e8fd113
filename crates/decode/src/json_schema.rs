//! The columns that a JSON Schema tells of.

use arrow::datatypes::{DataType, FieldRef, Fields, Schema};
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

/// The schema of objects that are written of these columns: whatever may be NULL is null, as are floats that are no numbers.
pub fn json_schema_of(columns: &Schema, title: &str) -> String {
    let mut schema = object(columns.fields(), 0);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_string(), json!("http://json-schema.org/draft-07/schema#"));
        members.insert("title".to_string(), json!(title));
    }
    schema.to_string()
}

/// Deeper than this, a part of a column may be anything.
const DEPTH: usize = 32;

fn object(fields: &Fields, depth: usize) -> Value {
    let property = |field: &FieldRef| {
        let float = field.data_type().is_floating();
        let inner = type_of(field.data_type(), depth.saturating_add(1));
        let property = match field.is_nullable() || float {
            true => json!({ "oneOf": [{ "type": "null" }, inner] }),
            false => inner,
        };
        (field.name().clone(), property)
    };
    let properties: Map<String, Value> = fields.iter().map(property).collect();
    json!({ "type": "object", "properties": properties })
}

fn type_of(data_type: &DataType, depth: usize) -> Value {
    if depth > DEPTH {
        return json!({});
    }
    let deeper = depth.saturating_add(1);
    match data_type {
        DataType::Boolean => json!({ "type": "boolean" }),
        other if other.is_integer() => json!({ "type": "integer" }),
        other if other.is_numeric() => json!({ "type": "number" }),
        DataType::Timestamp(_, Some(_)) => json!({ "type": "string", "format": "date-time" }),
        DataType::Date32 => json!({ "type": "string", "format": "date" }),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            json!({ "type": "array", "items": { "oneOf": [{ "type": "null" }, type_of(item.data_type(), deeper)] } })
        }
        DataType::Struct(fields) => object(fields, deeper),
        DataType::Map(..) => json!({ "type": "object" }),
        DataType::Dictionary(_, values) => type_of(values, deeper),
        DataType::RunEndEncoded(_, values) => type_of(values.data_type(), deeper),
        _ => json!({ "type": "string" }),
    }
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

    #[test]
    fn what_is_written_is_read_again() {
        use arrow::datatypes::{Field, TimeUnit};
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("x", DataType::Float64, false),
            Field::new("s", DataType::Utf8View, true),
            Field::new("t", time, true),
            Field::new("l", DataType::new_list(DataType::Int32, true), true),
        ]);
        let text = json_schema_of(&schema, "readings");
        let read = json_columns(&text).unwrap();
        let names: Vec<&str> = read
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|column| column.as_object().unwrap().keys())
            .map(String::as_str)
            .collect();
        assert_eq!(names, ["id", "x", "s", "t", "l"]);
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["properties"]["id"], json!({ "type": "integer" }));
        assert_eq!(schema["properties"]["x"]["oneOf"][1], json!({ "type": "number" }));
        assert_eq!(schema["properties"]["l"]["oneOf"][1]["items"]["oneOf"][1], json!({ "type": "integer" }));
    }
}
