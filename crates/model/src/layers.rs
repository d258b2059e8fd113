//! Imports go one way: what a module of this crate uses stands in its own layer or in one below.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the ground to the top. Modules of one layer may use each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("words of the interface", &["bind", "columns", "error", "labels", "options", "report", "signature", "types"]),
    ("tables and kernels", &["math", "matrix", "trees"]),
    ("steps", &["step"]),
    ("what files say", &["attributes", "parameters", "text"]),
    ("what steps share", &["categories", "finite", "loaded"]),
    ("formats", &["catboost", "encoding", "lightgbm", "onnx", "pandas", "pmml", "xgboost"]),
    ("the loader", &["family", "loader"]),
    ("families", &["families"]),
    ("files and models", &["load", "model"]),
];

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// The modules of this crate that a file names, its tests left out.
fn used(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut names = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        let parts: Vec<&str> = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![after],
        };
        for part in parts {
            let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            names.insert(part.trim().split(|letter| !word(letter)).next().unwrap_or_default().to_string());
        }
    }
    names
}

#[test]
fn imports_go_one_way() {
    let layer = |module: &str| LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    let mut known = 0;
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if matches!(module, "lib" | "layers") {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("`{module}` stands in no layer"));
        for used in used(&std::fs::read_to_string(&file).unwrap()) {
            let Some(other) = layer(&used) else { continue };
            known += 1;
            assert!(
                other <= own,
                "{} ({}) uses `{used}` ({}), which is above it",
                inside.display(),
                LAYERS[own].0,
                LAYERS[other].0
            );
        }
    }
    assert!(known > 300, "{known} imports");
}
