//! Every fixture gives exactly the values that Python wrote into it.

use std::fs;
use std::path::{Path, PathBuf};

use foretell_pickle::{Allow, Container, Entry, Limits, State, read};

use crate::show::show;

/// What the fixtures name beyond the containers.
pub(crate) const CLASSES: &[Entry] = &[
    Entry::class("sklearn.pipeline", "Pipeline"),
    Entry::class("sklearn.compose._column_transformer", "ColumnTransformer"),
    Entry::class("sklearn.preprocessing._encoders", "OneHotEncoder"),
    Entry::class("sklearn.preprocessing._data", "StandardScaler"),
    Entry::class("sklearn.ensemble._forest", "RandomForestRegressor"),
    Entry::class("sklearn.tree._classes", "DecisionTreeRegressor"),
    Entry::class("sklearn.tree._tree", "Tree").with_state(State::DICT),
];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// All fixtures by name, in alphabetical order.
pub(crate) fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.contains(".pickle") || name.contains(".joblib"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn every_fixture_gives_the_values_that_python_wrote() {
    let allow = Allow::new(CLASSES);
    let all = fixtures();
    assert!(all.len() >= 28, "{} fixtures", all.len());
    for (name, bytes) in all {
        let document = read(bytes, &allow, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let shown = show(&document.root()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let stem = name.split('.').next().unwrap();
        let expected = fs::read_to_string(folder().join(format!("{stem}.txt"))).unwrap();
        if shown != expected.trim_end() {
            let same = shown.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
            let from = same.saturating_sub(60);
            let cut = |text: &str| text[from..].chars().take(160).collect::<String>();
            panic!("{name} differs at {same}:\n  read   {}\n  python {}", cut(&shown), cut(&expected));
        }
        assert_eq!(document.trailing(), 0, "{name}");
    }
}

#[test]
fn the_container_and_protocol_are_what_the_name_says() {
    let allow = Allow::new(CLASSES);
    for (name, bytes) in fixtures() {
        let expected = match name.rsplit('.').next().unwrap() {
            "z" => Container::Zlib,
            "gz" => Container::Gzip,
            "bz2" => Container::Bz2,
            "xz" => Container::Xz,
            "lzma" => Container::Lzma,
            "lz4" => Container::Lz4,
            "zf" => Container::Zf,
            _ => Container::Plain,
        };
        let document = read(bytes, &allow, &Limits::default()).unwrap();
        assert_eq!(document.container(), expected, "{name}");
        // Protocols 0 and 1 do not name themselves; joblib writes nested streams with the protocol around them.
        if let Some(protocol @ 2..=5) = name.split('.').nth(1).and_then(|part| part.parse::<u8>().ok()) {
            assert_eq!(document.protocol(), protocol, "{name}");
        }
    }
}

#[test]
fn the_state_of_a_forest_is_reached_by_its_path() {
    let bytes = fs::read(folder().join("model.joblib")).unwrap();
    let document = read(bytes, &Allow::new(CLASSES), &Limits::default()).unwrap();
    let forest = document.root().attr("steps").unwrap().item(1).unwrap().item(1).unwrap();
    let tree = forest.attr("estimators_").unwrap().item(0).unwrap().attr("tree_").unwrap();
    assert_eq!(tree.path(), "steps[1][1].estimators_[0].tree_");
    assert!(tree.is("sklearn.tree._tree", "Tree"));
    let nodes = tree.attr("nodes").unwrap().array().unwrap();
    assert_eq!(nodes.dtype().size, 64);
    assert_eq!(nodes.field("threshold").unwrap().f64s().unwrap().len(), nodes.len());
    assert_eq!(
        nodes.field("treshold").unwrap_err().to_string(),
        "steps[1][1].estimators_[0].tree_.nodes: `treshold` is missing"
    );
    assert_eq!(
        nodes.field("threshold").unwrap().i64s().unwrap_err().to_string(),
        "steps[1][1].estimators_[0].tree_.nodes: expected an array of integers, found a field of f8"
    );
}
