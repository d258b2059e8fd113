//! Who may depend on whom: ARCHITECTURE.md's arrows, read from the manifests.

use std::collections::{BTreeMap, BTreeSet};

use crate::root;

/// Our own crates that each of ours may use.
const OURS: &[(&str, &[&str])] = &[
    ("pickle", &[]),
    ("suggest", &[]),
    ("flow", &[]),
    ("model", &["pickle"]),
    ("package", &["model", "pickle"]),
    ("query", &["model", "suggest"]),
    ("connect", &["flow"]),
    ("registry", &["connect", "flow"]),
    ("decode", &["connect", "flow"]),
    ("storage", &["connect"]),
    ("socket", &["connect", "flow"]),
    ("files", &["connect", "decode", "flow", "storage"]),
    ("kafka", &["connect", "decode", "flow", "registry", "suggest"]),
    ("odbc", &[]),
    ("sasl", &[]),
    ("sql", &["connect", "decode", "flow", "odbc", "suggest"]),
    ("evaluate", &[]),
    ("http", &["flow"]),
    (
        "foretell",
        &[
            "model", "package", "flow", "query", "connect", "decode", "storage", "socket", "files", "kafka", "sql",
            "evaluate", "suggest", "http", "registry",
        ],
    ),
];

/// Dependencies that are for some crates only.
const RESERVED: &[(&str, &[&str])] = &[
    ("datafusion", &["query"]),
    ("rdkafka", &["kafka", "tests"]),
    ("rdkafka-sys", &["kafka"]),
    ("sqlx", &["sql", "tests"]),
    ("hdfs-native", &["storage", "tests"]),
    // Of `files` the tests put objects where it reads them.
    ("object_store", &["storage", "files", "tests"]),
    ("parquet", &["files", "foretell", "tests"]),
    ("strsim", &["suggest"]),
    ("tar", &["package"]),
    ("axum", &["http"]),
    ("prometheus-client", &["http"]),
    ("clap", &["foretell"]),
    ("clap_complete", &["foretell"]),
    ("anyhow", &["foretell"]),
    ("reqwest", &["registry"]),
    ("cc", &["sasl"]),
    ("libloading", &["odbc"]),
    ("arrow-avro", &["decode"]),
    ("prost-reflect", &["decode"]),
    ("protox", &["decode"]),
];

/// The names in a manifest's `[dependencies]`, `[dev-dependencies]` and the like.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies");
            if let Some((_, name)) = section.split_once("dependencies.") {
                names.insert(name.to_string());
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            names.insert(name.to_string());
        }
    }
    names
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let mut crates = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let manifest = std::fs::read_to_string(path.join("Cargo.toml")).unwrap();
        crates.insert(path.file_name().unwrap().to_str().unwrap().to_string(), dependencies(&manifest));
    }
    let known: BTreeSet<&str> = OURS.iter().map(|(name, _)| *name).collect();
    assert_eq!(crates.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "every crate has its arrows here");
    for (name, may) in OURS {
        let own = crates[*name].iter().filter_map(|dependency| dependency.strip_prefix("foretell-"));
        for own in own.filter(|own| *own != "fixtures") {
            assert!(may.contains(&own), "crates/{name} must not depend on crates/{own}");
        }
    }
    for name in crates.keys() {
        let manifest = std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let built = manifest.split("[dev-dependencies]").next().unwrap();
        assert!(!built.contains("foretell-fixtures"), "crates/{name}: fixtures are for tests");
    }
    let tests = dependencies(&std::fs::read_to_string(root().join("tests/Cargo.toml")).unwrap());
    crates.insert("tests".to_string(), tests);
    for (dependency, only) in RESERVED {
        for (name, dependencies) in &crates {
            let may = only.contains(&name.as_str()) || !dependencies.contains(*dependency);
            assert!(may, "{name} must not depend on {dependency}: it is for {}", only.join(", "));
        }
        let used = crates.values().any(|dependencies| dependencies.contains(*dependency));
        assert!(used, "{dependency} is used by no crate: this list is out of date");
    }
}
