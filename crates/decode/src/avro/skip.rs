//! Where a record ends: its bytes are passed over by its schema, and nothing is made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Schemas are nested no deeper than this.
const DEPTH: usize = 64;
/// A schema with its definitions put where they are named has no more parts than this.
const PARTS: usize = 100_000;
/// An array of elements that take no bytes has no more of them than this.
const EMPTY: u64 = 1 << 16;

/// What bytes a value takes.
#[derive(Debug)]
pub(super) enum Shape {
    /// So many.
    Fixed(usize),
    /// A number of any length.
    Number,
    /// A length, and so many.
    Bytes,
    Array(Arc<Shape>),
    Map(Arc<Shape>),
    Union(Vec<Arc<Shape>>),
    Record(Vec<Arc<Shape>>),
}

impl Shape {
    /// Of a schema.
    ///
    /// # Errors
    /// What does not read; a type that contains itself.
    pub(super) fn of(schema: &Value) -> Result<Arc<Shape>, String> {
        let mut reading = Reading { named: BTreeMap::new() };
        Ok(reading.shape(schema, "", 0)?.0)
    }

    /// The bytes behind the value that these begin with; `None` where it is none, or is cut off.
    pub(super) fn skip<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        match self {
            Shape::Fixed(size) => bytes.get(*size..),
            Shape::Number => number(bytes).map(|(_, rest)| rest),
            Shape::Bytes => {
                let (length, rest) = number(bytes)?;
                rest.get(usize::try_from(length).ok()?..)
            }
            Shape::Array(item) => blocks(bytes, |rest| item.skip(rest)),
            Shape::Map(value) => blocks(bytes, |rest| value.skip(Shape::Bytes.skip(rest)?)),
            Shape::Union(branches) => {
                let (branch, rest) = number(bytes)?;
                branches.get(usize::try_from(branch).ok()?)?.skip(rest)
            }
            Shape::Record(fields) => fields.iter().try_fold(bytes, |rest, field| field.skip(rest)),
        }
    }
}

/// Passes over the blocks of an array or a map.
fn blocks<'b>(mut rest: &'b [u8], skip: impl Fn(&'b [u8]) -> Option<&'b [u8]>) -> Option<&'b [u8]> {
    loop {
        let (count, behind) = number(rest)?;
        rest = behind;
        if count == 0 {
            return Some(rest);
        }
        if count < 0 {
            // The block's size in bytes comes with it.
            rest = number(rest)?.1;
        }
        let mut empty = 0_u64;
        for _ in 0..count.unsigned_abs() {
            let behind = skip(rest)?;
            if behind.len() == rest.len() {
                empty = empty.checked_add(1).filter(|empty| *empty <= EMPTY)?;
            }
            rest = behind;
        }
    }
}

/// A number as Avro's `long`, and what is behind it.
pub(super) fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let shift = u32::try_from(at).ok()?.checked_mul(7)?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            let number = (value >> 1) as i64 ^ (value as i64 & 1).checked_neg()?;
            return Some((number, bytes.get(at.checked_add(1)?..)?));
        }
    }
    None
}

/// A shape, and of how many parts it is.
type Counted = (Arc<Shape>, usize);

struct Reading {
    /// Those that are whole, by their full names.
    named: BTreeMap<String, Counted>,
}

impl Reading {
    fn shape(&mut self, schema: &Value, space: &str, depth: usize) -> Result<Counted, String> {
        if depth > DEPTH {
            return Err(format!("the schema is nested deeper than {DEPTH}"));
        }
        let deeper = depth.saturating_add(1);
        match schema {
            Value::String(name) => self.by_name(name, space),
            Value::Array(branches) => {
                let (shapes, parts) = self.several(branches.iter(), space, deeper)?;
                Ok((Arc::new(Shape::Union(shapes)), parts))
            }
            Value::Object(object) => self.object(object, space, deeper),
            _ => Err("a type is neither a name nor a schema".to_string()),
        }
    }

    fn several<'v>(
        &mut self,
        schemas: impl Iterator<Item = &'v Value>,
        space: &str,
        depth: usize,
    ) -> Result<(Vec<Arc<Shape>>, usize), String> {
        let (mut shapes, mut all) = (Vec::new(), 1_usize);
        for schema in schemas {
            let (shape, parts) = self.shape(schema, space, depth)?;
            shapes.push(shape);
            all = all.saturating_add(parts);
            if all > PARTS {
                return Err(format!("the schema has more than {PARTS} parts"));
            }
        }
        Ok((shapes, all))
    }

    fn by_name(&mut self, name: &str, space: &str) -> Result<Counted, String> {
        let shape = match name {
            "null" => Shape::Fixed(0),
            "boolean" => Shape::Fixed(1),
            "float" => Shape::Fixed(4),
            "double" => Shape::Fixed(8),
            "int" | "long" => Shape::Number,
            "bytes" | "string" => Shape::Bytes,
            name => {
                let full = if name.contains('.') || space.is_empty() { name.into() } else { format!("{space}.{name}") };
                let found = self.named.get(&full).or_else(|| self.named.get(name));
                return found.cloned().ok_or_else(|| {
                    format!("`{name}` is not defined before it is named; a type that contains itself cannot be read")
                });
            }
        };
        Ok((Arc::new(shape), 1))
    }

    fn object(&mut self, object: &Map<String, Value>, space: &str, depth: usize) -> Result<Counted, String> {
        let lacks = |what: &str| format!("a type has no `{what}`");
        let kind = object.get("type").ok_or_else(|| lacks("type"))?;
        let Some(kind) = kind.as_str() else { return self.shape(kind, space, depth) };
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let space = match (text("namespace"), text("name").and_then(|name| name.rsplit_once('.'))) {
            (_, Some((space, _))) => space,
            (Some(space), None) => space,
            (None, None) => space,
        };
        let (shape, parts) = match kind {
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                let (inner, parts) = self.shape(object.get(key).ok_or_else(|| lacks(key))?, space, depth)?;
                let shape = if kind == "array" { Shape::Array(inner) } else { Shape::Map(inner) };
                (shape, parts.saturating_add(1))
            }
            "enum" => (Shape::Number, 1),
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).ok_or_else(|| lacks("size"))?;
                (Shape::Fixed(usize::try_from(size).map_err(|_| lacks("size"))?), 1)
            }
            "record" | "error" => {
                let fields = object.get("fields").and_then(Value::as_array).ok_or_else(|| lacks("fields"))?;
                let types: Option<Vec<&Value>> = fields.iter().map(|field| field.get("type")).collect();
                let types = types.ok_or_else(|| "a field has no `type`".to_string())?;
                let (shapes, parts) = self.several(types.into_iter(), space, depth)?;
                (Shape::Record(shapes), parts)
            }
            name => return self.by_name(name, space),
        };
        let counted = (Arc::new(shape), parts);
        if let Some(name) = text("name").filter(|_| matches!(kind, "enum" | "fixed" | "record" | "error")) {
            let full =
                if name.contains('.') || space.is_empty() { name.to_string() } else { format!("{space}.{name}") };
            self.named.insert(full, counted.clone());
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_passed_over_to_their_end() {
        let schema = json!({ "type": "record", "name": "r", "namespace": "a.b", "fields": [
            { "name": "n", "type": "long" },
            { "name": "s", "type": ["null", "string"] },
            { "name": "f", "type": { "type": "fixed", "name": "four", "size": 4 } },
            { "name": "g", "type": "four" },
            { "name": "l", "type": { "type": "array", "items": { "type": "map", "values": "double" } } },
            { "name": "t", "type": { "type": "long", "logicalType": "timestamp-millis" } },
        ] });
        let shape = Shape::of(&schema).unwrap();
        let mut bytes = b"\x81\x01\x02\x04ab12345678".to_vec();
        // Two blocks of maps, one with its size; one map of one entry, one of none.
        bytes.extend(b"\x01\x16\x02\x02k12345678\x00\x02\x00\x00\x06");
        let whole = bytes.len();
        bytes.extend(b"rest");
        assert_eq!(shape.skip(&bytes), Some(&b"rest"[..]));
        for cut in 0..whole {
            assert_eq!(shape.skip(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(shape.skip(b"\0\x04\x02ab"), None, "no such branch");
    }

    #[test]
    fn hostile_schemas_and_values_end() {
        let itself = json!({ "type": "record", "name": "r", "fields": [{ "name": "r", "type": ["null", "r"] }] });
        assert!(Shape::of(&itself).unwrap_err().contains("contains itself"));
        let mut fields = vec![json!({ "name": "a", "type": { "type": "record", "name": "r0", "fields": [] } })];
        for n in 1..60 {
            let inner = format!("r{}", n - 1);
            let twice = json!([{ "name": "x", "type": inner }, { "name": "y", "type": inner }]);
            fields.push(json!({ "name": format!("f{n}"), "type": { "type": "record", "name": format!("r{n}"), "fields": twice } }));
        }
        let doubling = json!({ "type": "record", "name": "root", "fields": fields });
        assert!(Shape::of(&doubling).unwrap_err().contains("parts"));
        let nulls = Shape::of(&json!({ "type": "array", "items": "null" })).unwrap();
        assert_eq!(nulls.skip(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"), None);
        assert_eq!(nulls.skip(b"\x04\0"), Some(&b""[..]));
    }
}
