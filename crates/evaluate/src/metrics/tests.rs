//! Every figure is scikit-learn's, from `fixtures/make/metrics.py`.

use std::path::Path;

use serde_json::Value;

use super::classification::{ClassAnswers, Tally};
use super::regression::Pairs;

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/metrics").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().map(|all| all.iter().map(|one| one.as_f64().unwrap()).collect()).unwrap_or_default()
}

fn indices(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|one| one.as_u64().unwrap() as u32).collect()
}

/// Equal to 1e-12 of the value, or `within`.
fn same(case: &Value, figure: &str, got: Option<f64>, within: f64) {
    let wanted = case["expected"][figure].as_f64();
    let near = match (got, wanted) {
        (None, None) => true,
        (Some(got), Some(wanted)) => (got - wanted).abs() <= within.max(1e-12) * wanted.abs().max(1e-3),
        _ => false,
    };
    assert!(near, "{}: {figure}: {got:?} instead of {wanted:?}", case["name"]);
}

#[test]
fn regressions_have_the_figures_of_scikit_learn() {
    let all = cases("regression.json");
    assert!(all.len() >= 10);
    for case in &all {
        let pairs = Pairs {
            actual: floats(&case["actual"]),
            predicted: floats(&case["predicted"]),
            weight: floats(&case["weight"]),
        };
        let figures = pairs.figures();
        let list = [
            ("mape", Some(figures.mape)),
            ("mae", Some(figures.mae)),
            ("rmse", Some(figures.rmse)),
            ("r2", figures.r2),
            ("median", Some(figures.median)),
            ("max", Some(figures.max)),
            ("bias", Some(figures.bias)),
        ];
        list.into_iter().for_each(|(name, figure)| same(case, name, figure, 0.0));
    }
}

#[test]
fn classifications_have_the_figures_of_scikit_learn() {
    let all = cases("classification.json");
    assert!(all.len() >= 10);
    for case in &all {
        let columns = case["proba"].as_array().unwrap().iter().map(floats);
        let answers = ClassAnswers {
            actual: indices(&case["actual"]),
            predicted: indices(&case["predicted"]),
            proba: columns.collect(),
            decision: case["decision"].is_array().then(|| floats(&case["decision"])),
            weight: floats(&case["weight"]),
        };
        let clip = case["clip"].as_f64().unwrap();
        let mut tally = Tally::new(case["classes"].as_u64().unwrap() as usize, clip);
        // In two pieces, as a file comes in chunks.
        let (first, second) = halves(answers);
        tally.add(&first);
        tally.add(&second);
        let figures = tally.figures();
        // The library sums probabilities of float32 in float32.
        let within = if clip > 1e-10 { 1e-6 } else { 0.0 };
        let list = [
            ("accuracy", Some(figures.accuracy)),
            ("balanced_accuracy", Some(figures.balanced_accuracy)),
            ("f1", figures.f1),
            ("f1_macro", Some(figures.f1_macro)),
            ("log_loss", figures.log_loss),
            ("brier", figures.brier),
            ("auc", figures.auc),
            ("average_precision", figures.average_precision),
            ("ece", figures.calibration.as_ref().map(|calibration| calibration.error())),
        ];
        list.into_iter().for_each(|(name, figure)| same(case, name, figure, within));
        let expected = &case["expected"];
        for (index, class) in figures.classes.iter().enumerate() {
            let figures = [("precision", class.precision), ("recall", class.recall), ("f1_each", class.f1)];
            for (name, figure) in figures {
                let wanted = expected[name][index].as_f64().unwrap();
                assert!((figure - wanted).abs() <= 1e-12, "{}: {name} of class {index}", case["name"]);
            }
        }
        for (got, wanted) in figures.confusion.iter().zip(expected["confusion"].as_array().unwrap()) {
            let near = got.iter().zip(floats(wanted)).all(|(got, wanted)| (got - wanted).abs() <= 1e-12 * wanted.abs());
            assert!(near, "{}: {got:?} instead of {wanted}", case["name"]);
        }
        let curve = figures.calibration.iter().flat_map(|c| c.bins().map(|bin| [bin.predicted(), bin.happened()]));
        for (got, wanted) in curve.zip(expected["curve"].as_array().into_iter().flatten()) {
            let near = got.iter().zip(floats(wanted)).all(|(got, wanted)| (got - wanted).abs() <= 1e-12);
            assert!(near, "{}: {got:?} instead of {wanted}", case["name"]);
        }
    }
}

fn halves(mut answers: ClassAnswers) -> (ClassAnswers, ClassAnswers) {
    let at = answers.actual.len() / 2;
    let second = ClassAnswers {
        actual: answers.actual.split_off(at),
        predicted: answers.predicted.split_off(at),
        proba: answers.proba.iter_mut().map(|column| column.split_off(at)).collect(),
        decision: answers.decision.as_mut().map(|scores| scores.split_off(at)),
        weight: answers.weight.split_off(at.min(answers.weight.len())),
    };
    (answers, second)
}

#[test]
fn a_curve_of_a_million_points_is_thinned_and_keeps_its_area() {
    // Every other row is of the class, a bit more often where the score is high.
    let scores: Vec<f64> = (0..200_000).map(f64::from).collect();
    let is_class = |row: usize| row.wrapping_mul(2_654_435_761) % 200_000 < row;
    let ranking = super::ranking::rank(&scores, is_class, &[]).unwrap();
    let drawn: f64 = ranking.roc.windows(2).map(|two| (two[1].0 - two[0].0) * (two[1].1 + two[0].1) / 2.0).sum();
    assert!(ranking.roc.len() < 1_000, "{} points", ranking.roc.len());
    assert!((drawn - ranking.auc).abs() < 1e-3, "{drawn} is not {}", ranking.auc);
    assert_eq!(ranking.roc.last(), Some(&(1.0, 1.0)));
}
