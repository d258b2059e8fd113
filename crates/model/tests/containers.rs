//! Files whose root is a dict, list or tuple: `at` says which of the models in it is meant.

use std::path::Path;

use foretell_model::{LoadOptions, Model};

fn load(name: &str, at: Option<&str>) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/containers").join(name);
    let options = LoadOptions { at: at.map(foretell_model::paths).unwrap_or_default(), ..LoadOptions::default() };
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
        ("modell.best", "modell"),
        ("models[7].best", "models[7]"),
        ("models[1].worst", "models[1].worst"),
        ("models[1].best.", "models[1].best."),
        ("models[1]..best", "models[1]."),
        ("models[x]", "models[x]"),
        ("models[-1]", "models[-1]"),
        ("models[1", "models[1"),
        ("models[\"1\"]", "models[\"1\"]"),
        ("models/1/best", "models/1/best"),
        ("", ""),
    ] {
        let expected = format!(
            "`{at}`: there is no `{what}`; the file holds `models[0]` ({SCALER}), `models[1].best` ({TREE}), \
             `scaler` ({SCALER})"
        );
        assert_eq!(load("several.joblib", Some(at)).unwrap_err(), expected);
    }
    assert_eq!(load("several.joblib", Some("notes")).unwrap_err(), "notes: expected an estimator, found a tuple of 2");
    assert_eq!(load("none.pickle", None).unwrap_err(), "the file holds a dict, and no model in it");
    assert_eq!(
        load("own.pickle", None).unwrap_err(),
        format!(
            "the file holds a dict with objects of code of its own, and nothing in a model file is run; inside of them `at` can \
             name: `screening.model_` ({TREE})"
        )
    );
    assert_eq!(load("own.pickle", Some("screening.model_")).unwrap(), TREE);
    let error = load("one.pickle", Some("model.tree_")).unwrap_err();
    assert!(error.starts_with("model.tree_: `sklearn.tree._tree.Tree` is not supported: "), "{error}");
    assert_eq!(load("none.pickle", Some("x")).unwrap_err(), "`x`: there is no `x`; the file holds no model");
}

#[test]
fn every_path_that_is_listed_can_be_given() {
    let error = load("keys.pickle", None).unwrap_err();
    let listed = error.strip_prefix("the file holds several objects; give one as `at`: `").unwrap();
    let listed: Vec<&str> =
        listed.strip_suffix(&format!("` ({TREE})")).unwrap().split(&format!("` ({TREE}), `")).collect();
    let expected = [
        "plain",
        "Zürich-2",
        r#"["St. Gallen"]"#,
        r#"["a \"quote\" [0] and a \\ in it"]"#,
        r#"[""]"#,
        "numpy_text",
        "[3]",
        "[-7]",
        "[2.5]",
        "[True]",
        "[None]",
        r#"[("north", 3)]"#,
        "deep.er[0][1].best",
        "array[1]",
    ];
    assert_eq!(listed, expected);
    for path in expected {
        assert_eq!(load("keys.pickle", Some(path)).unwrap(), TREE, "{path}");
    }
    // The other kind of quotes, which a shell may like better, and quotes where none are needed.
    for path in ["['St. Gallen']", "['plain']", "[\"plain\"]", "deep['er'][0][1]['best']"] {
        assert_eq!(load("keys.pickle", Some(path)).unwrap(), TREE, "{path}");
    }
}

#[test]
fn a_path_goes_on_inside_of_a_model() {
    assert_eq!(load("search.pickle", Some("search.best_estimator_.steps[1][1]")).unwrap(), TREE);
}

#[test]
fn a_boosters_own_file_has_no_paths() {
    for (name, format) in [
        ("xgboost-3.2/saved-json/model.json", "XGBoost JSON"),
        ("lightgbm-4.7/booster-text/model.txt", "LightGBM text"),
    ] {
        assert_eq!(
            load(&format!("../{name}"), Some("model")).unwrap_err(),
            format!("`model`: a file of {format} is one model, without paths to others")
        );
    }
}

#[test]
fn arrays_in_files_beside_the_model_are_named_with_the_remedy() {
    let error = load("beside.joblib", None).unwrap_err();
    assert!(error.starts_with("byte "), "{error}");
    let (_, error) = error.split_once("(BUILD): ").unwrap();
    assert_eq!(
        error,
        "an array of the model is in a file of its own, `beside.joblib_01.npy`, as joblib before 0.10 wrote it; load \
         the model where it was made and save it with `joblib.dump(model, file, compress=3)`, which gives one file"
    );
}

#[test]
fn the_place_in_an_error_is_a_path_that_can_be_given() {
    let error = load("unscored.joblib", Some("chained")).unwrap_err();
    let (place, _) = error.split_once(": ").unwrap();
    assert_eq!(place, "chained.steps[1][1]");
    assert_eq!(load("unscored.joblib", Some(place)).unwrap_err(), error);
}

#[test]
fn a_file_that_does_not_tell_how_many_columns_it_takes_asks_for_their_names() {
    let error = load("../sklearn-1.9/function-alone/model.joblib", None).unwrap_err();
    assert_eq!(error, "does not tell how many features it has");
}

#[test]
fn what_people_keep_beside_a_model_is_read_and_stays_inert() {
    for version in ["0.25", "1.3", "3.1"] {
        let class =
            load(&format!("pandas-{version}.joblib"), None).unwrap_or_else(|error| panic!("{version}: {error}"));
        assert!(class.ends_with(".DecisionTreeRegressor"), "{version}: {class}");
    }
}

#[test]
fn estimators_that_are_not_scored_are_in_nobodys_way() {
    let error = load("unscored.joblib", None).unwrap_err();
    assert_eq!(
        error,
        format!(
            "the file holds several objects; give one as `at`: `model` ({TREE}), `chained` (sklearn.pipeline.Pipeline)"
        )
    );
    assert_eq!(load("unscored.joblib", Some("model")).unwrap(), TREE);
    for (at, what) in [
        ("chained", "chained.steps[1][1]: `sklearn.cluster._optics.OPTICS`"),
        ("groups", "groups: `sklearn.cluster._dbscan.DBSCAN`"),
        ("order", "order: `sklearn.cluster._optics.OPTICS`"),
    ] {
        let error = load("unscored.joblib", Some(at)).unwrap_err();
        assert!(error.starts_with(&format!("{what} is not supported: ")), "{error}");
        assert!(error.contains("it tells of the rows of its training only; KMeans, "), "{error}");
    }
}
