//! What Python answered comes out of `foretell predict`, of every fixture, from each format in turn: a test for each
//! library and version, so that they run side by side.

use std::collections::BTreeSet;
use std::path::Path;

use foretell_fixtures::Case;

use crate::predict::{accepted, as_csv, as_jsonl, check, has_types_of_texts, path_of, write_parquet, written};
use crate::program::good;

/// Folders of fixtures, each a test; some have no model that predicts.
macro_rules! environments {
    ($($test:ident: $name:literal,)*) => {
        const ENVIRONMENTS: &[&str] = &[$($name),*];

        $(
            #[test]
            fn $test() {
                every_fixture_gives_what_its_library_gave($name);
            }
        )*
    };
}

environments! {
    catboost_0_22: "catboost-0.22",
    catboost_0_26: "catboost-0.26",
    catboost_1_0: "catboost-1.0",
    catboost_1_2: "catboost-1.2",
    category_encoders_2_1: "category-encoders-2.1",
    category_encoders_2_11: "category-encoders-2.11",
    category_encoders_2_3: "category-encoders-2.3",
    category_encoders_2_6: "category-encoders-2.6",
    feature_engine_1_9: "feature-engine-1.9",
    interpret_0_7: "interpret-0.7",
    lego_0_9: "lego-0.9",
    lightgbm_2_3: "lightgbm-2.3",
    lightgbm_3_3: "lightgbm-3.3",
    lightgbm_4_7: "lightgbm-4.7",
    mlxtend_0_25: "mlxtend-0.25",
    ngboost_0_6: "ngboost-0.6",
    onnx_1_32: "onnx-1.32",
    optbinning_1_0: "optbinning-1.0",
    pmml_4_4: "pmml-4.4",
    sklearn_0_18: "sklearn-0.18",
    sklearn_0_20: "sklearn-0.20",
    sklearn_0_21: "sklearn-0.21",
    sklearn_0_24: "sklearn-0.24",
    sklearn_1_0: "sklearn-1.0",
    sklearn_1_1: "sklearn-1.1",
    sklearn_1_2: "sklearn-1.2",
    sklearn_1_3: "sklearn-1.3",
    sklearn_1_4: "sklearn-1.4",
    sklearn_1_6: "sklearn-1.6",
    sklearn_1_7: "sklearn-1.7",
    sklearn_1_8: "sklearn-1.8",
    sklearn_1_9: "sklearn-1.9",
    skops_0_10: "skops-0.10",
    skops_0_16: "skops-0.16",
    skops_0_4: "skops-0.4",
    skops_0_8: "skops-0.8",
    statsmodels_0_15: "statsmodels-0.15",
    tpot_0_12: "tpot-0.12",
    pycaret_3_3: "pycaret-3.3",
    flaml_2_8: "flaml-2.8",
    xgboost_0_82: "xgboost-0.82",
    xgboost_0_90: "xgboost-0.90",
    xgboost_1_0: "xgboost-1.0",
    xgboost_1_1: "xgboost-1.1",
    xgboost_1_2: "xgboost-1.2",
    xgboost_1_3: "xgboost-1.3",
    xgboost_1_4: "xgboost-1.4",
    xgboost_1_5: "xgboost-1.5",
    xgboost_1_6: "xgboost-1.6",
    xgboost_1_7: "xgboost-1.7",
    xgboost_2_1: "xgboost-2.1",
    xgboost_3_0: "xgboost-3.0",
    xgboost_3_2: "xgboost-3.2",
}

/// The fixtures by their folder, those that predict.
fn predicting() -> Vec<(String, Case)> {
    let cases = Case::all().into_iter().filter(|case| case.answer("predict").is_some());
    cases.map(|case| (case.name().split('/').next().unwrap().to_string(), case)).collect()
}

#[test]
fn every_folder_of_fixtures_is_a_test() {
    let predicting = predicting();
    assert!(predicting.len() > 1000, "{}", predicting.len());
    let folders: BTreeSet<&str> = predicting.iter().map(|(folder, _)| folder.as_str()).collect();
    assert_eq!(folders, ENVIRONMENTS.iter().copied().collect(), "`environments!` above names them");
}

fn every_fixture_gives_what_its_library_gave(environment: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let out = path("out.csv");
    let cases: Vec<Case> =
        predicting().into_iter().filter(|(folder, _)| folder == environment).map(|(_, case)| case).collect();
    assert!(!cases.is_empty(), "no fixture of {environment} predicts");
    for (case, format) in cases.iter().zip(["csv", "jsonl", "parquet"].into_iter().cycle()) {
        // A text tells 3.0 as 3, which models that write their columns out take for something else.
        let writes_out =
            ["/pmml-cast", "/pmml-joined", "/pmml-series-cast"].iter().any(|name| case.name().ends_with(name));
        let format = if has_types_of_texts(case) && !writes_out { format } else { "parquet" };
        let data = path(&format!("data.{format}"));
        let rows = written(case, &accepted(case), format);
        match format {
            "csv" => std::fs::write(&data, as_csv(case, &rows)).unwrap(),
            "jsonl" => std::fs::write(&data, as_jsonl(case, &rows)).unwrap(),
            _ => write_parquet(case, &rows, Path::new(&data)),
        }
        let (model, told) = (path_of(case), case.told().join(","));
        let proba = case.answer("proba").is_some();
        let mut args = vec!["predict", &model, &data, "-o", &out];
        args.extend(proba.then_some("--proba"));
        if !told.is_empty() {
            args.extend(["--columns", &told]);
        }
        assert_eq!(good(&args), "");
        check(case, &rows, &std::fs::read_to_string(&out).unwrap(), proba);
    }
}
