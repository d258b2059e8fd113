//! Files whose root is a dict, list or tuple: `at` says which of the models in it is meant.

use std::path::Path;

use foretell_model::{LoadOptions, Model};

fn load(name: &str, at: Option<&str>) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/containers").join(name);
    let options = LoadOptions { at: at.map(str::to_owned), ..LoadOptions::default() };
    let model = Model::load(&std::fs::read(path).unwrap(), &options);
    model.map(|model| model.describe().root.class.clone()).map_err(|error| error.to_string())
}

const TREE: &str = "sklearn.tree._classes.DecisionTreeRegressor";
const SCALER: &str = "sklearn.preprocessing._data.RobustScaler";

#[test]
fn the_only_model_needs_no_path() {
    assert_eq!(load("one.pickle", None).unwrap(), TREE);
    assert_eq!(load("list.pickle", None).unwrap(), TREE);
    assert_eq!(load("one.pickle", Some("model")).unwrap(), TREE);
    assert_eq!(load("list.pickle", Some("[0]")).unwrap(), TREE);
}

#[test]
fn of_several_the_path_names_one() {
    for file in ["several.joblib", "several.skops"] {
        assert_eq!(
            load(file, None).unwrap_err(),
            format!(
                "the file holds several objects; give one as `at`: `models[0]` ({SCALER}), `models[1].best` ({TREE}), \
                 `scaler` ({SCALER})"
            )
        );
        assert_eq!(load(file, Some("models[1].best")).unwrap(), TREE);
        assert_eq!(load(file, Some("scaler")).unwrap(), SCALER);
    }
    let paths = format!("`[0]` ({SCALER}), `[1]` ({TREE})");
    assert_eq!(
        load("tuple.pickle", None).unwrap_err(),
        format!("the file holds several objects; give one as `at`: {paths}")
    );
    assert_eq!(load("tuple.pickle", Some("[1]")).unwrap(), TREE);
}

#[test]
fn a_path_that_leads_nowhere_is_said_so() {
    for (at, what) in [
        ("modell", "modell"),
        ("models[7]", "models[7]"),
        ("models[1].worst", "worst"),
        ("models[x]", "models[x]"),
        ("models[1", "models[1"),
        ("", ""),
    ] {
        let expected = format!(
            "`{at}`: there is no `{what}`; the file holds `models[0]` ({SCALER}), `models[1].best` ({TREE}), \
             `scaler` ({SCALER})"
        );
        assert_eq!(load("several.joblib", Some(at)).unwrap_err(), expected);
    }
    assert_eq!(
        load("several.joblib", Some("notes")).unwrap_err(),
        "[notes]: expected an estimator, found a tuple of 2"
    );
    assert_eq!(load("none.pickle", None).unwrap_err(), "the file holds a dict, and no model in it");
    assert_eq!(load("none.pickle", Some("x")).unwrap_err(), "`x`: there is no `x`; the file holds no model");
}
