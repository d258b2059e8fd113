//! Bytes to Arrow columns, of one writer's schema.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow_avro::reader::{Decoder as Lines, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use foretell_connect::schemas::Schema;
use serde_json::Value;

/// Batches are taken whole: this is never reached.
const ROWS: usize = 1 << 30;

/// Reads values of one schema.
pub(crate) struct Reader {
    id: u32,
    writer: String,
    /// What they are read as; their own schema where there is none.
    reader: Option<String>,
    lines: Lines,
    /// The names that fields have beside their own.
    aliases: BTreeMap<String, String>,
    /// A value with its frame.
    buffer: Vec<u8>,
}

impl Reader {
    /// For values that were written with the schema of this number.
    ///
    /// # Errors
    /// A text that is no schema, or one that does not fit.
    pub(crate) fn new(id: u32, writer: &str, reader: Option<&str>) -> Result<Reader, String> {
        let root: Value = serde_json::from_str(writer).map_err(|_| "not an Avro schema: not JSON".to_string())?;
        if root.get("type").and_then(Value::as_str) != Some("record") {
            return Err("not the schema of a record".to_string());
        }
        let (writer, reader) = (connect(writer), reader.map(connect));
        let lines = open(id, &writer, reader.as_deref())?;
        let aliases = aliases(&root);
        Ok(Reader { id, writer, reader, lines, aliases, buffer: Vec::new() })
    }

    /// The columns that values become.
    pub(crate) fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.lines.schema()
    }

    /// The field that has this other name.
    pub(super) fn alias(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    /// The records of these values, and which values are none, ascending.
    pub(crate) fn read(&mut self, bodies: &[&[u8]]) -> (RecordBatch, Vec<usize>) {
        let mut unfit = Vec::new();
        if bodies.iter().all(|body| self.push(body))
            && let Ok(Some(batch)) = self.lines.flush()
        {
            return (batch, unfit);
        }
        // Some value is none, which leaves a part of itself behind: each is tried alone first.
        self.again();
        let mut good: Vec<&[u8]> = Vec::with_capacity(bodies.len());
        for (index, body) in bodies.iter().enumerate() {
            if self.push(body) && matches!(self.lines.flush(), Ok(Some(_))) {
                good.push(body);
            } else {
                unfit.push(index);
                self.again();
            }
        }
        self.again();
        let whole = good.iter().all(|body| self.push(body));
        match self.lines.flush() {
            Ok(Some(batch)) if whole => (batch, unfit),
            _ => {
                self.again();
                let all = if good.is_empty() { unfit } else { (0..bodies.len()).collect() };
                (RecordBatch::new_empty(self.schema()), all)
            }
        }
    }

    /// Adds a value; whether it is exactly one record.
    fn push(&mut self, body: &[u8]) -> bool {
        self.buffer.clear();
        self.buffer.push(0);
        self.buffer.extend_from_slice(&self.id.to_be_bytes());
        self.buffer.extend_from_slice(body);
        let before = self.lines.capacity();
        let read = self.lines.decode(&self.buffer);
        read.is_ok_and(|read| read == self.buffer.len()) && before.checked_sub(self.lines.capacity()) == Some(1)
    }

    /// Begins anew, without anything read.
    fn again(&mut self) {
        if let Ok(lines) = open(self.id, &self.writer, self.reader.as_deref()) {
            self.lines = lines;
        }
    }
}

fn open(id: u32, writer: &str, reader: Option<&str>) -> Result<Lines, String> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let number = Fingerprint::Id(id);
    store.set(number, AvroSchema::new(writer.to_string())).map_err(|error| error.to_string())?;
    let mut builder = ReaderBuilder::new()
        .with_batch_size(ROWS)
        .with_tz(arrow_avro::codec::Tz::Utc)
        .with_writer_schema_store(store)
        .with_active_fingerprint(number);
    if let Some(reader) = reader {
        builder = builder.with_reader_schema(AvroSchema::new(reader.to_string()));
    }
    builder.build_decoder().map_err(|error| {
        let text = error.to_string();
        // The library's own classes of errors say nothing to a user.
        text.rsplit_once("error: ").map_or(text.clone(), |(_, text)| text.to_string())
    })
}

/// By another name of a top-level field its own; a name that several fields have, or that is a field's own, is nobody's.
fn aliases(root: &Value) -> BTreeMap<String, String> {
    let fields = root.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |field: &Value| field.get("name").and_then(Value::as_str).map(str::to_string);
    let own: BTreeSet<String> = fields.iter().filter_map(name).collect();
    let (mut found, mut several) = (BTreeMap::new(), BTreeSet::new());
    for field in fields {
        let Some(name) = name(field) else { continue };
        let others = field.get("aliases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for alias in others.iter().filter_map(Value::as_str).filter(|alias| !own.contains(*alias)) {
            if found.insert(alias.to_string(), name.clone()).is_some() {
                several.insert(alias.to_string());
            }
        }
    }
    found.retain(|alias, _| !several.contains(alias));
    found
}

/// More digits than Arrow's usual decimals have; what needs them is a bad record.
const DIGITS: u64 = 38;

/// A schema in which Kafka Connect's own types are those that Avro has for them: days, times, decimals of any size.
fn connect(text: &str) -> String {
    if !text.contains("connect.name") {
        return text.to_string();
    }
    let Ok(mut root) = serde_json::from_str::<Value>(text) else { return text.to_string() };
    let mut open = vec![&mut root];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(values) => open.extend(values),
            Value::Object(object) => {
                let name = object.get("connect.name").and_then(Value::as_str).unwrap_or_default();
                let base = object.get("type").and_then(Value::as_str).unwrap_or_default();
                let logical = match (name, base) {
                    ("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date", "int") => Some("date"),
                    ("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp", "long") => {
                        Some("timestamp-millis")
                    }
                    ("io.debezium.time.MicroTimestamp", "long") => Some("timestamp-micros"),
                    _ => None,
                };
                if let Some(logical) = logical {
                    object.entry("logicalType").or_insert_with(|| Value::from(logical));
                }
                if object.get("precision").and_then(Value::as_u64).is_some_and(|digits| digits > DIGITS) {
                    object.insert("precision".to_string(), Value::from(DIGITS));
                }
                open.extend(object.values_mut());
            }
            _ => {}
        }
    }
    root.to_string()
}

/// Schemas that refer to each other are followed so deep.
const DEPTH: usize = 64;

/// A schema's text, with those that it refers to where their names first stand.
///
/// # Errors
/// A text that is not JSON.
pub(crate) fn inlined(schema: &Schema) -> Result<String, String> {
    if schema.references.is_empty() {
        return Ok(schema.text.clone());
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).map_err(|_| "not an Avro schema: not JSON".to_string());
    let mut named: BTreeMap<String, Value> = BTreeMap::new();
    for (_, text) in &schema.references {
        let value = read(text)?;
        if let Some(name) = full_name(&value) {
            named.insert(name, value);
        }
    }
    let mut root = read(&schema.text)?;
    put(&mut root, &mut named, "", 0)?;
    Ok(root.to_string())
}

fn full_name(schema: &Value) -> Option<String> {
    let name = schema.get("name")?.as_str()?;
    match schema.get("namespace").and_then(Value::as_str) {
        Some(space) if !name.contains('.') && !space.is_empty() => Some(format!("{space}.{name}")),
        _ => Some(name.to_string()),
    }
}

/// Puts definitions where types are named; each once, since Avro defines a name once.
fn put(schema: &mut Value, named: &mut BTreeMap<String, Value>, space: &str, depth: usize) -> Result<(), String> {
    if depth > DEPTH {
        return Err(format!("nested deeper than {DEPTH} schemas"));
    }
    let deeper = depth.saturating_add(1);
    match schema {
        Value::String(name) => {
            let full = if name.contains('.') || space.is_empty() { name.clone() } else { format!("{space}.{name}") };
            let bare = name.clone();
            if let Some(definition) = named.remove(&full).or_else(|| named.remove(&bare)) {
                *schema = definition;
                put(schema, named, space, deeper)?;
            }
        }
        Value::Array(union) => {
            for branch in union {
                put(branch, named, space, deeper)?;
            }
        }
        Value::Object(object) => {
            let space = object.get("namespace").and_then(Value::as_str).unwrap_or(space).to_string();
            for key in ["type", "items", "values"] {
                if let Some(inner) = object.get_mut(key) {
                    put(inner, named, &space, deeper)?;
                }
            }
            if let Some(Value::Array(fields)) = object.get_mut("fields") {
                for field in fields {
                    if let Some(inner) = field.get_mut("type") {
                        put(inner, named, &space, deeper)?;
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}
