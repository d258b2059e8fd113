//! What `inspect` tells of a file: each word of it, on a file of every kind.

use std::path::Path;

use foretell_model::{InputKind, LoadOptions, Report, StepReport, inspect};

fn report(name: &str, at: Option<&str>) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    inspect(
        &std::fs::read(path).unwrap(),
        &LoadOptions { at: at.map(str::to_owned).into_iter().collect(), ..LoadOptions::default() },
    )
}

/// A step with its name and class in one line, those inside of it below.
fn tree(step: &StepReport, indent: usize) -> String {
    let name = step.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
    let class = step.class.rsplit('.').next().unwrap();
    let columns = if step.columns.is_empty() { String::new() } else { format!(" of {}", step.columns.join(", ")) };
    let inside: String = step.children.iter().map(|child| tree(child, indent + 1)).collect();
    format!("{}{name}{class}{columns}\n{inside}", "  ".repeat(indent))
}

fn parameter<'r>(step: &'r StepReport, name: &str) -> Option<&'r str> {
    step.parameters.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| value.as_str())
}

#[test]
fn kinds_of_files_with_their_libraries_trees_and_kernels() {
    let (sklearn, lightgbm) = (("scikit-learn", Some("1.9.1")), ("LightGBM", None));
    let xgboost = ("XGBoost", Some("3.2.0"));
    let statsmodels = ("statsmodels", None);
    for (name, container, protocol, libraries, trees) in [
        ("sklearn-1.9/pipeline-mixed/model.joblib", "zlib", Some(4), vec![sklearn], (3, 81, 4, "ranks (f32)")),
        ("skops-0.16/pipeline-mixed/model.skops", "skops", Some(2), vec![sklearn], (3, 81, 4, "ranks (f32)")),
        ("sklearn-1.9/linear-logistic/model.joblib", "gzip", Some(4), vec![sklearn], (0, 0, 0, "none")),
        ("statsmodels-0.15/classes/model.pkl", "pickle", Some(4), vec![statsmodels], (0, 0, 0, "none")),
        ("xgboost-3.2/saved-json/model.json", "XGBoost JSON", None, vec![xgboost], (6, 182, 4, "ranks (f32)")),
        ("xgboost-3.2/saved-ubj/model.ubj", "XGBoost UBJSON", None, vec![xgboost], (6, 182, 4, "ranks (f32)")),
        ("xgboost-3.2/regressor/model.pickle", "pickle", Some(3), vec![xgboost], (20, 294, 3, "ranks (f32)")),
        (
            "xgboost-3.2/pipeline-sparse/model.joblib",
            "gzip",
            Some(4),
            vec![sklearn, xgboost],
            (6, 182, 4, "ranks (f32)"),
        ),
        (
            "xgboost-0.90/booster-saved-raw/model.bin",
            "XGBoost binary",
            None,
            vec![("XGBoost", None)],
            (24, 168, 2, "ranks (f32)"),
        ),
        ("lightgbm-4.7/booster-text/model.txt", "LightGBM text", None, vec![lightgbm], (9, 81, 4, "ranks (f64)")),
        (
            "lightgbm-4.7/categories/model.joblib",
            "bzip2",
            Some(4),
            vec![lightgbm],
            (5, 75, 5, "walk (f64; splits by categories)"),
        ),
    ] {
        let report = report(name, None);
        assert_eq!((report.container.as_str(), report.protocol), (container, protocol), "{name}");
        assert_eq!((report.sha256.len(), report.stopped), (64, None), "{name}");
        assert_eq!(report.unpacked.is_some(), protocol.is_some(), "{name}");
        assert_eq!(report.globals.is_empty(), protocol.is_none(), "{name}");
        assert!(report.globals.iter().all(|global| global.allowed && global.times > 0), "{name}");
        let model = report.model.unwrap();
        let description = model.describe();
        let found: Vec<_> =
            description.libraries.iter().map(|(name, version)| (name.as_str(), version.as_deref())).collect();
        assert_eq!(found, libraries, "{name}");
        let kernel = description.kernel.as_str();
        assert_eq!((description.trees, description.nodes, description.max_depth, kernel), trees, "{name}");
        assert!((16..100_000).contains(&description.bytes), "{name} takes {} bytes", description.bytes);
    }
}

#[test]
fn the_tree_of_steps_with_their_parameters() {
    let expected = "\
Pipeline
  columns: ColumnTransformer
    numbers: Pipeline of AGE, POS_n
      simpleimputer: SimpleImputer
      standardscaler: StandardScaler
    text: Pipeline of ITEM, SEX
      simpleimputer: SimpleImputer
      onehotencoder: OneHotEncoder
    rest: FunctionTransformer of DEPT_n
  forest: RandomForestClassifier
";
    for name in ["sklearn-1.9/pipeline-mixed/model.joblib", "skops-0.16/pipeline-mixed/model.skops"] {
        let model = report(name, None).model.unwrap();
        let root = &model.describe().root;
        assert_eq!(tree(root, 0), expected, "{name}");
        let columns = &root.children[0];
        assert_eq!(parameter(root, "verbose"), Some("False"));
        assert_eq!(parameter(columns, "remainder"), Some("'drop'"));
        assert_eq!(parameter(&columns.children[0].children[0], "strategy"), Some("'median'"));
        assert_eq!(parameter(&columns.children[0].children[0], "missing_values"), Some("nan"));
        assert_eq!(parameter(&columns.children[1].children[1], "dtype"), Some("numpy.float64"));
        assert_eq!(parameter(&root.children[1], "n_estimators"), Some("3"));
    }
    let search = report("containers/search.pickle", None).model.unwrap();
    let root = &search.describe().root;
    assert_eq!(
        tree(root, 0),
        "GridSearchCV\n  best_estimator_: Pipeline\n    robustscaler: RobustScaler\n    \
         decisiontreeregressor: DecisionTreeRegressor\n"
    );
    assert_eq!(parameter(root, "cv"), Some("2"));
    assert_eq!(parameter(&root.children[0].children[0], "quantile_range"), Some("(25.0, 75.0)"));
    // Boosters tell what the file holds, their wrappers what was asked for.
    let booster = report("xgboost-3.2/regressor/model.pickle", None).model.unwrap();
    let root = &booster.describe().root;
    assert_eq!((parameter(root, "booster"), parameter(root, "max_depth")), (Some("'gbtree'"), Some("3")));
    let booster = report("lightgbm-4.7/categories/model.joblib", None).model.unwrap();
    let root = &booster.describe().root;
    assert_eq!((parameter(root, "format"), parameter(root, "num_leaves")), (Some("'v4'"), Some("8")));
}

#[test]
fn the_signature_with_types_and_categories() {
    let signature = |name: &str| report(name, None).model.unwrap().signature().clone();
    let mixed = signature("sklearn-1.9/pipeline-mixed/model.joblib");
    let kinds: Vec<_> = mixed.inputs.iter().map(|input| (input.name.as_deref().unwrap(), &input.kind)).collect();
    assert!(kinds.contains(&("AGE", &InputKind::Number)) && kinds.contains(&("ITEM", &InputKind::Text)), "{kinds:?}");
    assert_eq!((mixed.predict.len(), mixed.proba.len()), (1, 2));
    let categories = signature("lightgbm-4.7/categories/model.joblib");
    let levels = ["brain", "heart scan", "knee", "spine"].map(str::to_owned).to_vec();
    assert_eq!(categories.inputs[6].kind, InputKind::Category(levels));
    assert_eq!(categories.predict[0].data_type.to_string(), "Float64");
    assert!(signature("containers/search.pickle").names().is_none());
}

#[test]
fn a_file_of_several_things_tells_of_the_one_that_is_meant() {
    let none = report("containers/several.joblib", None);
    assert!(none.model.unwrap_err().to_string().starts_with("the file holds several objects; give one as `at`: `"));
    assert_eq!((none.container.as_str(), none.protocol), ("zlib", Some(4)));
    assert!(!none.globals.is_empty());
    let one = report("containers/several.joblib", Some("models[1].best")).model.unwrap();
    assert_eq!(tree(&one.describe().root, 0), "DecisionTreeRegressor\n");
}

#[test]
fn a_refused_file_tells_which_global_where_and_why_and_all_others() {
    let bytes = b"\x80\x04(csklearn.linear_model\nRidge\nU\x02osU\x06system\x93U\x04true\x85R0\
        csklearn.linear_model._ridge\nRidge\n)\x81}(U\x04coefN(U\x01xcsubprocess\nPopen\nuU\x01yNub\
        (ibuiltins\neval\n0cos\nsystem\n0t.";
    let report = inspect(bytes, &LoadOptions::default());
    assert_eq!(report.model.unwrap_err().to_string(), "byte 43 (STACK_GLOBAL): global `os.system` is not allowed");
    let found: Vec<String> = report
        .globals
        .iter()
        .map(|one| {
            let verdict = if one.opaque { "not run" } else { ["refused", "allowed"][usize::from(one.allowed)] };
            format!("{} {}.{} x{} {verdict}", one.byte, one.module, one.name, one.times)
        })
        .collect();
    assert_eq!(
        found,
        [
            "3 sklearn.linear_model.Ridge x1 not run",
            "43 os.system x2 refused",
            "53 sklearn.linear_model._ridge.Ridge x1 allowed",
            "103 subprocess.Popen x1 refused",
            "129 builtins.eval x1 refused",
        ]
    );
    assert_eq!(report.stopped, None);
    // What can be unpacked of a damaged file is searched; of what is not even a file that Python reads, nothing.
    let cut = inspect(b"PK\x03\x04 cut", &LoadOptions::default());
    assert_eq!(cut.stopped.as_deref(), Some("the zip file has no directory at its end"));
    let text = inspect(b"a,b\n1,2\n", &LoadOptions::default());
    assert_eq!((text.container.as_str(), text.protocol, text.stopped), ("unknown", None, None));
}

#[test]
fn a_step_that_hands_on_its_table_has_the_names_that_the_next_step_knows() {
    let report = report("lego-0.9/seed-202417/model.joblib", None);
    let model = report.model.unwrap();
    assert_eq!(model.signature().names(), Some(vec!["rate", "weight", "AGE_n", "x1"]));
}
