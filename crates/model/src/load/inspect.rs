//! What a file holds, whether or not it can be scored.

use foretell_pickle::{Container, Role};

use super::{booster_form, kinds, sha256};
use crate::families::allow;
use crate::options::LoadOptions;
use crate::{Model, catboost, lightgbm, onnx, pmml};

/// What a file holds, whether or not it can be scored.
#[derive(Debug)]
pub struct Report {
    /// The file's size in bytes.
    pub size: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The kind of file: `pickle`, `joblib (zlib)`, `XGBoost JSON`, …
    pub container: String,
    /// The pickle protocol, where it is a pickle.
    pub protocol: Option<u8>,
    /// Bytes after decompression, where it is a pickle or skops file that can be unpacked.
    pub unpacked: Option<u64>,
    /// Every global that the file names, in the order of the bytes.
    pub globals: Vec<GlobalReport>,
    /// Why the search for globals ended before the file does; more may follow.
    pub stopped: Option<String>,
    /// The model, or why it is refused.
    pub model: Result<crate::Model, crate::Error>,
}

/// A global (a class or function) that a pickle names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalReport {
    /// Its module.
    pub module: String,
    /// Its name in the module.
    pub name: String,
    /// The byte (after decompression) of the opcode that names it.
    pub byte: u64,
    /// How often it is named.
    pub times: u64,
    /// Whether the file may hold it.
    pub allowed: bool,
    /// Whether it is a name that means nothing here: what it makes is kept as it is, and no prediction reads it.
    pub opaque: bool,
}

/// Looks into a file whether or not it can be loaded.
pub fn inspect(bytes: &[u8], options: &LoadOptions) -> Report {
    let model = Model::load(bytes, options);
    let report = |container: String| Report {
        size: bytes.len(),
        sha256: sha256(bytes),
        container,
        protocol: None,
        unpacked: None,
        globals: Vec::new(),
        stopped: None,
        model,
    };
    if let Some(format) = catboost::Format::sniff(bytes) {
        return report(format.name().to_string());
    }
    if onnx::looks_like(bytes) {
        return report(onnx::FORMAT.to_string());
    }
    if pmml::looks_like(bytes) {
        return report(pmml::FORMAT.to_string());
    }
    match booster_form(bytes) {
        Some(form) => report(form.name().to_string()),
        None if lightgbm::looks_like(bytes) => report(lightgbm::FORMAT.to_string()),
        None => {
            let container = match Container::sniff(bytes) {
                None => "unknown".to_string(),
                Some(Container::Zip) if !kinds::is_skops(bytes) => "zip".to_string(),
                Some(container) => container.to_string(),
            };
            scan(bytes, options, report(container))
        }
    }
}

/// Adds what a pickle is packed with, its protocol, and every global it names.
fn scan(bytes: &[u8], options: &LoadOptions, report: Report) -> Report {
    let scan = match foretell_pickle::scan(bytes.to_vec(), &options.limits) {
        Ok(scan) => scan,
        Err(_) if Container::sniff(bytes).is_none() => return report,
        Err(error) => return Report { stopped: Some(error.to_string()), ..report },
    };
    let allow = allow();
    let globals = scan.globals.into_iter().map(|found| GlobalReport {
        allowed: allow.of_file(&found.module, &found.name).is_some(),
        opaque: allow.of_file(&found.module, &found.name) == Some(Role::Opaque),
        module: found.module,
        name: found.name,
        byte: found.at,
        times: found.times,
    });
    Report {
        protocol: Some(scan.protocol),
        unpacked: Some(scan.unpacked),
        globals: globals.collect(),
        stopped: scan.stopped.map(|error| error.to_string()),
        ..report
    }
}
