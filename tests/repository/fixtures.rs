//! The fixtures stay small enough to be cloned with the rest.

use std::path::Path;

use crate::root;

/// All fixtures together. They had 24.3 MB when this was set.
const MOST: u64 = 30_000_000;

/// One file of them. The largest had 164 kB.
const LARGEST: u64 = 200_000;

fn files(folder: &Path, found: &mut Vec<(u64, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push((entry.metadata().unwrap().len(), entry.path().display().to_string()));
        }
    }
}

#[test]
fn fixtures_keep_within_their_budget() {
    let mut found = Vec::new();
    files(&root().join("fixtures"), &mut found);
    assert!(found.len() > 1000, "only {} files of fixtures are found", found.len());
    let all: u64 = found.iter().map(|(size, _)| size).sum();
    assert!(
        all <= MOST,
        "fixtures/ has {all} bytes, more than {MOST}: make new models smaller (fewer trees and rows show the same), leave \
         out versions that answer as their neighbours do, or raise the budget here and say why"
    );
    let (size, largest) = found.iter().max().unwrap();
    assert!(
        *size <= LARGEST,
        "{largest} has {size} bytes, more than {LARGEST}: a fixture shows one thing, so train it on fewer rows or with \
         fewer trees"
    );
}
