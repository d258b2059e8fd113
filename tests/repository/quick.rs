//! `make quick` leaves out no test but those that need services.

use std::collections::BTreeSet;

use crate::root;

/// The test targets that need services: those of `tests/`, and each crate's own.
const WITH_SERVICES: &[&str] = &["e2e", "faults", "services"];

/// The test targets of a crate's folder `tests`.
fn targets(tests: &std::path::Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(tests).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").is_file() {
            names.insert(path.file_stem().unwrap().to_str().unwrap().to_string());
        }
    }
    names
}

#[test]
fn every_test_without_services_is_run_by_quick() {
    let mut all = targets(&root().join("tests"));
    all.extend(targets(&root().join("fixtures/reader/tests")));
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        all.extend(targets(&entry.unwrap().path().join("tests")));
    }
    let script = std::fs::read_to_string(root().join("dev/quick")).unwrap();
    let run: BTreeSet<String> =
        (script.split("--test ").skip(1)).map(|rest| rest.split_whitespace().next().unwrap().to_string()).collect();
    let without: BTreeSet<String> = all.into_iter().filter(|name| !WITH_SERVICES.contains(&name.as_str())).collect();
    assert_eq!(run, without, "dev/quick names every test target but {}", WITH_SERVICES.join(", "));
}
