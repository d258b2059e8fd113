//! PMML: a document of fields, transformations and one model, evaluated row by row as the standard says it.
//!
//! `xml` is the document, `value` and `fields` what columns hold and how it is treated, `predicate`, `expression` and
//! `functions` what is computed of them; `model` is a model element with one file for each of its kinds; `scorer` puts it
//! on columns.

mod bayes;
mod clusters;
mod compiler;
mod expression;
mod fields;
mod functions;
mod general;
mod mining;
mod model;
mod network;
mod predicate;
mod regression;
mod scorecard;
mod scorer;
mod text_index;
mod tree;
mod value;
mod vectors;
mod xml;

pub(crate) use scorer::{Answer, Scorer};

use std::collections::HashMap;

use crate::Error;
use compiler::{Compiler, is_model};
use fields::{Declared, Field};
use xml::Element;

/// What the format is called, for reports and errors.
pub(crate) const FORMAT: &str = "PMML";

/// How far the root element may be from the start: comments and declarations come before it.
const LOOKED_AT: usize = 8 << 10;

/// Whether the bytes are a PMML document.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let first = start.iter().position(|byte| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte));
    let text = start.get(first.unwrap_or(0)..).unwrap_or_default();
    let named = |word: &[u8]| start.windows(word.len()).any(|window| window == word);
    text.starts_with(b"<")
        && (named(b"<PMML ") || named(b"<PMML>") || named(b":PMML ") || named(b"<PMML\n") || named(b"<PMML\r"))
}

/// Reads a document.
pub(crate) fn read(bytes: &[u8]) -> Result<Scorer, Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|wrong| xml::error(wrong.valid_up_to(), "it is not UTF-8"))?;
    let document = xml::parse(text)?;
    let root = Element::root(&document);
    if root.name() != "PMML" {
        return Err(root.error("it is not a PMML document"));
    }
    let mut declared = HashMap::new();
    let mut order = Vec::new();
    for field in root.needed("DataDictionary")?.all("DataField") {
        match Declared::read(field) {
            Ok(field) => {
                order.push(field.name.clone());
                declared.insert(field.name.clone(), field);
            }
            // A field of another type may be one that the model does not use.
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let models: Vec<Element<'_>> = root.children().filter(|child| is_model(*child)).collect();
    let scored = |model: &&Element<'_>| model.get("isScorable") != Some("false");
    let Some(model) = models.iter().find(scored).copied() else {
        return Err(match models.first() {
            None => root.error(format!("it has no model; supported: {}", model::MODELS)),
            Some(model) => model.error("it says of itself that it is not to be scored"),
        });
    };
    let mut compiler = Compiler::new(&declared);
    compiler.scope.enter();
    let mut fields = Vec::new();
    let mut target = None;
    for field in model.needed("MiningSchema")?.all("MiningField") {
        let name = field.attribute("name")?;
        match field.get("usageType").unwrap_or("active") {
            "active" => {
                let Some(own) = declared.get(name) else {
                    return Err(
                        field.error(format!("the data dictionary has no field `{name}` of a type that is read"))
                    );
                };
                let slot = compiler.scope.slot()?;
                compiler.scope.name(name, Field { slot, kind: own.kind });
                fields.push((own.clone(), slot));
            }
            "supplementary" => {
                if let Some(own) = declared.get(name) {
                    // It is never told, and so always missing.
                    let slot = compiler.scope.slot()?;
                    compiler.scope.name(name, Field { slot, kind: own.kind });
                }
            }
            "target" | "predicted" => target = target.or_else(|| declared.get(name).cloned()),
            _ => {}
        }
    }
    if let Some(values) = target.as_ref().map(|target| &target.values) {
        values.iter().for_each(|class| {
            compiler.class(class);
        });
    }
    let dictionary = root.child("TransformationDictionary");
    for function in dictionary.iter().flat_map(|dictionary| dictionary.all("DefineFunction")) {
        // One that cannot be computed is told where it is used.
        let _ = compiler.functions.define(function, &compiler.scope);
    }
    let compiled = compiler.model(model, dictionary)?;
    let header = root.child("Header").and_then(|header| header.child("Application"));
    let producer = header.map(|application| {
        format!("{} {}", application.get("name").unwrap_or_default(), application.get("version").unwrap_or_default())
    });
    let about = scorer::About {
        name: model.name().to_string(),
        version: root.get("version").unwrap_or_default().to_string(),
        producer: producer.unwrap_or_default().trim().to_string(),
        bytes: bytes.len(),
    };
    Scorer::new(compiled, compiler, fields, target, about)
}
