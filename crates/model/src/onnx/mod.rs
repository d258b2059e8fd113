//! ONNX files: graphs of operators, of which those are computed that models of tables are made of (`ai.onnx.ml`, and the
//! plain ones that converters put around them), as onnxruntime computes them.
//!
//! `wire` reads Protocol Buffers, `proto` ONNX's messages, `ops` makes a kernel of each operator, `program` is the graph as
//! it runs, `scorer` puts it on columns.

mod ops;
mod program;
mod proto;
mod scorer;
mod tensor;
mod wire;

pub(crate) use scorer::{Given, Scorer, Told};

use crate::Error;
use proto::Model;
use wire::{Message, Value};

/// What the format is called, for reports and errors.
pub(crate) const FORMAT: &str = "ONNX";

/// What is told where an operator is not computed.
const SUPPORTED: &str = "the operators that skl2onnx and onnxmltools write for models of tables, which docs/models.md \
                         lists; neural networks with convolutions, recurrences or attention are not scored";

/// Whether the bytes are an ONNX model: a version, then who made it, and a graph before any other large part.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    let mut message = Message::file(bytes);
    if !matches!(message.next(), Ok(Some((1, Value::Varint(1..=64))))) {
        return false;
    }
    let mut has_texts = false;
    while let Ok(Some((field, value))) = message.next() {
        match (field, value) {
            (2..=4 | 6, Value::Bytes(text)) if text.text().is_ok() => has_texts = true,
            (5, Value::Varint(_)) | (8 | 14, Value::Bytes(_)) => {}
            // A graph begins with one of its parts: operators, its name, constants, inputs …
            (7, Value::Bytes(graph)) => {
                return matches!(graph.bytes(), [] | [0x0a | 0x12 | 0x2a | 0x52 | 0x5a | 0x62, ..]);
            }
            _ => return false,
        }
    }
    // Cut off within its graph: what was there tells it from others.
    has_texts && bytes.len() > 8 && contains(bytes, b"onnx")
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..1024).unwrap_or(bytes).windows(word.len()).any(|window| window == word)
}

/// Reads a model.
pub(crate) fn read(bytes: &[u8]) -> Result<Scorer, Error> {
    let mut model = Model::read(bytes)?;
    let graph = std::mem::take(&mut model.graph);
    let program = program::Program::new(graph, &|domain| model.opset(domain))?;
    let opsets = model.opsets.iter().map(|(domain, version)| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        format!("{domain} {version}")
    });
    let producer = format!("{} {}", model.producer, model.version).trim().to_string();
    Ok(Scorer::new(program, producer, opsets.collect::<Vec<_>>().join(", ")))
}
