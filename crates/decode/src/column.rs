//! The columns that a decoder gives, as the pipeline file lists them.

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::{Field, Schema, SchemaRef};
use schemars::{JsonSchema, Schema as JsonSchemaValue, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::missing::Missing;
use super::spelling::{parse, pattern};
use super::time::TimeFormat;
use super::types::{Member, TYPES, Type};

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in SQL.
    pub name: String,
    /// Its type.
    pub data_type: Type,
    /// Whether it may be missing (`int64?`); then it is NULL.
    pub optional: bool,
    /// How dates and times are written.
    pub(super) format: TimeFormat,
    /// JSON and Parquet: the names down to the value; empty where it is the name itself.
    pub(super) path: Vec<String>,
    /// CSV: the fields that mean a missing value in this column, where they are not those of all.
    pub(super) missing: Option<Missing>,
}

/// The columns, in order: a list of `NAME: TYPE`. A list, since the order matters (of a CSV's fields, of the features
/// of a model that knows no names), and tools are free to sort the keys of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.0.iter()
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Option<&Column> {
        self.0.get(index)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a list without columns does not read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As Arrow's schema.
    pub fn schema(&self) -> SchemaRef {
        let field = |column: &Column| Field::new(&column.name, column.data_type.arrow(), column.optional);
        Schema::new(self.iter().map(field).collect::<Vec<_>>()).into()
    }

    /// The same, each of which may be missing.
    pub(super) fn optional(&self) -> Columns {
        Columns(self.iter().map(|column| Column { optional: true, ..column.clone() }).collect())
    }

    /// Reads times without a zone in this one.
    pub(super) fn set_timezone(&mut self, zone: chrono_tz::Tz) {
        self.0.iter_mut().for_each(|column| column.set_timezone(zone));
    }
}

impl Column {
    /// A part of a column, as one itself.
    pub(super) fn of(member: &Member) -> Column {
        let mut format = TimeFormat::iso();
        format.set_zone(member.zone);
        let (name, data_type, optional) = (member.name.clone(), member.data_type.clone(), member.optional);
        Column { name, data_type, optional, format, path: Vec::new(), missing: None }
    }

    fn set_timezone(&mut self, zone: chrono_tz::Tz) {
        self.format.set_zone(zone);
        self.data_type.set_zone(zone);
    }
}

// ---------------------------------------------------------------- as the pipeline file writes it

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

struct ColumnsVisitor;

impl<'de> Visitor<'de> for ColumnsVisitor {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of columns: `[AGE: int64, NAME: utf8]`")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Columns, A::Error> {
        Err(A::Error::custom(
            "a list is needed, since the order of the columns matters and a map has none: write \
             `[AGE: int64, NAME: utf8]`, or a line `- AGE: int64` for each column",
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Columns, A::Error> {
        let mut columns: Vec<Column> = Vec::new();
        while let Some(column) = list.next_element::<Column>()? {
            if columns.iter().any(|earlier| earlier.name == column.name) {
                return Err(A::Error::custom(format!("column `{}` is there twice", column.name)));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            return Err(A::Error::custom("at least one column is needed"));
        }
        Ok(Columns(columns))
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = Column;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`NAME: TYPE`, for example `AGE: int64`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Column, A::Error> {
        let Some((name, spec)) = map.next_entry::<String, Spec>()? else {
            return Err(A::Error::custom("a column needs a name and a type: `AGE: int64`"));
        };
        if let Some(next) = map.next_key::<String>()? {
            return Err(A::Error::custom(format!(
                "`{name}` and `{next}` stand in one entry, which has no order: one entry a column"
            )));
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(A::Error::custom(format!(
                "`{name}` is the name of a column that every record has: choose another"
            )));
        }
        spec.column(name).map_err(A::Error::custom)
    }
}

/// Columns that `records` has beside the decoded ones.
pub(super) const RESERVED: &[&str] = &["_key", "_value", "_headers", "_topic", "_partition", "_offset", "_timestamp"];

/// What stands behind a column's name: a type, or its details.
enum Spec {
    Type(String),
    Details(Details),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    r#type: String,
    #[serde(default)]
    path: Option<Path>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    missing: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Path {
    Dotted(String),
    Keys(Vec<String>),
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpecVisitor;
        impl<'de> Visitor<'de> for SpecVisitor {
            type Value = Spec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type such as `int64`, or `{ type: int64, … }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Spec, E> {
                Ok(Spec::Type(text.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Spec, A::Error> {
                Details::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Spec::Details)
            }
        }
        deserializer.deserialize_any(SpecVisitor)
    }
}

impl Spec {
    fn column(self, name: String) -> Result<Column, String> {
        let details = match self {
            Spec::Type(r#type) => Details { r#type, path: None, format: None, missing: None },
            Spec::Details(details) => details,
        };
        let (data_type, optional) = parse(&details.r#type).map_err(|why| format!("column `{name}`: {why}"))?;
        let format = TimeFormat::new(&data_type, details.format.as_deref())
            .map_err(|message| format!("column `{name}`: {message}"))?;
        let path = match details.path {
            None => Vec::new(),
            Some(Path::Dotted(path)) => dotted(&path).map_err(|message| format!("column `{name}`: {message}"))?,
            Some(Path::Keys(keys)) => keys,
        };
        let missing = details.missing.as_deref().map(Missing::listed);
        Ok(Column { name, data_type, optional, format, path, missing })
    }
}

/// What a path has for an element of an array: no member of a pipeline file's path begins so.
pub(super) fn element(index: usize) -> String {
    format!("\0{index}")
}

/// The index of an element, where a step of a path is one.
pub(super) fn index_of(step: &str) -> Option<usize> {
    step.strip_prefix('\0')?.parse().ok()
}

/// A path as people write it.
pub(super) fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        match index_of(step) {
            Some(index) => text.push_str(&format!("[{index}]")),
            None if text.is_empty() => text.push_str(step),
            None => text.push_str(&format!(".{step}")),
        }
    }
    text
}

/// `items[0].q` as its steps.
fn dotted(path: &str) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut rest) = match part.split_once('[') {
            Some((name, _)) if part.ends_with(']') => (name, part.get(name.len()..).unwrap_or_default()),
            _ => (part, ""),
        };
        if !name.is_empty() || rest.is_empty() {
            steps.push(name.to_string());
        }
        while let Some((index, more)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let index = index.parse().map_err(|_| {
                format!(
                    "`path`: `[{index}]` is not an element of an array: write its number, from 0, or the path as a list"
                )
            })?;
            steps.push(element(index));
            rest = more;
        }
        if !rest.is_empty() {
            return Err("`path` does not read: write it as `items[0].q`, or as a list".to_string());
        }
    }
    Ok(steps)
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaValue {
        let types: Vec<String> = TYPES.iter().flat_map(|(name, _)| [name.to_string(), format!("{name}?")]).collect();
        schemars::json_schema!({
            "description": "The columns, in order: a list of `NAME: TYPE`. A `?` behind the type allows missing values.",
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": {
                    "anyOf": [
                        { "enum": types },
                        { "type": "string", "pattern": pattern() },
                        {
                            "type": "object",
                            "properties": {
                                "type": {
                                    "description": "The type; with `?` values may be missing.",
                                    "anyOf": [{ "enum": types }, { "type": "string", "pattern": pattern() }]
                                },
                                "missing": {
                                    "description": "CSV: fields that mean a missing value in this column, instead of those of the decoder's own `missing`.",
                                    "type": "array",
                                    "items": { "type": ["string", "null"] }
                                },
                                "path": {
                                    "description": "JSON and Parquet: where the value is, as `a.b.c`, `a[0].b` or `[a, b, c]`.",
                                    "anyOf": [
                                        { "type": "string" },
                                        { "type": "array", "items": { "type": "string" } }
                                    ]
                                },
                                "format": {
                                    "description": "How dates and times are written: `%d.%m.%Y %H:%M`, or \
                                        `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`.",
                                    "type": "string"
                                }
                            },
                            "required": ["type"],
                            "additionalProperties": false
                        }
                    ]
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use serde_json::json;

    use super::*;

    fn error(value: serde_json::Value) -> String {
        serde_json::from_value::<Columns>(value).unwrap_err().to_string()
    }

    #[test]
    fn columns_keep_their_order() {
        let columns: Columns =
            serde_json::from_value(json!([{ "b": "int64" }, { "a": "utf8?" }, { "t": { "type": "timestamp" } }]))
                .unwrap();
        let schema = columns.schema();
        let names: Vec<_> = schema.fields().iter().map(|f| (f.name().as_str(), f.is_nullable())).collect();
        assert_eq!(names, [("b", false), ("a", true), ("t", false)]);
    }

    #[test]
    fn decimals_say_how_many_digits_they_have() {
        let columns: Columns = serde_json::from_value(
            json!([{ "a": "decimal(10,2)" }, { "b": "decimal(38, 38)?" }, { "c": "decimal(5)" }]),
        )
        .unwrap();
        let types: Vec<String> = columns.iter().map(|column| column.data_type.to_string()).collect();
        assert_eq!(types, ["decimal(10,2)", "decimal(38,38)", "decimal(5,0)"]);
        assert_eq!(columns.schema().field(0).data_type(), &DataType::Decimal128(10, 2));
        assert!(columns.schema().field(1).is_nullable());
    }

    #[test]
    fn what_does_not_read_says_what_would() {
        let cases = [
            (json!({ "a": "int64" }), "a list is needed, since the order of the columns matters"),
            (json!([]), "at least one column"),
            (json!([{ "a": "int64", "b": "int64" }]), "`a` and `b` stand in one entry"),
            (json!([{ "a": "whole" }]), "column `a`: unknown type; known are `int8`"),
            (json!([{ "a": "decimal(39,2)" }]), "column `a`: a decimal is written with its digits in all (at most 38)"),
            (json!([{ "a": "decimal(2,3)" }]), "in quotes: `\"decimal(10,2)\"`"),
            (json!([{ "a": "decimal(10" }]), "in quotes: `\"decimal(10,2)\"`"),
            (json!([{ "a": "int8" }, { "a": "int8" }]), "column `a` is there twice"),
            (json!([{ "_key": "int8" }]), "`_key` is the name of a column that every record has"),
            (json!([{ "a": { "type": "int8", "format": "%Y" } }]), "column `a`: `format` is for dates and times"),
            (json!([{ "a": { "type": "date", "format": "%Q" } }]), "column `a`: the format does not read"),
            (json!([{ "a": { "type": "int8", "pth": "b" } }]), "unknown field `pth`"),
            (json!(["a"]), "expected `NAME: TYPE`"),
        ];
        for (value, expected) in cases {
            let error = error(value);
            assert!(error.contains(expected), "{error}");
        }
    }
}
